#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
//
// A primary and its synchronous standby below a server and a worker that have
// people to answer.  Prints TAP, and for each failover how long nobody was
// answered.
//
//   failover.mjs [--rounds N] [--quick]
//
// First the primary falls silent as behind a cable that was cut: connections
// stay open, and nothing comes back.  It is killed there, its standby promoted.
// Then the old primary comes back and knows of nothing, while the new one
// restarts: nobody may turn to it.  Then it becomes the new one's standby, which
// is killed in its turn.  --quick leaves the last one out; --rounds N repeats it,
// to and fro.
//
// Environment: as matrix.mjs, but the PostgreSQLs are its own.

import { startPostgres } from "../support/postgres.mjs";
import { startCable } from "../support/cable.mjs";
import { pause, until } from "../support/wait.mjs";
import { checked, drill, options, shown } from "./drill.mjs";
import { beginLoad, TALKS } from "./load.mjs";

const WARM_MS = 2000;
const BACK_MS = 60000; // after a failover, until everybody was answered
const END_MS = 60000;
const AWAY_S = 2;
const TEXTS = ["only talk", "only pay", "only put", "only book", "only read"];
// A lease that no failover outlasts: new epochs come from the new timeline.
const SET = ["worker.lease=30s", "worker.beat=500ms", "worker.poll=250ms",
	"store.timeout=2s"];

const count = (text, pattern) => (text.match(pattern) ?? []).length;

// Its commits wait for the standby from now on.
const synchronous = (sql, how) => sql("ALTER SYSTEM SET " +
	"synchronous_standby_names = '*'").then(() => sql("ALTER SYSTEM SET " +
	`synchronous_commit = ${how}`)).then(() => sql("SELECT pg_reload_conf()"));

async function wait(load, ms) {
	for (const end = performance.now() + ms; performance.now() < end;) {
		if (load.failed)
			throw load.failed;
		await pause(50);
	}
}

// Everybody has been answered since then.
async function answered(load, from) {
	await until("answers", () => {
		if (load.failed)
			throw load.failed;
		return load.ends.filter((t) => t > from).length >= TALKS;
	}, BACK_MS);
	return load.ends.find((t) => t > from) - from;
}

const epochs = (servers) => servers.map((s) =>
	count(s.log, /goes on as node epoch/g));

async function failover(world, tap, { load, servers, from, to, title, cut }) {
	const before = epochs(servers), at = performance.now();

	cut?.();
	await from.kill();
	await to.promote();
	const promoted = performance.now();

	world.admin = to.url;
	const first = await answered(load, promoted);
	tap.note(`${title}: promoted after ${((promoted - at) / 1000).toFixed(1)} ` +
		`s, answers ${(first / 1000).toFixed(1)} s later`);
	await until("new epochs", () => epochs(servers)
		.every((n, i) => n > before[i]), BACK_MS);
	tap.ok(servers.every((s) => s.log.includes("the database was promoted")),
		`${title}: each process takes a new epoch`);
}

// The old primary is back with all its tables, and takes writes from anybody.
// A process that starts meanwhile meets it first.
async function stale(world, tap, { load, servers, a, b, cable, begin }) {
	const database = servers[0].database;
	const head = "SELECT coalesce(max(seq), 0) || '/' || " +
		"(SELECT max(node_epoch) FROM nodes) FROM run_log";

	await a.again();
	cable.go();
	world.admin = a.url;
	const before = (await world.sql(head, database)).stdout;
	servers.push(await begin());
	const at = performance.now();
	await b.restart("fast", AWAY_S);
	world.admin = b.url;
	await answered(load, at + AWAY_S * 1000);
	world.admin = a.url;
	const after = (await world.sql(head, database)).stdout;
	world.admin = b.url;
	tap.ok(servers.every((s) => s.log.includes("former primary")),
		"a former primary that takes writes is found out");
	tap.ok(before === after, "nothing is written to it");
	await a.kill();
}

async function run(story, tap, { a, b, cable, rounds, quick }) {
	const { world } = story;
	const env = { PGTARGETSESSIONATTRS: undefined };
	const server = await story.start({ set: SET, env });
	const worker = await story.startWorker(server, { set: SET, env });
	const servers = [server, worker];
	const load = await beginLoad(story, server, TEXTS);
	const ready = async () =>
		(await (await fetch(`${server.url}/readyz`)).json()).checks;

	await wait(load, WARM_MS);
	tap.ok((await ready()).standby === "ok", "/readyz knows of the standby");
	await failover(world, tap, { load, servers, from: a, to: b,
		title: "cut off", cut: () => cable.silence() });
	await stale(world, tap, { load, servers, a, b, cable,
		begin: () => story.startWorker(server, { set: SET, env }) });
	await until("/readyz to know of no standby",
		async () => (await ready()).standby === "none", BACK_MS);
	for (let i = 0; i < (quick ? 0 : rounds); i++) {
		const [from, to] = i % 2 === 0 ? [b, a] : [a, b];

		await from.follow({ dir: to.dir });
		await synchronous((text) => world.sql(text), "remote_write");
		await wait(load, WARM_MS);
		await failover(world, tap, { load, servers, from, to,
			title: `killed ${i + 1}` });
	}
	load.enough = true;
	await load.all;
	await until("the end of all runs", () => story.isQuiet(), END_MS);
	await shown(story, server);
	load.leave();
	await Promise.all(load.readers);
	tap.note(`${load.ends.length} runs: ${[...load.states]
		.map(([state, n]) => `${n} ${state}`).join(", ")}; ` +
		`${load.repeated} requests were repeated, ${load.sockets - TALKS} ` +
		"readers came back");
	tap.ok(load.states.get("succeeded") === load.ends.length,
		"no run failed because of it");
	for (const s of servers)
		tap.ok(s.child.exitCode === null && (await s.stop()).code === 0,
			"a process lived through it, and ends in order");
	await checked(story, tap);
}

const o = options(process.argv.slice(2), { rounds: 1, quick: false });
const clusters = [await startPostgres("fsync = off")];
clusters.push(await clusters[0].follow());
const [a, b] = clusters;
const cable = await startCable(`${a.dir}/.s.PGSQL.5432`);
const stop = async () => {
	await cable.stop();
	await Promise.all(clusters.map((c) => c.stop()));
};

process.env.PGTARGETSESSIONATTRS = "read-write";
process.env.TEST_POSTGRES_URL = "postgresql:///test?user=test&" +
	`host=127.0.0.1,${b.dir}&port=${cable.port},5432`;
for (const signal of ["SIGINT", "SIGTERM"])
	process.once(signal, () => stop().finally(() => process.exit(1)));
try {
	await drill("postgres", {}, async (story, tap) => {
		await synchronous((text) => story.world.sql(text), "on");
		await run(story, tap, { a, b, cable, ...o });
	});
} finally {
	await stop();
}
// After a failure there may be people who still insist.
process.exit();
