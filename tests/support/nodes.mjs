// SPDX-License-Identifier: Apache-2.0
//
// Two servers on one PostgreSQL and one Redis, who execute nothing themselves,
// and workers for them; with one person and one agent, whose model is a stub:
//
//   const nodes = await startNodes({ redis: ["redis.url=..."], env: {} });
//   nodes.a, nodes.b, nodes.stub, nodes.s
//   const worker = await nodes.hire(["worker.poll=1s"]);
//   await nodes.fire(worker);
//   const c = await nodes.newTalk();
//   const socket = await nodes.join(nodes.b, c, { after: seq });
//   await nodes.reads(socket, text);    a delta that reaches as far
//   await nodes.allUp();                both have their Redis
//   const back = nodes.workersBack();   then kill and restart it, and
//   await back();                       the workers have it again
//   await nodes.same(c, [socket]);      what each has read is what is stored
//   await nodes.stop();

import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { log, messages, newThread, scene } from "./chat.mjs";
import { api, start, startWorker } from "./server.mjs";
import { start as startStub } from "./stub_model.mjs";
import { until } from "./wait.mjs";
import { connect } from "./ws.mjs";

export const words = (n, word = "wörd") =>
	Array.from({ length: n }, (_, i) => `${word} ${i}, `);

// What a reader has of a message: partial, then deltas, each from where the
// last one ended; a reset begins anew.
export function textOf(frames, id) {
	let text = Buffer.alloc(0), attempt = 0;
	for (const f of frames) {
		const p = f.type === "snapshot" ? f.partial : null;
		if (p?.message_id === id)
			[text, attempt] = [Buffer.from(p.text), p.attempt];
		if (f.message_id !== id)
			continue;
		if (f.type === "message_start" || f.type === "message_reset")
			[text, attempt] = [Buffer.alloc(0), f.attempt];
		if (f.type !== "message_delta")
			continue;
		assert.equal(f.attempt, attempt, "a delta of another attempt");
		assert.equal(f.offset, text.length, "a token twice, or none");
		text = Buffer.concat([text, Buffer.from(f.delta)]);
	}
	return text.toString();
}

class Nodes {
	workers = [];

	async start({ redis, env = {}, set = [], first = [] }) {
		this.store = process.env.AGENT_STUDIO_STORE;
		process.env.AGENT_STUDIO_STORE = "postgres";
		this.env = { ...env, OPENAI_API_KEY: "sesame" };
		this.stub = await startStub({ key: "sesame" });
		this.settings = [...redis,
			`plugins.llm_openai.base_url=${this.stub.url}/v1`,
			"plugins.llm_openai.default_model=stub"];
		const all = [...this.settings, "worker.embedded=false", ...set];
		this.a = await start({ set: [...all, ...first], env: this.env });
		this.folder = mkdtempSync(join(tmpdir(), "agent-studio-"));
		for (const key of ["access.key", "sealing.key"])
			copyFileSync(join(this.a.data, key), join(this.folder, key));
		this.b = await start({ set: all, env: this.env, data: this.folder,
			database: this.a.database });
		this.s = await scene(this.a, { model_name: "openai/stub" });
		await this.allUp();
		return this;
	}

	async hire(more = []) {
		const worker = await startWorker(this.a, { env: this.env,
			set: [...this.settings, "worker.poll=10m", ...more] });
		this.workers.push(worker);
		return worker;
	}

	async fire(worker) {
		this.workers.splice(this.workers.indexOf(worker), 1);
		const { child } = worker;
		if (child.exitCode === null && child.signalCode === null)
			assert.deepEqual(await worker.stop(),
				{ code: 0, signal: null }, worker.log);
		rmSync(worker.data, { recursive: true, force: true });
	}

	async newTalk() {
		return { ...this.s,
			thread: await newThread(this.a, this.s.person, this.s.agent.id) };
	}

	async join(server, c, options = {}) {
		const socket = await connect(server, c.thread.id,
			{ token: this.s.token, ...options });
		await socket.type(options.after === undefined ? "snapshot" : "ready");
		return socket;
	}

	reads(socket, text) {
		return socket.until((f) => f.type === "message_delta" &&
			f.offset + Buffer.byteLength(f.delta) >= Buffer.byteLength(text),
		`text up to ${Buffer.byteLength(text)}`);
	}

	async realtime(server) {
		return (await api(server, "GET", "/readyz")).body;
	}

	all(what) {
		return until(`realtime: ${what}`, async () => {
			for (const server of [this.a, this.b])
				if ((await this.realtime(server)).checks.realtime !== what)
					return false;
			return true;
		});
	}

	allUp() {
		return this.all("ok");
	}

	// Before Redis is killed: what waits until workers, too, are back.
	workersBack() {
		const count = (worker) =>
			worker.log.split("redis: connected").length;
		const before = this.workers.map((worker) => [worker, count(worker)]);
		return () => until("workers with their Redis", () =>
			before.every(([worker, n]) => count(worker) >= n + 2));
	}

	// The answer that is stored.
	async same(c, sockets) {
		const entries = await log(this.a, c);
		const answer = (await messages(this.a, c)).at(-1);
		assert.equal(answer.role, "assistant");
		for (const socket of sockets) {
			assert.equal(textOf(socket.frames, answer.id), answer.content);
			const seqs = socket.frames.filter((f) => f.seq).map((f) => f.seq);
			assert.deepEqual(seqs, entries.map((e) => e.seq)
				.filter((n) => n >= seqs[0]));
			await socket.close();
		}
		return answer;
	}

	async stop() {
		for (const worker of [...this.workers])
			await this.fire(worker);
		for (const server of [this.b, this.a])
			assert.deepEqual(await server?.stop(), { code: 0, signal: null },
				server?.log);
		this.stub?.stop();
		if (this.folder)
			rmSync(this.folder, { recursive: true, force: true });
		if (this.store === undefined)
			delete process.env.AGENT_STUDIO_STORE;
		else
			process.env.AGENT_STUDIO_STORE = this.store;
	}
}

export function startNodes(options) {
	return new Nodes().start(options);
}
