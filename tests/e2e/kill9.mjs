// SPDX-License-Identifier: Apache-2.0
//
// kill -9 at any moment of a chat with a tool call, again and again on the same
// data: what was acknowledged is there, the run goes on, a reader with a cursor
// ends with the stored bytes, and what may happen once only happens once.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { log, messages, newThread, scene, script } from "../support/chat.mjs";
import { api, start } from "../support/server.mjs";
import { connect } from "../support/ws.mjs";

const folder = mkdtempSync(join(tmpdir(), "script-"));
let server, s, web;
const hits = new Map();
let hit = () => {};

// Counts requests by path; the first one of a /hang/... is never answered.
function serveWeb(req, res) {
	hits.set(req.url, (hits.get(req.url) ?? 0) + 1);
	if (!req.url.startsWith("/hang") || hits.get(req.url) > 1)
		res.end(`page ${req.url}`);
	hit(req.url);
}

// The request for a path has arrived.
const arrives = (path) => new Promise((resolve) => {
	hit = (what) => what === path && resolve();
});

// What the model makes of "Post WORD": a request that nobody may repeat.
const posts = (...words) => words.flatMap((word) => [
	{ match: `Post ${word}`, tool_calls: [{ name: "http_request",
		args: { method: "POST", url: url(`/hang/${word}`) } }] },
	{ match: `Post ${word}`, text: `${word}: that is that.` },
]);

before(async () => {
	web = http.createServer(serveWeb);
	await new Promise((resolve) => web.listen(0, "127.0.0.1", resolve));
	server = await start({ set: [
		script(folder, posts("happened", "again", "skipped", "dropped", "stopped")),
		"plugins.llm_demo.delay=20",
		`plugins.toolkit_http.allow=["127.0.0.1:${web.address().port}"]`,
	] });
	s = await scene(server, { toolkits: ["http"] });
});
after(async () => {
	await server?.stop();
	web.closeAllConnections();
	web.close();
	rmSync(folder, { recursive: true });
});

// What a reader makes of frames: the text of each message.
function read(texts, frames) {
	for (const f of frames) {
		if (f.type === "message_start" || f.type === "message_reset")
			texts.set(f.message_id, Buffer.alloc(0));
		if (f.type === "message_created" && f.message.role === "assistant") {
			const text = Buffer.from(f.message.content);
			const known = texts.get(f.message.id);
			assert.ok(known.equals(text.subarray(0, known.length)),
				"what was shown is not what is stored");
			texts.set(f.message.id, text);
		}
		if (f.type !== "message_delta")
			continue;
		const known = texts.get(f.message_id) ?? Buffer.alloc(0);
		assert.ok(f.offset <= known.length, "a hole in the text");
		texts.set(f.message_id,
			Buffer.concat([known.subarray(0, f.offset), Buffer.from(f.delta)]));
	}
	return texts;
}

function checkLog(entries, runId) {
	const ofRun = entries.filter((e) => e.run_id === runId);
	const open = new Set();
	for (const e of ofRun) {
		if (e.type === "message_start") {
			assert.ok(!open.has(e.message_id), "started twice");
			open.add(e.message_id);
		} else if (e.type === "message_reset")
			assert.ok(open.has(e.message_id), "reset before its start");
		else if (e.type === "message_end")
			assert.ok(open.delete(e.message_id), "ended without a start");
	}
	assert.equal(open.size, 0, "a message without an end");
	assert.deepEqual(ofRun.map((e) => e.run_seq), ofRun.map((_, i) => i + 1));
	return ofRun;
}

// The moments at which the server dies, by what the reader has seen.
const delta = (n) => {
	let left = n;
	return (f) => f.type === "message_delta" && --left === 0;
};
const second = (type) => {
	let n = 0;
	return (f) => f.type === type && ++n === 2;
};
const type = (name) => (f) => f.type === name;
const moments = {
	"the message is acknowledged": type("message_created"),
	"the run begins": (f) => f.type === "run_status" && f.status === "running",
	"the answer begins": type("message_start"),
	"the tool is called": type("tool_call"),
	"the tool's result is there": type("tool_result"),
	"the second answer begins": second("message_start"),
	"the first word is there": delta(1),
	"some words are there": delta(3),
	"the answer has ended": second("message_end"),
};

async function ask(content) {
	s.thread = await newThread(server, s.person, s.agent.id);
	const socket = await connect(server, s.thread.id, { token: s.token });
	await socket.type("snapshot");
	socket.send({ type: "message", content, client_message_id: content });
	return socket;
}

