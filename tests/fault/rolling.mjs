#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
//
// Two servers and two workers behind nginx are restarted, one after the other,
// again and again, as one does for an upgrade.  People who talk, read by
// WebSocket and by SSE, and send requests all the time notice nothing: no
// request fails, no run fails, every text is what is stored.  Prints TAP.
//
//   rolling.mjs [--rounds N] [--people N] [--quick]
//
// Without arguments two rounds; --quick changes nothing.  Environment: as
// matrix.mjs; nginx and redis-server.

import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { events } from "../support/chat.mjs";
import { startProxy } from "../support/proxy.mjs";
import { startRedis } from "../support/redis.mjs";
import { api, signUp, start, startWorker } from "../support/server.mjs";
import { start as startStub } from "../support/stub_model.mjs";
import { PATIENCE_MS, pause, until } from "../support/wait.mjs";
import { options, Tap } from "./drill.mjs";

const { WebSocket } = createRequire(import.meta.url)("ws");
const { rounds, people } = options(process.argv.slice(2),
	{ rounds: 2, people: 6, quick: false });
const BUSY = 4; // who do one thing after the other
const PIECE_MS = 20;
const WORDS = 40;
const BACK_MS = [50, 500]; // who is sent away comes back after so long
const TOOL = JSON.stringify({ tool_calls: [{ name: "calculator_evaluate",
	args: { expression: "6 * 7" } }] });
const ESSAY = JSON.stringify({ delay_ms: PIECE_MS,
	tokens: Array.from({ length: WORDS }, (_, i) => `wörd ${i}, `) });

const back = () => pause(BACK_MS[0] + Math.random() * (BACK_MS[1] - BACK_MS[0]));

// ---- People -------------------------------------------------------------

// What all of them have met.
const met = { requests: 0, connections: 0, sentAway: 0, runs: 0, bytes: 0,
	live: 0, wrong: [], over: false };

const wrong = (text) => met.wrong.push(text);

