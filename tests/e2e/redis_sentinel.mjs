// SPDX-License-Identifier: Apache-2.0
//
// Two servers and a worker whose Redis is what three sentinels say: the master
// is killed in the middle of an answer, and text flows again by the replica.
// Their users, of Redis and of the sentinels, have no rights but those that
// docs/operations.md names.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { lacksPostgres } from "../support/lacks.mjs";
import { startNodes, words } from "../support/nodes.mjs";
import { startSentinels } from "../support/redis.mjs";
import { held, until } from "../support/wait.mjs";

describe("sentinels", { skip: lacksPostgres }, () => {
	let redis, nodes;

	before(async () => {
		const manual = readFileSync(join(process.env.SRC_DIR, "docs",
			"operations.md"), "utf8");
		const rights = (user, password) =>
			new RegExp(`^ACL SETUSER (${user} [^\`]*)`, "m").exec(manual)[1]
				.replace("PASSWORD", password).split(/\s+/).join(" ");
		redis = await startSentinels({ password: "of redis",
			sentinelPassword: "of sentinels",
			user: rights("studio", "of-studio"),
			sentinelUser: rights("watcher", "of-watcher") });
		nodes = await startNodes({
			env: { A: "of-studio", B: "of-watcher" },
			redis: [`redis.url=${redis.url.replace("//", "//studio@")}`, "redis.password=env:A",
				"redis.sentinel_user=watcher",
				"redis.sentinel_password=env:B"],
			set: ["redis.lost_after=60s"] });
	});
	after(async () => {
		await nodes?.stop();
		await redis?.stop();
	});

	// A run that stops in the middle, when all have read so far.
	async function halfway() {
		const c = await nodes.newTalk();
		const { hold, release } = held();
		const tokens = words(80);
		nodes.stub.script([{ tokens, hold_after: 20, hold, delay_ms: 10 }]);
		const sockets = [await nodes.join(nodes.a, c),
			await nodes.join(nodes.b, c)];
		sockets[0].send({ type: "message", content: "tell me" });
		for (const socket of sockets)
			await nodes.reads(socket, tokens.slice(0, 20).join(""));
		return { c, release, tokens, sockets };
	}

	const deltas = (frames) =>
		frames.filter((f) => f.type === "message_delta").length;

	async function goesOn({ c, release, tokens, sockets }) {
		const before = sockets.map(({ frames }) => deltas(frames));
		release();
		for (const [i, socket] of sockets.entries()) {
			assert.equal((await socket.end()).state, "succeeded");
			const more = deltas(socket.frames) - before[i];
			console.log(`# ${more} deltas of the second half`);
			assert.ok(more >= 10, "it came with the message's end");
		}
		const answer = await nodes.same(c, sockets);
		assert.equal(answer.content, tokens.join(""));
	}

	// The connections to where the master is now.
	const connected = (server) => server.log.split("\n").filter((line) =>
		line.includes(`redis: connected to 127.0.0.1, port ${redis.master.port}`))
		.length;

	async function failsOver() {
		const began = performance.now();
		await redis.killMaster();
		await until("the new master", () => [nodes.a, nodes.b,
			...nodes.workers].every((server) => connected(server) >= 2));
		await nodes.allUp();
		console.log("# up by the new master after " +
			`${(performance.now() - began).toFixed(0)} ms`);
	}

	test("the master is killed, and comes back", async () => {
		const worker = await nodes.hire(["redis.lost_after=60s"]);
		await until("the master", () => [nodes.a, nodes.b, worker].every(
			(server) => connected(server) >= 2));
		const first = await halfway();
		await failsOver();
		await goesOn(first);
		assert.match(nodes.b.log, /sentinel 127\.0\.0\.1:\d+: main is at 127/);
		// The old one is back, a master in its own eyes for a while, and there
		// is one sentinel less.
		await redis.restartOld();
		await redis.killSentinel();
		await goesOn(await halfway());
		for (const server of [nodes.a, nodes.b, worker])
			assert.equal(connected(server), 2);
		for (const { log } of [nodes.a, nodes.b, worker])
			assert.doesNotMatch(log, /redis: it refuses/);
		await nodes.fire(worker);
	});
});
