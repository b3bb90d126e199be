// SPDX-License-Identifier: Apache-2.0
// The main job over REST and server-sent events.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { events, log, messages, newThread, scene, script, untilEnd }
	from "../support/chat.mjs";
import { api, signUp, start } from "../support/server.mjs";

const folder = mkdtempSync(join(tmpdir(), "script-"));
let server;

before(async () => {
	server = await start();
});
after(async () => {
	await server?.stop();
	rmSync(folder, { recursive: true });
});

const stream = (s, content, more = {}, to = server) =>
	fetch(`${to.url}/api/chat/interactive/stream`, {
		method: "POST",
		headers: {
			"content-type": "application/json",
			authorization: `Bearer ${s.token}`,
		},
		body: JSON.stringify({ thread_id: s.thread.id, content, ...more }),
	});

const waitEnd = (s, runId, to = server) => untilEnd(to, s.token, runId);

test("a question, a tool, an answer, streamed and stored", async () => {
	const s = await scene(server);
	const response = await stream(s, "What is 12 * (3 + 4)?");
	assert.equal(response.status, 200);
	assert.match(response.headers.get("content-type"), /^text\/event-stream/);
	assert.equal(response.headers.get("x-accel-buffering"), "no");
	const seen = [];
	let text = "";
	for await (const e of events(response)) {
		seen.push(e.event);
		assert.equal(e.data.type, e.event);
		assert.equal(e.data.v, 1);
		if (e.id !== undefined)
			assert.equal(Number(e.id), e.data.seq);
		if (e.event === "message_start")
			text = "";
		if (e.event === "message_delta") {
			assert.equal(e.data.offset, Buffer.byteLength(text));
			text += e.data.delta;
		}
	}
	for (const type of ["message_created", "run_status", "message_start",
		"tool_call", "tool_result", "message_delta", "message_end"])
		assert.ok(seen.includes(type), type);
	assert.equal(seen[0], "message_created");
	assert.equal(seen.at(-1), "run_status");
	const stored = await messages(server, s);
	assert.deepEqual(stored.map((m) => m.role),
		["user", "assistant", "tool", "assistant"]);
	assert.equal(stored[2].content, "84");
	assert.equal(stored[2].tool_name, "calculator_evaluate");
	assert.equal(stored.at(-1).content, text);
	assert.match(text, /84/);
	const entries = await log(server, s);
	assert.deepEqual(entries.map((e) => e.run_seq), entries.map((e) => e.seq));
});

test("the answer of a posted message", async () => {
	const s = await scene(server);
	const { status, body } = await api(server, "POST",
		`/api/chat/sessions/${s.thread.id}`,
		{ token: s.token, body: { content: "hello", client_message_id: "k" } });
	assert.equal(status, 202);
	assert.deepEqual(Object.keys(body), ["message", "run"]);
	assert.equal(body.message.role, "user");
	assert.equal(body.message.client_message_id, "k");
	assert.equal(body.run.thread_id, s.thread.id);
	assert.equal(body.run.kind, "interactive");
	assert.deepEqual(Object.keys(body.run.usage), ["input_tokens",
		"output_tokens", "cached_tokens", "reasoning_tokens"]);
	const end = await waitEnd(s, body.run.id);
	assert.equal(end.state, "succeeded");
	const again = await api(server, "POST",
		`/api/chat/sessions/${s.thread.id}`,
		{ token: s.token, body: { content: "hello", client_message_id: "k" } });
	assert.equal(again.status, 202);
	assert.equal(again.body.run.id, body.run.id);
	const { body: run } = await api(server, "GET", `/api/runs/${body.run.id}`,
		{ token: s.token });
	assert.equal(run.status, "succeeded");
	assert.notEqual(run.completed_at, null);
	const { body: thread } = await api(server, "GET",
		`/api/chat/sessions/${s.thread.id}`, { token: s.token });
	assert.equal(thread.title, "hello");
	assert.equal(thread.status, "idle");
	assert.equal(thread.active_run_id, null);
	assert.equal(thread.head_seq, run.head_run_seq);
});

