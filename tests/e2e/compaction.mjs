// SPDX-License-Identifier: Apache-2.0
// A thread that comes near its model's window: its older part is summarised.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { log, messages, scene, untilEnd } from "../support/chat.mjs";
import { api, start } from "../support/server.mjs";
import { start as startStub } from "../support/stub_model.mjs";

const WINDOW = 2000;
const LONG = "word ".repeat(250); // about 313 tokens
let server, stub;

// A request for a summary is told by its first words.
const wantsSummary = (list) => /^Summarise the conversation/.test(
	list.at(-1)?.content ?? "");
let summary = () => ({ text: "They spoke of words.",
	usage: { prompt_tokens: 50, completion_tokens: 5 } });
let usage = null, turns = [];

const count = (list) => Math.ceil(JSON.stringify(list).length / 4);
const turn = (list) => {
	const t = turns.shift() ?? { text: "fine" };
	return { ...t, usage: { prompt_tokens: count(list),
		completion_tokens: count(t) } };
};

before(async () => {
	stub = await startStub({ key: "sesame",
		decide: (list) => wantsSummary(list) ? summary()
			: usage ? { text: "fine", usage } : turn(list) });
	server = await start({
		env: { OPENAI_API_KEY: "sesame" },
		set: [`plugins.llm_openai.base_url=${stub.url}/v1`,
			"plugins.llm_openai.default_model=stub",
			`models.windows=["openai/stub=${WINDOW}"]`],
	});
});
after(async () => {
	await server?.stop();
	await stub?.stop();
});

const people = (agent = {}) => scene(server,
	{ model_name: "openai/stub", system_prompt: "Be short.", ...agent });

const requests = () => stub.log.filter((r) => r.body?.messages)
	.map((r) => r.body.messages);

const ended = (s, runId, to = server) => untilEnd(to, s.token, runId);

async function say(s, content) {
	const { status, body } = await api(server, "POST",
		`/api/chat/sessions/${s.thread.id}`,
		{ token: s.token, body: { content } });
	assert.equal(status, 202, JSON.stringify(body));
	assert.equal((await ended(s, body.run.id)).state, "succeeded");
	return body.run;
}

// Every run comes out the same from its log.
async function replays(s) {
	const path = `/api/chat/sessions/${s.thread.id}/history`;
	const { body } = await api(server, "GET", `${path}?limit=200`,
		{ token: s.token });
	const runs = new Set();
	for (const c of body.items) {
		if (runs.has(c.run_id))
			continue;
		runs.add(c.run_id);
		const got = await api(server, "POST", `${path}/${c.id}/fork`,
			{ token: s.token, body: { mode: "replay" } });
		assert.equal(got.body.equal, true, JSON.stringify(got.body));
	}
}

const summaries = async (s) => (await messages(server, s))
	.filter((m) => m.role === "system");

async function until(s, n, content = LONG) {
	for (let i = 0; i < 12; i++) {
		const run = await say(s, `${i} ${content}`);
		if ((await summaries(s)).length === n)
			return run;
	}
	throw new Error(`there are no ${n} summaries`);
}

test("the older part becomes a summary before it does not fit", async () => {
	const s = await people();
	const run = await until(s, 1);
	const [sum] = await summaries(s);
	assert.equal(sum.content, "They spoke of words.");
	assert.equal(sum.run_id, run.id);
	const [part] = sum.parts;
	assert.deepEqual([part.type, part.summarised, part.window],
		["summary", true, WINDOW]);
	const asked = requests().find(wantsSummary);
	assert.match(asked.at(-1).content, /user: 0 word/);
	const told = requests().at(-1);
	assert.equal(told[0].role, "system");
	assert.match(JSON.stringify(told[0].content), /Be short/);
	assert.match(JSON.stringify(told[0].content), /They spoke of words/);
	assert.equal(told[1].role, "user");
	assert.match(told.at(-1).content, /^\d+ word/);
	const stored = await messages(server, s);
	const at = stored.findIndex((m) => m.id === sum.id);
	assert.equal(told.length - 1, stored.slice(at - part.keeps, at).length);
	const event = (await log(server, s)).find((e) => e.type === "compaction");
	assert.equal(event.message_id, sum.id);
	assert.ok(event.tokens >= WINDOW * 0.75 && event.window === WINDOW);
	assert.equal(event.left_out + event.kept, at);
	// It counts as what the run has used.
	const { body } = await api(server, "GET", `/api/runs/${run.id}`,
		{ token: s.token });
	assert.ok(body.usage.input_tokens >= 50);
	await replays(s);
});

