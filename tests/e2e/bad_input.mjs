// SPDX-License-Identifier: Apache-2.0
//
// What people and programs send that cannot be: a line for each, with the error
// that the documentation promises.  After each group of them no row of the
// database is another one than before, and what was open is open.

import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { hasEnded, newThread, scene, script, untilEvent }
	from "../support/chat.mjs";
import { rowsOf } from "../support/rows.mjs";
import { api, signUp, start } from "../support/server.mjs";

const folder = mkdtempSync(join(tmpdir(), "bad-input-"));
const CLOCK = { name: "clock_now", args: { utc_offset_min: 60 } };
const SUM = { name: "calculator_evaluate", args: { expression: "6*7" } };
let server, s, other, at;

// What a server writes by itself is left out.
const TABLES = ["agents", "audit_log", "checkpoints", "inbox_changes",
	"inbox_items", "jobs", "messages", "run_events", "runs", "schedule_fires",
	"schedules", "threads", "tool_invocations", "triggers"];

const everything = () => Object.fromEntries(Object.entries(rowsOf(server,
	Object.fromEntries(TABLES.map((t) => [t, `SELECT * FROM ${t}`]))))
	.map(([t, list]) => [t, list.map((r) => JSON.stringify(r)).sort()]));

// Nothing but a test that says so changes anything from here on.
let known;
const unchanged = () => test("nothing has changed", () =>
	assert.deepEqual(everything(), known));

async function ok(who, method, path, body, status = 200) {
	const answer = await api(server, method, path, { token: who.token, body });
	assert.equal(answer.status, status,
		`${method} ${path}: ${JSON.stringify(answer.body)}`);
	return answer.body;
}

const until = (who, run, passes) => untilEvent(server, who.token, run.id, passes);

// A run of this agent that asks, and its items.
async function asked(who, agent, content) {
	const thread = await newThread(server, who.person ?? who, agent.id);
	const { run } = await ok(who, "POST", `/api/chat/sessions/${thread.id}`,
		{ content }, 202);
	await until(who, run, (e) => e.state === "waiting_human");
	const { items } = await ok(who, "GET", `/api/inbox/?run_id=${run.id}`);
	return { thread, run, items: items.sort((a, b) => a.ordinal - b.ordinal) };
}

// The checkpoint that a new thread of somebody ends with.
async function talked(who, agent) {
	const thread = await newThread(server, who.person ?? who, agent.id);
	const { run } = await ok(who, "POST", `/api/chat/sessions/${thread.id}`,
		{ content: "hello" }, 202);
	await until(who, run, hasEnded);
	const { items } = await ok(who, "GET",
		`/api/chat/sessions/${thread.id}/history`);
	return { thread, checkpoint: items[0] };
}

const agentOf = (who, approval) => ok(who, "POST", "/api/agents/",
	{ name: "Asker", toolkits: ["calculator", "clock"], approval }, 201);

before(async () => {
	server = await start({ set: [script(folder, [
		{ match: "two calls", tool_calls: [SUM, CLOCK] },
		{ match: "one call", tool_calls: [CLOCK] },
		{ text: "Done." },
	])] });
	await signUp(server); // an admin may do more
	s = await scene(server, { approval: { default: "always" } });
	other = await scene(server, { approval: { default: "always" } });
	const agents = {
		strict: await agentOf(s, { default: "always", allow: ["accept"] }),
		short: await agentOf(s, { default: "always", expires_s: 1 }),
		robbed: await agentOf(s, { default: "always" }),
	};
	const expired = await asked(s, agents.short, "one call");
	at = { agents, expired,
		two: await asked(s, s.agent, "two calls"),
		one: await asked(s, s.agent, "one call"),
		done: await asked(s, s.agent, "one call"),
		strict: await asked(s, agents.strict, "one call"),
		robbed: await asked(s, agents.robbed, "one call"),
		foreign: await asked(other, other.agent, "one call"),
		mine: await talked(s, s.agent), mine2: await talked(s, s.agent),
		theirs: await talked(other, other.agent),
		schedule: await ok(s, "POST", `/api/agents/${s.agent.id}/schedules`,
			{ cron: "0 3 1 1 *", task: "x" }, 201),
		trigger: await ok(s, "POST", `/api/agents/${s.agent.id}/triggers`,
			{ task: "{{body}}" }, 201) };
	await ok(s, "PATCH", `/api/agents/${agents.robbed.id}/`,
		{ toolkits: ["calculator"] });
	await until(s, expired.run, hasEnded);
	await ok(s, "POST", `/api/inbox/${at.done.items[0].id}/respond`,
		{ type: "ignore" });
	await until(s, at.done.run, hasEnded);
	known = everything();
});
after(async () => {
	const status = await server?.stop();
	rmSync(folder, { recursive: true });
	assert.deepEqual(status, { code: 0, signal: null }, server?.log);
});

