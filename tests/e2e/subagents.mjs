// SPDX-License-Identifier: Apache-2.0
//
// Subagents: a call of `task` is a run of its own in the same thread.  Its
// parent waits for it without a slot, is told its last word or why there is
// none, and takes it along when it is cancelled.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { log, messages, newThread, replayAll, scene, script } from
	"../support/chat.mjs";
import { api, start } from "../support/server.mjs";
import { until } from "../support/wait.mjs";
import { connect } from "../support/ws.mjs";

const folder = mkdtempSync(join(tmpdir(), "agent-studio-script-"));
const task = (description, more = {}) =>
	({ name: "task", args: { description, ...more } });
const sum = (expression) => ({ name: "calculator_evaluate", args: { expression } });

const turns = [
	{ match: "one please", tool_calls: [task("look at A")] },
	{ match: "one please", text: "A was looked at." },
	{ match: "look at A", text: "A is fine." },

	{ match: "three please", tool_calls: [task("count B"), sum("6 * 7"),
		task("count C"), { name: "task", args: {} }] },
	{ match: "three please", text: "All counted." },
	{ match: "count B", tool_calls: [sum("1 + 1")] },
	{ match: "count B", text: "B is two." },
	{ match: "count C", text: "C is three." },

	{ match: "deep please", tool_calls: [task("level 1")] },
	{ match: "deep please", text: "Deep enough." },
	{ match: "level 1", tool_calls: [task("level 2")] },
	{ match: "level 1", text: "one" },
	{ match: "level 2", tool_calls: [task("level 3")] },
	{ match: "level 2", text: "two" },
	{ match: "level 3", tool_calls: [task("level 4")] },
	{ match: "level 3", text: "three" },

	{ match: "broken please", tool_calls: [task("fail for me")] },
	{ match: "broken please", text: "It did not work." },
	{ match: "fail for me", fail: { status: 401, message: "no key" } },

	{ match: "slow please", tool_calls: [task("wait long X"),
		task("wait long Y")] },
	{ match: "slow please", text: "Never said." },
	{ match: "wait long", delay_ms: 30000, text: "a b c" },

	{ match: "many please", tool_calls: [1, 2, 3].map((i) =>
		task(`one of many ${i}`)) },
	{ match: "many please", text: "Too many." },

	{ match: "stranger please", tool_calls: [task("x",
		{ agent: "0192f0c1-2222-7000-8000-000000000000" })] },
	{ match: "stranger please", text: "No such agent." },

	{ match: "careful please", tool_calls: [task("approve D"),
		task("approve E")] },
	{ match: "careful please", text: "Both were approved." },
	{ match: "approve D", tool_calls: [sum("2 + 2")] },
	{ match: "approve D", text: "D is four." },
	{ match: "approve E", tool_calls: [sum("1 + 1")] },
	{ match: "approve E", text: "E is done." },

	{ match: "two voices please", tool_calls: [task("speak as P"),
		task("speak as Q")] },
	{ match: "two voices please", text: "Both have spoken." },
	{ match: "speak as P", delay_ms: 700, text: "P one two three four five six seven eight" },
	{ match: "speak as Q", delay_ms: 700, text: "Q one two three four five six seven eight" },

	...[1, 2, 3].map((i) => ({ match: "long way please",
		tool_calls: [sum(`${i} + 1`)] })),
	{ match: "long way please", tool_calls: [task("look at F")] },
	{ match: "long way please", text: "F was looked at." },
	{ match: "look at F", tool_calls: [sum("3 + 3")] },
	{ match: "look at F", text: "F is fine." },
];

let server, s;

before(async () => {
	server = await start({ set: [script(folder, turns), "runs.subagents=2",
		"models.tries=1"] });
	s = await scene(server, { builtins: ["task"] });
});
after(async () => {
	await server?.stop();
	rmSync(folder, { recursive: true });
});

