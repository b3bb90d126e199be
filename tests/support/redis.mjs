// SPDX-License-Identifier: Apache-2.0
//
// A Redis of a test's own, on a Unix socket, that keeps nothing on disk:
//
//   const redis = await startRedis({password: "secret"});
//   redis.url                    for redis.url
//   await redis.kill();          SIGKILL, at once
//   await redis.restart();       empty again, same address
//   redis.pause(), redis.go()    it hangs, and goes on
//   redis.ask("PUBSUB", "CHANNELS")   what redis-cli answers
//   await redis.stop();          and removes it
//
// A way to it that can be closed, so that nothing comes through and nobody is
// told, as a firewall does it:
//
//   const way = await startWay(redis);
//   way.url
//   way.shut(), way.open()
//   await way.stop();
//
// A master, a replica and three sentinels, with passwords:
//
//   const redis = await startSentinels({password, sentinelPassword, user,
//                                sentinelUser});
//                                users: one more, as in a file of settings
//   redis.url
//   await redis.killMaster();    SIGKILL; the replica becomes the master
//   await redis.restartOld();    what was killed, which becomes the replica
//   await redis.killSentinel();  one of the three
//   await redis.stop();

import { execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { freePort } from "./port.mjs";
import { until } from "./wait.mjs";

class Redis {
	constructor({ password = "" }) {
		this.password = password;
		this.dir = mkdtempSync(join(tmpdir(), "redis-"));
		this.path = join(this.dir, "s");
		this.url = `unix://${this.path}`;
	}

	async restart() {
		this.child = spawn("redis-server", ["--port", "0", "--unixsocket",
			this.path, "--save", "", "--appendonly", "no", "--dir", this.dir,
			...this.password ? ["--requirepass", this.password] : []],
		{ stdio: "ignore" });
		this.exited = new Promise((resolve, reject) => {
			this.child.on("error", reject);
			this.child.on("exit", resolve);
		});
		this.exited.catch(() => {});
		await until("redis-server answers", () => {
			if (this.child.exitCode !== null)
				throw new Error("redis-server has ended");
			return this.answers();
		});
		return this;
	}

	answers() {
		return new Promise((resolve) => {
			const socket = connect(this.path);
			socket.on("connect", () => resolve(true));
			socket.on("error", () => resolve(false));
			socket.on("connect", () => socket.destroy());
		});
	}

	async kill() {
		this.child.kill("SIGKILL");
		await this.exited;
		rmSync(this.path, { force: true });
	}

	pause() {
		this.child.kill("SIGSTOP");
	}

	go() {
		this.child.kill("SIGCONT");
	}

	ask(...words) {
		return execFileSync("redis-cli", ["-s", this.path, ...words], {
			encoding: "utf8",
			env: { ...process.env, ...this.password
				? { REDISCLI_AUTH: this.password } : {} },
		}).trim();
	}

	async stop() {
		if (this.child.exitCode === null && this.child.signalCode === null)
			await this.kill();
		rmSync(this.dir, { recursive: true, force: true });
	}
}

export function startRedis(options = {}) {
	return new Redis(options).restart();
}

class Way {
	constructor(redis) {
		this.redis = redis;
		this.pairs = new Set();
		this.isOpen = true;
		this.path = join(redis.dir, "way");
		this.url = `unix://${this.path}`;
	}

	start() {
		this.server = createServer({ pauseOnConnect: true },
			(near) => this.take(near));
		return new Promise((resolve) => {
			this.server.listen(this.path, () => resolve(this));
		});
	}

	take(near) {
		const far = connect(this.redis.path);
		const pair = [near, far];
		const end = () => {
			this.pairs.delete(pair);
			// Whoever is behind a shut way does not hear of it.
			if (this.isOpen)
				pair.forEach((socket) => socket.destroy());
			else
				far.destroy();
		};
		this.pairs.add(pair);
		for (const [from, to] of [pair, [far, near]]) {
			from.on("data", (bytes) => to.write(bytes));
			from.on("error", end);
			from.on("close", end);
		}
		if (this.isOpen)
			near.resume();
		else
			far.pause();
	}

	shut() {
		this.isOpen = false;
		this.pairs.forEach((pair) => pair.forEach((s) => s.pause()));
	}

	open() {
		this.isOpen = true;
		this.pairs.forEach((pair) => pair.forEach((s) => s.resume()));
	}

	async stop() {
		this.isOpen = true;
		this.pairs.forEach((pair) => pair.forEach((s) => s.destroy()));
		await new Promise((resolve) => this.server.close(resolve));
	}
}

export function startWay(redis) {
	return new Way(redis).start();
}

class Sentinels {
	servers = [];

	constructor({ password, sentinelPassword, user, sentinelUser }) {
		Object.assign(this, { password, sentinelPassword, user,
			sentinelUser });
		this.dir = mkdtempSync(join(tmpdir(), "redis-"));
	}

	// Each with a folder and a file of settings, which it writes itself.
	async launch(name, lines, args = []) {
		const file = join(this.dir, `${name}.conf`);
		for (let tries = 3; ; tries--) {
			const port = await freePort();
			writeFileSync(file, [`port ${port}`, "bind 127.0.0.1",
				`dir ${this.dir}`, ...lines].join("\n") + "\n");
			try {
				return await this.run({ name, port, file, args });
			} catch (error) { // somebody else has taken the port
				if (tries === 1)
					throw error;
			}
		}
	}

	async run(server) {
		const { port, file, args } = server;
		server.child = spawn("redis-server", [file, ...args],
			{ stdio: "ignore" });
		server.exited = new Promise((resolve) => {
			server.child.on("exit", resolve);
		});
		await until(`redis-server ${server.name} answers`, async () => {
			const up = await this.answers(port);
			if (server.child.exitCode !== null)
				throw new Error(`redis-server ${server.name} has ended`);
			return up;
		});
		if (!this.servers.includes(server))
			this.servers.push(server);
		return server;
	}

	answers(port) {
		return new Promise((resolve) => {
			const socket = connect(port, "127.0.0.1");
			socket.on("error", () => resolve(false));
			socket.on("connect", () => {
				socket.destroy();
				resolve(true);
			});
		});
	}

	// "": sentinels cut connections of whom they make a replica.
	ask(port, password, ...words) {
		const { status, stdout } = spawnSync("redis-cli",
			["-p", String(port), ...words], { encoding: "utf8",
				env: { ...process.env, REDISCLI_AUTH: password } });
		return status === 0 ? stdout.trim() : "";
	}

	async start() {
		const data = ['save ""', "appendonly no", "repl-diskless-sync-delay 0",
			`requirepass "${this.password}"`, `masterauth "${this.password}"`,
			...this.user ? [`user ${this.user}`] : []];
		this.master = await this.launch("one", data);
		this.replica = await this.launch("two", [...data,
			`replicaof 127.0.0.1 ${this.master.port}`]);
		this.sentinels = [];
		for (const i of [1, 2, 3])
			this.sentinels.push(await this.launch(`sentinel${i}`, [
				`requirepass "${this.sentinelPassword}"`,
				...this.sentinelUser ? [`user ${this.sentinelUser}`] : [],
				`sentinel sentinel-pass "${this.sentinelPassword}"`,
				`sentinel monitor main 127.0.0.1 ${this.master.port} 2`,
				`sentinel auth-pass main "${this.password}"`,
				// Else it is looked for every ten seconds.
				`sentinel known-replica main 127.0.0.1 ${this.replica.port}`,
				"sentinel down-after-milliseconds main 500",
				"sentinel failover-timeout main 6000"], ["--sentinel"]));
		this.url = "redis+sentinel://" + this.sentinels.map(
			({ port }) => `127.0.0.1:${port}`).join(",") + "/main";
		// Before they know each other and the replica, nothing can fail over.
		await until("the sentinels find each other", () =>
			this.sentinels.map(({ port }) => this.ask(port,
				this.sentinelPassword, "SENTINEL", "MASTER", "main"))
				.every((text) =>
					/num-slaves\s+1\s+num-other-sentinels\s+2\s/.test(text)) &&
			/master_link_status:up/.test(this.ask(this.replica.port,
				this.password, "INFO", "replication")));
		return this;
	}

	async killMaster() {
		this.master.child.kill("SIGKILL");
		await this.master.exited;
		[this.master, this.replica] = [this.replica, this.master];
	}

	async restartOld() {
		await this.run(this.replica);
	}

	async killSentinel() {
		const one = this.sentinels.pop();
		one.child.kill("SIGKILL");
		await one.exited;
	}

	async stop() {
		for (const { child, exited } of this.servers) {
			child.kill("SIGKILL");
			await exited;
		}
		rmSync(this.dir, { recursive: true, force: true });
	}
}

export function startSentinels(options) {
	return new Sentinels(options).start();
}
