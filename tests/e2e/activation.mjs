// SPDX-License-Identifier: Apache-2.0
//
// A socket that a service manager holds: the server behind it is restarted and
// nobody is refused; and what the manager is told meanwhile.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";

import { lacksPostgres } from "../support/lacks.mjs";
import { manage } from "../support/manager.mjs";
import { api, signUp, start } from "../support/server.mjs";
import { until } from "../support/wait.mjs";

const PROGRAM = process.env.AGENT_STUDIO ?? "agent-studio";
const CLIENTS = 4;

// A connection of its own: it may be one that nobody accepts just now.
function ask(server, method, path, { token, body } = {}) {
	return new Promise((resolve, reject) => {
		const req = http.request(server.url + path, { method, agent: false,
			headers: { ...token ? { authorization: `Bearer ${token}` } : {},
				...body ? { "content-type": "application/json" } : {} } },
		(res) => res.on("end", () => resolve(res.statusCode)).resume());
		req.on("error", reject);
		req.end(body ? JSON.stringify(body) : undefined);
	});
}

// Clients that do not know of it, while act restarts what serves them.
async function load(server, token, act) {
	const answers = [];
	let over = false;
	const client = async (i) => {
		while (!over)
			answers.push(await (i % 2 === 0
				? ask(server, "GET", "/api/agents/", { token })
				: ask(server, "POST", "/api/agents/",
					{ token, body: { name: "Helper" } }))
				.catch((error) => error.code));
	};
	const clients = Array.from({ length: CLIENTS }, (_, i) => client(i));
	await act(async (n) => {
		const enough = answers.length + n;
		await until("answers", () => answers.length >= enough);
	});
	over = true;
	await Promise.all(clients);
	const wrong = answers.filter((a) => a !== 200 && a !== 201);
	assert.deepEqual(wrong, [], `of ${answers.length}`);
	return answers.length;
}

test("one server after the other", async () => {
	const data = mkdtempSync(join(tmpdir(), "agent-studio-"));
	const manager = await manage(["serve", "--data", data,
		"--set", "server.drain_delay=200ms", "--set", "server.loops=2"],
	{ env: { WATCHDOG_USEC: "500000" } });
	try {
		let server = await manager.start();
		const { token } = await signUp(manager);
		const n = await load(manager, token, async (answered) => {
			for (let i = 0; i < 3; i++) {
				await answered(20);
				server.kill("SIGTERM");
				assert.equal(await server.exited, 0, manager.log);
				assert.ok(server.told.some((t) => t.startsWith("STOPPING=1")));
				server = await manager.start();
			}
			await answered(20);
		});
		assert.ok(n > 100, `${n} answers`);
		assert.match(server.told[0], /^READY=1 STATUS=node epoch \d+$/);
		await until("signs of life", () =>
			server.told.filter((t) => t === "WATCHDOG=1").length >= 4);
		assert.match(manager.log,
			new RegExp(`listening on http://127.0.0.1:${manager.port}\n`));
		server.kill("SIGTERM");
		assert.equal(await server.exited, 0);
	} finally {
		await manager.end();
		rmSync(data, { recursive: true });
	}
});

test("two servers on one socket, restarted in turn", {
	skip: lacksPostgres }, async () => {
	const store = process.env.AGENT_STUDIO_STORE;
	process.env.AGENT_STUDIO_STORE = "postgres";
	const first = await start();
	process.env.AGENT_STUDIO_STORE = store ?? "";
	const manager = await manage([...first.arguments(0),
		"--set", "server.drain_delay=200ms"]);
	try {
		const servers = [await manager.start(), await manager.start()];
		const { token } = await signUp(manager);
		await load(manager, token, async (answered) => {
			for (const i of [0, 1, 0]) {
				await answered(20);
				servers[i].kill("SIGTERM");
				await answered(20);
				assert.equal(await servers[i].exited, 0, manager.log);
				await answered(20);
				servers[i] = await manager.start();
			}
		});
		for (const server of servers)
			server.kill("SIGTERM");
		for (const server of servers)
			assert.equal(await server.exited, 0);
	} finally {
		await manager.end();
		await first.stop();
	}
});

test("a socket that all can reach closes sign-up", async () => {
	const data = mkdtempSync(join(tmpdir(), "agent-studio-"));
	const manager = await manage(["serve", "--data", data], { host: "0.0.0.0" });
	try {
		await manager.start();
		await signUp(manager);
		const { status } = await api(manager, "POST", "/api/auth/signup", {
			body: { email: "b@example.org", password: "correct horse battery" } });
		assert.equal(status, 403);
	} finally {
		await manager.end();
		rmSync(data, { recursive: true });
	}
});

test("what cannot be taken is refused", () => {
	const data = mkdtempSync(join(tmpdir(), "agent-studio-"));
	const run = (variables) => spawnSync("sh", ["-c",
		`LISTEN_PID=$$ ${variables} exec "$0" serve --data "$1" --port 0 3</dev/null`,
		PROGRAM, data], { encoding: "utf8", timeout: 20000 });
	try {
		const many = run("LISTEN_FDS=2");
		assert.match(many.stderr, /LISTEN_FDS is 2: one socket is expected/);
		assert.equal(many.status, 1);
		const other = run("LISTEN_FDS=1");
		assert.match(other.stderr, /descriptor 3.*is not a TCP socket that listens/);
		assert.equal(other.status, 1);
	} finally {
		rmSync(data, { recursive: true });
	}
});

test("as many files as it may have, not as a shell begins with", async () => {
	const data = mkdtempSync(join(tmpdir(), "agent-studio-"));
	const child = spawn("prlimit", ["--nofile=256:4096", PROGRAM, "serve",
		"--data", data, "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
	const exited = once(child, "exit");
	try {
		await once(createInterface({ input: child.stdout }), "line");
		assert.match(readFileSync(`/proc/${child.pid}/limits`, "utf8"),
			/^Max open files +4096 +4096 /m);
	} finally {
		child.kill();
		await exited;
		rmSync(data, { recursive: true });
	}
});
