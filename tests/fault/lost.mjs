#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
//
// A standby that is not synchronous takes over without the last commits, below a
// server and a worker that have people to answer.  Messages and runs are gone of
// which people were told; nothing that is left may contradict itself, everybody
// is answered again, and whoever watches ends up with what there is.  Prints TAP.
//
//   lost.mjs
//
// Environment: as matrix.mjs, but the PostgreSQLs are its own.

import { messages } from "../support/chat.mjs";
import { startCable } from "../support/cable.mjs";
import { startPostgres } from "../support/postgres.mjs";
import { api } from "../support/server.mjs";
import { pause, until } from "../support/wait.mjs";
import { connect } from "../support/ws.mjs";
import { checked, drill } from "./drill.mjs";

const TALKS = 4;
const WARM_RUNS = 3; // of each talk, that the standby has
const LOST_RUNS = 2; // and that it has not
const BACK_MS = 60000;
const AGAIN_MS = 100;
const SET = ["worker.lease=30s", "worker.beat=500ms", "worker.poll=250ms",
	"store.timeout=2s"];

// Who says something, waits for the answer, and says the next thing.
class Speaker {
	constructor(talk, server) {
		Object.assign(this, { talk, server, ended: 0, lost: 0, said: 0 });
		this.token = talk.token;
	}

	ask(method, path, options = {}) {
		return api(this.server, method, path, { token: this.token, ...options })
			.catch(() => ({ status: 0 }));
	}

	// Accepted under one key, or the key is given up: what it began is gone.
	async say() {
		const body = { content: `only talk ${this.said}`,
			client_message_id: `message ${this.said++}` };

		for (;;) {
			const answer = await this.ask("POST",
				`/api/chat/sessions/${this.talk.thread}`, { body });

			if (answer.status >= 200 && answer.status < 300)
				return answer.body.run.id;
			if (answer.status >= 400 && answer.status < 429)
				throw new Error(JSON.stringify(answer.body));
			await pause(AGAIN_MS);
		}
	}

	async rest(id) {
		for (;; await pause(AGAIN_MS)) {
			const { status, body } = await this.ask("GET", `/api/runs/${id}`);

			if (status === 404)
				return "lost";
			if (status === 200 && body.completed_at)
				return body.status;
		}
	}

	async speak() {
		while (!this.enough) {
			const state = await this.rest(await this.say());

			this.lost += state === "lost" ? 1 : 0;
			this.ended += state === "succeeded" ? 1 : 0;
			if (!["lost", "succeeded"].includes(state))
				throw new Error(`a run ended as ${state}`);
		}
	}
}

// Who watches a thread: the messages as a page would show them.
class Viewer {
	constructor(talk, server) {
		Object.assign(this, { talk, server, shown: new Map(), snapshots: 0,
			sockets: 0 });
	}

	see(frame) {
		if (frame.type === "snapshot") {
			this.snapshots++;
			this.cursor = frame.snapshot_seq;
			this.shown = new Map(frame.messages.map((m) => [m.id, m.content]));
		}
		if (!(frame.seq > this.cursor))
			return;
		this.cursor = frame.seq;
		if (frame.type === "message_created")
			this.shown.set(frame.message.id, frame.message.content);
	}

	async watch() {
		while (!this.over) {
			try {
				const socket = await connect(this.server, this.talk.thread,
					{ token: this.talk.token, after: this.cursor });

				this.sockets++;
				this.socket = socket;
				socket.frames.forEach((f) => this.see(f));
				socket.ws.on("message", (data) =>
					this.see(JSON.parse(data.toString())));
				await socket.closed;
			} catch {
				await pause(AGAIN_MS);
			}
		}
	}

	leave() {
		this.over = true;
		this.socket?.ws.terminate();
	}

	async isTrue() {
		const stored = await messages(this.server,
			{ thread: { id: this.talk.thread }, token: this.talk.token });

		return stored.length === this.shown.size &&
			stored.every((m) => this.shown.get(m.id) === m.content);
	}
}

