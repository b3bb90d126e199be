// SPDX-License-Identifier: Apache-2.0
//
// A tool that asks people while it works: it keeps a value, asks twice, and pays
// then.  With kill -9 between question and answer; what it has kept is there each
// time, and it pays once.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { log, messages, newThread, replayAll, scene, script, untilEvent }
	from "../support/chat.mjs";
import { api, start } from "../support/server.mjs";

const folder = mkdtempSync(join(tmpdir(), "script-"));
const paid = [];
let server, s, web;

function serveWeb(req, res) {
	paid.push(req.headers["idempotency-key"]);
	res.setHeader("content-type", "application/json");
	res.end(req.headers["x-said"]);
}

const order = (word) => [
	{ match: `Order ${word}`, tool_calls: [{ name: "witness_order",
		args: { id: word, value: 3 } }] },
	{ match: `Order ${word}`, text: `${word} is done.` },
];

before(async () => {
	web = http.createServer(serveWeb);
	await new Promise((resolve) => web.listen(0, "127.0.0.1", resolve));
	server = await start({ set: [
		script(folder, ["kills", "edits", "no", "stop", "run"].flatMap(order)),
		`plugins.dirs=["${process.env.BUILD_DIR}/tests/fault/.libs"]`,
		"plugins.toolkit_witness.base_url=" +
			`http://127.0.0.1:${web.address().port}`,
	] });
	s = await scene(server, { toolkits: ["witness"] });
});
after(async () => {
	assert.equal(replayAll(server), 5);
	const status = await server?.stop();
	web.closeAllConnections();
	web.close();
	rmSync(folder, { recursive: true });
	assert.deepEqual(status, { code: 0, signal: null }, server?.log);
});

async function ok(method, path, how = {}, status = 200) {
	const answer = await api(server, method, path, { token: s.token, ...how });
	assert.equal(answer.status, status,
		`${method} ${path}: ${JSON.stringify(answer.body)}`);
	return answer.body;
}

// The n-th event that passes.
function until(run, n, passes) {
	let found = 0;
	return untilEvent(server, s.token, run.id,
		(e) => passes(e) && ++found === n);
}

const isState = (state) => (e) => e.type === "run_status" && e.state === state;

async function begin(word) {
	s.thread = await newThread(server, s.person, s.agent.id);
	const { run } = await ok("POST", `/api/chat/sessions/${s.thread.id}`,
		{ body: { content: `Order ${word}` } }, 202);
	return run;
}

// The n-th question of the run, once it waits for its answer.
async function asked(run, n) {
	await until(run, n, isState("waiting_human"));
	const { items } = await ok("GET",
		`/api/inbox/?run_id=${run.id}&status=pending`);
	assert.equal(items.length, 1);
	assert.equal(items[0].kind, "question");
	return items[0];
}

const respond = (item, body) => api(server, "POST",
	`/api/inbox/${item.id}/respond`, { token: s.token, body });

async function again() {
	await server.kill9();
	await server.restart();
}

async function result(run) {
	await until(run, 1, isState("succeeded"));
	const list = (await messages(server, s)).filter((m) =>
		m.run_id === run.id && m.role === "tool");
	assert.equal(list.length, 1);
	return list[0].content;
}

test("kill -9 between each question and its answer", async () => {
	const run = await begin("kills");
	const first = await asked(run, 1);
	assert.equal(first.title, "May it be ordered?");
	assert.equal(first.description, "It costs **3**.");
	assert.deepEqual(first.action_request.args, { id: "kills", value: 3 });
	assert.equal(first.action_request.action, "witness_order");
	assert.deepEqual(first.config, { allow_ignore: true, allow_respond: false,
		allow_edit: true, allow_accept: true });
	await again();
	assert.equal((await respond(first, { type: "response", args: "x" })).status,
		400);
	assert.equal((await respond(first, { type: "accept" })).status, 200);
	assert.equal((await respond(first, { type: "accept" })).status, 200);
	assert.equal((await respond(first, { type: "ignore" })).status, 409);
	const second = await asked(run, 2);
	const [, ticket] = /^When, for (\d+)\?$/.exec(second.title);
	await again();
	assert.deepEqual(paid, []);
	assert.equal((await respond(second, { type: "response", args: "today" }))
		.status, 200);
	await again();
	assert.deepEqual(JSON.parse(await result(run)), { ticket: Number(ticket),
		when: "today", wanted: { id: "kills", value: 3 } });
	assert.equal(new Set(paid).size, 1, "one key");
	const events = (await log(server, s)).filter((e) => e.run_id === run.id);
	assert.equal(events.filter((e) => e.type === "hitl_request").length, 2);
	assert.equal(events.filter((e) => e.type === "hitl_resolved").length, 2);
	assert.equal(events.filter((e) => e.type === "tool_call").length, 1);
});

test("an edited value is what the tool itself takes", async () => {
	const run = await begin("edits");
	const item = await asked(run, 1);
	const wrong = await respond(item, { type: "edit", args: { id: 7, more: 1 } });
	assert.equal(wrong.status, 400);
	assert.deepEqual(Object.keys(wrong.body.details),
		["/args/id", "/args/more"]);
	const other = await respond(item, [{ type: "edit",
		args: { action: "witness_order", args: { id: "blue", value: 4 } } }]);
	assert.equal(other.status, 200, JSON.stringify(other.body));
	assert.equal((await respond(await asked(run, 2), { type: "accept" })).status,
		200);
	const { wanted, when } = JSON.parse(await result(run));
	assert.deepEqual(wanted, { id: "blue", value: 4 });
	assert.equal(when, "");
});

test("a no is the tool's to deal with", async () => {
	const n = paid.length;
	const run = await begin("no");
	const item = await asked(run, 1);
	assert.equal((await respond(item, { decisions: [{ type: "reject" }] }))
		.status, 200);
	assert.equal(await result(run), "not ordered");
	assert.equal(paid.length, n);
});

test("a stop withdraws the question", async () => {
	const n = paid.length;
	const run = await begin("stop");
	const item = await asked(run, 1);
	await ok("POST", `/api/runs/${run.id}/cancel`, {}, 202);
	await until(run, 1, isState("cancelled"));
	assert.equal((await ok("GET", `/api/inbox/${item.id}`)).status, "dismissed");
	assert.equal((await respond(item, { type: "accept" })).status, 409);
	assert.equal(paid.length, n);
});

test("an answer that names the run alone", async () => {
	const run = await begin("run");
	for (let n = 1; n <= 2; n++) {
		await asked(run, n);
		const { items } = await ok("POST", `/api/runs/${run.id}/respond`,
			{ body: { decisions: [{ type: "approve" }] } });
		assert.equal(items[0].status, "answered");
	}
	assert.equal(JSON.parse(await result(run)).wanted.id, "run");
});
