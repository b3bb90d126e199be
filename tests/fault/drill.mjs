// SPDX-License-Identifier: Apache-2.0
//
// What the drills have in common: TAP, a story without the rest of a matrix,
// and figures.
//
//   await drill("postgres", {}, async (story, tap) => { ... });
//
// makes a world and one story in it, ends both, and prints the plan.  A drill
// that throws has failed.  tap.ok(good, text) is a point, tap.note(text) a line
// that is none.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { api } from "../support/server.mjs";
import { until } from "../support/wait.mjs";
import { World } from "./world.mjs";

export class Tap {
	constructor() {
		this.n = 0;
		this.failed = 0;
	}

	ok(good, text) {
		this.failed += good ? 0 : 1;
		process.stdout.write(`${good ? "ok" : "not ok"} ${++this.n} - ` +
			`${text}\n`);
		return good;
	}

	note(text) {
		process.stdout.write(`# ${String(text).replaceAll("\n", "\n# ")}\n`);
	}

	end() {
		process.stdout.write(`1..${this.n}\n`);
		process.exitCode = this.failed === 0 && this.n > 0 ? 0 : 1;
	}
}

// {name: default}; a default that is false is a switch, a number wants one.
export function options(argv, defaults) {
	const o = { ...defaults };

	for (let i = 0; i < argv.length; i++) {
		const name = argv[i].replace(/^--/, "");

		if (!argv[i].startsWith("--") || !Object.hasOwn(defaults, name))
			throw new Error(`unknown argument '${argv[i]}'`);
		if (defaults[name] === false)
			o[name] = true;
		else if (!((o[name] = Number(argv[++i])) > 0))
			throw new Error(`${name}: expected a number`);
	}
	return o;
}

export async function drill(store, world, fn) {
	const tap = new Tap();
	const dir = mkdtempSync(join(tmpdir(), "drill-"));
	let all, story;

	try {
		all = await World.create({ dir, store, ...world });
		story = await all.story("drill");
		await fn(story, tap);
	} catch (e) {
		tap.note(e.stack);
		for (const s of story?.servers ?? [])
			tap.note(s.log.split("\n").slice(-40).join("\n"));
		tap.ok(false, "the drill was gone through");
	} finally {
		await all?.end();
		rmSync(dir, { recursive: true, force: true });
	}
	tap.end();
}

// The story's database, witness and clients, when its processes are done.
export async function checked(story, tap) {
	const { broken, figures } = await story.check();

	broken.forEach((line) => tap.note(line));
	tap.ok(broken.length === 0, "check_runs finds nothing broken");
	return figures;
}

// Until those who read have been shown all there is.
export async function shown(story, server) {
	for (const talk of story.talks.filter((t) => t.reader))
		await until("the end of a log", async () => {
			const { body } = await api(server, "GET", "/api/chat/sessions/" +
				`${talk.thread}/events?limit=1`, { token: talk.token });
			return talk.cursor === body.head;
		});
}

// Counters of a process by name and labels, from the text of /metrics.
export async function counters(server) {
	const text = await (await fetch(`${server.url}/metrics`)).text();

	return new Map(text.split("\n").filter((l) => l && !l.startsWith("#"))
		.map((l) => [l.slice(0, l.lastIndexOf(" ")),
			Number(l.slice(l.lastIndexOf(" ") + 1))]));
}

export function median(list) {
	const sorted = [...list].sort((a, b) => a - b);

	return sorted.length === 0 ? 0 : sorted[Math.floor(sorted.length / 2)];
}
