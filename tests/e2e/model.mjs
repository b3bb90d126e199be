// SPDX-License-Identifier: Apache-2.0
// A provider that speaks the OpenAI API and is strict about the history it
// gets, whatever happened in the thread before.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { events, messages, scene } from "../support/chat.mjs";
import { api, start } from "../support/server.mjs";
import { checkAnthropicMessages, start as startStub }
	from "../support/stub_model.mjs";

let server, stub;

// The settings of a server that has the stub for its provider.
const settings = () => [
	`plugins.llm_openai.base_url=${stub.url}/v1`,
	"plugins.llm_openai.default_model=stub",
	`plugins.toolkit_http.allow=["127.0.0.1:${stub.port}"]`,
];

before(async () => {
	stub = await startStub({ key: "sesame" });
	server = await start({
		env: { OPENAI_API_KEY: "sesame" },
		set: settings(),
	});
});
after(async () => {
	await server?.stop();
	await stub?.stop();
});

// The same history for the other family of providers.
function toAnthropic(list) {
	const out = [];

	const add = (role, blocks) => {
		const last = out[out.length - 1];

		if (last?.role === role)
			last.content.push(...blocks);
		else
			out.push({ role, content: blocks });
	};
	for (const m of list) {
		if (m.role === "tool") {
			add("user", [{ type: "tool_result",
				tool_use_id: m.tool_call_id, content: m.content }]);
		} else if (m.role !== "system") {
			add(m.role, [
				...m.content ? [{ type: "text", text: m.content }] : [],
				...(m.tool_calls ?? []).map((c) => ({ type: "tool_use",
					id: c.id, name: c.function.name,
					input: JSON.parse(c.function.arguments) })),
			]);
		}
	}
	return out;
}

afterEach(() => {
	for (const r of stub.log) {
		assert.equal(r.refused, null);
		if (r.body?.messages)
			checkAnthropicMessages(toAnthropic(r.body.messages));
	}
	stub.log.length = 0;
	stub.turns.length = 0;
});

const post = (s, path, body, headers = {}) => fetch((s.server ?? server).url + path, {
	method: "POST",
	headers: { "content-type": "application/json",
		authorization: `Bearer ${s.token}`, ...headers },
	body: JSON.stringify(body),
});

const say = (s, content, headers) => post(s, "/api/chat/interactive/stream",
	{ thread_id: s.thread.id, content }, headers);

// Everything until the end of the run.
async function turn(s, content, headers) {
	const seen = [];

	for await (const e of events(await say(s, content, headers)))
		seen.push(e.data);
	const end = seen[seen.length - 1];

	assert.equal(end.type, "run_status", JSON.stringify(seen));
	return { seen, end, text: seen.filter((e) => e.type === "message_delta")
		.map((e) => e.delta).join("") };
}

// What the provider has sent need not have arrived.
async function shown(s, id, text) {
	const response = await fetch(`${server.url}/api/runs/${id}/events`, {
		headers: { accept: "text/event-stream",
			authorization: `Bearer ${s.token}` } });
	let seen = "";

	for await (const { data } of events(response)) {
		if (data.type === "message_delta")
			seen = seen.slice(0, data.offset) + data.delta;
		if (seen === text)
			return;
	}
	assert.fail(`not shown: ${text}`);
}

const chats = () => stub.log.filter((r) => r.path.endsWith("/completions"));

test("an answer streams, with usage, key and trace", async () => {
	const s = await scene(server);
	const trace = "0af7651916cd43dd8448eb211c80319c";
	const { end, text } = await turn(s, "hello there",
		{ traceparent: `00-${trace}-b7ad6b7169203331-01` });

	assert.equal(text, "You said: hello there");
	assert.equal(end.state, "succeeded");
	assert.equal(end.usage.input_tokens, 9);
	assert.equal(end.usage.output_tokens, 4);
	const [request] = chats();
	assert.equal(request.headers.authorization, "Bearer sesame");
	assert.match(request.headers.traceparent, new RegExp(`^00-${trace}-`));
	assert.equal(request.body.model, "stub");
	assert.deepEqual(request.body.tools.map((t) => t.function.name).sort(),
		["calculator_evaluate", "clock_now"]);
});

test("parallel tool calls, one of which fails", async () => {
	const s = await scene(server);

	stub.script([{ text: "Let me see.", interleave: true, tool_calls: [
		{ id: "c1", name: "calculator_evaluate",
			args: { expression: "6*7" } },
		{ id: "c2", name: "calculator_evaluate",
			args: { expression: "1/0" } },
		{ id: "c3", name: "calculator_evaluate", args: { nonsense: 1 } },
		{ id: "c4", name: "no_such_tool", args: {} },
	] }]);
	const { seen, end } = await turn(s, "compute");
	const results = seen.filter((e) => e.type === "tool_result");

	assert.equal(end.state, "succeeded");
	assert.deepEqual(results.map((e) => e.is_error).sort(),
		[false, true, true, true]);
	const history = chats()[1].body.messages;
	const answers = history.filter((m) => m.role === "tool");
	assert.deepEqual(answers.map((m) => m.tool_call_id),
		["c1", "c2", "c3", "c4"]);
	assert.match(answers[0].content, /42/);
	assert.match(answers[1].content, /^Error/);
});

