// SPDX-License-Identifier: Apache-2.0
//
// A message while a run is at work in its thread: each policy in each state of
// that run, and fifty at once.  Prints what has become of them as a table.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { log, newThread, replayAll, scene } from "../support/chat.mjs";
import { checkThread, idle, runs, say, startStage, thread, until }
	from "../support/double.mjs";
import { api, startWorker } from "../support/server.mjs";
import { connect } from "../support/ws.mjs";

const POLICIES = ["reject", "enqueue", "interrupt", "rollback", "steer"];
const table = [];
let stage, base, careful, n = 0;

before(async () => {
	stage = await startStage();
	base = await scene(stage.server, { toolkits: ["http"] });
	// An agent whose calls wait for a person.
	const { body } = await api(stage.server, "POST", "/api/agents/", {
		token: base.token, body: { name: "Careful", toolkits: ["http"],
			approval: { default: "by_effect" } } });
	careful = body;
});
after(async () => {
	const width = table.reduce((w, row) => row.map((c, i) =>
		Math.max(w[i] ?? 0, c.length)), []);
	for (const row of table)
		console.log(row.map((c, i) => c.padEnd(width[i])).join(" | "));
	await stage?.stop();
});

// ---- The first run, brought to a state

const STATES = {
	async running(s, name) {
		const first = await say(stage.server, s, `stream ${name}`);
		if (stage.worker) { // whose words do not reach this process
			await stage.stub.until(({ log: all }) => all.some((r) =>
				r.pieces === 2 && JSON.stringify(r.body).includes(
					`stream ${name}"`)));
			return first.body.run;
		}
		const socket = await connect(stage.server, s.thread.id,
			{ token: s.token });
		await socket.until((f) => f.delta?.includes("two") ||
			f.partial?.text.includes("two"));
		await socket.close();
		return first.body.run;
	},
	async tool(s, name) {
		const first = await say(stage.server, s, `tool ${name}`);
		await stage.gates.at(name).reached;
		return first.body.run;
	},
	async waiting_human(s, name) {
		const first = await say(stage.server, s, `tool ${name}`);
		await until(stage.server, s, (t) => t.status === "waiting");
		return first.body.run;
	},
	async recoverable_error(s) {
		const first = await say(stage.server, s, "break");
		await until(stage.server, s, (t) => t.status === "error");
		return first.body.run;
	},
};

// What must have become of the first run and of the second one, and what of the
// history counts in the end; * is an answer that was broken off.
const EXPECTED = {
	running: {
		reject: ["succeeded", "409 THREAD_BUSY", "user assistant"],
		enqueue: ["succeeded", "succeeded", "user assistant user assistant"],
		interrupt: ["cancelled", "succeeded", "user assistant* user assistant"],
		rollback: ["rolled_back", "succeeded", "user assistant"],
		steer: ["succeeded", "succeeded", "user assistant user assistant"],
	},
	tool: {
		reject: ["succeeded", "409 THREAD_BUSY",
			"user assistant tool assistant"],
		enqueue: ["succeeded", "succeeded",
			"user assistant tool assistant user assistant"],
		interrupt: ["cancelled", "succeeded",
			"user assistant tool user assistant"],
		rollback: ["rolled_back", "succeeded", "user assistant"],
		steer: ["succeeded", "cancelled", "user assistant tool user assistant"],
	},
	waiting_human: {
		reject: ["succeeded", "409 THREAD_WAITING_HUMAN",
			"user assistant tool assistant"],
		enqueue: ["succeeded", "succeeded",
			"user assistant tool assistant user assistant"],
		interrupt: ["cancelled", "succeeded",
			"user assistant tool user assistant"],
		rollback: ["rolled_back", "succeeded", "user assistant"],
		steer: ["succeeded", "cancelled", "user assistant tool user assistant"],
	},
	recoverable_error: {
		reject: ["cancelled", "409 THREAD_BUSY", "user"],
		enqueue: ["cancelled", "succeeded", "user user assistant"],
		interrupt: ["cancelled", "succeeded", "user user assistant"],
		rollback: ["rolled_back", "succeeded", "user assistant"],
		steer: ["cancelled", "succeeded", "user user assistant"],
	},
};

