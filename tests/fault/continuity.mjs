#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
//
// Token continuity: many sockets read many answers while they are written, and
// everything else is taken away below them.  Each socket is cut three times at
// a moment of chance (reset, closed, or stalled and then reset; also in the
// middle of a frame) and comes back at another server; servers and workers are
// killed and started again one after the other; Redis is restarted once, and
// PostgreSQL, in some runs both at nearly the same time.  In the end each
// client has the bytes that are stored, and has been shown each event once and
// in order.  Prints TAP and a table.
//
//   continuity.mjs [--sockets 60] [--runs 12] [--serves 2] [--workers 2]
//                  [--words 330] [--ms 40] [--rounds 1] [--seed N] [--limit 120]
//   continuity.mjs --full      1,000 sockets, 200 runs, 3 and 3, two rounds
//
// Environment: as restarts.mjs.  The seed is printed; the same one makes the
// same choices, though not the same moments.

import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";

import { messages, newThread, scene } from "../support/chat.mjs";
import { startPostgres } from "../support/postgres.mjs";
import { startRedis } from "../support/redis.mjs";
import { ask, databaseUrl } from "../support/server.mjs";
import { pause } from "../support/wait.mjs";
import { Reader } from "./continuity_reader.mjs";
import { chance, Crew, DATABASE, deferred, shuffled, startModel, Talk }
	from "./continuity_world.mjs";
import { options, Tap } from "./drill.mjs";
import { checkRuns } from "./world.mjs";

const FULL = { sockets: 1000, runs: 200, serves: 3, workers: 3, words: 600,
	ms: 100, rounds: 2, limit: 480 };
const CUTS = 3;
const CUT_BY = 0.8; // of the answer; the model holds back the last words
const SHARE = 0.99; // of the bytes, by deltas
const LIVE = 0.9; // while they are said, on a machine that has more to do
const FAILURES = 5; // shown with their frames

// ---- What goes wrong --------------------------------------------------------

async function chaos(drill) {
	const { o, crew, redis, postgres, say } = drill;
	const rand = chance(o.seed + 1);
	const quiet = () => pause((0.5 + rand()) * drill.every);
	const lose = async () => {
		const away = rand() < 0.5 ? 0 : rand() * 2500;

		await redis.kill();
		say(`Redis away for ${away.toFixed(0)} ms`);
		await pause(away);
		await redis.restart();
	};
	const fail = async () => {
		const mode = rand() < 0.5 ? "immediate" : "fast";

		say(`PostgreSQL restarts: ${mode}`);
		await postgres.restart(mode);
		say("PostgreSQL is back");
	};
	const acts = [];

	for (let i = 0; i < o.rounds; i++)
		acts.push(...crew.all.map((m) => async () => {
			say(`${m.name} is killed`);
			await crew.replace(m);
		}));
	if (rand() < 0.4)
		acts.push(() => Promise.all([lose(),
			pause(rand() * 600).then(fail)]));
	else
		acts.push(lose, fail);
	for (const act of shuffled(acts, rand)) {
		await quiet();
		await act();
	}
	say("all is quiet");
	while (!drill.over && !drill.readers.every((r) => r.failure ||
		r.cuts.length === 0))
		await pause(100);
	await quiet();
	const { run, at, process } = drill.model.tries.at(-1);
	say(`the last words are said; the model was asked last at ${((at -
		drill.fromWall) / 1000).toFixed(1)} s, for run ${run} by ${process}`);
	drill.model.quiet();
}

// ---- What has become of it --------------------------------------------------

const sum = (list, name) => list.reduce((n, r) => n + r.counts[name], 0);

function spread(times) {
	const t = [...times].sort((x, y) => x - y);
	const at = (p) => (t[Math.min(t.length - 1,
		Math.floor(t.length * p))] ?? 0).toFixed(0);

	return `${at(0.5)}, ${at(0.95)}, ${at(1)}`;
}

