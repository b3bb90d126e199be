// SPDX-License-Identifier: Apache-2.0
//
// The real program for end-to-end tests, on a free port, with a data folder of
// its own:
//
//   const server = await start({set: ["auth.signup=closed"], args: [], env: {}});
//   server.url, server.port, server.data, server.log (standard error so far)
//   await server.stop();          SIGTERM; gives the exit status, removes the data
//   await server.kill9();         and then server.restart() on the same data
//   await server.restart();       a new process, same data and settings, new
//                                 port, or {port: server.port}
//   server.command("replay", "--all")   another command of the program on the
//                                 same data, with the same settings:
//                                 {status, stdout, stderr}
//   const worker = await startWorker(server, {set: []});
//                                 a worker on the server's database, with a
//                                 data folder of its own; worker.epoch, and
//                                 stop, kill9 and restart as a server has them
//
// AGENT_STUDIO names the program (default: the one in the PATH),
// AGENT_STUDIO_CONF its folder of settings, if it shall not be the built-in one.
// AGENT_STUDIO_SET names more settings for all servers, with blanks between.
// With AGENT_STUDIO_STORE=postgres each server gets a new database of
// TEST_POSTGRES_URL, dropped by stop().  With {data: FOLDER} (and {database:
// NAME} of TEST_POSTGRES_URL) it works on what is there, and stop() leaves it.
//
// {spawned: fn} is called with the server as soon as there is a process.
//
// api(server, method, path, {body, token, cookie, headers}) is fetch with JSON:
// {status, headers, body, cookie}.