async function story(state, policy, more) {
	const name = `g${++n}`;
	const agent = state === "waiting_human" ? careful : base.agent;
	const s = { ...base, thread: await newThread(stage.server, base.person,
		agent.id) };
	const first = await STATES[state](s, name);
	const second = await say(stage.server, s, "and then", policy, more);
	const ends = (id) => api(stage.server, "GET", `/api/runs/${id}`,
		{ token: s.token }).then((r) => r.body);

	if (policy === "reject") {
		assert.equal(second.status, 409);
		assert.equal(second.body.active_run_id, first.id);
		assert.equal((await runs(stage.server, s)).length, 1);
	} else {
		assert.equal(second.status, 202, JSON.stringify(second.body));
		assert.equal(second.body.run.multitask, policy);
	}
	if (policy === "enqueue" || policy === "steer")
		await waits(state, s, second.body);
	if (state === "recoverable_error" && policy === "reject")
		await api(stage.server, "POST", `/api/runs/${first.id}/cancel`,
			{ token: s.token });
	stage.gates.open(name);
	if (state === "waiting_human")
		await approve(s, first, second, policy);
	const { history, entries, now } = await checkThread(stage, s);
	const a = (await ends(first.id)).status;
	const b = policy === "reject"
		? `${second.status} ${second.body.code}`
		: (await ends(second.body.run.id)).status;
	table.push([state, policy, a, b, history.join(" ")]);
	// How much of an answer a worker had read is not known here.
	const known = (l) => stage.worker ? l.map((t) => t.replace(" assistant*", ""))
		: l;
	assert.deepEqual(known([a, b, history.join(" ")]),
		known(EXPECTED[state][policy]));
	return { s, first, second: second.body, entries, now };
}

// The question is still open, or the message has superseded it.
async function approve(s, first, second, policy) {
	const { body } = await api(stage.server, "GET",
		`/api/inbox/?run_id=${first.id}`, { token: s.token });
	const [item] = body.items.filter((i) => i.run_id === first.id);
	if (policy === "interrupt" || policy === "rollback") {
		assert.equal(item.status, "superseded");
		return;
	}
	assert.equal(item.status, "pending");
	if (policy === "reject")
		assert.deepEqual(second.body.items.map((i) => i.id), [item.id]);
	const answer = await api(stage.server, "POST",
		`/api/inbox/${item.id}/respond`,
		{ token: s.token, body: { type: "accept" } });
	assert.equal(answer.status, 200, JSON.stringify(answer.body));
}

// Stored and shown, with its place, and not a part of the history yet.
async function waits(state, s, { message, run }) {
	if (state === "recoverable_error")
		return;
	assert.equal(run.status, "blocked");
	assert.equal(run.position, 1);
	assert.equal(message.state, "staged");
	assert.equal(message.sequence, null);
	const now = await thread(stage.server, s);
	assert.equal(now.messages.at(-1).id, message.id);
	assert.deepEqual(now.queue.map((r) => r.id), [run.id]);
	assert.notEqual(now.active_run_id, run.id);
}

describe("each policy in each state", () => {
	before(() => table.push(["state", "policy", "first run", "second run",
		"history"]));
	for (const state of Object.keys(STATES))
		for (const policy of POLICIES)
			test(`${policy} while ${state}`, () => story(state, policy));
});

test("what cannot be rolled back is told", async () => {
	const { first, entries } = await story("tool", "rollback");
	const end = entries.find((e) => e.run_id === first.id && e.status === "end");

	assert.equal(end.state, "rolled_back");
	assert.equal(end.residue.length, 1);
	assert.equal(end.residue[0].name, "http_request");
	assert.equal(end.residue[0].effect, "once");
	assert.equal(end.residue[0].outcome, "unknown");
	assert.match(end.residue[0].idempotency_key, /^as1-/);
});

