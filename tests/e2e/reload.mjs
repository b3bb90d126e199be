// SPDX-License-Identifier: Apache-2.0
//
// Plugins are put in place of each other while people talk through them: no
// socket drops, no call fails.  And what a reload leaves behind: nothing.
//
// RELOAD_TIMES and RELOAD_STREAMS make it more; RELOAD_ISOLATION=process gives
// the plugins processes of their own; RELOAD_PROGRAM is another build, such as
// one without sanitizers.
//
// The memory is weighed when nobody talks.  What people say grows it, with and
// without reloads: the store's caches fill up to their limits, and a run takes
// as much as its thread is long.  A growth under talk tells nothing of reloads.

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync }
	from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { newThread, scene } from "../support/chat.mjs";
import { adminOfAnotherTenant } from "../support/rows.mjs";
import { api, signUp, start } from "../support/server.mjs";
import { until } from "../support/wait.mjs";
import { connect } from "../support/ws.mjs";

const TIMES = Number(process.env.RELOAD_TIMES ?? 100);
const STREAMS = Number(process.env.RELOAD_STREAMS ?? 20);
const ISOLATION = process.env.RELOAD_ISOLATION ?? "none";
const TALK = 10; // messages of a thread, so that no history grows
const MARKS = [0.2, 0.6, 1]; // of the reloads, when memory is looked at
const WARM_UP = 15;
const WEIGHED = 60;
// By those.  AddressSanitizer notes 7 kB for each file that is mapped.
const LEFT_KB = { none: 2048, process: 1024 };
const PLUGINS = ["llm_demo", "toolkit_calculator", "toolkit_clock"];

if (process.env.RELOAD_PROGRAM)
	process.env.AGENT_STUDIO = process.env.RELOAD_PROGRAM;

// One line there, one line back.
function ask(server, request) {
	return new Promise((resolve, reject) => {
		let text = "";
		const socket = createConnection(join(server.data, "control.sock"));
		socket.setEncoding("utf8");
		socket.on("connect", () => socket.write(JSON.stringify(request) + "\n"));
		socket.on("data", (part) => {
			text += part;
		});
		socket.on("end", () => resolve(JSON.parse(text)));
		socket.on("error", reject);
	});
}

const plugins = async (server) =>
	Object.fromEntries((await ask(server, { command: "plugin.list" })).result
		.map((p) => [p.name, p]));

const rss = (server) => Number(readFileSync(`/proc/${server.child.pid}/status`,
	"utf8").match(/^VmRSS:\s+(\d+)/m)[1]);

const isolated = (how) => how === "none" ? [] :
	PLUGINS.map((p) => `plugins.${p}.isolation=${how}`);

// ThreadSanitizer does, of all memory that ever was.
const keepsBooks = (server) => readFileSync(`/proc/${server.child.pid}/maps`,
	"utf8").includes("libtsan");

// Files that are open, so also sockets, images and processes of plugins.
const files = (server) => readdirSync(`/proc/${server.child.pid}/fd`).length;

async function reload(server, name) {
	const answer = await ask(server, { command: "plugin.reload", name });
	assert.equal(answer.ok, true, JSON.stringify(answer));
}

async function talk(server, base, stage, begun) {
	const thread = await newThread(server, base.person, base.agent.id);
	const socket = await connect(server, thread.id,
		{ token: base.token, after: 0 });
	await socket.type("ready");
	begun?.();
	for (let n = 0; n < TALK && !stage.over; n++) {
		socket.send({ type: "message", content: `${n} * 7? please` });
		const { state } = await socket.end();
		stage.runs++;
		if (state !== "succeeded")
			stage.failed++;
		socket.frames = [];
		socket.seen = 0;
	}
	if (socket.over)
		stage.dropped++;
	await socket.close();
}

// One thread after another, until it is told to stop.
async function stream(server, base, stage) {
	await talk(server, base, stage, () => stage.open++);
	while (!stage.over)
		await talk(server, base, stage);
}

const settled = (server, holds, what) => until(
	async () => `${what}\n${JSON.stringify(await plugins(server))}`,
	async () => {
		const list = await plugins(server);
		return holds(list) ? list : null;
	});

