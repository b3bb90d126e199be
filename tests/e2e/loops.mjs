// SPDX-License-Identifier: Apache-2.0
//
// Several event loops in one process: all stories of chat.mjs and ws.mjs again,
// and what only several loops can get wrong.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { after, before, test } from "node:test";

import { log, messages, newThread, scene } from "../support/chat.mjs";
import { api, start } from "../support/server.mjs";
import { connect } from "../support/ws.mjs";

process.env.AGENT_STUDIO_SET = "server.loops=3";
await import("./chat.mjs");
await import("./ws.mjs");

const N = 40;
let server;

before(async () => {
	server = await start();
});
after(() => server?.stop());

test("many chats at once, each watched from two sockets", async () => {
	const s = await scene(server);
	const chats = await Promise.all(Array.from({ length: N }, async (_, i) => {
		const mine = { ...s, thread: await newThread(server, s.person, s.agent.id) };
		const [a, b] = await Promise.all([0, 1].map(() =>
			connect(server, mine.thread.id, { token: s.token })));
		await Promise.all([a.type("snapshot"), b.type("snapshot")]);
		return { ...mine, a, b, n: i };
	}));
	await Promise.all(chats.map(async (c) => {
		c.a.send({ type: "message", content: `What is ${c.n} * 1000 + 7?` });
		const ends = await Promise.all([c.a.end(), c.b.end()]);
		assert.deepEqual(ends.map((e) => e.state), ["succeeded", "succeeded"]);
	}));
	for (const c of chats) {
		const stored = await messages(server, c);
		assert.equal(stored[2].content, String(c.n * 1000 + 7));
		const entries = await log(server, c);
		for (const socket of [c.a, c.b]) {
			assert.deepEqual(socket.frames.filter((f) => f.seq).map((f) => f.seq),
				entries.map((e) => e.seq));
			const text = socket.frames.filter((f) => f.type === "message_delta" &&
				f.message_id === stored[3].id).map((f) => f.delta).join("");
			assert.equal(text, stored[3].content);
			await socket.close();
		}
	}
	const metrics = await (await fetch(server.url + "/metrics")).text();
	assert.match(metrics, /^agent_studio_websockets 0$/m);
});

test("who waits for a slot gets the next one of any loop", async () => {
	const own = await start({ set: ["server.loops=3", "worker.slots=3",
		"worker.poll=10m", "plugins.llm_demo.delay=5"] });
	try {
		const s = await scene(own);
		await Promise.all(Array.from({ length: 24 }, async () => {
			const thread = await newThread(own, s.person, s.agent.id);
			const socket = await connect(own, thread.id, { token: s.token });
			await socket.type("snapshot");
			socket.send({ type: "message", content: "What is 2 * 3?" });
			assert.equal((await socket.end()).state, "succeeded");
			await socket.close();
		}));
	} finally {
		assert.equal((await own.stop()).code, 0, own.log);
	}
});

test("stop and roll-back reach a run on any loop", async () => {
	const slow = await start({ set: ["plugins.llm_demo.delay=1000"] });
	try {
		const s = await scene(slow);
		await Promise.all(Array.from({ length: 12 }, async (_, i) => {
			const thread = await newThread(slow, s.person, s.agent.id);
			const socket = await connect(slow, thread.id, { token: s.token });
			await socket.type("snapshot");
			socket.send({ type: "message", content: "hello" });
			const { run_id } = await socket.type("message_start");
			const action = i % 2 === 0 ? "interrupt" : "rollback";
			const answer = await api(slow, "POST", `/api/runs/${run_id}/cancel`,
				{ token: s.token, body: { action } });
			assert.equal(answer.status, 202);
			assert.equal((await socket.end()).state,
				i % 2 === 0 ? "cancelled" : "rolled_back");
			await socket.close();
		}));
	} finally {
		const { code } = await slow.stop();
		assert.equal(code, 0, slow.log);
	}
});

test("a stop in the middle of many runs; they go on after the start", async () => {
	const own = await start({ set: ["plugins.llm_demo.delay=10"] });
	const s = await scene(own);
	const threads = await Promise.all(Array.from({ length: 8 }, () =>
		newThread(own, s.person, s.agent.id)));
	await Promise.all(threads.map(async (thread) => {
		const socket = await connect(own, thread.id, { token: s.token });
		await socket.type("snapshot");
		socket.send({ type: "message", content: "hello" });
		await socket.type("message_delta");
	}));
	assert.equal((await own.end("SIGTERM")).code, 0);
	await own.restart();
	await Promise.all(threads.map(async (thread) => {
		const socket = await connect(own, thread.id, { token: s.token, after: 0 });
		assert.equal((await socket.end()).state, "succeeded");
		await socket.close();
	}));
	assert.equal((await own.stop()).code, 0);
});

test("a port that is taken ends the start, with its reason", () => {
	const program = process.env.AGENT_STUDIO ?? "agent-studio";
	const list = server.arguments(server.port);
	const data = list[list.indexOf("--data") + 1] += "-other";
	const { status, stderr } = spawnSync(program, list,
		{ encoding: "utf8", timeout: 20000 });
	rmSync(data, { recursive: true, force: true });
	assert.equal(status, 1);
	assert.match(stderr, /cannot listen/);
});