// A new server on the same data; the reader comes back with its cursor.
async function comeBack(socket, path, { most = 1 } = {}) {
	await server.kill9();
	await socket.closed;
	const seen = socket.frames;
	const cursor = Math.max(0, ...seen.map((f) => f.seq ?? 0));
	await server.restart();
	const acknowledged = seen.some((f) => f.type === "message_created");
	const stored = await messages(server, s);
	if (acknowledged)
		assert.equal(stored[0]?.role, "user");
	if (stored.length === 0)
		return null;
	const back = await connect(server, s.thread.id, { token: s.token, after: cursor });
	const ended = seen.some((f) => f.type === "run_status" && f.status === "end");
	const end = ended ? null : await back.end();
	const entries = await log(server, s);
	const ofRun = checkLog(entries, stored[0].run_id);
	assert.equal(ofRun.at(-1).state, "succeeded");
	assert.equal(end?.state ?? "succeeded", "succeeded");
	// No event is lost, none comes twice.
	assert.deepEqual(back.frames.filter((f) => f.seq).map((f) => f.seq),
		entries.filter((e) => e.seq > cursor).map((e) => e.seq));
	// What was being said is void, and says so before it is said anew.
	const texts = read(new Map(), [...seen, ...back.frames]);
	const all = await messages(server, s);
	for (const m of all.filter((x) => x.role === "assistant"))
		assert.equal(texts.get(m.id).toString(), m.content);
	const openAt = read(new Map(), seen);
	for (const f of seen)
		if (f.type === "message_end")
			openAt.delete(f.message_id);
	for (const [id, text] of openAt)
		if (text.length > 0) {
			// Its end may have been stored just before the kill.
			// Then all of its text comes before that end.
			const mine = back.frames.filter((f) => f.message_id === id);
			if (mine[0].type === "message_delta")
				assert.equal(mine[1].type, "message_end");
			else
				assert.match(mine[0].type, /^message_(reset|end)$/);
		}
	assert.deepEqual(all.map((m) => m.role),
		["user", "assistant", "tool", "assistant"]);
	assert.ok((hits.get(path) ?? 0) <= most, `${hits.get(path)} requests`);
	await back.close();
	return { all, entries: ofRun };
}

const url = (path) => `http://127.0.0.1:${web.address().port}${path}`;

for (const [name, passes] of Object.entries(moments))
	test(name, async () => {
		const path = `/${name.replaceAll(" ", "-").replaceAll("'", "")}`;
		const socket = await ask(`Fetch ${url(path)}`);
		await socket.until(passes, name);
		// A GET may be made again.
		await comeBack(socket, path, { most: 2 });
	});

test("nothing is acknowledged yet", async () => {
	const socket = await ask(`Fetch ${url("/early")}`);
	const found = await comeBack(socket, "/early");
	if (found !== null)
		assert.match(found.all[0].content, /early/);
});

test("a 202 is there", async () => {
	s.thread = await newThread(server, s.person, s.agent.id);
	const socket = await connect(server, s.thread.id, { token: s.token });
	await socket.type("snapshot");
	const { status } = await api(server, "POST",
		`/api/chat/sessions/${s.thread.id}`,
		{ token: s.token, body: { content: `Fetch ${url("/posted")}` } });
	assert.equal(status, 202);
	assert.notEqual(await comeBack(socket, "/posted"), null);
});

test("a request that only reads is on its way: it is made again", async () => {
	const arrived = arrives("/hang/read");
	const socket = await ask(`Fetch ${url("/hang/read")}`);
	await arrived;
	const { entries } = await comeBack(socket, "/hang/read", { most: 2 });
	assert.equal(hits.get("/hang/read"), 2);
	const results = entries.filter((e) => e.type === "tool_result");
	assert.deepEqual(results.map((e) => e.outcome), ["succeeded"]);
});

// ---- A request that may happen once only is on its way

const operator = (method, path, body) => api(server, method,
	`/api/operator/items${path}`, { token: s.token, body });

async function calls(runId) {
	const { body } = await api(server, "GET", `/api/runs/${runId}/calls`,
		{ token: s.token });
	return body.items;
}

// The run waits for a person, with one item; nothing was made again.
async function waits(word) {
	const arrived = arrives(`/hang/${word}`);
	const socket = await ask(`Post ${word}`);
	await arrived;
	await server.kill9();
	await socket.closed;
	const cursor = Math.max(...socket.frames.map((f) => f.seq ?? 0));
	await server.restart();
	const back = await connect(server, s.thread.id, { token: s.token, after: cursor });
	const { run_id, state, error } = await back.stops();
	assert.equal(state, "recoverable_error");
	assert.equal(error.code, "OUTCOME_UNKNOWN");
	assert.deepEqual(error.actions, ["resolve", "cancel"]);
	const { body: { items } } = await operator("GET", `?run_id=${run_id}`);
	assert.equal(items.length, 1);
	const [item] = items;
	const [call] = await calls(run_id);
	assert.equal(item.kind, "outcome");
	assert.equal(item.status, "pending");
	assert.deepEqual(item.config.outcomes, ["happened", "not_happened", "skip"]);
	assert.equal(item.action_request.call_id, call.id);
	assert.equal(item.action_request.idempotency_key, call.idempotency_key);
	assert.equal(call.state, "unknown");
	assert.equal(call.effect, "once");
	const asked = back.frames.filter((f) => f.type === "hitl_request");
	assert.deepEqual(asked.map((f) => f.item_id), [item.id]);
	assert.equal(hits.get(`/hang/${word}`), 1);
	return { back, item, call, run_id };
}

