// SPDX-License-Identifier: Apache-2.0
//
// The end of a process, whenever the signal comes: while it starts, when its
// heart is about to beat, and while it still hands back runs.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import http from "node:http";
import { test } from "node:test";

import { scene } from "../support/chat.mjs";
import { rows } from "../support/rows.mjs";
import { api, start } from "../support/server.mjs";
import { pause, until } from "../support/wait.mjs";
import { connect } from "../support/ws.mjs";

const BEAT_MS = 2000;
const MASKED = "import os, signal, sys; " +
	"signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); " +
	"os.kill(os.getpid(), signal.SIGTERM); " +
	"os.execvp(sys.argv[1], sys.argv[1:])";

const lease = (server) => rows(server,
	"SELECT max(lease_expires_at) AS at FROM nodes")[0].at;

test("a signal that waits when the loops begin", async () => {
	const program = process.env.AGENT_STUDIO ?? "agent-studio";
	const server = await start();
	await server.end("SIGTERM");
	const { status, stdout, stderr } = spawnSync("python3",
		["-c", MASKED, program, ...server.arguments(0)],
		{ encoding: "utf8", timeout: 20000 });
	assert.match(stderr, /signal 15: stopping/);
	assert.doesNotMatch(stderr, /"error"/);
	assert.equal(stdout, "");
	assert.equal(status, 0, stderr);
	await server.restart();
	assert.equal((await server.stop()).code, 0);
});

test("a beat that is due when the signal comes", async () => {
	const server = await start({ set: ["server.loops=1"] });
	assert.equal((await api(server, "GET", "/healthz")).status, 200);
	server.child.kill("SIGSTOP");
	server.child.kill("SIGTERM");
	await pause(BEAT_MS + 100);
	server.child.kill("SIGCONT");
	assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.log);
});

test("it says so first, and serves on; a second signal is enough", async () => {
	const server = await start({ set: ["server.drain_delay=10m", "server.loops=2"] });
	const s = await scene(server);
	const path = `/api/chat/sessions/${s.thread.id}/events`;
	const options = { token: s.token };
	const { body: { head } } = await api(server, "GET", path, options);
	let answered = false;
	const poll = api(server, "GET", `${path}?wait=30&after=${head}`, options)
		.finally(() => {
			answered = true;
		});
	const stream = await fetch(server.url + path, { headers: {
		accept: "text/event-stream", authorization: `Bearer ${s.token}` } });
	const text = stream.text();
	server.child.kill("SIGTERM");
	await until("it says so", async () =>
		(await api(server, "GET", "/readyz")).body.status === "draining");
	assert.equal((await api(server, "GET", "/readyz")).status, 503);
	const answer = await api(server, "GET", "/api/agents/", options);
	assert.equal(answer.status, 200);
	assert.equal(answer.headers.get("connection"), "close");
	const socket = await connect(server, s.thread.id, options);
	await socket.type("snapshot");
	assert.equal(answered, false, "who waits may wait on");
	server.child.kill("SIGTERM");
	// It waits no longer, but it is answered.
	const { status, body } = await poll;
	assert.equal(status, 200);
	assert.deepEqual(body.items, []);
	assert.equal((await socket.closed).code, 1001);
	assert.match(await text, /(^|\n)retry: \d+\n\n$/);
	assert.deepEqual(await server.exited, { code: 0, signal: null }, server.log);
	await server.stop();
});

test("the lease is renewed while a tool call ends", async () => {
	const hanging = [];
	let hit;
	const asked = new Promise((done) => hit = done);
	const web = http.createServer((req, res) => {
		hanging.push(res);
		hit();
	});
	await new Promise((done) => web.listen(0, "127.0.0.1", done));
	const { port } = web.address();
	const server = await start({ set: [
		`plugins.toolkit_http.allow=["127.0.0.1:${port}"]`] });
	try {
		const s = await scene(server, { toolkits: ["http"] });
		const socket = await connect(server, s.thread.id, { token: s.token });
		await socket.type("snapshot");
		socket.send({ type: "message",
			content: `Fetch http://127.0.0.1:${port}/hang` });
		await asked;
		server.child.kill("SIGTERM");
		// The first renewal may have been under way.
		const seen = new Set([lease(server)]);
		await until("the lease is renewed", () =>
			seen.add(lease(server)).size === 3);
		hanging.forEach((res) => res.end("there"));
		assert.deepEqual(await server.exited, { code: 0, signal: null }, server.log);
	} finally {
		web.closeAllConnections();
		web.close();
		await server.stop();
	}
});