test("a steered message is heard behind the tool's result", async () => {
	const { s, first, second, entries, now } = await story("tool", "steer",
		{ client_message_id: "mine" });
	const heard = now.messages.find((m) => m.id === second.message.id);
	const end = entries.find((e) => e.run_id === second.run.id &&
		e.status === "end");

	assert.equal(heard.run_id, first.id);
	assert.equal(heard.state, "final");
	assert.equal(end.reason, "steered");
	assert.equal(end.into, first.id);
	assert.equal(now.messages.at(-1).content, "answer to and then");
	assert.equal(now.messages.at(-1).run_id, first.id);
	// Whoever sends it again learns which run has heard it.
	const again = await say(stage.server, s, "and then", "steer",
		{ client_message_id: "mine" });
	assert.equal(again.body.message.id, second.message.id);
	assert.equal(again.body.run.id, first.id);
});

test("a repeated message is answered with its run, whatever it waits for",
	async () => {
		const name = `g${++n}`;
		const s = { ...base, thread: await newThread(stage.server,
			base.person, base.agent.id) };
		await STATES.running(s, name);
		const more = { client_message_id: "m1" };
		const one = await say(stage.server, s, "later", "enqueue", more);
		const two = await say(stage.server, s, "later", "enqueue", more);
		assert.equal(two.status, 202);
		assert.equal(two.body.run.id, one.body.run.id);
		assert.equal(two.body.message.id, one.body.message.id);
		stage.gates.open(name);
		await idle(stage.server, s);
		const three = await say(stage.server, s, "later", "enqueue", more);
		assert.equal(three.body.message.state, "final");
		assert.equal((await runs(stage.server, s)).length, 2);
	});

test("a message that waits can be taken back", async () => {
	const name = `g${++n}`;
	const s = { ...base, thread: await newThread(stage.server, base.person,
		base.agent.id) };
	await STATES.running(s, name);
	const sent = [];
	for (const text of ["first", "second", "third"])
		sent.push((await say(stage.server, s, text)).body);
	const { status, body } = await api(stage.server, "POST",
		`/api/runs/${sent[1].run.id}/cancel`, { token: s.token });
	assert.equal(status, 202);
	assert.equal(body.status, "cancelled");
	const list = await api(stage.server, "GET",
		`/api/runs?thread_id=${s.thread.id}&status=blocked`, { token: s.token });
	assert.deepEqual(list.body.items.map((r) => r.position), [2, 1]);
	stage.gates.open(name);
	const { now, history } = await checkThread(stage, s);
	assert.equal(history.join(" "),
		"user assistant user assistant user assistant");
	assert.deepEqual(now.messages.filter((m) => m.role === "user")
		.map((m) => m.content), [`stream ${name}`, "first", "third"]);
});

test("its own stream waits with it, and shows its answer", async () => {
	const name = `g${++n}`;
	const s = { ...base, thread: await newThread(stage.server, base.person,
		base.agent.id) };
	await STATES.running(s, name);
	const socket = await connect(stage.server, s.thread.id, { token: s.token });
	await socket.type("snapshot");
	socket.send({ type: "message", content: "over the socket",
		multitask: "enqueue" });
	const staged = await socket.type("message_created");
	assert.equal(staged.message.state, "staged");
	const blocked = await socket.type("run_status");
	assert.equal(blocked.state, "blocked");
	assert.equal(blocked.position, 1);
	stage.gates.open(name);
	const begun = await socket.until((f) => f.type === "message_created" &&
		f.message.id === staged.message.id);
	assert.equal(begun.message.state, "final");
	assert.equal(begun.message.sequence, 3);
	assert.equal((await socket.stops(blocked.run_id)).state, "succeeded");
	socket.send({ type: "message", content: "x", multitask: "later" });
	assert.equal((await socket.type("error")).code, "VALIDATION_FAILED");
	await socket.close();
	const bad = await say(stage.server, s, "x", "later");
	assert.equal(bad.status, 400);
	assert.ok(bad.body.details.multitask);
});