const get = async (path) => {
	const { status, body } = await api(server, "GET", path,
		{ token: s.token });
	assert.equal(status, 200, JSON.stringify(body));
	return body;
};
const post = (path, body) => api(server, "POST", path,
	{ token: s.token, body });

// The run in a new thread, from its first word on.
async function begin(content) {
	const thread = await newThread(server, s.person, s.agent.id);
	const { status, body } = await post(
		`/api/chat/sessions/${thread.id}`, { content });
	assert.equal(status, 202, JSON.stringify(body));
	return { ...s, thread, run: body.run };
}

const over = (t, id = t.run.id) => until("the end of a run", async () => {
	const run = await get(`/api/runs/${id}`);
	return run.completed_at ? run : null;
});

const family = async (t) =>
	(await get(`/api/runs?thread_id=${t.thread.id}&limit=50`)).items
		.filter((r) => r.kind === "subagent");

const results = (list) => list.filter((m) => m.role === "tool")
	.map((m) => m.content);

test("its last word is the result, and its work is seen", async () => {
	const t = await begin("one please");
	const run = await over(t);
	assert.equal(run.status, "succeeded");
	assert.equal(run.pending_subagents, 0);

	// The thread has its messages, not the subagent's.
	const list = await messages(server, t);
	assert.deepEqual(list.map((m) => m.role),
		["user", "assistant", "tool", "assistant"]);
	assert.deepEqual(results(list), ["A is fine."]);
	assert.equal(list.at(-1).content, "A was looked at.");

	const [child, ...none] = await family(t);
	assert.deepEqual(none, []);
	assert.equal(child.status, "succeeded");
	assert.equal(child.parent_run_id, run.id);
	assert.equal(child.root_run_id, run.id);
	assert.match(child.checkpoint_ns, /^task:[0-9a-f-]{36}$/);

	// The thread's log has both; a subagent's events say whose they are.
	const all = await log(server, t);
	const own = all.filter((e) => e.run_id === run.id);
	const its = all.filter((e) => e.run_id === child.id);
	assert.equal(own.length + its.length, all.length);
	assert.ok(own.every((e) => !e.ns));
	assert.ok(its.every((e) => e.ns === child.checkpoint_ns));
	assert.ok(its.some((e) => e.type === "message_created"
		&& e.message.content === "A is fine."));
	assert.deepEqual(own.filter((e) => e.type === "run_status")
		.map((e) => e.state), ["running", "waiting_child", "queued",
		"running", "succeeded"]);
});

test("several work at once, behind the other tools", async () => {
	const t = await begin("three please");
	assert.equal((await over(t)).status, "succeeded");
	const list = await messages(server, t);
	const calls = list[1].parts.filter((p) => p.type === "tool_call");
	const result = (i) => list.find((m) => m.role === "tool"
		&& m.tool_call_id === calls[i].id).content;
	assert.equal(result(0), "B is two.");
	assert.match(result(1), /42/);
	assert.equal(result(2), "C is three.");
	assert.match(result(3), /^Error (VALIDATION_FAILED|LIMIT_REACHED)/);
});

test("they go so deep and no deeper", async () => {
	const t = await begin("deep please");
	assert.equal((await over(t)).status, "succeeded");
	const kids = await family(t);
	assert.deepEqual(kids.map((k) => k.checkpoint_ns.split("|").length).sort(),
		[1, 2, 3]);
	const events3 = (await log(server, t)).filter((e) =>
		e.ns?.split("|").length === 3 && e.type === "tool_result");
	assert.equal(events3.length, 1);
	assert.equal(events3[0].error.code, "NOT_FOUND");
});

test("one that fails is a result that says so", async () => {
	const t = await begin("broken please");
	assert.equal((await over(t)).status, "succeeded");
	const [child] = await family(t);
	assert.equal(child.status, "failed");
	assert.match(results(await messages(server, t))[0],
		/^Error [A-Z_]+: the subagent ended as failed: /);
});

