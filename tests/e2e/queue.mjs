// SPDX-License-Identifier: Apache-2.0
//
// Runs that wait for a slot: who comes first, what they are told, and when one
// more is refused.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { events, scene, script } from "../support/chat.mjs";
import { freePort } from "../support/port.mjs";
import { rows } from "../support/rows.mjs";
import { api, start, startWorker } from "../support/server.mjs";
import { until } from "../support/wait.mjs";

const folder = mkdtempSync(join(tmpdir(), "agent-studio-queue-"));
after(() => rmSync(folder, { recursive: true, force: true }));

// A model that takes so long for each task; it never ends with one that says
// "hold", unless it is told to.
const slow = (ms) => script(folder, [
	{ match: "hold", text: "a b c d e f g h i j", delay_ms: 60000 },
	{ text: "a b c d e f g h i j", delay_ms: ms / 10 }]);

const task = (server, s, body) => api(server, "POST",
	`/api/agents/${s.agent.id}/ambient-test`,
	{ token: s.token, body: { task: "work", ...body } });

const run = async (server, s, id) => (await api(server, "GET",
	`/api/runs/${id}`, { token: s.token })).body;

const cancel = (server, s, id) => api(server, "POST",
	`/api/runs/${id}/cancel`, { token: s.token, body: {} });

const done = (server, s, id) => until("the end of a run", async () => {
	const r = await run(server, s, id);
	return r.completed_at && r;
}, 120000);

async function metric(server, name) {
	const { body } = await api(server, "GET", "/metrics");
	const line = body.split("\n").find((l) => l.startsWith(name + " "));
	return line ? Number(line.slice(name.length + 1)) : 0;
}

test("a run that waits says where it stands, and is told again", async () => {
	const server = await start({ set: ["server.loops=1", "worker.slots=1",
		slow(3000)] });
	try {
		const s = await scene(server);
		const sent = [];
		for (let i = 0; i < 8; i++)
			sent.push((await task(server, s, {})).body.run);
		await until("the first run to begin", async () =>
			(await run(server, s, sent[0].id)).status !== "queued");
		assert.equal(sent[7].status, "queued");
		const places = [];
		for (const { id } of sent)
			places.push((await run(server, s, id)).position);
		assert.equal(places[0], null);
		assert.ok(places[7] >= 2, JSON.stringify(places));
		const { body: log } = await api(server, "GET",
			`/api/runs/${sent[7].id}/events`, { token: s.token });
		const queued = log.items.find((e) => e.state === "queued");
		assert.ok(queued.position >= 3, JSON.stringify(queued));
		assert.ok("est_wait_ms" in queued);
		await done(server, s, sent[0].id);
		// What has been learnt by now is told from now on.
		const est = await until("an estimate", async () => {
			const r = await run(server, s, sent[7].id);
			assert.equal(r.status, "queued", "it went too soon");
			return r.est_wait_ms ?? 0;
		});
		assert.ok(est > 0);
		for (const { id } of sent.slice(1, 7))
			await cancel(server, s, id);
		await done(server, s, sent[7].id);
		const last = await run(server, s, sent[7].id);
		assert.equal(last.position, null);
		assert.equal(last.est_wait_ms, null);
	} finally {
		await server.stop();
	}
});

test("who watches hears when the wait has changed", async () => {
	const server = await start({ set: ["server.loops=1", "worker.slots=1",
		slow(3000)] });
	try {
		const s = await scene(server);
		const sent = [];
		for (let i = 0; i < 4; i++)
			sent.push((await task(server, s, {})).body.run);
		const stream = await fetch(
			`${server.url}/api/runs/${sent[3].id}/events`, { headers: {
				authorization: `Bearer ${s.token}`,
				accept: "text/event-stream" } });
		let live = null;
		for await (const { data } of events(stream)) {
			if (data.type !== "run_status" || data.seq !== undefined)
				continue;
			live = data;
			break;
		}
		assert.equal(live.state, "queued");
		assert.equal(live.reason, "waiting");
		assert.equal(live.run_id, sent[3].id);
		assert.ok(live.position >= 1);
		for (const { id } of sent)
			await cancel(server, s, id);
	} finally {
		await server.stop();
	}
});

