// SPDX-License-Identifier: Apache-2.0
//
// Redis is lost, in each of the ways in which it can be: sockets are told, and
// new ones, too; readiness says so; runs go on and are read by long polling;
// when it is back, sockets read on where they were.  Two servers and a worker
// on one PostgreSQL.  Times are bounds for a loaded machine, ten times what is
// promised; what was measured is printed.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { events, log, messages } from "../support/chat.mjs";
import { lacksPostgres } from "../support/lacks.mjs";
import { startNodes, textOf, words } from "../support/nodes.mjs";
import { startRedis, startWay } from "../support/redis.mjs";
import { api } from "../support/server.mjs";
import { held, until } from "../support/wait.mjs";
import { connect } from "../support/ws.mjs";

const TOLD_MS = 20000;
const AT_ONCE_MS = 5000;
const ITEMS = 6;

describe("Redis is lost", { skip: lacksPostgres }, () => {
	let redis, way, nodes, worker, servers;

	before(async () => {
		redis = await startRedis();
		way = await startWay(redis);
		nodes = await startNodes({ redis: [`redis.url=${way.url}`] });
		servers = [nodes.a, nodes.b];
		worker = await nodes.hire(["worker.poll=200ms", "models.tries=1"]);
	});
	after(async () => {
		redis?.go();
		way?.open();
		if (worker)
			await nodes.fire(worker);
		await nodes?.stop();
		await way?.stop();
		await redis?.stop();
	});

	async function toldAndClosed(socket) {
		const told = await socket.type("error");
		assert.equal(told.code, "REALTIME_UNAVAILABLE");
		assert.ok(told.retry_after >= 1);
		assert.equal((await socket.closed).code, 1013);
	}

	// All events of a run, by long polling, until its end.
	async function polled(server, runId) {
		const items = [];
		while (items.at(-1)?.status !== "end") {
			const { status, body } = await api(server, "GET",
				`/api/runs/${runId}/events?wait=20&after=` +
				`${items.at(-1)?.run_seq ?? 0}`, { token: nodes.s.token });
			assert.equal(status, 200, JSON.stringify(body));
			assert.ok(body.items.length > 0, "nothing came");
			items.push(...body.items);
		}
		assert.equal(items.at(-1).state, "succeeded");
		assert.deepEqual(items.map((e) => e.run_seq),
			items.map((_, i) => items[0].run_seq + i));
		return items;
	}

	async function send(server, c, content) {
		const { status, body } = await api(server, "POST",
			`/api/chat/sessions/${c.thread.id}`,
			{ token: nodes.s.token, body: { content } });
		assert.equal(status, 202, JSON.stringify(body));
		return body.run.id;
	}

	async function isDown() {
		for (const server of servers) {
			const ready = await api(server, "GET", "/readyz");
			assert.equal(ready.status, 200);
			assert.deepEqual(ready.body, { status: "degraded",
				checks: { store: "ok", standby: "none", realtime: "down" } });
			const fresh = await connect(server, nodes.s.thread.id,
				{ token: nodes.s.token });
			await toldAndClosed(fresh);
			assert.ok(!fresh.frames.some((f) => f.type === "snapshot"));
		}
		const metrics = await (await fetch(`${nodes.b.url}/metrics`)).text();
		assert.match(metrics, /^agent_studio_redis_up\{link="0"\} 0$/m);
	}

	async function drill(lose, restore) {
		const c = await nodes.newTalk(), tokens = words(60);
		const { hold, release } = held();
		nodes.stub.script([{ tokens, hold_after: 20, hold, match: "one" }]);
		const sockets = [];
		for (const server of servers)
			sockets.push(await nodes.join(server, c));
		sockets[0].send({ type: "message", content: "one" });
		for (const socket of sockets)
			await nodes.reads(socket, tokens.slice(0, 20).join(""));
		const { run_id: runId } = sockets[1].frames.find((f) =>
			f.type === "message_start");

		const from = worker.log.length;
		const says = (what) => until(what, () =>
			worker.log.slice(from).includes(what));
		await lose();
		const began = performance.now();
		await Promise.all(sockets.map(toldAndClosed));
		const ms = performance.now() - began;
		console.log(`# told and closed after ${ms.toFixed(0)} ms`);
		assert.ok(ms < TOLD_MS);
		await isDown();

		// What is under way ends, and so does what begins now.
		const waiting = servers.map((server) => polled(server, runId));
		release();
		const [first, second] = await Promise.all(waiting);
		assert.deepEqual(first, second);
		const other = await nodes.newTalk();
		nodes.stub.script([{ tokens: words(10), match: "meanwhile" }]);
		await polled(nodes.b, await send(nodes.a, other, "meanwhile"));
		assert.equal((await messages(nodes.b, other)).at(-1).content,
			words(10).join(""));

		await says("redis is lost");
		await restore();
		await nodes.allUp();
		await says("redis is back");
		for (const [i, server] of servers.entries()) {
			const seq = Math.max(...sockets[i].frames.map((f) => f.seq ?? 0));
			const again = await nodes.join(server, c, { after: seq });
			assert.equal((await again.end()).state, "succeeded");
			const answer = (await messages(server, c)).at(-1);
			assert.equal(answer.content, tokens.join(""));
			assert.equal(textOf([{ type: "message_start", attempt: 1,
				message_id: answer.id }, ...again.frames], answer.id),
			answer.content);
			assert.deepEqual([...sockets[i].frames, ...again.frames]
				.filter((f) => f.seq).map((f) => f.seq),
			(await log(server, c)).map((e) => e.seq).filter((n) =>
				n >= sockets[i].frames.find((f) => f.seq).seq));
			await again.close();
		}
		await live();
	}

	// Text flows from the worker to both.
	async function live() {
		const c = await nodes.newTalk();
		const sockets = [];
		for (const server of servers)
			sockets.push(await nodes.join(server, c));
		nodes.stub.script([{ tokens: words(40), delay_ms: 10, match: "live" }]);
		await send(nodes.a, c, "live");
		for (const socket of sockets) {
			assert.equal((await socket.end()).state, "succeeded");
			assert.ok(socket.frames.filter((f) =>
				f.type === "message_delta").length >= 5, "it is not live");
		}
		await nodes.same(c, sockets);
	}

	test("it is killed", () =>
		drill(() => redis.kill(), () => redis.restart()));

	test("it hangs", () =>
		drill(async () => redis.pause(), async () => redis.go()));

	test("nothing comes through", () =>
		drill(async () => way.shut(), async () => way.open()));

	test("an item of the inbox rings where its owner is", async () => {
		const end = new AbortController();
		const response = await fetch(`${nodes.b.url}/api/inbox/events`, {
			headers: { accept: "text/event-stream",
				authorization: `Bearer ${nodes.s.token}` },
			signal: end.signal });
		assert.equal(response.status, 200);
		const frames = events(response);
		assert.equal((await frames.next()).value.event, "ready");
		const received = async () => Number(/^agent_studio_bus_received_total (\d+)/m
			.exec(await (await fetch(`${nodes.b.url}/metrics`)).text())[1]);
		const times = [];
		for (let i = 0; i < ITEMS; i++) {
			const c = await nodes.newTalk(), before = await received();
			nodes.stub.script([{ status: 400, match: "fails" }]);
			const began = performance.now();
			const runId = await send(nodes.a, c, "fails");
			let { event, data } = (await frames.next()).value;
			// Counts that were read just before the last item came.
			if (event === "inbox_counts")
				({ event, data } = (await frames.next()).value);
			times.push(performance.now() - began);
			assert.equal(event, "inbox_item");
			assert.equal(data.item.run_id, runId);
			assert.ok(await received() > before, "no bell was heard");
		}
		times.sort((x, y) => x - y);
		console.log(`# from the message to the bell: median ` +
			`${times[ITEMS / 2].toFixed(0)} ms`);
		assert.ok(times.at(-1) < AT_ONCE_MS);
		end.abort();
	});

	test("calls of all are counted together, and all stay away", async () => {
		const other = await nodes.hire(["worker.poll=200ms",
			"models.tries=1"]);
		const parked = async () => {
			const c = await nodes.newTalk();
			const runId = await send(nodes.a, c, "breaks");
			let items = [];
			while (items.at(-1)?.state !== "recoverable_error") {
				const { body } = await api(nodes.b, "GET",
					`/api/runs/${runId}/events?wait=20&after=` +
					`${items.at(-1)?.run_seq ?? 0}`, { token: nodes.s.token });
				items = body.items;
				assert.ok(items.length > 0, "nothing came");
			}
			return JSON.stringify(items);
		};
		const turn = { status: 500, match: "breaks" };
		nodes.stub.script(Array.from({ length: 60 }, () => turn));
		const calls = () => nodes.stub.count("requests");
		const before = calls();
		// Fewer than twenty by each, as a rule.
		while (!(await Promise.all([parked(), parked()]))
			.some((text) => /left alone/.test(text)))
			assert.ok(calls() < before + 50);
		const made = calls();
		console.log(`# closed off after ${made - before} calls`);
		for (const text of await Promise.all(Array.from({ length: 8 }, parked)))
			assert.match(text, /left alone/);
		assert.equal(calls(), made);
		assert.match(redis.ask("HGETALL", "agent-studio:b:openai"), /until/);
		nodes.stub.turns.length = 0;
		await nodes.fire(other);
	});
});
