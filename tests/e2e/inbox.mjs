// SPDX-License-Identifier: Apache-2.0
//
// The inbox: what agents ask, who sees it, who may answer, and the live stream.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { events, hasEnded, messages, newThread, scene, script, untilEvent }
	from "../support/chat.mjs";
import { api, signUp, start, startWorker } from "../support/server.mjs";
import { connect } from "../support/ws.mjs";

// Arguments of two types, so that what a form makes of them shows.
const SUM = { name: "calculator_evaluate", args: { expression: "6*7" } };
const CLOCK = { name: "clock_now", args: { utc_offset_min: 60 } };
const choose = (args) => ({ name: "ask_human", args });
const folder = mkdtempSync(join(tmpdir(), "inbox-"));
let server, admin;

before(async () => {
	server = await start({ set: ["models.tries=1", script(folder, [
		{ match: "fail", fail: { status: 503, message: "no capacity" } },
		{ match: "two calls", tool_calls: [SUM, CLOCK] },
		{ match: "two calls", text: "Both done." },
		{ match: "one call", tool_calls: [CLOCK] },
		{ match: "one call", text: "Done." },
		{ match: "which ones", tool_calls: [
			choose({ question: "Colour?", choices: ["red", "blue"] }),
			choose({ question: "Size?", choices: ["S", "L"],
				free_text: true }),
			choose({ question: "Free?", choices: [] }),
			choose({ question: "Bad?", choices: "yes" }),
			choose({ question: "Worse?", choices: ["yes", ""] })] },
		{ match: "which ones", text: "Chosen." },
	])] });
	admin = await signUp(server);
});
after(async () => {
	const status = await server?.stop();
	rmSync(folder, { recursive: true });
	assert.deepEqual(status, { code: 0, signal: null }, server?.log);
});

async function ok(method, path, { status = 200, ...how }) {
	const answer = await api(server, method, path, how);
	assert.equal(answer.status, status,
		`${method} ${path}: ${JSON.stringify(answer.body)}`);
	return answer.body;
}

// The live stream of somebody's inbox; next() is the next frame.
async function listen(token, query = "", headers = {}) {
	const end = new AbortController();
	const response = await fetch(server.url + "/api/inbox/events" + query, {
		headers: { ...headers, accept: "text/event-stream",
			authorization: `Bearer ${token}` },
		signal: end.signal,
	});
	assert.equal(response.status, 200);
	const frames = events(response);
	return {
		next: async () => (await frames.next()).value,
		close: () => end.abort(),
	};
}

// A run that is parked: its owner has an item.
async function parked(s) {
	const thread = await newThread(server, s.person, s.agent.id);
	const { run } = await ok("POST", `/api/chat/sessions/${thread.id}`,
		{ token: s.token, status: 202, body: { content: "fail" } });
	return { thread, run };
}

