// SPDX-License-Identifier: Apache-2.0
//
// Clients that come, go, stop and resume at moments nobody chose: whatever they
// do, what a reader has put together is what is stored.  The moments come from
// a seed: STORM_SEED, STORM_ROUNDS and STORM_CLIENTS make it another, longer or
// wider storm.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { log, messages, newThread, scene } from "../support/chat.mjs";
import { start } from "../support/server.mjs";
import { connect } from "../support/ws.mjs";

const SEED = Number(process.env.STORM_SEED ?? 1);
const ROUNDS = Number(process.env.STORM_ROUNDS ?? 6);
const CLIENTS = Number(process.env.STORM_CLIENTS ?? 8);

// xorshift32: the same seed makes the same choices.
function chance(seed) {
	let x = (seed * 2654435761) >>> 0 || 1;
	return (n) => {
		x ^= x << 13, x >>>= 0, x ^= x >>> 17, x ^= x << 5, x >>>= 0;
		return x % n;
	};
}

// What a reader knows of the answers, from its frames only.
class Reader {
	seq = 0;
	loose = false; // a resume is under way: the cursor may jump back
	texts = new Map();
	ended = new Map();

	take(f) {
		if (f.type === "snapshot") {
			this.seq = f.snapshot_seq;
			if (f.partial)
				this.texts.set(f.partial.message_id, Buffer.from(f.partial.text));
		}
		if (f.seq !== undefined) {
			if (!this.loose || f.seq > this.seq + 1)
				assert.equal(f.seq, this.seq + 1, "a gap or a doubled event");
			this.seq = f.seq;
		}
		if (f.type === "message_start" || f.type === "message_reset")
			this.texts.set(f.message_id, Buffer.alloc(0));
		else if (f.type === "message_delta")
			this.delta(f);
		else if (f.type === "message_end")
			this.end(f);
	}

	delta(f) {
		const have = this.texts.get(f.message_id) ?? Buffer.alloc(0);
		assert.ok(f.offset <= have.length,
			`a hole: ${have.length} bytes, then ${f.offset}`);
		this.texts.set(f.message_id,
			Buffer.concat([have.subarray(0, f.offset), Buffer.from(f.delta)]));
	}

	// Of a message whose end was seen all bytes have been seen, unless the
	// reader came with its cursor when they had been shown already.
	end(f) {
		const have = this.texts.get(f.message_id) ?? Buffer.alloc(0);
		assert.equal(have.length, f.length, "bytes before the end");
		assert.equal(createHash("sha256").update(have).digest("hex"), f.sha256);
		this.ended.set(f.message_id, have.toString());
	}
}

function feed(socket, reader) {
	while (socket.fed < socket.frames.length)
		reader.take(socket.frames[socket.fed++]);
}

// The n-th frame from here on, or undefined if the run ends before.
async function nth(socket, n, over) {
	let frame;
	const seen = socket.until((f) => {
		frame = f;
		return --n === 0;
	}, "a frame").catch(() => {});
	await Promise.race([seen, over]);
	return n === 0 ? frame : undefined;
}

async function round(server, s, steady, pick, n) {
	const flappy = new Reader();
	const open = (options) => connect(server, s.thread.id,
		{ token: s.token, ...options });
	let socket = await open();
	socket.fed = 0;
	await socket.type("snapshot");
	const over = steady.end();
	socket.send({ type: "message", content: `${n} * 7? ${"please ".repeat(pick(40))}` });
	for (let i = pick(4); i >= 0; i--) {
		const frame = await nth(socket, 1 + pick(30), over);
		feed(socket, flappy);
		if (frame === undefined)
			break;
		const what = pick(5);
		if (what === 0 && frame.run_id)
			socket.send({ type: "cancel", run_id: frame.run_id,
				action: pick(2) ? "rollback" : "interrupt" });
		else if (what === 1) {
			// The tail comes again from there, after what is on its way.
			socket.send({ type: "resume", after_seq: pick(flappy.seq + 1) });
			flappy.loose = true;
		} else if (what > 2) {
			if (what === 3)
				socket.ws.terminate();
			else
				socket.ws.close();
			socket = await open(pick(2) ? { after: flappy.seq } : {});
			socket.fed = 0;
			flappy.loose = false;
		}
	}
	await over;
	socket.ws.terminate();
}

async function client(server, base, i) {
	const pick = chance(SEED * 1000 + i);
	const s = { ...base, thread: await newThread(server, base.person, base.agent.id) };
	const reader = new Reader();
	const steady = await connect(server, s.thread.id, { token: s.token, after: 0 });
	steady.fed = 0;
	await steady.type("ready");
	for (let n = 0; n < ROUNDS; n++)
		await round(server, s, steady, pick, n);
	feed(steady, reader);
	const stored = await messages(server, s);
	const events = await log(server, s);
	assert.equal(reader.seq, events.length);
	let compared = 0;
	for (const m of stored)
		if (m.role === "assistant" && m.state !== "rolled_back") {
			assert.equal(reader.ended.get(m.id), m.content);
			compared++;
		}
	await steady.close();
	return compared;
}

for (const loops of [1, 3])
	test(`a storm of clients on ${loops} loops`, async () => {
		const server = await start({ set: ["plugins.llm_demo.delay=3",
			`server.loops=${loops}`, "server.sockets_per_user=1000"] });
		const base = await scene(server);
		const compared = await Promise.all(Array.from({ length: CLIENTS },
			(_, i) => client(server, base, i))).catch(async (error) => {
			const { code, signal } = await server.stop();
			error.message += `\n${code ?? signal}\n${server.log}`;
			throw error;
		});
		assert.ok(compared.some((n) => n > 0));
		assert.deepEqual(await server.stop(), { code: 0, signal: null });
		assert.doesNotMatch(server.log, /Sanitizer|runtime error/, server.log);
	});