test(`${TIMES} reloads under ${STREAMS} streams`, async (t) => {
	const server = await start({ set: ["plugins.llm_demo.delay=3",
		`server.sockets_per_user=${STREAMS + 10}`, "log.level=warning",
		...isolated(ISOLATION)] });
	const base = await scene(server);
	const stage = { open: 0, runs: 0, failed: 0, dropped: 0, over: false };
	const streams = Array.from({ length: STREAMS }, () =>
		stream(server, base, stage));
	const fell = Promise.all(streams);
	const took = [], weights = [];
	await Promise.race([fell, until("all streams", () => stage.open >= STREAMS)]);
	for (let i = 0; i < TIMES; i++) {
		const since = performance.now();
		await Promise.race([fell, reload(server, PLUGINS[i % PLUGINS.length])]);
		took.push(performance.now() - since);
		if (MARKS.some((m) => i + 1 === Math.ceil(TIMES * m)))
			weights.push(`${rss(server)} kB`);
	}
	stage.over = true;
	await fell;
	const list = await settled(server, (l) => PLUGINS.every((p) =>
		l[p].generations_draining === 0 && l[p].open === 0), "drained");
	took.sort((a, b) => a - b);
	t.diagnostic(`isolation ${ISOLATION}: ${TIMES} reloads, ${STREAMS} streams, ` +
		`${stage.runs} runs, ${stage.failed} failed, ${stage.dropped} dropped; ` +
		`a reload ${took[took.length >> 1].toFixed(1)} ms, p99 ` +
		`${took[Math.floor(took.length * 0.99)].toFixed(1)} ms; ` +
		`VmRSS ${weights.join(", ")}`);
	assert.equal(stage.failed, 0);
	assert.equal(stage.dropped, 0);
	assert.ok(stage.runs >= STREAMS);
	for (const [i, name] of PLUGINS.entries()) {
		assert.equal(list[name].state, "serving");
		assert.equal(list[name].errors, 0, name);
		assert.equal(list[name].generation,
			1 + Math.floor((TIMES - 1 - i) / PLUGINS.length) + 1);
		assert.ok(list[name].generations_in_memory <= 1, "unmapped");
	}
	assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

for (const isolation of ["none", "process"])
	test(`what a reload leaves, isolation ${isolation}`, async (t) => {
		const server = await start({
			set: ["log.level=warning", ...isolated(isolation)],
			// A sanitizer would keep what is freed, to see who uses it.
			env: { ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ""}:` +
				"quarantine_size_mb=0:thread_local_quarantine_size_kb=0" } });
		const many = async (n) => {
			for (let i = 0; i < n; i++)
				await reload(server, PLUGINS[i % PLUGINS.length]);
			await settled(server, (l) => PLUGINS.every((p) =>
				l[p].generations_draining === 0), "drained");
			return { kb: rss(server), files: files(server) };
		};
		const { held_by } = (await plugins(server))[PLUGINS[0]];
		const shown = server.command("plugin", "list").stdout;
		if (isolation === "process") {
			assert.deepEqual(held_by.slice(0, 2), ["system_calls", "limits"]);
			assert.ok(shown.includes(`process (${held_by.join(", ")})`), shown);
		} else
			assert.equal(held_by, null);
		const before = await many(WARM_UP);
		const after = await many(WEIGHED);
		t.diagnostic(`VmRSS ${before.kb} kB, after ${WEIGHED} reloads ` +
			`${after.kb} kB`);
		// The connection of who asked last may not be closed yet.
		await until(() => `${before.files} files open, but ${files(server)}`,
			() => files(server) <= before.files);
		if (!keepsBooks(server))
			assert.ok(after.kb - before.kb < LEFT_KB[isolation],
				`${before.kb} kB, then ${after.kb} kB`);
		assert.deepEqual(await server.stop(), { code: 0, signal: null });
	});

test("a plugin that cannot be unmapped, up to the cap", async () => {
	const server = await start({ set: ["plugins.generations=4"] });
	const admin = await signUp(server);
	const other = await signUp(server);
	const reload = (name, token) => api(server, "POST",
		`/api/admin/plugins/${name}/reload`, { token });
	for (let n = 2; n <= 4; n++) {
		const { status, body } = await reload("auth_local", admin.token);
		assert.equal(status, 200, JSON.stringify(body));
		assert.deepEqual(body, { name: "auth_local", ok: true,
			state: "serving", generation: n, error: null });
	}
	const { status, body } = await reload("auth_local", admin.token);
	assert.equal(status, 409);
	assert.match(body.detail, /plugins\.generations.*restart agent-studio/);
	assert.equal((await reload("nobody", admin.token)).status, 404);
	assert.equal((await reload("auth_local", other.token)).status, 403);
	assert.equal((await api(server, "GET", "/api/admin/plugins",
		{ token: other.token })).status, 403);
	// An admin, but of a tenant that the installation does not belong to.
	const guest = await adminOfAnotherTenant(server, await signUp(server));
	for (const [method, path] of [["GET", "/api/admin/plugins"],
		["POST", "/api/admin/plugins/auth_local/reload"]]) {
		const { status, body } = await api(server, method, path,
			{ token: guest });
		assert.equal(status, 403);
		assert.match(body.detail, /administrators of the installation/);
	}
	assert.equal((await api(server, "GET", "/api/operator/items",
		{ token: guest })).status, 200);
	const list = (await api(server, "GET", "/api/admin/plugins",
		{ token: admin.token })).body.items;
	const auth = list.find((p) => p.name === "auth_local");
	assert.equal(auth.generation, 4);
	assert.equal(auth.isolation, "none");
	assert.equal(auth.held_by, null);
	assert.equal(auth.generations_in_memory, 4);
	assert.ok(auth.calls >= 2 && auth.memory_bytes > 0);
	assert.match(auth.error, /plugins\.generations/);
	assert.equal((await api(server, "POST", "/api/auth/login", { body:
		{ email: other.email, password: other.password } })).status, 200);
	const metrics = (await api(server, "GET", "/metrics")).body;
	assert.match(metrics,
		/plugin_calls_total\{plugin="auth_local",generation="4"\} 3\n/);
	assert.doesNotMatch(metrics,
		/plugin_calls_total\{plugin="auth_local",generation="3"\}/);
	assert.match(metrics,
		/plugin_generations_in_memory\{plugin="auth_local"\} 4\n/);
	assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

// A folder of configuration that may be changed.
function folder() {
	const dir = mkdtempSync(join(tmpdir(), "agent-studio-conf-"));
	const from = process.env.AGENT_STUDIO_CONF ?? "conf.d";
	for (const name of readdirSync(new URL(`../../${from}`, import.meta.url)))
		if (name.endsWith(".conf"))
			cpSync(new URL(`../../${from}/${name}`, import.meta.url),
				join(dir, name));
	return { dir, args: ["--conf", dir],
		write: (name, text) => writeFileSync(join(dir, name), text),
		remove: () => rmSync(dir, { recursive: true }) };
}

const CLOCK = (more) => `plugins : { toolkit_clock : { ${more} }; };\n`;
const file = "80-toolkit_clock.conf";

test("conf.d is read again: options, in and out", async () => {
	const conf = folder();
	const server = await start({ args: conf.args });
	const { token } = await signUp(server);
	const clock = async () => (await api(server, "GET", "/api/toolkits/clock/",
		{ token })).status;
	assert.equal(await clock(), 200);
	conf.write(file, CLOCK("nonsense = 1;"));
	let done = server.command("plugin", "reload", "toolkit_clock");
	assert.equal(done.status, 1);
	assert.match(done.stderr, /80-toolkit_clock\.conf:1: .*nonsense/);
	assert.equal(await clock(), 200);
	conf.write(file, CLOCK("enabled = false;"));
	done = server.command("plugin", "reload", "toolkit_clock");
	assert.equal(done.status, 0, done.stderr);
	assert.match(done.stdout, /toolkit_clock: generation \d+ is disabled/);
	assert.equal(await clock(), 404);
	conf.write(file, CLOCK("enabled = true;"));
	server.child.kill("SIGHUP");
	await settled(server, (l) => l.toolkit_clock?.state === "serving", "enabled");
	assert.equal(await clock(), 200);
	conf.write(file, "");
	done = server.command("plugin", "reload");
	assert.equal(done.status, 0, done.stderr);
	assert.match(done.stdout, /toolkit_clock: taken out/);
	assert.equal(await clock(), 404);
	done = server.command("plugin", "list");
	assert.equal(done.status, 0, done.stderr);
	assert.match(done.stdout, /llm_demo +\S+ +3 serving/);
	assert.doesNotMatch(done.stdout, /toolkit_clock/);
	assert.match((await ask(server, { command: "nonsense" })).error.message,
		/no command 'nonsense'/);
	assert.deepEqual(await server.stop(), { code: 0, signal: null });
	done = server.command("plugin", "reload");
	assert.equal(done.status, 1);
	assert.match(done.stderr, /no agent-studio is running/);
	conf.remove();
});

test("what is saved is what runs, under plugins.watch", async () => {
	const conf = folder();
	const server = await start({ args: conf.args,
		set: ["plugins.watch=true"] });
	conf.write(file, CLOCK("enabled = false;"));
	await settled(server, (l) => l.toolkit_clock.state === "disabled", "off");
	conf.write(file, CLOCK("enabled = true;"));
	const list = await settled(server,
		(l) => l.toolkit_clock.state === "serving", "on");
	assert.equal(list.toolkit_clock.generation, 3);
	assert.equal(list.llm_demo.generation, 1, "others are left alone");
	assert.deepEqual(await server.stop(), { code: 0, signal: null });
	conf.remove();
});