test("bad input is refused and changes nothing", async () => {
	const s = await scene(server);
	const post = (raw, path = `/api/chat/sessions/${s.thread.id}`) =>
		api(server, "POST", path, { token: s.token, raw });
	const big = JSON.stringify({ content: "x".repeat(256 * 1024 + 1) });
	const cases = [
		["{", 400, "MALFORMED_JSON"],
		["[]", 400, "VALIDATION_FAILED"],
		["{}", 400, "VALIDATION_FAILED"],
		['{"content":""}', 400, "VALIDATION_FAILED"],
		['{"content":1}', 400, "VALIDATION_FAILED"],
		['{"content":"a\\u0000b"}', 400, "VALIDATION_FAILED"],
		['{"content":"a","colour":"red"}', 400, "VALIDATION_FAILED"],
		[big, 400, "VALIDATION_FAILED"],
	];
	for (const [raw, status, code] of cases) {
		const answer = await post(raw);
		assert.equal(answer.status, status, raw.slice(0, 60));
		assert.equal(answer.body.code, code, raw.slice(0, 60));
	}
	const elsewhere = await post('{"content":"a"}',
		"/api/chat/sessions/01890000-0000-7000-8000-000000000000");
	assert.equal(elsewhere.status, 404);
	assert.equal(elsewhere.body.resource, "thread");
	assert.equal((await post('{"content":"a"}', "/api/chat/sessions/x")).status,
		404);
	assert.deepEqual(await messages(server, s), []);
	const ahead = await api(server, "GET",
		`/api/chat/sessions/${s.thread.id}/events?after=99`, { token: s.token });
	assert.equal(ahead.status, 400);
	assert.equal(ahead.body.code, "CURSOR_AHEAD");
	const cursor = await api(server, "GET",
		"/api/chat/sessions?cursor=nonsense", { token: s.token });
	assert.equal(cursor.status, 400);
});

test("what is not yours does not exist", async () => {
	const s = await scene(server);
	const stranger = await signUp(server);
	for (const path of [`/api/chat/sessions/${s.thread.id}`,
		`/api/chat/sessions/${s.thread.id}/events`]) {
		assert.equal((await api(server, "GET", path,
			{ token: stranger.token })).status, 404, path);
	}
	assert.equal((await api(server, "POST",
		`/api/chat/sessions/${s.thread.id}`,
		{ token: stranger.token, body: { content: "hi" } })).status, 404);
	assert.equal((await api(server, "POST", "/api/chat/sessions",
		{ token: stranger.token, body: { agent_id: s.agent.id } })).status, 404);
	assert.equal((await api(server, "GET", "/api/chat/sessions")).status, 401);
});

test("threads and messages by pages", async () => {
	const s = await scene(server);
	for (let i = 0; i < 4; i++)
		await newThread(server, s.person, s.agent.id);
	const first = await api(server, "GET",
		`/api/chat/sessions?limit=3&agent_id=${s.agent.id}`, { token: s.token });
	assert.equal(first.body.items.length, 3);
	const second = await api(server, "GET",
		`/api/chat/sessions?limit=3&agent_id=${s.agent.id}&cursor=` +
		first.body.next_cursor, { token: s.token });
	assert.equal(second.body.items.length, 2);
	assert.equal(second.body.next_cursor, null);
	const ids = [...first.body.items, ...second.body.items].map((t) => t.id);
	assert.deepEqual(ids, [...ids].sort().reverse());
	for (const word of ["one", "two", "three"])
		for await (const e of events(await stream(s, word)))
			assert.ok(e.event);
	const path = `/api/chat/sessions/${s.thread.id}?limit=4`;
	const last = await api(server, "GET", path, { token: s.token });
	assert.equal(last.body.messages.length, 4);
	const older = await api(server, "GET",
		`${path}&cursor=${last.body.next_cursor}`, { token: s.token });
	assert.deepEqual([...older.body.messages, ...last.body.messages]
		.map((m) => m.sequence), [1, 2, 3, 4, 5, 6]);
});

