// SPDX-License-Identifier: Apache-2.0
//
// The demo's socket without a browser: what was said when the connection was
// lost is said again, but not what the server cannot take.

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

const folder = mkdtempSync(join(tmpdir(), "demo-"));
let ThreadSocket, opened;

class FakeSocket extends EventTarget {
	static OPEN = 1;
	readyState = FakeSocket.OPEN;
	sent = [];

	constructor() {
		super();
		opened(this);
	}

	send(text) {
		this.sent.push(JSON.parse(text));
	}

	close() {}

	says(frame) {
		this.dispatchEvent(Object.assign(new Event("message"),
			{ data: JSON.stringify(frame) }));
	}

	ends(code) {
		this.dispatchEvent(Object.assign(new Event("close"), { code }));
	}
}

const another = () => new Promise((resolve) => {
	opened = resolve;
});

before(async () => {
	cpSync(join(process.env.SRC_DIR, "demo"), folder, { recursive: true });
	writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
	globalThis.WebSocket = FakeSocket;
	globalThis.location = { protocol: "http:", host: "localhost" };
	({ ThreadSocket } = await import(pathToFileURL(join(folder, "socket.js"))));
});
after(() => rmSync(folder, { recursive: true }));

const MESSAGE = { type: "message", content: "hello", client_message_id: "1" };

// What is sent to the second socket when the first has ended like that.
async function saidAgain(code, frames) {
	const handlers = { onState() {}, onFrame: (frame) => frames.push(frame) };
	let next = another();
	const socket = new ThreadSocket("1", handlers);
	const first = await next;
	first.says({ type: "ready" });
	socket.send(MESSAGE);
	next = another();
	first.ends(code);
	const second = await next;
	second.says({ type: "ready" });
	socket.close();
	return second.sent;
}

test("what was being said is said again", async () => {
	assert.deepEqual(await saidAgain(1006, []), [MESSAGE]);
});

test("what is too large is not, and the reader is told", async () => {
	const frames = [];
	assert.deepEqual(await saidAgain(1009, frames), []);
	assert.equal(frames.find((f) => f.type === "error").code, "TOO_LARGE");
});
