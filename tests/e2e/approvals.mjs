// SPDX-License-Identifier: Apache-2.0
//
// Calls that wait for a person and questions, several in one step: answered out
// of order, alone and in a batch, with kill -9 between and after the answers.
// Each call that was approved is made once, with the arguments that were
// approved, and nothing else is made.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { log, messages, newThread, replayAll, scene, script, untilEvent }
	from "../support/chat.mjs";
import { api, start } from "../support/server.mjs";

const folder = mkdtempSync(join(tmpdir(), "script-"));
let server, s, web;
const hits = [];

function serveWeb(req, res) {
	hits.push(`${req.method} ${req.url}`);
	res.end(`page ${req.url}`);
}

const call = (method, path) => ({ name: "http_request",
	args: { method, url: `http://127.0.0.1:${web.address().port}${path}` } });
const question = (text, choices) => ({ name: "ask_human",
	args: { question: text, choices } });

// Five in one step: three of them wait for approval or an answer twice over.
const step = (word) => [
	{ match: `Do ${word}`, tool_calls: [call("POST", `/${word}/a`),
		call("GET", `/${word}/read`), call("POST", `/${word}/b`),
		question("Which colour?", ["red", "blue"]),
		question("How many?", ["1", "2"]), call("POST", `/${word}/c`)] },
	{ match: `Do ${word}`, text: `${word} is done.` },
];

before(async () => {
	web = http.createServer(serveWeb);
	await new Promise((resolve) => web.listen(0, "127.0.0.1", resolve));
	server = await start({ set: [
		script(folder, ["kills", "each", "stop"].flatMap(step)),
		`plugins.toolkit_http.allow=["127.0.0.1:${web.address().port}"]`,
	] });
	s = await scene(server, { toolkits: ["http"],
		approval: { default: "by_effect", questions: true } });
});
after(async () => {
	await server?.stop();
	web.closeAllConnections();
	web.close();
	rmSync(folder, { recursive: true });
});

async function ok(method, path, how = {}, status = 200) {
	const answer = await api(server, method, path, { token: s.token, ...how });
	assert.equal(answer.status, status,
		`${method} ${path}: ${JSON.stringify(answer.body)}`);
	return answer.body;
}

// Of a run; a server that is new knows its events, too.
const until = (run, passes) => untilEvent(server, s.token, run.id, passes);

const isState = (state) => (e) => e.type === "run_status" && e.state === state;

// A run that waits, with its items by what they are about.
async function asked(word) {
	s.thread = await newThread(server, s.person, s.agent.id);
	const { run } = await ok("POST", `/api/chat/sessions/${s.thread.id}`,
		{ body: { content: `Do ${word}` } }, 202);
	await until(run, isState("waiting_human"));
	const { items } = await ok("GET", `/api/inbox/?run_id=${run.id}`);
	const about = (i) => i.action_request.args.question ??
		i.action_request.args.url.split("/").at(-1);
	return { run, items: Object.fromEntries(items.map((i) => [about(i), i])) };
}

const respond = (item, body) => api(server, "POST",
	`/api/inbox/${item.id}/respond`, { token: s.token, body });

async function again() {
	await server.kill9();
	await server.restart();
}

const hitsOf = (word) => hits.filter((h) => h.includes(`/${word}/`)).sort();
const edited = (item, path) => ({ type: "edit", args: {
	...item.action_request.args,
	url: item.action_request.args.url.replace(/[^/]+$/, path) } });

// What the model reads of each call, in order.
async function results(run) {
	const list = (await messages(server, s)).filter((m) =>
		m.run_id === run.id);
	const calls = list.find((m) => m.parts.some((p) => p.type === "tool_call"))
		.parts.filter((p) => p.type === "tool_call");
	return calls.map((c) => list.filter((m) => m.tool_call_id === c.id)
		.map((m) => m.content)).map((found) => {
		assert.equal(found.length, 1, "each call has one result");
		return found[0];
	});
}

