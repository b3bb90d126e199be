// SPDX-License-Identifier: Apache-2.0
//
// What a server has recorded is replayed by `agent-studio replay` to the same
// hashes, beside the server and after it; a record that was changed is found at
// its step; a row that was corrupted is written back by `agent-studio rebuild`.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import http from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { events, log, newThread, scene } from "../support/chat.mjs";
import { change, id } from "../support/rows.mjs";
import { api, databaseUrl, start } from "../support/server.mjs";
import { connect } from "../support/ws.mjs";

const THREADS = 10;
const TURNS = 11;

let server, s, web, url;
let hits = 0;
const runs = [];
const waiting = [];
let good; // one that has succeeded

before(async () => {
	web = http.createServer((req, res) => {
		hits++;
		res.statusCode = req.url === "/broken" ? 500 : 200;
		res.end(`page ${req.url} `.repeat(req.url === "/long" ? 9000 : 1));
	});
	await new Promise((resolve) => web.listen(0, "127.0.0.1", resolve));
	url = `http://127.0.0.1:${web.address().port}`;
	server = await start({ set: [
		"plugins.llm_demo.delay=3",
		`plugins.toolkit_http.allow=["127.0.0.1:${web.address().port}"]`,
	] });
	s = await scene(server, { toolkits: ["calculator", "clock", "http"] });
});
after(async () => {
	await server?.stop();
	web.closeAllConnections();
	web.close();
});

function command(...args) {
	const all = [...args, "--data", server.data];
	if (process.env.AGENT_STUDIO_CONF)
		all.push("--conf", process.env.AGENT_STUDIO_CONF);
	if (server.database)
		all.push("--set",
			`store.url=${databaseUrl(server.admin, server.database)}`);
	const { status, stdout, stderr } = spawnSync(
		process.env.AGENT_STUDIO ?? "agent-studio", all,
		{ encoding: "utf8", maxBuffer: 1 << 26 });
	return { status, out: stdout, err: stderr };
}

const questions = [
	"hello there",
	"What is 2 * 21?",
	"What is 7 / 0?",
	"What time is it, and what is 3 + 4?",
	() => `Fetch ${url}/page`,
	() => `Fetch ${url}/broken`,
	"Fetch http://192.0.2.1/",
	"a quote \" a backslash \\ and \u{1F600}",
];

// One turn, until it ends or waits for a person; gives that event.
async function turn(thread, content) {
	const response = await fetch(`${server.url}/api/chat/interactive/stream`, {
		method: "POST",
		headers: {
			"content-type": "application/json",
			authorization: `Bearer ${s.token}`,
		},
		body: JSON.stringify({ thread_id: thread.id, content }),
	});
	assert.equal(response.status, 200);
	for await (const { data } of events(response))
		if (data.status === "end" || data.state === "recoverable_error")
			return data;
	return assert.fail("a stream without an end");
}

async function talk(k) {
	const thread = await newThread(server, s.person, s.agent.id);
	for (let i = 1; i < TURNS; i++) {
		const q = questions[(k + i) % questions.length];
		const end = await turn(thread, typeof q === "function" ? q() : q);
		assert.equal(end.state, "succeeded", JSON.stringify(end));
		runs.push(end.run_id);
		if (q.includes?.("2 * 21"))
			good = end.run_id;
	}
	// Cut by the host, and still too long for the model after that: it waits
	// for a decision, and half of them are stopped then.
	const { run_id: run, state } = await turn(thread, `Fetch ${url}/long`);
	assert.equal(state, "recoverable_error");
	if (k % 2 === 0) {
		waiting.push(run);
		return;
	}
	const { status } = await api(server, "POST", `/api/runs/${run}/cancel`,
		{ token: s.token });
	assert.equal(status, 202);
	runs.push(run);
}

async function ask(content, passes) {
	const thread = await newThread(server, s.person, s.agent.id);
	const socket = await connect(server, thread.id, { token: s.token });
	await socket.type("snapshot");
	socket.send({ type: "message", content });
	const frame = await socket.until(passes, "the moment to act");
	return { thread, socket, run: frame.run_id };
}

