// SPDX-License-Identifier: Apache-2.0
// Agents, models, toolkits, lists and the tables that describe them.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { api, signUp, start } from "../support/server.mjs";

let server;
let ada;
let bob;

before(async () => {
	server = await start();
	ada = await signUp(server, "ada@example.org");
	bob = await signUp(server, "bob@example.org");
});
after(() => server?.stop());

const call = (method, path, body, how = {}) =>
	api(server, method, path, { token: ada.token, body, ...how });
const create = async (body) => {
	const answer = await call("POST", "/api/agents/", body);
	assert.equal(answer.status, 201, JSON.stringify(answer.body));
	return answer.body;
};
const assertCode = (answer, status, code) => {
	assert.equal(answer.status, status, JSON.stringify(answer.body));
	assert.equal(answer.body.code, code);
};

test("a name is enough; the rest has its default", async () => {
	const answer = await call("POST", "/api/agents/", { name: "Helper" });
	assert.equal(answer.status, 201);
	const { id, created_at, updated_at, ...rest } = answer.body;
	assert.deepEqual(rest, {
		user_id: ada.user.id, name: "Helper", description: "", purpose: "",
		system_prompt: "", model_name: null,
		memory: { enabled: false, facts: [] }, agent_state: "ready",
		fallback_models: [], builtins: [], toolkits: [],
		suggested_task_prompts: [], suggested_job_prompts: [],
		is_public: false, version: 1,
		approval: { default: "auto", tools: {}, resume_when: "all",
			allow: ["accept", "edit", "response", "ignore"], expires_s: null,
			on_expire: "reject", questions: null },
	});
	assert.equal(answer.headers.get("location"), `/api/agents/${id}/`);
	assert.equal(answer.headers.get("etag"), '"1"');
	assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/);
	assert.equal(created_at, updated_at);
	for (const path of [`/api/agents/${id}/`, `/api/agents/${id}`]) {
		const got = await call("GET", path);
		assert.deepEqual(got.body, answer.body);
		assert.equal(got.headers.get("etag"), '"1"');
	}
});

test("which calls need approval: kept, merged, and checked", async () => {
	const { body: agent } = await call("POST", "/api/agents/", { name: "Careful",
		toolkits: ["calculator"], approval: { default: "by_effect",
			tools: { calculator_evaluate: { when: "always", expires_s: 60,
				on_expire: "fail", allow: ["accept"] } } } });
	assert.equal(agent.approval.resume_when, "all");
	const path = `/api/agents/${agent.id}/`;
	const { body: merged } = await call("PATCH", path, { approval: {
		resume_when: "each", tools: { calculator_evaluate: null } } });
	assert.deepEqual(merged.approval, { ...agent.approval, tools: {},
		resume_when: "each" });
	for (const [approval, field] of [[{ default: "maybe" }, "/approval/default"],
		[{ tools: { nothing_at_all: "never" } },
			"/approval/tools/nothing_at_all"],
		[{ allow: [] }, "/approval/allow"],
		[{ expires_s: 0 }, "/approval/expires_s"],
		[{ on_expire: "wait" }, "/approval/on_expire"],
		[{ more: 1 }, "/approval/more"]]) {
		const refused = await call("PATCH", path, { approval });
		assert.equal(refused.status, 400, JSON.stringify(approval));
		assert.ok(field in refused.body.details ||
			"approval" in refused.body.details,
		JSON.stringify(refused.body.details));
	}
	assert.deepEqual((await call("GET", path)).body, merged);
	const { body: plain } = await call("PATCH", path, { approval: null });
	assert.equal(plain.approval.resume_when, "all");
});

test("text of any script comes back as it went", async () => {
	const name = "\u{1F9EE} \"quoted\" \\ \u0001 ünï\nline\u2028";
	const a = await create({ name, system_prompt: "</script>\t" });
	assert.equal(a.name, name);
	assert.equal((await call("GET", `/api/agents/${a.id}`)).body.name, name);
});

