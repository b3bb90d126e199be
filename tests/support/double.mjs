// SPDX-License-Identifier: Apache-2.0
//
// A stage for messages that come while a run is at work: a provider and a
// service that stand still until they are told to go on, and what must hold of
// a thread whatever was sent to it.

import assert from "node:assert/strict";
import http from "node:http";

import { log } from "./chat.mjs";
import { api, start } from "./server.mjs";
import { checkAnthropicMessages, start as startStub } from "./stub_model.mjs";

// What a name stands still for, until open(name).
class Gates {
	constructor() {
		this.all = new Map();
	}

	at(name) {
		if (!this.all.has(name)) {
			const gate = {};
			gate.passed = new Promise((done) => {
				gate.pass = done;
			});
			gate.reached = new Promise((done) => {
				gate.reach = done;
			});
			this.all.set(name, gate);
		}
		return this.all.get(name);
	}

	open(name) {
		this.at(name).pass();
	}
}

const textOf = (content) => typeof content === "string" ? content
	: (content ?? []).map((p) => p.text ?? "").join("\n");

// "stream N" says three words and stands still after two; "tool N" calls a
// service that stands still; "break" is refused; all else is answered.
function decide(stage, messages) {
	const last = messages.at(-1);
	const [word, name] = textOf(last.content).split("\n").at(-1).split(" ");

	if (last.role === "tool")
		return { text: `after the tool: ${textOf(last.content)}` };
	if (word === "stream")
		return { tokens: ["one ", "two ", "three"], hold_after: 2,
			hold: stage.gates.at(name).passed };
	if (word === "tool")
		return { tool_calls: [{ id: `call_${name}`, name: "http_request",
			args: { method: "POST", url: `${stage.service}/${name}`,
				body: "" } }] };
	if (word === "break")
		return { status: 400, error: "no" };
	return { text: `answer to ${textOf(last.content).split("\n").join(", ")}` };
}

function service(stage) {
	const server = http.createServer(async (req, res) => {
		const gate = stage.gates.at(req.url.slice(1));
		gate.reach();
		await gate.passed;
		res.end("done");
	});
	return new Promise((done) => {
		server.listen(0, "127.0.0.1", () => done(server));
	});
}

export async function startStage({ set = [], launch = start } = {}) {
	const stage = { gates: new Gates() };
	const stub = await startStub({ key: "sesame",
		decide: (messages) => decide(stage, messages) });
	const http_ = await service(stage);
	const { port } = http_.address();

	stage.stub = stub;
	stage.service = `http://127.0.0.1:${port}`;
	stage.set = [...set, `plugins.llm_openai.base_url=${stub.url}/v1`,
		"plugins.llm_openai.default_model=stub",
		`plugins.toolkit_http.allow=["127.0.0.1:${port}"]`];
	stage.env = { OPENAI_API_KEY: "sesame" };
	stage.server = await launch({ set: stage.set, env: stage.env });
	stage.stop = async () => {
		for (const name of stage.gates.all.keys())
			stage.gates.open(name);
		await stage.server.stop();
		http_.closeAllConnections();
		http_.close();
		await stub.stop();
	};
	return stage;
}

export const say = (server, s, content, multitask, more = {}) =>
	api(server, "POST", `/api/chat/sessions/${s.thread.id}`, { token: s.token,
		body: { content, ...multitask && { multitask }, ...more } });

export async function thread(server, s) {
	const { status, body } = await api(server, "GET",
		`/api/chat/sessions/${s.thread.id}?limit=200`, { token: s.token });
	assert.equal(status, 200);
	return body;
}

export async function runs(server, s) {
	const { body } = await api(server, "GET",
		`/api/runs?thread_id=${s.thread.id}&limit=200`, { token: s.token });
	return body.items;
}

// The thread, when it looks as it should; it is looked at after each event.
export async function until(server, s, holds, what = holds.toString()) {
	for (const end = Date.now() + 30000; ;) {
		const now = await thread(server, s);
		if (await holds(now))
			return now;
		if (Date.now() > end)
			throw new Error(`not in time: ${what}\n${JSON.stringify(now)}`);
		const { status } = await api(server, "GET",
			`/api/chat/sessions/${s.thread.id}/events?wait=2&after=` +
			now.head_seq, { token: s.token });
		assert.equal(status, 200);
	}
}

export const idle = (server, s) => until(server, s,
	(t) => t.status === "idle" && t.queue.length === 0, "the thread is idle");

const HOLDS = ["queued", "running", "cancelling", "waiting_human",
	"waiting_timer", "waiting_child", "recoverable_error"];

// Never two runs hold a thread; every run that has ended says nothing more.
export function checkLog(entries) {
	const state = new Map();

	for (const e of entries) {
		if (e.type !== "run_status")
			continue;
		assert.notEqual(state.get(e.run_id), "end", `${e.run_id} after its end`);
		state.set(e.run_id, e.status === "end" ? "end" : e.state);
		const holders = [...state].filter(([, v]) => HOLDS.includes(v));
		assert.ok(holders.length <= 1,
			`seq ${e.seq}: ${JSON.stringify(holders)}`);
	}
}

function toAnthropic(list) {
	const out = [];
	const add = (role, blocks) => {
		if (out.at(-1)?.role === role)
			out.at(-1).content.push(...blocks);
		else
			out.push({ role, content: blocks });
	};
	for (const m of list)
		if (m.role === "tool")
			add("user", [{ type: "tool_result", tool_use_id: m.tool_call_id,
				content: m.content }]);
		else if (m.role !== "system")
			add(m.role, [
				...m.content ? [{ type: "text", text: textOf(m.content) }] : [],
				...(m.tool_calls ?? []).map((c) => ({ type: "tool_use",
					id: c.id, name: c.function.name,
					input: JSON.parse(c.function.arguments) })),
			]);
	return out;
}

// What both families of providers would have refused.
export function checkRequests(stub) {
	for (const r of stub.log) {
		assert.equal(r.refused, null, JSON.stringify(r.body?.messages));
		if (r.body?.messages)
			checkAnthropicMessages(toAnthropic(r.body.messages));
	}
}

// The history that counts, in its order, with numbers without a gap.
export function checkMessages(list) {
	const placed = list.filter((m) => m.sequence !== null);

	placed.forEach((m, i) => assert.equal(m.sequence, i + 1));
	return placed.filter((m) => ["final", "interrupted"].includes(m.state))
		.map((m) => `${m.role}${m.state === "final" ? "" : "*"}`);
}

export async function checkThread(stage, s) {
	const now = await idle(stage.server, s);
	const entries = await log(stage.server, s);

	checkLog(entries);
	checkRequests(stage.stub);
	return { now, entries, history: checkMessages(now.messages) };
}