test("more than the limit are refused, the others work", async () => {
	const t = await begin("many please");
	assert.equal((await over(t)).status, "succeeded");
	assert.equal((await family(t)).length, 2);
	const refused = results(await messages(server, t))
		.filter((text) => text.startsWith("Error"));
	assert.deepEqual(refused, ["Error LIMIT_REACHED: an answer may begin "
		+ "2 subagents"]);
});

test("an agent that one may not see is none", async () => {
	const t = await begin("stranger please");
	assert.equal((await over(t)).status, "succeeded");
	assert.deepEqual(await family(t), []);
	assert.match(results(await messages(server, t))[0],
		/^Error NOT_FOUND: /);
});

for (const [action, state] of [["interrupt", "cancelled"],
	["rollback", "rolled_back"]])
	test(`a cancel takes its subagents along: ${action}`, async () => {
		const t = await begin("slow please");
		await until("both at work", async () =>
			(await family(t)).filter((r) => r.status === "running")
				.length === 2);
		assert.equal((await get(`/api/runs/${t.run.id}`)).status,
			"waiting_child");
		const { status } = await post(`/api/runs/${t.run.id}/cancel`,
			{ action });
		assert.equal(status, 202);
		assert.equal((await over(t)).status, state);
		for (const child of await family(t))
			assert.equal(child.status, state);
		const thread = await get(`/api/chat/sessions/${t.thread.id}`);
		assert.equal(thread.status, "idle");
	});

test("a subagent that is cancelled alone is a result", async () => {
	const t = await begin("slow please");
	const kids = await until("both at work", async () => {
		const list = await family(t);
		return list.filter((r) => r.status === "running").length === 2
			? list : null;
	});
	for (const child of kids)
		assert.equal((await post(`/api/runs/${child.id}/cancel`, {}))
			.status, 202);
	assert.equal((await over(t)).status, "succeeded");
	for (const text of results(await messages(server, t)))
		assert.match(text, /^Error CANCELED: the subagent ended as cancelled/);
});

test("a person sees a subagent's text in its own stream", async () => {
	const t = await begin("slow please");
	const [child] = await until("one at work", async () => {
		const list = await family(t);
		return list.filter((r) => r.status === "running").length === 2
			? list : null;
	});
	const items = await until("its answer begins", async () => {
		const list = (await get(`/api/runs/${child.id}/events?limit=100`))
			.items;
		return list.some((e) => e.type === "message_start") ? list : null;
	});
	assert.deepEqual(items.map((e) => e.run_seq),
		items.map((e, i) => i + 1));
	await post(`/api/runs/${t.run.id}/cancel`, {});
	await over(t);
});

test("what subagents ask is answered in any order, and their parent goes on", async () => {
	const { status, body: agent } = await post("/api/agents/", { name: "Careful",
		builtins: ["task"], toolkits: ["calculator"],
		approval: { tools: { calculator_evaluate: "always" } } });
	assert.equal(status, 201, JSON.stringify(agent));
	const thread = await newThread(server, s.person, agent.id);
	const { body: { run } } = await post(`/api/chat/sessions/${thread.id}`,
		{ content: "careful please" });
	const t = { ...s, thread, run };
	const items = await until("two approvals", async () => {
		const list = await get(`/api/inbox/?thread_id=${thread.id}`);
		return list.items.length === 2 ? list.items : null;
	});
	assert.equal((await get(`/api/runs/${run.id}`)).status, "waiting_child");
	assert.deepEqual(new Set(items.map((i) => i.run_id)),
		new Set((await family(t)).map((r) => r.id)));

	const [last, first] = items; // newest first
	const accept = async (item, body) => {
		const answer = await post(`/api/inbox/${item.id}/respond`, body);
		assert.equal(answer.status, 200, JSON.stringify(answer.body));
	};
	const edited = last.action_request.args.expression === "1 + 1" ? last : first;
	await accept(last, last === edited ? { type: "edit", args: {
		action: "calculator_evaluate", args: { expression: "9 * 9" } } }
		: { type: "accept" });
	await server.kill9();
	await server.restart();
	await accept(first, first === edited ? { type: "edit", args: {
		action: "calculator_evaluate", args: { expression: "9 * 9" } } }
		: { type: "accept" });
	assert.equal((await over(t)).status, "succeeded");
	assert.deepEqual(results(await messages(server, t)).sort(),
		["D is four.", "E is done."]);
	const sums = (await log(server, t)).filter((e) => e.type === "tool_result" &&
		e.name === "calculator_evaluate")
		.map((e) => String(e.result).split("\n").at(-1));
	assert.deepEqual(sums.sort(), ["4", "81"]);
});

