// SPDX-License-Identifier: Apache-2.0
//
// Two servers and workers on one PostgreSQL and one Redis: text is read live
// where it is not written, from its beginning and byte by byte, whoever dies;
// and what is told when Redis is lost.  Times are bounds for a loaded machine;
// what was measured is printed.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { events, log, messages, scene } from "../support/chat.mjs";
import { eventually, held, pause, PATIENCE_MS, startNodes, textOf, words }
	from "../support/nodes.mjs";
import { sign } from "../support/receiver.mjs";
import { startRedis } from "../support/redis.mjs";
import { api, signUp, start } from "../support/server.mjs";
import { connect } from "../support/ws.mjs";

const AT_ONCE_MS = 5000; // ten times what is expected
const BELLS = 10;
const RATE = 6;
const PASSWORD = "correct horse";
const postgres = process.env.TEST_POSTGRES_URL;

// Reads a thread until its run has ended, cut off and moved to the other server
// every now and then; each event once and in order, each text without a gap.
class Reader {
	constructor(c, servers, first, token) {
		Object.assign(this, { c, servers, token, turn: first, seq: 0,
			message: null, text: "", cuts: 0, resets: 0, deltas: 0 });
		this.joined = new Promise((resolve) => {
			this.onJoined = resolve;
		});
		this.began = new Promise((resolve) => {
			this.onBegan = resolve;
		});
	}

	async read() {
		const until = Date.now() + 4 * PATIENCE_MS;
		while (!this.ended) {
			assert.ok(Date.now() < until, `ends at ${this.seq}`);
			// What is open is sent from its beginning.
			this.text = this.message === null ? this.text : "";
			const socket = await connect(this.servers[this.turn++ % 2],
				this.c.thread.id, { token: this.token, after: this.seq });
			let left = this.cuts < 3 ? 20 + 15 * (this.turn % 3) : Infinity;
			try {
				while (!this.ended && left-- > 0)
					this.take(await socket.until(() => true));
				this.cuts++;
				socket.ws.terminate();
			} catch (error) {
				if (!socket.over || error.code === "ERR_ASSERTION")
					throw error;
			}
		}
		return { reader: this, text: this.text };
	}

	take(f) {
		if (f.seq) {
			assert.equal(f.seq, this.seq + 1, "an event twice, or none");
			this.seq = f.seq;
		}
		if (f.type === "ready")
			this.onJoined();
		if (f.type === "message_start" || f.type === "message_reset")
			[this.message, this.text] = [f.message_id, ""];
		this.resets += f.type === "message_reset" ? 1 : 0;
		if (f.type === "message_delta") {
			assert.equal(f.message_id, this.message);
			assert.equal(f.offset, Buffer.byteLength(this.text));
			this.text += f.delta;
			this.deltas++;
			this.onBegan();
		}
		if (f.type === "message_end") {
			assert.equal(Buffer.byteLength(this.text), f.length);
			this.message = null;
		}
		this.ended = f.type === "run_status" && f.status === "end";
	}
}