// The error as documented, and nothing else.
async function refused(send, status, code, field, said) {
	const { status: got, body } = await send();

	assert.equal(got, status, JSON.stringify(body));
	assert.equal(body.code, code);
	assert.equal(body.status, status);
	assert.ok(body.correlation_id && body.title);
	if (field !== undefined)
		assert.deepEqual(Object.keys(body.details), [field]);
	if (said)
		assert.match(JSON.stringify(body), said);
}

const VALIDATION = [400, "VALIDATION_FAILED"];
const line = (what, send, ...error) =>
	test(what, () => refused(send, ...error));

describe("schedules", () => {
	const where = () => `/api/agents/${s.agent.id}/schedules`;
	const whole = (more) => ({ cron: "0 3 * * *", task: "x", ...more });
	const each = (member, value, said) => {
		const text = `${member} ${JSON.stringify(value)}`;
		line(`POST ${text}`, () => api(server, "POST", where(),
			{ token: s.token, body: whole({ [member]: value }) }),
		...VALIDATION, member, said);
		for (const [method, body] of [["PUT", whole({ [member]: value })],
			["PATCH", { [member]: value }]])
			line(`${method} ${text}`, () => api(server, method,
				`${where()}/${at.schedule.id}`, { token: s.token, body }),
			...VALIDATION, member, said);
	};

	for (const [cron, said] of [["", /./], ["* * * *", /five fields/],
		["* * * * * *", /five fields/], ["60 * * * *", /minute: 60/],
		["-1 * * * *", /minute/], ["0 24 * * *", /hour: 24/],
		["0 0 0 * *", /day of month: 0/], ["0 0 1 13 *", /month: 13/],
		["0 0 * * 8", /day of week: 8/], ["*/0 * * * *", /minute/],
		["5-1 * * * *", /minute/], ["1,,2 * * * *", /minute/],
		["0 0 1 janu *", /month/], ["0 0 30 2 *", /no|none/], ["@noon", /./]])
		each("cron", cron, said);
	for (const zone of ["", "Europe/Atlantis", "../../etc/passwd", "Europe",
		"/etc/localtime"])
		each("timezone", zone);
	for (const [member, value] of [["overlap", "never"], ["jitter_ms", -1],
		["catch_up", 25], ["ends_at", "soon"], ["class", "urgent"]])
		each(member, value);
	line("another's agent", () => api(server, "POST", where(),
		{ token: other.token, body: whole({}) }), 404, "NOT_FOUND");
	for (const method of ["GET", "PUT", "PATCH", "DELETE"])
		line(`another's: ${method}`, () => api(server, method,
			`${where()}/${at.schedule.id}`, { token: other.token,
				body: method === "PUT" ? whole({})
					: method === "PATCH" ? {} : undefined }),
		404, "NOT_FOUND");
	unchanged();
});

