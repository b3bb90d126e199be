// SPDX-License-Identifier: Apache-2.0
//
// An agent that works alone raises five requests in one step: two tools at
// once, one of a subagent, two questions.  Two people answer them in some other
// order, a third one may not, and the server is killed between the answers and
// after the last one.  Each tool is called once, with the arguments that were
// approved: by what the service behind it has written down, and by what
// check_runs finds in the database.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";

import { Talk, World } from "../fault/world.mjs";
import { log, messages, replayAll } from "../support/chat.mjs";
import { api, signUp } from "../support/server.mjs";
import { until } from "../support/wait.mjs";

const store = process.env.AGENT_STUDIO_STORE === "postgres" ? "postgres" : "sqlite";
const dir = mkdtempSync(join(tmpdir(), "five-"));
let world, all, owner, agent, helper, stranger;

const ASKED = { pay: { id: "hall", value: 10 }, book: { id: "hall", value: 1 },
	errand: { id: "flowers", value: 5 } };
const QUESTIONS = ["Which day?", "Which hall?"];
const tool = (name, of = name) => ({ name: `witness_${name}`, args: ASKED[of] });

function decide(list) {
	const at = list.map((m) => m.role).lastIndexOf("user");
	const results = list.slice(at).filter((m) => m.role === "tool");
	const errand = JSON.stringify(list[at].content).includes("an errand");

	if (results.length > 0)
		return { text: errand ? "The errand is done."
			: `Prepared, by ${results.length} results.` };
	if (errand)
		return { tool_calls: [tool("pay", "errand")] };
	return { text: "Five of them.", tool_calls: [tool("pay"), tool("book"),
		{ name: "task", args: { description: "an errand" } },
		...QUESTIONS.map((question) => ({ name: "ask_human",
			args: { question } }))] };
}

before(async () => {
	world = await World.create({ dir, store, stub: { decide } });
	all = await world.story("five");
	// Long enough that nobody is taken for dead who is only slow.
	all.settings = ["worker.lease=5s"];
	// Whoever signs up first is an admin, and may answer everything.
	const server = await all.start();
	owner = await signUp(server);
	helper = await signUp(server);
	stranger = await signUp(server);
	const made = await api(server, "POST", "/api/agents/", { token: owner.token,
		body: { name: "Planner", toolkits: ["witness"] } });
	assert.equal(made.status, 201, JSON.stringify(made.body));
	agent = made.body;
	all.server = server;
});
afterEach((t) => {
	if (t.passed === false || t.error)
		console.log(all.server.log);
});
after(async () => {
	await world?.end();
	rmSync(dir, { recursive: true, force: true });
});

async function ok(who, method, path, body, status = 200) {
	const answer = await api(all.server, method, path, { token: who.token, body });
	assert.equal(answer.status, status,
		`${method} ${path}: ${JSON.stringify(answer.body)}`);
	return answer.body;
}

// What an item is about: a name of ASKED, or the question.
const about = ({ action_request: { action, args } }) => args.question ??
	Object.keys(ASKED).find((k) => JSON.stringify(ASKED[k]) ===
		JSON.stringify(args) && (k === "errand" ? "pay" : k) ===
		action.replace("witness_", ""));

// The job, and its five requests when all of them are open at once.
async function begin() {
	const { run, thread } = await ok(owner, "POST",
		`/api/agents/${agent.id}/ambient-test`, { task: "prepare it" }, 202);
	const talk = new Talk({ token: owner.token, thread: thread.id,
		client: all.client });
	await talk.read(all.server);
	for (let n = 5; n > 0; n--) {
		const known = talk.seen.filter((f) => f.type === "hitl_request").length;
		if (known === 5)
			break;
		await talk.until((f) => f.type === "hitl_request" && talk.seen.filter(
			(e) => e.type === "hitl_request").length > known, "a request");
	}
	const { items } = await ok(owner, "GET",
		`/api/inbox/?thread_id=${thread.id}&status=pending`);
	const named = Object.fromEntries(items.map((i) => [about(i), i]));
	assert.deepEqual(Object.keys(named).sort(),
		[...Object.keys(ASKED), ...QUESTIONS].sort());
	assert.equal(new Set(items.map((i) => i.run_id)).size, 2);
	assert.equal(items.filter((i) => i.run_id === run.id).length, 4);
	return { run, thread, talk, items: named };
}

async function again(talk) {
	talk.leave();
	await all.server.kill9();
	all.server = await all.start();
	await talk.read(all.server);
}

const edit = (name) => ({ type: "edit", args: { action: `witness_${
	name === "errand" ? "pay" : name}`, args: { ...ASKED[name], value: 77 } } });
const ANSWERS = { pay: edit("pay"), book: { type: "accept" },
	errand: edit("errand"),
	"Which day?": { type: "response", args: "Monday" },
	"Which hall?": { type: "response", args: "the small one" } };
// A different one, which comes too late.
const OTHER = { type: "ignore" };
const HELPERS = ["errand", "Which hall?", "pay"];

