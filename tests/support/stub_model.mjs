#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
//
// A model provider for tests: OpenAI's Chat Completions and embeddings, and
// Anthropic's Messages, on a free port of this machine, as strict about the
// history as the real ones.
//
//   stub_model.mjs [--port N] [--key SECRET] [--script FILE] [--delay-ms N]
//
// prints "listening on http://127.0.0.1:PORT"; the base URL is that + "/v1".
// As a module: const stub = await start({port, key, turns, delay_ms});
// stub.url, stub.script(turns), stub.log, stub.until(fn), stub.stop().
//
// What it answers: what start's decide(messages, request) returns, if it is a turn;
// else the next turn of its script (POST /_script with an array adds turns);
// else what the last user message demands by a first line
// "stub: {turn}"; else "You said: TEXT", or "The result is: TEXT" after a tool.
//
// A turn, all members optional:
//   text | tokens [..]        the answer, in pieces of a word each
//   reasoning                 text before it
//   refusal                   text of a refusal instead
//   tool_calls [{id, name, args}]    args an object, or a text sent as it is
//   interleave                parallel calls come in turns, piece by piece
//   delay_ms, first_delay_ms  pauses between pieces and before the first
//   finish                    finish_reason instead of the usual one
//   usage                     an object to merge, or false for none
//   status, error, retry_after, headers    refuse with this status, if it is
//                             the next turn embeddings, too
//   error_after N             an error event after N pieces
//   disconnect_after N        reset the connection after N pieces
//   end_after N               end the stream, without finish or [DONE]
//   hang_after N              say nothing more after N pieces; -1: not even
//                             the head
//   hold_after N, hold        go on after N pieces when this promise is kept
//   no_done                   end without [DONE]
//   chop N                    write N bytes at a time
//   raw [..]                  these texts or bytes as they are, instead of all
//                             that; or what a generator gives
//   whole                     answer with one JSON object, no stream
//   times N                   stands for N turns (default 1)
//   match                     skipped unless the last text contains this
//
// GET /_log: {"requests": [...], "aborted": N}.  GET /_wait?requests=N,
// ?aborted=N or ?pieces=N answers when there are that many.  POST /_reset
// forgets log and script.  GET /hello is a page to fetch, /bytes is no text,
// /latin is text in another encoding, /gone is a 404, /echo says what it got, /hang
// never answers (stub.hanging counts those).

import http from "node:http";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const NAME = /^[a-zA-Z0-9_-]{1,64}$/;
const BODY_MAX = 64 * 1024 * 1024;
const KNOWN = new Set(("model messages stream stream_options tools tool_choice "
	+ "parallel_tool_calls temperature top_p stop seed max_tokens "
	+ "max_completion_tokens reasoning_effort response_format n user "
	+ "frequency_penalty presence_penalty logprobs top_logprobs logit_bias "
	+ "store metadata service_tier").split(" "));

class Refusal extends Error {
	constructor(message, param, status = 400, code = null) {
		super(message);
		this.status = status;
		this.param = param;
		this.code = code;
	}
}

function must(ok, message, param) {
	if (!ok)
		throw new Refusal(message, param);
}

const isObject = (v) => v !== null && typeof v === "object"
	&& !Array.isArray(v);
const isText = (v) => typeof v === "string" && v.length > 0;

function parsesToObject(text) {
	try {
		return isObject(JSON.parse(text));
	} catch {
		return false;
	}
}

// ---- What OpenAI's server refuses

function checkContent(content, where) {
	if (typeof content === "string")
		return must(content.length > 0, `${where}: empty content`, where);
	must(Array.isArray(content) && content.length > 0,
		`${where}: content must be a text or a list of parts`, where);
	for (const part of content)
		must(isObject(part) && isText(part.type)
			&& (part.type !== "text" || isText(part.text)),
			`${where}: empty or unknown part`, where);
}

