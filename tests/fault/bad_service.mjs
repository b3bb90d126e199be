// SPDX-License-Identifier: Apache-2.0
//
// A service that does everything wrong that a service can do: what it writes
// are bytes, not answers.
//
//   const bad = await startBad();
//   bad.url + "/NAME"      one of the manners below, for an unknown name
//   bad.manner             the one of this name
//   bad.n                  requests so far
//   await bad.stop();

import { randomBytes } from "node:crypto";
import net from "node:net";

const MIB = 1024 * 1024;
const PIECE = 64 * 1024;
const SLOW_MS = 50;
const LATE_MS = 6000; // after every deadline of the drill

const head = (length, type = "application/json", status = "200 OK") =>
	`HTTP/1.1 ${status}\r\ncontent-type: ${type}\r\n` +
	`content-length: ${length}\r\n\r\n`;
const whole = (body, type) => head(Buffer.byteLength(body), type) + body;

// Writes for as long as somebody reads; the pieces come as fast as they are
// taken, or every ms.
function pour(socket, piece, total, ms = 0) {
	let left = total;
	const more = () => {
		while (!socket.destroyed && left > 0) {
			left -= piece.length;
			if (!socket.write(piece))
				return socket.once("drain", more);
			if (ms > 0)
				return setTimeout(more, ms);
		}
		return undefined;
	};
	more();
}

const later = (socket, text) => setTimeout(() => {
	if (!socket.destroyed)
		socket.write(text);
}, LATE_MS);

export const manners = {
	good: (s, n) => s.write(whole(JSON.stringify({ n }))),
	// Garbage.
	"no-http": (s) => s.end("220 mail.example.org ready\r\n".repeat(10)),
	"odd-status": (s) => s.end("HTTP/1.1 2OO Sure\r\n\r\n"),
	bytes: (s) => s.end(Buffer.concat([Buffer.from(head(PIECE,
		"application/octet-stream")), randomBytes(PIECE)])),
	"half-json": (s) => s.write(whole("{\"result\": [1, 2")),
	deep: (s) => s.write(whole("[".repeat(200000))),
	short: (s) => s.end(`${head(1000)}{"cut":`),
	chunks: (s) => s.end("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n" +
		"\r\nzzzz\r\nnot a length\r\n"),
	loop: (s) => s.write("HTTP/1.1 302 Found\r\nlocation: /loop\r\n" +
		"content-length: 0\r\n\r\n"),
	// Too much.
	huge: (s) => {
		s.write(head(100 * MIB, "text/plain"));
		pour(s, Buffer.alloc(PIECE, "x"), 100 * MIB);
	},
	"huge-json": (s) => {
		s.write(`${head(100 * MIB + 2)}"`);
		pour(s, Buffer.alloc(PIECE, "x"), 100 * MIB);
	},
	headers: (s) => {
		s.write("HTTP/1.1 200 OK\r\n");
		pour(s, Buffer.from(`x-more: ${"y".repeat(8000)}\r\n`), 100 * MIB);
	},
	// Too late, or never.
	drip: (s) => {
		s.write(head(100 * MIB, "text/plain"));
		pour(s, Buffer.from("."), 100 * MIB, SLOW_MS);
	},
	late: (s) => later(s, whole("{\"late\": true}")),
	never: () => {},
	// Twice: what comes after the answer is no answer to the next request.
	twice: (s) => s.write(whole("{\"answer\": 1}") + whole("{\"answer\": 2}")),
};

export async function startBad() {
	const sockets = new Set();
	const bad = { n: 0, manner: undefined };
	const server = net.createServer((socket) => {
		sockets.add(socket);
		socket.on("error", () => {});
		socket.on("close", () => sockets.delete(socket));
		socket.on("data", (bytes) => {
			const m = /^[A-Z]+ \/([a-z-]+)/.exec(bytes.toString("latin1"));

			if (m)
				(manners[m[1]] ?? manners[bad.manner] ?? manners.good)(
					socket, ++bad.n);
		});
	});

	await new Promise((done) => server.listen(0, "127.0.0.1", done));
	bad.port = server.address().port;
	bad.url = `http://127.0.0.1:${bad.port}`;
	bad.stop = async () => {
		for (const socket of sockets)
			socket.destroy();
		await new Promise((done) => server.close(done));
	};
	return bad;
}
