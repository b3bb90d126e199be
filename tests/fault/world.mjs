// SPDX-License-Identifier: Apache-2.0
//
// Servers that die, and those who notice: what the matrix of faults and the
// test of its checker have in common.
//
//   const world = await World.create({dir, store: "sqlite"});
//   const story = await world.story("name");     a copy of the world for itself
//   await story.start({env, set});               a server, by the name of first
//   ...
//   const {broken, figures} = await story.check();
//   await world.end();
//
// A story has one person, one agent with the tools of toolkit_witness, and one
// thread, or more: a talk each.  The reader of a talk sees the events of its
// thread, on whichever server is there, and comes back with its cursor; what it
// saw and what the API answered is the clients' log.

import { execFile, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { appendFileSync, cpSync, mkdirSync, readFileSync, readdirSync,
	readlinkSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

import { newThread, scene } from "../support/chat.mjs";
import { api, databaseUrl, start, startWorker } from "../support/server.mjs";
import { startReceiver } from "../support/receiver.mjs";
import { start as startStub } from "../support/stub_model.mjs";
import { until, within } from "../support/wait.mjs";
import { connect } from "../support/ws.mjs";

const run = promisify(execFile);
const BUILD = process.env.BUILD_DIR;
const WAIT_MS = 30000;

export const TOOLS = ["read", "put", "pay", "book", "send"];
export const PARKED = ["waiting_human", "recoverable_error"];

// All five at once, then an answer; a message that starts with "only TOOL" gets
// that one, "only talk" none, "only delegate" two subagents with one each,
// "only order" one that asks people while it works.  What ends with a number is
// about things of that number.
function decide(messages) {
	const at = messages.map((m) => m.role).lastIndexOf("user");
	const results = messages.slice(at).filter((m) => m.role === "tool");

	if (results.length > 0)
		return { text: `That makes ${results.length} results, and all is ` +
			"said and done." };
	const { content } = messages[at];
	const text = Array.isArray(content) ? content.at(-1).text : content;
	const [, only] = /^only (\w+)/.exec(text) ?? [];
	if (only === "delegate")
		return { text: "Others shall do that.", tool_calls: ["pay", "book"]
			.map((t) => ({ name: "task",
				args: { description: `only ${t}` } })) };
	if (only === "order")
		return { text: "That has to be paid.", tool_calls: [
			{ name: "witness_order", args: { id: "order", value: 3 } }] };
	const [, number = ""] = /( \d+)$/.exec(text) ?? [];
	if (only === "talk")
		return { text: "That was said, and this is the answer to it." };
	return { text: "Let me see what I can do about this.", interleave: true,
		tool_calls: TOOLS.filter((t) => !only || t === only).map((t, i) => ({
			name: `witness_${t}`, args: { id: `${t}${number}`, value: i } })) };
}

// A run that has ended, or waits for somebody who can look at a service.
export const ended = (f) => f.type === "run_status" &&
	(f.status === "end" || f.state === "recoverable_error");

// What check_runs finds: a line for each broken invariant, and figures.
export async function checkRuns(args) {
	let out;
	try {
		out = await run(join(BUILD, "tests/fault/check_runs"), args,
			{ maxBuffer: 1 << 26 });
	} catch (e) {
		if (e.code !== 1)
			throw e;
		out = e;
	}
	const lines = out.stdout.trim().split("\n");
	return { figures: JSON.parse(lines.pop().slice(2)), broken: lines };
}

// Connections to services are kept for the next call, and do not count.
function openFiles(server) {
	const folder = `/proc/${server.child.pid}`;
	const kept = new Set(readFileSync(`${folder}/net/tcp`, "utf8").split("\n")
		.slice(1).map((l) => l.trim().split(/\s+/))
		.filter((l) => parseInt(l[1]?.split(":")[1], 16) !== server.port)
		.map((l) => `socket:[${l[9]}]`));

	return readdirSync(`${folder}/fd`).filter((fd) => {
		try {
			return !kept.has(readlinkSync(`${folder}/fd/${fd}`));
		} catch {
			return false; // it was closed just now
		}
	}).length;
}

async function startWitness(dir) {
	const child = spawn(process.execPath,
		[join(import.meta.dirname ?? new URL(".", import.meta.url).pathname,
			"witness.mjs"), "--dir", dir],
		{ stdio: ["ignore", "pipe", "inherit"] });
	const url = await new Promise((resolve, reject) => {
		child.on("error", reject);
		child.on("exit", (code) => reject(new Error(`witness: ${code}`)));
		createInterface({ input: child.stdout }).on("line", (line) =>
			resolve(line.replace("listening on ", "")));
	});
	return { url, child };
}

export class World {
	// stub: further options of the model's stub.
	static async create({ dir, store, stub = {}, scene: agent = {} }) {
		const world = new World();

		Object.assign(world, { dir, store, n: 0, stories: new Set(),
			admin: process.env.TEST_POSTGRES_URL });
		mkdirSync(dir, { recursive: true });
		world.witness = await startWitness(dir);
		world.stub = await startStub({ decide, ...stub });
		world.receiver = await startReceiver({ dir });
		world.data = join(dir, "first");
		mkdirSync(world.data);
		if (store === "postgres") {
			world.database = `fault_${randomBytes(6).toString("hex")}`;
			await world.sql(`CREATE DATABASE ${world.database}`);
		}
		const server = await start(world.options("first"));
		world.scene = await scene(server, { toolkits: ["witness"],
			builtins: ["task"], ...agent });
		await server.stop();
		return world;
	}

	sql(text, database) {
		const url = database ? databaseUrl(this.admin, database) : this.admin;
		return run("psql", ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d",
			url, "-c", text]);
	}

	options(name, { set = [], env = {}, data = this.data,
		database = this.database } = {}) {
		return { data, database, env: { OPENAI_API_KEY: "sesame", ...env }, set: [
			`plugins.dirs=["${BUILD}/tests/fault/.libs"]`,
			"plugins.toolkit_witness.isolation=none",
			`plugins.toolkit_witness.base_url=${this.witness.url}/${name}`,
			`plugins.llm_openai.base_url=${this.stub.url}/v1`,
			"plugins.llm_openai.default_model=stub",
			"models.default=openai/stub",
			"auth.access_ttl=86400s",
			"worker.lease=2s", "worker.beat=250ms", "worker.poll=50ms",
			`webhooks.allow=["127.0.0.1:${this.receiver.port}"]`,
			"webhooks.poll=50ms", "webhooks.timeout=500ms",
			"webhooks.retry=50ms", "webhooks.tries=100",
			...set] };
	}

	async story(title) {
		const name = `s${++this.n}-${title.toLowerCase()
			.replaceAll(/[^a-z0-9.]+/g, "-")}`;
		const data = join(this.dir, name);

		cpSync(this.data, data, { recursive: true });
		const story = new Story(this, name, data);
		if (this.database) {
			story.database = `${this.database}_${this.n}`;
			this.copying = (this.copying ?? Promise.resolve()).then(() =>
				this.sql(`CREATE DATABASE ${story.database} TEMPLATE ` +
					this.database));
			await this.copying;
		}
		this.stories.add(story);
		return story;
	}

	async end() {
		for (const story of this.stories)
			await story.end();
		if (this.database)
			await this.sql(`DROP DATABASE IF EXISTS ${this.database} ` +
				"WITH (FORCE)");
		await this.stub.stop();
		await this.receiver.stop();
		this.witness.child.removeAllListeners("exit");
		this.witness.child.kill();
	}
}

// One thread, as one client sees it.
export class Talk {
	constructor({ token, thread, client }) {
		Object.assign(this, { token, thread, client, seen: [], cursor: 0,
			watching: new Set(), texts: new Map() });
	}

	note(line) {
		appendFileSync(this.client, `${JSON.stringify(line)}\n`);
	}

	// The text of each message as it is seen while it is written.
	display(frame) {
		const id = frame.message_id ?? frame.partial?.message_id;
		const known = this.texts.get(id) ?? Buffer.alloc(0);

		if (frame.partial)
			this.texts.set(id, Buffer.from(frame.partial.text));
		else if (["message_start", "message_reset"].includes(frame.type))
			this.texts.set(id, Buffer.alloc(0));
		else if (frame.type === "message_delta")
			this.texts.set(id, frame.offset > known.length
				? Buffer.from("(a hole in the text)")
				: Buffer.concat([known.subarray(0, frame.offset),
					Buffer.from(frame.delta)]));
		else if (frame.type === "message_created" &&
			this.texts.has(frame.message.id))
			this.note({ t: "text", message_id: frame.message.id,
				text: this.texts.get(frame.message.id).toString() });
	}

	// The reader turns to this server, with its cursor.
	async read(server) {
		const socket = await connect(server, this.thread,
			{ token: this.token, after: this.cursor });
		const show = (frame) => {
			if (this.reader !== socket)
				return;
			this.display(frame);
			if (!(frame.seq > 0))
				return;
			this.cursor = frame.seq;
			this.seen.push(frame);
			this.note({ t: "event", thread_id: this.thread, seq: frame.seq,
				type: frame.type });
			for (const look of [...this.watching])
				look();
		};

		this.reader = socket;
		socket.frames.forEach(show);
		socket.ws.on("message", (data) => show(JSON.parse(data.toString())));
		return socket;
	}

	leave() {
		this.reader?.ws.terminate();
		this.reader = null;
	}

	// An event that was shown, or will be.
	async until(passes, what) {
		let look;
		try {
			return await within(WAIT_MS, new Promise((resolve) => {
				look = () => {
					const frame = this.seen.find(passes);
					if (frame)
						resolve(frame);
				};
				this.watching.add(look);
				look();
			}), what);
		} finally {
			this.watching.delete(look);
		}
	}

	// The run, or the first one, has ended, or waits for somebody.
	rest(runId) {
		return this.until((f) => f.type === "run_status" && !f.ns &&
			f.run_id === (runId ?? f.run_id) && (f.status === "end" || PARKED.includes(f.state)), "the run's end");
	}

	// Two runs have ended.
	bothEnd() {
		const ends = () => this.seen.filter((f) => f.type === "run_status" &&
			f.status === "end");
		return this.until((f) => ends().length === 2 && f === ends()[1],
			"the end of both runs");
	}

	// Sends a message under a key of the client's; null: no answer came.
	async say(server, content, key, more = {}) {
		let answer;
		try {
			answer = await within(WAIT_MS, api(server, "POST",
				`/api/chat/sessions/${this.thread}`, { token: this.token,
					body: { content, client_message_id: key, ...more } }), content);
		} catch (e) {
			if (e.message.startsWith("not in time"))
				throw e;
			return null;
		}
		const { status, body } = answer;
		// Its place in the history is known only when its run begins.
		const { state, sequence, parent_id, ...message } = body.message ?? {};
		this.note({ t: "reply", key, status, run_id: body.run?.id ?? "",
			sha256: createHash("sha256").update(
				JSON.stringify(message)).digest("hex") });
		return answer;
	}
}

export class Story extends Talk {
	constructor(world, name, data) {
		super({ token: world.scene.token, thread: world.scene.thread.id,
			client: join(world.dir, `${name}.client.jsonl`) });
		Object.assign(this, { world, name, data, servers: [], talks: [this],
			witness: join(world.dir, `${name}.jsonl`),
			hits: join(world.dir, `${name}.hits`),
			drill: join(world.dir, `${name}.drill.jsonl`), aheadUs: 0,
			webhooks: join(world.dir, `${name}.webhooks.jsonl`) });
		writeFileSync(this.client, "");
		writeFileSync(this.witness, "");
		writeFileSync(this.drill, "");
	}

	// By the clock of the store.
	nowUs() {
		return Date.now() * 1000 + this.aheadUs;
	}

	// What was disturbed from then until now is nobody's fault.
	fault(from, to = this.nowUs()) {
		appendFileSync(this.drill, `${JSON.stringify({ t: "fault", from,
			to })}\n`);
	}

	// What a process takes; "after" there should be no more than "before", once
	// what others have closed is closed here, too.
	async weigh(server, name, when) {
		const read = async () => ({ t: "process", name, when,
			files: openFiles(server),
			connections: this.database ? Number(await this.ask("SELECT " +
				"count(*) FROM pg_stat_activity WHERE datname = " +
				"current_database() AND pid <> pg_backend_pid()")) : 0,
			kb: Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(
				`/proc/${server.child.pid}/status`, "utf8"))[1]) });
		const before = this[`weight of ${name}`];
		let now;

		await until(() => `${name} to let go of what it has no use for: ` +
			`${JSON.stringify(now)}`, async () => {
			now = await read();
			return !before || (now.files <= before.files &&
				now.connections <= before.connections);
		});
		this[`weight of ${name}`] = now;
		appendFileSync(this.drill, `${JSON.stringify(now)}\n`);
		return now;
	}

	// From now on the receiver is told of all runs of this story.
	async listen(server) {
		const path = `/${this.name}`;
		const { status, body } = await api(server, "POST", "/api/webhooks/",
			{ token: this.token, body: { events: ["run.*"],
				url: this.world.receiver.url + path } });

		if (status !== 201)
			throw new Error(`no webhook: ${JSON.stringify(body)}`);
		this.world.receiver.secrets.set(path, body.secret);
		writeFileSync(this.webhooks, "");
		this.listens = true;
	}

	// Everything has been delivered, by what the database says.
	untilTold() {
		return until("an empty outbox", async () => await this.outbox() === "0");
	}

	async outbox() {
		const text = "SELECT count(*) FROM outbox";

		if (this.database)
			return this.ask(text);
		const { stdout } = await run("python3", ["-c", "import sqlite3, sys\n" +
			"db = sqlite3.connect('file:%s?mode=ro' % sys.argv[1], uri=True)\n" +
			"print(db.execute(sys.argv[2]).fetchone()[0])",
			join(this.data, "agent-studio.db"), text]);
		return stdout.trim();
	}

	// A new process on the same data; it may end before it listens.
	async start({ env = {}, set = [], spawned } = {}) {
		// Such a path must be short.
		const socket = join(this.world.dir, `${this.name.split("-")[0]}.` +
			`${this.servers.length}.sock`);
		const remember = (server) => {
			server.failpoints = socket;
			this.servers.push(server);
			spawned?.(server);
		};
		const options = this.world.options(this.name, {
			set: [...this.settings ?? [], ...set], data: this.data, database: this.database, env: {
				AGENT_STUDIO_FAILPOINT_LOG: this.hits,
				AGENT_STUDIO_FAILPOINT_SOCKET: socket, ...env } });

		return start({ ...options, spawned: remember });
	}

	// A task for the agent under a key of the client's; who has an answer looks
	// at its thread from then on.  null: no answer came.
	async task(server, text, key) {
		const { token, world } = this;
		const answer = await api(server, "POST",
			`/api/agents/${world.scene.agent.id}/ambient-test`, { token,
				body: { task: text }, headers: { "idempotency-key": key } })
			.catch(() => null);

		if (answer?.status !== 202 || answer.body.thread.id === this.thread)
			return answer;
		this.leave();
		this.thread = answer.body.thread.id;
		this.cursor = 0;
		await this.read(server);
		return answer;
	}

	// A process that executes runs on the database of a server of this story.
	async startWorker(server, { env = {}, set = [] } = {}) {
		const { env: all, set: settings } = this.world.options(this.name,
			{ env, set });
		const data = join(this.world.dir,
			`${this.name}-worker-${this.servers.length}`);
		const worker = await startWorker(server, { env: all, set: settings,
			data });

		this.servers.push(worker);
		return worker;
	}

	// Another thread of the same person.
	async talk(server) {
		const { id } = await newThread(server, this.world.scene.person,
			this.world.scene.agent.id);
		const talk = new Talk({ token: this.token, thread: id,
			client: this.client });

		this.talks.push(talk);
		return talk;
	}

	// One value of the story's database, as text.
	async ask(text) {
		return (await this.world.sql(text, this.database)).stdout.trim();
	}

	// Nothing of it is to be worked on.
	async isQuiet() {
		return await this.ask("SELECT count(*) FROM runs WHERE status IN " +
			"('queued', 'running', 'cancelling')") === "0";
	}

	// One statement on the story's database, on both stores; its one value.
	async statement(text) {
		if (this.database)
			return this.ask(text);
		return (await run("python3", ["-c", "import sqlite3, sys\n" +
			"c = sqlite3.connect(sys.argv[1], timeout=20)\n" +
			"r = c.execute(sys.argv[2]).fetchone()\nc.commit()\n" +
			"print(r[0] if r else '')",
		`${this.data}/agent-studio.db`, text])).stdout.trim();
	}

	// PostgreSQL closes all connections to this story's database.
	cut() {
		return this.world.sql("SELECT pg_terminate_backend(pid) FROM " +
			"pg_stat_activity WHERE datname = current_database() AND " +
			"pid <> pg_backend_pid()", this.database);
	}

	// Only one process may live on, by what the database says.
	async untilOthersAreDead() {
		await until("the end of a lease", async () =>
			await this.ask("SELECT count(*) FROM nodes " +
			"WHERE lease_expires_at > now_us()") === "1");
	}

	// The store's clock is ahead by so much; nobody is dead because of that.
	async ahead(server, us) {
		const from = this.nowUs();

		this.aheadUs = us;
		this.fault(from);
		if (!this.database)
			return this.control(server, `clock ${us}`);
		return this.ask("UPDATE nodes SET lease_expires_at = " +
			`lease_expires_at + ${us}, beat_at = beat_at + ${us}; ` +
			"CREATE OR REPLACE FUNCTION now_us() RETURNS bigint LANGUAGE sql " +
			"STABLE AS 'SELECT (extract(epoch FROM statement_timestamp()) * " +
			`1000000)::bigint + ${us}'`);
	}

	// One line to the server's socket; what it says before "ok".
	control(server, line) {
		return within(WAIT_MS, new Promise((resolve, reject) => {
			const socket = net.connect(server.failpoints);
			let text = "";

			socket.on("error", reject);
			socket.on("data", (bytes) => {
				text += bytes;
				if (/^error: /m.test(text))
					reject(new Error(text));
				else if (text.endsWith("ok\n"))
					resolve(text.slice(0, -3));
				else
					return;
				socket.destroy();
			});
			socket.write(`${line}\n`);
		}), `failpoints: ${line}`);
	}

	mode(mode) {
		return fetch(`${this.world.witness.url}/${this.name}/_mode`,
			{ method: "POST", body: JSON.stringify(mode) });
	}

	happened(tool, what) {
		return within(WAIT_MS, fetch(`${this.world.witness.url}/${this.name}` +
			`/_until?tool=${tool}&what=${what}`), `${what} of ${tool}`);
	}

	url() {
		return this.database
			? databaseUrl(this.world.admin, this.database)
			: `sqlite:${this.data}/agent-studio.db`;
	}

	check() {
		return checkRuns(["--db", this.url(), "--witness", this.witness,
			"--client", this.client, "--drill", this.drill, ...this.listens
				? ["--webhooks", this.webhooks] : []]);
	}

	reached() {
		try {
			return readFileSync(this.hits, "utf8").trim().split("\n");
		} catch {
			return [];
		}
	}

	// No process, but all that they have written.
	async leaveBehind() {
		for (const talk of this.talks)
			talk.leave();
		for (const s of this.servers)
			if (s.child.exitCode === null && s.child.signalCode === null) {
				s.child.kill("SIGKILL");
				await s.exited;
			}
		this.world.stories.delete(this);
	}

	async end() {
		await this.leaveBehind();
		if (this.database)
			await this.world.sql("DROP DATABASE IF EXISTS " +
				`${this.database} WITH (FORCE)`);
		rmSync(this.data, { recursive: true, force: true });
	}
}
