// SPDX-License-Identifier: Apache-2.0
//
// A server that executes nothing beside workers: what is asked there is
// answered here, a stop reaches whoever works on the run, and a worker that
// dies, hangs or leaves is replaced.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { events, log, messages, newThread, scene, script } from "../support/chat.mjs";
import { lacksPostgres } from "../support/lacks.mjs";
import { rows } from "../support/rows.mjs";
import { api, ask, start, startWorker } from "../support/server.mjs";
import { pause, until } from "../support/wait.mjs";
import { connect } from "../support/ws.mjs";

const KILLS = 10;
const LEASE_MS = 6000; // a lease that decides takes longer; 3 s are promised
const PATIENCE_MS = 30000; // ten times what is promised
const SLOW = "plugins.llm_demo.delay=30";

const owner = (server, runId) => Number(ask(server,
	`SELECT COALESCE(owner_epoch, 0) FROM runs WHERE id = '${runId}'`));

test("on SQLite a worker says what it needs", () => {
	const data = mkdtempSync(join(tmpdir(), "agent-studio-"));
	const { status, stderr } = spawnSync(
		process.env.AGENT_STUDIO ?? "agent-studio",
		["worker", "--data", data], { encoding: "utf8", timeout: 20000 });
	rmSync(data, { recursive: true });
	assert.equal(status, 1);
	assert.match(stderr, /^agent-studio: a worker needs PostgreSQL/);
	assert.match(stderr, /worker\.embedded/);
});

test("alone with its database, a server survives a long sleep", {
	skip: process.env.AGENT_STUDIO_STORE === "postgres" }, async () => {
	const server = await start({ set: ["worker.lease=1s", "worker.beat=200ms"] });
	try {
		server.child.kill("SIGSTOP");
		await pause(2500);
		server.child.kill("SIGCONT");
		const s = await scene(server);
		const socket = await connect(server, s.thread.id, { token: s.token });
		await socket.type("snapshot");
		const lease = () => rows(server,
			"SELECT lease_expires_at AS at FROM nodes").at(-1).at;
		const seen = new Set();
		await until("several beats", () => seen.add(lease()).size > 3);
		socket.send({ type: "message", content: "hello" });
		assert.equal((await socket.end()).state, "succeeded");
		await socket.close();
	} finally {
		assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.log);
	}
});