test("whoever interrupts overtakes those that wait, and each other", async () => {
	const name = `g${++n}`;
	const s = { ...base, thread: await newThread(stage.server, base.person,
		base.agent.id) };
	await STATES.running(s, name);
	await say(stage.server, s, "patient", "enqueue");
	// The last of them is at work until all have come.
	await Promise.all(["a", "b", "c"].map(() =>
		say(stage.server, s, `stream ${name}i`, "interrupt")));
	stage.gates.open(`${name}i`);
	const { now } = await checkThread(stage, s);
	const said = now.messages.filter((m) => m.role === "user");
	assert.equal(said.at(-1).content, "patient");
	assert.equal(said.length, 5);
});

// ---- Many at once

const COUNT = 50;

async function crowd(policy, hold) {
	const name = `g${++n}`;
	const s = { ...base, thread: await newThread(stage.server, base.person,
		base.agent.id) };
	if (hold)
		await STATES.running(s, name);
	const answers = await Promise.all(Array.from({ length: COUNT }, (_, i) =>
		say(stage.server, s, `word ${i}`, policy)));
	stage.gates.open(name);
	const { history } = await checkThread(stage, s);
	const counts = {};
	for (const a of answers) {
		const key = a.status === 202 ? "202" : `${a.status} ${a.body.code}`;
		counts[key] = (counts[key] ?? 0) + 1;
	}
	const all = await runs(stage.server, s);
	const accepted = (counts[202] ?? 0) + (hold ? 1 : 0);
	assert.equal(all.length, accepted, "what is refused leaves nothing");
	const ends = {};
	for (const r of all)
		ends[r.status] = (ends[r.status] ?? 0) + 1;
	const print = (o) => Object.entries(o).sort().map(([k, v]) =>
		`${v} x ${k}`).join(", ");
	table.push([`${COUNT} at once, ${hold ? "running" : "idle"}`, policy,
		print(counts), print(ends), `${history.length} messages`]);
	return { counts, ends };
}

describe("fifty at once", () => {
	before(() => table.push(["", "", "", "", ""]));
	for (const policy of POLICIES)
		test(`${policy} while running`, async () => {
			const { counts, ends } = await crowd(policy, true);
			if (policy === "reject")
				assert.deepEqual(counts, { "409 THREAD_BUSY": COUNT });
			else // who interrupts makes room in the queue, too
				assert.ok(counts[202] >= 16);
			if (policy === "enqueue")
				assert.deepEqual([counts, ends], [{ 202: 16,
					"429 THREAD_QUEUE_FULL": COUNT - 16 }, { succeeded: 17 }]);
			if (policy === "steer")
				assert.equal(counts[202], 16);
			assert.ok(Object.keys(ends).every((e) => ["succeeded", "cancelled",
				"rolled_back"].includes(e)));
		});
	for (const policy of POLICIES)
		test(`${policy} in an idle thread`, async () => {
			const { counts, ends } = await crowd(policy, false);
			assert.ok(counts[202] >= 1);
			assert.ok(ends.succeeded >= 1);
		});
});

