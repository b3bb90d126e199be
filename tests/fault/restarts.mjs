#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
//
// The database restarts again and again below a server and a worker that have
// people to answer.  The first time it is away for longer than a lease.  Prints
// TAP, and for each restart how long the database was away and when as many runs
// ended again as before.
//
//   restarts.mjs [--minutes N] [--quick]
//
// Without --minutes the restarts come every 3 to 6 s for about 25 s, and the
// rate has ten times the time to come back; with it every 5 to 40 s, and it has
// to be back after 30 s.  They are fast and immediate in turn; the latter is
// what a crash is.
//
// Environment: as matrix.mjs, but the PostgreSQL is one of its own.

import { startPostgres } from "../support/postgres.mjs";
import { pause, until } from "../support/wait.mjs";
import { checked, drill, median, options, shown } from "./drill.mjs";
import { beginLoad, TALKS } from "./load.mjs";

const BACK_MS = 30000;
const BACK_SHARE = 0.95;
const BUCKET_MS = 1000;
const WARM_MS = 2000; // not counted
const LEASE_S = 8;
const OUTAGE_S = LEASE_S + 4;
const END_MS = 60000;

// ---- Rates ------------------------------------------------------------------

// Runs that ended in each whole second of a time.
function buckets(load, from, to) {
	const list = [];

	for (let at = from; at + BUCKET_MS <= to; at += BUCKET_MS)
		list.push(load.ends.filter((t) => t >= at && t < at + BUCKET_MS)
			.length);
	return list;
}

// Whole seconds in which no restart was felt.
function quietRate(load, restarts) {
	const quiet = [];
	let from = load.from + WARM_MS;

	for (const r of [...restarts, { at: performance.now() }]) {
		quiet.push(...buckets(load, from, r.at));
		from = r.backAt ?? Infinity;
	}
	return median(quiet);
}

// The first whole second since the restart that is as good as before.
function lookBack(load, r) {
	const n = buckets(load, r.at, performance.now())
		.findIndex((rate) => rate >= BACK_SHARE * r.rate);

	if (n >= 0)
		r.backAt = r.at + (n + 1) * BUCKET_MS;
	return n >= 0;
}

function tellRestart(tap, r, load) {
	tap.note(`${((r.at - load.from) / 1000).toFixed(1).padStart(6)} s: ` +
		`${r.mode.padEnd(9)} away ${(r.away / 1000).toFixed(1)} s, ` +
		`${r.rate} runs/s before, back ${r.backAt
			? `within ${((r.backAt - r.at) / 1000).toFixed(0)} s` : "never"}`);
}

// Everybody has said something, and gone again.
async function warmUp(story, server) {
	while (story.talks.length < TALKS)
		await story.talk(server);
	await Promise.all(story.talks.map(async (talk) => {
		await talk.read(server);
		await talk.say(server, "only talk", `${talk.thread} first`);
		await talk.rest();
		talk.leave();
	}));
}

const usOf = (at) => Math.round((performance.timeOrigin + at) * 1000);

// ---- The drill --------------------------------------------------------------

async function restart(postgres, load, restarts) {
	const r = { mode: restarts.length % 2 === 0 ? "immediate" : "fast",
		rate: quietRate(load, restarts), at: performance.now() };

	await postgres.restart(r.mode, restarts.length === 0 ? OUTAGE_S : 0);
	r.away = performance.now() - r.at;
	restarts.push(r);
}

async function between(ms, load, restarts) {
	for (const end = performance.now() + ms; performance.now() < end;) {
		if (load.failed)
			throw load.failed;
		await pause(BUCKET_MS / 10);
		restarts.filter((r) => !r.backAt).forEach((r) => lookBack(load, r));
	}
}

async function run(story, tap, postgres, { total, least, most, bound }) {
	const how = { set: [`worker.lease=${LEASE_S}s`, "worker.beat=1s",
		"worker.poll=250ms"],
	// What the sanitizer keeps back is nothing that the process keeps.
	env: { ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ""}:` +
		"quarantine_size_mb=4" } };
	const server = await story.start(how);
	const worker = await story.startWorker(server, how);

	await warmUp(story, server);
	await story.weigh(server, "server", "before");
	await story.weigh(worker, "worker", "before");
	const load = await beginLoad(story, server);
	const restarts = [];

	await between(WARM_MS + 4000, load, restarts);
	await restart(postgres, load, restarts);
	const from = performance.now();
	while (performance.now() - from < total) {
		await between(least + Math.random() * (most - least), load, restarts);
		await restart(postgres, load, restarts);
	}
	while (restarts.some((r) => !r.backAt &&
		performance.now() - r.at < bound))
		await between(BUCKET_MS, load, restarts);
	load.enough = true;
	await load.all;
	await until("the end of all runs", () => story.isQuiet(), END_MS);
	await shown(story, server);
	load.leave();
	await Promise.all(load.readers);
	story.talks.forEach((talk) => talk.leave());
	for (const r of restarts)
		story.fault(usOf(r.at), usOf(r.backAt ?? performance.now()));
	for (const [name, s] of Object.entries({ server, worker })) {
		const now = await story.weigh(s, name, "after");
		tap.note(`the ${name}: ${now.files} files, ${now.kb} kB; ` +
			`${now.connections} connections to the database in all`);
	}

	restarts.forEach((r) => tellRestart(tap, r, load));
	tap.note(`runs/s: ${buckets(load, load.from, performance.now())
		.join(" ")}`);
	tap.note(`${load.ends.length} runs: ${[...load.states]
		.map(([state, n]) => `${n} ${state}`).join(", ")}; ` +
		`${load.repeated} requests were repeated, ${load.sockets - TALKS} ` +
		"readers came back");
	tap.ok(restarts.length > 1, `${restarts.length} restarts`);
	tap.ok(load.states.get("succeeded") === load.ends.length,
		"no run failed because the database was away");
	tap.ok(restarts.every((r) => r.rate > 0 && r.backAt - r.at <= bound),
		`after each as many runs end as before, within ${bound / 1000} s`);
	for (const s of [worker, server]) {
		tap.ok(/goes on as node epoch \d+/.test(s.log),
			"a process took a new epoch when its lease had run out");
		tap.ok(s.child.exitCode === null && (await s.stop()).code === 0,
			"a process lived through it, and ends in order");
	}
	await checked(story, tap);
}

const o = options(process.argv.slice(2), { minutes: 0, quick: false });
const plan = o.minutes > 0
	? { total: o.minutes * 60000, least: 5000, most: 40000, bound: BACK_MS }
	: { total: o.quick ? 15000 : 25000, least: 3000, most: 6000,
		bound: 10 * BACK_MS };
const postgres = await startPostgres();

process.env.TEST_POSTGRES_URL = postgres.url;
for (const signal of ["SIGINT", "SIGTERM"])
	process.once(signal, () => postgres.stop().finally(() => process.exit(1)));
try {
	await drill("postgres", {}, (story, tap) => run(story, tap, postgres, plan));
} finally {
	await postgres.stop();
}
// After a failure there may be people who still insist.
process.exit();
