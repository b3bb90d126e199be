#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
//
// The world outside, as toolkit_witness reaches it: a service that writes down
// every request before it looks at it and every effect before it answers, so
// that what has happened is known whatever became of who asked.
//
//   witness.mjs --dir DIR
//
// prints "listening on http://127.0.0.1:PORT".  The base URL of a case is that
// + "/CASE"; its log is DIR/CASE.jsonl, one object a line, synced:
//
//   {"t": "request", "at": us, "tool", "key", "args_hash", "n"}
//   {"t": "effect", "at": us, "tool", "key", "receipt", "n"}
//   {"t": "answer", "at": us, "tool", "key", "status", "body", "n"}
//   {"t": "verify", "at": us, "key", "found", "body"}
//
// n counts the requests of a case; args_hash is the SHA-256 of the arguments
// in canonical JSON; key is the Idempotency-Key.
//
//   POST /CASE/read    no effect
//   POST /CASE/put     {id, value}: an effect if that changes what id has
//   POST /CASE/pay     an effect once a key; later the recorded answer
//   POST /CASE/book    an effect
//   GET  /CASE/verify?key=KEY   the answer of the book with this key, or 404
//   POST /CASE/send    an effect
//
// POST /CASE/_mode {tool, mode, times, ms} changes what the next `times`
// requests for a tool get (default 1): "close_after" acts and closes the
// connection (after ms) without an answer, "close_before" closes without acting, "delay"
// acts and answers after ms, "busy" answers 503 with Retry-After: 1.
// GET /CASE/_until?tool=T&what=request|effect|answer&n=N answers when there
// are that many.

import { createHash } from "node:crypto";
import { fsyncSync, openSync, writeSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";

import { pause } from "../support/wait.mjs";

const NAME = /^[a-z0-9._-]{1,100}$/;
const BODY_MAX = 1024 * 1024;
const TOOLS = new Set(["read", "put", "pay", "book", "send"]);

function canonical(v) {
	if (Array.isArray(v))
		return `[${v.map(canonical).join(",")}]`;
	if (v === null || typeof v !== "object")
		return JSON.stringify(v);
	return `{${Object.keys(v).sort().map((k) =>
		`${JSON.stringify(k)}:${canonical(v[k])}`).join(",")}}`;
}

const nowUs = () => Math.round((performance.timeOrigin + performance.now())
	* 1000);

class Case {
	constructor(dir, name) {
		this.name = name;
		this.fd = openSync(join(dir, `${name}.jsonl`), "a");
		this.n = 0;
		this.counts = new Map();
		this.modes = [];
		this.things = new Map(); // of put
		this.answers = new Map(); // of pay and book, by key
		this.waiting = new Set();
	}

	note(t, more) {
		writeSync(this.fd, `${JSON.stringify({ t, at: nowUs(), ...more })}\n`);
		fsyncSync(this.fd);
		const what = `${t} ${more.tool}`;
		this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
		for (const check of [...this.waiting])
			check();
	}

	until(tool, what, n) {
		return new Promise((resolve) => {
			const check = () => {
				if ((this.counts.get(`${what} ${tool}`) ?? 0) < n)
					return;
				this.waiting.delete(check);
				resolve();
			};
			this.waiting.add(check);
			check();
		});
	}

	mode(tool) {
		const m = this.modes.find((x) => x.tool === tool && x.times > 0);

		if (m)
			m.times--;
		return m ?? { mode: "normal" };
	}

	// What this request does to the world; the answer's body.
	act(tool, key, args, n) {
		const receipt = `${this.name}-${n}`;
		const body = { receipt, tool, args };

		if (tool === "read")
			return body;
		if (tool === "pay" && this.answers.has(key))
			return this.answers.get(key);
		if (tool === "put" && this.things.get(args.id) === args.value)
			return body;
		this.note("effect", { tool, key, receipt, n });
		if (tool === "put")
			this.things.set(args.id, args.value);
		else if (tool !== "send")
			this.answers.set(key, body);
		return body;
	}
}

function send(res, status, body, headers = {}) {
	const text = JSON.stringify(body);

	res.writeHead(status, { "content-type": "application/json",
		"content-length": Buffer.byteLength(text), ...headers });
	res.end(text);
}

async function readJson(req) {
	const parts = [];
	let size = 0;

	for await (const part of req) {
		if ((size += part.length) > BODY_MAX)
			throw new Error("the body is too large");
		parts.push(part);
	}
	return JSON.parse(Buffer.concat(parts).toString() || "{}");
}

async function call(c, tool, req, res) {
	const args = await readJson(req);
	const key = req.headers["idempotency-key"] ?? "";
	const n = ++c.n;
	const { mode, ms } = c.mode(tool);

	c.note("request", { tool, key, n, args_hash:
		createHash("sha256").update(canonical(args)).digest("hex") });
	if (mode === "busy")
		return send(res, 503, { error: "busy" }, { "retry-after": "1" });
	if (mode === "close_before")
		return req.socket.destroy();
	const body = c.act(tool, key, args, n);

	if (ms > 0)
		await pause(ms);
	if (mode === "close_after")
		return req.socket.destroy();
	c.note("answer", { tool, key, n, status: 200, body });
	return send(res, 200, body);
}

async function serve(cases, dir, req, res) {
	const url = new URL(req.url, "http://witness");
	const [, name, what] = url.pathname.split("/");

	if (!NAME.test(name) || what === undefined)
		return send(res, 404, { error: "no such page" });
	if (!cases.has(name))
		cases.set(name, new Case(dir, name));
	const c = cases.get(name);

	if (what === "_mode") {
		c.modes.push({ times: 1, ms: 0, ...await readJson(req) });
		return send(res, 200, {});
	}
	if (what === "_until") {
		const q = url.searchParams;

		await c.until(q.get("tool"), q.get("what"), Number(q.get("n") ?? 1));
		return send(res, 200, {});
	}
	if (what === "verify") {
		const key = url.searchParams.get("key");
		const body = c.answers.get(key);

		c.note("verify", { key, found: body !== undefined, body });
		return body ? send(res, 200, body) : send(res, 404, {});
	}
	if (!TOOLS.has(what))
		return send(res, 404, { error: "no such tool" });
	return call(c, what, req, res);
}

function main(argv) {
	const cases = new Map();

	if (argv[0] !== "--dir" || argv.length !== 2) {
		process.stderr.write("usage: witness.mjs --dir DIR\n");
		process.exit(2);
	}
	const server = http.createServer({ keepAliveTimeout: 60000 },
		(req, res) => serve(cases, argv[1], req, res).catch((e) => {
			process.stderr.write(`${e.stack}\n`);
			res.destroy();
		}));

	server.listen(0, "127.0.0.1", () => process.stdout.write(
		`listening on http://127.0.0.1:${server.address().port}\n`));
	process.on("SIGTERM", () => process.exit(0));
}

main(process.argv.slice(2));