test("an item is seen by its owner, its assignee and admins only", async () => {
	const s = await scene(server), other = await signUp(server);
	const mine = await listen(s.token), theirs = await listen(other.token);
	assert.deepEqual((await mine.next()).data.counts, { pending: 0, unread: 0 });
	assert.equal((await theirs.next()).event, "ready");
	const { thread, run } = await parked(s);

	const { event, id, data } = await mine.next();
	assert.equal(event, "inbox_item");
	assert.equal(Number(id), data.seq);
	assert.equal(data.change, "created");
	assert.deepEqual(data.counts, { pending: 1, unread: 1 });
	assert.equal(data.item.run_id, run.id);
	const path = `/api/inbox/${data.item_id}`;

	for (const query of ["", "?status=pending", "?kind=error", "?unread=true",
		`?run_id=${run.id}`, `?thread_id=${thread.id}`, "?assignee=none",
		`?agent_id=${s.agent.id}`]) {
		const { items, counts } = await ok("GET", `/api/inbox/${query}`,
			{ token: s.token });
		assert.deepEqual(items, [data.item], query);
		assert.deepEqual(counts, { pending: 1, unread: 1 });
	}
	for (const query of ["?status=answered", "?kind=approval", "?assignee=me",
		`?run_id=${thread.id}`, `?assignee=${s.person.user.id}`])
		assert.deepEqual((await ok("GET", `/api/inbox/${query}`,
			{ token: s.token })).items, [], query);
	assert.deepEqual(await ok("GET", path, { token: s.token }), data.item);
	assert.deepEqual(await ok("GET", path, { token: admin.token }), data.item);
	for (const [method, rest, body] of [["GET", ""], ["POST", "/mark_read"],
		["POST", "/assign", { assignee: null }]])
		await ok(method, path + rest, { token: other.token, body, status: 404 });
	assert.deepEqual(await ok("GET", "/api/inbox/", { token: other.token }),
		{ items: [], next_cursor: null, counts: { pending: 0, unread: 0 } });

	const read = await ok("POST", path + "/mark_read", { token: s.token });
	assert.ok(read.read_at);
	assert.deepEqual(await ok("POST", path + "/mark_read", { token: s.token }),
		read);
	const seen = await mine.next();
	assert.equal(seen.data.change, "read");
	assert.deepEqual(seen.data.item, read);
	assert.deepEqual(seen.data.counts, { pending: 1, unread: 0 });

	await ok("POST", path + "/assign", { token: s.token, status: 400,
		body: { assignee: run.id } });
	const given = await ok("POST", path + "/assign",
		{ token: s.token, body: { assignee: other.user.id } });
	assert.equal(given.assignee, other.user.id);
	assert.equal((await mine.next()).data.change, "assigned");
	const told = (await theirs.next()).data;
	assert.equal(told.change, "assigned");
	assert.deepEqual(told.item, given);
	assert.deepEqual(told.counts, { pending: 1, unread: 0 });
	assert.deepEqual((await ok("GET", "/api/inbox/?assignee=me",
		{ token: other.token })).items, [given]);
	await ok("POST", path + "/assign", { token: other.token, status: 403,
		body: { assignee: s.person.user.id } });
	const back = await ok("POST", path + "/assign",
		{ token: other.token, body: { assignee: null } });
	assert.equal(back.assignee, null);
	await ok("GET", path, { token: other.token, status: 404 });
	const gone = (await theirs.next()).data;
	assert.equal(gone.change, "assigned");
	assert.equal(gone.item, null);
	assert.deepEqual(gone.counts, { pending: 0, unread: 0 });

	await ok("POST", `/api/runs/${run.id}/cancel`,
		{ token: s.token, status: 202, body: {} });
	assert.equal((await mine.next()).data.change, "assigned");
	const last = (await mine.next()).data;
	assert.equal(last.change, "dismissed");
	assert.deepEqual(last.counts, { pending: 0, unread: 0 });
	await ok("POST", path + "/assign", { token: s.token, status: 409,
		body: { assignee: other.user.id } });
	mine.close();
	theirs.close();

	// Whoever comes back gets what he has missed.
	const again = await listen(s.token, "", { "last-event-id": id });
	await again.next();
	for (const change of ["read", "assigned", "assigned", "dismissed"])
		assert.equal((await again.next()).data.change, change);
	again.close();
});

test("the same as pages, waited for", async () => {
	const s = await scene(server);
	const now = await ok("GET", "/api/inbox/events", { token: s.token });
	assert.deepEqual(now.items, []);
	assert.deepEqual(now.counts, { pending: 0, unread: 0 });
	await ok("GET", `/api/inbox/events?after=${now.head + 100000}`,
		{ token: s.token, status: 400 });
	await ok("GET", "/api/inbox/events?after=x", { token: s.token, status: 400 });
	const waiting = ok("GET", `/api/inbox/events?after=${now.head}&wait=30`,
		{ token: s.token });
	await parked(s);
	const { items, head } = await waiting;
	assert.equal(items.length, 1);
	assert.equal(items[0].change, "created");
	assert.ok(head >= items[0].seq);
	await parked(s);
	const two = await ok("GET",
		`/api/inbox/events?after=${now.head}&limit=1&wait=10`,
		{ token: s.token });
	assert.deepEqual(two.items.map((e) => e.seq), [two.head]);
	const rest = await ok("GET",
		`/api/inbox/events?after=${two.head}&limit=10&wait=10`,
		{ token: s.token });
	assert.equal(rest.items.length, 1);
	assert.deepEqual(rest.counts, { pending: 2, unread: 2 });
});