describe("workers", { skip: lacksPostgres }, () => {
	let server, s, before_;
	const workers = [];

	async function hire(options = { set: [SLOW] }) {
		const worker = await startWorker(server, options);
		workers.push(worker);
		return worker;
	}

	async function say(content) {
		const thread = await newThread(server, s.person, s.agent.id);
		const socket = await connect(server, thread.id, { token: s.token });
		await socket.type("snapshot");
		socket.send({ type: "message", content });
		const { run_id } = await socket.until((f) => f.type === "run_status");
		return { ...s, thread, socket, run: run_id };
	}

	const claimed = (c) => until("a claim", () => owner(server, c.run));

	before(async () => {
		before_ = process.env.AGENT_STUDIO_STORE;
		process.env.AGENT_STUDIO_STORE = "postgres";
		server = await start({ set: ["worker.embedded=false"] });
		s = await scene(server);
	});
	after(async () => {
		for (const worker of workers) {
			if (worker.child.exitCode === null && worker.child.signalCode === null)
				await worker.stop();
			rmSync(worker.data, { recursive: true, force: true });
		}
		await server?.stop();
		if (before_ === undefined)
			delete process.env.AGENT_STUDIO_STORE;
	});

	test("a run that is parked there waits here, and goes on when told so", async () => {
		const folder = mkdtempSync(join(tmpdir(), "script-"));
		const own = await start({ set: ["worker.embedded=false"] });
		const worker = await startWorker(own, { set: ["models.tries=1",
			script(folder, [{ fail: { status: 503, message: "no capacity" } },
				{ text: "better" }])] });
		try {
			const who = await scene(own);
			const headers = { authorization: `Bearer ${who.token}`,
				accept: "text/event-stream", "content-type": "application/json" };
			let last;
			for await (const { data } of events(await fetch(
				`${own.url}/api/chat/interactive/stream`, { method: "POST", headers,
					body: JSON.stringify({ thread_id: who.thread.id, content: "hi" }) })))
				last = data;
			assert.equal(last.state, "recoverable_error", JSON.stringify(last));
			const path = `/api/runs/${last.run_id}`;
			const answer = await api(own, "POST", `${path}/resume`,
				{ token: who.token });
			assert.equal(answer.status, 202, JSON.stringify(answer.body));
			for await (const { data } of events(await fetch(
				`${own.url}${path}/events`, { headers })))
				last = data;
			assert.equal(last.state, "succeeded", JSON.stringify(last));
			assert.equal((await messages(own, who)).at(-1).content, "better");
		} finally {
			await worker.stop();
			await own.stop();
			rmSync(folder, { recursive: true });
		}
	});

	test("what is asked here is answered there", async () => {
		const c = await say("What is 6 * 7?");
		const stream = await fetch(`${server.url}/api/runs/${c.run}/events`, {
			headers: { authorization: `Bearer ${s.token}`,
				accept: "text/event-stream" } });
		assert.equal((await messages(server, c)).length, 1);
		const worker = await hire();
		assert.match(worker.output.at(-1), /^working as node epoch [1-9]\d*$/);
		assert.equal((await c.socket.end()).state, "succeeded");
		const seen = [];
		for await (const e of events(stream)) {
			seen.push(e.data);
			if (e.data.type === "run_status" && e.data.status === "end")
				break;
		}
		const entries = await log(server, c);
		assert.deepEqual(c.socket.frames.filter((f) => f.seq).map((f) => f.seq),
			entries.map((e) => e.seq));
		assert.deepEqual(seen.filter((f) => f.seq).map((f) => f.seq),
			entries.map((e) => e.seq));
		const stored = await messages(server, c);
		assert.equal(stored[2].content, "42");
		for (const frames of [c.socket.frames, seen])
			assert.equal(frames.filter((f) => f.type === "message_delta" &&
				f.message_id === stored[3].id).map((f) => f.delta).join(""),
			stored[3].content);
		await c.socket.close();
	});

	test("who waits for the next event gets it", async () => {
		const c = await say("hello");
		let after = 0, last;
		do {
			const { body } = await api(server, "GET",
				`/api/runs/${c.run}/events?wait=10&after=${after}`,
				{ token: s.token });
			last = body.items.at(-1);
			assert.ok(last, "nothing came");
			after = last.run_seq;
		} while (last.type !== "run_status" || last.status !== "end");
		assert.equal(last.state, "succeeded");
		await c.socket.close();
	});

	test("a stop reaches the worker", async () => {
		const slow = await hire({ set: ["plugins.llm_demo.delay=30s"] });
		await workers[0].stop();
		const c = await say("hello");
		assert.equal(await claimed(c), slow.epoch);
		await c.socket.type("message_start");
		const { status } = await api(server, "POST",
			`/api/runs/${c.run}/cancel`, { token: s.token });
		assert.equal(status, 202);
		// Sooner than the model would say its next word.
		assert.equal((await c.socket.end()).state, "cancelled");
		await c.socket.close();
		assert.deepEqual(await slow.stop(), { code: 0, signal: null }, slow.log);
	});

	test("who leaves hands back what he works on", async () => {
		const leaving = await hire();
		const c = await say("hello");
		assert.equal(await claimed(c), leaving.epoch);
		const staying = await hire();
		const stopped = leaving.stop();
		assert.equal(await until("a new owner", () => {
			const epoch = owner(server, c.run);
			return epoch !== leaving.epoch && epoch;
		}), staying.epoch);
		assert.deepEqual(await stopped, { code: 0, signal: null }, leaving.log);
		assert.equal((await c.socket.end()).state, "succeeded");
		// Nobody had to find out that it is gone.
		assert.ok((await log(server, c)).every((e) => e.reason !== "recovered"));
		await c.socket.close();
	});

	test("kill -9, again and again", async () => {
		const crew = [workers.at(-1), await hire()];
		const times = [];
		for (let i = 0; i < KILLS; i++) {
			const c = await say("hello");
			const epoch = await claimed(c);
			const dead = crew.findIndex((w) => w.epoch === epoch);
			assert.ok(dead >= 0, `owner ${epoch}`);
			const killed = Date.now();
			await crew[dead].kill9();
			assert.equal(await until("a takeover", () => {
				const now = owner(server, c.run);
				return now !== epoch && now;
			}), crew[1 - dead].epoch);
			times.push(Date.now() - killed);
			assert.equal((await c.socket.end()).state, "succeeded");
			const entries = await log(server, c);
			assert.equal(entries.filter((e) => e.type === "run_status" &&
				e.status === "end").length, 1);
			await c.socket.close();
			await crew[dead].restart();
		}
		console.log(`# takeover after kill -9, ms: ${times.join(" ")}`);
		// Some may be late because the machine is.
		const sorted = [...times].sort((a, b) => a - b);
		assert.ok(sorted[KILLS >> 1] < LEASE_MS, times.join(" "));
		assert.ok(sorted[KILLS - 1] < PATIENCE_MS, times.join(" "));
		for (const worker of crew)
			await worker.stop();
	});

	test("who takes his first run has said how he will be missed", async () => {
		const c = await say("hello");
		const worker = await hire();
		const epoch = await claimed(c);
		assert.equal(epoch, worker.epoch);
		assert.ok(Number(ask(server, "SELECT silence_us FROM nodes WHERE" +
			` node_epoch = ${epoch}`)) > 0);
		await worker.kill9();
		const next = await hire();
		assert.equal((await c.socket.end()).state, "succeeded");
		await c.socket.close();
		await next.stop();
	});

	test("without the lock the lease decides", async () => {
		const set = [SLOW, "worker.lock=false", "worker.lease=3s", "worker.beat=500ms"];
		const crew = [await hire({ set })];
		const c = await say("hello");
		assert.equal(await claimed(c), crew[0].epoch);
		crew.push(await hire({ set }));
		await crew[0].kill9();
		assert.equal(await until("a takeover", () => {
			const now = owner(server, c.run);
			return now !== crew[0].epoch && now;
		}), crew[1].epoch);
		assert.equal((await c.socket.end()).state, "succeeded");
		await c.socket.close();
		await crew[1].stop();
	});

	test("who slept through his lease ends, and harms nothing", async () => {
		const set = [SLOW, "worker.lease=3s", "worker.beat=500ms"];
		const crew = [await hire({ set })];
		const c = await say("hello");
		assert.equal(await claimed(c), crew[0].epoch);
		await c.socket.type("message_start");
		crew.push(await hire({ set }));
		crew[0].child.kill("SIGSTOP");
		assert.equal((await c.socket.end()).state, "succeeded");
		crew[0].child.kill("SIGCONT");
		assert.equal((await crew[0].exited).code, 1);
		assert.match(crew[0].log, /the lease of node epoch \d+ has run out/);
		const entries = await log(server, c);
		assert.equal(entries.filter((e) => e.type === "run_status" &&
			e.status === "end").length, 1);
		await c.socket.close();
		await crew[1].stop();
	});
});