function table(drill, resets) {
	const { readers, talks, crew, o } = drill;
	const total = (name) => sum(readers, name).toLocaleString("en");
	const { deltas, live } = shares(readers);
	const kinds = ["ws", "thread", "run"].map((how) =>
		readers.filter((r) => r.how === how).length);
	const rows = [["sockets", `${readers.length} (${kinds[0]} WebSocket, ` +
		`${kinds[1]} SSE of the thread, ${kinds[2]} SSE of the run; ` +
		`${readers.filter((r) => r.late).length} joined late)`],
	["runs", `${talks.length} of ${o.words} words`],
	["cuts", total("cuts")], ["resumed on the same socket", total("resumed")],
	["connections lost, sent away", `${total("lost")}, ${total("refused")}`],
	["kill -9", `${crew.kills.length} of ${crew.all.length} processes`],
	["frames, bytes", `${total("frames")}, ${total("bytes")}`],
	["bytes of text", `${total("live")} as deltas, ${total("partial")} by ` +
		`a snapshot to who joined late, ${total("again")} once more`],
	["by deltas", `${(deltas * 100).toFixed(3)} %`],
	["said live to who was there", `${(live * 100).toFixed(3)} %`],
	["with the end", `${total("tail")} bytes to readers who were there, ` +
		`${total("missed")} to those who came back after it`],
	["resets", `${resets.length} in the log, ${total("resets")} shown`],
	["doubled, out of order", `${total("doubled")}, ${total("disorder")}`],
	["back after a cut: p50, p95, max ms",
		spread(readers.flatMap((r) => r.times.cut))],
	["back after a loss: p50, p95, max ms",
		spread(readers.flatMap((r) => r.times.lost))],
	["the drill itself stood still: max ms",
		(drill.lag.max / 1e6).toFixed(0)]];

	for (const [name, value] of rows)
		drill.tap.note(`${name.padEnd(36)} ${value}`);
}

// Of the bytes that came after joining: by a delta, and not only with the end of
// their message to readers who were there.
function shares(readers) {
	const deltas = sum(readers, "live");
	const lengths = readers.flatMap((r) => [...r.texts.values()])
		.reduce((n, t) => n + t.length - t.partial, 0);

	return { deltas: deltas / lengths,
		live: (deltas - sum(readers, "tail")) / lengths };
}

// A message starts again only if who wrote it was killed since it began.
function wrongResets(drill) {
	const { crew, model, talks } = drill;
	const rows = JSON.parse(ask(crew.all[0].server, "SELECT coalesce(json_agg(" +
		"json_build_array(run_id, type, created_at / 1000, payload::json ->> " +
		"'message_id') ORDER BY seq), '[]') FROM run_events WHERE type IN " +
		"('message_start', 'message_reset')"));
	const begins = new Map(), resets = [];

	for (const [runId, type, at, id] of rows) {
		const from = begins.get(id);
		begins.set(id, at);
		if (type !== "message_reset")
			continue;
		const { n } = talks.find((t) => t.runId === runId);
		const dead = crew.kills.filter((k) => k.at >= from - 1000 &&
			k.at <= at + 1000).map((k) => k.life);
		const writers = model.tries.filter((t) => t.run === n &&
			t.at >= from - 5 && t.at < at).map((t) => t.process);
		resets.push({ n, id, at, from, writers, dead, right: dead.length > 0 &&
			writers.every((w) => dead.includes(w)) });
	}
	return resets;
}

// What is stored is what the model has said in its last try.
async function unlikeModel(drill) {
	const wrong = [];

	for (const talk of drill.talks) {
		const stored = (await messages(drill.crew.all[0], { ...talk,
			token: drill.token })).filter((m) => m.role === "assistant");

		for (let step = 1; step <= talk.steps; step++) {
			const said = drill.model.tries.filter((t) => t.run === talk.n &&
				t.step === step).at(-1);
			const text = stored[step - 1]?.content ?? "";
			if (stored.length !== talk.steps || said?.sha256 !==
				createHash("sha256").update(text).digest("hex"))
				wrong.push(`run ${talk.n}, step ${step}: ` +
					`${Buffer.byteLength(text)} bytes are stored, ` +
					`${said?.bytes} were said`);
		}
	}
	return wrong;
}

