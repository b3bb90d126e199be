// SPDX-License-Identifier: Apache-2.0
//
// Two servers and workers on one PostgreSQL and one Redis: text is read live
// where it is not written, from its beginning and byte by byte, whoever dies;
// and what is told when Redis is lost.  Times are bounds for a loaded machine;
// what was measured is printed.

import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { events, log, messages, newThread, scene } from "../support/chat.mjs";
import { startRedis } from "../support/redis.mjs";
import { api, start, startWorker } from "../support/server.mjs";
import { start as startStub } from "../support/stub_model.mjs";
import { connect } from "../support/ws.mjs";

const PATIENCE_MS = 30000;
const AT_ONCE_MS = 5000; // ten times what is expected
const BELLS = 10;
const PASSWORD = "correct horse";
const postgres = process.env.TEST_POSTGRES_URL;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function eventually(what, found) {
	for (const until = Date.now() + PATIENCE_MS; Date.now() < until;
		await pause(20)) {
		const value = await found();
		if (value)
			return value;
	}
	throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
}

// What a reader has of a message: partial, then deltas, each from where the
// last one ended; a reset begins anew.
function textOf(frames, id) {
	let text = Buffer.alloc(0), attempt = 0;
	for (const f of frames) {
		const p = f.type === "snapshot" ? f.partial : null;
		if (p?.message_id === id)
			[text, attempt] = [Buffer.from(p.text), p.attempt];
		if (f.message_id !== id)
			continue;
		if (f.type === "message_start" || f.type === "message_reset")
			[text, attempt] = [Buffer.alloc(0), f.attempt];
		if (f.type !== "message_delta")
			continue;
		assert.equal(f.attempt, attempt, "a delta of another attempt");
		assert.equal(f.offset, text.length, "a token twice, or none");
		text = Buffer.concat([text, Buffer.from(f.delta)]);
	}
	return text.toString();
}

const words = (n, word = "wörd") =>
	Array.from({ length: n }, (_, i) => `${word} ${i}, `);

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

function held() {
	let release;
	const hold = new Promise((resolve) => {
		release = resolve;
	});
	return { hold, release };
}

