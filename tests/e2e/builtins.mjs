// SPDX-License-Identifier: Apache-2.0
//
// The tools that need no plugin: who has which, a list of what is to be done,
// facts that are kept.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { log, messages, scene, script, untilEnd } from "../support/chat.mjs";
import { api, start } from "../support/server.mjs";

const folder = mkdtempSync(join(tmpdir(), "agent-studio-script-"));
const todos = (...list) => ({ name: "write_todos",
	args: { todos: list.map(([content, status]) => ({ content, status })) } });
const first = [["read", "in_progress"], ["write", "pending"]];
const second = [["read", "completed"], ["write", "in_progress"]];

const turns = [
	{ match: "plan this", tool_calls: [todos(...first)] },
	{ match: "plan this", tool_calls: [todos(...second)] },
	{ match: "plan this", text: "Planned." },

	{ match: "plan twice", tool_calls: [todos(...first), todos(...second)] },
	{ match: "plan twice", text: "Once." },

	{ match: "plan badly", tool_calls: [todos(["x", "later"]),
		{ name: "write_todos", args: { todos: "none" } }] },
	{ match: "plan badly", tool_calls: [
		{ name: "write_todos", args: { todos: "none" } }] },
	{ match: "plan badly", text: "No." },

	{ match: "keep that", tool_calls: [{ name: "remember",
		args: { fact: "The sky is blue." } }] },
	{ match: "keep that", text: "Kept." },

	{ match: "work alone", tool_calls: [todos(...first),
		{ name: "task", args: { description: "help a bit" } }] },
	{ match: "work alone", text: "Done alone." },
	{ match: "help a bit", text: "Helped." },
];

let server;

before(async () => {
	server = await start({ set: [script(folder, turns)] });
});
after(async () => {
	await server?.stop();
	rmSync(folder, { recursive: true });
});

const get = async (s, path) => {
	const { status, body } = await api(server, "GET", path,
		{ token: s.token });
	assert.equal(status, 200, JSON.stringify(body));
	return body;
};

async function over(s, id) {
	await untilEnd(server, s.token, id);
	return get(s, `/api/runs/${id}`);
}

async function say(s, content) {
	const { status, body } = await api(server, "POST",
		`/api/chat/sessions/${s.thread.id}`,
		{ token: s.token, body: { content } });
	assert.equal(status, 202, JSON.stringify(body));
	return over(s, body.run.id);
}

const results = (list) => list.filter((m) => m.role === "tool")
	.map((m) => m.content);

test("a list is written, replaced and seen", async () => {
	const s = await scene(server, { builtins: ["write_todos"] });
	const run = await say(s, "plan this");
	assert.equal(run.status, "succeeded");
	assert.deepEqual(run.todos, second.map(([content, status]) =>
		({ content, status })));
	const seen = (await log(server, s)).filter((e) =>
		e.type === "tool_call" || e.type === "tool_result");
	assert.deepEqual(seen.map((e) => [e.type, e.name]), [
		["tool_call", "write_todos"], ["tool_result", "write_todos"],
		["tool_call", "write_todos"], ["tool_result", "write_todos"]]);
	assert.deepEqual(seen[0].args.todos[0],
		{ content: "read", status: "in_progress" });
	assert.equal(seen[0].effect, "repeat");
});

test("one list in an answer", async () => {
	const s = await scene(server, { builtins: ["write_todos"] });
	const run = await say(s, "plan twice");
	assert.deepEqual(run.todos.map((t) => t.status),
		["in_progress", "pending"]);
	const said = results(await messages(server, s)).sort();
	assert.match(said[0], /^Error VALIDATION_FAILED: .*once/);
	assert.equal(said[1], "The list is written.");
});

test("what is no list changes nothing", async () => {
	const s = await scene(server, { builtins: ["write_todos"] });
	const run = await say(s, "plan badly");
	assert.equal(run.status, "succeeded");
	assert.deepEqual(run.todos, []);
	for (const text of results(await messages(server, s)))
		assert.match(text, /^Error VALIDATION_FAILED: /);
});

test("an agent has none of them unless it is said", async () => {
	const s = await scene(server);
	assert.deepEqual(s.agent.builtins, []);
	for (const content of ["plan this", "keep that", "work alone"]) {
		const run = await say(s, content);
		assert.deepEqual(run.todos, []);
		assert.equal(run.status, "succeeded");
	}
	const said = results(await messages(server, s));
	assert.equal(said.length, 5);
	for (const text of said)
		assert.match(text, /^Error NOT_FOUND: no tool named /);
	const bad = await api(server, "PATCH", `/api/agents/${s.agent.id}`,
		{ token: s.token, body: { builtins: ["fly"] } });
	assert.equal(bad.status, 400);
	const good = await api(server, "PATCH", `/api/agents/${s.agent.id}`,
		{ token: s.token, body: { builtins: ["task", "write_todos"] } });
	assert.deepEqual(good.body.builtins, ["task", "write_todos"]);
});

test("a fact is kept by an agent with a memory", async () => {
	const s = await scene(server, { memory: { enabled: true, facts: [] } });
	await say(s, "keep that");
	assert.deepEqual(results(await messages(server, s)), ["Remembered."]);
	assert.deepEqual((await get(s, `/api/agents/${s.agent.id}`)).memory.facts,
		["The sky is blue."]);
});

test("an agent that works alone has them all", async () => {
	const s = await scene(server);
	const { status, body } = await api(server, "POST",
		`/api/agents/${s.agent.id}/ambient-test`,
		{ token: s.token, body: { task: "work alone" } });
	assert.equal(status, 202, JSON.stringify(body));
	const id = body.run?.id ?? body.run_id;
	const run = await over(s, id);
	assert.equal(run.status, "succeeded");
	assert.deepEqual(run.todos.map((t) => t.content), ["read", "write"]);
	const thread = { id: run.thread_id };
	assert.deepEqual(results(await messages(server, { ...s, thread })).sort(),
		["Helped.", "The list is written."]);
});
