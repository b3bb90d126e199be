#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
//
// A receiver of webhooks that keeps what comes, as a Standard Webhooks library
// would look at it.
//
//   const r = await startReceiver({dir: FOLDER});
//   r.url, r.port, r.seen        what came: {id, timestamp, signature, body,
//                                status}, in order
//   r.answer((m) => ({status, headers, close, hold}))
//                                what is answered from now on; close: the
//                                connection is cut instead; hold: a promise
//                                that is waited for first
//   await r.until((seen) => seen.length > 2, "three")
//   verify(secret, m)            is one of its signatures that of the secret?
//   sign(secret, {id, timestamp, body})    as a sender would
//   await r.stop()
//
// With a folder each message is a line of DIR/PATH.webhooks.jsonl (its path
// without slashes), synced before it is answered: {"t": "webhook", "at": us,
// "id", "timestamp", "good", "body", "status"}; good: signed with the secret
// that r.secrets has for the path.
//
// As a program: receiver.mjs --dir DIR [--secret whsec_...] prints "listening
// on URL" and answers 204.

import { createHmac, timingSafeEqual } from "node:crypto";
import { fsyncSync, openSync, writeSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const WAIT_MS = 20000;

export function sign(secret, { id, timestamp, body }) {
	const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
	return "v1," + createHmac("sha256", key)
		.update(`${id}.${timestamp}.`).update(body).digest("base64");
}

export function verify(secret, m) {
	const own = Buffer.from(sign(secret, m));
	return (m.signature ?? "").split(" ").some((s) => {
		const other = Buffer.from(s);
		return other.length === own.length && timingSafeEqual(other, own);
	});
}

class Receiver {
	constructor({ dir = null, secret }) {
		this.dir = dir;
		this.secret = secret;
		this.secrets = new Map(); // by path
		this.files = new Map();
		this.seen = [];
		this.waiting = new Set();
		this.reply = () => ({});
	}

	answer(fn) {
		this.reply = fn;
	}

	write(m) {
		const name = m.path.replaceAll("/", "");
		const secret = this.secrets.get(m.path) ?? this.secret;

		if (!this.files.has(name))
			this.files.set(name, openSync(join(this.dir,
				`${name}.webhooks.jsonl`), "a"));
		const fd = this.files.get(name);
		writeSync(fd, `${JSON.stringify({ t: "webhook",
			at: Math.round((performance.timeOrigin + performance.now()) * 1000),
			id: m.id, timestamp: m.timestamp,
			good: secret !== undefined && verify(secret, m),
			body: m.body.toString(), status: m.status })}\n`);
		fsyncSync(fd);
	}

	keep(m) {
		this.seen.push(m);
		if (this.dir !== null)
			this.write(m);
		for (const look of [...this.waiting])
			look();
	}

	async serve(req, res) {
		const parts = [];
		for await (const part of req)
			parts.push(part);
		const m = { id: req.headers["webhook-id"],
			timestamp: Number(req.headers["webhook-timestamp"]),
			signature: req.headers["webhook-signature"],
			headers: req.headers, path: req.url,
			body: Buffer.concat(parts) };
		const { status = 204, headers = {}, close, hold } =
			await this.reply(m, this.seen.length) ?? {};

		m.status = status;
		this.keep(m);
		if (hold)
			await hold;
		if (close)
			return req.socket.destroy();
		res.writeHead(status, headers);
		return res.end();
	}

	until(passes, what) {
		return new Promise((resolve, reject) => {
			const late = setTimeout(() => {
				this.waiting.delete(look);
				reject(new Error(`not in time: ${what}; came: ` +
					JSON.stringify(this.seen.map((m) => [m.id, m.status]))));
			}, WAIT_MS);
			const look = () => {
				const found = passes(this.seen);
				if (!found)
					return;
				clearTimeout(late);
				this.waiting.delete(look);
				resolve(found);
			};
			this.waiting.add(look);
			look();
		});
	}

	async stop() {
		this.server.closeAllConnections();
		await new Promise((done) => this.server.close(done));
	}
}

export async function startReceiver(options = {}) {
	const r = new Receiver(options);
	r.server = http.createServer((req, res) => r.serve(req, res)
		.catch(() => res.destroy()));
	await new Promise((done) => r.server.listen(options.port ?? 0, "127.0.0.1",
		done));
	r.port = r.server.address().port;
	r.url = `http://127.0.0.1:${r.port}`;
	return r;
}

async function main(argv) {
	const at = (name) => argv.includes(name) ? argv[argv.indexOf(name) + 1]
		: undefined;
	const r = await startReceiver({ dir: at("--dir"), secret: at("--secret") });
	process.stdout.write(`listening on ${r.url}\n`);
	process.on("SIGTERM", () => process.exit(0));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href)
	await main(process.argv.slice(2));