test("classes have their turns, and chat has its own slots", async () => {
	const server = await start({ set: ["server.loops=1", "worker.slots=4",
		slow(10)] });
	try {
		const s = await scene(server);
		const post = async (body) => (await task(server, s, body)).body.run.id;
		const held = [], standard = [];
		for (let i = 0; i < 3; i++)
			held.push(await post({ task: "hold" }));
		for (let i = 0; i < 5; i++)
			standard.push(await post({}));
		await until("the run to begin", async () => (await run(server, s, held[2])).started_at);
		// Three of four slots are in use; the last one is reserved.
		assert.equal((await run(server, s, standard[0])).status, "queued");
		const chat = await api(server, "POST",
			`/api/chat/sessions/${s.thread.id}`,
			{ token: s.token, body: { content: "hold" } });
		assert.equal(chat.body.run.status, "running");
		assert.equal(chat.body.run.class, "priority");
		const bulk = await post({ class: "bulk" });
		const urgent = await post({ class: "priority" });
		for (const id of held)
			await cancel(server, s, id);
		const ended = {};
		for (const id of [...standard, bulk, urgent])
			ended[id] = await done(server, s, id);
		const before = (a, b) => ended[a].started_at <= ended[b].started_at;
		assert.ok(before(urgent, standard[4]), "priority waits for standard");
		assert.ok(before(urgent, bulk), "priority waits for bulk");
		assert.ok(await metric(server,
			'agent_studio_run_claims_total{class="standard"}') >= 8);
		await cancel(server, s, chat.body.run.id);
	} finally {
		await server.stop();
	}
});

test("age lets a run go before others", async () => {
	const server = await start({ set: ["server.loops=1", "worker.slots=1",
		"queue.promote_bulk=1ms", "queue.promote_standard=1ms", slow(10)] });
	try {
		const s = await scene(server);
		const first = (await task(server, s, { task: "hold" })).body.run.id;
		await until("the run to begin", async () => (await run(server, s, first)).started_at);
		const all = [];
		for (let i = 0; i < 5; i++)
			for (const name of ["bulk", "standard"])
				all.push((await task(server, s, { class: name })).body.run.id);
		await cancel(server, s, first);
		for (const id of all)
			await done(server, s, id);
		for (const name of ["bulk", "standard"])
			assert.ok(await metric(server,
				`agent_studio_run_promotions_total{class="${name}"}`) > 0);
		assert.equal(await until("the count", async () => await metric(server,
			'agent_studio_queue_depth{class="bulk"}') === 0), true);
	} finally {
		await server.stop();
	}
});

test("a full queue refuses, and has stored nothing", async () => {
	const server = await start({ set: ["server.loops=1", "worker.slots=1",
		"queue.max_tenant=3", slow(10)] });
	try {
		const s = await scene(server);
		const first = (await task(server, s, { task: "hold" })).body.run.id;
		await until("the run to begin", async () => (await run(server, s, first)).started_at);
		for (let i = 0; i < 3; i++)
			assert.equal((await task(server, s, {})).status, 202);
		const counts = () => rows(server, "SELECT (SELECT count(*) FROM runs)" +
			" AS r, (SELECT count(*) FROM threads) AS t," +
			" (SELECT count(*) FROM messages) AS m");
		const before = counts();
		const refused = await task(server, s, {});
		assert.equal(refused.status, 429, JSON.stringify(refused.body));
		assert.equal(refused.body.code, "RATE_LIMITED");
		assert.ok(Number(refused.headers.get("retry-after")) >= 1);
		const chat = await api(server, "POST",
			`/api/chat/sessions/${s.thread.id}`,
			{ token: s.token, body: { content: "hello" } });
		assert.equal(chat.status, 429);
		assert.deepEqual(counts(), before);
		for (const r of rows(server, "SELECT id, status FROM runs"))
			await cancel(server, s, r.id);
		assert.equal(await until("the count", async () =>
			(await task(server, s, {})).status === 202), true);
	} finally {
		await server.stop();
	}
});

test("a worker has metrics of its own", {
	skip: process.env.AGENT_STUDIO_STORE !== "postgres",
}, async () => {
	const server = await start({ set: ["worker.embedded=false"] });
	const port = await freePort();
	const worker = await startWorker(server,
		{ set: [`worker.metrics_port=${port}`, "worker.poll=100ms"] });
	try {
		const s = await scene(server);
		const { id } = (await task(server, s, { class: "bulk" })).body.run;
		assert.equal((await done(server, s, id)).status, "succeeded");
		const own = { url: `http://127.0.0.1:${port}` };
		assert.equal(await metric(own,
			'agent_studio_run_claims_total{class="bulk"}'), 1);
		assert.equal((await api(own, "GET", "/readyz")).status, 200);
		assert.equal((await api(own, "GET", "/api/runs")).status, 404);
		assert.equal(await metric(server,
			'agent_studio_run_claims_total{class="bulk"}'), 0);
	} finally {
		await worker.stop();
		await server.stop();
	}
});
