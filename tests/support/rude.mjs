// SPDX-License-Identifier: Apache-2.0
//
// Clients that nobody wants, on a thread of their own, so that whoever measures
// is not slowed down by them here:
//
//   const rude = await startRude({how: "deaf", url, token, n: 8});
//   const {closed} = await rude.stop();
//
// deaf: open a WebSocket and read nothing.  flood: send 10,000 frames a
// second, and come back when cut off.  unheard: open sockets of threads that
// are not theirs, with cursors that are wrong.

import { connect } from "node:net";
import { createRequire } from "node:module";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

import { pause } from "./wait.mjs";

// closed: how often sockets were closed with each code; sent: frames.
export async function startRude(options) {
	const worker = new Worker(new URL(import.meta.url), { workerData: options });
	const said = (type) => new Promise((resolve, reject) => {
		worker.on("error", reject);
		worker.on("message", (m) => m.type === type && resolve(m));
	});
	await said("ready");
	return {
		async stop() {
			const end = said("end");
			worker.postMessage("stop");
			const result = await end;
			await worker.terminate();
			return result;
		},
	};
}

function deaf({ url, token, n }) {
	const { hostname, port, pathname } = new URL(url);
	return Promise.all(Array.from({ length: n }, () => new Promise((done) => {
		const socket = connect(port, hostname, () => socket.write(
			`GET ${pathname} HTTP/1.1\r\nHost: ${hostname}:${port}\r\n` +
			"Upgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n" +
			`Authorization: Bearer ${token}\r\n\r\n`));
		socket.once("readable", () => done(socket)); // and never read()
		socket.on("error", () => {});
	})));
}

// Until it is over, and so often at least.
async function repeat(state, least, once) {
	while (!state.over || state.done < least) {
		const code = await once();
		state.done++;
		state.closed[code] = (state.closed[code] ?? 0) + 1;
	}
}

function main({ how, url, token, n = 1 }) {
	const { WebSocket } = createRequire(import.meta.url)("ws");
	const state = { over: false, done: 0, closed: {}, sent: 0 };
	const open = (query = "") => new WebSocket(url + query,
		{ headers: { authorization: `Bearer ${token}` } });
	const over = (ws) => new Promise((done) => {
		ws.on("error", () => {});
		ws.on("close", done);
	});
	let work;

	if (how === "deaf")
		work = deaf({ url, token, n }).then((sockets) => {
			state.sockets = sockets;
			parentPort.postMessage({ type: "ready" });
		});
	else if (how === "flood")
		work = repeat(state, 1, async () => {
			const ws = open();
			const end = over(ws);
			ws.on("open", async () => {
				parentPort.postMessage({ type: "ready" });
				while (ws.readyState === WebSocket.OPEN &&
					(!state.over || state.done === 0)) {
					for (let i = 0; i < 100; i++, state.sent++)
						ws.send('{"type":"ping"}');
					await pause(10);
				}
				ws.close();
			});
			const code = await end;
			await pause(100);
			return code;
		});
	else {
		const queries = ["", "?after_seq=999999999999", "?after_seq=3",
			"?ticket=bm8gc3VjaCB0aWNrZXQ"];
		let i = 0;
		parentPort.postMessage({ type: "ready" });
		work = repeat(state, queries.length, async () => {
			const end = over(open(queries[i++ % queries.length]));
			const code = await end;
			await pause(10);
			return code;
		});
	}
	parentPort.on("message", async () => {
		state.over = true;
		await work;
		for (const socket of state.sockets ?? [])
			socket.destroy();
		parentPort.postMessage({ type: "end", closed: state.closed,
			sent: state.sent });
	});
}

if (!isMainThread)
	main(workerData);