function checkAssistant(m, where) {
	const calls = m.tool_calls;

	if (m.content !== null && m.content !== undefined)
		checkContent(m.content, `${where}.content`);
	if (calls === undefined)
		return must(m.content !== null && m.content !== undefined,
			`${where}: an assistant message must have content or `
			+ "tool_calls", where);
	must(Array.isArray(calls) && calls.length > 0,
		`${where}.tool_calls: [] is too short`, where);
	const ids = new Set();
	for (const c of calls) {
		must(isText(c.id) && c.type === "function" && isObject(c.function),
			`${where}: a tool call needs id, type and function`, where);
		must(c.id.length <= 40, `${where}: tool call id too long`, where);
		must(!ids.has(c.id), `${where}: tool call id '${c.id}' twice`,
			where);
		ids.add(c.id);
		must(typeof c.function.name === "string"
			&& NAME.test(c.function.name),
			`${where}: invalid function name '${c.function.name}'`,
			where);
		must(typeof c.function.arguments === "string"
			&& parsesToObject(c.function.arguments),
			`${where}: function.arguments is not a JSON object`, where);
	}
}

export function checkMessages(messages) {
	let open = null;

	must(Array.isArray(messages) && messages.length > 0,
		"messages: at least one is needed", "messages");
	const unanswered = () => must(open === null || open.size === 0,
		"An assistant message with 'tool_calls' must be followed by tool "
		+ "messages responding to each 'tool_call_id'. The following "
		+ "tool_call_ids did not have response messages: "
		+ [...(open ?? [])].join(", "), "messages");
	messages.forEach((m, i) => {
		const where = `messages.[${i}]`;

		must(isObject(m), `${where}: not an object`, where);
		if (m.role === "tool") {
			must(open !== null, `${where}: messages with role 'tool' must `
				+ "be a response to a preceding message with "
				+ "'tool_calls'.", where);
			must(open.delete(m.tool_call_id), `${where}: tool_call_id `
				+ `'${m.tool_call_id}' is not open`, where);
			must(typeof m.content === "string"
				|| Array.isArray(m.content),
				`${where}: content is missing`, where);
			return;
		}
		unanswered();
		open = null;
		if (m.role === "assistant") {
			checkAssistant(m, where);
			if (m.tool_calls !== undefined)
				open = new Set(m.tool_calls.map((c) => c.id));
			return;
		}
		must(["system", "developer", "user"].includes(m.role),
			`${where}: unknown role '${m.role}'`, where);
		checkContent(m.content, `${where}.content`);
	});
	unanswered();
}

function checkTools(body) {
	const names = new Set();

	if (body.tools === undefined) {
		must(body.tool_choice === undefined
			&& body.parallel_tool_calls === undefined,
			"tool_choice is only allowed when tools are given", "tools");
		return;
	}
	must(Array.isArray(body.tools) && body.tools.length > 0
		&& body.tools.length <= 128, "tools: [] is too short", "tools");
	for (const t of body.tools) {
		const f = t?.function;

		must(t?.type === "function" && isObject(f), "tools: not a function",
			"tools");
		must(typeof f.name === "string" && NAME.test(f.name),
			`tools: invalid name '${f.name}'`, "tools");
		must(!names.has(f.name), `tools: '${f.name}' twice`, "tools");
		names.add(f.name);
		must(f.parameters === undefined || (isObject(f.parameters)
			&& f.parameters.type === "object"),
			`tools: parameters of '${f.name}' are no object schema`,
			"tools");
	}
	const choice = body.tool_choice;
	if (isObject(choice))
		must(names.has(choice.function?.name),
			"tool_choice names an unknown tool", "tool_choice");
	else
		must(choice === undefined
			|| ["auto", "none", "required"].includes(choice),
			"tool_choice is not one of auto, none, required",
			"tool_choice");
}

function checkChat(body) {
	must(isObject(body), "the body is not a JSON object", null);
	must(isText(body.model), "you must provide a model parameter", "model");
	for (const key of Object.keys(body))
		must(KNOWN.has(key),
			`Unrecognized request argument supplied: ${key}`, key);
	must(body.stream_options === undefined || body.stream === true,
		"stream_options is only allowed when stream is enabled",
		"stream_options");
	must(body.temperature === undefined || (body.temperature >= 0
		&& body.temperature <= 2), "temperature is out of range",
		"temperature");
	checkMessages(body.messages);
	checkTools(body);
}

// ---- What Anthropic's server refuses

function checkBlocks(m, where) {
	if (typeof m.content === "string") {
		must(m.content.length > 0, `${where}: text content blocks must be `
			+ "non-empty", where);
		return [];
	}
	must(Array.isArray(m.content) && m.content.length > 0,
		`${where}: content must not be empty`, where);
	for (const b of m.content)
		must(isObject(b) && (b.type !== "text" || isText(b.text)),
			`${where}: text content blocks must be non-empty`, where);
	return m.content;
}

