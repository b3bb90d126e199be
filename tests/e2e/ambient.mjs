// SPDX-License-Identifier: Apache-2.0
//
// Work that nobody watches, from the task to what it leaves behind.

import assert from "node:assert/strict";
import { test } from "node:test";

import { log, messages, scene } from "../support/chat.mjs";
import { api, signUp, start } from "../support/server.mjs";

async function ended(server, s, id) {
	for (let after = 0; ;) {
		const { body } = await api(server, "GET",
			`/api/runs/${id}/events?after=${after}&wait=20`,
			{ token: s.token });
		for (const e of body.items) {
			after = e.run_seq;
			if (e.type === "run_status" && e.status === "end")
				return e;
		}
		assert.ok(body.items.length > 0, "the run goes on and on");
	}
}

function startTask(server, s, body, headers = {}) {
	return api(server, "POST", `/api/agents/${s.agent.id}/ambient-test`,
		{ token: s.token, body, headers });
}

test("a task becomes a thread, a message and a run", async () => {
	const server = await start();
	try {
		const s = await scene(server);
		const answer = await startTask(server, s,
			{ task: "say pong\nand nothing else" });
		assert.equal(answer.status, 202, JSON.stringify(answer.body));
		const { run, thread } = answer.body;
		assert.equal(run.kind, "ambient");
		assert.equal(run.thread_id, thread.id);
		assert.equal(thread.title, "say pong");
		assert.equal(thread.agent_id, s.agent.id);
		assert.equal(answer.headers.get("location"), `/api/runs/${run.id}`);
		const end = await ended(server, s, run.id);
		assert.equal(end.state, "succeeded");
		const list = await messages(server, { ...s, thread });
		assert.deepEqual(list.map((m) => m.role), ["user", "assistant"]);
		assert.equal(list[0].content, "say pong\nand nothing else");
		const events = await log(server, { ...s, thread });
		assert.deepEqual(events.filter((e) => e.type === "run_status")
			.map((e) => e.state), ["queued", "running", "succeeded"]);
	} finally {
		await server.stop();
	}
});

test("the same request starts once", async () => {
	const server = await start();
	try {
		const s = await scene(server);
		const headers = { "idempotency-key": "task-1" };
		const first = await startTask(server, s, { task: "once" }, headers);
		const again = await startTask(server, s, { task: "once" }, headers);
		assert.equal(again.status, 202, JSON.stringify(again.body));
		assert.equal(again.body.run.id, first.body.run.id);
		assert.equal(again.headers.get("idempotent-replay"), "true");
		assert.equal(again.headers.get("location"),
			first.headers.get("location"));
		const other = await startTask(server, s, { task: "else" }, headers);
		assert.equal(other.status, 422);
		assert.equal(other.body.code, "IDEMPOTENCY_KEY_REUSED");
		const runs = await api(server, "GET", "/api/runs", { token: s.token });
		assert.equal(runs.body.items.length, 1);
	} finally {
		await server.stop();
	}
});

test("a task may wait for its time", async () => {
	const server = await start();
	try {
		const s = await scene(server);
		const at = new Date(Date.now() + 1200);
		const { body } = await startTask(server, s,
			{ task: "later", class: "bulk", run_at: at.toISOString() });
		const end = await ended(server, s, body.run.id);
		assert.equal(end.state, "succeeded");
		const run = await api(server, "GET", `/api/runs/${body.run.id}`,
			{ token: s.token });
		assert.ok(new Date(run.body.started_at) >= at);
	} finally {
		await server.stop();
	}
});

test("who may not chat with an agent gives it no tasks", async () => {
	const server = await start();
	try {
		const s = await scene(server);
		const other = await signUp(server);
		const foreign = await startTask(server, { ...s, token: other.token },
			{ task: "x" });
		assert.equal(foreign.status, 404);
		for (const body of [{}, { task: "" }, { task: "x", class: "urgent" },
			{ task: "x", run_at: "tomorrow" }, { task: "x", other: 1 }]) {
			const answer = await startTask(server, s, body);
			assert.equal(answer.status, 400, JSON.stringify(body));
			assert.equal(answer.body.code, "VALIDATION_FAILED");
		}
		await api(server, "PATCH", `/api/agents/${s.agent.id}/`,
			{ token: s.token, body: { agent_state: "paused" } });
		const paused = await startTask(server, s, { task: "x" });
		assert.equal(paused.status, 409);
		assert.equal(paused.body.code, "AGENT_NOT_READY");
		const runs = await api(server, "GET", "/api/runs", { token: s.token });
		assert.equal(runs.body.items.length, 0);
	} finally {
		await server.stop();
	}
});
