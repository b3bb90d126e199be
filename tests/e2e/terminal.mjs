// SPDX-License-Identifier: Apache-2.0
// "agent-studio chat": the main job with a pipe for a terminal.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { script } from "../support/chat.mjs";
import { api, signUp, start } from "../support/server.mjs";

const PASSWORD = "correct horse battery";
let server;

before(async () => {
	server = await start();
});
after(() => server?.stop());

function chat(input, ...args) {
	return chatWith(server, input, ...args);
}

function chatWith(server, input, ...args) {
	const child = spawn(process.env.AGENT_STUDIO ?? "agent-studio",
		["chat", "--url", server.url, ...args],
		{ env: { ...process.env, AGENT_STUDIO_PASSWORD: PASSWORD } });
	const out = { stdout: "", stderr: "" };
	for (const name of ["stdout", "stderr"])
		child[name].setEncoding("utf8").on("data", (text) => {
			out[name] += text;
		});
	child.stdin.on("error", () => {});
	child.stdin.end(input);
	return new Promise((resolve, reject) => {
		child.on("error", reject);
		child.on("close", (code) => resolve({ ...out, code }));
	});
}

test("sign up, ask twice, read tools and answers", async () => {
	const { stdout, stderr, code } = await chat(
		"What is 12 * (3 + 4)?\nhello\n\nnever sent\n",
		"--email", "ada@example.org", "--signup");
	assert.equal(stderr, "");
	assert.equal(code, 0);
	assert.match(stdout, /\[calculator_evaluate \{.*12 \* \(3 \+ 4\).*\}\]/);
	assert.match(stdout, /\[= "?84"?\]/);
	assert.match(stdout, /demo model/);
	assert.ok(!stdout.includes("never sent"));
	const login = await api(server, "POST", "/api/auth/login",
		{ body: { email: "ada@example.org", password: PASSWORD } });
	const { body } = await api(server, "GET", "/api/chat/sessions",
		{ token: login.body.access_token });
	assert.equal(body.items.length, 1);
	assert.equal(body.items[0].title, "What is 12 * (3 + 4)?");
});

test("log in, with an agent that is there; no newline at the end", async () => {
	const bob = await signUp(server, "bob@example.org");
	const agent = await api(server, "POST", "/api/agents/",
		{ token: bob.token, body: { name: "Bare" } });
	const { stdout, code } = await chat("hello",
		"--email", bob.email, "--agent", agent.body.id);
	assert.equal(code, 0);
	assert.match(stdout, /"hello"/);
});

test("a run that waits: for its time, then for a person; the chat goes on", async () => {
	const folder = mkdtempSync(join(tmpdir(), "script-"));
	const fail = { match: "fail", fail: { status: 503, message: "no capacity" } };
	const own = await start({ set: ["models.tries=2",
		script(folder, [fail, fail, { match: "next", text: "All is well." }])] });
	try {
		const { stdout, stderr, code } = await chatWith(own, "fail\nnext\n",
			"--email", "ada@example.org", "--signup");
		assert.equal(stderr, "");
		assert.equal(code, 0);
		assert.match(stdout, new RegExp("no capacity\\]\n\\[again in \\d+\\.\\d s\\]" +
			"[^]*no capacity\\]\n\\[run \\S+ waits; retry, switch_model, cancel:" +
			"[^]*\n> All is well\\.\n"));
	} finally {
		await own.stop();
		rmSync(folder, { recursive: true });
	}
});

test("what goes wrong is said, and ends with a status", async () => {
	const wrong = await chat("hi\n", "--email", "nobody@example.org");
	assert.equal(wrong.code, 1);
	assert.match(wrong.stderr, /INVALID_CREDENTIALS/);
	const taken = await chat("hi\n", "--email", "ada@example.org", "--signup");
	assert.equal(taken.code, 1);
	assert.match(taken.stderr, /EMAIL_TAKEN/);
	const none = await chat("hi\n", "--email", "bob@example.org", "--agent",
		"01890000-0000-7000-8000-000000000000");
	assert.equal(none.code, 1);
	assert.match(none.stderr, /NOT_FOUND/);
	const tools = await chat("hi\n", "--email", "bob@example.org",
		"--toolkits", "nope");
	assert.equal(tools.code, 1);
	assert.match(tools.stderr, /VALIDATION_FAILED/);
	const nobody = await chat("hi\n");
	assert.equal(nobody.code, 2);
	assert.match(nobody.stderr, /--email and --password .* are needed/);
	const more = await chat("hi\n", "--email", "bob@example.org", "hello");
	assert.equal(more.code, 2);
	assert.match(more.stderr, /unexpected 'hello'/);
	const url = server.url;
	server.url = "http://127.0.0.1:1";
	const gone = await chat("hi\n", "--email", "ada@example.org");
	server.url = url;
	assert.equal(gone.code, 1);
	assert.notEqual(gone.stderr, "");
});
