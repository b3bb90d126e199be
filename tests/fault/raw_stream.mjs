// SPDX-License-Identifier: Apache-2.0
//
// A live stream, WebSocket or server-sent events, over a bare connection: a
// client that can be cut off anywhere, also in the middle of a frame.
//
//   const stream = new RawStream(url, {path, token, websocket, lastId, on});
//   on.open()            the handshake is done, or the head is there
//   on.frame(object)     one frame of our vocabulary
//   on.over(why)         the last call: {code, reason, status, retryAfter, error,
//                        ended}, each if there is one
//   on.bytes(chunk)      optional: how many of these bytes shall be read before
//                        on.cut is called; null: all
//   stream.send(object)  a frame of a WebSocket
//   stream.reset()       TCP reset;  stream.leave() in order;  stream.stall()
//                        stops reading
//
// After reset and leave nothing is called any more.

import { randomBytes } from "node:crypto";
import net from "node:net";

const CRLF2 = Buffer.from("\r\n\r\n");
const LF2 = Buffer.from("\n\n");
const TEXT = 1, CLOSE = 8, PING = 9, PONG = 10;

function masked(opcode, payload) {
	const head = payload.length < 126 ? Buffer.from([0x80 | opcode,
		0x80 | payload.length]) : Buffer.from([0x80 | opcode, 0x80 | 126,
		payload.length >> 8, payload.length & 255]);
	const mask = randomBytes(4);

	return Buffer.concat([head, mask, payload.map((b, i) => b ^ mask[i & 3])]);
}

// {opcode, payload, size}, or null: not all of it is there.
function frameOf(b) {
	if (b.length < 2)
		return null;
	const short = b[1] & 127;
	const head = short === 127 ? 10 : short === 126 ? 4 : 2;
	if (b.length < head)
		return null;
	const length = short === 127 ? Number(b.readBigUInt64BE(2))
		: short === 126 ? b.readUInt16BE(2) : short;
	if (b.length < head + length)
		return null;
	return { opcode: b[0] & 15, fin: b[0] >= 128,
		payload: b.subarray(head, head + length), size: head + length };
}

export class RawStream {
	constructor(url, { path, token, websocket, lastId, on }) {
		const { hostname, port } = new URL(url);

		Object.assign(this, { on, websocket, input: Buffer.alloc(0),
			body: Buffer.alloc(0), head: null, why: {}, parts: [] });
		this.socket = net.connect({ host: hostname, port: Number(port),
			noDelay: true });
		this.socket.on("connect", () => this.socket.write([
			`GET ${path} HTTP/1.1`, `Host: ${hostname}:${port}`,
			`Authorization: Bearer ${token}`,
			...websocket ? ["Upgrade: websocket", "Connection: Upgrade",
				"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " +
				randomBytes(16).toString("base64")]
				: ["Accept: text/event-stream"],
			...lastId ? [`Last-Event-ID: ${lastId}`] : [], "", ""]
			.join("\r\n")));
		this.socket.on("data", (bytes) => this.take(bytes));
		this.socket.on("error", (e) => {
			this.why.error ??= e.code ?? e.message;
		});
		this.socket.on("close", () => this.over());
	}

	over() {
		if (this.gone)
			return;
		this.gone = true;
		this.socket.destroy();
		this.on.over(this.why);
	}

	take(bytes) {
		const keep = this.gone ? 0 : this.on.bytes?.(bytes) ?? null;

		if (this.gone)
			return;
		const more = keep === null ? bytes : bytes.subarray(0, keep);
		this.input = this.input.length === 0 ? more
			: Buffer.concat([this.input, more]);
		this.read();
		if (keep !== null && !this.gone)
			this.on.cut();
	}

	read() {
		if (!this.head && !this.readHead())
			return;
		if (this.websocket)
			this.readFrames();
		else
			this.readEvents();
	}

	readHead() {
		const at = this.input.indexOf(CRLF2);

		if (at < 0)
			return false;
		this.head = this.input.subarray(0, at).toString();
		this.input = this.input.subarray(at + 4);
		const status = Number(this.head.split(" ", 2)[1]);
		if (status !== (this.websocket ? 101 : 200)) {
			this.why.status = status;
			this.why.retryAfter = Number(
				/^retry-after: (\d+)/im.exec(this.head)?.[1] ?? 0);
			this.over();
			return false;
		}
		this.chunked = /^transfer-encoding: chunked/im.test(this.head);
		this.on.open();
		return !this.gone;
	}

	readFrames() {
		for (let f; !this.gone && (f = frameOf(this.input));) {
			this.input = this.input.subarray(f.size);
			if (f.opcode === PING) {
				this.socket.write(masked(PONG, f.payload));
			} else if (f.opcode === CLOSE) {
				this.why.code = f.payload.length > 1
					? f.payload.readUInt16BE(0) : 1005;
				this.why.reason = f.payload.subarray(2).toString();
				this.socket.write(masked(CLOSE, f.payload.subarray(0, 2)));
				this.over();
			} else if (f.opcode <= TEXT) {
				this.parts.push(f.payload);
				if (!f.fin)
					continue;
				const text = Buffer.concat(this.parts).toString();
				this.parts = [];
				this.on.frame(JSON.parse(text));
			}
		}
	}

	// Chunks, then events; comments are left out.
	readEvents() {
		const parts = [this.body];
		for (let end; (end = this.input.indexOf("\r\n")) >= 0;) {
			const size = parseInt(this.input.subarray(0, end).toString(), 16);
			if (this.input.length < end + 2 + size + 2)
				break;
			parts.push(this.input.subarray(end + 2, end + 2 + size));
			this.input = this.input.subarray(end + 2 + size + 2);
			this.why.ended = size === 0;
		}
		this.body = Buffer.concat(parts);
		for (let end; !this.gone && (end = this.body.indexOf(LF2)) >= 0;) {
			const lines = this.body.subarray(0, end).toString().split("\n");

			this.body = this.body.subarray(end + 2);
			const value = (name) => lines.find((l) =>
				l.startsWith(`${name}: `))?.slice(name.length + 2);
			const data = value("data");
			if (data !== undefined)
				this.on.frame(JSON.parse(data), value("id"));
		}
		if (!this.gone && this.why.ended)
			this.over();
	}

	send(object) {
		this.socket.write(masked(TEXT, Buffer.from(JSON.stringify(object))));
	}

	reset() {
		this.gone = true;
		this.socket.resetAndDestroy();
	}

	leave() {
		this.gone = true;
		this.socket.on("data", () => {});
		if (this.websocket && this.head)
			this.socket.write(masked(CLOSE, Buffer.from([3, 232])));
		this.socket.end();
		// The other side has a moment to close as well.
		setTimeout(() => this.socket.destroy(), 1000).unref();
	}

	stall() {
		this.gone = true;
		this.socket.pause();
	}
}