export function checkAnthropicMessages(messages) {
	let open = [];

	must(Array.isArray(messages) && messages.length > 0,
		"messages: at least one message is required", "messages");
	messages.forEach((m, i) => {
		const where = `messages.${i}`;

		must(m.role === "user" || m.role === "assistant",
			`${where}: unexpected role '${m.role}'`, where);
		must(i > 0 || m.role === "user",
			"messages: first message must use the \"user\" role", where);
		must(i === 0 || m.role !== messages[i - 1].role,
			`${where}: roles must alternate between "user" and `
			+ "\"assistant\"", where);
		const blocks = checkBlocks(m, where);
		const uses = blocks.filter((b) => b.type === "tool_use");
		const results = blocks.filter((b) => b.type === "tool_result");
		const answered = results.map((b) => b.tool_use_id);

		for (const id of open)
			must(answered.includes(id), `${where}: \`tool_use\` ids were `
				+ "found without `tool_result` blocks immediately "
				+ `after: ${id}`, where);
		for (const id of answered)
			must(open.includes(id), `${where}: unexpected \`tool_use_id\` `
				+ `found in \`tool_result\` blocks: ${id}`, where);
		must(new Set(answered).size === answered.length,
			`${where}: each tool_use must have a single result`, where);
		must(blocks.slice(0, results.length)
			.every((b) => b.type === "tool_result"),
			`${where}: tool_result blocks must come first`, where);
		must(uses.length === 0 || m.role === "assistant",
			`${where}: tool_use belongs to the assistant`, where);
		must(results.length === 0 || m.role === "user",
			`${where}: tool_result belongs to the user`, where);
		must(blocks.slice(blocks.length - uses.length)
			.every((b) => b.type === "tool_use"),
			`${where}: tool_use blocks must be last`, where);
		for (const u of uses)
			must(isText(u.id) && isText(u.name) && isObject(u.input),
				`${where}: tool_use needs id, name and input`, where);
		open = uses.map((u) => u.id);
	});
	must(open.length === 0, "messages: `tool_use` ids were found without "
		+ `\`tool_result\` blocks immediately after: ${open}`, "messages");
}

function checkAnthropic(body, headers) {
	must(isText(headers["anthropic-version"]),
		"anthropic-version: header is required", null);
	must(isObject(body), "the body is not a JSON object", null);
	must(isText(body.model), "model: Field required", "model");
	must(Number.isInteger(body.max_tokens) && body.max_tokens > 0,
		"max_tokens: Field required", "max_tokens");
	checkAnthropicMessages(body.messages);
}

// ---- What it says

function textOf(content) {
	if (typeof content === "string")
		return content;
	return (content ?? []).map((p) => p.text
		?? (p.type === "tool_result" ? textOf(p.content) : "")).join("\n");
}

const words = (text) => text.match(/\s*\S+\s*?(?=\s|$)|\s+$/g) ?? [];

function takeTurn(stub, at) {
	const turn = stub.turns[at];

	turn.left = (turn.left ?? turn.times ?? 1) - 1;
	if (turn.left <= 0)
		stub.turns.splice(at, 1);
	return turn;
}

function pickTurn(stub, entry) {
	const { messages } = entry.body;
	const last = messages[messages.length - 1];
	const text = textOf(last.content);
	const decided = stub.decide?.(messages, entry);

	if (decided)
		return decided;
	const at = stub.turns.findIndex((t) => t.match === undefined
		|| text.includes(t.match));

	if (at >= 0)
		return takeTurn(stub, at);
	if (last.role === "user" && text.startsWith("stub: ")) {
		try {
			return JSON.parse(text.slice(6).split("\n")[0]);
		} catch {
			throw new Refusal("what follows \"stub: \" is not JSON");
		}
	}
	const isResult = last.role === "tool" || (Array.isArray(last.content)
		&& last.content[0]?.type === "tool_result");
	return { text: (isResult ? "The result is: " : "You said: ") + text };
}

