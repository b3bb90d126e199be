// SPDX-License-Identifier: Apache-2.0
// Checkpoints of a thread, and runs from them: live, what if, replayed.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { log, messages, scene, script, untilEnd } from "../support/chat.mjs";
import { api, start } from "../support/server.mjs";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:http";

const folder = mkdtempSync(join(tmpdir(), "fork-"));
let server, target, hits = [];

const call = (s, method, path, body) => api(server, method,
	`/api/chat/sessions/${s.thread.id}${path}`, { token: s.token, body });

before(async () => {
	target = createServer((req, res) => {
		hits.push(`${req.method} ${req.url}`);
		res.end(`number ${hits.length}`);
	});
	await new Promise((done) => target.listen(0, "127.0.0.1", done));
	const host = `127.0.0.1:${target.address().port}`;
	const post = (path) => ({ name: "http_request",
		args: { method: "POST", url: `http://${host}${path}` } });
	server = await start({ set: [
		`plugins.toolkit_http.allow=["${host}"]`,
		script(folder, [
			{ match: "post once", tool_calls: [post("/one")] },
			{ match: "post once", text: "posted" },
			{ match: "post twice",
				tool_calls: [post("/a"), post("/b")] },
			{ match: "ask me", tool_calls: [post("/asked"),
				post("/asked too")] },
			{ match: "ask me", text: "asked" },
			{ match: "calculate", tool_calls: [{ name: "calculator_evaluate",
				args: { expression: "6*7" } }] },
		]),
	] });
});
after(async () => {
	await server?.stop();
	target?.close();
	rmSync(folder, { recursive: true });
});

const people = () => scene(server, { toolkits: ["http", "calculator"] });

const ended = (s, runId) => untilEnd(server, s.token, runId);

async function say(s, content) {
	const { status, body } = await call(s, "POST", "", { content });
	assert.equal(status, 202, JSON.stringify(body));
	assert.equal((await ended(s, body.run.id)).state, "succeeded");
	return body;
}

const history = async (s, query = "") => {
	const { status, body } = await call(s, "GET", `/history${query}`);
	assert.equal(status, 200, JSON.stringify(body));
	return body.items;
};

async function fork(s, checkpoint, body) {
	const got = await call(s, "POST", `/history/${checkpoint.id}/fork`, body);
	assert.equal(got.status, 200, JSON.stringify(got.body));
	assert.equal((await ended(s, got.body.run.id)).state, "succeeded");
	return got.body.run;
}

async function of(s, run) {
	const { body } = await call(s, "GET", "?branch=all&limit=200");
	return body.messages.filter((m) => m.run_id === run.id);
}

async function replays(s, checkpoint) {
	const { status, body } = await call(s, "POST",
		`/history/${checkpoint.id}/fork`, { mode: "replay" });
	assert.equal(status, 200, JSON.stringify(body));
	assert.deepEqual([body.equal, body.difference], [true, null],
		JSON.stringify(body));
	return body;
}

test("checkpoints, newest first, by pages, each with its parent", async () => {
	const s = await people();
	await say(s, "calculate");
	await say(s, "hello");
	const all = await history(s);
	assert.deepEqual(all.map((c) => [c.step, c.source, c.head]), [
		[1, "loop", true], [3, "loop", false], [2, "loop", false],
		[1, "loop", false]]);
	for (let i = 0; i + 1 < all.length; i++)
		assert.equal(all[i].parent_id, all[i + 1].id);
	assert.equal(all.at(-1).parent_id, null);
	const events = await log(server, s);
	for (const c of all) {
		const at = events.find((e) => e.type === "checkpoint" &&
			e.checkpoint_id === c.id);
		assert.equal(at.state_hash, c.state_hash);
		assert.ok(c.events.first <= at.seq && at.seq <= c.events.last);
		assert.deepEqual([c.tasks, c.interrupts], [[], []]);
	}
	const stored = await messages(server, s);
	assert.equal(all[0].message_id, stored.at(-1).id);
	const first = await call(s, "GET", "/history?limit=3");
	const rest = await call(s, "GET", "/history?limit=3&cursor=" +
		encodeURIComponent(first.body.next_cursor));
	assert.deepEqual([...first.body.items, ...rest.body.items], all);
	assert.deepEqual(await history(s, "?ns=other"), []);
});

