// SPDX-License-Identifier: Apache-2.0
//
// A chat socket for tests, on the `ws` client: frames are kept in order, and
// waited for, never slept for.
//
//   const socket = await connect(server, threadId, {token, after});
//   await socket.until((frame) => frame.type === "ready");
//   socket.send({type: "ping"});
//   const {code, reason} = await socket.closed;

import { createRequire } from "node:module";

const { WebSocket } = createRequire(import.meta.url)("ws");
const WAIT_MS = 15000;

export class Socket {
	constructor(url, options = {}) {
		this.frames = [];
		this.seen = 0;
		this.waiting = null;
		this.patience = WAIT_MS; // of until
		this.ws = new WebSocket(url, options);
		this.ws.on("message", (data, binary) => {
			this.frames.push(binary ? data : JSON.parse(data.toString()));
			this.waiting?.();
		});
		this.closed = new Promise((resolve) => {
			this.ws.on("close", (code, reason) => {
				this.over = { code, reason: reason.toString() };
				this.waiting?.();
				resolve(this.over);
			});
			this.ws.on("error", (error) => {
				this.error = error;
			});
		});
		this.opened = new Promise((resolve, reject) => {
			this.ws.on("open", resolve);
			this.ws.on("error", reject);
		});
		this.opened.catch(() => {});
	}

	// The first frame, of those not looked at yet, that passes.
	async until(passes, what = passes.toString()) {
		let timer;
		const late = new Promise((_, reject) => {
			timer = setTimeout(() => reject(new Error(`no frame: ${what}\n` +
				this.frames.map((f) => JSON.stringify(f)).join("\n"))),
			this.patience);
		});
		try {
			for (;;) {
				while (this.seen < this.frames.length) {
					const frame = this.frames[this.seen++];
					if (passes(frame))
						return frame;
				}
				if (this.over)
					throw new Error(`closed ${this.over.code} before: ${what}`);
				await Promise.race([late, new Promise((resolve) => {
					this.waiting = resolve;
				})]);
			}
		} finally {
			clearTimeout(timer);
		}
	}

	type(type) {
		return this.until((f) => f.type === type, type);
	}

	end() {
		return this.until((f) => f.type === "run_status" && f.status === "end",
			"the run's end");
	}

	// A run has ended, or waits for a decision.
	stops(runId) {
		return this.until((f) => f.type === "run_status" &&
			f.run_id === (runId ?? f.run_id) &&
			(f.status === "end" || f.state === "recoverable_error"),
		"the run's end, or that it is parked");
	}

	send(frame) {
		this.ws.send(typeof frame === "string" ? frame : JSON.stringify(frame));
	}

	close() {
		this.ws.close();
		return this.closed;
	}
}

export async function connect(server, threadId, options = {}) {
	const { token, cookie, after, headers = {} } = options;
	const query = after === undefined ? "" : `?after_seq=${after}`;
	const socket = new Socket(
		`${server.url.replace("http", "ws")}/ws/chat/${threadId}/${query}`, {
			headers: {
				...headers,
				...(token ? { authorization: `Bearer ${token}` } : {}),
				...(cookie ? { cookie } : {}),
			},
		});
	await socket.opened;
	return socket;
}
