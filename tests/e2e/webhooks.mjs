// SPDX-License-Identifier: Apache-2.0
//
// Webhooks that go out: who is told of what, how it is signed, what happens
// when a receiver fails, and that nobody is told of other people's runs.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { newThread, scene, script, untilEnd, untilEvent }
	from "../support/chat.mjs";
import { startReceiver, verify } from "../support/receiver.mjs";
import { api, ask, signUp, start, startWorker } from "../support/server.mjs";
import { until } from "../support/wait.mjs";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const folder = mkdtempSync(join(tmpdir(), "webhooks-"));
let server, s, receivers = [];

async function receiver() {
	const r = await startReceiver();
	receivers.push(r);
	return r;
}

// Ports are not known before the server starts: ten of them are kept free.
let spare;

before(async () => {
	spare = await Promise.all(Array.from({ length: 14 }, receiver));
	server = await start({ set: ["models.tries=1", "webhooks.poll=20ms",
		"webhooks.retry=20ms", "webhooks.tries=3", "webhooks.timeout=2s",
		"plugins.llm_demo.delay=5",
		`webhooks.allow=[${spare.map((r) => `"127.0.0.1:${r.port}"`).join(",")}]`,
		script(folder, [{ match: "fail", fail: { status: 503, message: "no" } },
			{ match: "add", tool_calls: [{ name: "calculator_evaluate",
				args: { expression: "1 + 2" } }] },
			{ match: "add", text: "3" }])] });
	s = await scene(server);
});
after(async () => {
	await server?.stop();
	for (const r of receivers)
		await r.stop();
	rmSync(folder, { recursive: true });
});

const call = (method, path, body, who = s) => api(server, method, path,
	{ token: who.token, body });

async function hook(r, more = {}, who = s) {
	const { status, body } = await call("POST", "/api/webhooks/",
		{ url: `${r.url}/in`, events: ["run.*"], ...more }, who);
	assert.equal(status, 201, JSON.stringify(body));
	return body;
}

async function talk(content, who = s) {
	const thread = await newThread(server, who, who.agent.id);
	const { status, body } = await call("POST", `/api/chat/sessions/${thread.id}`,
		{ content }, who);
	assert.equal(status, 202, JSON.stringify(body));
	return body.run;
}

// Of a run, until it passes.
const untilRun = (id, passes, who = s) => untilEvent(server, who.token, id,
	(e) => e.type === "run_status" && passes(e));
const ended = (id, who = s) => untilEnd(server, who.token, id);

const delivery = (h, passes) => until("a delivery", async () => {
	const { status, body } = await call("GET",
		`/api/webhooks/${h.id}/deliveries`);
	assert.equal(status, 200);
	return body.items.find(passes);
});

async function gone(h) {
	assert.equal((await call("DELETE", `/api/webhooks/${h.id}/`)).status, 204);
}