describe("two servers, workers and Redis", {
	skip: !postgres && "needs TEST_POSTGRES_URL" }, () => {
	let redis, stub, a, b, s, folder, before_, settings;
	const env = { REDIS_PASSWORD: PASSWORD, OPENAI_API_KEY: "sesame" };
	const workers = [];

	async function hire(more = []) {
		const worker = await startWorker(a, { env,
			set: [...settings, "worker.poll=10m", ...more] });
		workers.push(worker);
		return worker;
	}

	async function fire(worker) {
		workers.splice(workers.indexOf(worker), 1);
		const { child } = worker;
		if (child.exitCode === null && child.signalCode === null)
			assert.deepEqual(await worker.stop(),
				{ code: 0, signal: null }, worker.log);
		rmSync(worker.data, { recursive: true, force: true });
	}

	const newTalk = async () => ({ ...s,
		thread: await newThread(a, s.person, s.agent.id) });

	async function join_(server, c, options = {}) {
		const socket = await connect(server, c.thread.id,
			{ token: s.token, ...options });
		await socket.type(options.after === undefined ? "snapshot" : "ready");
		return socket;
	}

	// A delta that reaches as far.
	const reads = (socket, text) => socket.until((f) =>
		f.type === "message_delta" && f.offset + Buffer.byteLength(f.delta) >=
			Buffer.byteLength(text), `text up to ${Buffer.byteLength(text)}`);

	const realtime = async (server) =>
		(await api(server, "GET", "/readyz")).body;

	const allUp = () => eventually("Redis everywhere", async () => {
		for (const server of [a, b])
			if ((await realtime(server)).checks.realtime !== "ok")
				return false;
		return true;
	});

	// What each has read is what is stored; the answer.
	async function same(c, sockets) {
		const entries = await log(a, c);
		const answer = (await messages(a, c)).at(-1);
		assert.equal(answer.role, "assistant");
		for (const socket of sockets) {
			assert.equal(textOf(socket.frames, answer.id), answer.content);
			const seqs = socket.frames.filter((f) => f.seq).map((f) => f.seq);
			assert.deepEqual(seqs, entries.map((e) => e.seq)
				.filter((n) => n >= seqs[0]));
			await socket.close();
		}
		return answer;
	}

	before(async () => {
		before_ = process.env.AGENT_STUDIO_STORE;
		process.env.AGENT_STUDIO_STORE = "postgres";
		redis = await startRedis({ password: PASSWORD });
		stub = await startStub({ key: "sesame" });
		settings = [`redis.url=${redis.url}?db=2`,
			"redis.password=env:REDIS_PASSWORD",
			`plugins.llm_openai.base_url=${stub.url}/v1`,
			"plugins.llm_openai.default_model=stub"];
		const set = [...settings, "worker.embedded=false", "redis.lost_after=2s"];
		a = await start({ set: [...set, "server.loops=2"], env });
		folder = mkdtempSync(join(tmpdir(), "agent-studio-"));
		for (const key of ["access.key", "sealing.key"])
			copyFileSync(join(a.data, key), join(folder, key));
		b = await start({ set, env, data: folder, database: a.database });
		s = await scene(a, { model_name: "openai/stub" });
		await allUp();
	});
	after(async () => {
		for (const worker of [...workers])
			await fire(worker);
		for (const server of [b, a])
			assert.deepEqual(await server?.stop(), { code: 0, signal: null },
				server?.log);
		await redis?.stop();
		stub?.stop();
		rmSync(folder, { recursive: true, force: true });
		if (before_ === undefined)
			delete process.env.AGENT_STUDIO_STORE;
		else
			process.env.AGENT_STUDIO_STORE = before_;
	});

	test("it is told what the bus is", async () => {
		assert.deepEqual(await realtime(b), { status: "ready",
			checks: { store: "ok", realtime: "ok" } });
		const socket = await connect(b, s.thread.id, { token: s.token });
		assert.equal((await socket.type("ready")).realtime, "redis");
		await socket.close();
	});

	test("text is live elsewhere, and who joins there has all of it", async () => {
		const worker = await hire();
		const c = await newTalk();
		const { hold, release } = held();
		const tokens = words(40);
		stub.script([{ tokens, hold_after: 20, hold }]);
		const first = await join_(b, c);
		first.send({ type: "message", content: "tell me" });
		const half = tokens.slice(0, 20).join("");
		await reads(first, half);
		assert.equal((await messages(b, c)).length, 1);
		// Nobody has read there yet; then somebody has.
		for (const server of [a, a, b]) {
			const late = await join_(server, c);
			const { partial } = late.frames.find((f) => f.type === "snapshot");
			assert.equal(partial.text, half);
			late.ws.terminate();
		}
		const joined = await join_(a, c);
		const { seq } = first.frames.find((f) => f.type === "message_start");
		const resumed = await join_(a, c, { after: seq });
		await reads(resumed, half);
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
		const answer = await same(c, [first, joined]);
		assert.equal(answer.content, tokens.join(""));
		assert.equal(textOf(resumedFrames, answer.id), answer.content);
		assert.equal(textOf(seen, answer.id), answer.content);
		await resumed.close();
		await fire(worker);
	});

	test("a writer is killed in the middle", async () => {
		const one = await hire();
		const c = await newTalk();
		const tokens = words(30);
		stub.script([{ tokens: words(25, "löst"), hang_after: 10 }, { tokens }]);
		const sockets = [await join_(a, c), await join_(b, c)];
		sockets[0].send({ type: "message", content: "tell me" });
		for (const socket of sockets)
			await reads(socket, words(10, "löst").join(""));
		const two = await hire();
		await one.kill9();
		for (const socket of sockets) {
			await socket.type("message_reset");
			assert.equal((await socket.end()).state, "succeeded");
		}
		assert.equal((await same(c, sockets)).content, tokens.join(""));
		await fire(one);
		await fire(two);
	});

	test("Redis is killed in the middle, and comes back empty", async () => {
		const worker = await hire();
		const c = await newTalk();
		const { hold, release } = held();
		const tokens = words(150);
		stub.script([{ tokens, hold_after: 20, hold, delay_ms: 20 }]);
		const sockets = [await join_(a, c), await join_(b, c)];
		sockets[0].send({ type: "message", content: "tell me" });
		for (const socket of sockets)
			await reads(socket, tokens.slice(0, 20).join(""));
		await redis.kill();
		release();
		await pause(100); // some of it is said while it is away
		await redis.restart();
		await allUp();
		for (const socket of sockets)
			assert.equal((await socket.end()).state, "succeeded");
		const answer = await same(c, sockets);
		assert.equal(answer.content, tokens.join(""));
		for (const { frames } of sockets) {
			const sizes = frames.filter((f) => f.type === "message_delta")
				.map((f) => Buffer.byteLength(f.delta));
			const live = sizes.slice(0, -1).reduce((x, y) => x + y, 0);
			console.log(`# ${sizes.length} deltas, ${live} of ` +
				`${Buffer.byteLength(answer.content)} bytes before the last`);
			assert.ok(sizes.length > 25, "all came with the message's end");
		}
		await fire(worker);
	});

	test("cut and moved again and again, while all else fails", async () => {
		const crew = [await hire(), await hire()];
		const talks = [];
		for (let i = 0; i < 4; i++) {
			const c = await newTalk();
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
		await allUp();
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
			await fire(worker);
	});

	test("bells: work and stops are known at once", async () => {
		const worker = await hire();
		const starts = [], stops = [];
		for (let i = 0; i < BELLS; i++) {
			const c = await newTalk();
			const socket = await join_(b, c);
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
		await fire(worker);
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

	test("without Redis: no sockets, everything else", async () => {
		const worker = await hire(["worker.poll=200ms"]);
		const c = await newTalk();
		const sockets = [await join_(a, c), await join_(b, c)];
		await redis.kill();
		const began = performance.now();
		for (const socket of sockets) {
			const told = await socket.type("error");
			assert.equal(told.code, "REALTIME_UNAVAILABLE");
			assert.ok(told.retry_after >= 1);
			assert.equal((await socket.closed).code, 1013);
		}
		const ms = performance.now() - began;
		console.log(`# told after ${ms.toFixed(0)} ms, 2,000 of them grace`);
		assert.ok(ms < 20000);
		const fresh = await connect(b, c.thread.id, { token: s.token });
		assert.equal((await fresh.type("error")).code, "REALTIME_UNAVAILABLE");
		assert.equal((await fresh.closed).code, 1013);
		assert.ok(!fresh.frames.some((f) => f.type === "snapshot"));
		const ready = await api(b, "GET", "/readyz");
		assert.equal(ready.status, 200);
		assert.deepEqual(ready.body, { status: "degraded",
			checks: { store: "ok", realtime: "down" } });
		const metrics = await (await fetch(`${b.url}/metrics`)).text();
		assert.match(metrics, /^agent_studio_redis_up\{link="0"\} 0$/m);
		// A run goes on, and is read by long polling.
		stub.script([{ tokens: words(10) }]);
		const sent = await api(a, "POST",
			`/api/chat/sessions/${c.thread.id}`,
			{ token: s.token, body: { content: "still there?" } });
		assert.equal(sent.status, 202, JSON.stringify(sent.body));
		let seq = 0, last;
		do {
			const { body } = await api(b, "GET",
				`/api/runs/${sent.body.run.id}/events?wait=20&after=${seq}`,
				{ token: s.token });
			last = body.items.at(-1);
			assert.ok(last, "nothing came");
			seq = last.run_seq;
		} while (last.status !== "end");
		assert.equal(last.state, "succeeded");
		// It comes back by itself.
		await redis.restart();
		await allUp();
		const again = await join_(b, c);
		stub.script([{ tokens: words(12) }]);
		again.send({ type: "message", content: "and now?" });
		assert.equal((await again.end()).state, "succeeded");
		await same(c, [again]);
		await fire(worker);
	});
});

test("a password that is wrong, and a Redis that hangs", async () => {
	const redis = await startRedis({ password: PASSWORD });
	const begin = (P) => start({ env: { P }, set: [`redis.url=${redis.url}`,
		"redis.password=env:P", "redis.lost_after=100ms"] });
	const servers = [await begin("wrong"), await begin(PASSWORD)];
	const realtime = (server, what) => eventually(what, async () =>
		(await api(server, "GET", "/readyz")).body.checks.realtime === what);
	try {
		await realtime(servers[0], "down");
		assert.match(servers[0].log, /redis: it refuses: WRONGPASS/);
		const s = await scene(servers[0]); // the API is there
		const refused = await connect(servers[0], s.thread.id,
			{ token: s.token });
		assert.equal((await refused.closed).code, 1013);
		await realtime(servers[1], "ok");
		const t = await scene(servers[1]);
		const socket = await connect(servers[1], t.thread.id,
			{ token: t.token });
		await socket.type("snapshot");
		redis.pause();
		const began = performance.now();
		assert.equal((await socket.type("error")).code,
			"REALTIME_UNAVAILABLE");
		assert.equal((await socket.closed).code, 1013);
		console.log("# a server that hangs was noticed after " +
			`${(performance.now() - began).toFixed(0)} ms`);
		redis.go();
		await realtime(servers[1], "ok");
	} finally {
		redis.go();
		for (const server of servers)
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