// The steps of an answer, the same for both dialects.
function stepsOf(turn) {
	const steps = words(turn.reasoning ?? "").map((t) =>
		({ reasoning: t }));

	for (const t of words(turn.refusal ?? ""))
		steps.push({ refusal: t });
	for (const t of turn.tokens ?? words(turn.text ?? ""))
		steps.push({ text: t });
	(turn.tool_calls ?? []).forEach((c, index) => {
		const args = typeof c.args === "string" ? c.args
			: JSON.stringify(c.args ?? {});
		const half = Math.ceil(args.length / 2);
		const id = c.id ?? `call_${Math.random().toString(36).slice(2, 12)}`;

		steps.push({ round: 1, call: { index, id, name: c.name } });
		steps.push({ round: 2, args: { index, text: args.slice(0, half) } });
		steps.push({ round: 3, args: { index, text: args.slice(half) } });
	});
	if (turn.interleave)
		steps.sort((a, b) => (a.round ?? 0) - (b.round ?? 0));
	return steps;
}

function usageOf(turn, steps) {
	return {
		prompt_tokens: 9, completion_tokens: steps.length,
		total_tokens: 9 + steps.length,
		prompt_tokens_details: { cached_tokens: 0 },
		completion_tokens_details: { reasoning_tokens: steps.filter((s) =>
			s.reasoning !== undefined).length },
		...turn.usage,
	};
}

const openai = {
	begin: (o) => [o.chunk({ role: "assistant", content: "" })],
	step(o, s) {
		if (s.call)
			return [o.chunk({ tool_calls: [{ index: s.call.index,
				id: s.call.id, type: "function",
				function: { name: s.call.name, arguments: "" } }] })];
		if (s.args)
			return [o.chunk({ tool_calls: [{ index: s.args.index,
				function: { arguments: s.args.text } }] })];
		if (s.reasoning !== undefined)
			return [o.chunk({ reasoning_content: s.reasoning })];
		return [o.chunk(s.refusal !== undefined ? { refusal: s.refusal }
			: { content: s.text })];
	},
	error: (o, e) => [`data: ${JSON.stringify({ error: e })}\n\n`],
	end(o, turn, steps) {
		const out = [o.chunk({}, turn.finish
			?? (turn.tool_calls ? "tool_calls" : "stop"))];

		if (turn.usage !== false && o.body.stream_options?.include_usage)
			out.push(o.event({ choices: [],
				usage: usageOf(turn, steps) }));
		if (!turn.no_done)
			out.push("data: [DONE]\n\n");
		return out;
	},
	whole: (o, turn, steps) => ({
		id: o.id, object: "chat.completion", created: 1, model: o.body.model,
		choices: [{ index: 0, finish_reason: turn.finish
			?? (turn.tool_calls ? "tool_calls" : "stop"), message: {
			role: "assistant", refusal: turn.refusal ?? null,
			content: steps.map((s) => s.text ?? "").join("") || null,
			tool_calls: turn.tool_calls?.map((c, i) => ({
				id: c.id ?? `call_${i}`, type: "function",
				function: { name: c.name, arguments:
					typeof c.args === "string" ? c.args
						: JSON.stringify(c.args ?? {}) } })) } }],
		usage: usageOf(turn, steps),
	}),
	refusal: (e) => ({ error: { message: e.message, param: e.param ?? null,
		type: e.status === 429 ? "rate_limit_error"
			: e.status >= 500 ? "server_error" : "invalid_request_error",
		code: e.code } }),
};

const sse = (type, data) =>
	`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`;