describe("answers", () => {
	const respond = (item, body, who = () => s) => () => api(server, "POST",
		`/api/inbox/${item().id}/respond`, { token: who().token, body });
	const one = () => at.one.items[0];
	const args = (value) => ({ type: "edit", args: value });
	const decide = (...decisions) => ({ decisions });

	for (const [what, body, field] of [
		["no type", {}, "type"],
		["a type that is none", { type: "maybe" }, "type"],
		["an empty list", [], ""],
		["a list of two", [{ type: "accept" }, { type: "ignore" }], ""],
		["an operator's word", { outcome: "retry" }, "outcome"],
		["a member more", { type: "accept", why: 1 }, "why"],
		["no answer in it", { type: "response", args: "" }, "args"],
		["accepted with other arguments",
			{ type: "accept", args: { utc_offset_min: 0 } }, "args"],
		["ignored with arguments", { type: "ignore", args: {} }, "args"],
		["a text for arguments", args("120"), "args"],
		["no arguments", args(null), "args"],
		["another tool", args({ action: SUM.name, args: {} }), "args"],
		["an argument of another type", args({ utc_offset_min: "soon" }),
			"/args/utc_offset_min"],
		["half a minute", args({ utc_offset_min: 1.5 }), "/args/utc_offset_min"],
		["out of range", args({ utc_offset_min: 100000 }),
			"/args/utc_offset_min"],
		["an argument that there is not", args({ utc_offset_min: 60, x: 1 }),
			"/args/x"],
		["two decisions", decide({ type: "approve" }, { type: "approve" }),
			"decisions"],
		["an edit without arguments", decide({ type: "edit",
			edited_action: { name: CLOCK.name } }),
		"/decisions/0/edited_action"],
		["an edit that does not fit", decide({ type: "edit", edited_action:
			{ name: CLOCK.name, args: { utc_offset_min: "x" } } }),
		"/decisions/0/args/utc_offset_min"],
		["approved with a word", decide({ type: "approve", message: "yes" }),
			"/decisions/0/message"],
	])
		line(what, respond(one, body), ...VALIDATION, field);
	line("a decision that is none", respond(one, decide({ type: "maybe" })),
		...VALIDATION);
	line("no JSON", () => api(server, "POST", `/api/inbox/${one().id}/respond`,
		{ token: s.token, raw: "{\"type\":" }), 400, "MALFORMED_JSON");
	for (const type of ["edit", "response", "ignore"])
		line(`${type}, where only accept is allowed`,
			respond(() => at.strict.items[0], { type, args: type === "edit"
				? { utc_offset_min: 1 } : type === "response" ? "x" : null }),
			...VALIDATION, "type", /accept/);
	for (const body of [{ type: "accept" }, args({ utc_offset_min: 0 })])
		line(`${body.type}, of a tool that was taken away`,
			respond(() => at.robbed.items[0], body), ...VALIDATION, "type",
			/may not use clock_now/);
	line("expired", respond(() => at.expired.items[0], { type: "accept" }),
		410, "EXPIRED", undefined, /"item_status":"expired"/);
	line("answered otherwise", respond(() => at.done.items[0],
		{ type: "accept" }), 409, "CONFLICT", undefined,
	/"response_type":"ignore"/);
	line("another's", respond(() => at.foreign.items[0], { type: "accept" }),
		404, "NOT_FOUND");
	line("mine, by another", respond(one, { type: "accept" }, () => other),
		404, "NOT_FOUND");
	for (const rest of ["mark_read", "assign"])
		line(`another's: ${rest}`, () => api(server, "POST",
			`/api/inbox/${at.foreign.items[0].id}/${rest}`, { token: s.token,
				body: rest === "assign" ? { assignee: null } : undefined }),
		404, "NOT_FOUND");
	line("none", respond(() => ({ id: randomUUID() }), { type: "accept" }),
		404, "NOT_FOUND");
	line("not even a number", respond(() => ({ id: "7" }), { type: "accept" }),
		404, "NOT_FOUND");
	test("all of them are still open", async () => {
		for (const [name, who] of [["one", s], ["two", s], ["strict", s],
			["robbed", s], ["foreign", other]])
			for (const item of at[name].items)
				assert.deepEqual(await ok(who, "GET", `/api/inbox/${item.id}`),
					item);
	});
	unchanged();
});

describe("where several are open", () => {
	const respond = (body) => () => api(server, "POST",
		`/api/runs/${at.two.run.id}/respond`, { token: s.token, body });
	const approve = { type: "approve" };

	line("one answer", respond({ type: "accept" }), ...VALIDATION);
	line("a list of one", respond([{ type: "accept" }]), ...VALIDATION);
	line("too few decisions", respond({ decisions: [approve] }), ...VALIDATION,
		"decisions");
	line("too many", respond({ decisions: [approve, approve, approve] }),
		...VALIDATION, "decisions");
	line("a bad one among them", respond({ decisions: [approve, { type: "edit",
		edited_action: { name: SUM.name, args: {} } }] }), ...VALIDATION);
	line("another's run", () => api(server, "POST",
		`/api/runs/${at.two.run.id}/respond`, { token: other.token,
			body: { decisions: [approve, approve] } }), 404, "NOT_FOUND");
	line("the same item twice", () => api(server, "POST", "/api/inbox/respond",
		{ token: s.token, body: { answers: ["accept", "ignore"].map((type) =>
			({ item_id: at.two.items[0].id, type })) } }), ...VALIDATION);
	test("a batch with a bad answer", async () => {
		const { results } = await ok(s, "POST", "/api/inbox/respond",
			{ answers: [{ item_id: at.two.items[0].id, type: "accept" },
				{ item_id: at.two.items[1].id, type: "edit", args: { x: 1 } },
				{ item_id: at.foreign.items[0].id, type: "accept" }] });
		assert.deepEqual(results.map((r) => [r.status, r.error?.code]), [
			[424, "NOT_RECORDED"], [400, "VALIDATION_FAILED"],
			[404, "NOT_FOUND"]]);
	});
	unchanged();
});

