// SPDX-License-Identifier: Apache-2.0
// /ws/chat/{thread_id}/ with a client library that nobody here wrote.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { log, messages, scene, script } from "../support/chat.mjs";
import { api, signUp, start } from "../support/server.mjs";
import { connect, Socket } from "../support/ws.mjs";

const folder = mkdtempSync(join(tmpdir(), "script-"));
let server, slow;

before(async () => {
	server = await start({ set: ["server.sockets_per_user=3"] });
	slow = await start({ set: [script(folder, [
		{ text: "one two three four five six seven eight nine ten", delay_ms: 300 },
		{ text: "short" },
	])] });
});
after(async () => {
	await server?.stop();
	await slow?.stop();
	rmSync(folder, { recursive: true });
});

test("authorised by token: snapshot, message, tokens, end", async () => {
	const s = await scene(server);
	const socket = await connect(server, s.thread.id, { token: s.token });
	const ready = await socket.type("ready");
	assert.deepEqual(ready, { v: 1, type: "ready", thread_id: s.thread.id, head_seq: 0, realtime: "in_memory" });
	const snapshot = await socket.type("snapshot");
	assert.deepEqual(snapshot, { v: 1, type: "snapshot", snapshot_seq: 0,
		messages: [], run: null, open_requests: [], partial: null,
		subagent_partials: [] });
	socket.send({ type: "message", content: "12 * 12?", client_message_id: "m1" });
	const mine = await socket.type("message_created");
	assert.equal(mine.message.client_message_id, "m1");
	const call = await socket.type("tool_call");
	assert.deepEqual(call.args, { expression: "12 * 12" });
	const result = await socket.type("tool_result");
	assert.equal(result.tool_call_id, call.tool_call_id);
	assert.equal(result.outcome, "succeeded");
	await socket.end();
	const text = socket.frames.filter((f) => f.type === "message_delta")
		.map((f) => f.delta).join("");
	assert.equal(text, (await messages(server, s)).at(-1).content);
	const seqs = socket.frames.filter((f) => f.seq).map((f) => f.seq);
	assert.deepEqual(seqs, seqs.map((_, i) => i + 1));
	socket.send({ type: "ping" });
	assert.deepEqual(await socket.type("pong"), { v: 1, type: "pong" });
	assert.equal((await socket.close()).code, 1005);
});

test("by cookie, by first message, and by nothing in time", async () => {
	const s = await scene(server);
	const byCookie = await connect(server, s.thread.id, { cookie: s.person.cookie });
	await byCookie.type("ready");
	const byMessage = await connect(server, s.thread.id);
	byMessage.send({ type: "auth", token: s.token });
	await byMessage.type("ready");
	byMessage.send({ type: "auth", token: s.token }); // renewal is harmless
	byMessage.send({ type: "ping" });
	await byMessage.type("pong");
	const wrong = await connect(server, s.thread.id);
	wrong.send({ type: "auth", token: "nonsense" });
	assert.equal((await wrong.closed).code, 4401);
	const early = await connect(server, s.thread.id);
	early.send({ type: "message", content: "hi" });
	assert.equal((await early.closed).code, 4401);
	await byCookie.close();
	await byMessage.close();
});

test("a session that ends takes its sockets and streams along", async () => {
	const s = await scene(server);
	const logIn = async () => (await api(server, "POST", "/api/auth/login", {
		body: { email: s.person.email, password: s.person.password },
	})).body.access_token;
	const kept = await logIn();
	const ending = await connect(server, s.thread.id, { token: s.token });
	const staying = await connect(server, s.thread.id, { token: kept });
	await ending.type("snapshot");
	await staying.type("snapshot");
	const events = await fetch(
		`${server.url}/api/chat/sessions/${s.thread.id}/events`, { headers: {
			accept: "text/event-stream", authorization: `Bearer ${s.token}` } });
	assert.equal(events.status, 200);
	await api(server, "POST", "/api/auth/logout", { token: s.token });
	assert.deepEqual(await ending.closed,
		{ code: 4401, reason: "the session has ended" });
	await events.text(); // comes to its end

	const other = await connect(server, s.thread.id, { token: await logIn() });
	await other.type("snapshot");
	const changed = await api(server, "PATCH", "/api/auth/me", { token: kept,
		body: { password: "another horse battery",
			current_password: s.person.password } });
	assert.equal(changed.status, 200, JSON.stringify(changed.body));
	assert.equal((await other.closed).code, 4401);
	staying.send({ type: "ping" });
	await staying.type("pong");
	await staying.close();
});

test("another origin's page is refused", async () => {
	const s = await scene(server);
	await assert.rejects(connect(server, s.thread.id,
		{ cookie: s.person.cookie, headers: { origin: "https://evil.example" } }),
	/403/);
});

test("threads of others and threads that are not", async () => {
	const s = await scene(server);
	const stranger = await signUp(server);
	for (const id of [s.thread.id, "01890000-0000-7000-8000-000000000000"]) {
		const socket = await connect(server, id, { token: stranger.token });
		assert.equal((await socket.closed).code, 4404);
	}
	await assert.rejects(connect(server, "not-an-id", { token: s.token }), /404/);
});

