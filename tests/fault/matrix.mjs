#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
//
// Every failpoint, on every store, with every way to die there; what is left
// must be whole.  Prints TAP, then a table.
//
//   matrix.mjs [--store sqlite|postgres] [--quick] [--only TEXT] [--keep]
//              [--shard I/N] [--full]
//
// A case is one hit of one point: a server with that fault has a conversation
// (the model asks for a tool of each effect class at once), dies or is stopped
// at the point, another one takes over, and when the run has come to rest,
// check_runs looks at the database, at what the witness saw and at what the
// client was shown.  Stopped servers go on once their runs are another's.  At
// the points of commits there is a third fault, "cut": the server is stopped for
// as long as it takes PostgreSQL to close its connections, and goes on without
// knowing what has become of the commit.
//
// Environment: AGENT_STUDIO (built with --enable-failpoints), BUILD_DIR,
// SRC_DIR, and TEST_POSTGRES_URL for PostgreSQL.  --keep leaves the folders of
// cases that failed.  --quick takes one hit of each point, and does not stop.
// --shard 2/3 plays the second third of the cases.  --full plays each point in
// all conversations that reach it, at every hit, and cuts off everywhere.

import { readFileSync, readdirSync, rmSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { api } from "../support/server.mjs";
import { until, within } from "../support/wait.mjs";
import { shown } from "./drill.mjs";
import { ended, PARKED, World } from "./world.mjs";

const AT_ONCE = Number(process.env.FAULT_JOBS ?? 4);
const HITS_MAX = 5; // of one point that are tried
const CRASH_MS = 20000;

// ---- Points -----------------------------------------------------------------

// The names in the sources, so that none is forgotten here.
function pointsInSources(dir, found = new Set()) {
	for (const e of readdirSync(dir, { withFileTypes: true })) {
		const path = join(dir, e.name);
		if (e.isDirectory())
			pointsInSources(path, found);
		else if (/\.c$/.test(e.name))
			for (const m of readFileSync(path, "utf8").matchAll(
				/\bFAILPOINT(?:_ERROR)?\("([^"]+)"/g))
				found.add(m[1]);
	}
	return found;
}

// Not reached on the other store.
const isOn = (point, store) =>
	!/^store\./.test(point) || point.startsWith(store === "sqlite"
		? "store.sqlite." : "store.pg.");

// Some of the n hits, the first and the last among them; or the middle one.
function someOf(n, max) {
	if (max === 1)
		return [Math.ceil(n / 2)];
	if (n <= max)
		return Array.from({ length: n }, (_, i) => i + 1);
	return Array.from({ length: max }, (_, i) =>
		1 + Math.round(i * (n - 1) / (max - 1)));
}

// ---- Stories ----------------------------------------------------------------

const KEY = "a key of the client";
const KEY_OF_TASK = "a-key-of-the-client";
const AHEAD_US = 180000000; // behind a schedule that is due once in it

const LATER = "another key of the client";

// What a person does; each ends when nothing more will be done, by default when
// its run has ended or waits for somebody.
const plots = {
	// One message, repeated until it is answered.
	talk: {
		begin: (story, server) => story.say(server, "do it all", KEY),
		again: (story, server) => story.say(server, "do it all", KEY),
		content: "do it all",
	},
	// A task that nobody watches, repeated until it is accepted, once.
	task: {
		begin: (story, server) => story.task(server, "hello", KEY_OF_TASK),
		async again(story, server) {
			// The minute after which the key of a dead request is free.
			await story.statement("UPDATE idempotency_keys SET expires_at = 1" +
				" WHERE state = 'in_progress'");
			await until("a task's acceptance", async () =>
				(await story.task(server, "hello", KEY_OF_TASK))?.status === 202);
		},
		async end(story, server) {
			const { status } = await story.task(server, "hello", KEY_OF_TASK);
			const n = await story.statement("SELECT count(*) FROM runs" +
				" WHERE kind = 'ambient'");
			if (status !== 202 || n !== "1")
				throw new Error(`a repeated task: ${status}, ${n} runs`);
		},
	},
	// Calls that wait for approval, answered one after the other; one of them
	// is made with other arguments.
	ask: {
		async begin(story, server) {
			await api(server, "PATCH",
				`/api/agents/${story.world.scene.agent.id}/`, {
					token: story.token,
					body: { approval: { default: "by_effect" } } });
			return plots.ask.again(story, server);
		},
		async again(story, server) {
			const said = await story.say(server, "do it all", KEY);

			if (!said)
				return;
			await story.rest(said.body.run.id);
			const { body } = await api(server, "GET",
				`/api/inbox/?run_id=${said.body.run.id}`,
				{ token: story.token });
			for (const item of body.items)
				await api(server, "POST", `/api/inbox/${item.id}/respond`,
					{ token: story.token, body: answerTo(item) });
		},
		rest: (story) => story.until(ended, "the run's end"),
		content: "do it all",
	},
	// A tool that keeps a value, asks twice while it works, and then pays.
	order: {
		begin: (story, server) => plots.order.again(story, server),
		async again(story, server) {
			const said = await story.say(server, "only order", KEY);

			if (!said)
				return;
			// Who answers the same again is told so.
			for (const answered = new Set(); ;) {
				const f = await story.until((e) => ended(e) ||
					(e.type === "hitl_request" && !answered.has(e.item_id)),
				"a question, or the end");
				if (ended(f))
					return;
				answered.add(f.item_id);
				await api(server, "POST", `/api/inbox/${f.item_id}/respond`,
					{ token: story.token, body: { type: "accept" } });
			}
		},
		rest: (story) => story.until(ended, "the run's end"),
		content: "only order",
	},
	// The same, and it is given to two subagents.
	delegate: {
		begin: (story, server) => story.say(server, "only delegate", KEY),
		again: (story, server) => story.say(server, "only delegate", KEY),
		content: "only delegate",
	},
	// A message, and a stop while a tool is at work.
	stop: {
		async begin(story, server) {
			await story.mode({ tool: "pay", mode: "delay", ms: 2000 });
			return plots.stop.again(story, server);
		},
		async again(story, server) {
			const said = await story.say(server, "only pay", KEY);

			if (!said)
				return null;
			await story.happened("pay", "effect");
			return api(server, "POST",
				`/api/runs/${said.body.run.id}/cancel`,
				{ token: story.token }).catch(() => null);
		},
		content: "only pay",
	},
	// A schedule, and a clock that is moved until it is due.
	clock: {
		env: { AGENT_STUDIO_CLOCK_AHEAD_US: String(AHEAD_US) },
		async begin(story, server) {
			// The last whole minute before then: there is no other for an hour.
			const at = new Date(Date.now() + AHEAD_US / 1000);
			const made = await api(server, "POST", schedules(story), {
				token: story.token, body: { cron: `${at.getUTCMinutes()} * * * *`,
					task: "only talk", overlap: "queue" } });
			story.schedule = `${schedules(story)}/${made.body.id}`;
			await story.ahead(server, AHEAD_US);
			// Another change, so that it looks at once.
			await clocked(story, server, "PATCH", "", { name: "due" });
		},
		again: (story, server) => { story.now = server; },
		rest: (story) => until("the schedule's run", async () => {
			const { body } = await clocked(story, story.now, "GET", "/runs")
				.catch(() => ({}));
			const runs = body?.items?.filter((f) => f.state === "started");
			return runs?.length > 0 &&
				runs.every((f) => f.run_status === "succeeded") &&
				{ state: "succeeded" };
		}),
		// Each time has started one run.
		async end(story, server) {
			await clocked(story, server, "POST", "/pause", {});
			const { body } = await clocked(story, server, "GET", "/runs");
			const told = body.items.filter((f) => f.run_id !== null)
				.map((f) => f.run_id).sort();
			const { body: all } = await api(server, "GET", "/api/runs?limit=200",
				{ token: story.token });
			const found = all.items.filter((r) => r.kind === "ambient")
				.map((r) => r.id).sort();
			if (told.length === 0 || told.join() !== found.join())
				throw new Error(`runs ${found}, but the schedule tells of ` +
					JSON.stringify(body.items));
		},
	},
	// A message that interrupts a tool at work.
	supersede: {
		async begin(story, server) {
			await story.mode({ tool: "pay", mode: "delay", ms: 2000 });
			await story.say(server, "only pay", KEY);
			await story.happened("pay", "effect");
			return plots.supersede.later(story, server);
		},
		later: (story, server) => story.say(server, "only talk", LATER,
			{ multitask: "interrupt" }),
		async again(story, server) {
			await story.say(server, "only pay", KEY);
			return plots.supersede.later(story, server);
		},
		rest: (story) => story.bothEnd(),
		content: "only pay",
	},
	// A message that waits behind a run of which nobody will know the outcome.
	aside: {
		async begin(story, server) {
			await story.mode({ tool: "send", mode: "close_after", ms: 2000 });
			await story.say(server, "only send", KEY);
			await story.happened("send", "effect");
			return story.say(server, "only talk", LATER);
		},
		async again(story, server) {
			await story.say(server, "only send", KEY);
			return story.say(server, "only talk", LATER);
		},
		rest: (story) => story.bothEnd(),
		content: "only send",
	},
};

const answerTo = ({ action_request: { action, args } }) =>
	action === "witness_pay" ? { type: "edit", args: { action,
		args: { ...args, value: 77 } } } : { type: "accept" };
const schedules = (story) =>
	`/api/agents/${story.world.scene.agent.id}/schedules`;
const clocked = (story, server, method, rest, body) =>
	api(server, method, story.schedule + rest, { token: story.token, body });

// The run after n others has ended, or waits for somebody.
const restAfter = (story, n) => story.until((f) => {
	const over = (e) => e.type === "run_status" &&
		(e.status === "end" || PARKED.includes(e.state));
	const ids = [...new Set(story.seen.filter(over).map((e) => e.run_id))];
	return over(f) && ids.length > n && ids.at(-1) === f.run_id;
}, "the run's end");

// A thread that goes on from its only checkpoint.
plots.fork = {
	content: "only talk",
	rest: (story) => restAfter(story, 1),
	begin: (story, server) => plots.fork.again(story, server),
	// Its key is held for a minute by the request that died with a server.
	async again(story, server) {
		if (!await story.say(server, "only talk", KEY))
			return null;
		await story.rest();
		const { body } = await api(server, "GET",
			`/api/chat/sessions/${story.thread}/history`,
			{ token: story.token });
		story.from ??= body.items.at(-1).id;
		const fork = () => api(server, "POST", "/api/chat/sessions/" +
			`${story.thread}/history/${story.from}/fork`, {
			token: story.token, headers: { "idempotency-key": "the-fork" },
			body: { mode: "live", content: "do it all", make_head: true },
		});
		const end = Date.now() + 90000;

		for (let answer; Date.now() < end;) {
			answer = await fork().catch(() => null);
			if (answer?.body.code !== "IDEMPOTENCY_IN_PROGRESS")
				return answer;
			await new Promise((done) => {
				setTimeout(done, 1000 * answer.body.retry_after);
			});
		}
		return null;
	},
};

// The third of three long messages does not fit beside the first two.
const long = (i) => `only talk ${i} ${"word ".repeat(800)}`;

plots.compact = {
	content: long(3),
	rest: (story) => restAfter(story, 2),
	settings: ['models.windows=["openai/stub=2000"]'],
	begin: (story, server) => plots.compact.again(story, server),
	async again(story, server) {
		for (const i of [1, 2]) {
			const said = await story.say(server, long(i), `${KEY} ${i}`);
			if (!said)
				return null;
			await story.rest(said.body.run.id);
		}
		return story.say(server, long(3), KEY);
	},
};

// Where a server dies before the one that the fault is meant for starts.
const earlier = {
	"claim.post": "tool.pre_call=kill,nth=3",
	"reap.pre": "tool.pre_call=kill,nth=3",
	"reap.post": "tool.pre_call=kill,nth=3",
	"tool.pre_verify": "tool.post_intent=kill",
};
function plotOf(point) {
	if (/^(un)?block\./.test(point))
		return "supersede";
	if (point === "park.blocked")
		return "aside";
	if (point.startsWith("child."))
		return "delegate";
	if (point.startsWith("ambient."))
		return "task";
	if (point.startsWith("sched."))
		return "clock";
	if (/^(interrupt|respond)\./.test(point))
		return "ask";
	if (point.endsWith("_keep"))
		return "order";
	if (point.startsWith("cancel."))
		return "stop";
	return /^(fork|compact)\./.exec(point)?.[1] ?? "talk";
}
// Those that reach it; one that needs a death before it has no other.
const plotsOf = (point, hits, full) => !full || earlier[point]
	? [plotOf(point)] : Object.keys(plots).filter((p) =>
		hits.get(p).get(point) > 0);
const rest = (plot, story) => plot.rest ? plot.rest(story) : story.rest();

// How often each point is hit when nothing goes wrong.
async function countHits(world, plot) {
	const story = await world.story(`count-${plot}`);
	story.settings = plots[plot].settings;
	const server = await story.start();

	await story.listen(server);
	await story.control(server, "clear");
	await story.read(server);
	story.now = server;
	await plots[plot].begin(story, server);
	await rest(plots[plot], story);
	await story.untilTold();
	const hits = new Map((await story.control(server, "hits")).trim()
		.split("\n").map((l) => [l.split(" ")[0], Number(l.split(" ")[1])]));
	const { code } = await server.stop();
	if (code !== 0)
		throw new Error(`a server ended with ${code}:\n${server.log}`);
	const { broken } = await story.check();
	if (broken.length > 0)
		throw new Error(`without a fault: ${broken.join("; ")}`);
	await story.end();
	return hits;
}

const isStopped = (pid) =>
	readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].startsWith("T");

// Commits are shared as it happens, so the last hits need not come each time.
class NotHit extends Error {}

// Resolves when the fault has happened.
function struck(c, server, story) {
	const dead = server.exited.then(({ code, signal }) => {
		if (c.action !== "kill" || signal !== "SIGKILL")
			throw new Error(`ended with ${signal ?? code}:\n${server.log}`);
		return true;
	});
	const stopped = c.action === "kill" ? new Promise(() => {})
		: until("the stop", () => isStopped(server.child.pid), CRASH_MS);

	const over = rest(plots[c.plot], story).then(() => new Promise((_, reject) => {
		// What comes after the last word to a client comes soon.
		setTimeout(() => reject(new NotHit(`no hit ${c.nth}`)),
			c.point.startsWith("outbox.") ? 5000 : 500);
	}));

	for (const p of [dead, stopped, over])
		p.catch(() => {});
	return within(CRASH_MS, Promise.race([dead, stopped, over]),
		`${c.point} is hit`);
}

// The server that the fault is meant for, up to the fault.
async function untilStruck(c, story) {
	const fault = `${c.point}=${c.action === "kill" ? "kill" : "stop"},` +
		`nth=${c.nth}`;
	const first = earlier[c.point] ?? fault;
	const plot = plots[c.plot];
	let server = await story.start();

	await story.listen(server);
	await story.read(server);
	await story.control(server, "clear");
	await story.control(server, first);
	story.now = server;
	plot.begin(story, server).catch(() => {});
	await struck(first === fault ? c : { ...c, action: "kill" }, server, story);
	c.from = story.nowUs();
	if (first === fault)
		return server;
	story.leave();
	// It may be over with it before it listens.
	server = await new Promise((resolve, reject) => {
		story.start({ env: { AGENT_STUDIO_FAILPOINTS: fault },
			spawned: resolve }).catch(reject);
	});
	await struck(c, server, story);
	return server;
}

// A server that was stopped finds that its runs are another's.  It ends, unless
// it takes it that the database was away, because a beat was under way.
async function wakeUp(server) {
	const isAnew = () => / goes on as node epoch \d+/.test(server.log);
	let over = false;

	server.child.kill("SIGCONT");
	server.exited.then(() => {
		over = true;
	});
	await until("the end of a server that was taken for dead, or its new epoch",
		() => over || isAnew(), CRASH_MS);
	const { code, signal } = over ? await server.exited : await server.stop();
	if (signal !== null || (code === 0) !== isAnew())
		throw new Error(`was taken for dead and ended with ${signal ?? code}`);
}

// Who goes on after the fault, with the reader on it.
async function successor(c, story, server) {
	if (c.action === "cut") {
		await story.cut();
		server.child.kill("SIGCONT");
		return server;
	}
	story.leave();
	const next = await story.start({ env: plots[c.plot].env });
	await story.read(next);
	return next;
}

async function tell(c, story) {
	const plot = plots[c.plot];
	const server = await untilStruck(c, story);
	const from = performance.now();
	const next = await successor(c, story, server);

	await plot.again(story, next);
	c.state = (await rest(plot, story)).state;
	c.seconds = (performance.now() - from) / 1000;
	// Whoever is ahead of the one that died has not been so for as long.
	story.fault(c.from, story.nowUs() + (plot.env ? AHEAD_US : 0));
	if (c.action === "stop") {
		await story.untilOthersAreDead();
		await wakeUp(server);
		// It may have known what the run waited for.
		await until("the end of the run", () => story.isQuiet());
		await shown(story, next);
	}
	// A request that is repeated after all is answered as before.
	if (plot.content)
		await story.say(next, plot.content, KEY);
	await plot.end?.(story, next);
	await story.untilTold();
	const { code } = await next.stop();
	if (code !== 0)
		throw new Error(`the last server ended with ${code}:\n${next.log}`);
}

async function play(c, world) {
	const story = await world.story(`${c.action}-${c.point}-${c.nth}-${c.plot}`);

	c.folder = story.name;
	// Who is only cut off has no time to lose his lease, however slow this is.
	story.settings = [...plots[c.plot].settings ?? [],
		...c.action === "cut" ? ["worker.lease=30s"] : []];
	try {
		await tell(c, story);
		const { broken, figures } = await story.check();
		c.figures = figures;
		c.problems = broken;
		if (!story.reached().includes(c.point))
			c.problems.push(`${c.point} was not reached`);
	} catch (e) {
		if (e instanceof NotHit && c.nth > 1) {
			await story.end();
			c.nth--;
			return play(c, world);
		}
		c.problems = [e.stack, ...story.servers.map((s) => s.log)];
	}
	if (c.problems.length === 0 || !world.keep)
		await story.end();
	else
		await story.leaveBehind();
	return undefined;
}

// ---- The matrix -------------------------------------------------------------

function casesAt(point, plot, { world, actions, quick, full, n }) {
	const cases = [];

	for (const action of actions) {
		if (action === "cut" && !full && !/^(store|commit)\./.test(point))
			continue;
		const c = { point, plot, action, store: world.store };
		if (n === 0)
			cases.push({ ...c, nth: 0, problems: ["the point is never hit"] });
		for (const nth of someOf(n, quick ? 1 : full ? n : HITS_MAX))
			cases.push({ ...c, nth });
	}
	return cases;
}

async function casesOf(world, actions, points, { quick, only, full, shard }) {
	const hits = new Map();
	const cases = [], mine = [];

	for (const plot of Object.keys(plots))
		hits.set(plot, await countHits(world, plot));
	for (const point of points) {
		if (!isOn(point, world.store) || (only && !point.includes(only)))
			continue;
		const told = plotsOf(point, hits, full);
		for (const plot of told.length > 0 ? told : [plotOf(point)])
			cases.push(...casesAt(point, plot, { world, actions, quick, full,
				n: earlier[point] ? 1 : hits.get(plot).get(point) ?? 0 }));
	}
	const [part, parts] = shard;
	for (let i = 0; i < cases.length; i++)
		if (i % parts === part - 1)
			mine.push(cases[i]);
	return mine;
}

let number = 0;

function report(c) {
	const ok = c.problems.length === 0;

	for (const p of c.problems)
		process.stdout.write(`# ${String(p).replaceAll("\n", "\n# ")}\n`);
	if (!ok && c.folder)
		process.stdout.write(`# story ${c.folder}\n`);
	process.stdout.write(`${ok ? "ok" : "not ok"} ${++number} - ${c.store}: ` +
		`${c.action} at ${c.point}, hit ${c.nth}` +
		`${c.plot && c.plot !== plotOf(c.point) ? ` of ${c.plot}` : ""}` +
		`${c.state ? ` (${c.state}, ${c.seconds.toFixed(1)} s)` : ""}\n`);
}

async function playAll(cases, world) {
	const left = cases.filter((c) => !c.problems);

	cases.filter((c) => c.problems).forEach(report);
	await Promise.all(Array.from({ length: AT_ONCE }, async () => {
		for (let c; (c = left.shift()) !== undefined;) {
			await play(c, world);
			report(c);
		}
	}));
}

// ---- The table --------------------------------------------------------------

// Class V is asked whether it happened; only then it is sent again.
const CLASSES = ["P", "N", "K", "V", "U"];

function sumUp(cases) {
	const row = { runs: cases.length, recoveries: 0, seconds: 0, lost: 0,
		resends: {}, asked: 0, duplicates: 0, unknown: {}, told: 0 };

	for (const k of CLASSES)
		row.resends[k] = row.unknown[k] = 0;
	for (const { figures, seconds = 0, plot } of cases) {
		row.seconds = Math.max(row.seconds, seconds);
		if (!figures)
			continue;
		row.recoveries += figures.recoveries;
		row.lost += figures.lost_events;
		row.asked += figures.verifications;
		row.told += figures.webhooks_again;
		for (const k of CLASSES) {
			row.resends[k] += figures[k].resends;
			// Of a run that was stopped nobody waits for the outcome.
			if (plot === "talk")
				row.unknown[k] += figures[k].unknown;
			row.duplicates += k === "P" ? 0 : figures[k].duplicates;
		}
	}
	return row;
}

const cells = (list) => list.map((v, i) => i === 0 ? String(v).padEnd(34)
	: String(v).padStart(6)).join(" ");

function printRow(name, row) {
	process.stdout.write(`# ${cells([name, row.runs, row.recoveries,
		row.seconds.toFixed(1), ...CLASSES.map((k) => row.resends[k]), row.asked,
		row.duplicates, row.lost, row.unknown.U, row.told])}\n`);
}

function printTable(cases) {
	const groups = new Map();

	for (const c of cases) {
		const name = `${c.store} ${c.action} ${c.point}`;
		groups.set(name, [...groups.get(name) ?? [], c]);
	}
	process.stdout.write(`# ${cells(["store, fault and point", "runs", "recov.",
		"max s", ...CLASSES.map((k) => `sent ${k}`), "ask V", "double",
		"lost", "unkn U", "told +"])}\n`);
	for (const [name, list] of groups)
		printRow(name, sumUp(list));
	printRow("all", sumUp(cases));
}

// Of all cases together: what the classes promise, and that it was tried.
function judge(cases, { quick, only, shard }) {
	const some = quick || only || shard[1] > 1;
	const all = sumUp(cases);
	const problems = [];
	const claim = (ok, text) => ok || problems.push(text);

	claim(all.duplicates === 0, `${all.duplicates} effects happened twice`);
	claim(all.lost === 0, `${all.lost} events were lost`);
	for (const k of ["P", "N", "K", "V"])
		claim(all.unknown[k] === 0,
			`${all.unknown[k]} calls of class ${k} are unknown`);
	claim(all.resends.U === 0, "a call of class U was sent again");
	if (!some)
		for (const k of ["P", "N", "K"])
			claim(all.resends[k] > 0, `no call of class ${k} was sent again`);
	if (!some)
		claim(all.asked > 0, "nobody asked whether a call happened");
	if (!some && cases.some((c) => c.point === "outbox.post_send"))
		claim(all.told > 0, "no webhook message was sent again");
	report({ store: "all", action: "what", point: "the effect classes promise",
		nth: cases.length, problems });
	return problems.length === 0;
}

function options(argv) {
	const o = { stores: ["sqlite"], quick: false, only: null, keep: false,
		full: false, shard: [1, 1] };

	if (process.env.TEST_POSTGRES_URL)
		o.stores.push("postgres");
	for (let i = 0; i < argv.length; i++) {
		if (argv[i] === "--quick")
			o.quick = true;
		else if (argv[i] === "--keep")
			o.keep = true;
		else if (argv[i] === "--full")
			o.full = true;
		else if (argv[i] === "--shard")
			o.shard = argv[++i].split("/").map(Number);
		else if (argv[i] === "--store")
			o.stores = [argv[++i]];
		else if (argv[i] === "--only")
			o.only = argv[++i];
		else
			throw new Error(`unknown argument '${argv[i]}'`);
	}
	if (!(o.shard[0] >= 1 && o.shard[0] <= o.shard[1]))
		throw new Error("--shard: expected I/N");
	return o;
}

async function main() {
	const o = options(process.argv.slice(2));
	const points = [...pointsInSources(join(process.env.SRC_DIR, "core"))].sort();
	const all = [];

	for (const store of o.stores) {
		const dir = mkdtempSync(join(tmpdir(), `fault-${store}-`));
		const world = await World.create({ dir, store });
		const actions = store === "sqlite" ? ["kill"]
			: o.quick ? ["kill", "cut"] : ["kill", "stop", "cut"];

		world.keep = o.keep;
		const cases = await casesOf(world, actions, points, o);
		await playAll(cases, world);
		all.push(...cases);
		if (o.keep && cases.some((c) => c.problems.length > 0))
			process.stdout.write(`# see ${dir}\n`);
		else
			rmSync(dir, { recursive: true, force: true });
		await world.end();
	}
	const good = judge(all, o) && all.every((c) => c.problems.length === 0);
	process.stdout.write(`1..${number}\n`);
	printTable(all);
	process.exitCode = good && all.length > 0 ? 0 : 1;
}

await main();