const anthropic = {
	begin: (o) => [sse("message_start", { message: { id: "msg_1",
		type: "message", role: "assistant", content: [],
		model: o.body.model, stop_reason: null,
		usage: { input_tokens: 9, output_tokens: 1 } } }),
	sse("ping", {})],
	step(o, s) {
		const kind = s.call || s.args ? `tool${(s.call ?? s.args).index}`
			: s.reasoning !== undefined ? "thinking" : "text";
		const out = [];

		if (o.block !== kind) {
			if (o.block !== null)
				out.push(sse("content_block_stop", { index: o.at }));
			o.block = kind;
			o.at++;
			out.push(sse("content_block_start", { index: o.at,
				content_block: s.call ? { type: "tool_use",
					id: s.call.id, name: s.call.name, input: {} }
					: kind === "text" ? { type: "text", text: "" }
						: { type: "thinking", thinking: "" } }));
		}
		if (!s.call)
			out.push(sse("content_block_delta", { index: o.at,
				delta: s.args ? { type: "input_json_delta",
					partial_json: s.args.text }
					: kind === "text" ? { type: "text_delta",
						text: s.text ?? s.refusal }
						: { type: "thinking_delta",
							thinking: s.reasoning } }));
		return out;
	},
	error: (o, e) => [sse("error", { error: e })],
	end(o, turn, steps) {
		const out = o.block === null ? []
			: [sse("content_block_stop", { index: o.at })];

		out.push(sse("message_delta", { delta: { stop_sequence: null,
			stop_reason: turn.finish ?? (turn.refusal ? "refusal"
				: turn.tool_calls ? "tool_use" : "end_turn") },
		usage: { output_tokens: steps.length } }));
		return [...out, sse("message_stop", {})];
	},
	whole: (o, turn, steps) => ({ id: "msg_1", type: "message",
		role: "assistant", model: o.body.model, content: [
			{ type: "text", text: steps.map((s) => s.text ?? "").join("") },
		], stop_reason: "end_turn",
		usage: { input_tokens: 9, output_tokens: steps.length } }),
	refusal: (e) => ({ type: "error", error: { message: e.message,
		type: e.status === 429 ? "rate_limit_error"
			: e.status === 529 ? "overloaded_error"
				: e.status >= 500 ? "api_error"
					: e.status === 401 ? "authentication_error"
						: "invalid_request_error" } }),
};

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// False: the peer is gone.
async function write(res, text, chop) {
	const bytes = Buffer.from(text);
	const step = chop > 0 ? chop : bytes.length;

	for (let i = 0; i < bytes.length; i += step) {
		if (res.destroyed)
			return false;
		if (!res.write(bytes.subarray(i, i + step)))
			await new Promise((done) => {
				const go = () => {
					res.off("drain", go).off("close", go);
					done();
				};

				res.on("drain", go).on("close", go);
			});
		if (chop > 0)
			await pause(0);
	}
	return !res.destroyed;
}

async function streamTurn(stub, entry, o, dialect, turn, res) {
	const steps = stepsOf(turn);
	const delay = turn.delay_ms ?? stub.delay_ms;
	const send = async (list) => {
		for await (const text of list) {
			if (!await write(res, text, turn.chop))
				return false;
		}
		return true;
	};
	const silence = () => new Promise((done) => res.once("close", done));

	if (turn.hang_after === -1)
		return silence();
	res.writeHead(200, { "content-type": "text/event-stream; charset=utf-8",
		"cache-control": "no-cache", ...turn.headers });
	if (turn.raw) {
		await send(turn.raw);
		return res.end();
	}
	if (!await send(dialect.begin(o)))
		return undefined;
	if (turn.first_delay_ms)
		await pause(turn.first_delay_ms);
	for (let i = 0; ; i++) {
		if (i > 0 && i <= steps.length && delay > 0)
			await pause(delay);
		if (i === turn.hang_after)
			return silence();
		if (i === turn.hold_after)
			await Promise.race([turn.hold, silence()]);
		if (i === turn.disconnect_after)
			return res.socket?.resetAndDestroy();
		if (i === turn.end_after)
			return res.end();
		if (i === turn.error_after) {
			await send(dialect.error(o, turn.error ?? {
				message: "The server had an error", type: "server_error",
				code: null }));
			return res.end();
		}
		if (i >= steps.length)
			break;
		if (!await send(dialect.step(o, steps[i])))
			return undefined;
		entry.pieces++;
		stub.changed();
	}
	if (await send(dialect.end(o, turn, steps)))
		res.end();
	return undefined;
}

function sendJson(res, status, body, headers = {}) {
	const text = JSON.stringify(body);

	res.writeHead(status, { "content-type": "application/json",
		"content-length": Buffer.byteLength(text), ...headers });
	res.end(text);
}

function refuse(turn, dialect, res) {
	const headers = { ...turn.headers };

	if (turn.retry_after !== undefined)
		headers["retry-after"] = String(turn.retry_after);
	sendJson(res, turn.status, turn.error ? { error: turn.error }
		: dialect.refusal(new Refusal(`status ${turn.status}`, null,
			turn.status)), headers);
}

