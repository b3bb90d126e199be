// SPDX-License-Identifier: Apache-2.0
// "agent-studio runs": what a person sees of runs that wait, and decides.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { messages, newThread, scene, script } from "../support/chat.mjs";
import { signUp, start } from "../support/server.mjs";
import { connect } from "../support/ws.mjs";

const folder = mkdtempSync(join(tmpdir(), "script-"));
const FAIL = { match: "fail", fail: { status: 503, message: "no capacity" } };
let server, s, web, arrived;

before(async () => {
	// The first request is never answered.
	const first = new Promise((resolve) => {
		web = http.createServer((req, res) =>
			arrived ? res.end("late") : resolve(arrived = true));
	});
	await new Promise((resolve) => web.listen(0, "127.0.0.1", resolve));
	const post = { match: "post", tool_calls: [{ name: "http_request", args: {
		method: "POST", url: `http://127.0.0.1:${web.address().port}/` } }] };
	server = await start({ set: ["models.tries=1",
		`plugins.toolkit_http.allow=["127.0.0.1:${web.address().port}"]`,
		script(folder, [FAIL, { match: "fail", text: "Here." },
			post, { match: "post", text: "Posted." }])] });
	s = await scene(server, { toolkits: ["http"] });
	s.first = first;
});
after(async () => {
	await server?.stop();
	web.closeAllConnections();
	web.close();
	rmSync(folder, { recursive: true });
});

function run(person, ...args) {
	const child = spawn(process.env.AGENT_STUDIO ?? "agent-studio",
		["runs", "--url", server.url, "--email", person.email, ...args],
		{ env: { ...process.env, AGENT_STUDIO_PASSWORD: person.password } });
	const out = { stdout: "", stderr: "" };
	for (const name of ["stdout", "stderr"])
		child[name].setEncoding("utf8").on("data", (text) => {
			out[name] += text;
		});
	return new Promise((resolve, reject) => {
		child.on("error", reject);
		child.on("close", (code) => resolve({ ...out, code }));
	});
}

// What it prints, if all is well.
async function runs(...args) {
	const { stdout, stderr, code } = await run(s.person, ...args);
	assert.equal(stderr, "");
	assert.equal(code, 0);
	return stdout;
}

// A message in a new thread, to where its run stops.
async function ask(content) {
	s.thread = await newThread(server, s.person, s.agent.id);
	const socket = await connect(server, s.thread.id, { token: s.token });
	await socket.type("snapshot");
	socket.send({ type: "message", content });
	return socket;
}

const idOf = (text, runId) => new RegExp(`^(\\S+) .*\\n  run      ${runId}$`, "m")
	.exec(text)[1];

test("a run that waits is seen, explained, and let go on", async () => {
	const socket = await ask("fail");
	const { run_id } = await socket.stops();
	assert.match(await runs("list"), new RegExp(
		`^${run_id}  recoverable_error  \\S+  UNAVAILABLE$`, "m"));
	assert.doesNotMatch(await runs("list", "--status", "succeeded"),
		new RegExp(run_id));
	const shown = await runs("show", run_id);
	assert.match(shown, /^status   recoverable_error$/m);
	assert.match(shown, /^error    UNAVAILABLE: .*no capacity$/m);
	assert.match(shown, /^actions  retry, switch_model, cancel$/m);
	assert.match(await runs("items", "--kind", "error"),
		new RegExp(`^\\S+  error  +pending .*\\n  run      ${run_id}$`, "m"));
	assert.match(await runs("resume", run_id), /^status   (queued|running|succeeded)$/m);
	assert.equal((await socket.end()).state, "succeeded");
	assert.match(await runs("show", run_id), /^status   succeeded$/m);
	assert.doesNotMatch(await runs("items"), new RegExp(run_id));
	assert.match(await runs("items", "--all"),
		/ answered .*\n.*\n.*\n  decided  retry, /);
	await socket.close();
});

test("an error's item is resolved; a run is cancelled and taken back", async () => {
	const socket = await ask("fail");
	const { run_id } = await socket.stops();
	const item = idOf(await runs("items"), run_id);
	assert.match(await runs("resolve", item, "cancel"),
		/ answered [^]*  decided  cancel, /);
	assert.equal((await socket.end()).state, "cancelled");
	await socket.close();
	const other = await ask("fail");
	const { run_id: second } = await other.stops();
	assert.match(await runs("cancel", second, "--rollback"),
		/^status   rolled_back$/m);
	assert.ok((await messages(server, s)).every((m) => m.state === "rolled_back"));
	await other.close();
});

test("a call that may have happened: what it has answered is told", async () => {
	const socket = await ask("post");
	await s.first;
	await server.kill9();
	await server.restart();
	const back = await connect(server, s.thread.id, { token: s.token, after: 0 });
	const { run_id } = await back.stops();
	assert.match(await runs("show", run_id), new RegExp(
		"^call     http_request: unknown, effect once\\n  key    as1-\\S+\\n" +
		'  args   \\{"method":"POST"', "m"));
	const refused = await run(s.person, "resume", run_id);
	assert.equal(refused.code, 1);
	assert.match(refused.stderr, /CONFLICT/);
	const item = idOf(await runs("items", "--kind", "outcome"), run_id);
	const result = JSON.stringify({ status: 201, body: "made" });
	assert.match(await runs("resolve", item, "happened", "--result", result),
		/  decided  happened, /);
	assert.equal((await back.end()).state, "succeeded");
	assert.deepEqual(JSON.parse((await messages(server, s))[2].content),
		JSON.parse(result));
	assert.match(await runs("show", run_id), /: succeeded, [^]*  result .*made/);
	const late = await run(s.person, "resolve", item, "skip");
	assert.equal(late.code, 1);
	assert.match(late.stderr, /the item is answered/);
	await back.close();
	await socket.closed;
});

test("who may, and what is wrong use", async () => {
	const bob = await signUp(server);
	const refused = await run(bob, "items");
	assert.equal(refused.code, 1);
	assert.match(refused.stderr, /FORBIDDEN/);
	assert.equal((await run(bob, "list")).stdout, "");
	for (const [args, why] of [
		[[], /a command is missing/],
		[["eat"], /no command eat/],
		[["show"], /wrong number of words for show/],
		[["show", "x"], /not an id: x/],
		[["list", "x"], /wrong number of words for list/],
		[["resolve", s.agent.id, "happened", "--result", "{"], /is not JSON/],
	]) {
		const { code, stderr } = await run(s.person, ...args);
		assert.equal(code, 2, args.join(" "));
		assert.match(stderr, why);
	}
	const gone = await run(s.person, "show", s.agent.id);
	assert.equal(gone.code, 1);
	assert.match(gone.stderr, /NOT_FOUND/);
	const odd = await run(s.person, "list", "--status", "a&limit=1");
	assert.equal(odd.code, 1);
	assert.match(odd.stderr, /"status"/);
});
