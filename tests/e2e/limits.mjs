// SPDX-License-Identifier: Apache-2.0
//
// A provider that is as strict as the real ones, reached through llm_openai:
// what it gets, what it refuses, and that nothing of it can break a thread.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { log, messages, newThread, scene } from "../support/chat.mjs";
import { api, start } from "../support/server.mjs";
import { start as startModel } from "../support/stub_model.mjs";
import { connect } from "../support/ws.mjs";

const KEY = "sk-end-to-end";
const TRACE = "0af7651916cd43dd8448eb211c80319c";
let server, stub, s, socket;

const settings = () => [
	`plugins.llm_openai.base_url=${stub.url}/v1`,
	"plugins.llm_openai.enabled=true",
	"plugins.llm_openai.default_model=stub",
	"models.default=openai/stub",
	`plugins.toolkit_http.allow=["127.0.0.1:${stub.port}"]`,
];

before(async () => {
	stub = await startModel({ key: KEY });
	server = await start({ set: settings(), env: { OPENAI_API_KEY: KEY } });
	s = await scene(server, { toolkits: ["calculator", "clock", "http"],
		memory: { enabled: true, facts: ["Ada likes primes."] } });
});
after(async () => {
	await server?.stop();
	await stub?.stop();
});
afterEach(() => {
	stub.log.length = 0;
	stub.turns.length = 0;
});

const chats = () => stub.log.filter((r) => r.path === "/v1/chat/completions");

async function enter(to = server, who = s) {
	const mine = { ...who,
		thread: await newThread(to, who.person, who.agent.id) };
	socket = await connect(to, mine.thread.id, { token: who.token });
	await socket.type("snapshot");
	return mine;
}

// How the run of this message stops, whatever becomes of an older one.
async function say(content) {
	socket.send({ type: "message", content });
	const { run_id } = await socket.until((f) => f.type === "message_created" &&
		f.message.role === "user", "the message");
	return socket.stops(run_id);
}

async function resume(run_id, action = "retry", to = server, who = s) {
	const answer = await api(to, "POST", `/api/runs/${run_id}/resume`,
		{ token: who.token, body: { action } });
	assert.equal(answer.status, 202, JSON.stringify(answer.body));
	return socket.stops(run_id);
}