async function complete(stub, entry, dialect, res) {
	const o = { id: `chatcmpl-${entry.number}`, body: entry.body, block: null,
		at: -1 };
	const turn = pickTurn(stub, entry);

	o.event = (more) => `data: ${JSON.stringify({ id: o.id,
		object: "chat.completion.chunk", created: 1, model: o.body.model,
		obfuscation: "x", ...more })}\n\n`;
	o.chunk = (delta, finish = null) => o.event({ choices: [{ index: 0, delta,
		logprobs: null, finish_reason: finish }] });
	entry.turn = turn;
	if (turn.status) {
		refuse(turn, dialect, res);
	} else if (turn.whole || !entry.body.stream) {
		const steps = stepsOf(turn);

		sendJson(res, 200, dialect.whole(o, turn, steps));
	} else {
		await streamTurn(stub, entry, o, dialect, turn, res);
	}
}

function embed(body, res) {
	must(isText(body?.model), "you must provide a model parameter", "model");
	const input = Array.isArray(body.input) ? body.input : [body.input];

	must(input.length > 0 && input.length <= 2048 && input.every(isText),
		"'$.input' is invalid", "input");
	const data = input.map((text, index) => {
		const v = new Float32Array(8);

		for (const byte of Buffer.from(text))
			v[byte % 8] += 1;
		return { object: "embedding", index,
			embedding: body.encoding_format === "base64"
				? Buffer.from(v.buffer).toString("base64") : [...v] };
	});
	// The order is not promised.
	sendJson(res, 200, { object: "list", data: data.reverse(),
		model: body.model, usage: { prompt_tokens: input.length,
			total_tokens: input.length } });
}

async function readBody(req) {
	const parts = [];
	let size = 0;

	for await (const part of req) {
		if ((size += part.length) > BODY_MAX)
			throw new Refusal("the body is too large", null, 413);
		parts.push(part);
	}
	return Buffer.concat(parts).toString();
}

async function control(stub, req, res, url) {
	const body = await readBody(req);

	if (url.pathname === "/_script") {
		stub.script(JSON.parse(body));
	} else if (url.pathname === "/_reset") {
		stub.log.length = 0;
		stub.turns.length = 0;
	} else if (url.pathname === "/_wait") {
		for (const [what, n] of url.searchParams)
			await stub.until(() => stub.count(what) >= Number(n));
	} else if (url.pathname !== "/_log") {
		return sendJson(res, 404, { error: "unknown" });
	}
	return sendJson(res, 200, { requests: stub.log,
		aborted: stub.count("aborted"), turns_left: stub.turns.length });
}

// What has nothing to do with models; false if the path is none of these.
async function page(stub, req, res, path) {
	const send = (status, type, body) => {
		res.writeHead(status, { "content-type": type, "x-long":
			["a", "\u00e9".repeat(400)], "set-cookie": "session=1" });
		res.end(body);
		return true;
	};

	switch (path) {
	case "/hello":
		return send(200, "text/plain", "hello from the stub\n");
	case "/hang":
		stub.hanging++;
		res.once("close", () => {
			stub.hanging--;
			stub.changed();
		});
		stub.changed();
		return true;
	case "/bytes":
		return send(200, "image/png", Buffer.from([0x89, 0x50, 0, 1, 2]));
	case "/latin":
		return send(200, "text/plain; charset=iso-8859-1",
			Buffer.from("un caf\u00e9, s'il vous pla\u00eet", "latin1"));
	case "/long":
		return send(200, "text/plain", "\u20ac".repeat(100000));
	case "/gone":
		return send(404, "application/json", "{\"error\":\"gone\"}");
	case "/echo":
		return send(200, "application/json", JSON.stringify({
			method: req.method, headers: req.headers,
			body: await readBody(req) }));
	}
	return false;
}