test("what is wrong is said by field", async () => {
	const bad = async (body, ...fields) => {
		const answer = await call("POST", "/api/agents/", body);
		assertCode(answer, 400, "VALIDATION_FAILED");
		assert.deepEqual(Object.keys(answer.body.details).sort(),
			fields.sort(), JSON.stringify(answer.body));
	};
	await bad({}, "name");
	await bad({ name: "" }, "name");
	await bad({ name: "x".repeat(201) }, "name");
	await bad({ name: "x", nonsense: 1 }, "nonsense");
	await bad({ name: "x", toolkits: ["clock", "nope"] }, "/toolkits/1");
	await bad({ name: "x", model_name: "nope/nope" }, "model_name");
	await bad({ name: "x", fallback_models: ["nope/nope"] }, "/fallback_models/0");
	await bad({ name: "x", memory: { enabled: 1 } }, "/memory/enabled");
	await bad({ name: "x", agent_state: "error" }, "agent_state");
	await bad({ name: "x", id: ada.user.id }, "id");
	await bad({ name: "x\0y" }, "name");
});

test("GET, edit, PUT", async () => {
	const a = await create({ name: "x", purpose: "p",
		toolkits: ["calculator"] });
	const path = `/api/agents/${a.id}/`;
	const put = await call("PUT", path, { ...a, name: "y" });
	assert.equal(put.status, 200, JSON.stringify(put.body));
	assert.equal(put.body.name, "y");
	assert.equal(put.body.purpose, "p");
	assert.equal(put.body.version, 2);
	const bare = await call("PUT", path, { name: "z" });
	assert.equal(bare.body.purpose, "");
	assert.deepEqual(bare.body.toolkits, []);
	assertCode(await call("PUT", path, { ...a, id: bob.user.id }), 400,
		"VALIDATION_FAILED");
	assertCode(await call("PUT", path, {}), 400, "VALIDATION_FAILED");
});

test("PATCH merges, null goes to the default", async () => {
	const a = await create({ name: "x", purpose: "p",
		memory: { enabled: true, facts: ["f"] } });
	const path = `/api/agents/${a.id}/`;
	const answer = await call("PATCH", path,
		{ memory: { enabled: false }, purpose: null });
	assert.deepEqual(answer.body.memory, { enabled: false, facts: ["f"] });
	assert.equal(answer.body.purpose, "");
	assert.equal(answer.body.name, "x");
	assertCode(await call("PATCH", path, { name: null }), 400,
		"VALIDATION_FAILED");
});

test("If-Match", async () => {
	const a = await create({ name: "x" });
	const path = `/api/agents/${a.id}/`;
	const patch = (name, tag) => call("PATCH", path, { name },
		{ headers: { "if-match": tag } });
	assert.equal((await patch("y", '"1"')).status, 200);
	const stale = await patch("z", '"1"');
	assertCode(stale, 412, "VERSION_CONFLICT");
	assert.equal(stale.body.current_version, 2);
	assert.equal((await patch("z", "*")).status, 200);
	assertCode(await patch("z", "1"), 400, "VALIDATION_FAILED");
	assertCode(await call("DELETE", path, undefined,
		{ headers: { "if-match": '"1"' } }), 412, "VERSION_CONFLICT");
});

test("others see what is public and change nothing", async () => {
	const mine = await create({ name: "x" });
	const open = await create({ name: "x", is_public: true,
		memory: { enabled: true, facts: ["a secret"] } });
	const as = (method, id, body) => api(server, method,
		`/api/agents/${id}/`, { token: bob.token, body });
	for (const method of ["GET", "DELETE"])
		assertCode(await as(method, mine.id), 404, "NOT_FOUND");
	const missing = await as("PATCH", mine.id, { name: "y" });
	assertCode(missing, 404, "NOT_FOUND");
	assert.equal(missing.body.resource, "agent");
	assert.equal(missing.body.id, mine.id);
	const seen = await as("GET", open.id);
	assert.equal(seen.status, 200);
	assert.deepEqual(seen.body.memory, { enabled: true, facts: [] });
	assertCode(await as("PATCH", open.id, { name: "y" }), 403, "FORBIDDEN");
	assertCode(await as("DELETE", open.id), 403, "FORBIDDEN");
	const list = (query) => api(server, "GET", `/api/agents/${query}`,
		{ token: bob.token });
	assert.deepEqual((await list("")).body, { items: [], next_cursor: null });
	const ids = (await list("?public=true")).body.items.map((a) => a.id);
	assert.ok(ids.includes(open.id) && !ids.includes(mine.id));
});

test("a deleted agent is gone", async () => {
	const a = await create({ name: "x" });
	const path = `/api/agents/${a.id}/`;
	assert.equal((await call("DELETE", path)).status, 204);
	for (const method of ["GET", "DELETE"])
		assertCode(await call(method, path), 404, "NOT_FOUND");
	const list = await call("GET", "/api/agents/?limit=200");
	assert.ok(!list.body.items.some((i) => i.id === a.id));
});