// ---- The drill --------------------------------------------------------------

// Readers of a thread: half by WebSocket, the others by one of two streams; one
// in eight, by WebSocket, joins late.
function people(drill) {
	const { o, rand, talks } = drill;

	for (let i = 0; i < o.sockets; i++) {
		const how = i % 2 === 0 ? "ws" : i % 4 === 1 ? "thread" : "run";
		const late = i % 8 === 6 ? 0.1 + rand() * 0.4 : 0;
		const cuts = Array.from({ length: CUTS }, () =>
			late + rand() * (CUT_BY - late)).sort((x, y) => x - y);

		drill.readers.push(new Reader(drill, { name: `socket ${i}`, how, late,
			cuts, talk: talks[Math.floor(i / 2) % talks.length],
			rand: chance(o.seed + 2 + i) }));
	}
}

// What readers tell the drill.
class Drill {
	constructor(o, tap) {
		Object.assign(this, { o, tap, rand: chance(o.seed), readers: [],
			talks: [], lines: [], failures: [], waiting: new Map(),
			from: performance.now(), fromWall: Date.now(), over: false, left: deferred(),
			lag: monitorEventLoopDelay() });
		this.lag.enable();
		this.note = (line) => this.lines.push(JSON.stringify(line));
		this.say = (text) => tap.note(`${((performance.now() - this.from) /
			1000).toFixed(1).padStart(6)} s: ${text}`);
	}

	get nodes() {
		return this.crew.all.slice(0, this.o.serves);
	}

	joined(reader) {
		this.waiting.get(reader)?.resolve();
	}

	failed(reader) {
		this.failures.push(reader);
		this.say(`FAILED ${reader.failure}`);
		if (this.failures.length <= FAILURES)
			reader.lines().forEach((f) => this.tap.note(`    ${f}`));
	}

	finished() {
		if (this.readers.every((r) => r.ended))
			this.left.resolve();
	}
}

async function begin(drill) {
	const { o, readers, rand } = drill;
	const early = readers.filter((r) => r.late === 0 && r.how !== "run");

	early.forEach((r) => drill.waiting.set(r, deferred()));
	drill.reading = readers.map((r) => r.read());
	await Promise.all([...drill.waiting.values()].map((d) => d.promise));
	drill.say(`${early.length} sockets are there`);
	await Promise.all(drill.talks.map(async (t) => {
		await pause(rand() * drill.every);
		await t.send();
	}));
	drill.say(`${o.runs} runs are accepted`);
}

async function withLimit(drill, promise) {
	let timer;
	const late = new Promise((resolve) => {
		timer = setTimeout(() => resolve(false), drill.o.limit * 1000);
	});
	const done = await Promise.race([promise.then(() => true), late]);

	clearTimeout(timer);
	return done;
}

function tellStuck(drill) {
	for (const r of drill.readers.filter((r) => !r.ended && !r.failure)
		.slice(0, FAILURES)) {
		drill.say(`${r.name} (${r.how}, node ${r.node}) waits, run ` +
			`${r.talk.n} ${r.talk.runId}, cursor ${r.cursor}`);
		r.lines().forEach((f) => drill.tap.note(`    ${f}`));
	}
}

async function run(drill) {
	const { o, tap, crew } = drill;

	const first = await crew.hire("serve", 0); // makes the tables
	await Promise.all([...Array(o.serves - 1).keys()].map((i) =>
		crew.hire("serve", i + 1)));
	await Promise.all([...Array(o.workers).keys()].map((i) =>
		crew.hire("worker", i)));
	const s = await scene(first, { model_name: "openai/stub",
		toolkits: ["calculator"] });
	drill.token = s.token;
	for (let n = 0; n < o.runs; n++)
		drill.talks.push(new Talk(drill, n, await newThread(first, s.person,
			s.agent.id)));
	people(drill);
	// All of it happens while answers are written.
	drill.every = o.words * o.ms / (crew.all.length * o.rounds + 4);
	drill.say(`${crew.all.length} processes; seed ${o.seed}`);
	await begin(drill);
	const ended = await withLimit(drill, Promise.all([chaos(drill),
		...drill.reading]));
	drill.over = true;
	drill.say("the readers are done");
	tap.ok(ended, `all readers and all faults came to an end`);
	if (!ended)
		tellStuck(drill);
}