const sum = (list, name) => list.reduce((n, one) => n + one[name], 0);

// The standby hears of its primary by a cable from now on.
async function hang(world, a, b, cable) {
	world.admin = b.url;
	await world.sql("ALTER SYSTEM SET primary_conninfo = " +
		`'host=127.0.0.1 port=${cable.port} user=test'`);
	await world.sql("SELECT pg_reload_conf()");
	await until("the standby to be on the cable", async () =>
		(await world.sql("SELECT sender_host FROM pg_stat_wal_receiver " +
			"WHERE status = 'streaming'")).stdout.includes("127.0.0.1"));
	world.admin = a.url;
}

async function run(story, tap, { a, b, cable }) {
	const { world } = story;
	const server = await story.start({ set: SET });
	const worker = await story.startWorker(server, { set: SET });
	const servers = [server, worker];

	await hang(world, a, b, cable);
	while (story.talks.length <= TALKS)
		await story.talk(server);
	const talks = story.talks.slice(1);
	const viewers = talks.map((talk) => new Viewer(talk, server));
	const speakers = talks.map((talk) => new Speaker(talk, server));
	const watching = viewers.map((v) => v.watch());
	const speaking = Promise.all(speakers.map((s) => s.speak()));
	const each = (n) => Promise.race([speaking, until(`${n} more answers`, () =>
		speakers.every((s) => s.ended + s.lost >= s.mark + n), BACK_MS)]);
	const mark = () => speakers.forEach((s) => {
		s.mark = s.ended + s.lost;
	});

	mark();
	await each(WARM_RUNS);
	cable.silence();
	mark();
	await each(LOST_RUNS);
	const before = viewers.map((v) => v.snapshots);
	await a.kill();
	await b.promote();
	world.admin = b.url;
	mark();
	await each(WARM_RUNS);
	for (const s of speakers)
		s.enough = true;
	await speaking;
	await until("the end of all runs", () => story.isQuiet(), BACK_MS);
	tap.ok(servers.every((s) => s.log.includes("the database was promoted")),
		"each process takes a new epoch");

	const there = Number(await story.ask("SELECT count(*) FROM runs"));
	const gone = sum(speakers, "said") - there;
	tap.note(`${there} runs, ${gone} are gone, ${sum(speakers, "lost")} of them ` +
		`while they were waited for; ${viewers.filter((v, i) =>
			v.snapshots > before[i]).length} of ${TALKS} viewers got a new ` +
		`snapshot; ${sum(viewers, "sockets") - TALKS} sockets were opened anew`);
	tap.ok(gone >= TALKS * LOST_RUNS, "commits are gone that were answered");
	const right = async () => (await Promise.all(viewers.map((v) =>
		v.isTrue()))).filter(Boolean).length;
	await until("all viewers to have what there is",
		async () => await right() === TALKS, BACK_MS).catch(async () =>
		tap.note(`${await right()} of ${TALKS} viewers have what there is`));
	tap.ok(await right() === TALKS, "who watches has what there is");
	viewers.forEach((v) => v.leave());
	await Promise.all(watching);
	for (const s of servers)
		tap.ok(s.child.exitCode === null && (await s.stop()).code === 0,
			"a process lived through it, and ends in order");
	await checked(story, tap);
}

const a = await startPostgres("fsync = off");
const b = await a.follow();
const cable = await startCable(`${a.dir}/.s.PGSQL.5432`);
const stop = async () => {
	await cable.stop();
	await Promise.all([a.stop(), b.stop()]);
};

process.env.TEST_POSTGRES_URL = "postgresql:///test?user=test&" +
	`host=${a.dir},${b.dir}`;
for (const signal of ["SIGINT", "SIGTERM"])
	process.once(signal, () => stop().finally(() => process.exit(1)));
try {
	await drill("postgres", {}, (story, tap) => run(story, tap, { a, b, cable }));
} finally {
	await stop();
}
process.exit();
