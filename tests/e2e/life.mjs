// SPDX-License-Identifier: Apache-2.0
// An agent's whole life, from creation to deletion.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { log, messages, newThread, script } from "../support/chat.mjs";
import { api, signUp, start } from "../support/server.mjs";
import { connect } from "../support/ws.mjs";

const folder = mkdtempSync(join(tmpdir(), "script-"));
const FACT = "Ada likes prime numbers.";
const turns = [
	{ match: "12", tool_calls: [{ name: "calculator_evaluate",
		args: { expression: "12 * (3 + 4)" } }] },
	{ match: "12", text: "It is 84." },
	{ match: "remember", text: "I will.", tool_calls: [
		{ name: "remember", args: { fact: FACT } },
		{ name: "clock_now", args: {} },
	] },
	{ match: "remember", text: "Kept." },
	{ match: "remember", tool_calls: [{ name: "remember", args: {} }] },
	{ match: "remember", text: "That was no fact." },
	{ match: "count", text: "one two three four five six seven eight nine ten",
		delay_ms: 600 },
];
let server;

before(async () => {
	server = await start({ set: [script(folder, turns)] });
});
after(async () => {
	await server?.stop();
	rmSync(folder, { recursive: true });
});

const assertCode = (answer, status, code) => {
	assert.equal(answer.status, status, JSON.stringify(answer.body));
	assert.equal(answer.body.code, code);
};

// One message over the socket, to the run's end: its frames.
async function say(s, content) {
	const first = s.socket.seen;
	s.socket.send({ type: "message", content });
	const end = await s.socket.end();
	assert.equal(end.state, "succeeded", JSON.stringify(end));
	return s.socket.frames.slice(first, s.socket.seen);
}

async function enter(person, agentId) {
	const s = { person, token: person.token };
	s.thread = await newThread(server, person, agentId);
	s.socket = await connect(server, s.thread.id, { token: s.token });
	await s.socket.type("snapshot");
	return s;
}