import { execFileSync, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const START_MS = 20000;
const STOP_MS = 20000;
const TELL = 4000; // characters of each log, if a test fails

// Whoever reads of a failure wants to know what the programs said.
const started = [];
process.on("exit", (code) => {
	for (const { child, log } of code === 0 ? [] : started)
		process.stderr.write(`---- process ${child?.pid} said\n${log.slice(-TELL)}\n`);
});

export function databaseUrl(url, name) {
	if (!/^postgres(ql)?:\/\//.test(url))
		return `${url} dbname=${name}`;
	const u = new URL(url);
	u.pathname = `/${name}`;
	return u.href;
}

function psql(url, text) {
	return execFileSync("psql", ["-X", "-q", "-A", "-t", "-d", url, "-c", text], {
		stdio: ["ignore", "pipe", "inherit"],
		encoding: "utf8",
	}).trim();
}

// One value of a server's PostgreSQL database, as text.
export function ask(server, text) {
	return psql(databaseUrl(server.admin, server.database), text);
}

class Server {
	constructor(options) {
		this.options = { set: [], args: [], env: {}, ...options };
		this.data = options.data ??
			mkdtempSync(join(tmpdir(), "agent-studio-"));
		this.log = "";
		this.output = [];
		started.push(this);
		const { AGENT_STUDIO_STORE: store } = process.env;
		if (options.data) {
			this.admin = process.env.TEST_POSTGRES_URL;
			this.database = options.database;
		} else if (store === "postgres" && !this.options.inner) {
			this.admin = process.env.TEST_POSTGRES_URL;
			if (!this.admin)
				throw new Error("TEST_POSTGRES_URL is not set");
			this.database = `e2e_${randomBytes(8).toString("hex")}`;
			psql(this.admin, `CREATE DATABASE ${this.database}`);
		}
	}

	arguments(port) {
		const { set, args } = this.options;
		const list = ["serve", "--port", String(port), "--data", this.data];
		if (process.env.AGENT_STUDIO_CONF)
			list.push("--conf", process.env.AGENT_STUDIO_CONF);
		if (this.database)
			list.push("--set",
				`store.url=${databaseUrl(this.admin, this.database)}`);
		const more = process.env.AGENT_STUDIO_SET?.split(" ") ?? [];
		for (const s of [...more, ...set])
			list.push("--set", s);
		return [...list, ...args];
	}

	command(...args) {
		return spawnSync(process.env.AGENT_STUDIO ?? "agent-studio",
			[...args, ...this.arguments(0).slice(3)], { encoding: "utf8",
				maxBuffer: 1 << 26,
				env: { ...process.env, ...this.options.env } });
	}

	async restart({ port = 0 } = {}) {
		const program = process.env.AGENT_STUDIO ?? "agent-studio";
		this.url = await this.launch(program, this.arguments(port),
			/^listening on (http:\/\/\S+)$/);
		this.port = Number(new URL(this.url).port);
		return this;
	}

	// The part in brackets of the first line of output that matches.
	launch(program, list, ready) {
		this.child = spawn(program, list, {
			stdio: ["ignore", "pipe", "pipe"],
			env: { ...process.env, ...this.options.env },
		});
		this.options.spawned?.(this);
		this.child.stderr.setEncoding("utf8");
		this.child.stderr.on("data", (text) => {
			this.log += text;
		});
		this.exited = new Promise((resolve, reject) => {
			this.child.on("error", reject);
			this.child.on("close", (code, signal) =>
				resolve({ code, signal }));
		});
		return this.ready(ready);
	}

	ready(pattern) {
		return new Promise((resolve, reject) => {
			const timer = setTimeout(() => {
				this.child.kill("SIGKILL");
				reject(new Error(`no ${pattern}:\n${this.log}`));
			}, START_MS);
			createInterface({ input: this.child.stdout }).on("line", (line) => {
				this.output.push(line);
				const m = pattern.exec(line);
				if (m) {
					clearTimeout(timer);
					resolve(m[1]);
				}
			});
			this.exited.then(({ code, signal }) => {
				clearTimeout(timer);
				reject(new Error(
					`ended with ${code ?? signal}:\n${this.log}`));
			}, reject);
		});
	}

	async end(signal) {
		const timer = setTimeout(() => this.child.kill("SIGKILL"), STOP_MS);
		this.child.kill(signal);
		const status = await this.exited;
		clearTimeout(timer);
		return status;
	}

	kill9() {
		return this.end("SIGKILL");
	}

	async stop() {
		const status = await this.end("SIGTERM");
		if (this.options.data)
			return status;
		rmSync(this.data, { recursive: true, force: true });
		if (this.database)
			psql(this.admin,
				`DROP DATABASE IF EXISTS ${this.database} WITH (FORCE)`);
		return status;
	}
}

class Worker extends Server {
	constructor(server, options) {
		super({ ...options, inner: true });
		this.admin = server.admin;
		this.of = server.database;
	}

	arguments() {
		const list = ["worker", "--data", this.data, "--set",
			`store.url=${databaseUrl(this.admin, this.of)}`];
		if (process.env.AGENT_STUDIO_CONF)
			list.push("--conf", process.env.AGENT_STUDIO_CONF);
		for (const s of this.options.set)
			list.push("--set", s);
		return list;
	}

	async restart() {
		const program = process.env.AGENT_STUDIO ?? "agent-studio";
		this.epoch = Number(await this.launch(program, this.arguments(),
			/^working as node epoch (\d+)$/));
		return this;
	}
}

export function startWorker(server, options = {}) {
	return new Worker(server, options).restart();
}

export function start(options = {}) {
	return new Server(options).restart();
}

export async function api(server, method, path, options = {}) {
	const { body, raw, token, cookie, headers = {} } = options;
	const init = { method, headers: { ...headers }, redirect: "manual" };
	if (body !== undefined || raw !== undefined) {
		init.body = raw ?? JSON.stringify(body);
		init.headers["content-type"] ??= "application/json";
	}
	if (token)
		init.headers.authorization = `Bearer ${token}`;
	if (cookie)
		init.headers.cookie = cookie;
	const answer = await fetch(server.url + path, init);
	const text = await answer.text();
	const json = /json/.test(answer.headers.get("content-type") ?? "");
	const set = answer.headers.get("set-cookie");
	return {
		status: answer.status,
		headers: answer.headers,
		body: json && text !== "" ? JSON.parse(text) : text,
		cookie: set ? set.split(";")[0] : null,
	};
}

let people = 0;

// A new account; the first one of a server is its admin.
export async function signUp(server, email = `p${++people}@example.org`) {
	const answer = await api(server, "POST", "/api/auth/signup", {
		body: { email, password: "correct horse battery" },
	});
	if (answer.status !== 201)
		throw new Error(`sign-up: ${JSON.stringify(answer.body)}`);
	return {
		...answer.body,
		email,
		token: answer.body.access_token,
		cookie: answer.cookie,
		password: "correct horse battery",
	};
}