test("live: the calls of that step are made again, under new keys", async () => {
	const s = await people();
	const { run } = await say(s, "post twice");
	assert.equal(hits.length, 2);
	const [, , asked] = await history(s);
	assert.equal(asked.step, 1);
	const again = await fork(s, asked, { mode: "live" });
	assert.equal(hits.length, 4);
	const calls = async (id) => (await api(server, "GET",
		`/api/runs/${id}/calls`, { token: s.token })).body.items;
	const keys = [...await calls(run.id), ...await calls(again.id)]
		.map((c) => c.idempotency_key);
	assert.equal(new Set(keys).size, 4);
	assert.deepEqual((await of(s, again)).map((m) => m.role),
		["tool", "tool", "assistant"]);
	// It stands beside: the thread is where it was.
	assert.equal((await messages(server, s)).at(-1).run_id, run.id);
	const made = (await history(s)).find((c) => c.source === "fork");
	assert.equal(made.parent_id, asked.id);
	assert.equal(made.run_id, again.id);
	assert.equal(made.forked_from_checkpoint, asked.id);
	assert.equal(made.forked_from_run, run.id);
	assert.equal(made.fork_mode, "live");
	await replays(s, (await history(s)).find((c) => c.run_id === again.id));
	// And now it is where the thread goes on.
	const head = await fork(s, asked, { mode: "live", make_head: true });
	const stored = await messages(server, s);
	assert.equal(stored.at(-1).run_id, head.id);
	assert.deepEqual(stored.map((m) => m.role),
		["user", "assistant", "tool", "tool", "assistant"]);
	await say(s, "hello");
	assert.equal((await messages(server, s)).length, 7);
});

test("what if: nothing is sent, unless it is granted", async () => {
	const s = await people();
	await say(s, "post once");
	const before = hits.length;
	const [end, , asked] = await history(s);
	const told = (await messages(server, s))[2].content;
	const same = await fork(s, asked, { mode: "what_if" });
	assert.equal(hits.length, before);
	assert.equal((await of(s, same))[0].content, told);
	const other = await fork(s, end, { mode: "what_if",
		content: "post twice" });
	assert.equal(hits.length, before);
	const [, , a, b] = await of(s, other);
	for (const m of [a, b]) {
		assert.equal(m.role, "tool");
		assert.match(m.content, /^Simulated: /);
	}
	const live = await fork(s, end, { mode: "what_if", content: "calculate" });
	assert.equal((await of(s, live))[2].content, "42");
	await fork(s, end, { mode: "what_if", content: "post twice",
		grant: ["http_request"] });
	assert.equal(hits.length, before + 2);
	for (const run of [same, other, live])
		await replays(s, (await history(s)).find((c) => c.run_id === run.id));
	assert.equal(hits.length, before + 2);
});

test("a fork of a step that asks people asks them again", async () => {
	const s = await scene(server, { toolkits: ["http"],
		approval: { default: "by_effect" } });
	const respond = (item, body) => api(server, "POST",
		`/api/inbox/${item.id}/respond`, { token: s.token, body });
	const asked = async (run) => {
		const { body } = await api(server, "GET",
			`/api/inbox/?run_id=${run.id}`, { token: s.token });
		return body.items.sort((a, b) => a.ordinal - b.ordinal);
	};
	const waits = async (run) => {
		for (let after = 0;;) {
			const { body } = await api(server, "GET",
				`/api/runs/${run.id}/events?wait=10&after=${after}`,
				{ token: s.token });
			after = body.items.at(-1)?.run_seq ?? after;
			if (body.items.some((e) => e.state === "waiting_human"))
				return asked(run);
		}
	};
	hits = [];
	const { body: { run } } = await call(s, "POST", "", { content: "ask me" });
	const first = await waits(run);
	const [checkpoint] = await history(s);
	assert.equal(checkpoint.interrupts.length, 2);
	assert.equal((await respond(first[0], { type: "accept" })).status, 200);

	// While it waits the thread is its own.
	const path = `/history/${checkpoint.id}/fork`;
	const busy = await call(s, "POST", path, { mode: "live", make_head: true });
	assert.equal(busy.status, 409);
	assert.equal(busy.body.code, "THREAD_WAITING_HUMAN");
	assert.deepEqual(busy.body.items.map((i) => i.id), [first[1].id]);
	await api(server, "POST", `/api/runs/${run.id}/cancel`, { token: s.token });
	await ended(s, run.id);
	assert.deepEqual(hits, []);

	// An answer to the one is none to the other.
	const forked = (await call(s, "POST", path,
		{ mode: "live", make_head: true })).body.run;
	const second = await waits(forked);
	assert.equal(second.length, 2);
	assert.ok(second.every((i) => !first.some((f) => f.id === i.id ||
		f.interrupt_id === i.interrupt_id)));
	assert.equal((await respond(first[1], { type: "accept" })).status, 409);
	assert.equal((await respond(second[0], { type: "accept" })).status, 200);
	assert.equal((await respond(second[1], { type: "ignore" })).status, 200);
	assert.equal((await ended(s, forked.id)).state, "succeeded");
	assert.deepEqual(hits, ["POST /asked"]);
});

