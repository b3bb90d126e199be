#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
//
// A worker that is stopped for three of its leases while it holds runs, and
// then goes on: it is a zombie, which does not know that its runs are another's.
// Prints TAP, and what became of what the zombie still had in its hands.
//
//   zombies.mjs [--runs N] [--quick]      20 runs, or 10
//
// A zombie has no time to be asked for its counters, so its log is counted: the
// line of each that goes with run_writes_refused_total and
// tool_late_results_total.  Each run makes one call of each effect class, which the witness answers after
// up to a second, so that the stop meets calls in every state: not begun, on
// their way, answered and not read, and recorded.
//
// Environment: as matrix.mjs; it needs TEST_POSTGRES_URL.

import { pause, until, within } from "../support/wait.mjs";
import { checked, counters, drill, options, shown } from "./drill.mjs";
import { TOOLS } from "./world.mjs";

const LEASE_MS = 2000;
const SETTINGS = [`worker.lease=${LEASE_MS}ms`, "worker.beat=250ms",
	"server.sockets_per_user=1000"];
const DELAY_MS = 1000; // at most, of a call
const END_MS = 60000;

const count = (text, pattern) => (text.match(pattern) ?? []).length;

// Each tool is as slow as any other, in another order each.
function slowDown(story, runs) {
	const modes = [];

	for (const [t, tool] of TOOLS.entries())
		for (let i = 0; i < runs; i++)
			modes.push(story.mode({ tool, mode: "delay",
				ms: ((i + t) * 7 % runs) * DELAY_MS / runs }));
	return Promise.all(modes);
}

const held = async (story, epoch) => (await story.ask("SELECT id FROM runs " +
	`WHERE owner_epoch = ${epoch} AND status = 'running'`)).split("\n")
	.filter(Boolean);

// Runs that wait for somebody, and why.
const parked = async (story) => (await story.ask("SELECT r.id, " +
	"string_agg(i.effect || ' ' || i.state, ', ') FROM runs r LEFT JOIN " +
	"tool_invocations i ON i.run_id = r.id AND i.state <> 'succeeded' " +
	"WHERE r.status NOT IN ('succeeded', 'queued', 'running') " +
	"GROUP BY r.id")).split("\n").filter(Boolean);

async function begin(story, server, runs) {
	const talks = [story];

	while (talks.length < runs)
		talks.push(await story.talk(server));
	await Promise.all(talks.map((talk) => talk.read(server)));
	await slowDown(story, runs);
	await Promise.all(talks.map((talk, i) =>
		talk.say(server, `do it all ${i}`, `key ${i}`)));
	return talks;
}

// Stops it while it holds calls that are under way; the runs it held.
async function bury(story, worker) {
	const n = Math.max(2, Math.floor(await until("a claim", async () =>
		(await held(story, worker.epoch)).length) / 2));

	await within(END_MS, fetch(`${story.world.witness.url}/${story.name}/` +
		`_until?tool=send&what=answer&n=${n}`), "answers");
	worker.child.kill("SIGSTOP");
	return held(story, worker.epoch);
}

async function awake(worker) {
	worker.child.kill("SIGCONT");
	const { code, signal } = await within(END_MS, worker.exited,
		"the end of the zombie");
	return signal === null && code !== 0;
}

function tell(tap, { runs, held, worker, figures, late }) {
	const stale = count(worker.log, /commit of step \d+ given up/g);

	tap.ok(stale > 0 && late > 0, "it tried to go on, and what it knew helped");
	tap.note(`runs: ${runs}, taken over from the zombie: ${held}, begun ` +
		`again in all: ${figures.recoveries}`);
	tap.note(`stale commits rejected: ${stale}`);
	tap.note(`late results accepted: ${late}, refused: ` +
		`${count(worker.log, /a late result of \S+ was refused/g)}`);
	for (const k of ["P", "N", "K", "V", "U"])
		tap.note(`class ${k}: ${figures[k].calls} calls, sent again ` +
			`${figures[k].resends}, unknown ${figures[k].unknown}, ` +
			`effects twice ${figures[k].duplicates}`);
}

async function run(story, tap, { runs }) {
	const set = [...SETTINGS, `worker.slots=${Math.max(2, runs / 2 | 0)}`];
	const server = await story.start({ set: [...set, "worker.embedded=false"] });
	const zombie = await story.startWorker(server, { set });
	const other = await story.startWorker(server, { set });

	await begin(story, server, runs);
	const mine = await bury(story, zombie), from = story.nowUs();
	tap.ok(mine.length > 0, `a worker is stopped with ${mine.length} runs`);
	await pause(3 * LEASE_MS); // that is the fault
	tap.ok((await held(story, zombie.epoch)).length === 0,
		"its runs are another's after three leases");
	tap.ok(await awake(zombie), "it ends when it finds that out");
	await until("the end of all runs", () => story.isQuiet(), END_MS);
	story.fault(from);
	await shown(story, server);

	const waiting = await parked(story);
	waiting.forEach((line) => tap.note(`parked: ${line}`));
	tap.ok(waiting.every((line) => /\|U unknown(, U unknown)*$/.test(line)),
		`${waiting.length} runs wait, each for a call of class U`);
	const late = Number(await story.ask("SELECT count(*) FROM " +
		"tool_invocations WHERE resolution = 'late'"));
	for (const [name, value] of await counters(server))
		if (/refused|late_results/.test(name))
			tap.note(`the server: ${name} ${value}`);
	for (const s of [other, server])
		tap.ok((await s.stop()).code === 0, "the others end in order");

	const figures = await checked(story, tap);
	tap.ok(figures.recoveries >= mine.length,
		"each run of the zombie was taken over");
	tap.ok(["N", "K", "V", "U"].every((k) => figures[k].duplicates === 0),
		"no effect happened twice");
	tell(tap, { runs, held: mine.length, worker: zombie, figures, late });
}

const o = options(process.argv.slice(2), { runs: 20, quick: false });
if (o.quick)
	o.runs = 10;
await drill("postgres", {}, (story, tap) => run(story, tap, o));