const respond = (who, item, body, status = 200) =>
	ok(who, "POST", `/api/inbox/${item.id}/respond`, body, status);

const written = (file) => readFileSync(file, "utf8").trim().split("\n")
	.filter(Boolean).map((l) => JSON.parse(l));
const hash = ({ id, value }) => createHash("sha256")
	.update(`{"id":${JSON.stringify(id)},"value":${value}}`).digest("hex");

// What the service was asked and has done since there were n lines.
function checkWitness(n) {
	const lines = written(all.witness).slice(n);
	const effects = lines.filter((l) => l.t === "effect");
	const sent = lines.filter((l) => l.t === "request");
	const approved = { pay: [hash({ ...ASKED.pay, value: 77 }),
		hash({ ...ASKED.errand, value: 77 })], book: [hash(ASKED.book)] };

	assert.deepEqual(effects.map((e) => e.tool).sort(), ["book", "pay", "pay"]);
	assert.equal(new Set(effects.map((e) => e.key)).size, 3);
	for (const [name, hashes] of Object.entries(approved))
		assert.deepEqual([...new Set(sent.filter((r) => r.tool === name)
			.map((r) => r.args_hash))].sort(), hashes.sort());
}

async function checkThread({ run, thread, items }) {
	const list = (await messages(all.server, { ...owner, thread }));
	const calls = list[1].parts.filter((p) => p.type === "tool_call");
	const results = calls.map((c) => list.filter((m) =>
		m.tool_call_id === c.id).map((m) => m.content));
	const entries = await log(all.server, { ...owner, thread });

	assert.deepEqual(results.map((r) => r.length), [1, 1, 1, 1, 1]);
	const [pay, book, errand, day, hall] = results.flat();
	assert.match(pay, /changed the arguments[^]*"value": ?77/);
	assert.match(book, /"value": ?1/);
	assert.equal(errand, "The errand is done.");
	assert.equal(day, "Monday");
	assert.equal(hall, "the small one");
	assert.equal(list.at(-1).content, "Prepared, by 5 results.");
	for (const type of ["hitl_request", "hitl_resolved"])
		assert.deepEqual(entries.filter((e) => e.type === type)
			.map((e) => e.item_id).sort(),
		Object.values(items).map((i) => i.id).sort());
	const { items: reports } = await ok(owner, "GET",
		`/api/inbox/?run_id=${run.id}&kind=report`);
	assert.deepEqual(reports.map((r) => r.description),
		["Prepared, by 5 results."]);
}

// Answers in this order; "kill" is one.
async function story(order) {
	const n = written(all.witness).length;
	const s = await begin();

	for (const name of HELPERS)
		await ok(owner, "POST", `/api/inbox/${s.items[name].id}/assign`,
			{ assignee: helper.user.id });
	for (const name of order) {
		if (name === "kill") {
			await again(s.talk);
			continue;
		}
		const item = s.items[name];
		const who = HELPERS.includes(name) ? helper : owner;
		await respond(stranger, item, ANSWERS[name], 404);
		if (who === owner)
			await respond(helper, item, ANSWERS[name], 404);
		const said = await respond(who, item, ANSWERS[name]);
		assert.equal(said.responded_by, who.user.id);
		const late = await respond(owner, item, OTHER, 409);
		assert.equal(late.responded_by, who.user.id);
		assert.equal(late.response_type, ANSWERS[name].type);
	}
	const end = await s.talk.until((f) => f.type === "run_status" &&
		f.run_id === s.run.id && f.status === "end", "the job's end");
	assert.equal(end.state, "succeeded");
	// Whoever has answered may say it once more.
	for (const [name, item] of Object.entries(s.items))
		await respond(HELPERS.includes(name) ? helper : owner, item,
			ANSWERS[name]);
	checkWitness(n);
	await checkThread(s);
	await until("the end of the log", async () => s.talk.cursor ===
		(await log(all.server, { ...owner, thread: s.thread })).length);
	s.talk.leave();
}

describe("five requests, answered by two, with a server that dies between", () => {
	const [day, hall] = QUESTIONS;

	test("the subagent's first", () => story(
		["errand", "kill", hall, "book", "kill", day, "pay", "kill"]));
	test("the subagent's last", () => story(
		[hall, "pay", "kill", "book", day, "kill", "errand", "kill"]));
	test("the subagent's between", () => story(
		["kill", "book", day, "errand", "kill", hall, "pay"]));
	test("each answer lets it go on", async () => {
		await ok(owner, "PATCH", `/api/agents/${agent.id}/`,
			{ approval: { resume_when: "each" } });
		await story(["book", hall, "kill", "errand", "pay", "kill", day]);
	});
});

test("nothing is broken, by all that was written down", async () => {
	assert.equal((await all.server.stop()).code, 0, all.server.log);
	const { broken, figures } = await all.check();
	assert.deepEqual(broken, []);
	assert.equal(figures.K.duplicates + figures.V.duplicates, 0);
	assert.equal(replayAll(all.server), 8);
});
