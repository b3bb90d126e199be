// SPDX-License-Identifier: Apache-2.0
//
// Schedules: the API, and what starts when, by a clock that the test sets.  No
// server here executes runs, so that each stays open until it is cancelled.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readdirSync, rmSync, symlinkSync }
	from "node:fs";
import { after, before, test } from "node:test";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Clock } from "../support/clock.mjs";
import { api, ask, signUp, start, startWorker } from "../support/server.mjs";
import { until } from "../support/wait.mjs";

const POSTGRES = process.env.AGENT_STUDIO_STORE === "postgres";
const SYSTEM = "/usr/share/zoneinfo";
// The system's zones, and one more that may vanish.
const zones = mkdtempSync(join(tmpdir(), "zones-"));
const SET = ["schedules.poll=100ms", "worker.embedded=false",
	`schedules.zoneinfo=${zones}`];
const BEGIN = "2026-03-28T12:00:10Z";
let clock, server, owner, agent;

before(async () => {
	for (const name of readdirSync(SYSTEM))
		symlinkSync(join(SYSTEM, name), join(zones, name));
	copyFileSync(join(SYSTEM, "Europe/Berlin"), join(zones, "Gone"));
	clock = new Clock(BEGIN);
	server = await start({ set: SET, env: clock.env() });
	await clock.begin(server);
	owner = await signUp(server);
	agent = await newAgent();
});
after(async () => {
	await server?.stop();
	rmSync(zones, { recursive: true, force: true });
});

async function newAgent() {
	const { status, body } = await api(server, "POST", "/api/agents/",
		{ token: owner.token, body: { name: "Clockwork" } });
	assert.equal(status, 201, JSON.stringify(body));
	return body;
}

const path = (s, rest = "", of = agent) =>
	`/api/agents/${of.id}/schedules${s ? `/${s.id}` : ""}${rest}`;

const call = (method, where, body, headers = {}) =>
	api(server, method, where, { token: owner.token, body, headers });

async function make(body, of = agent) {
	const answer = await call("POST", path(null, "", of),
		{ cron: "0 * * * *", task: "Say hello.", ...body });
	assert.equal(answer.status, 201, JSON.stringify(answer.body));
	return answer.body;
}

async function read(s) {
	const { status, body } = await call("GET", path(s));
	assert.equal(status, 200, JSON.stringify(body));
	return body;
}

async function fires(s) {
	const { status, body } = await call("GET", path(s, "/runs?limit=200"));
	assert.equal(status, 200, JSON.stringify(body));
	return body.items.reverse();
}

const settled = (s, n, what = "fires") => until(what, async () => {
	const list = await fires(s);
	return list.length >= n && list.every((f) => f.state !== "pending")
		? list : null;
});

const T = (time) => `2026-${time}:00.000000Z`;

// The clock is moved; whatever was due has been looked at when this comes back.
async function pass(time) {
	const marker = await make({ cron: "* * * * *", name: "marker" });
	await clock.set(server, time);
	await until("the marker", async () => (await fires(marker)).length > 0);
	await call("DELETE", path(marker));
}

function sql(text) {
	if (server.database)
		return ask(server, text);
	return execFileSync("python3", ["-c", "import sqlite3, sys\n" +
		"db = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True)\n" +
		"for r in db.execute(sys.argv[2]): print('|'.join(str(v) for v in r))",
	join(server.data, "agent-studio.db"), text],
	{ encoding: "utf8" }).trim();
}

// Runs that the schedule has started, by their origin.
const runs = (s) => Number(sql("SELECT count(*) FROM runs WHERE origin LIKE " +
	`'%"schedule"%' AND origin LIKE '%${s.id}%'`));

async function remove(...list) {
	for (const s of list)
		assert.equal((await call("DELETE", path(s))).status, 204);
}

// ---- The API ----------------------------------------------------------------

test("a schedule with its defaults, its ETag and its next times", async () => {
	const { status, headers, body } = await call("POST", path(),
		{ cron: "30 2 * * *", timezone: "Europe/Berlin", task: "Report." });
	assert.equal(status, 201);
	assert.equal(headers.get("location"), path(body));
	assert.equal(headers.get("etag"), '"1"');
	const { id, created_at, updated_at, ...rest } = body;
	assert.ok(id && created_at && updated_at);
	assert.deepEqual(rest, { agent_id: agent.id, user_id: owner.user.id,
		name: "", cron: "30 2 * * *", timezone: "Europe/Berlin",
		task: "Report.", class: "standard", overlap: "skip", jitter_ms: 0,
		catch_up: 1, ends_at: null, paused: false, paused_reason: null,
		next_at: T("03-29T01:00"), next_times: [T("03-29T01:00"),
			T("03-30T00:30"), T("03-31T00:30"), T("04-01T00:30"),
			T("04-02T00:30")],
		last_at: null, last_run_id: null, version: 1 });
	assert.deepEqual((await call("GET", path(body))).body, body);
	await remove(body);
	assert.equal((await call("GET", path(body))).status, 404);
});