// ---- Answers ---------------------------------------------------------------

// Somebody whose agent asks before each call.
function asker(approval = {}) {
	return scene(server, { approval: { default: "always", ...approval } });
}

const until = (s, run, found) => untilEvent(server, s.token, run.id, found);

// A run that asks, and its items in the order of the calls.
async function asked(s, content) {
	const thread = await newThread(server, s.person, s.agent.id);
	const { run } = await ok("POST", `/api/chat/sessions/${thread.id}`,
		{ token: s.token, status: 202, body: { content } });
	await until(s, run, (e) => e.state === "waiting_human");
	const { items } = await ok("GET", `/api/inbox/?run_id=${run.id}`,
		{ token: s.token });
	items.sort((a, b) => a.ordinal - b.ordinal);
	return { thread, run, items };
}

function respond(s, item, body, status = 200) {
	return ok("POST", `/api/inbox/${item.id}/respond`,
		{ token: s.token, body, status });
}

async function calls(s, run) {
	const { items } = await ok("GET", `/api/runs/${run.id}/calls`,
		{ token: s.token });
	return items.map((c) => [c.name, c.state, c.args]);
}

test("two people answer, in two shapes; a third one is refused", async () => {
	const s = await asker(), helper = await signUp(server);
	const third = await signUp(server);
	const { thread, run, items: [sum, clock] } = await asked(s, "two calls");
	assert.deepEqual(sum.action_request.args, SUM.args);
	assert.equal(sum.action_request.action, SUM.name);
	assert.deepEqual(clock.config, { allow_accept: true, allow_edit: true,
		allow_respond: true, allow_ignore: true });

	const socket = await connect(server, thread.id, { token: s.token });
	const { open_requests: open } = await socket.until((f) => f.type === "snapshot");
	assert.deepEqual(open.map((o) => o.item_id), [sum.id, clock.id]);
	assert.deepEqual(open[1].action_request, clock.action_request);
	socket.close();

	await ok("POST", `/api/inbox/${clock.id}/assign`,
		{ token: s.token, body: { assignee: helper.user.id } });
	await respond(third, sum, { type: "accept" }, 404);
	await respond(helper, sum, { type: "accept" }, 404);
	// As a form sends it: a list, an action request, strings.
	const edited = await respond(helper, clock, [{ type: "edit", args: {
		action: CLOCK.name, args: { utc_offset_min: "120" } } }]);
	assert.equal(edited.status, "answered");
	assert.equal(edited.response_type, "edit");
	assert.deepEqual(edited.response, { utc_offset_min: 120 });
	assert.equal(edited.responded_by, helper.user.id);
	const accepted = await respond(s, sum, { type: "accept",
		args: { action: SUM.name, args: SUM.args } });
	assert.equal(accepted.response_type, "accept");
	assert.equal(accepted.responded_by, s.person.user.id);

	assert.equal((await until(s, run, hasEnded)).state, "succeeded");
	assert.deepEqual(await calls(s, run), [
		[SUM.name, "succeeded", SUM.args],
		[CLOCK.name, "succeeded", { utc_offset_min: 120 }],
	]);
	const list = await messages(server, { ...s, thread });
	assert.equal(list.at(-1).content, "Both done.");

	// The same again, in whatever shape, is harmless; another answer is late.
	for (const body of [{ type: "edit", args: { utc_offset_min: 120 } },
		[{ type: "edit", args: { utc_offset_min: "120" } }],
		{ decisions: [{ type: "edit", edited_action: { name: CLOCK.name,
			args: { utc_offset_min: 120 } } }] }])
		assert.deepEqual(await respond(helper, clock, body), edited);
	for (const body of [{ type: "accept" }, { type: "response", args: "no" },
		{ type: "edit", args: { utc_offset_min: 121 } }, { type: "edit" }]) {
		const late = await respond(s, clock, body, 409);
		assert.equal(late.code, "CONFLICT");
		assert.equal(late.item_status, "answered");
		assert.equal(late.response_type, "edit");
		assert.equal(late.responded_by, helper.user.id);
		assert.equal(late.responded_at, edited.responded_at);
	}
});