test("answers out of order, with kill -9 between them", async () => {
	const { run, items } = await asked("kills");
	assert.deepEqual(Object.keys(items).sort(),
		["How many?", "Which colour?", "a", "b", "c"]);
	assert.equal(new Set(Object.values(items).map((i) => i.interrupt_id ??
		i.id)).size, 5);
	assert.deepEqual(hitsOf("kills"), ["GET /kills/read"]);

	assert.equal((await respond(items.c, edited(items.c, "c2"))).status, 200);
	await again();
	assert.equal((await respond(items.c, edited(items.c, "c2"))).status, 200);
	assert.equal((await respond(items.c, { type: "accept" })).status, 409);
	assert.equal((await respond(items["How many?"],
		{ type: "response", args: "2" })).status, 200);
	await again();
	assert.equal((await ok("GET", `/api/runs/${run.id}`)).status,
		"waiting_human");
	assert.deepEqual(hitsOf("kills"), ["GET /kills/read"]);
	assert.equal((await respond(items.b, { type: "ignore" })).status, 200);
	const both = { answers: [
		{ item_id: items["Which colour?"].id, type: "response", args: "blue" },
		{ item_id: items.a.id, type: "accept" }] };
	await ok("POST", "/api/inbox/respond", { body: both });
	assert.equal((await until(run, (e) => e.status === "end")).state,
		"succeeded");
	await again();
	await ok("POST", "/api/inbox/respond", { body: both });

	assert.deepEqual(hitsOf("kills"),
		["GET /kills/read", "POST /kills/a", "POST /kills/c2"]);
	const [a, read, b, colour, many, c] = await results(run);
	assert.match(a, /page \/kills\/a/);
	assert.match(read, /page \/kills\/read/);
	assert.match(b, /rejected by the person/);
	assert.equal(colour, "blue");
	assert.equal(many, "2");
	assert.match(c, /changed the arguments[^]*page \/kills\/c2/);
	const entries = (await log(server, s)).filter((e) => e.run_id === run.id);
	assert.equal(entries.filter((e) => e.type === "hitl_request").length, 5);
	assert.equal(entries.filter((e) => e.type === "hitl_resolved").length, 5);
	assert.deepEqual(entries.filter((e) => e.type === "tool_call")
		.map((e) => e.needs_approval), [true, false, true, false, false, true]);
});

test("each answer lets the run go on", async () => {
	await ok("PATCH", `/api/agents/${s.agent.id}/`,
		{ body: { approval: { resume_when: "each" } } });
	const { run, items } = await asked("each");
	assert.equal((await respond(items.b, { type: "accept" })).status, 200);
	await until(run, (e) => e.type === "tool_result" && e.result?.body ===
		"page /each/b" || hitsOf("each").includes("POST /each/b"));
	assert.equal((await respond(items.a, edited(items.a, "a2"))).status, 200);
	await again();
	for (const [name, args] of [["Which colour?", "red"], ["How many?", "1"]])
		assert.equal((await respond(items[name],
			{ type: "response", args })).status, 200);
	assert.equal((await respond(items.c, { type: "ignore" })).status, 200);
	const end = await until(run, (e) => e.status === "end" ||
		e.state === "recoverable_error");
	const made = hitsOf("each").filter((h) => h.startsWith("POST"));
	// A kill among calls may leave one of which nobody knows; never two.
	assert.equal(made.length, new Set(made).size);
	assert.ok(!made.includes("POST /each/a") && !made.includes("POST /each/c"));
	if (end.state === "succeeded")
		assert.deepEqual(made, ["POST /each/a2", "POST /each/b"]);
});

test("a stop dismisses what was asked", async () => {
	await ok("PATCH", `/api/agents/${s.agent.id}/`,
		{ body: { approval: { resume_when: "all" } } });
	const { run, items } = await asked("stop");
	assert.equal((await respond(items.a, { type: "accept" })).status, 200);
	await ok("POST", `/api/runs/${run.id}/cancel`, {}, 202);
	await until(run, isState("cancelled"));
	assert.equal((await ok("GET", `/api/inbox/${items.b.id}`)).status,
		"dismissed");
	assert.equal((await respond(items.b, { type: "accept" })).status, 409);
	assert.deepEqual(hitsOf("stop"), ["GET /stop/read"]);
	assert.equal((await results(run)).length, 6);
});

test("all of them are replayed", async () => {
	assert.equal((await server.end("SIGTERM")).code, 0, server.log);
	assert.ok(replayAll(server) >= 3);
});