test("the log by pages of any size, whatever its texts are", async () => {
	const s = await scene(server);
	const texts = ["a \"quote\", a \\\\ and a \\", "]},{[\"", "\u2603\n\u0001"];
	for (const text of texts)
		for await (const e of events(await stream(s, text)))
			assert.ok(e.event);
	const all = await log(server, s);
	assert.deepEqual(all.filter((e) => e.message?.role === "user")
		.map((e) => e.message.content), texts);
	const run = all.filter((e) => e.run_id === all[0].run_id);
	for (const [path, list] of [
		[`/api/chat/sessions/${s.thread.id}/events`, all],
		[`/api/runs/${run[0].run_id}/events`, run]])
		for (const limit of [1, 2, 3, 5]) {
			const read = [];
			while (read.length < list.length) {
				const { body } = await api(server, "GET",
					`${path}?limit=${limit}&after=${read.length}`,
					{ token: s.token });
				assert.ok(body.items.length > 0 && body.items.length <= limit);
				read.push(...body.items);
			}
			assert.deepEqual(read, list);
		}
});

test("stop: the text so far is kept, and the thread goes on", async () => {
	const own = await start({ set: [script(folder, [
		{ text: "one two three four five six seven eight nine ten", delay_ms: 500 },
		{ text: "next" },
	])] });
	try {
		const s = await scene(own);
		let run, text = "";
		for await (const e of events(await stream(s, "count", {}, own))) {
			run ??= e.data.run_id;
			if (e.event !== "message_delta")
				continue;
			text += e.data.delta;
			if (text.includes("two")) {
				const answer = await api(own, "POST", `/api/runs/${run}/cancel`,
					{ token: s.token });
				assert.equal(answer.status, 202);
			}
		}
		const [, said] = await messages(own, s);
		assert.equal(said.state, "interrupted");
		assert.equal(said.content, text);
		const end = (await log(own, s)).at(-1);
		assert.equal(end.state, "cancelled");
		const again = await api(own, "POST", `/api/runs/${run}/cancel`,
			{ token: s.token, body: { action: "rollback" } });
		assert.equal(again.status, 202);
		assert.equal(again.body.status, "cancelled");
		const next = [];
		for await (const e of events(await stream(s, "go on", {}, own))) {
			next.push(e.data);
			text = e.data.delta ?? text;
		}
		assert.equal(text, "next", JSON.stringify(next));
	} finally {
		await own.stop();
	}
});

test("rollback takes the turn back; a second message meanwhile is refused", async () => {
	const own = await start({ set: [script(folder, [
		{ text: "a b c d e f g h i j k l", delay_ms: 500 },
	])] });
	try {
		const s = await scene(own);
		for await (const e of events(await stream(s, "count", {}, own))) {
			if (e.event !== "message_start")
				continue;
			const busy = await api(own, "POST",
				`/api/chat/sessions/${s.thread.id}`,
				{ token: s.token, body: { content: "and?", multitask: "reject" } });
			assert.equal(busy.status, 409);
			assert.equal(busy.body.code, "THREAD_BUSY");
			assert.equal(busy.body.active_run_id, e.data.run_id);
			await api(own, "POST", `/api/runs/${e.data.run_id}/cancel`,
				{ token: s.token, body: { action: "rollback", reason: "no" } });
		}
		const all = await messages(own, s);
		assert.ok(all.every((m) => m.state === "rolled_back"));
		assert.equal((await log(own, s)).at(-1).state, "rolled_back");
	} finally {
		await own.stop();
	}
});

test("an answer that is quicker than its reader is streamed whole", async () => {
	const own = await start({ set: [script(folder,
		Array.from({ length: 60 }, (_, i) => ({ text: `answer ${i}` })))] });
	try {
		const s = await scene(own);
		for (let i = 0; i < 60; i++) {
			let text = "";
			for await (const e of events(await stream(s, "go on", {}, own))) {
				if (e.event !== "message_delta")
					continue;
				assert.equal(e.data.offset, Buffer.byteLength(text));
				text += e.data.delta;
			}
			assert.equal(text, `answer ${i}`);
		}
	} finally {
		await own.stop();
	}
});

const NO_CAPACITY = { match: "hi", fail: { status: 503, message: "no capacity" } };

// All events, to where the stream is closed.
async function all(response) {
	assert.equal(response.status, 200);
	const list = [];
	for await (const e of events(response))
		list.push(e.data);
	return list;
}

