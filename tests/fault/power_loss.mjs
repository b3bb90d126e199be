#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
//
// The power fails below a server on SQLite that has people to answer: what it
// had not synced is gone, or half of it is, in any order.  Prints TAP.
//
//   power_loss.mjs [--losses N] [--quick]
//
// The process runs with power_loss_shim.so, which keeps what the disk has; see
// there.  It is killed, its data folder is made anew from that, and the next
// process works on it.  Whatever was acknowledged or shown must be there.
//
// Environment: as matrix.mjs.

import { mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync,
	statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { api, signUp, start } from "../support/server.mjs";
import { until } from "../support/wait.mjs";
import { checked, drill, options, shown } from "./drill.mjs";

const TALKS = 6;
const SAID = 25; // acknowledged before the power fails
const PAGE = 4096;
const SHIM = join(process.env.BUILD_DIR, "tests/fault/.libs/power_loss_shim.so");

// ---- The disk ---------------------------------------------------------------

// As identity() of the shim has it.
function identity(path) {
	const { ino, birthtimeNs } = statSync(path, { bigint: true });

	return `${ino}-${birthtimeNs}`;
}

function files(root) {
	return new Map(readdirSync(root, { recursive: true, withFileTypes: true })
		.filter((e) => e.isFile())
		.map((e) => join(e.parentPath ?? e.path, e.name))
		.map((path) => [path.slice(root.length + 1), identity(path)]));
}

class Disk {
	constructor(root, folder) {
		Object.assign(this, { root: realpathSync(root), folder });
	}

	env(deaf) {
		const asan = process.env.ASAN_OPTIONS;

		return { LD_PRELOAD: SHIM, POWER_LOSS_ROOT: this.root,
			POWER_LOSS_DISK: this.folder,
			// The shim comes before the runtime, and needs nothing of it.
			ASAN_OPTIONS: `${asan ? `${asan}:` : ""}verify_asan_link_order=0`,
			...(deaf ? { POWER_LOSS_DEAF: "1" } : {}) };
	}

	// All that is there has been synced.
	begin() {
		rmSync(this.folder, { recursive: true, force: true });
		mkdirSync(this.folder);
		let log = "";
		for (const [path, file] of files(this.root)) {
			writeFileSync(join(this.folder, file),
				readFileSync(join(this.root, path)));
			log += `F ${file} ${path}\n`;
		}
		writeFileSync(join(this.folder, "log"), log);
	}

	// Which names are durable, and of what.
	names() {
		const names = new Map();
		let dir;

		for (const line of readFileSync(join(this.folder, "log"), "utf8")
			.split("\n")) {
			const [, what, file, rest] = /^(.) ?(\S*) ?(.*)$/.exec(line) ?? [];

			if (what === "F") {
				if (![...names.values()].includes(file))
					names.set(rest, file);
			} else if (what === "D") {
				dir = file;
				for (const path of [...names.keys()])
					if (path.slice(0, Math.max(path.lastIndexOf("/"), 0)) === dir)
						names.delete(path);
			} else if (what === "E")
				names.set(dir ? `${dir}/${rest}` : rest, file);
		}
		return names;
	}

	bytes(file) {
		try {
			return readFileSync(join(this.folder, file));
		} catch {
			return Buffer.alloc(0); // its name is durable, it is not
		}
	}

	// The folder becomes what the disk has.  coin: does this part of what was
	// not synced happen to be there?
	lose(coin) {
		const live = files(this.root), names = this.names();
		const seen = new Map([...live].map(([path, file]) =>
			[file, readFileSync(join(this.root, path))]));

		for (const path of new Set([...live.keys(), ...names.keys()])) {
			const file = live.get(path) !== names.get(path) && coin()
				? live.get(path) : names.get(path);

			rmSync(join(this.root, path), { force: true });
			// Shared memory is no file that survives.
			if (file && !path.endsWith("-shm"))
				writeFileSync(join(this.root, path),
					mixed(this.bytes(file), seen.get(file), coin),
					{ mode: 0o600 });
		}
	}
}

// Page by page the durable bytes, or what was written since.
function mixed(durable, live, coin) {
	if (!live)
		return durable;
	const pages = [];

	for (let at = 0; at < Math.max(durable.length, live.length); at += PAGE) {
		const old = durable.subarray(at, at + PAGE);
		const now = live.subarray(at, at + PAGE);

		pages.push(!old.equals(now) && coin() ? now : old);
	}
	while (pages.length > 0 && pages.at(-1).length === 0)
		pages.pop();
	return Buffer.concat(pages.map((p, i) => i === pages.length - 1 ||
		p.length === PAGE ? p : Buffer.concat([p], PAGE)));
}

// 0: nothing unsynced survives; else about half of it, by the seed.
function coins(seed) {
	let x = seed;

	return () => {
		x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
		return seed !== 0 && x >>> 31 === 1;
	};
}

// ---- People -----------------------------------------------------------------

// Says one thing after another until there is no answer; that is said again
// the next time.
async function converse(talk, server, load) {
	while (!load.over) {
		const key = talk.unsure ?? `${talk.thread} ${load.n++}`;
		const answer = await talk.say(server, talk.n++ % 3 === 0
			? "only pay" : "only talk", key);

		talk.unsure = answer === null ? key : undefined;
		if (answer === null)
			return;
		if (answer.status === 202)
			load.said();
		await Promise.race([talk.rest(answer.body.run?.id), load.gone])
			.catch(() => {});
	}
}

async function speak(story, server, load) {
	let enough;
	const full = new Promise((resolve) => {
		enough = resolve;
	});
	let n = 0;

	load.over = false;
	load.gone = new Promise((resolve) => {
		load.end = resolve;
	});
	load.said = () => {
		if (++n === SAID)
			enough();
	};
	const all = story.talks.map(async (talk) => {
		await talk.read(server);
		await converse(talk, server, load);
	});
	await Promise.race([full, Promise.all(all)]);
	return { n, end: async () => {
		load.over = true;
		load.end();
		story.talks.forEach((talk) => talk.leave());
		await Promise.allSettled(all);
	} };
}

// ---- The drill --------------------------------------------------------------

async function failing(story, tap, { losses }) {
	const disk = new Disk(story.data, `${story.data}.disk`);
	const load = { n: 0 };
	let server, dark;

	for (let seed = 0; seed < losses; seed++) {
		disk.begin();
		server = await story.start({ env: disk.env(false) });
		if (dark)
			story.fault(dark);
		while (story.talks.length < TALKS)
			await story.talk(server);
		story.talks.forEach((talk) => {
			talk.n ??= 0;
		});
		const words = await speak(story, server, load);
		dark = story.nowUs();
		await server.kill9();
		await words.end();
		disk.lose(coins(seed));
		tap.note(`the power fails after ${words.n} messages, seed ${seed}`);
	}
	server = await story.start();
	story.fault(dark);
	await Promise.all(story.talks.map((talk) => talk.read(server)));
	await until("the end of all runs", async () => {
		const { body } = await api(server, "GET", "/api/runs?limit=200",
			{ token: story.token });
		return body.items.every((r) =>
			!["queued", "running", "cancelling", "waiting_timer"]
				.includes(r.status));
	});
	await shown(story, server);
	tap.ok((await server.stop()).code === 0, "the last server ends in order");
	await checked(story, tap);
}

// Its first minute: the folder was empty.
async function fresh(tap) {
	const data = realpathSync(mkdtempSync(join(tmpdir(), "agent-studio-")));
	const disk = new Disk(data, `${data}.disk`);

	try {
		disk.begin();
		const first = await start({ data, env: disk.env(false) });
		const person = await signUp(first);
		await first.kill9();
		disk.lose(coins(0));
		const second = await start({ data });
		const { status } = await api(second, "GET", "/api/auth/me",
			{ token: person.token });
		tap.ok(status === 200, "who has just signed up is known, and signed in");
		await second.stop();
	} finally {
		rmSync(data, { recursive: true, force: true });
		rmSync(disk.folder, { recursive: true, force: true });
	}
}

// The test of the test: a disk that does nothing when asked to sync.
async function deaf(story, tap) {
	const disk = new Disk(story.data, `${story.data}.disk`);

	disk.begin();
	const server = await story.start({ env: disk.env(true) });
	await story.read(server);
	await story.say(server, "only talk", "lost");
	await story.rest();
	await server.kill9();
	story.leave();
	disk.lose(coins(0));
	const { broken } = await story.check();
	tap.ok(broken.length > 0, "what a disk loses is noticed");
}

const o = options(process.argv.slice(2), { losses: 0, quick: false });

await drill("sqlite", {}, async (story, tap) => {
	await failing(story, tap, { losses: o.losses || (o.quick ? 2 : 6) });
	await fresh(tap);
	await deaf(await story.world.story("deaf"), tap);
});