test("an agent's life", async (t) => {
	const ada = await signUp(server), bob = await signUp(server);
	const call = (method, body, tag, person = ada) =>
		api(server, method, path, { body, token: person.token,
			headers: tag ? { "if-match": tag } : {} });
	let agent, etag, path, mine, his;
	const keep = (answer) => {
		assert.equal(answer.status, 200, JSON.stringify(answer.body));
		agent = answer.body;
		etag = answer.headers.get("etag");
	};

	await t.test("is made as a draft, which cannot be talked to", async () => {
		const made = await api(server, "POST", "/api/agents/", {
			token: ada.token,
			body: { name: "Abacus", agent_state: "draft",
				toolkits: ["calculator"], memory: { enabled: true } },
		});
		assert.equal(made.status, 201, JSON.stringify(made.body));
		agent = made.body;
		etag = made.headers.get("etag");
		path = `/api/agents/${agent.id}/`;
		const thread = await newThread(server, ada, agent.id);
		assertCode(await api(server, "POST", `/api/chat/sessions/${thread.id}`,
			{ token: ada.token, body: { content: "12" } }), 409,
		"AGENT_NOT_READY");
	});

	await t.test("is replaced and changed, by who saw its last version", async () => {
		keep(await call("PUT", { ...agent, purpose: "to count",
			agent_state: "ready" }, etag));
		assert.equal(agent.version, 2);
		assertCode(await call("PATCH", { name: "x" }, '"1"'), 412,
			"VERSION_CONFLICT");
		keep(await call("PATCH", { toolkits: ["calculator", "clock"] }, etag));
		assert.equal(agent.purpose, "to count");
		assert.equal(agent.version, 3);
		const { body } = await api(server, "GET", "/api/agents/",
			{ token: ada.token });
		assert.deepEqual(body.items, [agent]);
	});

	await t.test("answers with a tool", async () => {
		mine = await enter(ada, agent.id);
		const frames = await say(mine, "What is 12 * (3 + 4)?");
		const result = frames.find((f) => f.type === "tool_result");
		assert.equal(result.outcome, "succeeded");
		assert.equal(result.result, "84");
		assert.equal((await messages(server, mine)).at(-1).content, "It is 84.");
	});

	await t.test("keeps a fact, and takes nothing for a fact that is none", async () => {
		await say(mine, "remember what I like");
		assert.deepEqual((await call("GET")).body.memory,
			{ enabled: true, facts: [FACT] });
		const frames = await say(mine, "remember nothing");
		const result = frames.find((f) => f.type === "tool_result");
		assert.equal(result.is_error, true);
		assert.deepEqual((await call("GET")).body.memory.facts, [FACT]);
	});

	await t.test("is shared, and then not any more", async () => {
		assertCode(await call("GET", undefined, null, bob), 404, "NOT_FOUND");
		keep(await call("GET"));
		keep(await call("PATCH", { is_public: true }, etag));
		assert.equal((await call("GET", undefined, null, bob)).status, 200);
		assertCode(await call("PATCH", { name: "x" }, null, bob), 403, "FORBIDDEN");
		assertCode(await call("DELETE", undefined, null, bob), 403, "FORBIDDEN");
		his = await enter(bob, agent.id);
		await say(his, "12?");
		assert.equal((await api(server, "GET",
			`/api/chat/sessions/${his.thread.id}`, { token: ada.token })).status,
		404);
		keep(await call("PATCH", { is_public: false }, etag));
		his.socket.send({ type: "message", content: "12?" });
		assert.equal((await his.socket.type("error")).code, "AGENT_NOT_READY");
		keep(await call("PATCH", { is_public: true }, etag));
	});

	await t.test("rests", async () => {
		keep(await call("PATCH", { agent_state: "paused" }, etag));
		mine.socket.send({ type: "message", content: "count" });
		assert.equal((await mine.socket.type("error")).code, "AGENT_NOT_READY");
		keep(await call("PATCH", { agent_state: "ready" }, etag));
	});

	await t.test("dies in the middle of a sentence", async () => {
		mine.socket.send({ type: "message", content: "count" });
		await mine.socket.until((f) => f.delta?.includes("two"));
		assertCode(await call("DELETE", undefined, '"1"'), 412, "VERSION_CONFLICT");
		assert.equal((await call("DELETE", undefined, etag)).status, 204);
		const end = await mine.socket.end();
		assert.equal(end.state, "cancelled");
		const last = (await messages(server, mine)).at(-1);
		assert.equal(last.state, "interrupted");
		assert.match(last.content, /^one two/);
	});

	await t.test("is gone, and what was said is not", async () => {
		for (const [method, body] of [["GET"], ["PUT", { name: "x" }],
			["PATCH", { name: "x" }], ["DELETE"]])
			assertCode(await call(method, body), 404, "NOT_FOUND");
		const { body } = await api(server, "GET", "/api/agents/?public=true",
			{ token: bob.token });
		assert.deepEqual(body.items, []);
		assertCode(await api(server, "POST", "/api/chat/sessions",
			{ token: ada.token, body: { agent_id: agent.id } }), 404, "NOT_FOUND");
		for (const s of [mine, his]) {
			const before = await messages(server, s);
			assert.ok(before.length >= 4);
			assertCode(await api(server, "POST",
				`/api/chat/sessions/${s.thread.id}`,
				{ token: s.token, body: { content: "12?" } }), 409,
			"AGENT_NOT_READY");
			s.socket.send({ type: "message", content: "12?" });
			assert.equal((await s.socket.type("error")).code, "AGENT_NOT_READY");
			assert.deepEqual(await messages(server, s), before);
			await log(server, s);
			const list = await api(server, "GET", "/api/chat/sessions",
				{ token: s.token });
			assert.ok(list.body.items.some((x) => x.id === s.thread.id));
			await s.socket.close();
		}
	});

	await t.test("stays dead when the server begins anew", async () => {
		await server.kill9();
		await server.restart();
		assertCode(await call("GET"), 404, "NOT_FOUND");
		const said = (await messages(server, mine)).map((m) => m.content);
		assert.ok(said.includes("It is 84."));
	});
});