test("replace, merge, versions, members that nobody writes", async () => {
	const s = await make({ name: "a", class: "bulk" });
	let answer = await call("PUT", path(s), { ...s, name: "b" },
		{ "if-match": '"1"' });
	assert.equal(answer.status, 200, JSON.stringify(answer.body));
	assert.equal(answer.headers.get("etag"), '"2"');
	assert.deepEqual([answer.body.name, answer.body.class], ["b", "bulk"]);
	answer = await call("PUT", path(s), { cron: "0 0 * * *", task: "x" });
	assert.deepEqual([answer.body.name, answer.body.class, answer.body.version],
		["", "standard", 3]);
	assert.equal(answer.body.next_at, T("03-29T00:00"));
	answer = await call("PATCH", path(s), { timezone: "Asia/Kathmandu",
		jitter_ms: 5 });
	assert.equal(answer.body.next_at, T("03-28T18:15"));
	answer = await call("PATCH", path(s), { timezone: null });
	assert.equal(answer.body.timezone, "UTC");
	answer = await call("PATCH", path(s), { name: "c" }, { "if-match": '"3"' });
	assert.equal(answer.status, 412);
	assert.equal(answer.body.current_version, 5);
	for (const [member, value] of [["id", agent.id], ["agent_id", s.id],
		["user_id", s.id], ["paused", true]]) {
		answer = await call("PATCH", path(s), { [member]: value });
		assert.equal(answer.status, 400, member);
		assert.deepEqual(Object.keys(answer.body.details), [member]);
	}
	assert.equal((await read(s)).version, 5);
	await remove(s);
});

test("what is wrong is said of its member, and nothing changes", async () => {
	const s = await make({});
	for (const [member, value, text] of [
		["cron", "0 24 * * *", "hour: 24 is not between 0 and 23"],
		["cron", "0 0 30 2 *", "day of month: none of these months has such a day"],
		["cron", "every day", /^expected five fields .*, got 2$/],
		["cron", "", /./], ["cron", 5, /./],
		["cron", "0 0 * * mon-", "day of week: a number is missing"],
		["timezone", "Europe/Nowhere", /^is not a time zone of this system/],
		["timezone", "../../etc/passwd", /^is not a time zone/],
		["timezone", "/etc/localtime", /^is not a time zone/],
		["timezone", "Europe", /^is not a time zone/],
		["timezone", "tzdata.zi", /^is not a time zone/],
		["timezone", "zone.tab", /^is not a time zone/],
		["class", "urgent", /./], ["overlap", "never", /./],
		["jitter_ms", -1, /./], ["jitter_ms", 3600001, /./],
		["catch_up", 25, /./], ["ends_at", "tomorrow", /./],
		["task", "", /./], ["task", "x".repeat(256 * 1024 + 1), /KiB/],
		["name", "x".repeat(201), /./], ["colour", "red", /./],
	]) {
		for (const [method, where, body] of [
			["PATCH", path(s), { [member]: value }],
			["PUT", path(s), { cron: "0 0 * * *", task: "t", [member]: value }],
			["POST", path(), { cron: "0 0 * * *", task: "t", [member]: value }],
		]) {
			const answer = await call(method, where, body);
			assert.equal(answer.status, 400, `${method} ${member} ${value}`);
			assert.equal(answer.body.code, "VALIDATION_FAILED");
			assert.deepEqual(Object.keys(answer.body.details), [member]);
			const [said] = answer.body.details[member];
			if (text instanceof RegExp)
				assert.match(said, text);
			else
				assert.equal(said, text);
		}
	}
	assert.deepEqual(await read(s), s);
	const { body } = await call("GET", path());
	assert.deepEqual(body.items.map((i) => i.id), [s.id]);
	// Both at once are both told of.
	const both = await call("POST", path(), { cron: "x", timezone: "y",
		task: "t" });
	assert.deepEqual(Object.keys(both.body.details).sort(),
		["cron", "timezone"]);
	await remove(s);
});