describe("two servers, workers and Redis", {
	skip: !postgres && "needs TEST_POSTGRES_URL" }, () => {
	let redis, nodes, stub, a, b, s;

	before(async () => {
		redis = await startRedis({ password: PASSWORD });
		nodes = await startNodes({ env: { REDIS_PASSWORD: PASSWORD },
			redis: [`redis.url=${redis.url}?db=2`,
				"redis.password=env:REDIS_PASSWORD"],
			set: ["redis.lost_after=2s", `webhooks.rate=${RATE}`], first: ["server.loops=2"] });
		({ stub, a, b, s } = nodes);
	});
	after(async () => {
		await nodes?.stop();
		await redis?.stop();
	});

	test("it is told what the bus is", async () => {
		assert.deepEqual(await nodes.realtime(b), { status: "ready",
			checks: { store: "ok", standby: "none", realtime: "ok" } });
		const socket = await connect(b, s.thread.id, { token: s.token });
		assert.equal((await socket.type("ready")).realtime, "redis");
		await socket.close();
	});

	test("text is live elsewhere, and who joins there has all of it", async () => {
		const worker = await nodes.hire();
		const c = await nodes.newTalk();
		const { hold, release } = held();
		const tokens = words(40);
		stub.script([{ tokens, hold_after: 20, hold }]);
		const first = await nodes.join(b, c);
		first.send({ type: "message", content: "tell me" });
		const half = tokens.slice(0, 20).join("");
		await nodes.reads(first, half);
		assert.equal((await messages(b, c)).length, 1);
		// Nobody has read there yet; then somebody has.
		for (const server of [a, a, b]) {
			const late = await nodes.join(server, c);
			const { partial } = late.frames.find((f) => f.type === "snapshot");
			assert.equal(partial.text, half);
			late.ws.terminate();
		}
		const joined = await nodes.join(a, c);
		const { seq } = first.frames.find((f) => f.type === "message_start");
		const resumed = await nodes.join(a, c, { after: seq });
		await nodes.reads(resumed, half);
		const sse = await fetch(`${a.url}/api/chat/sessions/${c.thread.id}` +
			"/events?after=0", { headers: { accept: "text/event-stream",
			authorization: `Bearer ${s.token}` } });
		const seen = [];
		const all = (async () => {
			for await (const { data } of events(sse)) {
				seen.push(data);
				if (data.type === "run_status" && data.status === "end")
					return;
			}
		})();
		await eventually("deltas by SSE",
			() => seen.some((f) => f.type === "message_delta"));
		release();
		for (const socket of [first, joined, resumed])
			assert.equal((await socket.end()).state, "succeeded");
		await all;
		const resumedFrames = [{ type: "message_start", attempt: 1,
			message_id: resumed.frames.find((f) => f.message_id).message_id },
		...resumed.frames];
		const answer = await nodes.same(c, [first, joined]);
		assert.equal(answer.content, tokens.join(""));
		assert.equal(textOf(resumedFrames, answer.id), answer.content);
		assert.equal(textOf(seen, answer.id), answer.content);
		await resumed.close();
		await nodes.fire(worker);
	});

	// By a socket, by an event stream, and by asking: the same message, empty.
	test("who joins before the first word knows which message begins", async () => {
		const worker = await nodes.hire();
		const c = await nodes.newTalk();
		const { hold, release } = held();
		const tokens = words(5);
		stub.script([{ tokens, hold_after: 0, hold }]);
		const first = await nodes.join(b, c);
		first.send({ type: "message", content: "tell me" });
		const { run_id, message_id, attempt, seq } =
			await first.type("message_start");
		const joined = [];
		for (const server of [a, b]) {
			const socket = await nodes.join(server, c);
			assert.deepEqual(socket.frames.find((f) => f.type === "snapshot")
				.partial, { run_id, message_id, attempt, offset: 0, text: "" });
			joined.push(socket);
			joined.push(await nodes.join(server, c, { after: seq }));
			assert.deepEqual((await log(server, c)).filter((e) => e.message_id)
				.map((e) => [e.type, e.message_id, e.attempt]),
			[["message_start", message_id, attempt]]);
		}
		const streams = await Promise.all([0, seq].map((cursor) =>
			fetch(`${a.url}/api/chat/sessions/${c.thread.id}/events?after=` +
				cursor, { headers: { accept: "text/event-stream",
				authorization: `Bearer ${s.token}` } })));
		release();
		for (const response of streams) {
			let text = "";
			for await (const { data } of events(response)) {
				if (data.type === "message_delta") {
					assert.equal(data.message_id, message_id);
					assert.equal(data.offset, Buffer.byteLength(text));
					text += data.delta;
				}
				if (data.type === "run_status" && data.status === "end")
					break;
			}
			assert.equal(text, tokens.join(""));
		}
		for (const socket of joined) {
			await socket.end();
			assert.equal(textOf([{ type: "message_start", message_id, attempt },
				...socket.frames], message_id), tokens.join(""));
			await socket.close();
		}
		await nodes.same(c, [first]);
		await nodes.fire(worker);
	});

	// Redis has thrown the text out: until its writer notices, who joins has
	// nothing to fetch; afterwards the text is live, long before its end.
	test("a text that is not there yet is asked for again", async () => {
		const worker = await nodes.hire();
		const c = await nodes.newTalk();
		const { hold, release } = held();
		const tokens = words(3000);
		stub.script([{ tokens, hold_after: 10, hold, delay_ms: 20 }]);
		const first = await nodes.join(b, c);
		first.send({ type: "message", content: "tell me" });
		const begun = tokens.slice(0, 10).join("");
		await nodes.reads(first, begun);
		const { run_id, message_id, attempt } =
			first.frames.find((f) => f.type === "message_start");
		const key = `agent-studio:t:${message_id}:${attempt}`;
		assert.equal(redis.ask("-n", "2", "DEL", key), "1");
		const joined = await nodes.join(a, c);
		assert.equal(joined.frames.find((f) => f.type === "snapshot")
			.partial.text, "");
		release();
		await nodes.reads(first, tokens.slice(0, 60).join(""));
		redis.ask("-n", "2", "SETRANGE", key, "0", begun);
		assert.equal((await joined.type("message_delta")).offset, 0);
		const { status } = await api(a, "POST", `/api/runs/${run_id}/cancel`,
			{ token: s.token, body: {} });
		assert.equal(status, 202);
		await Promise.all([first.end(), joined.end()]);
		await nodes.same(c, [first, joined]);
		await nodes.fire(worker);
	});

	test("a writer is killed in the middle", async () => {
		const one = await nodes.hire();
		const c = await nodes.newTalk();
		const tokens = words(30);
		stub.script([{ tokens: words(25, "löst"), hang_after: 10 }, { tokens }]);
		const sockets = [await nodes.join(a, c), await nodes.join(b, c)];
		sockets[0].send({ type: "message", content: "tell me" });
		for (const socket of sockets)
			await nodes.reads(socket, words(10, "löst").join(""));
		const two = await nodes.hire();
		await one.kill9();
		for (const socket of sockets) {
			await socket.type("message_reset");
			assert.equal((await socket.end()).state, "succeeded");
		}
		assert.equal((await nodes.same(c, sockets)).content, tokens.join(""));
		await nodes.fire(one);
		await nodes.fire(two);
	});

	test("Redis is killed in the middle, and comes back empty", async () => {
		const worker = await nodes.hire();
		const c = await nodes.newTalk();
		const { hold, release } = held();
		const tokens = words(150);
		stub.script([{ tokens, hold_after: 20, hold, delay_ms: 20 }]);
		const sockets = [await nodes.join(a, c), await nodes.join(b, c)];
		sockets[0].send({ type: "message", content: "tell me" });
		for (const socket of sockets)
			await nodes.reads(socket, tokens.slice(0, 20).join(""));
		const back = nodes.workersBack();
		await redis.kill();
		release();
		await pause(100); // some of it is said while it is away
		await redis.restart();
		await nodes.allUp();
		await back();
		for (const socket of sockets)
			assert.equal((await socket.end()).state, "succeeded");
		const answer = await nodes.same(c, sockets);
		assert.equal(answer.content, tokens.join(""));
		for (const { frames } of sockets) {
			const sizes = frames.filter((f) => f.type === "message_delta")
				.map((f) => Buffer.byteLength(f.delta));
			const live = sizes.slice(0, -1).reduce((x, y) => x + y, 0);
			console.log(`# ${sizes.length} deltas, ${live} of ` +
				`${Buffer.byteLength(answer.content)} bytes before the last`);
			assert.ok(sizes.length > 25, "all came with the message's end");
		}
		await nodes.fire(worker);
	});

	test("cut and moved again and again, while all else fails", async () => {
		const crew = [await nodes.hire(), await nodes.hire()];
		const talks = [];
		for (let i = 0; i < 4; i++) {
			const c = await nodes.newTalk();
			c.tokens = words(120, `talk ${i} wörd`);
			stub.script([{ tokens: c.tokens, delay_ms: 20, match: `run ${i}` },
				{ tokens: c.tokens, delay_ms: 20, match: `run ${i}` }]);
			talks.push(c);
		}
		const readers = talks.flatMap((c) => Array.from({ length: 5 },
			(_, i) => new Reader(c, [a, b], i, s.token)));
		const all = readers.map((r) => r.read());
		await Promise.all(readers.map((r) => r.joined));
		for (const [i, c] of talks.entries()) {
			const { status, body } = await api(a, "POST",
				`/api/chat/sessions/${c.thread.id}`,
				{ token: s.token, body: { content: `run ${i}` } });
			assert.equal(status, 202, JSON.stringify(body));
		}
		await Promise.all(readers.map((r) => r.began));
		await redis.kill();
		await redis.restart();
		await nodes.allUp();
		await crew[0].kill9();
		const stats = await Promise.all(all);
		let deltas = 0, cuts = 0, resets = 0;
		for (const { reader, text } of stats) {
			const answer = (await messages(b, reader.c)).at(-1);
			assert.equal(answer.content, reader.c.tokens.join(""));
			assert.equal(text, answer.content);
			deltas += reader.deltas;
			cuts += reader.cuts;
			resets += reader.resets;
		}
		console.log(`# ${readers.length} readers, ${cuts} cuts, ` +
			`${resets} resets, ${deltas} deltas: all texts equal`);
		assert.ok(cuts >= readers.length);
		for (const worker of crew)
			await nodes.fire(worker);
	});

	test("bells: work and stops are known at once", async () => {
		const worker = await nodes.hire();
		const starts = [], stops = [];
		for (let i = 0; i < BELLS; i++) {
			const c = await nodes.newTalk();
			const socket = await nodes.join(b, c);
			stub.script([{ tokens: words(20), hang_after: 5 }]);
			let began = performance.now();
			socket.send({ type: "message", content: "tell me" });
			const { run_id } = await socket.until((f) =>
				f.type === "run_status" && f.state === "running");
			starts.push(performance.now() - began);
			await socket.type("message_delta");
			began = performance.now();
			const { status } = await api(a, "POST",
				`/api/runs/${run_id}/cancel`, { token: s.token });
			assert.equal(status, 202);
			assert.equal((await socket.end()).state, "cancelled");
			stops.push(performance.now() - began);
			await socket.close();
		}
		for (const [what, times] of [["start", starts], ["stop", stops]]) {
			times.sort((x, y) => x - y);
			console.log(`# ${what}: median ${times[BELLS / 2].toFixed(0)} ms, ` +
				`worst ${times.at(-1).toFixed(0)} ms`);
			assert.ok(times.at(-1) < AT_ONCE_MS, `${what}: ${times}`);
		}
		await nodes.fire(worker);
	});

	test("who signs out here is cut off there", async () => {
		const { status, body } = await api(a, "POST", "/api/auth/login", {
			body: { email: s.person.email, password: s.person.password } });
		assert.equal(status, 200, JSON.stringify(body));
		const socket = await connect(b, s.thread.id,
			{ token: body.access_token });
		await socket.type("snapshot");
		const began = performance.now();
		const out = await api(a, "POST", "/api/auth/logout",
			{ token: body.access_token });
		assert.ok(out.status < 300, JSON.stringify(out.body));
		assert.equal((await socket.closed).code, 4401);
		console.log(`# cut off after ${(performance.now() - began).toFixed(0)} ms`);
	});

	test("guesses of a password are counted together", async () => {
		const person = await signUp(a);
		const guess = (server, password) => api(server, "POST",
			"/api/auth/login", { body: { email: person.email, password } });
		for (let i = 0; i < 10; i++)
			assert.equal((await guess(i % 2 ? a : b, "wrong")).status, 401);
		for (const server of [a, b]) {
			const { status, body } = await guess(server, person.password);
			assert.equal(status, 429, JSON.stringify(body));
		}
	});

	// Each for itself would take twice as many; who gets no answer of Redis in
	// time, on a loaded machine, goes by his own count.
	test("a trigger has one rate for all", async () => {
		const counts = [];
		do {
			const { status, body: t } = await api(a, "POST",
				`/api/agents/${s.agent.id}/triggers`,
				{ token: s.token, body: { task: "{{body}}" } });
			assert.equal(status, 201, JSON.stringify(t));
			let taken = 0;
			for (let i = 0; i < 2 * RATE; i++)
				taken += await fired(i % 2 ? a : b, t, `msg_${i}`) ? 1 : 0;
			counts.push(taken);
		} while (counts.at(-1) === 2 * RATE && counts.length < 5);
		console.log(`# taken of ${2 * RATE}: ${counts}`);
		assert.ok(counts.at(-1) >= RATE && counts.at(-1) < 2 * RATE);
	});

	// False: it comes too soon.
	async function fired(server, t, id) {
		const timestamp = Math.floor(Date.now() / 1000);
		const { status } = await fetch(server.url + t.path, {
			method: "POST", body: "one", headers: {
				"webhook-id": id, "webhook-timestamp": String(timestamp),
				"webhook-signature": sign(t.secret,
					{ id, timestamp, body: "one" }) } });
		assert.ok(status === 202 || status === 429, status);
		return status === 202;
	}
});

test("a password that is wrong", async () => {
	const redis = await startRedis({ password: PASSWORD });
	const server = await start({ env: { P: "wrong" }, set: [
		`redis.url=${redis.url}`, "redis.password=env:P",
		"redis.lost_after=100ms"] });
	try {
		await eventually("down", async () => (await api(server, "GET",
			"/readyz")).body.checks.realtime === "down");
		await eventually("why", () =>
			/redis: it refuses: WRONGPASS/.test(server.log));
		const s = await scene(server); // the API is there
		const refused = await connect(server, s.thread.id,
			{ token: s.token });
		assert.equal((await refused.closed).code, 1013);
	} finally {
		assert.deepEqual(await server.stop(), { code: 0, signal: null },
			server.log);
		await redis.stop();
	}
});

test("alone, it says so", async () => {
	const server = await start();
	const person = await scene(server);
	const socket = await connect(server, person.thread.id,
		{ token: person.token });
	assert.equal((await socket.type("ready")).realtime, "in_memory");
	await socket.close();
	assert.match(server.log, /realtime: in_memory/);
	await server.stop();
});
