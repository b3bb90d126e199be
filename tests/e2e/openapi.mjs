// SPDX-License-Identifier: Apache-2.0
//
// /api/openapi.json says what there is, and the server says what it says: every
// route of the program, and a real answer of every operation.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { newThread, script } from "../support/chat.mjs";
import { sign } from "../support/receiver.mjs";
import { problems, resolve } from "../support/schema.mjs";
import { api, signUp, start } from "../support/server.mjs";
import { until } from "../support/wait.mjs";

const ROUTES = new URL("../../core/api/routes.c", import.meta.url);
const folder = mkdtempSync(join(tmpdir(), "script-"));
const seen = new Set();
let server, doc, ada;

before(async () => {
	server = await start({ set: ["models.tries=1", script(folder,
		[{ match: "fail", fail: { status: 503, message: "no capacity" } }])] });
	const answer = await api(server, "GET", "/api/openapi.json");
	assert.equal(answer.status, 200);
	doc = answer.body;
	ada = await signUp(server);
});
after(async () => {
	await server?.stop();
	rmSync(folder, { recursive: true });
});

function responseSchema(op, status) {
	const response = op.responses[status] ?? op.responses.default;
	assert.ok(response, `${op.operationId} does not describe ${status}`);
	const content = (response.$ref ? resolve(response.$ref, doc) : response).content;
	return content?.["application/json"]?.schema ??
		content?.["application/problem+json"]?.schema;
}

// Makes the call and holds the answer against the document.
async function call(method, template, { status = 200, path = {}, query = "", ...how } = {}) {
	const op = doc.paths[template]?.[method.toLowerCase()];
	assert.ok(op, `${method} ${template} is not in the document`);
	const url = template.replace(/\{(\w+)\}/g, (_, name) => path[name]) + query;
	const answer = await api(server, method, url, { token: ada.token, ...how });
	assert.equal(answer.status, status, `${method} ${url}: ${JSON.stringify(answer.body)}`);
	const schema = responseSchema(op, String(status));
	if (schema === undefined) {
		assert.ok(answer.body === "" || typeof answer.body === "string" ||
			op.operationId === "openapi_document", `${template} has no schema`);
	} else {
		assert.deepEqual(problems(schema, answer.body, doc), [],
			`${method} ${url} ${JSON.stringify(answer.body)}`);
	}
	if (how.body !== undefined && status < 300) {
		const body = op.requestBody.content["application/json"].schema;
		assert.deepEqual(problems(body, how.body, doc), []);
	}
	if (status < 300)
		seen.add(op.operationId);
	return answer.body;
}

test("it is OpenAPI 3.1, and every $ref leads somewhere", () => {
	assert.match(doc.openapi, /^3\.1\.\d+$/);
	assert.ok(doc.info.title && doc.info.version);
	JSON.stringify(doc, (key, value) => {
		if (key === "$ref")
			assert.ok(resolve(value, doc), `${value} leads nowhere`);
		return value;
	});
	for (const [path, item] of Object.entries(doc.paths))
		for (const [method, op] of Object.entries(item)) {
			assert.match(method, /^(get|post|put|patch|delete)$/);
			assert.ok(op.operationId && op.summary && op.tags, path);
			for (const p of op.parameters ?? [])
				assert.ok(p.name && p.in && p.schema, path);
		}
});