test("a model that fails is asked again", async () => {
	const own = await start({ set: [script(folder,
		[NO_CAPACITY, NO_CAPACITY, { text: "better" }])] });
	try {
		const s = await scene(own);
		const seen = await all(await stream(s, "hi", {}, own));
		assert.deepEqual(seen.filter((e) => e.type === "run_status")
			.map((e) => e.state), ["running", "waiting_timer", "running",
			"waiting_timer", "running", "succeeded"]);
		assert.deepEqual((await messages(own, s)).map((m) => m.content),
			["hi", "better"]);
	} finally {
		await own.stop();
	}
});

test("one that goes on failing parks the run, and the stream is over", async () => {
	const own = await start({ set: ["models.tries=1",
		script(folder, [NO_CAPACITY, { text: "better" }])] });
	try {
		const s = await scene(own);
		const seen = await all(await stream(s, "hi", {}, own));
		const last = seen.at(-1);
		assert.equal(last.type, "run_status");
		assert.equal(last.state, "recoverable_error");
		assert.match(last.error.message, /no capacity/);
		const { body: run } = await api(own, "GET", `/api/runs/${last.run_id}`,
			{ token: s.token });
		assert.equal(run.status, "recoverable_error");
		assert.deepEqual(run.error, last.error);
		let text = "";
		for (const e of await all(await stream(s, "again", {}, own)))
			text += e.delta ?? "";
		assert.equal(text, "better");
		const { body: old } = await api(own, "GET", `/api/runs/${last.run_id}`,
			{ token: s.token });
		assert.equal(old.status, "cancelled");
		await log(own, s);
	} finally {
		await own.stop();
	}
});

test("a run that is resumed: its own stream goes on to its end", async () => {
	const own = await start({ set: ["models.tries=1",
		script(folder, [NO_CAPACITY, { text: "better" }])] });
	const more = { client_message_id: "once" };
	try {
		const s = await scene(own);
		const parked = await all(await stream(s, "hi", more, own));
		const { run_id } = parked.at(-1);
		// The same message again: the same stream, and it is over again.
		assert.deepEqual(await all(await stream(s, "hi", more, own)), parked);
		const states = [];
		for await (const { data } of events(await fetch(
			`${own.url}/api/runs/${run_id}/events`, { headers: {
				accept: "text/event-stream",
				authorization: `Bearer ${s.token}` } }))) {
			if (data.type !== "run_status")
				continue;
			states.push(data.state);
			if (data.state !== "recoverable_error")
				continue;
			const answer = await api(own, "POST", `/api/runs/${run_id}/resume`,
				{ token: s.token });
			assert.equal(answer.status, 202, JSON.stringify(answer.body));
		}
		assert.deepEqual(states,
			["running", "recoverable_error", "queued", "running", "succeeded"]);
		// Whoever asks for the whole of it now gets the whole of it.
		const whole = await all(await stream(s, "hi", more, own));
		assert.equal(whole.at(-1).state, "succeeded");
		assert.deepEqual(whole.filter((e) => e.seq), await log(own, s));
		const late = await api(own, "POST", `/api/runs/${run_id}/resume`,
			{ token: s.token });
		assert.equal(late.status, 409);
		assert.equal(late.body.code, "CONFLICT");
	} finally {
		await own.stop();
	}
});

test("Last-Event-ID resumes a stream without loss or doubling", async () => {
	const s = await scene(server);
	for await (const e of events(await stream(s, "What is 6 * 7?")))
		assert.ok(e);
	const all = await log(server, s);
	const run = all[0].run_id;
	for (const after of [0, 1, 4, all.length - 1]) {
		const response = await fetch(`${server.url}/api/runs/${run}/events`, {
			headers: {
				accept: "text/event-stream",
				authorization: `Bearer ${s.token}`,
				"last-event-id": String(after),
			},
		});
		const ids = [];
		for await (const e of events(response))
			if (e.id !== undefined)
				ids.push(Number(e.id));
		assert.deepEqual(ids,
			all.map((e) => e.run_seq).filter((id) => id > after));
	}
});