// A person decides; the run goes on to its end, and the item is closed.
async function decide(w, outcome, result) {
	const { status, body } = await operator("POST", `/${w.item.id}/resolve`,
		result === undefined ? { outcome } : { outcome, result });
	assert.equal(status, 200, JSON.stringify(body));
	assert.equal(body.status, "answered");
	assert.equal(body.response_type, outcome);
	assert.equal(body.responded_by, s.person.user.id);
	assert.equal((await w.back.end()).state, "succeeded");
	const again = await operator("POST", `/${w.item.id}/resolve`, { outcome });
	assert.equal(again.status, 409);
	assert.equal(again.body.code, "CONFLICT");
	assert.equal(again.body.item_status, "answered");
	checkLog(await log(server, s), w.run_id);
	assert.deepEqual((await messages(server, s)).map((m) => m.role),
		["user", "assistant", "tool", "assistant"]);
	await w.back.close();
	const [call] = await calls(w.run_id);
	return { call, result: (await messages(server, s))[2].content };
}

test("the person says that it has happened, and how", async () => {
	const w = await waits("happened");
	const { call, result } = await decide(w, "happened", { status: 201 });
	assert.deepEqual(JSON.parse(result), { status: 201 });
	assert.equal(call.state, "succeeded");
	assert.equal(call.resolution, "operator");
	assert.equal(call.idempotency_key, w.call.idempotency_key);
	assert.equal(hits.get("/hang/happened"), 1);
});

test("that it has not: it is made once more, under a new key", async () => {
	const w = await waits("again");
	const { call, result } = await decide(w, "not_happened");
	assert.match(result, /page \/hang\/again/);
	assert.equal(call.state, "succeeded");
	assert.notEqual(call.idempotency_key, w.call.idempotency_key);
	assert.equal(hits.get("/hang/again"), 2);
});

test("that it does not matter: the model is told that it was skipped", async () => {
	const w = await waits("skipped");
	const { call, result } = await decide(w, "skip");
	assert.match(result, /skipped/);
	assert.equal(call.state, "skipped");
	assert.equal(hits.get("/hang/skipped"), 1);
});

test("nothing, and says something else: the item is superseded", async () => {
	const w = await waits("dropped");
	const resume = await api(server, "POST", `/api/runs/${w.run_id}/resume`,
		{ token: s.token });
	assert.equal(resume.status, 409, "nobody but an admin says what happened");
	w.back.send({ type: "message", content: "hello" });
	const end = await w.back.end();
	assert.equal(end.run_id, w.run_id);
	assert.equal(end.state, "cancelled");
	assert.equal(end.reason, "superseded");
	assert.equal((await w.back.end()).state, "succeeded");
	const late = await operator("POST", `/${w.item.id}/resolve`,
		{ outcome: "happened" });
	assert.equal(late.status, 409);
	assert.equal(late.body.item_status, "superseded");
	assert.equal(hits.get("/hang/dropped"), 1);
	await w.back.close();
});

test("a cancel ends a run that waits at once", async () => {
	const w = await waits("stopped");
	const { status, body } = await api(server, "POST",
		`/api/runs/${w.run_id}/cancel`, { token: s.token });
	assert.equal(status, 202);
	assert.equal(body.status, "cancelled");
	const { body: item } = await operator("GET", `/${w.item.id}`);
	assert.equal(item.status, "dismissed");
	assert.equal((await calls(w.run_id))[0].state, "unknown");
	await w.back.close();
});

test("a stop, and then the kill: the run ends as stopped", async () => {
	const arrived = arrives("/hang/stop");
	const socket = await ask(`Fetch ${url("/hang/stop")}`);
	const { run_id } = await socket.type("tool_call");
	await arrived;
	const answer = await api(server, "POST", `/api/runs/${run_id}/cancel`,
		{ token: s.token });
	assert.equal(answer.status, 202);
	await server.kill9();
	await server.restart();
	const back = await connect(server, s.thread.id, { token: s.token, after: 0 });
	assert.equal((await back.end()).state, "cancelled");
	checkLog(await log(server, s), run_id);
	// The thread goes on, with a history that a provider would take.
	back.send({ type: "message", content: "hello" });
	assert.equal((await back.end()).state, "succeeded");
	await back.close();
});
