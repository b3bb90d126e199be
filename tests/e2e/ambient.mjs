// SPDX-License-Identifier: Apache-2.0
//
// Work that nobody watches, from the task to what it leaves behind.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { log, messages, newThread, scene, script, untilEnd }
	from "../support/chat.mjs";
import { rows } from "../support/rows.mjs";
import { api, signUp, start } from "../support/server.mjs";
import { start as startModel } from "../support/stub_model.mjs";

const folder = mkdtempSync(join(tmpdir(), "agent-studio-ambient-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const ended = (server, s, id) => untilEnd(server, s.token, id);

function items(server, runId) {
	return rows(server, "SELECT kind, status, title, description, run_id" +
		" FROM inbox_items ORDER BY id").filter((i) => i.run_id === runId);
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
		const [report, ...others] = items(server, run.id);
		assert.equal(others.length, 0);
		assert.equal(report.kind, "report");
		assert.equal(report.title, "say pong");
		assert.equal(report.description, list[1].content);
		const operator = await api(server, "GET", "/api/operator/items",
			{ token: s.token });
		assert.equal(operator.body.items.length, 0);
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

test("the model is told that it is alone, and works with its tools", async () => {
	const stub = await startModel();
	const server = await start({ env: { OPENAI_API_KEY: "x" }, set: [
		`plugins.llm_openai.base_url=${stub.url}/v1`,
		"plugins.llm_openai.enabled=true",
		"plugins.llm_openai.default_model=stub", "models.default=openai/stub",
		"runs.max_steps=2", "runs.ambient_steps=4"] });
	const call = (n) => ({ tool_calls: [{ id: `call_${n}`,
		name: "calculator_evaluate", args: { expression: `1+${n}` } }] });
	try {
		const s = await scene(server, { system_prompt: "You count." });
		stub.script([call(1), call(2), call(3), { text: "It is done." }]);
		const { body: { run } } = await startTask(server, s, { task: "count" });
		assert.equal((await ended(server, s, run.id)).state, "succeeded");
		const asked = stub.log.filter((r) => r.body?.messages);
		assert.equal(asked.length, 4);
		assert.match(asked[0].body.messages[0].content,
			/^You count\.[^]*work on this task alone/);
		assert.deepEqual(items(server, run.id).map((i) =>
			[i.kind, i.description]), [["report", "It is done."]]);
		const chat = await newThread(server, s.person, s.agent.id);
		stub.script([{ text: "Hello." }]);
		const sent = await api(server, "POST", `/api/chat/sessions/${chat.id}`,
			{ token: s.token, body: { content: "hi" } });
		await ended(server, s, sent.body.run.id);
		assert.equal(stub.log.filter((r) => r.body?.messages).at(-1)
			.body.messages[0].content, "You count.");
		assert.equal(items(server, sent.body.run.id).length, 0);
	} finally {
		await server.stop();
		await stub.stop();
	}
});

test("without a decision a run that nobody watches fails in the end", async () => {
	const server = await start({ set: ["models.tries=1",
		"runs.ambient_patience=300ms", script(folder,
			[{ fail: { status: 503, message: "no capacity" } }])] });
	try {
		const s = await scene(server);
		const { body: { run } } = await startTask(server, s, { task: "try" });
		const end = await ended(server, s, run.id);
		assert.equal(end.state, "failed");
		assert.equal(end.error.code, "EXPIRED");
		const [error, note, ...others] = items(server, run.id);
		assert.equal(others.length, 0);
		assert.equal(error.kind, "error");
		assert.equal(error.status, "expired");
		assert.equal(note.kind, "notification");
		assert.match(note.title, /: try$/);
	} finally {
		await server.stop();
	}
});