test("what does not fit is refused, and the item stays open", async () => {
	const s = await asker({ tools: { [SUM.name]: { when: "always",
		allow: ["accept", "ignore"] } } });
	const { run, items: [sum, clock] } = await asked(s, "two calls");
	const wrong = [
		[clock, { type: "edit", args: { utc_offset_min: "soon" } },
			"/args/utc_offset_min"],
		[clock, { type: "edit", args: { utc_offset_min: 1.5 } },
			"/args/utc_offset_min"],
		[clock, { type: "edit", args: { utc_offset_min: 60, x: 1 } }, "/args/x"],
		[clock, { type: "edit", args: { action: SUM.name, args: {} } }, "args"],
		[clock, { type: "edit", args: "120" }, "args"],
		[clock, { type: "accept", args: { utc_offset_min: 0 } }, "args"],
		[clock, { type: "maybe" }, "type"],
		[clock, {}, "type"],
		[clock, { type: "response", args: "" }, "args"],
		[clock, { type: "accept", more: 1 }, "more"],
		[clock, [], ""],
		[clock, [{ type: "accept" }, { type: "accept" }], ""],
		[clock, { outcome: "retry" }, "outcome"],
		[clock, { decisions: [{ type: "approve" }, { type: "approve" }] },
			"decisions"],
		[clock, { decisions: [{ type: "edit", edited_action: { name: CLOCK.name,
			args: { utc_offset_min: "x" } } }] },
			"/decisions/0/args/utc_offset_min"],
		[sum, { type: "edit", args: { expression: "1" } }, "type"],
		[sum, { type: "response", args: "no" }, "type"],
		[sum, { decisions: [{ type: "reject", message: "no" }] },
			"/decisions/0/type"],
	];
	for (const [item, body, field] of wrong) {
		const { details, code } = await respond(s, item, body, 400);
		assert.equal(code, "VALIDATION_FAILED");
		assert.deepEqual(Object.keys(details), [field], JSON.stringify(body));
	}
	for (const raw of ["\u0000", "[{\"type\":\"response\",\"args\":\"\\u0000\"}]"])
		await ok("POST", `/api/inbox/${clock.id}/respond`,
			{ token: s.token, raw, status: 400 });
	assert.match((await respond(s, sum, { type: "response", args: "no" }, 400))
		.details.type[0], /accept, ignore/);
	for (const item of [sum, clock])
		assert.deepEqual(await ok("GET", `/api/inbox/${item.id}`,
			{ token: s.token }), item);

	// An agent that has lost the tool meanwhile may not use it.
	await ok("PATCH", `/api/agents/${s.agent.id}/`,
		{ token: s.token, body: { toolkits: ["calculator"] } });
	for (const body of [{ type: "accept" },
		{ type: "edit", args: { utc_offset_min: 0 } }])
		assert.match((await respond(s, clock, body, 400)).details.type[0],
			/may not use clock_now/);
	await respond(s, clock, { type: "ignore" });
	await respond(s, sum, { type: "edit", args: SUM.args });
	await until(s, run, hasEnded);
	assert.deepEqual((await calls(s, run)).map((c) => c[1]),
		["succeeded", "skipped"]);
});

test("a question with choices is answered with one of them", async () => {
	const s = await scene(server, { approval: { questions: true } });
	const { run, thread, items } = await asked(s, "which ones");
	assert.deepEqual(items.map((i) => i.title), ["Colour?", "Size?", "Free?"]);
	for (const [body, field] of [
		[{ type: "response", args: "green" }, "args"],
		[{ type: "response", args: "Red" }, "args"],
		[{ type: "response", args: ["red"] }, "args"],
		[{ decisions: [{ type: "respond", message: "green" }] },
			"/decisions/0/message"],
		[{ decisions: [{ type: "reject", message: "none of them" }] },
			"/decisions/0/message"]]) {
		const { details } = await respond(s, items[0], body, 400);
		assert.deepEqual(details, { [field]: ["must be one of [\"red\",\"blue\"]"] });
	}
	await respond(s, items[0], { decisions: [{ type: "respond", message: "red" }] });
	await respond(s, items[1], { type: "response", args: "XL" });
	await respond(s, items[2], { type: "response", args: "as you like" });
	await until(s, run, hasEnded);
	const told = (await messages(server, { ...s, thread }))
		.filter((m) => m.role === "tool").map((m) => m.content);
	assert.deepEqual(told.slice(0, 2), ["Error VALIDATION_FAILED: choices: must"
		+ " be a list of at most 20 {\"choices\":[\"must be a list of at most 20\"]}",
	"Error VALIDATION_FAILED: choices: must be texts of 1 to 800 bytes"
		+ " {\"choices\":[\"must be texts of 1 to 800 bytes\"]}"]);
	assert.deepEqual(told.slice(2), ["red", "XL", "as you like"]);
});

