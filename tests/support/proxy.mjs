// SPDX-License-Identifier: Apache-2.0
//
// The sample configurations of etc/, run as they are but for the addresses:
//
//   const proxy = await startProxy("nginx", [8081, 8082]);     or "haproxy"
//   proxy.url, proxy.port, proxy.log
//   await proxy.served();        lines of nginx: which server answered what
//   await proxy.stop();
//
// SRC_DIR is where etc/ is.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { freePort } from "./port.mjs";
import { until } from "./wait.mjs";

const SAMPLES = [8081, 8082];

export const hasProxy = (kind) => existsSync(`/usr/sbin/${kind}`);

function replace(text, from, to) {
	if (!text.includes(from))
		throw new Error(`the sample has no '${from}'`);
	return text.replace(from, to);
}

function sample(name, ports) {
	let text = readFileSync(join(process.env.SRC_DIR, "etc", name), "utf8");
	SAMPLES.forEach((port, i) => {
		text = replace(text, `127.0.0.1:${port}`, `127.0.0.1:${ports[i]}`);
	});
	return text;
}

const MAIN = (dir) => `daemon off; pid ${dir}/pid; worker_processes 2;
${process.getuid() === 0 ? "user root;" : ""}
error_log stderr notice;
events { worker_connections 8192; }
http {
	log_format served '$upstream_addr $status $request_method $uri $upstream_status';
	access_log ${dir}/access served;
	client_body_temp_path ${dir}/body; proxy_temp_path ${dir}/proxy;
	fastcgi_temp_path ${dir}/fastcgi; uwsgi_temp_path ${dir}/uwsgi;
	scgi_temp_path ${dir}/scgi;
	include ${dir}/site.conf;
}
`;

class Proxy {
	constructor(kind, ports) {
		this.kind = kind;
		this.ports = ports;
		this.log = "";
		this.dir = mkdtempSync(join(tmpdir(), `${kind}-`));
	}

	files(name, text) {
		writeFileSync(join(this.dir, name), text);
	}

	arguments() {
		if (this.kind === "haproxy") {
			this.files("haproxy.cfg", replace(sample("haproxy.cfg", this.ports),
				"bind :80", `bind 127.0.0.1:${this.port}`));
			return ["-db", "-f", join(this.dir, "haproxy.cfg")];
		}
		this.files("site.conf", replace(sample("nginx.conf", this.ports),
			"listen 80;", `listen 127.0.0.1:${this.port};`));
		this.files("main.conf", MAIN(this.dir));
		return ["-p", this.dir, "-c", join(this.dir, "main.conf"),
			"-e", "stderr"];
	}

	// Another process may take the port first: then another one is tried.
	async begin() {
		this.port = await freePort();
		this.url = `http://127.0.0.1:${this.port}`;
		this.child = spawn(`/usr/sbin/${this.kind}`, this.arguments(),
			{ stdio: ["ignore", "ignore", "pipe"] });
		this.child.stderr.setEncoding("utf8");
		this.child.stderr.on("data", (text) => {
			this.log += text;
		});
		this.exited = new Promise((resolve, reject) => {
			this.child.on("error", reject);
			this.child.on("close", resolve);
		});
		return await until(() => `${this.kind} answers:\n${this.log}`,
			async () => await this.answers() ? "answers" :
				this.child.exitCode !== null && "ended") === "answers";
	}

	async start() {
		for (let tries = 3; !await this.begin();)
			if (--tries === 0)
				throw new Error(`no ${this.kind}:\n${this.log}`);
		return this;
	}

	answers() {
		return new Promise((resolve) => {
			const socket = net.connect(this.port, "127.0.0.1");
			socket.on("connect", () => resolve(true));
			socket.on("error", () => resolve(false));
			socket.on("connect", () => socket.destroy());
		});
	}

	served() {
		return readFileSync(join(this.dir, "access"), "utf8").trim().split("\n");
	}

	async stop() {
		this.child.kill("SIGTERM");
		await this.exited;
		rmSync(this.dir, { recursive: true, force: true });
	}
}

export function startProxy(kind, ports) {
	return new Proxy(kind, ports).start();
}