test("others do not see it; pages; the agent has to be there", async () => {
	const s = await make({}), other = await signUp(server);
	for (const [method, where, body] of [["GET", path(s)],
		["PUT", path(s), { cron: "0 0 * * *", task: "t" }],
		["PATCH", path(s), { name: "x" }], ["DELETE", path(s)],
		["POST", path(s, "/pause")], ["POST", path(s, "/resume")],
		["GET", path(s, "/runs")],
		["POST", path(), { cron: "0 0 * * *", task: "t" }]]) {
		const answer = await api(server, method, where,
			{ token: other.token, body });
		assert.equal(answer.status, 404, `${method} ${where}`);
	}
	const elsewhere = await newAgent();
	assert.equal((await call("GET", path(s, "", elsewhere))).status, 404);
	const more = [await make({}), await make({})];
	const first = await call("GET", path(null, "?limit=2"));
	assert.deepEqual(first.body.items.map((i) => i.id),
		[more[1].id, more[0].id]);
	const second = await call("GET",
		path(null, `?limit=2&cursor=${first.body.next_cursor}`));
	assert.deepEqual(second.body.items.map((i) => i.id), [s.id]);
	assert.equal(second.body.next_cursor, null);
	await remove(s, ...more);
});

// ---- Firing -----------------------------------------------------------------

test("each time starts one run, with task, class and origin", async () => {
	await clock.set(server, T("03-28T12:00"));
	const s = await make({ name: "Hello", class: "priority",
		cron: "*/30 * * * *" });
	await pass(T("03-28T12:29"));
	assert.deepEqual(await fires(s), []);
	await pass(T("03-28T12:31"));
	const [fire] = await settled(s, 1);
	assert.equal(fire.state, "started");
	assert.equal(fire.fire_at, T("03-28T12:30"));
	assert.equal(fire.run_status, "queued");
	const { body: run } = await call("GET", `/api/runs/${fire.run_id}`);
	assert.deepEqual([run.kind, run.agent_id], ["ambient", agent.id]);
	const { body: thread } = await call("GET",
		`/api/chat/sessions/${fire.thread_id}`);
	assert.equal(thread.title, "Hello");
	assert.equal(thread.messages[0].content, "Say hello.");
	assert.equal(sql("SELECT class FROM runs WHERE origin LIKE " +
		`'%${s.id}%'`), "0");
	const now = await read(s);
	assert.deepEqual([now.last_at, now.last_run_id, now.next_at, now.version],
		[fire.fire_at, fire.run_id, T("03-28T13:00"), 1]);
	assert.equal(runs(s), 1);
	await remove(s);
});

test("overlap: skip, queue, replace", async () => {
	await clock.set(server, T("03-28T14:00"));
	const [skip, queue, replace] = await Promise.all(["skip", "queue",
		"replace"].map((overlap) => make({ overlap })));
	await pass(T("03-28T15:00"));
	const before = await Promise.all([skip, queue, replace].map((s) =>
		settled(s, 1)));
	await pass(T("03-28T16:00"));
	const skipped = await settled(skip, 2);
	assert.deepEqual(skipped.map((f) => [f.state, f.reason]),
		[["started", null], ["skipped", "overlap"]]);
	const replaced = await settled(replace, 2);
	assert.deepEqual(replaced.map((f) => f.state), ["started", "started"]);
	assert.deepEqual(replaced.map((f) => f.run_status), ["cancelled", "queued"]);
	let queued = await fires(queue);
	assert.deepEqual(queued.map((f) => f.state), ["started", "pending"]);
	// The first one ends: now the second may start.
	await call("POST", `/api/runs/${before[1][0].run_id}/cancel`);
	await pass(T("03-28T16:01"));
	queued = await settled(queue, 2);
	assert.deepEqual(queued.map((f) => f.state), ["started", "started"]);
	assert.deepEqual([runs(skip), runs(queue), runs(replace)], [1, 2, 2]);
	await remove(skip, queue, replace);
});

test("no more than a hundred wait for one run", async () => {
	await clock.set(server, T("03-28T16:30"));
	const s = await make({ cron: "* * * * *", overlap: "queue", catch_up: 24 });
	for (const time of ["16:54", "17:18", "17:42", "18:06", "18:29"])
		await pass(T(`03-28T${time}`));
	const list = (await fires(s)).map((f) => `${f.state} ${f.reason}`);
	const n = (what) => list.filter((f) => f === what).length;
	assert.equal(list.length, 119);
	assert.deepEqual([n("started null"), n("pending null"),
		n("skipped queue_full")], [1, 100, 18]);
	await remove(s);
	assert.equal(runs(s), 1);
});

