// SPDX-License-Identifier: Apache-2.0
//
// Processes under a service manager (manager.py) that holds their socket:
//
//   const manager = await manage(["serve", "--data", ...], {host: "127.0.0.1"});
//   manager.url, manager.port, manager.log
//   const a = await manager.start();      once it has told READY=1
//   a.pid, a.told                         what it has told so far
//   a.kill("SIGTERM"); await a.exited;    its exit code
//   await manager.end();                  kills what is left

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PROGRAM = process.env.AGENT_STUDIO ?? "agent-studio";
const SCRIPT = fileURLToPath(new URL("manager.py", import.meta.url));

class Process {
	constructor(pid) {
		this.pid = pid;
		this.told = [];
		this.exited = new Promise((resolve) => {
			this.onExit = resolve;
		});
		this.ready = new Promise((resolve, reject) => {
			this.onReady = resolve;
			this.exited.then((code) => reject(new Error(`ended with ${code}`)));
		});
		this.ready.catch(() => {});
	}

	tell(text) {
		this.told.push(text);
		if (text.startsWith("READY=1"))
			this.onReady(this);
	}

	kill(signal) {
		process.kill(this.pid, signal);
	}
}

class Manager {
	#starting = []; #processes = new Map();

	constructor(list, { host = "127.0.0.1", env = {} }) {
		this.log = "";
		this.child = spawn(SCRIPT, [host, PROGRAM, ...list],
			{ env: { ...process.env, ...env } });
		this.child.stderr.setEncoding("utf8");
		this.child.stderr.on("data", (text) => {
			this.log += text;
		});
		this.exited = new Promise((resolve) => this.child.on("close", resolve));
		this.listens = new Promise((resolve, reject) => {
			createInterface({ input: this.child.stdout }).on("line",
				(line) => this.#line(line.split(" "), resolve));
			this.exited.then(() => reject(new Error(`no manager:\n${this.log}`)));
		});
	}

	#line([word, pid, ...rest], listens) {
		const of = this.#processes.get(Number(pid));
		if (word === "port") {
			this.port = Number(pid);
			this.url = `http://127.0.0.1:${pid}`;
			listens(this);
		} else if (word === "started") {
			const p = new Process(Number(pid));
			this.#processes.set(p.pid, p);
			this.#starting.shift()(p);
		} else if (word === "told")
			of?.tell(rest.join(" "));
		else
			of?.onExit(Number(rest[0]));
	}

	async start() {
		const p = await new Promise((resolve) => {
			this.#starting.push(resolve);
			this.child.stdin.write("start\n");
		});
		return p.ready;
	}

	end() {
		this.child.stdin.end();
		return this.exited;
	}
}

export async function manage(list, options = {}) {
	const manager = new Manager(list, options);
	await manager.listens;
	return manager;
}
