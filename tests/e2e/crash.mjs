// SPDX-License-Identifier: Apache-2.0
//
// A plugin that takes the process with it: the run that called it is charged,
// the others of that process are not, and all go on in the next one.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { messages, newThread, scene, script } from "../support/chat.mjs";
import { rows } from "../support/rows.mjs";
import { api, start } from "../support/server.mjs";
import { connect } from "../support/ws.mjs";

const PLUGINS = join(process.env.BUILD_DIR ?? "build/release",
	"tests/integration/plug/.libs");
const kits = ["crash", "crashhome", "crashpool"];
let folder, server, s;

function counts() {
	const all = rows(server, "SELECT id, crash_count FROM runs");
	return (id) => all.find((r) => r.id === id)?.crash_count;
}

before(async () => {
	folder = mkdtempSync(join(tmpdir(), "agent-studio-script-"));
	const turns = [{ match: "innocent", text: "a b c d e f g", delay_ms: 300 }];
	for (const kit of kits)
		for (const tool of ["fault", "give_up", "overflow", "hang", "again"])
			turns.push({ match: `${kit}_${tool}!`,
				tool_calls: [{ name: `${kit}_${tool}`, args: {} }] });
	turns.push(...Array.from({ length: 20 }, () =>
		({ match: "!", text: "That went wrong." })));
	// Each process reads the script from its start.
	const set = [script(folder, turns), `plugins.dirs=["${PLUGINS}"]`,
		"server.loops=3", "worker.lease=2s", "worker.beat=200ms"];
	for (const kit of kits)
		set.push(`plugins.toolkit_${kit}.enabled=true`,
			`plugins.toolkit_${kit}.isolation=none`);
	const saved = process.env.AGENT_STUDIO_STORE;
	delete process.env.AGENT_STUDIO_STORE;
	server = await start({ set });
	if (saved !== undefined)
		process.env.AGENT_STUDIO_STORE = saved;
	s = await scene(server, { toolkits: kits });
});
after(async () => {
	await server?.stop();
	rmSync(folder, { recursive: true, force: true });
});

async function say(content) {
	const thread = await newThread(server, s.person, s.agent.id);
	const socket = await connect(server, thread.id, { token: s.token });
	await socket.type("snapshot");
	socket.send({ type: "message", content });
	const { run_id } = await socket.type("message_start");
	return { ...s, thread, socket, run: run_id };
}

async function crash(name) {
	const from = server.log.length;
	const innocent = await say("innocent");
	await innocent.socket.type("message_delta");
	const guilty = await say(`${name}!`);
	const { code, signal } = await server.exited;
	assert.ok(signal !== null || code !== 0);
	await server.restart();
	const [, of, how] = /^(\w+?)_(.*)$/.exec(name);
	if (how !== "hang")
		assert.match(server.log.slice(from), new RegExp(
			`fatal: plugin toolkit_${of} in fiber '.*' ` +
			(how === "overflow" ? "overflowed its \\d+ KiB stack" : "got signal")));
	assert.match(server.log, new RegExp(
		`a process crashed in run ${guilty.run}`));
	const count = counts();
	assert.equal(count(guilty.run), 1, server.log);
	assert.equal(count(innocent.run), 0);
	assert.equal(readdirSync(join(server.data, "crumbs")).length, 1);
	// What cannot be made again and may have happened is for a person to see.
	for (const [c, state] of [[innocent, "succeeded"],
		[guilty, "recoverable_error"]]) {
		const back = await connect(server, c.thread.id,
			{ token: s.token, after: 0 });
		await back.until((f) => f.type === "run_status" && f.state === state,
			state);
		await back.close();
	}
}

for (const kit of kits) {
	test(`a fault in a plugin: ${kit}`, () => crash(`${kit}_fault`));
	test(`a plugin that aborts: ${kit}`, () => crash(`${kit}_give_up`));
}

for (const kit of ["crash", "crashhome"])
	test(`the stack of a fiber is too small: ${kit}`,
		() => crash(`${kit}_overflow`));

test("a plugin that hangs its loop", async () => {
	const from = server.log.length;
	await crash("crash_hang");
	const log = server.log.slice(from);
	const said = /loop (\d) has hung for \d+ ms; this process ends/.exec(log);
	assert.ok(said, log);
	// The heart beats on the first loop: it cannot say so of itself.
	if (said[1] !== "0")
		assert.match(log, new RegExp(
			`loop ${said[1]} hangs; the lease is not renewed`));
});

test("a run that crashes again and again is given up", async () => {
	const thread = await newThread(server, s.person, s.agent.id);
	const socket = await connect(server, thread.id, { token: s.token });
	await socket.type("snapshot");
	socket.send({ type: "message", content: "crash_again!" });
	const { run_id } = await socket.type("message_start");
	await server.exited;
	// It may be at work, and so crash, before the process says that it listens.
	const started = () => server.restart().then(() => true, () => false);
	for (let i = 0; i < 2; i++)
		if (await started())
			await server.exited;
	assert.ok(await started());
	assert.equal(counts()(run_id), 3);
	const back = await connect(server, thread.id, { token: s.token, after: 0 });
	const end = await back.end();
	assert.equal(end.state, "dead_lettered");
	assert.equal(end.error.code, "CRASHED");
	// An admin lets a new run take the thread up: what is done is not redone.
	const operator = (method, path, body) => api(server, method,
		`/api/operator/items${path}`, { token: s.token, body });
	const { body: { items } } = await operator("GET", `?run_id=${run_id}`);
	assert.deepEqual(items.map((i) => [i.kind, i.status]),
		[["dead_letter", "pending"]]);
	const resolve = (outcome) => operator("POST", `/${items[0].id}/resolve`,
		{ outcome });
	assert.equal((await resolve("retry")).status, 400);
	const { status, body } = await resolve("requeue");
	assert.equal(status, 200, JSON.stringify(body));
	assert.equal(body.status, "answered");
	assert.equal(body.response_type, "requeue");
	const next = await back.end();
	assert.notEqual(next.run_id, run_id);
	assert.equal(next.state, "succeeded", JSON.stringify(next));
	assert.equal((await resolve("dismiss")).status, 409);
	assert.deepEqual((await messages(server, { ...s, thread }))
		.map((m) => [m.role, m.run_id]), [["user", run_id],
		["assistant", run_id], ["tool", run_id], ["assistant", next.run_id]]);
	await back.close();
});

test("a kill accuses nobody", async () => {
	const c = await say("innocent");
	await c.socket.type("message_delta");
	await server.kill9();
	const from = server.log.length;
	await server.restart();
	assert.doesNotMatch(server.log.slice(from), /crashed in run/);
	assert.equal(counts()(c.run), 0);
});