async function judge(drill) {
	const { tap, readers } = drill;
	const resets = wrongResets(drill), wrong = resets.filter((r) => !r.right);
	const { deltas, live } = shares(readers);
	const unlike = await unlikeModel(drill);

	table(drill, resets);
	tap.ok(readers.every((r) => r.ended && !r.failure),
		"each client has what is stored, and saw each event once, in order");
	tap.ok(readers.every((r) => r.cuts.length === 0),
		`each was cut ${CUTS} times`);
	unlike.forEach((line) => tap.note(line));
	tap.ok(unlike.length === 0, "what is stored is what the model has said");
	wrong.forEach((r) => tap.note(`reset of run ${r.n}: ${JSON.stringify(r)}`));
	tap.ok(wrong.length === 0, "messages began again only where who wrote " +
		"them was killed");
	tap.ok(deltas >= SHARE && live >= LIVE, `${SHARE * 100} % of the bytes ` +
		`came as deltas, ${LIVE * 100} % while they were said`);
}

async function main() {
	const argv = process.argv.slice(2);
	const full = argv.indexOf("--full") >= 0;
	const o = options(argv.filter((a) => a !== "--full"), { sockets: 60,
		runs: 12, serves: 2, workers: 2, words: 330, ms: 40, rounds: 1,
		limit: 120, seed: 1 + Math.floor(Math.random() * 1e6),
		...full ? FULL : {} });
	const tap = new Tap();
	const drill = new Drill(o, tap);
	const dir = mkdtempSync(join(tmpdir(), "continuity-"));
	const [postgres, redis, model] = await Promise.all([
		// Its host does not die.
		startPostgres("fsync = off"),
		startRedis(), startModel()]);
	const crew = new Crew(drill, { model, redis, dir });

	// Nothing is left behind.
	const end = async () => {
		await Promise.all(crew.all.map(({ server }) =>
			server.child.exitCode === null &&
			server.child.signalCode === null && server.kill9()));
		model.stop();
		await redis.stop();
		await postgres.stop();
		rmSync(dir, { recursive: true, force: true });
	};

	for (const signal of ["SIGINT", "SIGTERM"])
		process.once(signal, () => end().finally(() => process.exit(1)));
	Object.assign(drill, { postgres, redis, model, crew });
	process.env.TEST_POSTGRES_URL = postgres.url;
	tap.note(`seed ${o.seed}`);
	try {
		ask({ admin: postgres.url, database: "test" },
			`CREATE DATABASE ${DATABASE}`);
		await run(drill);
		await judge(drill);
		const ends = await crew.stop();
		tap.ok(ends.every((e) => e.code === 0), "all processes end in order");
		ends.filter((e) => e.code !== 0).forEach((e) =>
			tap.note(JSON.stringify(e)));
		const client = join(dir, "client.jsonl");
		writeFileSync(client, drill.lines.map((l) => `${l}\n`).join(""));
		const { broken } = await checkRuns(["--db",
			databaseUrl(postgres.url, DATABASE), "--client", client]);
		broken.slice(0, 20).forEach((line) => tap.note(line));
		tap.ok(broken.length === 0, "check_runs finds nothing broken");
	} catch (e) {
		tap.note(e.stack);
		tap.ok(false, "the drill was gone through");
	} finally {
		if (tap.failed > 0)
			for (const { name, server } of crew.all)
				tap.note(`---- ${name}\n${server.log.split("\n").slice(-40)
					.join("\n")}`);
		await end();
	}
	tap.end();
	process.exit();
}

await main();