test("arguments that are not JSON do not end the thread", async () => {
	const s = await scene(server);

	stub.script([{ tool_calls: [{ id: "c1", name: "calculator_evaluate",
		args: "{\"expression\": " }] }]);
	await turn(s, "compute");
	const { end } = await turn(s, "and now?");
	assert.equal(end.state, "succeeded");
});

test("cancel closes the provider's socket and keeps the text", async () => {
	const s = await scene(server);

	stub.script([{ text: "one two three", hang_after: 2 }]);
	const run = await post(s, `/api/chat/sessions/${s.thread.id}`,
		{ content: "go" }).then((r) => r.json());

	await shown(s, run.run.id, "one two");
	const answer = await post(s, `/api/runs/${run.run.id}/cancel`, {});
	assert.equal(answer.status, 202);
	await stub.until(() => stub.count("aborted") === 1);
	await ended(s, run.run.id);

	const { end, text } = await turn(s, "go on");
	assert.equal(end.state, "succeeded");
	assert.equal(text, "You said: go on");
	const kept = (await messages(server, s)).find((m) =>
		m.state === "interrupted");
	assert.equal(kept?.content, "one two");
});

async function ended(s, id) {
	let cursor = 0;

	for (;;) {
		const { body } = await api(server, "GET",
			`/api/runs/${id}/events?wait=10&after=${cursor}`,
			{ token: s.token });

		if (body.items.some((e) => e.type === "run_status"
			&& e.status === "end"))
			return;
		cursor = body.head;
	}
}

test("cancel while tools run leaves a history without holes", async () => {
	const s = await scene(server, { toolkits: ["calculator", "http"] });

	stub.script([{ tool_calls: [
		{ id: "c1", name: "calculator_evaluate",
			args: { expression: "1+1" } },
		{ id: "c2", name: "http_request",
			args: { url: `${stub.url}/hang` } },
	] }]);
	const run = await post(s, `/api/chat/sessions/${s.thread.id}`,
		{ content: "go" }).then((r) => r.json());

	await stub.until(() => stub.hanging === 1);
	await post(s, `/api/runs/${run.run.id}/cancel`, {});
	await stub.until(() => stub.hanging === 0);
	await ended(s, run.run.id);
	const { end } = await turn(s, "and?");
	assert.equal(end.state, "succeeded");
});

test("failures of the provider", async (t) => {
	const cases = {
		"an error in the stream": { text: "a b c", error_after: 2 },
		"a connection that is reset": { text: "a b c", delay_ms: 20,
			disconnect_after: 2 },
		"a stream that just ends": { text: "a b c", end_after: 2 },
		"nothing at all": { tokens: [], end_after: 0 },
		"a refused request": { status: 400 },
		"a quota that is used up": { status: 429, error: {
			message: "pay", code: "insufficient_quota" } },
	};

	const own = await start({ env: { OPENAI_API_KEY: "sesame" },
		set: [...settings(), "models.tries=1"] });
	t.after(() => own.stop());
	for (const [name, failure] of Object.entries(cases)) {
		await t.test(name, async () => {
			const s = { ...await scene(own), server: own };

			stub.script([failure]);
			const { end } = await turn(s, "try");
			assert.equal(end.status, "running");
			assert.equal(end.state, "recoverable_error");
			assert.ok(end.error.code && end.error.message,
				JSON.stringify(end));
			assert.equal(end.error.service, "openai");
			assert.deepEqual(end.error.actions,
				["retry", "switch_model", "cancel"]);
			const again = await turn(s, "once more");
			assert.equal(again.end.state, "succeeded");
		});
	}
});

test("429 and 503 are tried again", async () => {
	const s = await scene(server);

	stub.script([{ status: 429, retry_after: "0.01" },
		{ status: 503, headers: { "retry-after-ms": "1" } }]);
	const { end, text } = await turn(s, "patience");
	assert.equal(end.state, "succeeded");
	assert.equal(text, "You said: patience");
	assert.equal(chats().length, 3);
});

test("a tool reads a page that the admin allows, and no other", async () => {
	const s = await scene(server, { toolkits: ["http"] });
	const read = (url) => [{ tool_calls: [{ id: "c1", name: "http_request",
		args: { url } }] }];

	stub.script(read(`${stub.url}/hello`));
	let { seen } = await turn(s, "read");
	assert.match(JSON.stringify(seen.find((e) =>
		e.type === "tool_result").result), /hello from the stub/);
	stub.script(read("http://localhost:1/"));
	({ seen } = await turn(s, "read"));
	const { error } = seen.find((e) => e.type === "tool_result");
	assert.equal(error.code, "FORBIDDEN");
	assert.match(error.message, /plugins\.toolkit_http\.allow/);
});

test("an answer in small pieces, with what is not ASCII", async () => {
	const s = await scene(server);
	const words = "Gr\u00fc\u00dfe \u4e16\u754c \u{1f600} ok";

	stub.script([{ text: words, chop: 1 }]);
	assert.equal((await turn(s, "hi")).text, words);
});
