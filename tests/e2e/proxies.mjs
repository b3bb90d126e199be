// SPDX-License-Identifier: Apache-2.0
//
// nginx and HAProxy with the samples of etc/ in front of two servers: requests,
// sockets, streams as they come, who the client is, where threads go, and a
// server that drains.

import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { events, newThread, scene } from "../support/chat.mjs";
import { lacks, lacksPostgres } from "../support/lacks.mjs";
import { hasProxy, startProxy } from "../support/proxy.mjs";
import { startRedis } from "../support/redis.mjs";
import { api, start } from "../support/server.mjs";
import { start as startStub } from "../support/stub_model.mjs";
import { held, until } from "../support/wait.mjs";
import { connect } from "../support/ws.mjs";

const THREADS = 8;

describe("proxies in front of two servers", { skip: lacksPostgres }, () => {
	let a, b, stub, redis, folder, store, s;

	before(async () => {
		store = process.env.AGENT_STUDIO_STORE;
		process.env.AGENT_STUDIO_STORE = "postgres";
		redis = await startRedis();
		stub = await startStub({ key: "sesame" });
		const options = { env: { OPENAI_API_KEY: "sesame" }, set: [
			`redis.url=${redis.url}`, "server.drain_delay=2s", "auth.attempts=1",
			'server.trusted_proxies=["127.0.0.1"]',
			`plugins.llm_openai.base_url=${stub.url}/v1`,
			"plugins.llm_openai.default_model=stub"] };
		a = await start(options);
		folder = mkdtempSync(join(tmpdir(), "agent-studio-"));
		for (const key of ["access.key", "sealing.key"])
			copyFileSync(join(a.data, key), join(folder, key));
		b = await start({ ...options, data: folder, database: a.database });
		s = await scene(a, { model_name: "openai/stub" });
	});
	after(async () => {
		await b?.stop();
		await a?.stop();
		await redis?.stop();
		stub?.stop();
		rmSync(folder, { recursive: true, force: true });
		process.env.AGENT_STUDIO_STORE = store ?? "";
	});

	async function sockets(proxy) {
		const socket = await connect(proxy, s.thread.id, { token: s.token });
		await socket.type("snapshot");
		socket.send({ type: "message", content: "hello" });
		assert.equal((await socket.end()).state, "succeeded");
		await socket.close();
	}

	// Its first word is read while the model has not said the second.
	async function streams(proxy) {
		const thread = await newThread(a, s.person, s.agent.id);
		const { hold, release } = held();
		stub.script([{ tokens: ["one ", "two"], hold_after: 1, hold }]);
		const answer = await fetch(`${proxy.url}/api/chat/interactive/stream`, {
			method: "POST", headers: { "content-type": "application/json",
				authorization: `Bearer ${s.token}` },
			body: JSON.stringify({ thread_id: thread.id, content: "count" }) });
		assert.equal(answer.status, 200);
		let text = "";
		for await (const { data } of events(answer)) {
			text += data.type === "message_delta" ? data.delta : "";
			if (text === "one ")
				release();
		}
		assert.equal(text, "one two");
	}

	// Whoever guesses from one address does not lock out another.
	async function client(proxy) {
		const email = `${proxy.kind}@example.org`;
		const login = async (from) => (await api(proxy, "POST",
			"/api/auth/login", { headers: { "x-forwarded-for": from },
				body: { email, password: "wrong password" } })).status;
		assert.equal(await login("192.0.2.1"), 401);
		await until("he is shut out", async () =>
			await login("192.0.2.1") === 429);
		assert.equal(await login("192.0.2.2"), 401);
	}

	// The same thread, the same server; not all threads.
	async function rooms(proxy) {
		const seen = new Map();
		for (let i = 0; i < THREADS; i++) {
			const { id } = await newThread(a, s.person, s.agent.id);
			for (let n = 0; n < 3; n++)
				await api(proxy, "GET", `/api/chat/sessions/${id}`,
					{ token: s.token });
			const socket = await connect(proxy, id, { token: s.token });
			await socket.type("snapshot");
			await socket.close();
			seen.set(id, new Set());
		}
		await until("the log", () => proxy.served().length > 4 * THREADS);
		for (const line of proxy.served()) {
			const [server, , , path] = line.split(" ");
			for (const [id, servers] of seen)
				if (path.includes(id))
					servers.add(server);
		}
		const all = new Set([...seen.values()].flatMap((x) => [...x]));
		assert.ok([...seen.values()].every((x) => x.size === 1));
		assert.equal(all.size, 2, "all threads at one server");
	}

	// Requests without a pause; none of them notices.
	async function drains(proxy) {
		const wrong = [];
		let over = false, n = 0;
		const asks = async () => {
			for (; !over; n++) {
				const { status } = await api(proxy, "POST", "/api/chat/sessions",
					{ token: s.token, body: { agent_id: s.agent.id } })
					.catch((error) => ({ status: error.cause?.code }));
				if (status !== 201)
					wrong.push(status);
			}
		};
		const all = [asks(), asks(), asks()];
		const socket = await connect(proxy, s.thread.id, { token: s.token });
		await socket.type("snapshot");
		const { port } = b;
		b.child.kill("SIGTERM");
		const { body } = await until("it says so", async () => {
			const answer = await api(b, "GET", "/readyz");
			return answer.status === 503 && answer;
		});
		assert.equal(body.status, "draining");
		assert.deepEqual(await b.exited, { code: 0, signal: null }, b.log);
		await b.restart({ port });
		over = true;
		await Promise.all(all);
		assert.ok(n > 20, `${n} requests`);
		assert.deepEqual(wrong, []);
		if (socket.over)
			assert.equal(socket.over.code, 1001);
		await socket.close();
	}

	for (const kind of ["nginx", "haproxy"])
		test(kind, { skip: lacks(hasProxy(kind), kind) }, async (t) => {
			const proxy = await startProxy(kind, [a.port, b.port]);
			try {
				await t.test("sockets", () => sockets(proxy));
				await t.test("streams", () => streams(proxy));
				await t.test("who the client is", () => client(proxy));
				if (kind === "nginx")
					await t.test("rooms", () => rooms(proxy));
				await t.test("not for everybody", async () => {
					for (const path of ["/metrics", "/metrics/", "/%6detrics", "/metrics?x"])
						assert.equal((await api(proxy, "GET", path)).status, 404, path);
				});
				await t.test("a server drains", () => drains(proxy));
			} catch (error) {
				error.message += `\n${proxy.log}`;
				throw error;
			} finally {
				await proxy.stop();
			}
		});
});