test("frames that are refused leave the socket open", async () => {
	const s = await scene(server);
	const socket = await connect(server, s.thread.id, { token: s.token });
	await socket.type("snapshot");
	const cases = [
		[{ type: "message", client_message_id: "x" }, "VALIDATION_FAILED"],
		[{ type: "message", content: "" }, "VALIDATION_FAILED"],
		[{ type: "message", content: "a\u0000b" }, "VALIDATION_FAILED"],
		[{ type: "sing" }, "VALIDATION_FAILED"],
		[{}, "VALIDATION_FAILED"],
		[{ type: "message", content: "x", client_message_id: "a\u0000b" },
			"VALIDATION_FAILED"],
		[{ type: "cancel" }, "VALIDATION_FAILED"],
		[{ type: "cancel", run_id: "01890000-0000-7000-8000-000000000000",
			reason: "x".repeat(501) }, "VALIDATION_FAILED"],
		[{ type: "cancel", run_id: "01890000-0000-7000-8000-000000000000" }, "NOT_FOUND"],
		[{ type: "resume", after_seq: 5 }, "CURSOR_AHEAD"],
		[{ type: "resume" }, "VALIDATION_FAILED"],
	];
	for (const [frame, code] of cases) {
		socket.send(frame);
		const answer = await socket.type("error");
		assert.equal(answer.code, code, JSON.stringify(frame));
		assert.equal(answer.client_message_id,
			frame.client_message_id === "x" ? "x" : null);
	}
	assert.deepEqual(await messages(server, s), []);
	socket.send("{not json");
	assert.equal((await socket.closed).code, 1008);
	const huge = await connect(server, s.thread.id, { token: s.token });
	huge.send("x".repeat(4 * 1024 * 1024));
	assert.equal((await huge.closed).code, 1009);
});

test("too many sockets of one person", async () => {
	const s = await scene(server);
	const open = [];
	for (let i = 0; i < 3; i++) {
		open.push(await connect(server, s.thread.id, { token: s.token }));
		await open[i].type("ready");
	}
	const more = await connect(server, s.thread.id, { token: s.token });
	assert.equal((await more.closed).code, 4029);
	for (const socket of open)
		await socket.close();
});

test("joining, dropping and coming back: every reader ends with the same bytes", async () => {
	const s = await scene(slow);
	const first = await connect(slow, s.thread.id, { token: s.token });
	await first.type("snapshot");
	first.send({ type: "message", content: "count" });
	await first.until((f) => f.delta?.includes("three"));
	const cursor = Math.max(...first.frames.map((f) => f.seq ?? 0));
	first.ws.terminate();
	// One joins without a cursor in the middle, one comes back with it.
	const joined = await connect(slow, s.thread.id, { token: s.token });
	const back = await connect(slow, s.thread.id, { token: s.token, after: cursor });
	const snapshot = await joined.type("snapshot");
	assert.equal(snapshot.run.status, "running");
	assert.match(snapshot.partial.text, /^one two three/);
	await back.type("ready");
	await joined.end();
	await back.end();
	const stored = (await messages(slow, s)).at(-1).content;
	const put = (bytes, f) => {
		const piece = Buffer.from(f.delta);
		assert.ok(f.offset <= bytes.length, "a hole in the text");
		return Buffer.concat([bytes.subarray(0, f.offset), piece]);
	};
	const rest = joined.frames.filter((f) => f.type === "message_delta")
		.reduce(put, Buffer.from(snapshot.partial.text));
	assert.equal(rest.toString(), stored);
	const whole = back.frames.filter((f) => f.type === "message_delta")
		.reduce(put, Buffer.alloc(0));
	assert.equal(whole.toString(), stored);
	assert.equal(back.frames.find((f) => f.seq).seq, cursor + 1);
	// A resume on the open socket sends the tail anew.
	back.send({ type: "resume", after_seq: 0 });
	await back.until((f) => f.seq === 1);
	await back.end();
	const seqs = back.frames.slice(back.frames.findIndex((f) => f.seq === 1))
		.filter((f) => f.seq).map((f) => f.seq);
	assert.deepEqual(seqs, (await log(slow, s)).map((e) => e.seq));
	await joined.close();
	await back.close();
});

test("a cursor in one breath with the token", async () => {
	const s = await scene(server);
	const first = await connect(server, s.thread.id, { token: s.token });
	first.send({ type: "message", content: "hello" });
	await first.end();
	await first.close();
	const socket = new Socket(`${server.url.replace("http", "ws")}/ws/chat/` +
		`${s.thread.id}/`);
	await socket.opened;
	socket.ws._socket.cork();
	socket.send({ type: "auth", token: s.token });
	socket.send({ type: "resume", after_seq: 2 });
	socket.ws._socket.uncork();
	assert.equal((await socket.until((f) => f.seq > 0)).seq, 3);
	await socket.end();
	await socket.close();
});

test("cancel over the socket", async () => {
	const s = await scene(slow);
	const socket = await connect(slow, s.thread.id, { token: s.token });
	await socket.type("snapshot");
	socket.send({ type: "message", content: "count" });
	const delta = await socket.until((f) => f.delta?.includes("two"));
	socket.send({ type: "message", content: "too early", client_message_id: "e",
		multitask: "reject" });
	const busy = await socket.type("error");
	assert.equal(busy.code, "THREAD_BUSY");
	assert.equal(busy.active_run_id, delta.run_id);
	socket.send({ type: "cancel", run_id: delta.run_id });
	const end = await socket.end();
	assert.equal(end.state, "cancelled");
	socket.send({ type: "message", content: "again" });
	assert.equal((await socket.end()).state, "succeeded");
	await socket.close();
});

test("a stop says goodbye", async () => {
	const own = await start();
	const s = await scene(own);
	const socket = await connect(own, s.thread.id, { token: s.token });
	await socket.type("snapshot");
	const ended = own.stop();
	assert.equal((await socket.closed).code, 1001);
	assert.deepEqual(await ended, { code: 0, signal: null });
});