describe("forks", () => {
	const fork = (thread, checkpoint, body, who = () => s) => () => api(server,
		"POST", `/api/chat/sessions/${thread().id}/history/${
			checkpoint().id}/fork`, { token: who().token, body });
	const live = { mode: "live", content: "x" };
	const mine = () => at.mine.thread, end = () => at.mine.checkpoint;

	for (const body of [live, { mode: "what_if", content: "x" },
		{ mode: "replay" }]) {
		line(`${body.mode}: another's checkpoint`, fork(mine,
			() => at.theirs.checkpoint, body), 404, "NOT_FOUND");
		line(`${body.mode}: of another thread of mine`, fork(mine,
			() => at.mine2.checkpoint, body), 404, "NOT_FOUND");
		line(`${body.mode}: another's thread`, fork(() => at.theirs.thread,
			() => at.theirs.checkpoint, body), 404, "NOT_FOUND");
		line(`${body.mode}: mine, by another`, fork(mine, end, body,
			() => other), 404, "NOT_FOUND");
	}
	line("no checkpoint", fork(mine, () => ({ id: randomUUID() }), live), 404,
		"NOT_FOUND");
	line("no mode", fork(mine, end, { content: "x" }), ...VALIDATION);
	line("a mode that is none", fork(mine, end, { mode: "dead" }),
		...VALIDATION);
	line("no question", fork(mine, end, { mode: "live" }), ...VALIDATION);
	line("a grant of a tool that is none", fork(mine, end,
		{ mode: "what_if", content: "x", grant: ["no_such"] }), ...VALIDATION);
	unchanged();
});

describe("incoming webhooks", () => {
	const now = () => Math.floor(Date.now() / 1000);
	const post = ({ id = "msg_1", when = now(), secret = at.trigger.secret,
		signed = "{}", body = "{}", headers = {} } = {}) => {
		const key = Buffer.from(secret.replace("whsec_", ""), "base64");
		const mac = createHmac("sha256", key).update(`${id}.${when}.${signed}`)
			.digest("base64");
		return api(server, "POST", at.trigger.path, { raw: body, headers: {
			"webhook-id": id, "webhook-timestamp": String(when),
			"webhook-signature": `v1,${mac}`, ...headers } });
	};
	const bad = (what, make) => line(what, () => post(make()), 401,
		"SIGNATURE_INVALID");

	bad("another secret", () => ({ secret: `whsec_${"A".repeat(43)}=` }));
	bad("another body than was signed", () => ({ body: "{\"x\":1}" }));
	bad("another id than was signed",
		() => ({ headers: { "webhook-id": "msg_2" } }));
	bad("no signature", () => ({ headers: { "webhook-signature": "" } }));
	bad("a signature that is none",
		() => ({ headers: { "webhook-signature": "v1,AAAA" } }));
	bad("too old", () => ({ when: now() - 301 }));
	bad("from the future", () => ({ when: now() + 310 }));
	line("no such trigger", () => api(server, "POST",
		`/api/hooks/${randomUUID()}`, { raw: "{}" }), 404, "NOT_FOUND");
	unchanged();
	test("replayed", async () => {
		const first = await post({ id: "msg_3" });
		assert.equal(first.status, 202, JSON.stringify(first.body));
		await until(s, { id: first.body.run_id }, hasEnded);
		known = everything();
		const again = await post({ id: "msg_3" });
		assert.equal(again.status, 200);
		assert.deepEqual(again.body, { ...first.body, replayed: true });
		assert.deepEqual(everything(), known);
	});
});