async function serve(stub, req, res) {
	const url = new URL(req.url, "http://stub");

	if (url.pathname.startsWith("/_"))
		return control(stub, req, res, url);
	if (await page(stub, req, res, url.pathname))
		return undefined;
	const entry = { number: ++stub.n, method: req.method, path: url.pathname,
		headers: req.headers, body: null, status: null, pieces: 0,
		aborted: false, finished: false, refused: null };
	const dialect = url.pathname.endsWith("/messages") ? anthropic : openai;

	res.once("close", () => {
		entry.finished = res.writableFinished;
		entry.aborted = !res.writableFinished && !stub.stopping;
		entry.status = res.headersSent ? res.statusCode : null;
		stub.changed();
	});
	try {
		const text = await readBody(req);

		try {
			entry.body = text === "" ? null : JSON.parse(text);
		} catch {
			throw new Refusal("could not parse the JSON body");
		}
		stub.log.push(entry);
		stub.changed();
		const given = req.headers["x-api-key"]
			?? req.headers.authorization?.replace(/^Bearer /, "");
		if (stub.key !== undefined && given !== stub.key)
			throw new Refusal("Incorrect API key provided", null, 401,
				"invalid_api_key");
		const route = `${req.method} ${url.pathname.replace(/^.*\/v1/, "")}`;
		if (route === "GET /models")
			return sendJson(res, 200, { object: "list",
				data: stub.models.map((id) => ({ id, object: "model",
					created: 1, owned_by: "stub" })) });
		if (route === "POST /embeddings") {
			if (stub.turns[0]?.status)
				return refuse(takeTurn(stub, 0), dialect, res);
			return embed(entry.body, res);
		}
		if (route === "POST /messages")
			checkAnthropic(entry.body, req.headers);
		else if (route === "POST /chat/completions")
			checkChat(entry.body);
		else
			throw new Refusal(`unknown path ${url.pathname}`, null, 404);
		return await complete(stub, entry, dialect, res);
	} catch (e) {
		if (!(e instanceof Refusal)) {
			process.stderr.write(`${e.stack}\n`);
			e = new Refusal(String(e), null, 500);
		}
		entry.refused = e.message;
		if (!res.headersSent)
			sendJson(res, e.status, dialect.refusal(e));
		return undefined;
	}
}

export async function start(options = {}) {
	const waiting = new Set();
	const stub = {
		n: 0, hanging: 0, log: [], turns: [], stopping: false, key: options.key,
		delay_ms: options.delay_ms ?? 0, decide: options.decide,
		models: options.models ?? ["stub", "stub-2",
			"text-embedding-3-small"],
		script(turns) {
			stub.turns.push(...turns.map((t) => ({ ...t })));
		},
		count: (what) => what === "requests" ? stub.log.length
			: what === "pieces"
				? stub.log.reduce((n, r) => n + r.pieces, 0)
				: stub.log.filter((r) => r[what]).length,
		changed() {
			for (const check of waiting)
				check();
		},
		until: (fn) => new Promise((done) => {
			const check = () => {
				if (fn(stub)) {
					waiting.delete(check);
					done();
				}
			};

			waiting.add(check);
			check();
		}),
		async stop() {
			stub.stopping = true;
			server.closeAllConnections();
			await new Promise((done) => server.close(done));
		},
	};
	const server = http.createServer({ keepAliveTimeout: 60000 },
		(req, res) => serve(stub, req, res).catch((e) => {
			process.stderr.write(`${e.stack}\n`);
			res.destroy();
		}));

	stub.script(options.turns ?? []);
	await new Promise((done, fail) => {
		server.once("error", fail);
		server.listen(options.port ?? 0, "127.0.0.1", done);
	});
	stub.port = server.address().port;
	stub.url = `http://127.0.0.1:${stub.port}`;
	return stub;
}

async function main(argv) {
	const options = {};

	for (let i = 0; i < argv.length; i += 2) {
		const value = argv[i + 1];

		if (value === undefined)
			throw new Error(`${argv[i]}: a value is missing`);
		if (argv[i] === "--port")
			options.port = Number(value);
		else if (argv[i] === "--key")
			options.key = value;
		else if (argv[i] === "--delay-ms")
			options.delay_ms = Number(value);
		else if (argv[i] === "--script")
			options.turns = JSON.parse(readFileSync(value, "utf8"));
		else
			throw new Error(`${argv[i]}: unknown option`);
	}
	const stub = await start(options);
	const stop = () => stub.stop().then(() => process.exit(0));

	process.on("SIGTERM", stop);
	process.on("SIGINT", stop);
	process.stdout.write(`listening on ${stub.url}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	main(process.argv.slice(2)).catch((e) => {
		process.stderr.write(`stub_model: ${e.message}\n`);
		process.exit(1);
	});
}
