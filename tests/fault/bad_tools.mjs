#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
//
// Tools and models that answer with garbage, with too much, too late, twice,
// after a stop, or never.  Prints TAP, then a table: what came of it, within
// which time, of which deadline, and how much memory the server took for it.
//
//   bad_tools.mjs [--quick]      without what has to wait for a deadline
//
// Whatever it is, there is a typed result within its deadline (ten times that
// here), the run goes on or can be resumed, and the next message is answered.
//
// Environment: as matrix.mjs.

import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

import { messages } from "../support/chat.mjs";
import { api } from "../support/server.mjs";
import { pause, until } from "../support/wait.mjs";
import { startBad } from "./bad_service.mjs";
import { checked, drill, options, shown } from "./drill.mjs";

const IDLE_MS = 1000; // a silent model, and a silent HTTP service
const CALL_MS = 2500; // of a model
const TOOL_MS = 2500;
const AT_ONCE_MS = 500; // what needs no deadline to end
const SLACK = 10;
const PEAK_MAX = 48; // MiB that one case may take for a while
const GROWTH_MAX = 16; // MiB more after all that came once before

// ---- Models -----------------------------------------------------------------

const event = (delta, finish = null) => `data: ${JSON.stringify({
	choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
const DONE = "data: [DONE]\n\n";
const answer = (text) => [event({ content: text }), event({}, "stop"), DONE];

// Without end, as long as somebody reads.
function* endless(first, piece) {
	yield first;
	for (;;)
		yield piece;
}

function* parts(first, piece, n) {
	yield first;
	for (let i = 0; i < n; i++)
		yield piece;
}

async function* slowly(piece, ms) {
	for (;;) {
		yield piece;
		await pause(ms);
	}
}

const BIG = "x".repeat(16 * 1024);
const calls = (n) => Array.from({ length: n }, (_, i) =>
	({ name: "witness_read", args: { id: `${i}` } }));
const PARKED = /^recoverable_error (\w+)$/;

// turn: what the model says at first; ends: how its run stops then.
const models = [
	{ name: "an event that is not JSON", turn: { raw: ["data: {oops\n\n"] } },
	{ name: "lines that are no events", turn: {
		raw: ["HTTP\r\r\n: a\n\0\0\nid\ndat", "\n\n\n"] } },
	{ name: "random bytes", turn: { raw: [randomBytes(65536)] } },
	{ name: "a page instead of a stream", turn: { raw: ["<html>Sorry</html>"],
		headers: { "content-type": "text/html" } } },
	{ name: "JSON of another kind", turn: { raw: ["[[[\"what?\"]]]"],
		headers: { "content-type": "application/json" } } },
	{ name: "events of another kind", turn: {
		raw: ["data: [1]\n\n", "data: {\"choices\": 7}\n\n", DONE] } },
	{ name: "text without end", code: /TOO_LARGE/, turn: () => ({
		raw: endless(event({ content: "Once" }), event({ content: BIG })) }) },
	{ name: "reasoning without end", code: /TOO_LARGE/, turn: () => ({
		raw: endless("", event({ reasoning_content: BIG })) }) },
	{ name: "65 tool calls", code: /TOO_LARGE/, turn: { tool_calls: calls(65) } },
	{ name: "arguments without end", code: /TOO_LARGE/, turn: () => ({
		raw: endless(event({ tool_calls: [{ index: 0, id: "c",
			function: { name: "witness_read", arguments: "{\"id\":\"" } }] }),
		event({ tool_calls: [{ index: 0, function: { arguments: BIG } }] })) }) },
	{ name: "an event without end", code: /TOO_LARGE/, turn: () => ({
		raw: endless("data: ", BIG) }) },
	{ name: "100 MiB of JSON", code: /TOO_LARGE/, turn: () => ({
		raw: parts("{\"x\":\"", BIG, 6400),
		headers: { "content-type": "application/json" } }) },
	{ name: "silence after some words", deadline: IDLE_MS, code: /TIMEOUT/,
		turn: { text: "one two three", hang_after: 2 } },
	{ name: "no answer at all", deadline: IDLE_MS, code: /TIMEOUT/,
		turn: { hang_after: -1 } },
	{ name: "signs of life only", deadline: CALL_MS, code: /TIMEOUT/,
		turn: () => ({ raw: slowly(": wait\n\n", 100) }) },
	{ name: "words after the deadline", deadline: CALL_MS, code: /TIMEOUT/,
		turn: () => ({ raw: slowly(event({ content: "so " }), 100) }) },
	{ name: "two ends", ends: "succeeded", turn: { raw: [...answer("Yes."),
		DONE] }, says: "Yes." },
	{ name: "two answers", ends: "succeeded", turn: { raw: [...answer("Yes."),
		...answer("No.")] }, says: "Yes." },
	{ name: "words after a stop", deadline: AT_ONCE_MS, ends: "cancelled",
		stop: (f) => f.type === "message_start",
		turn: () => ({ raw: slowly(event({ content: "so " }), 100) }) },
	{ name: "nothing after a stop", deadline: AT_ONCE_MS, ends: "cancelled",
		stop: (f) => f.type === "message_start", turn: { hang_after: -1 } },
];

// ---- Tools ------------------------------------------------------------------

// gives: what its result has to match; a tool's failure is for the model, so
// its run goes on.
const http = (manner, more) => ({ name: `GET: ${manner}`, tool: "http_request",
	args: { url: manner }, ...more });
const tools = [
	http("no-http", { gives: /UPSTREAM/ }),
	http("odd-status", { gives: /UPSTREAM/ }),
	http("bytes", { gives: /not text/ }),
	http("half-json", { gives: /result/ }),
	http("deep", { gives: /\[\[\[/ }),
	http("short", { gives: /UPSTREAM/ }),
	http("chunks", { gives: /UPSTREAM/ }),
	http("loop", { gives: /./ }),
	http("huge", { gives: /truncated":\s?true/ }),
	http("headers", { gives: /UPSTREAM|LIMIT/ }),
	http("drip", { gives: /TIMEOUT/, deadline: TOOL_MS }),
	http("late", { gives: /TIMEOUT/, deadline: IDLE_MS }),
	http("never", { gives: /TIMEOUT/, deadline: IDLE_MS }),
	http("twice", { gives: /answer[^0-9]*1/ }),
	{ ...http("good", { gives: /"n\W+\d/ }), name: "GET: the one after twice" },
	{ name: "read: JSON that breaks off", tool: "witness_read",
		manner: "half-json", gives: /UPSTREAM|INVALID/ },
	{ name: "read: JSON that is too deep", tool: "witness_read",
		manner: "deep", gives: /UPSTREAM|INVALID/ },
	{ name: "read: 100 MiB of JSON", tool: "witness_read",
		manner: "huge-json", gives: /LIMIT|TOO_LARGE/ },
	{ name: "read: never", tool: "witness_read", manner: "never",
		gives: /TIMEOUT/, deadline: TOOL_MS },
	{ name: "send, once: never", tool: "witness_send", manner: "never",
		deadline: TOOL_MS, ends: /^recoverable_error OUTCOME_UNKNOWN/ },
	{ name: "send, once: no HTTP", tool: "witness_send", manner: "no-http",
		ends: /^recoverable_error OUTCOME_UNKNOWN/ },
	{ name: "send, once: cut off", tool: "witness_send", manner: "short",
		ends: /^recoverable_error OUTCOME_UNKNOWN/ },
	{ name: "send, once: 100 MiB of JSON", tool: "witness_send",
		manner: "huge-json", ends: /^recoverable_error OUTCOME_UNKNOWN/ },
	{ name: "read: an answer after a stop", tool: "witness_read",
		manner: "late", deadline: AT_ONCE_MS, ends: /^cancelled/,
		stop: (f) => f.type === "tool_call" },
	{ name: "send, once: an answer after a stop", tool: "witness_send",
		manner: "late", deadline: AT_ONCE_MS, ends: /^cancelled/,
		stop: (f) => f.type === "tool_call" },
];

// ---- One case ---------------------------------------------------------------

const MIB = 1024 * 1024;
const status = (server, name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m")
	.exec(readFileSync(`/proc/${server.child.pid}/status`, "utf8"))[1]) * 1024;
const rss = (server) => status(server, "VmRSS");

// The peak is counted from here on.
const resetPeak = (server) =>
	writeFileSync(`/proc/${server.child.pid}/clear_refs`, "5");

// What the model says, and what the service does, follow from the case.
function director(bad) {
	const d = { at: null, asked: 0 };

	d.decide = (messages) => {
		const c = d.at;
		const isResult = messages.at(-1).role === "tool";

		if (!c || d.asked++ > 0 || isResult)
			return { text: "Fine." };
		if (!c.tool)
			return typeof c.turn === "function" ? c.turn() : c.turn;
		return { tool_calls: [{ name: c.tool, args: c.args
			? { ...c.args, url: `${bad.url}/${c.args.url}` }
			: { id: "x" } }] };
	};
	d.begin = (c) => {
		d.at = c;
		d.asked = 0;
		bad.manner = c?.manner;
	};
	return d;
}

async function say(talk, server, content) {
	const { status: code, body } = await talk.say(server, content,
		`${content} ${performance.now()}`);

	if (code !== 202)
		throw new Error(`${content}: ${code} ${JSON.stringify(body)}`);
	return body.run.id;
}

async function stop(c, talk, server, bad, run) {
	await talk.until((f) => f.run_id === run && c.stop(f), "a time to stop");
	if (c.tool)
		await until("the call", () => bad.n > c.n);
	const from = performance.now();
	await api(server, "POST", `/api/runs/${run}/cancel`,
		{ token: talk.token });
	return from;
}

// How its run came to rest, as "state CODE".
async function play(c, talk, server, bad) {
	let from = performance.now();

	c.n = bad.n;
	c.run = await say(talk, server, c.name);
	if (c.stop)
		from = await stop(c, talk, server, bad, c.run);
	const { state, error } = await talk.rest(c.run);

	c.ms = performance.now() - from;
	c.rest = error ? `${state} ${error.code}` : state;
	if (!c.tool)
		return;
	const result = talk.seen.find((f) => f.type === "tool_result" &&
		f.run_id === c.run);
	c.result = JSON.stringify(result?.error ?? result?.result ?? null);
	c.outcome = result?.outcome;
	if (!c.stop && result)
		c.ms = result.duration_ms;
}

// A run that waits goes on when a person says so; then comes another message.
async function recover(c, talk, server, director_) {
	if (c.rest.startsWith("recoverable_error") && !c.tool) {
		talk.seen.length = 0;
		await api(server, "POST", `/api/runs/${c.run}/resume`,
			{ token: talk.token, body: { action: "retry" } });
		c.again = (await talk.rest(c.run)).state;
	}
	talk.seen.length = 0;
	director_.begin(null);
	c.next = (await talk.rest(await say(talk, server, "hello"))).state;
}

function judge(c) {
	const problems = [];
	const claim = (ok, text) => ok || problems.push(text);
	const ends = c.ends ?? (c.tool ? "succeeded" : PARKED);
	const ms = SLACK * (c.deadline ?? AT_ONCE_MS);

	claim(typeof ends === "string" ? c.rest === ends : ends.test(c.rest),
		`the run is ${c.rest}`);
	claim(!c.code || c.code.test(c.rest), `the run stops with ${c.rest}`);
	claim(!c.gives || c.gives.test(c.result), `the result is ${c.result
		?.slice(0, 200)}`);
	claim(!c.says || c.said === c.says, `it said ${c.said}`);
	claim(c.ms <= ms, `it took ${Math.round(c.ms)} of ${ms} ms`);
	claim(c.again === undefined || c.again === "succeeded",
		`when it went on it was ${c.again}`);
	claim(c.next === "succeeded", `the next message was ${c.next}`);
	claim(c.peak <= PEAK_MAX * MIB, `it took ${mib(c.peak)} MiB`);
	return problems;
}

const mib = (bytes) => (bytes / MIB).toFixed(1);

function tell(tap, c) {
	const result = c.tool && !c.stop && c.outcome
		? `${c.outcome} ${/"code":"(\w+)"/.exec(c.result)?.[1] ?? ""}`
		: c.rest;

	tap.note([c.name.padEnd(36), result.trim().padEnd(40),
		String(Math.round(c.ms)).padStart(6),
		String(c.deadline ?? "-").padStart(6), mib(c.peak).padStart(6)]
		.join(" "));
}

// ---- All of them ------------------------------------------------------------

async function tryCase(c, story, server, bad, d, tap) {
	// What others have said before is no burden of this one.
	const talk = await story.talk(server);

	await talk.read(server);
	const before = rss(server);
	resetPeak(server);
	d.begin(c);
	await play(c, talk, server, bad);
	if (c.says)
		c.said = (await messages(server, { token: story.token,
			thread: { id: talk.thread } })).at(-1).content;
	c.peak = Math.max(0, status(server, "VmHWM") - before);
	await recover(c, talk, server, d);
	await shown({ talks: [talk] }, server);
	talk.leave();
	const problems = judge(c);

	problems.forEach((p) => tap.note(`${c.name}: ${p}`));
	tap.ok(problems.length === 0, `${c.tool ? "a tool" : "a model"}: ${c.name}`);
}

async function run(story, tap, bad, d, cases) {
	const server = await story.start({ env: {
		// What the sanitizer keeps back is nothing that the server keeps.
		ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ""}:quarantine_size_mb=4`,
	}, set: ["models.tries=1", `models.call_timeout=${CALL_MS}ms`, `runs.tool_timeout=${TOOL_MS}ms`,
		`plugins.toolkit_http.allow=["127.0.0.1:${bad.port}"]`,
		`plugins.toolkit_http.timeout=${IDLE_MS}ms`,
		`plugins.llm_openai.idle=${IDLE_MS}ms`,
		`plugins.toolkit_witness.base_url=${bad.url}`] });

	for (const c of cases)
		await tryCase(c, story, server, bad, d, tap);
	// What has been taken once may be kept for the next time, but no more.
	const before = rss(server);
	await story.weigh(server, "server", "before");
	for (const c of cases.filter((x) => !x.deadline))
		await tryCase({ ...c, name: `${c.name}, again` }, story, server, bad, d,
			tap);
	const growth = rss(server) - before;
	await story.weigh(server, "server", "after");

	tap.note(["what".padEnd(36), "what came of it".padEnd(40), "    ms",
		" limit", "   MiB"].join(" "));
	cases.forEach((c) => tell(tap, c));
	tap.note(`${mib(before)} MiB after all, ${mib(growth)} MiB more when all ` +
		"that has no limit of time came again");
	tap.ok(growth <= GROWTH_MAX * MIB, "it keeps nothing of all that");
	tap.ok((await server.stop()).code === 0, "the server lived through it");
	await checked(story, tap);
}

const { quick } = options(process.argv.slice(2), { quick: false });
const bad = await startBad();
const d = director(bad);

await drill("sqlite", { stub: { decide: d.decide },
	scene: { toolkits: ["witness", "http"] } },
(story, tap) => run(story, tap, bad, d, [...models, ...tools]
	.filter((c) => !quick || !c.deadline)));
await bad.stop();