test("a run is answered in the order of its requests", async () => {
	const s = await asker();
	const { run } = await asked(s, "two calls");
	const path = `/api/runs/${run.id}/respond`;
	const post = (body, status = 200, who = s) => ok("POST", path,
		{ token: who.token, body, status });
	await post({ type: "accept" }, 400);
	await post({ decisions: [{ type: "approve" }] }, 400);
	const bad = await post({ decisions: [{ type: "approve" },
		{ type: "edit", edited_action: { name: SUM.name, args: {} } }] }, 400);
	assert.deepEqual(Object.keys(bad.details), ["/decisions/1/args"]);
	await post({ type: "accept" }, 404, await signUp(server));
	const both = { decisions: [{ type: "reject", message: "too easy" },
		{ type: "approve" }] };
	const { items } = await post(both);
	assert.deepEqual(items.map((i) => i.response_type), ["response", "accept"]);
	await until(s, run, hasEnded);
	assert.deepEqual((await post(both)).items, items);
	const late = await post({ decisions: [{ type: "approve" },
		{ type: "approve" }] }, 409);
	assert.equal(late.response_type, "response");
	const one = await asked(s, "one call");
	await ok("POST", `/api/runs/${one.run.id}/respond`,
		{ token: s.token, body: [{ type: "accept" }] });
	await until(s, one.run, hasEnded);
});

test("of the answers to a run none counts or all do", async () => {
	const s = await asker();
	const first = await asked(s, "two calls"), second = await asked(s, "one call");
	const [sum, clock] = first.items, [other] = second.items;
	const post = (answers, status = 200) => ok("POST", "/api/inbox/respond",
		{ token: s.token, body: { answers }, status });
	await post([], 400);
	await post([{ item_id: sum.id, type: "accept" },
		{ item_id: sum.id, type: "ignore" }], 400);
	const mixed = await post([
		{ item_id: sum.id, type: "accept" },
		{ item_id: clock.id, type: "edit", args: { utc_offset_min: [] } },
		{ item_id: other.id, type: "accept" },
		{ item_id: second.run.id, type: "accept" },
	]);
	assert.deepEqual(mixed.results.map((r) => r.status), [424, 400, 200, 404]);
	assert.deepEqual(mixed.results.map((r) => r.error?.code), ["NOT_RECORDED",
		"VALIDATION_FAILED", undefined, "NOT_FOUND"]);
	assert.equal(mixed.results[2].item.status, "answered");
	for (const item of [sum, clock])
		assert.equal((await ok("GET", `/api/inbox/${item.id}`,
			{ token: s.token })).status, "pending");
	const all = [{ item_id: clock.id, type: "response", args: "noon" },
		{ item_id: sum.id, type: "accept" }];
	const done = await post(all);
	assert.deepEqual(done.results.map((r) => r.item.status),
		["answered", "answered"]);
	assert.deepEqual((await post(all)).results.map((r) => r.status), [200, 200]);
	await until(s, first.run, hasEnded);
	await until(s, second.run, hasEnded);
	const { counts } = await ok("GET", "/api/inbox/", { token: s.token });
	assert.deepEqual(counts, { pending: 0, unread: 0 });
});

test("of many answers at once the first one counts", async () => {
	const s = await asker();
	const { run, items: [item] } = await asked(s, "one call");
	const answers = await Promise.all(Array.from({ length: 40 }, (_, i) =>
		api(server, "POST", `/api/inbox/${item.id}/respond`, { token: s.token,
			body: { type: "edit", args: { utc_offset_min: i } } })));
	const won = answers.filter((a) => a.status === 200);
	assert.equal(won.length, 1, JSON.stringify(answers.map((a) => a.status)));
	for (const { status, body } of answers.filter((a) => a.status !== 200)) {
		assert.equal(status, 409);
		assert.equal(body.responded_by, s.person.user.id);
		assert.equal(body.responded_at, won[0].body.responded_at);
	}
	await until(s, run, hasEnded);
	assert.deepEqual(await calls(s, run),
		[[CLOCK.name, "succeeded", won[0].body.response]]);
});