test("ids that are none", async () => {
	for (const id of ["x", "1", ada.user.id.toUpperCase() + "Z", "%00"])
		assert.ok([400, 404].includes(
			(await call("GET", `/api/agents/${id}/`)).status), id);
});

test("lists by pages, newest first", async () => {
	const made = [];
	for (let i = 0; i < 5; i++)
		made.unshift((await create({ name: `page ${i}` })).id);
	const seen = [];
	let cursor = null;
	do {
		const query = cursor ? `&cursor=${cursor}` : "";
		const answer = await call("GET", `/api/agents/?limit=2${query}`);
		assert.equal(answer.status, 200);
		assert.ok(answer.body.items.length <= 2);
		seen.push(...answer.body.items.map((a) => a.id));
		cursor = answer.body.next_cursor;
	} while (cursor !== null);
	assert.deepEqual(seen.slice(0, 5), made);
	assert.equal(new Set(seen).size, seen.length);
});

test("cursors of other lists, users and hands", async () => {
	for (let i = 0; i < 2; i++)
		await create({ name: "c" });
	const first = await call("GET", "/api/agents/?limit=1");
	const cursor = first.body.next_cursor;
	const bad = async (path, how) => assertCode(
		await call("GET", path, undefined, how), 400, "VALIDATION_FAILED");
	await bad(`/api/agents/?cursor=${cursor}&public=true`);
	await bad(`/api/chat/sessions?cursor=${cursor}`);
	await bad(`/api/agents/?cursor=${cursor}`, { token: bob.token });
	await bad("/api/agents/?cursor=AAAA");
	await bad(`/api/agents/?cursor=${cursor.slice(0, -1)}`);
	await bad("/api/agents/?limit=0");
	await bad("/api/agents/?limit=201");
	await bad("/api/agents/?limit=x");
	await bad("/api/agents/?nonsense=1");
	await bad("/api/agents/?public=maybe");
});

test("a POST with a key works once", async () => {
	const post = (name, key, how = {}) => call("POST", "/api/agents/",
		{ name }, { ...how, headers: { "idempotency-key": key } });
	const one = await post("once", "k1");
	assert.equal(one.status, 201);
	assert.equal(one.headers.get("idempotent-replay"), null);
	const two = await post("once", "k1");
	assert.equal(two.status, 201);
	assert.deepEqual(two.body, one.body);
	assert.equal(two.headers.get("idempotent-replay"), "true");
	for (const name of ["location", "etag", "content-type"])
		assert.equal(two.headers.get(name), one.headers.get(name), name);
	assertCode(await post("twice", "k1"), 422, "IDEMPOTENCY_KEY_REUSED");
	const other = await post("once", "k1", { token: bob.token });
	assert.equal(other.headers.get("idempotent-replay"), null);
	assertCode(await post("x", "k".repeat(256)), 400, "VALIDATION_FAILED");
	/* A request that failed has done nothing and may come again. */
	assertCode(await post("", "k2"), 400, "VALIDATION_FAILED");
	assert.equal((await post("x", "k2")).status, 201);
});

test("many at once with one key make one agent", async () => {
	const all = await Promise.all(Array.from({ length: 8 }, () =>
		call("POST", "/api/agents/", { name: "at once" },
			{ headers: { "idempotency-key": "at-once" } })));
	for (const answer of all)
		assert.ok([201, 409].includes(answer.status));
	assert.equal(new Set(all.filter((a) => a.status === 201)
		.map((a) => a.body.id)).size, 1);
	const list = await call("GET", "/api/agents/?limit=200");
	assert.equal(
		list.body.items.filter((a) => a.name === "at once").length, 1);
});

test("models", async () => {
	const { status, body } = await call("GET", "/api/models");
	assert.equal(status, 200);
	const demo = body.items.find((m) => m.id === "demo/demo");
	assert.deepEqual(Object.keys(demo).sort(), ["abilities", "dim", "id",
		"is_default", "max_output", "name", "provider", "title",
		"window"]);
	assert.equal(body.items.filter((m) => m.is_default).length, 1);
	const a = await create({ name: "m", model_name: "demo/demo" });
	assert.equal(a.model_name, "demo/demo");
});

