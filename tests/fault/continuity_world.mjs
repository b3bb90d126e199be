// SPDX-License-Identifier: Apache-2.0
//
// What the continuity drill is made of: chance that can be had again, the
// processes and the model, and the talks whose answers are read.

import { fork } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";

import { api, start, startWorker } from "../support/server.mjs";
import { pause } from "../support/wait.mjs";

export const DATABASE = "continuity";
const WORD = 31; // bytes of one, about

// Chance that can be had again (mulberry32).
export function chance(seed) {
	let a = seed >>> 0;

	return () => {
		a = (a + 0x6d2b79f5) >>> 0;
		let t = Math.imul(a ^ (a >>> 15), a | 1);
		t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
		return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
	};
}

export function shuffled(list, rand) {
	const out = [...list];

	for (let i = out.length - 1; i > 0; i--) {
		const j = Math.floor(rand() * (i + 1));
		[out[i], out[j]] = [out[j], out[i]];
	}
	return out;
}

export function deferred() {
	const d = {};

	d.promise = new Promise((resolve) => {
		d.resolve = resolve;
	});
	return d;
}

// ---- Processes --------------------------------------------------------------

export async function startModel() {
	const child = fork(new URL("continuity_model.mjs", import.meta.url));
	const model = { tries: [] };

	model.url = await new Promise((resolve, reject) => {
		child.on("exit", (code) => reject(new Error(`model: ${code}`)));
		child.on("message", (m) => {
			if (m.url)
				resolve(m.url);
			else
				model.tries.push(m);
		});
	});
	model.quiet = () => child.send("quiet");
	model.stop = () => child.disconnect();
	return model;
}

// All processes of the drill; each life of one asks the model by another path,
// so it is known who works on what.
export class Crew {
	constructor(drill, { model, redis, dir }) {
		Object.assign(this, { drill, model, redis, dir, all: [],
			kills: [] });
	}

	settings(member) {
		return [`redis.url=${this.redis.url}`,
			`plugins.llm_openai.base_url=${this.model.url}/` +
			`${member.name}-${member.life}/v1`,
			"plugins.llm_openai.default_model=stub",
			"server.sockets_per_user=100000", "worker.slots=256",
			"worker.beat=500ms",
			// Locks tell who is dead; a database that is slow to come back
			// shall end no lease.
			"worker.lease=15s", "models.call_timeout=10m",
			// The first one executes runs itself, the second has two loops.
			...member.kind === "serve" && member.name !== "serve0"
				? ["worker.embedded=false"] : [],
			...member.name === "serve1" ? ["server.loops=2"] : []];
	}

	async hire(kind, i) {
		const member = { kind, name: `${kind}${i}`, life: 1 };
		const data = join(this.dir, member.name);
		const [first] = this.all;
		const o = { data, database: DATABASE, set: this.settings(member),
			env: { OPENAI_API_KEY: "sesame" } };

		mkdirSync(data);
		for (const key of first ? ["access.key", "sealing.key"] : [])
			copyFileSync(join(first.server.data, key), join(data, key));
		member.server = kind === "serve" ? await start(o)
			: await startWorker(first.server, o);
		member.url = member.server.url;
		this.all.push(member);
		return member;
	}

	// Killed, and back after a moment.
	async replace(member) {
		const { server } = member;
		// Noted first: who takes over may be faster than who waits here.
		const dies = () => this.kills.push({ at: Date.now(),
			life: `${member.name}-${member.life++}` });

		dies();
		await server.kill9();
		await pause(this.drill.rand() * 1500);
		for (;;) {
			server.options.set = this.settings(member);
			try {
				return await server.restart({ port: server.port });
			} catch (e) {
				// Whoever does not get there in time has been killed.
				if (this.drill.over)
					throw e;
				dies();
			}
		}
	}

	// How each has ended.
	stop() {
		return Promise.all(this.all.map(async ({ name, server }) => ({ name,
			...await server.stop() })));
	}
}

// ---- Talks ------------------------------------------------------------------

export class Talk {
	constructor(drill, n, thread) {
		const answered = deferred();

		Object.assign(this, { drill, n, thread, marks: [], best: 0,
			accept: answered.resolve, accepted: answered.promise,
			steps: n % 3 === 0 ? 2 : 1 });
		this.words = Math.ceil(drill.o.words / this.steps);
		this.expected = this.steps * this.words * WORD;
	}

	// When somebody has so much of it.
	said(part) {
		const d = deferred();

		this.marks.push({ part, resolve: d.resolve });
		this.reached(this.best);
		return d.promise;
	}

	reached(progress) {
		if (progress > this.best)
			this.best = progress;
		this.marks.filter((m) => m.part <= this.best)
			.forEach((m) => m.resolve());
		this.marks = this.marks.filter((m) => m.part > this.best);
	}

	// Until it is accepted, under one key, by whichever server.
	async send() {
		const { o, crew, token, rand, note } = this.drill;
		const key = `run ${this.n}`;
		const content = `run ${this.n} of ${this.steps} steps, ` +
			`${this.words} words, ${o.ms} ms`;

		for (let i = Math.floor(rand() * o.serves); ; i++) {
			const answer = await api(crew.all[i % o.serves], "POST",
				`/api/chat/sessions/${this.thread.id}`, { token,
					body: { content, client_message_id: key } })
				.catch(() => null);
			if (answer?.status === 202) {
				const { state, sequence, parent_id, ...message } =
					answer.body.message;
				note({ t: "reply", key, status: 202,
					run_id: answer.body.run.id,
					sha256: createHash("sha256").update(
						JSON.stringify(message)).digest("hex") });
				this.runId = answer.body.run.id;
				this.accept();
				return;
			}
			if (answer && answer.status < 429)
				throw new Error(`${key}: ${JSON.stringify(answer.body)}`);
			await pause(50 + rand() * 200);
		}
	}
}