test("when the time is over it is over", async () => {
	const s = await asker({ expires_s: 1 });
	const mine = await listen(s.token);
	await mine.next();
	const { run, items: [item] } = await asked(s, "one call");
	assert.ok(item.expires_at);
	assert.equal(item.on_expire, "reject");
	let frame;
	do
		frame = (await mine.next()).data;
	while (frame.change !== "expired");
	assert.equal(frame.item_id, item.id);
	assert.deepEqual(frame.counts, { pending: 0, unread: 0 });
	mine.close();
	const late = await respond(s, item, { type: "accept" }, 410);
	assert.equal(late.code, "EXPIRED");
	assert.equal(late.item_status, "expired");
	await until(s, run, hasEnded);
	assert.deepEqual((await calls(s, run)).map((c) => c[1]), ["skipped"]);
});

test("what an operator decides is answered there too", async () => {
	const s = await scene(server);
	const { run } = await parked(s);
	await until(s, run, (e) => e.state === "recoverable_error");
	const { items: [item] } = await ok("GET", `/api/inbox/?run_id=${run.id}`,
		{ token: s.token });
	const wrong = await respond(s, item, { type: "accept" }, 400);
	assert.match(wrong.details[""][0], /"outcome".*operator\/items/);
	assert.match(wrong.details.outcome[0], /retry extend cancel/);
	await respond(s, item, { outcome: "happened" }, 400);
	await respond(await signUp(server), item, { outcome: "cancel" }, 404);
	const done = await respond(s, item, { outcome: "cancel" });
	assert.equal(done.status, "answered");
	assert.equal(done.response_type, "cancel");
	assert.deepEqual(await respond(s, item, { outcome: "cancel" }), done);
	const late = await respond(admin, item, { outcome: "retry" }, 409);
	assert.equal(late.responded_by, s.person.user.id);
	assert.equal((await until(s, run, hasEnded)).state, "cancelled");
});

test("a stream ends with its session", async () => {
	const person = await signUp(server);
	const stream = await listen(person.token);
	assert.equal((await stream.next()).event, "ready");
	await ok("POST", "/api/auth/logout", { token: person.token, status: 204 });
	assert.equal((await stream.next()).data.code, "AUTH_REQUIRED");
	assert.equal(await stream.next(), undefined);
});

// Who asks and who answers need not be in one process.
test("what a worker asks is heard, and what it hears it does",
	{ skip: process.env.AGENT_STUDIO_STORE !== "postgres" }, async () => {
		const set = server.options.set, one = server;
		server = await start({ set: [...set, "worker.embedded=false"] });
		const worker = await startWorker(server, { set });
		try {
			const s = await asker();
			const mine = await listen(s.token);
			await mine.next();
			const thread = await newThread(server, s.person, s.agent.id);
			const { run } = await ok("POST", `/api/chat/sessions/${thread.id}`,
				{ token: s.token, status: 202, body: { content: "one call" } });
			const { data } = await mine.next();
			assert.equal(data.change, "created");
			assert.equal(data.item.run_id, run.id);
			await respond(s, data.item, { type: "edit", args: { utc_offset_min: 5 } });
			assert.equal((await mine.next()).data.change, "answered");
			mine.close();
			await until(s, run, hasEnded);
			assert.deepEqual(await calls(s, run),
				[[CLOCK.name, "succeeded", { utc_offset_min: 5 }]]);
		} finally {
			await worker.stop();
			await server.stop();
			server = one;
		}
	});

test("metrics count answers, and what waits", async () => {
	const { body } = await api(server, "GET", "/metrics");
	assert.match(body, /inbox_pending\{kind="approval"\} \d/);
	assert.match(body, /inbox_responses_total\{type="edit",outcome="recorded"\} \d/);
	assert.match(body, /inbox_responses_total\{type="accept",outcome="late"\} \d/);
});