test("toolkits and tools", async () => {
	const { body } = await call("GET", "/api/toolkits/");
	const slugs = body.items.map((t) => t.slug);
	for (const slug of ["calculator", "clock", "http"])
		assert.ok(slugs.includes(slug), slug);
	const clock = await call("GET", "/api/toolkits/clock/");
	assert.deepEqual(clock.body, body.items.find((t) => t.slug === "clock"));
	assert.equal(clock.body.tools_count, 1);
	const tools = await call("GET", "/api/toolkits/calculator/tools");
	const tool = tools.body.items[0];
	assert.equal(tool.name, "calculator_evaluate");
	assert.equal(tool.effect, "none");
	assert.equal(tool.input_schema.type, "object");
	assert.ok(tool.input_schema.properties.expression);
	/* The class of what it does not list by argument. */
	const [http] = (await call("GET", "/api/toolkits/http/tools")).body.items;
	assert.equal(http.effect, "once");
	assert.deepEqual(Object.keys(http).sort(), Object.keys(tool).sort());
	for (const path of ["/api/toolkits/nope", "/api/toolkits/nope/tools"])
		assertCode(await call("GET", path), 404, "NOT_FOUND");
	const page = await call("GET", "/api/toolkits/?limit=1");
	assert.equal(page.body.items.length, 1);
	const rest = await call("GET",
		`/api/toolkits/?limit=200&cursor=${page.body.next_cursor}`);
	assert.deepEqual([...page.body.items, ...rest.body.items], body.items);
});

test("methods and paths that are not there", async () => {
	const answer = await call("DELETE", "/api/agents/");
	assertCode(answer, 405, "METHOD_NOT_ALLOWED");
	assert.match(answer.headers.get("allow"), /GET.*POST/);
	assertCode(await call("GET", "/api/nothing"), 404, "NOT_FOUND");
	assertCode(await api(server, "GET", "/api/agents/"), 401,
		"AUTH_REQUIRED");
});

test("health, readiness and metrics", async () => {
	const live = await api(server, "GET", "/healthz");
	assert.deepEqual(live.body, { status: "ok" });
	const ready = await api(server, "GET", "/readyz");
	assert.deepEqual(ready.body, { status: "ready",
		checks: { store: "ok", realtime: "in_memory",
			...process.env.AGENT_STUDIO_STORE === "postgres" &&
				{ standby: "none" } } });
	const metrics = await api(server, "GET", "/metrics");
	assert.match(metrics.headers.get("content-type"), /^text\/plain/);
	assert.match(metrics.body, /^# TYPE \w+ (counter|gauge|histogram)$/m);
	assert.match(metrics.body, /^agent_studio_store_up\{loop="0"\} 1$/m);
});

test("the root leads to the demo", async () => {
	const answer = await api(server, "GET", "/");
	assert.equal(answer.status, 302);
	assert.equal(answer.headers.get("location"), "/demo/");
});

test("the OpenAPI document is whole", async () => {
	const { status, body: doc } = await api(server, "GET",
		"/api/openapi.json");
	assert.equal(status, 200);
	assert.equal(doc.openapi, "3.1.0");
	const refs = [];
	JSON.stringify(doc, (key, value) => {
		if (key === "$ref")
			refs.push(value);
		return value;
	});
	for (const ref of refs)
		assert.ok(doc.components.schemas[ref.split("/").pop()], ref);
	const ids = [];
	for (const [path, item] of Object.entries(doc.paths))
		for (const [method, op] of Object.entries(item)) {
			ids.push(op.operationId);
			assert.ok(op.summary, `${method} ${path}`);
			const names = [...path.matchAll(/\{(\w+)\}/g)]
				.map((m) => m[1]);
			const params = (op.parameters ?? [])
				.filter((p) => p.in === "path").map((p) => p.name);
			assert.deepEqual(params, names, path);
			assert.ok(Object.keys(op.responses)
				.some((s) => s < "400"), path);
		}
	assert.equal(new Set(ids).size, ids.length);
	for (const path of ["/api/auth/signup", "/api/agents/{id}/",
		"/api/chat/sessions/{id}", "/api/runs/{id}/cancel",
		"/api/toolkits/{slug}/tools", "/ws/chat/{thread_id}/"])
		assert.ok(doc.paths[path], path);
	const post = doc.paths["/api/agents/"].post;
	assert.equal(
		post.requestBody.content["application/json"].schema.$ref,
		"#/components/schemas/AgentCreate");
	assert.equal(
		post.responses["201"].content["application/json"].schema.$ref,
		"#/components/schemas/Agent");
	assert.match(post.responses["400"].description, /VALIDATION_FAILED/);
});