test("a patch: the same with another result, or another question", async () => {
	const s = await people();
	await say(s, "calculate");
	const [, done] = await history(s);
	const [question, , result] = await messages(server, s);
	const wrong = await fork(s, done, { mode: "live",
		patch: { message_id: result.id, content: "43" } });
	assert.deepEqual((await of(s, wrong)).map((m) => [m.role, m.content]),
		[["tool", "43"], ["assistant", "6*7 = 43"]]);
	const asked = await fork(s, done, { mode: "live", make_head: true,
		patch: { message_id: question.id, content: "hello" } });
	assert.deepEqual((await messages(server, s)).map((m) => m.run_id),
		[asked.id, asked.id]);
	for (const run of [wrong, asked])
		await replays(s, (await history(s)).find((c) => c.run_id === run.id));
});

test("replay: from the log, equal, and nothing is written", async () => {
	const s = await people();
	await say(s, "post once");
	const head = (await call(s, "GET", "")).body.head_seq, before = hits.length;
	const [end] = await history(s);
	const body = await replays(s, end);
	assert.deepEqual(body.steps.map((x) => [x.step, x.equal]),
		[[1, true], [2, true], [3, true]]);
	assert.equal(body.steps[2].state_hash, end.state_hash);
	assert.equal(hits.length, before);
	assert.equal((await call(s, "GET", "")).body.head_seq, head);
});

test("what cannot be: nothing is changed", async () => {
	const s = await people(), other = await people();
	await say(s, "calculate");
	await say(other, "calculate");
	const [end, , asked] = await history(s);
	const [foreign] = await history(other);
	const [, , result] = await messages(server, s);
	const head = (await call(s, "GET", "")).body.head_seq;
	const refused = async (c, body, status, code) => {
		const got = await call(s, "POST", `/history/${c.id}/fork`, body);
		assert.equal(got.status, status, JSON.stringify(got.body));
		assert.equal(got.body.code, code);
	};
	for (const mode of ["live", "what_if", "replay"])
		await refused(foreign, { mode }, 404, "NOT_FOUND");
	await refused(s.thread, { mode: "live" }, 404, "NOT_FOUND");
	const bad = (c, body) => refused(c, body, 400, "VALIDATION_FAILED");
	await bad(end, { mode: "live" });
	await bad(end, {});
	await bad(end, { mode: "dead" });
	await bad(asked, { mode: "live", content: "x" });
	await bad(end, { mode: "replay", make_head: true });
	await bad(end, { mode: "live", content: "x", grant: ["http_request"] });
	await bad(end, { mode: "what_if", content: "x", grant: ["no_such"] });
	await bad(end, { mode: "live", patch: { message_id: result.id } });
	await refused(asked, { mode: "live",
		patch: { message_id: result.id, content: "1" } }, 404, "NOT_FOUND");
	const got = await api(server, "GET",
		`/api/chat/sessions/${s.thread.id}/history`, { token: other.token });
	assert.equal(got.status, 404);
	assert.equal((await call(s, "GET", "")).body.head_seq, head);
});