async function ask(who, method, path, body) {
	met.requests++;
	try {
		const answer = await api(who.proxy, method, path,
			{ token: who.token, body });
		if (answer.status < 300)
			return answer.body;
		wrong(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
	} catch (error) {
		wrong(`${method} ${path}: ${error.cause?.code ?? error}`);
	}
	return null;
}

// What a reader has of a thread, across all of his connections.
class Reading {
	constructor() {
		Object.assign(this, { seq: 0, open: null, texts: new Map(),
			states: [], live: new Map() });
	}

	take(f) {
		if (f.seq) {
			if (f.seq !== this.seq + 1)
				wrong(`event ${f.seq} after ${this.seq}`);
			this.seq = f.seq;
		}
		if (f.type === "message_start" || f.type === "message_reset")
			this.open = { id: f.message_id, text: Buffer.alloc(0) };
		if (f.type === "message_delta")
			this.delta(f);
		if (f.type === "message_end" && f.message_id === this.open?.id)
			this.texts.set(f.message_id, this.open.text.toString());
		if (f.type === "run_status" && f.status === "end")
			this.states.push(f.state);
	}

	// On a new connection what is open is said from its beginning.
	delta(f) {
		const bytes = Buffer.from(f.delta), has = this.open?.text.length;

		if (f.message_id !== this.open?.id || f.offset > has)
			return wrong(`a delta at ${f.offset} of ${has}`);
		this.open.text = Buffer.concat(
			[this.open.text.subarray(0, f.offset), bytes]);
		this.live.set(f.message_id, Math.max(this.open.text.length,
			this.live.get(f.message_id) ?? 0));
	}
}

function overSocket(who, thread, reading, done) {
	return new Promise((resolve) => {
		const ws = new WebSocket(`${who.proxy.url.replace("http", "ws")}` +
			`/ws/chat/${thread}/?after_seq=${reading.seq}`,
		{ headers: { authorization: `Bearer ${who.token}` } });
		ws.on("error", (error) => wrong(`WebSocket: ${error.message}`));
		ws.on("message", (data) => {
			const f = JSON.parse(data);
			if (f.type === "error")
				wrong(`WebSocket: ${data}`);
			reading.take(f);
			if (done())
				ws.close();
		});
		ws.on("close", (code) => {
			if (!done() && code !== 1001)
				wrong(`WebSocket: closed ${code}`);
			resolve();
		});
	});
}

async function overEvents(who, thread, reading, done) {
	const leave = new AbortController();
	try {
		const answer = await fetch(
			`${who.proxy.url}/api/chat/sessions/${thread}/events`, {
				signal: leave.signal, headers: { accept: "text/event-stream",
					"last-event-id": String(reading.seq),
					authorization: `Bearer ${who.token}` } });
		if (answer.status !== 200)
			return wrong(`SSE: ${answer.status}`);
		for await (const { data } of events(answer)) {
			reading.take(data);
			if (done())
				return leave.abort();
		}
	} catch (error) {
		if (!done())
			wrong(`SSE: ${error.cause?.code ?? error}`);
	}
}

// Until the thread's only run has ended.
async function read(who, thread, over) {
	const reading = new Reading();
	const done = () => reading.states.length > 0;

	for (const until = Date.now() + PATIENCE_MS; !done();) {
		if (Date.now() > until) {
			wrong(`${thread}: nothing after event ${reading.seq}`);
			break;
		}
		met.connections++;
		await over(who, thread, reading, done);
		met.sentAway += done() ? 0 : 1;
		if (!done())
			await back();
	}
	return reading;
}

async function compare(who, thread, readings) {
	const stored = await ask(who, "GET", `/api/chat/sessions/${thread}?limit=200`);
	for (const m of stored?.messages.filter((x) => x.role === "assistant") ?? [])
		for (const { texts } of readings)
			if ((texts.get(m.id) ?? "") !== m.content)
				wrong(`${thread}: '${texts.get(m.id)}' is stored as '${m.content}'`);
	for (const { states, texts, live } of readings) {
		if (states.join() !== "succeeded")
			wrong(`${thread}: the run has ${states}`);
		met.bytes += [...texts.values()].reduce(
			(n, text) => n + Buffer.byteLength(text), 0);
		met.live += [...live.values()].reduce((n, bytes) => n + bytes, 0);
	}
}

async function talk(who, i) {
	for (let n = i; !met.over; n++) {
		const thread = (await ask(who, "POST", "/api/chat/sessions",
			{ agent_id: who.agent }))?.id;
		if (!thread)
			continue;
		const readers = [overSocket, overEvents].map((over) =>
			read(who, thread, over));
		const said = await ask(who, "POST", `/api/chat/sessions/${thread}`,
			{ content: `stub: ${n % 2 === 0 ? ESSAY : TOOL}\n` });
		if (!said)
			return;
		await compare(who, thread, await Promise.all(readers));
		met.runs++;
	}
}

// What a proxy may repeat, and what it may not.
async function work(who) {
	while (!met.over) {
		await ask(who, "GET", "/api/chat/sessions?limit=5");
		await ask(who, "POST", "/api/chat/sessions", { agent_id: who.agent });
	}
}

// ---- Processes ----------------------------------------------------------

class Stage {
	async begin() {
		process.env.AGENT_STUDIO_STORE = "postgres";
		this.redis = await startRedis();
		this.stub = await startStub({ key: "sesame" });
		const env = { OPENAI_API_KEY: "sesame" };
		const set = [`redis.url=${this.redis.url}`,
			`plugins.llm_openai.base_url=${this.stub.url}/v1`,
			"plugins.llm_openai.default_model=stub"];
		const servers = { env, set: [...set, "worker.embedded=false",
			"server.drain_delay=1s", "server.sockets_per_user=1000"] };
		this.a = await start(servers);
		this.folder = mkdtempSync(join(tmpdir(), "agent-studio-"));
		for (const key of ["access.key", "sealing.key"])
			copyFileSync(join(this.a.data, key), join(this.folder, key));
		this.b = await start({ ...servers, data: this.folder,
			database: this.a.database });
		this.w = [await startWorker(this.a, { env, set }),
			await startWorker(this.a, { env, set })];
		this.proxy = await startProxy("nginx", [this.a.port, this.b.port]);
		this.mark = 0;
	}

	async person() {
		const { token } = await signUp(this.a);
		const { body } = await api(this.a, "POST", "/api/agents/", { token,
			body: { name: "Helper", model_name: "openai/stub",
				toolkits: ["calculator"] } });
		return { proxy: this.proxy, token, agent: body.id };
	}

	// nginx has sent something to it since it is back.
	async isUsed(server, from) {
		await until(`requests for ${server.port}`, () =>
			this.proxy.served().slice(from).some((line) =>
				line.startsWith(`127.0.0.1:${server.port} 20`)));
	}

	async restart(tap, name, process_) {
		const runs = met.runs, at = Date.now();
		const status = await process_.end("SIGTERM");
		const stopped = Date.now();
		await process_.restart({ port: process_.port });
		if (process_.port)
			await this.isUsed(process_, this.proxy.served().length);
		// People are served by whoever is there.
		await until("further runs", () => met.runs > runs + 2);
		tap.ok(status.code === 0, `${name} stops in ` +
			`${((stopped - at) / 1000).toFixed(1)} s and is back after ` +
			`${((Date.now() - at) / 1000).toFixed(1)} s`);
	}

	async end() {
		await this.proxy?.stop();
		for (const p of [...this.w ?? [], this.b, this.a])
			await p?.stop();
		await this.redis?.stop();
		this.stub?.stop();
		rmSync(this.folder ?? "", { recursive: true, force: true });
	}
}

async function main(tap) {
	const stage = new Stage();
	let all;
	try {
		await stage.begin();
		const crowd = [];
		for (let i = 0; i < people; i++)
			crowd.push(await stage.person());
		all = [...crowd.map(talk), ...crowd.slice(0, BUSY).map(work)];
		await until("the first runs", () => met.runs >= people);
		for (let round = 1; round <= rounds; round++)
			for (const [name, p] of [["server a", stage.a],
				["worker 1", stage.w[0]], ["server b", stage.b],
				["worker 2", stage.w[1]]])
				await stage.restart(tap, `round ${round}: ${name}`, p);
	} catch (error) {
		tap.note(error.stack);
		tap.ok(false, "the drill was gone through");
	} finally {
		met.over = true;
		await Promise.all(all ?? []);
	}
	met.wrong.slice(0, 20).forEach((line) => tap.note(line));
	tap.note(`${met.requests} requests, ${met.connections} streams, ` +
		`${met.sentAway} of them sent away and back, ${met.runs} runs, ` +
		`${met.bytes} bytes, ${(100 * met.live / met.bytes).toFixed(1)} % live`);
	tap.ok(met.wrong.length === 0, `nothing goes wrong (${met.wrong.length})`);
	tap.ok(met.sentAway > 0, "somebody was sent away");
	if (tap.failed > 0)
		for (const p of [stage.a, stage.b, ...stage.w ?? []])
			tap.note(p?.log.split("\n").slice(-20).join("\n"));
	await stage.end();
}

const tap = new Tap();
await main(tap);
tap.end();