test("every route of the program is in it, and no other", () => {
	const table = readFileSync(ROUTES, "utf8").split("api_routes[] = {")[1];
	const described = Object.entries(doc.paths).flatMap(([path, item]) =>
		Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`));
	const routes = table.split(".method = ").slice(1)
		.filter((row) => !row.includes("ROUTE_HIDDEN"))
		.map((row) => /"(\w+)", \.path = "([^"]+)"/.exec(row))
		.map((m) => `${m[1]} ${m[2]}`.replace(/\{(\w+):\w+\}/g, "{$1}"));
	assert.deepEqual(described.sort(), routes.sort());
});

test("accounts", async () => {
	const email = "cy@example.org", password = "correct horse battery";
	await call("POST", "/api/auth/signup",
		{ status: 201, token: null, body: { email, password } });
	await call("POST", "/api/auth/signup",
		{ status: 409, token: null, body: { email, password } });
	await call("POST", "/api/auth/signup", { status: 400, token: null, body: {} });
	const session = await call("POST", "/api/auth/login",
		{ token: null, body: { email, password } });
	await call("POST", "/api/auth/login",
		{ status: 401, token: null, body: { email, password: "wrong one" } });
	const fresh = await call("POST", "/api/auth/refresh",
		{ token: null, body: { refresh_token: session.refresh_token } });
	await call("GET", "/api/auth/me");
	await call("GET", "/api/auth/me", { status: 401, token: null });
	await call("PATCH", "/api/auth/me", { body: { display_name: "Ada" } });
	await call("POST", "/api/auth/logout",
		{ status: 204, token: fresh.access_token });
});

test("agents", async () => {
	const agent = await call("POST", "/api/agents/", { status: 201, body: {
		name: "Helper", memory: { enabled: true, facts: ["one"] },
		toolkits: ["clock"], suggested_task_prompts: ["go"],
	} });
	const path = { id: agent.id };
	await call("POST", "/api/agents/", { status: 400, body: { name: 1 } });
	await call("GET", "/api/agents/", { query: "?public=true&limit=1" });
	await call("GET", "/api/agents/", { status: 400, query: "?limit=0" });
	await call("GET", "/api/agents/{id}/", { path });
	await call("PUT", "/api/agents/{id}/", { path, body: { name: "x" } });
	await call("PATCH", "/api/agents/{id}/", { path, body: { purpose: "p" } });
	await call("PATCH", "/api/agents/{id}/", { path, status: 412,
		body: { purpose: "p" }, headers: { "if-match": '"1"' } });
	await call("DELETE", "/api/agents/{id}/", { path, status: 204 });
	await call("GET", "/api/agents/{id}/", { path, status: 404 });
});

test("models and toolkits", async () => {
	await call("GET", "/api/models");
	const { items } = await call("GET", "/api/toolkits/");
	for (const { slug } of items) {
		await call("GET", "/api/toolkits/{slug}/", { path: { slug } });
		await call("GET", "/api/toolkits/{slug}/tools", { path: { slug } });
	}
	await call("GET", "/api/toolkits/{slug}/", { path: { slug: "no" }, status: 404 });
});

async function ended(id) {
	let last = 0;
	for (let over = false; !over;) {
		const { items } = await call("GET", "/api/runs/{id}/events",
			{ path: { id }, query: `?wait=10&after=${last}` });
		last = items.at(-1)?.run_seq ?? last;
		over = items.some((e) => e.type === "run_status" && e.status === "end");
	}
}

async function forks(path, session) {
	const history = `${session}/history`;
	const { items } = await call("GET", history, { path });
	const asked = { ...path, cid: items.at(-1).id };
	const { run } = await call("POST", `${history}/{cid}/fork`,
		{ path: asked, body: { mode: "what_if" } });
	await ended(run.id);
	await call("POST", `${history}/{cid}/fork`,
		{ path: asked, body: { mode: "replay" } });
	await call("POST", `${history}/{cid}/fork`,
		{ path: asked, status: 400, body: { mode: "live", content: "x" } });
	await call("POST", `${history}/{cid}/fork`,
		{ path: { ...path, cid: path.id }, status: 404, body: { mode: "live" } });
	await call("GET", history, { path });
}

async function branches(path) {
	const session = "/api/chat/sessions/{id}";
	const { messages } = await call("GET", session, { path });
	const mid = messages[0].id;
	const { run } = await call("POST",
		`${session}/messages/{mid}/regenerate`,
		{ path: { ...path, mid }, status: 202 });
	await ended(run.id);
	await call("POST", `${session}/messages/{mid}/regenerate`,
		{ path: { ...path, mid: path.id }, status: 404 });
	const { items: [fork] } = await call("GET", `${session}/branches`, { path });
	assert.equal(fork.siblings.length, 2);
	await call("PUT", `${session}/active_leaf`,
		{ path, body: { message_id: fork.siblings[0].id } });
	await call("PUT", `${session}/active_leaf`,
		{ path, status: 404, body: { message_id: path.id } });
	await call("GET", session, { path, query: "?branch=all" });
	await forks(path, session);
}

test("threads, messages, runs and events", async () => {
	const agent = await call("POST", "/api/agents/",
		{ status: 201, body: { name: "x", toolkits: ["calculator"] } });
	const thread = await call("POST", "/api/chat/sessions",
		{ status: 201, body: { agent_id: agent.id } });
	const path = { id: thread.id };
	const sent = await call("POST", "/api/chat/sessions/{id}", { path, status: 202,
		body: { content: "What is 6 * 7?", client_message_id: "m" } });
	const run = { id: sent.run.id };
	await ended(run.id);
	await call("GET", "/api/runs/{id}/events",
		{ path: run, status: 400, query: "?after=999" });
	await call("GET", "/api/chat/sessions/{id}/events", { path });
	await branches(path);
	const full = await call("GET", "/api/chat/sessions/{id}", { path });
	assert.equal(full.messages.length, 4);
	await call("GET", "/api/chat/sessions", { query: `?agent_id=${agent.id}` });
	await call("GET", "/api/runs");
	await call("GET", "/api/runs/{id}", { path: run });
	await call("POST", "/api/runs/{id}/cancel", { path: run, status: 202 });
	await call("GET", "/api/runs/{id}", { path: path, status: 404 });
	await call("DELETE", "/api/agents/{id}/", { path: { id: agent.id }, status: 204 });
	await call("POST", "/api/chat/sessions/{id}",
		{ path, status: 409, body: { content: "still there?" } });
});

test("a task that nobody watches", async () => {
	const { id } = await call("POST", "/api/agents/",
		{ status: 201, body: { name: "x" } });
	const start = (status, body) => call("POST",
		"/api/agents/{id}/ambient-test", { path: { id }, status, body });
	const { run, thread } = await start(202, { task: "say pong" });
	assert.equal(run.thread_id, thread.id);
	await start(400, { task: "" });
	await call("POST", "/api/agents/{id}/ambient-test",
		{ path: run, status: 404, body: { task: "x" } });
	await call("PATCH", "/api/agents/{id}/",
		{ path: { id }, body: { agent_state: "paused" } });
	await start(409, { task: "x" });
});

test("schedules", async () => {
	const { id } = await call("POST", "/api/agents/",
		{ status: 201, body: { name: "x" } });
	const all = "/api/agents/{id}/schedules", one = `${all}/{sid}`;
	const body = { cron: "0 9 * * mon-fri", timezone: "Europe/Berlin",
		task: "Report.", jitter_ms: 1000, ends_at: "2099-01-01T00:00:00Z" };
	const made = await call("POST", all, { path: { id }, status: 201, body });
	await call("POST", all, { path: { id }, status: 400,
		body: { ...body, cron: "0 24 * * *" } });
	await call("GET", all, { path: { id } });
	const path = { id, sid: made.id };
	await call("GET", one, { path });
	await call("PUT", one, { path, body: made });
	await call("PATCH", one, { path, body: { ends_at: null } });
	await call("POST", `${one}/pause`, { path });
	await call("POST", `${one}/resume`, { path });
	await call("GET", `${one}/runs`, { path });
	await call("DELETE", one, { path, status: 204 });
	await call("GET", one, { path, status: 404 });
});

test("each event of a stream fits too", async () => {
	const { id } = await call("POST", "/api/agents/",
		{ status: 201, body: { name: "x", toolkits: ["calculator"] } });
	const thread = await newThread(server, ada, id);
	const op = doc.paths["/api/chat/interactive/stream"].post;
	const { schema } = op.responses["200"].content["text/event-stream"];
	const response = await fetch(server.url + "/api/chat/interactive/stream", {
		method: "POST",
		headers: { "content-type": "application/json",
			authorization: `Bearer ${ada.token}` },
		body: JSON.stringify({ thread_id: thread.id, content: "6 * 7" }),
	});
	const lines = (await response.text()).split("\n")
		.filter((l) => l.startsWith("data: "));
	assert.ok(lines.length > 8);
	for (const line of lines)
		assert.deepEqual(problems(schema, JSON.parse(line.slice(6)), doc), [],
			line);
	seen.add(op.operationId);
});

// The events of a message that an impatient model does not answer, each held
// against the document.
async function parked(agent, content) {
	const { id } = await call("POST", "/api/chat/sessions",
		{ status: 201, body: { agent_id: agent } });
	const { run } = await call("POST", "/api/chat/sessions/{id}",
		{ path: { id }, status: 202, body: { content } });
	for (let last = 0;;) {
		const { items } = await call("GET", "/api/runs/{id}/events",
			{ path: { id: run.id }, query: `?wait=10&after=${last}` });
		last = items.at(-1)?.run_seq ?? last;
		if (items.some((e) => e.state === "recoverable_error"))
			return { id: run.id };
	}
}

test("runs that wait for a decision", async () => {
	const { id: agent } = await call("POST", "/api/agents/",
		{ status: 201, body: { name: "x", toolkits: ["calculator"] } });
	const path = await parked(agent, "fail");
	await call("GET", "/api/runs/{id}", { path });
	await call("GET", "/api/runs/{id}/calls", { path });
	const query = `?run_id=${path.id}&status=pending&kind=error&limit=1`;
	const { items: [item] } = await call("GET", "/api/operator/items", { query });
	await call("GET", "/api/operator/items", { status: 400, query: "?kind=no" });
	await call("GET", "/api/operator/items/{id}", { path: item });
	await call("GET", "/api/operator/items/{id}", { path, status: 404 });
	const resolve = (body, status = 200) => call("POST",
		"/api/operator/items/{id}/resolve", { path: item, status, body });
	await resolve({ outcome: "skip" }, 400);
	await resolve({}, 400);
	const other = await signUp(server);
	await call("GET", "/api/operator/items", { status: 403, token: other.token });
	await call("POST", "/api/operator/items/{id}/resolve", { path: item,
		status: 403, token: other.token, body: { outcome: "cancel" } });
	assert.equal((await resolve({ outcome: "cancel" })).response_type, "cancel");
	await resolve({ outcome: "cancel" }, 409);
	const { items } = await call("GET", "/api/runs/{id}/events", { path });
	assert.deepEqual(items.filter((e) => e.item_id === item.id)
		.map((e) => e.type), ["hitl_request", "hitl_resolved"]);
	assert.equal(items.at(-1).state, "cancelled");
	await call("POST", "/api/runs/{id}/resume", { path, status: 409, body: {} });
	const second = await parked(agent, "fail");
	await call("POST", "/api/runs/{id}/resume",
		{ path: second, status: 400, body: { action: "switch_model", model: "no/no" } });
	await call("POST", "/api/runs/{id}/resume",
		{ path: second, status: 404, body: {}, token: other.token });
	await call("POST", "/api/runs/{id}/resume",
		{ path: second, status: 202, body: { action: "retry" } });
	const { items: [answered] } = await call("GET", "/api/operator/items",
		{ query: `?run_id=${second.id}` });
	assert.equal(answered.status, "answered");
	assert.equal(answered.response_type, "retry");
});

test("the inbox", async () => {
	const { id: agent } = await call("POST", "/api/agents/",
		{ status: 201, body: { name: "x", toolkits: ["calculator"] } });
	const { head } = await call("GET", "/api/inbox/events");
	const { id: run_id } = await parked(agent, "fail");
	const { items } = await call("GET", "/api/inbox/events",
		{ query: `?after=${head}&wait=10` });
	assert.equal(items[0].item.run_id, run_id);
	await call("GET", "/api/inbox/events", { status: 400, query: "?after=99999" });
	await call("GET", "/api/inbox/", { query: `?run_id=${run_id}&unread=true` });
	await call("GET", "/api/inbox/", { status: 400, query: "?status=no" });
	await call("GET", "/api/inbox/", { status: 400, query: "?assignee=no" });
	const path = { id: items[0].item_id };
	await call("GET", "/api/inbox/{id}", { path });
	await call("GET", "/api/inbox/{id}", { path: { id: run_id }, status: 404 });
	await call("POST", "/api/inbox/{id}/mark_read", { path });
	await call("POST", "/api/inbox/{id}/assign",
		{ path, body: { assignee: ada.user.id } });
	await call("POST", "/api/inbox/{id}/assign",
		{ path, status: 400, body: { assignee: run_id } });
	await call("POST", "/api/inbox/{id}/respond",
		{ path, status: 400, body: { type: "accept" } });
	await call("POST", "/api/inbox/{id}/respond",
		{ path, body: { outcome: "cancel" } });
	await call("POST", "/api/inbox/{id}/respond",
		{ path, status: 409, body: { outcome: "retry" } });
});

test("answers to what runs ask", async () => {
	const { id: agent } = await call("POST", "/api/agents/", { status: 201,
		body: { name: "x", toolkits: ["clock"], approval: { default: "always" } } });
	const ask = async () => {
		const { id } = await call("POST", "/api/chat/sessions",
			{ status: 201, body: { agent_id: agent } });
		const { head } = await call("GET", "/api/inbox/events");
		const { run } = await call("POST", "/api/chat/sessions/{id}",
			{ path: { id }, status: 202, body: { content: "What time is it?" } });
		const { items } = await call("GET", "/api/inbox/events",
			{ query: `?after=${head}&wait=10` });
		return { run, item: items[0].item };
	};
	const first = await ask();
	await call("POST", "/api/runs/{id}/respond", { path: first.run, status: 400,
		body: { decisions: [{ type: "approve" }, { type: "approve" }] } });
	await call("POST", "/api/runs/{id}/respond", { path: first.run,
		body: { decisions: [{ type: "reject", message: "later" }] } });
	const second = await ask();
	await call("POST", "/api/inbox/respond", { body: { answers: [
		{ item_id: second.item.id, type: "ignore" },
		{ item_id: first.run.id, type: "ignore" }] } });
	await call("POST", "/api/inbox/respond", { status: 400, body: {} });
	await call("POST", "/api/runs/{id}/respond", { path: { id: agent },
		status: 404, body: [{ type: "ignore" }] });
});

test("webhooks", async () => {
	const h = await call("POST", "/api/webhooks/", { status: 201,
		body: { url: "http://127.0.0.1:9/", events: ["run.succeeded"] } });
	const path = { id: h.id };
	await call("POST", "/api/webhooks/", { status: 400, body: { url: "x" } });
	await call("GET", "/api/webhooks/", { query: "?limit=1" });
	await call("GET", "/api/webhooks/{id}/", { path });
	await call("PATCH", "/api/webhooks/{id}/", { path, body: { description: "d" } });
	await call("POST", "/api/webhooks/{id}/rotate", { path, body: {} });
	const { id } = await call("POST", "/api/webhooks/{id}/test",
		{ path, status: 202, body: {} });
	const list = (query) => call("GET", "/api/webhooks/{id}/deliveries",
		{ path, query });
	await until("a delivery that failed", async () =>
		(await list("?status=failed")).items.length > 0);
	assert.equal((await list("?limit=1")).items[0].id, id);
	await call("POST", "/api/webhooks/{id}/deliveries/{delivery_id}/replay",
		{ path: { ...path, delivery_id: id }, status: 202, body: {} });
	await call("PATCH", "/api/webhooks/{id}/", { path, body: { paused: true } });
	await call("POST", "/api/webhooks/{id}/test", { path, status: 409, body: {} });
	await call("DELETE", "/api/webhooks/{id}/", { path, status: 204 });
	await call("GET", "/api/webhooks/{id}/deliveries", { path, status: 404 });
});

test("triggers", async () => {
	const agent = await call("POST", "/api/agents/",
		{ status: 201, body: { name: "x" } });
	const t = await call("POST", "/api/agents/{id}/triggers",
		{ path: { id: agent.id }, status: 201, body: { task: "{{body}}" } });
	const path = { id: agent.id, trigger_id: t.id };
	await call("POST", "/api/agents/{id}/triggers",
		{ path, status: 400, body: { task: "{{x}}" } });
	await call("GET", "/api/agents/{id}/triggers", { path });
	const one = "/api/agents/{id}/triggers/{trigger_id}";
	await call("GET", one, { path });
	await call("PATCH", one, { path, body: { name: "n" } });
	const { secret } = await call("POST", `${one}/rotate`, { path, body: {} });
	const body = { order: 1 };
	const m = { id: "msg_1", timestamp: Math.floor(Date.now() / 1000) };
	const headers = { "webhook-id": m.id, "webhook-timestamp": `${m.timestamp}`,
		"webhook-signature": sign(secret, { ...m, body: JSON.stringify(body) }) };
	const send = (status, more) => call("POST", "/api/hooks/{id}",
		{ path: { id: t.id }, token: null, status, body, headers, ...more });
	await send(202);
	await send(200);
	await send(401, { headers: {} });
	await send(404, { path: { id: agent.id } });
	await call("PATCH", one, { path, body: { paused: true } });
	await send(403);
	await call("DELETE", one, { path, status: 204 });
	await call("GET", one, { path, status: 404 });
});

test("files", async () => {
	const { id: agent } = await call("POST", "/api/agents/",
		{ status: 201, body: { name: "x" } });
	const { id } = await call("POST", "/api/chat/sessions",
		{ status: 201, body: { agent_id: agent } });
	const files = "/api/threads/{id}/files";
	const file = await call("POST", files, { path: { id }, status: 201,
		query: "?name=a.txt", raw: "any bytes",
		headers: { "content-type": "text/plain" } });
	await call("GET", files, { path: { id } });
	await call("GET", files, { path: { id: agent }, status: 404 });
	await call("POST", files, { path: { id }, status: 400, raw: "x" });
	await call("GET", "/api/files/{id}", { path: { id: file.id } });
	await call("GET", "/api/files/{id}", { path: { id }, status: 404 });
	await call("DELETE", "/api/files/{id}", { path: { id: file.id },
		status: 204 });
	await call("DELETE", "/api/files/{id}", { path: { id: file.id },
		status: 404 });
});

test("tickets", async () => {
	const path = "/api/ws/ticket";
	await call("POST", path, { status: 201 });
	await call("POST", path, { status: 401, token: null });
	await call("POST", path, { status: 400, body: { thread_id: "x" } });
	await call("POST", path, { status: 404,
		body: { thread_id: "01890000-0000-7000-8000-000000000000" } });
	await call("POST", path, { status: 403,
		headers: { origin: "https://evil.example" } });
});

test("plugins", async () => {
	await call("GET", "/api/admin/plugins");
	const reload = "/api/admin/plugins/{name}/reload";
	await call("POST", reload, { path: { name: "toolkit_clock" } });
	await call("POST", reload, { path: { name: "toolkit_x" }, status: 404 });
});

test("the host", async () => {
	await call("GET", "/healthz", { token: null });
	await call("GET", "/readyz", { token: null });
	await call("GET", "/metrics", { token: null });
	await call("GET", "/api/openapi.json", { token: null });
});

test("nothing was left out", () => {
	const all = Object.values(doc.paths).flatMap((item) =>
		Object.values(item).map((op) => op.operationId));
	assert.deepEqual(all.filter((id) => !seen.has(id)), ["ws_chat"]);
});