const put = (text, f) => {
	assert.equal(f.offset, Buffer.byteLength(text), "a hole, or twice");
	return text + f.delta;
};
const said = (socket, run, begin = "") => socket.frames.filter((f) =>
	f.type === "message_delta" && f.run_id === run).reduce(put, begin);

test("who watches the thread sees each subagent speak, from any moment on",
	async () => {
		const thread = await newThread(server, s.person, s.agent.id);
		const early = await connect(server, thread.id, { token: s.token });
		await early.type("snapshot");
		early.send({ type: "message", content: "two voices please" });
		const third = new Set();
		await early.until((f) => f.delta?.includes("three") &&
			third.add(f.run_id).size === 2);
		const late = await connect(server, thread.id, { token: s.token });
		const { subagent_partials: partials, partial } =
			await late.type("snapshot");
		assert.equal(partial, null);
		assert.equal(partials.length, 2);
		const cursor = Math.max(...early.frames.map((f) => f.seq ?? 0));
		const back = await connect(server, thread.id,
			{ token: s.token, after: cursor });
		const ended = (f) => f.type === "run_status" && f.status === "end"
			&& !f.ns;
		await Promise.all([early, late, back].map((x) => x.until(ended)));

		const t = { ...s, thread };
		for (const child of await family(t)) {
			const voice = early.frames.find((f) => f.type === "message_delta"
				&& f.run_id === child.id).delta;
			const whole = `${voice} one two three four five six seven eight`;
			for (const socket of [early, late, back])
				for (const f of socket.frames)
					if (f.run_id === child.id)
						assert.equal(f.ns, child.checkpoint_ns);
			assert.equal(said(early, child.id), whole);
			assert.equal(said(back, child.id), whole);
			const known = partials.find((p) => p.run_id === child.id);
			assert.equal(known.ns, child.checkpoint_ns);
			assert.match(whole, new RegExp(`^${known.text}`));
			assert.equal(said(late, child.id, known.text), whole);
		}
		const run = early.frames.find((f) => ended(f)).run_id;
		assert.equal(said(early, run), "Both have spoken.");
		for (const socket of [early, late, back])
			await socket.close();
	});

test("the part of a subagent is one of what its own parent has left",
	async () => {
		const server = await start({ set: [script(folder, turns),
			"runs.max_steps=4", "runs.ambient_steps=20"] });
		try {
			const s = await scene(server, { builtins: ["task"] });
			const { body } = await api(server, "POST",
				`/api/agents/${s.agent.id}/ambient-test`,
				{ token: s.token, body: { task: "long way please" } });
			const socket = await connect(server, body.thread.id,
				{ token: s.token, after: 0 });
			const end = await socket.until((f) => f.status === "end"
				&& f.run_id === body.run.id);
			assert.equal(end.state, "succeeded");
			assert.equal(results(await messages(server,
				{ ...s, thread: body.thread })).at(-1), "F is fine.");
			await socket.close();
		} finally {
			await server.stop();
		}
	});

test("all of them are replayed, and their rows are what the log says", async () => {
	const { items } = await get("/api/runs?limit=100");
	assert.equal((await server.end("SIGTERM")).code, 0);
	assert.equal(replayAll(server), items.length);
	for (const run of items) {
		const r = server.command("rebuild", run.id, "--check");
		assert.equal(r.status, 0, r.stdout + r.stderr);
	}
});