test("jitter starts later, by the same for the same time", async () => {
	await clock.set(server, T("03-28T18:30"));
	const s = await make({ jitter_ms: 3600000 });
	assert.equal(s.next_at, T("03-28T19:00"));
	const due = Number(sql("SELECT due_at FROM schedules ORDER BY id DESC " +
		"LIMIT 1")) / 1000;
	assert.ok(due > Date.parse(s.next_at) && due <= Date.parse(s.next_at) + 36e5);
	await call("PATCH", path(s), { name: "again" });
	assert.equal(Number(sql("SELECT due_at FROM schedules ORDER BY id DESC " +
		"LIMIT 1")) / 1000, due);
	await pass(new Date(due - 60000).toISOString());
	assert.deepEqual(await fires(s), []);
	await pass(new Date(due + 60000).toISOString());
	assert.equal((await settled(s, 1))[0].fire_at, s.next_at);
	await remove(s);
});

test("the end, pause and resumption; what a pause left out is not made up for",
	async () => {
	await clock.set(server, T("03-29T06:30"));
	const ends = await make({ ends_at: "2026-03-29T08:00:00Z" });
	const paused = await make({ overlap: "replace", catch_up: 24 });
	assert.deepEqual(ends.next_times, [T("03-29T07:00"), T("03-29T08:00")]);
	let answer = await call("POST", path(paused, "/pause"));
	assert.deepEqual([answer.body.paused, answer.body.paused_reason,
		answer.body.next_at, answer.body.next_times, answer.body.version],
	[true, "user", null, [], 2]);
	answer = await call("POST", path(paused, "/pause"));
	assert.equal(answer.body.version, 2);
	await pass(T("03-29T07:00"));
	await pass(T("03-29T08:00"));
	await pass(T("03-29T10:00"));
	assert.deepEqual((await settled(ends, 2)).map((f) => f.state),
		["started", "skipped"]);
	assert.equal((await read(ends)).next_at, null);
	answer = await call("POST", path(paused, "/resume"));
	assert.deepEqual([answer.body.paused, answer.body.paused_reason,
		answer.body.next_at], [false, null, T("03-29T11:00")]);
	await pass(T("03-29T11:00"));
	assert.deepEqual((await settled(paused, 1)).map((f) => f.fire_at),
		[T("03-29T11:00")]);
	await remove(ends, paused);
});

test("an agent that is not ready: it pauses, and its owner is told", async () => {
	await clock.set(server, T("03-29T12:30"));
	const lazy = await newAgent(), gone = await newAgent();
	const s = [await make({ name: "Lazy" }, lazy),
		await make({ name: "Gone" }, gone)];
	await call("PATCH", `/api/agents/${lazy.id}/`, { agent_state: "paused" });
	await call("DELETE", `/api/agents/${gone.id}/`);
	await pass(T("03-29T13:00"));
	const why = ["agent_not_ready", "agent_deleted"];
	for (const [i, of] of [lazy, gone].entries()) {
		const now = await until("the pause", async () => {
			const { body } = await call("GET", path(s[i], "", of));
			return body.paused ? body : null;
		});
		assert.deepEqual([now.paused_reason, now.next_at, now.version],
			[why[i], null, 2]);
		const { body } = await call("GET", path(s[i], "/runs", of));
		assert.deepEqual(body.items.map((f) => [f.state, f.reason, f.run_id]),
			[["failed", why[i], null]]);
	}
	assert.equal(sql("SELECT title FROM inbox_items WHERE kind = " +
		"'notification' ORDER BY title"),
	"Schedule paused: Gone\nSchedule paused: Lazy");
	// It goes on once that is mended.
	await call("PATCH", `/api/agents/${lazy.id}/`, { agent_state: "ready" });
	await call("POST", path(s[0], "/resume", lazy));
	await pass(T("03-29T14:00"));
	await until("the run", () => runs(s[0]) === 1);
});

test("a zone that is not there any more: it pauses", async () => {
	await clock.set(server, T("03-29T15:30"));
	const s = await make({ name: "Lost", timezone: "Gone", cron: "0 * * * *" });
	assert.equal(s.next_at, T("03-29T16:00"));
	rmSync(join(zones, "Gone"));
	await pass(T("03-29T16:00"));
	const now = await until("the pause", async () => {
		const found = await read(s);
		return found.paused ? found : null;
	});
	assert.equal(now.paused_reason, "zone_unknown");
	assert.equal((await fires(s))[0].reason, "zone_unknown");
	assert.equal(sql("SELECT title FROM inbox_items WHERE title LIKE '%Lost'"),
		"Schedule paused: Lost");
	const answer = await call("POST", path(s, "/resume"));
	assert.equal(answer.status, 400);
	assert.deepEqual(Object.keys(answer.body.details), ["timezone"]);
	await remove(s);
});