test("a summary is summarised, too", async () => {
	const s = await people();
	await until(s, 2);
	const asked = requests().filter(wantsSummary).at(-1);
	assert.match(asked.at(-1).content, /What came before: They spoke/);
	await replays(s);
});

test("a call is never parted from its result, the question stays", async () => {
	const s = await people({ toolkits: ["calculator"] });
	turns = [];
	for (let i = 0; i < 9; i++)
		turns.push({ text: "w ".repeat(400), tool_calls: [{ id: `c${i}`,
			name: "calculator_evaluate",
			args: { expression: `${i}+1` } }] });
	turns.push({ text: "done" });
	const from = stub.log.length;
	await say(s, "the question");
	assert.ok((await summaries(s)).length >= 1);
	for (const list of requests().slice(-9)) {
		if (wantsSummary(list))
			continue;
		assert.equal(list[1].role, "user");
		assert.match(list[1].content, /the question/);
	}
	for (const r of stub.log.slice(from))
		assert.equal(r.refused, null);
	await replays(s);
});

test("what the model counts is believed", async () => {
	const s = await people();
	usage = { prompt_tokens: 1400, completion_tokens: 200 };
	try {
		await say(s, "first");
		await say(s, "second");
		assert.equal((await summaries(s)).length, 1);
	} finally {
		usage = null;
	}
	await replays(s);
});

test("a summary that fails: whole turns are left out with a note", async () => {
	const s = await people();
	const before = summary;
	summary = () => ({ status: 500, error: "no" });
	try {
		await until(s, 1);
	} finally {
		summary = before;
	}
	const [sum] = await summaries(s);
	assert.equal(sum.parts[0].summarised, false);
	assert.match(sum.content, /were left out/);
	await replays(s);
});

test("a model whose window is not known is told everything", async () => {
	const s = await people({ model_name: "openai/stub-2" });
	for (let i = 0; i < 8; i++)
		await say(s, `${i} ${LONG}`);
	assert.deepEqual(await summaries(s), []);
	assert.equal(requests().at(-1).length, 16);
});

test("killed while it summarises, another process does it", async () => {
	const own = await start({
		env: { OPENAI_API_KEY: "sesame" },
		set: [`plugins.llm_openai.base_url=${stub.url}/v1`,
			"plugins.llm_openai.default_model=stub",
			`models.windows=["openai/stub=${WINDOW}"]`],
	});
	const first = server;
	server = own;
	try {
		const s = await people();
		const before = summary;
		let asked;
		const was = new Promise((done) => {
			asked = done;
		});
		summary = () => (asked(), { text: "never", hang_after: -1 });
		const going = (async () => {
			for (let i = 0; i < 12; i++) {
				const { body } = await api(own, "POST",
					`/api/chat/sessions/${s.thread.id}`,
					{ token: s.token, body: { content: `${i} ${LONG}` } });
				await ended(s, body.run.id, own);
			}
		})();
		going.catch(() => {});
		await was;
		await own.kill9();
		summary = before;
		await own.restart();
		const { body: { items: [run] } } = await api(own, "GET",
			`/api/runs?thread_id=${s.thread.id}&limit=1`,
			{ token: s.token });
		assert.equal((await ended(s, run.id, own)).state, "succeeded");
		assert.equal((await summaries(s)).length, 1);
		assert.equal((await summaries(s))[0].content,
			"They spoke of words.");
		await replays(s);
	} finally {
		server = first;
		await own.stop();
	}
});