test("traceparent and key reach the provider; facts and tools too", async () => {
	const mine = await enter();
	const { status, body } = await api(server, "POST",
		`/api/chat/sessions/${mine.thread.id}`, {
			token: s.token,
			body: { content: "hello" },
			headers: { traceparent: `00-${TRACE}-00f067aa0ba902b7-01` },
		});
	assert.equal(status, 202);
	assert.equal((await socket.end()).state, "succeeded");
	const [request] = chats();
	assert.equal(request.refused, null);
	assert.match(request.headers.traceparent,
		new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`));
	assert.equal(request.headers.authorization, `Bearer ${KEY}`);
	assert.equal(request.body.messages[0].role, "system");
	assert.match(JSON.stringify(request.body.messages[0]), /Ada likes primes/);
	const names = request.body.tools.map((t) => t.function.name);
	for (const name of ["calculator_evaluate", "clock_now", "http_request", "remember"])
		assert.ok(names.includes(name), name);
	assert.equal((await messages(server, mine))[1].content, "You said: hello");
	assert.ok(body.run.id);
	await socket.close();
});

test("a traceparent that is none is not passed on", async () => {
	const mine = await enter();
	for (const traceparent of ["nonsense", `00-${"0".repeat(32)}-00f067aa0ba902b7-01`,
		`ff-${TRACE}-00f067aa0ba902b7-01`]) {
		const { status } = await api(server, "POST",
			`/api/chat/sessions/${mine.thread.id}`,
			{ token: s.token, body: { content: "hello" }, headers: { traceparent } });
		assert.equal(status, 202);
		await socket.end();
		const sent = chats().at(-1).headers.traceparent;
		assert.ok(sent === undefined || /^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/.test(sent), sent);
		assert.notEqual(sent, traceparent);
	}
	await socket.close();
});

test("calls in parallel, pieces interleaved; results in the order of the calls", async () => {
	const mine = await enter();
	stub.script([{ text: "Two at once.", interleave: true, tool_calls: [
		{ id: "call_a", name: "http_request", args: { url: `${stub.url}/hello` } },
		{ id: "call_b", name: "calculator_evaluate", args: { expression: "6*7" } },
		{ id: "call_c", name: "no_such_tool", args: {} },
		{ id: "call_d", name: "calculator_evaluate", args: "{\"expression\":" },
	] }, { text: "Done." }]);
	assert.equal((await say("go")).state, "succeeded");
	const [, second] = chats();
	assert.equal(second.refused, null);
	const sent = second.body.messages;
	assert.deepEqual(sent.filter((m) => m.role === "tool").map((m) => m.tool_call_id),
		["call_a", "call_b", "call_c", "call_d"]);
	const stored = await messages(server, mine);
	const by = (id) => stored.find((m) => m.tool_call_id === id);
	assert.match(by("call_a").content, /hello from the stub/);
	assert.equal(by("call_b").content, "42");
	assert.match(by("call_c").content, /^Error NOT_FOUND/);
	assert.match(by("call_d").content, /^Error VALIDATION_FAILED/);
	assert.equal(stored.at(-1).content, "Done.");
	assert.equal(chats().every((r) => r.refused === null), true);
	await socket.close();
});

test("429 with Retry-After is tried again; usage is counted", async () => {
	await enter();
	stub.script([{ status: 429, retry_after: 0, error: "slow down" },
		{ status: 503, error: "overloaded" },
		{ text: "Here I am.", usage: { prompt_tokens: 11, completion_tokens: 4,
			total_tokens: 15 } }]);
	const end = await say("hello");
	assert.equal(end.state, "succeeded");
	assert.equal(end.usage.input_tokens, 11);
	assert.equal(end.usage.output_tokens, 4);
	assert.equal(chats().length, 3);
	await socket.close();
});

test("what is refused for good parks the run, and the next message ends it", async () => {
	const mine = await enter();
	stub.script([{ status: 400, error: "no" }]);
	const stop = await say("hello");
	assert.equal(stop.state, "recoverable_error");
	assert.equal(stop.status, "running");
	assert.deepEqual(stop.error.actions, ["retry", "switch_model", "cancel"]);
	assert.ok(!JSON.stringify(stop).includes(KEY));
	assert.equal(chats().length, 1);
	assert.equal((await say("again")).state, "succeeded");
	assert.ok(chats().every((r) => r.refused === null));
	const old = (await log(server, mine)).filter((e) => e.run_id === stop.run_id);
	assert.equal(old.at(-1).state, "cancelled");
	assert.equal(old.at(-1).reason, "superseded");
	await socket.close();
});

test("a connection lost before the first word is tried again", async () => {
	const mine = await enter();
	stub.script([{ text: "never seen", disconnect_after: 0 },
		{ text: "whole and sound" }]);
	assert.equal((await say("hello")).state, "succeeded");
	assert.equal(chats().length, 2);
	assert.equal((await messages(server, mine)).at(-1).content, "whole and sound");
	await socket.close();
});

test("an answer that breaks off is begun again", async () => {
	const mine = await enter();
	stub.script([{ text: "one two three four", end_after: 2 },
		{ text: "whole and sound" }]);
	assert.equal((await say("hello")).state, "succeeded");
	assert.equal(chats().length, 2);
	assert.deepEqual(chats()[1].body.messages, chats()[0].body.messages);
	const waits = socket.frames.filter((f) => f.state === "waiting_timer");
	assert.equal(waits.length, 1);
	assert.equal(waits[0].reason, "retry");
	assert.ok(waits[0].in_ms > 0);
	assert.equal(waits[0].error.code, "UPSTREAM_UNAVAILABLE");
	const at = socket.frames.findIndex((f) => f.type === "message_reset");
	const said = (list) => list.filter((f) => f.type === "message_delta")
		.map((f) => f.delta).join("");
	assert.equal(said(socket.frames.slice(0, at)), "one two");
	assert.equal(said(socket.frames.slice(at)), "whole and sound");
	assert.deepEqual((await messages(server, mine)).map((m) => m.content),
		["hello", "whole and sound"]);
	await socket.close();
});

test("the text of an answer that is given up is kept, and not sent again", async () => {
	const own = await start({ env: { OPENAI_API_KEY: KEY },
		set: [...settings(), "models.tries=1"] });
	try {
		const who = await scene(own);
		const mine = await enter(own, who);
		const broken = { text: "one two three four", end_after: 2 };
		stub.script([broken, { text: "All of it." }, broken]);
		const stop = await say("hello");
		assert.equal(stop.state, "recoverable_error");
		assert.equal(stop.error.code, "UPSTREAM_UNAVAILABLE");
		const stored = (await messages(own, mine)).at(-1);
		assert.equal(stored.state, "interrupted");
		assert.equal(stored.content, "one two");
		assert.equal(socket.frames.filter((f) => f.type === "message_delta")
			.map((f) => f.delta).join(""), "one two");
		// The run goes on: the model is asked the same again.
		assert.equal((await resume(stop.run_id, "retry", own, who)).state,
			"succeeded");
		assert.deepEqual(chats()[1].body.messages, chats()[0].body.messages);
		assert.deepEqual((await messages(own, mine)).map((m) => m.content),
			["hello", "one two", "All of it."]);
		// Another message ends it: then the text was its last word.
		assert.equal((await say("and then?")).state, "recoverable_error");
		assert.equal((await say("and now?")).state, "succeeded");
		assert.deepEqual(chats().at(-1).body.messages.slice(1)
			.map((m) => m.content), ["hello", "All of it.", "and then?",
			"one two", "and now?"]);
		assert.ok(chats().every((r) => r.refused === null));
		await socket.close();
	} finally {
		await own.stop();
	}
});

test("a stop closes the provider's connection", async () => {
	const mine = await enter();
	stub.script([{ text: "one two three", hang_after: 2 }]);
	socket.send({ type: "message", content: "hello" });
	const { run_id } = await socket.type("message_delta");
	socket.send({ type: "cancel", run_id });
	await stub.until((st) => st.count("aborted") >= 1);
	assert.equal((await socket.end()).state, "cancelled");
	assert.equal((await messages(server, mine)).at(-1).state, "interrupted");
	assert.equal((await say("again")).state, "succeeded");
	assert.ok(chats().every((r) => r.refused === null));
	await socket.close();
});

test("so does a stop before the first byte", async () => {
	await enter();
	stub.script([{ hang_after: -1 }]);
	socket.send({ type: "message", content: "hello" });
	const { run_id } = await socket.type("message_start");
	await stub.until(() => chats().length === 1);
	socket.send({ type: "cancel", run_id });
	await stub.until((st) => st.count("aborted") >= 1);
	assert.equal((await socket.end()).state, "cancelled");
	await socket.close();
});

test("a stop in the middle of tools leaves a history that is taken", async () => {
	const mine = await enter();
	stub.script([{ tool_calls: [
		{ id: "call_1", name: "calculator_evaluate", args: { expression: "1+1" } },
		{ id: "call_2", name: "http_request", args: { url: `${stub.url}/hang` } },
	] }]);
	socket.send({ type: "message", content: "go" });
	const { run_id } = await socket.type("tool_call");
	await stub.until((st) => st.hanging > 0);
	socket.send({ type: "cancel", run_id });
	await stub.until((st) => st.hanging === 0);
	assert.equal((await socket.end()).state, "cancelled");
	assert.equal((await say("and now?")).state, "succeeded");
	const last = chats().at(-1);
	assert.equal(last.refused, null);
	const ids = last.body.messages.filter((m) => m.role === "tool")
		.map((m) => m.tool_call_id);
	assert.deepEqual(ids.sort(), ["call_1", "call_2"]);
	const stored = await messages(server, mine);
	assert.equal(stored.filter((m) => m.role === "tool").length, 2);
	await socket.close();
});

test("steps and tokens have limits, which a person extends", async () => {
	const own = await start({ env: { OPENAI_API_KEY: KEY }, set: [...settings(),
		"runs.max_steps=3", "runs.max_tokens=100"] });
	try {
		const who = await scene(own, { toolkits: ["calculator"] });
		const loop = { tool_calls: [{ id: "call_x", name: "calculator_evaluate",
			args: { expression: "1+1" } }] };
		const mine = await enter(own, who);
		stub.script([{ ...loop, times: 10 }]);
		const end = await say("for ever");
		assert.equal(end.state, "recoverable_error");
		assert.equal(end.error.code, "LIMIT_REACHED");
		assert.deepEqual(end.error.actions, ["extend", "cancel"]);
		assert.equal(chats().length, 3);
		// Without more of it a run that goes on stops at the same place.
		assert.equal((await resume(end.run_id, "retry", own, who)).error.code,
			"LIMIT_REACHED");
		assert.equal(chats().length, 3);
		stub.turns.length = 0;
		assert.equal((await resume(end.run_id, "extend", own, who)).state,
			"succeeded");
		assert.equal(chats().length, 4);
		assert.ok(chats().every((r) => r.refused === null));
		stub.script([{ ...loop, usage: { prompt_tokens: 90, completion_tokens: 20,
			total_tokens: 110 } }]);
		const second = await say("too much");
		assert.equal(second.state, "recoverable_error");
		assert.equal(second.error?.code, "LIMIT_REACHED");
		assert.equal((await say("a little")).state, "succeeded");
		assert.ok(chats().every((r) => r.refused === null),
			JSON.stringify(chats().map((r) => r.refused)));
		await log(own, mine);
		await socket.close();
	} finally {
		await own.stop();
	}
});

test("a model that goes in circles is told so, then stopped", async () => {
	const mine = await enter();
	stub.script([{ tool_calls: [{ id: "call_x", name: "calculator_evaluate",
		args: { expression: "1+1" } }], times: 10 }]);
	const stop = await say("round and round");
	assert.equal(stop.state, "recoverable_error");
	assert.equal(stop.error.code, "LOOP_DETECTED");
	assert.deepEqual(stop.error.actions, ["extend", "cancel"]);
	assert.equal(chats().length, 5);
	const results = (await messages(server, mine)).filter((m) => m.role === "tool");
	assert.deepEqual(results.map((m) => /the same call/.test(m.content)),
		[false, false, true, false, false]);
	stub.turns.length = 0;
	assert.equal((await resume(stop.run_id, "extend")).state, "succeeded");
	await socket.close();
});
