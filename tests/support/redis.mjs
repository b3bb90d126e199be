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

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const START_MS = 20000;

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
		for (const until = Date.now() + START_MS; ;) {
			if (await this.answers())
				return this;
			if (Date.now() > until || this.child.exitCode !== null)
				throw new Error("no redis-server");
			await new Promise((done) => setTimeout(done, 10));
		}
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