test("a run that ends is told of, signed", async () => {
	const r = spare.pop();
	const h = await hook(r, { description: "mine" });
	assert.match(h.secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
	assert.equal(h.paused, false);
	const run = await talk("hello");
	const m = await r.until((seen) => seen[0], "the message");
	assert.match(m.id, /^msg_/);
	assert.match(m.id.slice(4), UUID);
	assert.ok(Math.abs(m.timestamp - Date.now() / 1000) < 30);
	assert.ok(verify(h.secret, m), "a good signature");
	assert.ok(!verify(h.secret, { ...m, id: "msg_x" }));
	assert.equal(m.headers["content-type"], "application/json");
	assert.equal(m.path, "/in");
	const body = JSON.parse(m.body);
	assert.equal(body.type, "run.succeeded");
	assert.match(body.timestamp, /Z$/);
	assert.equal(body.data.run_id, run.id);
	assert.equal(body.data.thread_id, run.thread_id);
	assert.equal(body.data.agent_id, s.agent.id);
	assert.equal(body.data.state, "succeeded");
	assert.equal(body.data.kind, "interactive");
	assert.equal(body.data.error, null);
	const d = await delivery(h, (x) => x.status === "delivered");
	assert.equal(`msg_${d.id}`, m.id);
	assert.equal(d.attempts, 1);
	assert.equal(d.response_status, 204);
	assert.deepEqual(d.body, body);
	const { body: now } = await call("GET", `/api/webhooks/${h.id}/`);
	assert.equal(now.secret, undefined);
	assert.equal(now.last_status, 204);
	assert.equal(now.failures, 0);
	await gone(h);
});

test("only what was asked for, only one's own runs", async () => {
	const r = spare.pop();
	const failed = await hook(r, { events: ["run.recoverable_error"] });
	const other = await scene(server);
	await ended((await talk("hello")).id);
	const parked = await talk("fail");
	await untilRun(parked.id, (e) => e.state === "recoverable_error");
	const theirs = await talk("fail", other);
	await untilRun(theirs.id, (e) => e.state === "recoverable_error", other);
	const m = await r.until((seen) => seen[0], "the message");
	assert.equal(JSON.parse(m.body).data.run_id, parked.id);
	assert.equal(JSON.parse(m.body).type, "run.recoverable_error");
	assert.equal(JSON.parse(m.body).data.error.code, "UNAVAILABLE");
	const changed = await call("PATCH", `/api/webhooks/${failed.id}/`,
		{ events: ["run.cancelled"] });
	assert.deepEqual(changed.body.events, ["run.cancelled"]);
	await call("POST", `/api/runs/${parked.id}/cancel`, {});
	await r.until((seen) => seen.length === 2, "the cancel");
	assert.equal(JSON.parse(r.seen[1].body).type, "run.cancelled");
	assert.notEqual(r.seen[0].id, r.seen[1].id);
	// To another's webhook everything is as if it were not there.
	for (const [method, path] of [["GET", ""], ["PATCH", ""], ["DELETE", ""],
		["POST", "rotate"], ["POST", "test"], ["GET", "deliveries"],
		["POST", `deliveries/${failed.id}/replay`]])
		assert.equal((await call(method, `/api/webhooks/${failed.id}/${path}`,
			method === "PATCH" ? {} : undefined, other)).status, 404, path);
	assert.deepEqual((await call("GET", "/api/webhooks/", undefined, other))
		.body.items, []);
	await gone(failed);
});

// A run that waits for an approval.
async function asks(more = {}) {
	const who = await scene(server, { approval: { tools:
		{ calculator_evaluate: { when: "always", ...more } } } });
	const { body } = await call("POST", `/api/chat/sessions/${who.thread.id}`,
		{ content: "add" }, who);
	await untilRun(body.run.id, (e) => e.state === "waiting_human", who);
	return { who, run: body.run };
}

test("a message that another run has heard is an end, too", async () => {
	const r = spare.pop();
	const { who, run } = await asks();
	await hook(r, { events: ["run.cancelled", "run.succeeded"] }, who);
	const { status, body: steering } = await call("POST",
		`/api/chat/sessions/${who.thread.id}`,
		{ content: "and be quick", multitask: "steer" }, who);
	assert.equal(status, 202);
	const answer = await call("POST", `/api/runs/${run.id}/respond`,
		{ type: "accept" }, who);
	assert.equal(answer.status, 200, JSON.stringify(answer.body));
	await r.until((seen) => seen.length === 2, "both");
	const told = Object.fromEntries(r.seen.map((m) => JSON.parse(m.body))
		.map(({ type, data }) => [type, data]));
	assert.equal(told["run.succeeded"].run_id, run.id);
	assert.equal(told["run.succeeded"].into, undefined);
	assert.equal(told["run.cancelled"].run_id, steering.run.id);
	assert.equal(told["run.cancelled"].into, run.id);
	assert.equal(told["run.cancelled"].error, null);
	assert.equal(new Set(r.seen.map((m) => m.id)).size, 2);
});

test("what nobody has answered is told of when it escalates", async () => {
	const r = spare.pop();
	const who = await scene(server);
	await hook(r, { events: ["run.escalated"] }, who);
	await call("PATCH", `/api/agents/${who.agent.id}/`, { approval: { tools:
		{ calculator_evaluate: { when: "always", expires_s: 1,
			on_expire: "escalate" } } } }, who);
	const { body: { run } } = await call("POST",
		`/api/chat/sessions/${who.thread.id}`, { content: "add" }, who);
	const m = await r.until((seen) => seen[0], "the message");
	const { type, data } = JSON.parse(m.body);
	assert.equal(type, "run.escalated");
	assert.equal(data.run_id, run.id);
	assert.equal(data.state, "waiting_human");
	const { body: item } = await call("GET", `/api/inbox/${data.item_id}`,
		undefined, who);
	assert.equal(item.run_id, run.id);
	assert.equal(item.status, "pending");
	assert.equal((await call("POST", `/api/inbox/${item.id}/respond`,
		{ type: "accept" }, who)).status, 200);
	await ended(run.id, who);
	assert.equal(r.seen.length, 1);
});

test("sent again under the same id and body until it is taken", async () => {
	const r = spare.pop();
	const h = await hook(r);
	r.answer((m, n) => n === 0 ? { status: 500 } : n === 1 ? { close: true } : {});
	const run = await talk("hello");
	await r.until((seen) => seen.length === 3, "three tries");
	assert.equal(new Set(r.seen.map((m) => m.id)).size, 1);
	assert.equal(new Set(r.seen.map((m) => m.body.toString())).size, 1);
	assert.ok(r.seen.every((m) => verify(h.secret, m)));
	const d = await delivery(h, (x) => x.status === "delivered");
	assert.equal(d.attempts, 3);
	assert.equal(d.run_id, run.id);
	assert.equal((await call("GET", `/api/webhooks/${h.id}/`)).body.failures, 0);
	await gone(h);
});

test("Retry-After is obeyed", async () => {
	const r = spare.pop();
	const h = await hook(r);
	const times = [];
	r.answer((m, n) => {
		times.push(performance.now());
		return n === 0 ? { status: 429, headers: { "retry-after": "1" } } : {};
	});
	await talk("hello");
	await r.until((seen) => seen.length === 2, "the second try");
	assert.ok(times[1] - times[0] >= 990, `${times[1] - times[0]} ms`);
	await gone(h);
});

test("given up after the last try: an item for the user, the webhook paused", async () => {
	const r = spare.pop();
	const h = await hook(r);
	r.answer(() => ({ status: 503 }));
	const run = await talk("hello");
	const d = await delivery(h, (x) => x.status === "failed");
	assert.equal(d.attempts, 3);
	assert.equal(d.response_status, 503);
	assert.equal(r.seen.length, 3);
	const { body: now } = await call("GET", `/api/webhooks/${h.id}/`);
	assert.equal(now.paused, true);
	assert.equal(now.paused_reason, "failing");
	assert.equal(now.failures, 3);
	if (process.env.AGENT_STUDIO_STORE === "postgres")
		assert.equal(ask(server, "SELECT title || '|' || status FROM inbox_items " +
			`WHERE run_id = '${run.id}' AND kind = 'notification'`),
		"A webhook is paused|pending");
	// What ends now is not even noted.
	await ended((await talk("hello")).id);
	assert.equal((await call("POST", `/api/webhooks/${h.id}/test`)).status, 409);
	assert.equal((await call("POST",
		`/api/webhooks/${h.id}/deliveries/${d.id}/replay`)).status, 409);
	// And by hand it goes on.
	r.answer(() => ({}));
	const on = await call("PATCH", `/api/webhooks/${h.id}/`, { paused: false });
	assert.equal(on.body.paused_reason, null);
	assert.equal(on.body.failures, 0);
	const again = await call("POST",
		`/api/webhooks/${h.id}/deliveries/${d.id}/replay`);
	assert.equal(again.status, 202);
	assert.equal(again.body.status, "pending");
	await r.until((seen) => seen.length === 4, "the replay");
	assert.equal(r.seen[3].id, r.seen[0].id);
	assert.deepEqual(r.seen[3].body, r.seen[0].body);
	assert.ok(verify(h.secret, r.seen[3]));
	await delivery(h, (x) => x.id === d.id && x.status === "delivered");
	await gone(h);
});

test("410 pauses at once", async () => {
	const r = spare.pop();
	const h = await hook(r);
	r.answer(() => ({ status: 410 }));
	await talk("hello");
	await delivery(h, (x) => x.status === "failed");
	assert.equal(r.seen.length, 1);
	const { body } = await call("GET", `/api/webhooks/${h.id}/`);
	assert.equal(body.paused_reason, "gone");
	await gone(h);
});

test("a test message, and a redirect that is not followed", async () => {
	const r = spare.pop(), trap = spare.pop();
	const h = await hook(r);
	const sent = await call("POST", `/api/webhooks/${h.id}/test`);
	assert.equal(sent.status, 202);
	assert.equal(sent.body.event, "webhook.test");
	const m = await r.until((seen) => seen[0], "the test");
	assert.equal(m.id, `msg_${sent.body.id}`);
	assert.ok(verify(h.secret, m));
	assert.equal(JSON.parse(m.body).type, "webhook.test");
	await delivery(h, (x) => x.id === sent.body.id && x.status === "delivered");
	r.answer(() => ({ status: 302, headers: { location: trap.url } }));
	const second = await call("POST", `/api/webhooks/${h.id}/test`);
	const d = await delivery(h, (x) => x.id === second.body.id &&
		x.status === "failed");
	assert.equal(d.response_status, 302);
	assert.equal(trap.seen.length, 0);
	assert.equal((await call("POST",
		`/api/webhooks/${h.id}/deliveries/${h.id}/replay`)).status, 404);
	await gone(h);
});

test("a rotation: both signatures for a while, or the new one at once", async () => {
	const r = spare.pop();
	const h = await hook(r);
	const rotated = await call("POST", `/api/webhooks/${h.id}/rotate`);
	assert.equal(rotated.status, 200);
	assert.notEqual(rotated.body.secret, h.secret);
	await call("POST", `/api/webhooks/${h.id}/test`);
	const m = await r.until((seen) => seen[0], "the first");
	assert.equal(m.signature.split(" ").length, 2);
	assert.ok(verify(h.secret, m) && verify(rotated.body.secret, m));
	const last = await call("POST", `/api/webhooks/${h.id}/rotate`,
		{ overlap_s: 0 });
	await call("POST", `/api/webhooks/${h.id}/test`);
	const n = await r.until((seen) => seen[1], "the second");
	assert.equal(n.signature.split(" ").length, 1);
	assert.ok(verify(last.body.secret, n));
	assert.ok(!verify(rotated.body.secret, n));
	await gone(h);
});

test("private addresses are refused, whatever they are called", async () => {
	// Listens, and is not in webhooks.allow.
	const r = await receiver();
	for (const url of [`${r.url}/`, `http://localhost:${r.port}/`,
		"http://169.254.169.254/latest/meta-data", "http://[::1]:80/"]) {
		const h = await hook(r, { url });
		await call("POST", `/api/webhooks/${h.id}/test`);
		const d = await delivery(h, (x) => x.status === "failed");
		assert.equal(d.response_status, null);
		assert.ok(d.error.length > 0, url);
		assert.equal(d.attempts, 1);
		await gone(h);
	}
	assert.equal(r.seen.length, 0);
});

test("what cannot be a webhook", async () => {
	const bad = async (body) => {
		const answer = await call("POST", "/api/webhooks/", body);
		assert.equal(answer.status, 400, JSON.stringify(answer.body));
		assert.equal(answer.body.code, "VALIDATION_FAILED");
	};
	const events = ["run.*"];
	for (const url of ["", "ftp://x/", "x.org", "http://", "http://:80/",
		"http://a:b@x.org/", "http://x.org/#f", "http://x.org/ä", 7,
		`http://x.org/${"x".repeat(2100)}`])
		await bad({ url, events });
	await bad({ url: "https://x.org/" });
	await bad({ url: "https://x.org/", events: [] });
	await bad({ url: "https://x.org/", events: ["run.nope"] });
	await bad({ url: "https://x.org/", events, secret: "whsec_AAAA" });
	assert.equal((await api(server, "GET", "/api/webhooks/")).status, 401);
	const other = await signUp(server);
	const mine = [];
	for (let i = 0; i < 20; i++)
		mine.push(await hook({ url: "https://x.org" }, {}, other));
	assert.equal((await call("POST", "/api/webhooks/",
		{ url: "https://x.org/", events }, other)).status, 409);
	const page = await call("GET", "/api/webhooks/?limit=15", undefined, other);
	assert.equal(page.body.items.length, 15);
	const rest = await call("GET", "/api/webhooks/?limit=15&cursor=" +
		page.body.next_cursor, undefined, other);
	assert.deepEqual([...page.body.items, ...rest.body.items].map((h) => h.id),
		mine.map((h) => h.id).reverse());
});

test("a slow receiver holds up nobody else", async () => {
	const slow = spare.pop(), quick = spare.pop();
	const a = await hook(slow), b = await hook(quick);
	let let_go;
	slow.answer(() => ({ hold: new Promise((done) => {
		let_go = done;
	}) }));
	await talk("hello");
	await quick.until((seen) => seen[0], "the quick one");
	await slow.until((seen) => seen[0], "the slow one");
	assert.equal(slow.seen[0].id, quick.seen[0].id);
	let_go();
	await delivery(a, (x) => x.status === "delivered");
	await gone(a);
	await gone(b);
});

test("the secret is nowhere in the clear, and neither in the log", async () => {
	const h = await hook({ url: "https://x.org" });
	const bytes = Buffer.from(h.secret.slice(6), "base64");
	for (const name of readdirSync(server.data)) {
		if (!/\.db|\.key|\.log/.test(name))
			continue;
		const file = readFileSync(join(server.data, name));
		assert.ok(!file.includes(h.secret.slice(6)) && !file.includes(bytes), name);
	}
	assert.ok(!server.log.includes(h.secret.slice(6)));
	await gone(h);
});

// The key is all that it takes.
test("a worker with the key sends, one without it does not try", {
	skip: process.env.AGENT_STUDIO_STORE !== "postgres",
}, async () => {
	const r = await receiver();
	const set = ["webhooks.poll=20ms", "webhooks.retry=20ms",
		`webhooks.allow=["127.0.0.1:${r.port}"]`];
	const keys = { WEBHOOK_KEYS: "ab".repeat(32) };
	const main = await start({ set: ["worker.embedded=false", "webhooks.allow=[]",
		"auth.sealing_keys=env:WEBHOOK_KEYS", "webhooks.poll=1m"], env: keys });
	const who = await scene(main);
	const make = await api(main, "POST", "/api/webhooks/", { token: who.token,
		body: { url: r.url, events: ["run.*"] } });
	assert.equal(make.status, 201);
	const without = await startWorker(main, { set });
	const { body: { run } } = await api(main, "POST",
		`/api/chat/sessions/${who.thread.id}`,
		{ token: who.token, body: { content: "hello" } });
	for (let end = false, last = 0; !end;) {
		const { body } = await api(main, "GET",
			`/api/runs/${run.id}/events?wait=10&after=${last}`, { token: who.token });
		last = body.items.at(-1)?.run_seq ?? last;
		end = body.items.some((e) => e.status === "end");
	}
	assert.equal(ask(main, "SELECT attempts FROM outbox"), "0");
	const knows = await startWorker(main, { set:
		[...set, "auth.sealing_keys=env:WEBHOOK_KEYS"], env: keys });
	const m = await r.until((seen) => seen[0], "the worker's message");
	assert.ok(verify(make.body.secret, m));
	assert.equal(r.seen.length, 1);
	await without.stop();
	await knows.stop();
	await main.stop();
});

test("what was not delivered is delivered by the next process", async () => {
	const r = spare.pop();
	const h = await hook(r);
	let held;
	r.answer(() => ({ hold: new Promise((done) => {
		held = done;
	}) }));
	await talk("hello");
	await r.until((seen) => seen[0], "the first try");
	await server.kill9();
	held();
	r.answer(() => ({}));
	await server.restart();
	// Its lease has to run out first.
	const text = () => fetch(`${server.url}/metrics`).then((a) => a.text());
	assert.match(await text(), /agent_studio_outbox_depth/);
	await r.until((seen) => seen.length >= 2, "the next try");
	assert.equal(r.seen[0].id, r.seen[1].id);
	await delivery(h, (x) => x.status === "delivered");
	assert.match(await text(),
		/agent_studio_webhook_deliveries_total\{result="delivered"\} [1-9]/);
	await gone(h);
});