test("metrics tell what became of times", async () => {
	const { body } = await api(server, "GET", "/metrics");
	for (const outcome of ["started", "skipped", "failed"])
		assert.match(body, new RegExp("^agent_studio_schedule_fires_total"
			+ `\\{outcome="${outcome}"\\} [1-9]`, "m"));
	assert.match(body, /^agent_studio_schedule_late_seconds_count [1-9]/m);
});

test("after a time without a server: as many as catch_up says", async () => {
	await clock.set(server, T("03-30T00:30"));
	const list = await Promise.all([0, 1, 3].map((catch_up) =>
		make({ catch_up, overlap: "replace" })));
	const minutes = await make({ cron: "* * * * *", catch_up: 2,
		overlap: "replace" });
	await server.kill9();
	clock.move(T("03-30T10:30"));
	server.options.env = clock.env();
	await clock.begin(server);
	await server.restart();
	const found = await Promise.all(list.map((s) => settled(s, 1)));
	const late = (n) => ["missed", T("03-30T01:00"), n];
	const ran = (hour) => ["started", T(`03-30T${hour}:00`), 1];
	assert.deepEqual(found.map((l) => l.map((f) =>
		[f.state, f.fire_at, f.times])), [
		[late(10)],
		[late(9), ran("10")],
		[late(7), ran("08"), ran("09"), ran("10")],
	]);
	assert.deepEqual(list.map(runs), [0, 1, 3]);
	const m = await until("two of 600 minutes", async () => {
		const l = await fires(minutes);
		return l.filter((f) => f.state === "started").length >= 2 ? l : null;
	});
	assert.equal(m[0].state, "missed");
	assert.ok(m[0].times >= 597, String(m[0].times));
	await remove(...list, minutes);
});

test("without a poll: woken by a change, it sleeps until the time", async () => {
	const late = new Clock("2026-03-28T12:59:00Z");
	const other = await start({ env: late.env(),
		set: ["schedules.poll=10m", "server.loops=2"] });
	try {
		await late.begin(other);
		const { token } = await signUp(other);
		const { body: { id } } = await api(other, "POST", "/api/agents/",
			{ token, body: { name: "x" } });
		const all = `/api/agents/${id}/schedules`;
		await late.set(other, "2026-03-28T12:59:55Z");
		const { body: s } = await api(other, "POST", all, { token,
			body: { cron: "* * * * *", task: "say pong" } });
		const [fire] = await until("its time", async () => {
			const { body } = await api(other, "GET", `${all}/${s.id}/runs`,
				{ token });
			return body.items[0]?.run_status === "succeeded" && body.items;
		});
		const { body: run } = await api(other, "GET",
			`/api/runs/${fire.run_id}`, { token });
		assert.equal(fire.fire_at, s.next_at);
		assert.equal(run.kind, "ambient");
	} finally {
		assert.equal((await other.stop()).code, 0);
	}
});

// ---- Several processes ------------------------------------------------------

test("two workers and a server look: one starts it",
	{ skip: !POSTGRES && "needs PostgreSQL" }, async () => {
	await clock.set(server, T("04-01T00:00"));
	const set = ["schedules.poll=100ms", "worker.lease=600s",
		`schedules.zoneinfo=${zones}`];
	const workers = [await startWorker(server, { set }),
		await startWorker(server, { set })];
	try {
		const list = await Promise.all(Array.from({ length: 20 }, (_, i) =>
			make({ cron: "*/5 * * * *", overlap: "queue", name: `s${i}` })));
		for (const time of ["00:05", "00:10", "00:15"])
			await pass(T(`04-01T${time}`));
		await clock.set(server, T("04-01T00:16"));
		for (const s of list) {
			const l = await until("three runs", async () => {
				const l = await fires(s);
				return l.length === 3 &&
					l.every((f) => f.run_status === "succeeded") ? l : null;
			});
			assert.equal(new Set(l.map((f) => f.run_id)).size, 3);
			assert.equal(runs(s), 3);
		}
	} finally {
		for (const w of workers)
			assert.equal((await w.stop()).code, 0);
	}
});