// A branch begins with a call that stands still; what waits meanwhile follows
// the leaf as it is then.
describe("in a thread with branches", () => {
	const AFTER = {
		enqueue: ["tool", "assistant", "user", "assistant"],
		interrupt: ["tool", "user", "assistant"],
		steer: ["tool", "user", "assistant"],
	};
	for (const policy of ["enqueue", "interrupt", "rollback", "steer"])
		test(policy, async () => {
			const name = `b${++n}`;
			const s = { ...base, thread: await newThread(stage.server,
				base.person, base.agent.id) };
			const one = await say(stage.server, s, "one");
			const before = await idle(stage.server, s);
			const first = await say(stage.server, s, `tool ${name}`, "enqueue",
				{ edit_of: one.body.message.id });
			await stage.gates.at(name).reached;
			const aside = await say(stage.server, s, "aside", "enqueue",
				{ edit_of: one.body.message.id });
			assert.equal(aside.body.code, "THREAD_BUSY");
			const second = await say(stage.server, s, "and then", policy);
			assert.equal(second.status, 202);
			stage.gates.open(name);
			const now = await idle(stage.server, s);
			const { messages } = now;
			// Each follows the one before it, and the last one is looked at.
			messages.forEach((m, i) => assert.equal(m.parent_id ?? null,
				messages[i - 1]?.id ?? null));
			assert.equal(now.active_leaf, messages.at(-1).id);
			assert.deepEqual(messages.map((m) => m.role), policy === "rollback"
				? ["user", "assistant", "user", "assistant"]
				: ["user", "assistant", ...AFTER[policy]]);
			assert.equal(messages[0].id, policy === "rollback"
				? before.messages[0].id : first.body.message.id);
			assert.equal(messages.at(-1).content, "answer to and then");
			assert.ok(messages.some((m) => m.id === second.body.message.id));
			// The head goes with the leaf.
			const { body } = await api(stage.server, "GET",
				`/api/chat/sessions/${s.thread.id}/history`, { token: s.token });
			const head = body.items.find((c) => c.head);
			assert.equal(head.message_id, now.active_leaf);
			if (policy === "rollback")
				assert.equal(body.items.find((c) => c.id === head.parent_id)
					.run_id, one.body.run.id);
			await say(stage.server, s, "and on");
			const on = await idle(stage.server, s);
			assert.equal(on.messages.length, messages.length + 2);
		});
});

// A server that executes nothing, and a worker that knows of no client.
test("with a worker", async (t) => {
	if (process.env.AGENT_STUDIO_STORE !== "postgres") {
		t.skip("a worker needs PostgreSQL");
		return;
	}
	const before = [stage, base];
	let worker;
	try {
		stage = await startStage({ set: ["worker.embedded=false"] });
		worker = await startWorker(stage.server, { env: stage.env, set: [
			...stage.set.filter((s) => !s.startsWith("worker.")),
			"worker.poll=50ms"] });
		stage.worker = true;
		table.push(["with a worker", "", "", "", ""]);
		base = await scene(stage.server, { toolkits: ["http"] });
		for (const state of ["running", "tool", "recoverable_error"])
			for (const policy of POLICIES)
				await story(state, policy);
		for (const policy of POLICIES)
			await crowd(policy, true);
		assert.doesNotMatch(worker.log, /was left free/);
	} finally {
		await worker?.stop();
		await stage.stop();
		[stage, base] = before;
	}
});

test("what came meanwhile is replayed where it came", async () => {
	const own = await startStage();
	const first = stage;
	try {
		stage = own;
		const person = await scene(own.server, { toolkits: ["http"] });
		for (const policy of ["enqueue", "interrupt", "rollback", "steer"]) {
			const s = { ...person, thread: await newThread(own.server,
				person.person, person.agent.id) };
			await STATES.tool(s, policy);
			for (const text of ["and then", "and more"])
				await say(own.server, s, text, policy);
			const last = await say(own.server, s, "or not", "enqueue");
			await api(own.server, "POST",
				`/api/runs/${last.body.run.id}/cancel`, { token: s.token });
			own.gates.open(policy);
			await checkThread(own, s);
		}
		replayAll(own.server);
	} finally {
		stage = first;
		await own.stop();
	}
});

test("nothing is left behind", async () => {
	const { body } = await api(stage.server, "GET", "/api/runs?status=blocked",
		{ token: base.token });
	assert.deepEqual(body.items, []);
	// Nobody had to look for threads whose queue was forgotten.
	assert.doesNotMatch(stage.server.log, /was left free/);
	const s = { ...base, thread: await newThread(stage.server, base.person,
		base.agent.id) };
	await say(stage.server, s, "still well");
	await checkThread(stage, s);
	assert.equal((await log(stage.server, s)).at(-1).state, "succeeded");
});