test("a hundred runs, stopped ones and one that changed hands", async () => {
	await Promise.all(Array.from({ length: THREADS }, (_, k) => talk(k)));
	const moments = ["message_delta", "tool_call", "tool_result"];
	for (const action of ["interrupt", "rollback"])
		for (const moment of moments) {
			const a = await ask("What is 2 * 21?",
				(f) => f.type === moment);
			a.socket.send({ type: "cancel", run_id: a.run, action });
			await a.socket.end();
			await a.socket.close();
			runs.push(a.run);
		}
	const b = await ask("What is 6 * 7?",
		(f) => f.type === "tool_call");
	await server.kill9();
	await b.socket.closed;
	await server.restart();
	const back = await connect(server, b.thread.id, { token: s.token });
	const snapshot = await back.type("snapshot");
	if (snapshot.run !== null && snapshot.run?.status !== "end")
		await back.end();
	await back.close();
	runs.push(b.run);
});

test("all of them are replayed, beside the server and without it", async () => {
	const before = hits;
	assert.ok(before > 0);
	const total = `${runs.length} runs equal, 0 different, 0 not to be replayed`;
	const { status, out, err } = command("replay", "--all");
	const wrong = out.split("\n").filter((l) => /DIFFERENT|cannot/.test(l));
	assert.equal(out.trimEnd().split("\n").at(-1), total,
		wrong.join("\n") + err);
	assert.equal(status, 0);
	assert.equal(err, "");
	for (const end of ["succeeded", "cancelled", "rolled_back"])
		assert.ok(out.includes(`recorded end: ${end} at step`), end);
	assert.equal((await server.end("SIGTERM")).code, 0);
	assert.ok(command("replay", "--all").out === out);
	assert.equal(hits, before);
});

test("a run is shown step by step", () => {
	const { status, out } = command("replay", runs.at(-1));
	assert.equal(status, 0, out);
	assert.match(out, new RegExp("^(step [123]  [0-9a-f]{64}  ok\n){3}" +
		`run ${runs.at(-1)}: 3 steps equal; ` +
		"recorded end: succeeded at step 3.*\n$"));
});

test("a run that waits is replayed to where it waits", () => {
	const { status, out } = command("replay", waiting[0]);
	assert.equal(status, 0, out);
	assert.match(out, /3 steps equal; recorded end: recoverable_error at step 3.* \(not part of the replay\)\n$/);
});

test("a changed record is found at its step", () => {
	const run = runs.at(-1);
	change(server, "UPDATE messages SET content = '43', parts = replace(parts, " +
		`'42', '43') WHERE run_id = ${id(server, run)} AND role = 'tool'`);
	const { status, out } = command("replay", run);
	assert.equal(status, 1, out);
	assert.match(out, /^step 1 .* ok\nstep 2 .* DIFFERENT\nrun .*: DIFFERENT at step 2: message 2/);
	const all = command("replay", "--all");
	assert.equal(all.status, 1);
	assert.equal(all.out.trimEnd().split("\n").at(-1),
		`${runs.length - 1} runs equal, 1 different, 0 not to be replayed`);
});

test("what cannot be replayed", () => {
	assert.equal(command("replay").status, 2);
	assert.equal(command("replay", "x").status, 2);
	const none = command("replay", s.thread.id);
	assert.equal(none.status, 2);
	assert.match(none.out, /cannot be replayed/);
});

test("a corrupted row is written back", async () => {
	const run = good;
	const check = (status, text) => {
		const r = command("rebuild", run, "--check");
		assert.equal(r.status, status, r.out + r.err);
		assert.match(r.out, text);
	};
	check(0, /^the row agrees with the log\n$/);
	change(server, "UPDATE runs SET status = 'failed', step = 9, usage = NULL " +
		`WHERE id = ${id(server, run)}`);
	check(1, /^status: succeeded in the log, failed in the row\nstep: /);
	const r = command("rebuild", run);
	assert.equal(r.status, 0, r.err);
	assert.match(r.out, /the row was written from the log\n$/);
	check(0, /^the row agrees with the log\n$/);
	assert.equal(command("replay", run).status, 0);
	await server.restart();
	const { body } = await api(server, "GET", `/api/runs/${run}`,
		{ token: s.token });
	assert.equal(body.state ?? body.status, "succeeded", JSON.stringify(body));
	s.thread = { id: body.thread_id };
	assert.equal((await log(server, s)).length > 0, true);
});

test("nothing is written while a server works on it", async () => {
	const a = await ask("hello there", (f) => f.type === "message_delta");
	const r = command("rebuild", a.run);
	if (server.database)
		assert.match(r.out, /agrees with the log/);
	else {
		assert.equal(r.status, 1);
		assert.match(r.err, /is in use by process/);
	}
	await a.socket.end();
	await a.socket.close();
});
