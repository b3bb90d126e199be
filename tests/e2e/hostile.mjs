// SPDX-License-Identifier: Apache-2.0
//
// Plugins in processes of their own that do what a plugin must not do, while a
// hundred people watch their answers appear.  Prints what each of them did to
// the run that called it, and how regularly the words of the others came.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { newThread, scene, script } from "../support/chat.mjs";
import { start } from "../support/server.mjs";
import { until } from "../support/wait.mjs";
import { connect } from "../support/ws.mjs";

const PLUGINS = join(process.env.BUILD_DIR ?? "build/release",
	"tests/integration/plug/.libs");
const STREAMS = 100;
const WORDS = 40;
const PACE_MS = 150;
// What it does, and what the model is told; each has a process of its own.
const DEEDS = {
	fault: /died of SIGSEGV/,
	give_up: /died of SIGABRT/,
	leave: /ended its process with exit code 3/,
	hang: /did not answer for \d+ ms/,
	leak: /"\d+"|^\d+$/,
	bomb: /memory than its limit of \d+ MiB/,
	big: /an answer of 100 MiB/,
	deep: /died of SIGSEGV: fiber 'toolkit_\w+' overflowed its/,
	cut_off: /closed its connection/,
	babble: /said what has no meaning/,
};
const deeds = Object.keys(DEEDS);
let folder, server, s;

const kit = (deed) => `h${deeds.indexOf(deed)}`;
const calls = (deed, tool, args) => ({ match: `${tool} ${deed}!`,
	tool_calls: [{ name: `${kit(deed)}_${tool === "echo" ? "echo" : deed}`,
		args }] });

before(async () => {
	folder = mkdtempSync(join(tmpdir(), "agent-studio-script-"));
	const text = Array.from({ length: WORDS }, (_, i) => `word${i}`).join(" ");
	const turns = [{ match: "innocent", text, delay_ms: PACE_MS }];
	for (const deed of deeds)
		turns.push(calls(deed, "do", {}),
			{ match: `do ${deed}!`, text: "So that is that." },
			calls(deed, "echo", { text: "still here" }),
			{ match: `echo ${deed}!`, text: "So that is that." });
	const set = [script(folder, turns), `plugins.dirs=["${PLUGINS}"]`,
		"plugins.child_memory=256M", "server.sockets_per_user=300"];
	// By the folder that they are in they are not of the house.
	for (const deed of deeds)
		set.push(`plugins.toolkit_${kit(deed)}.plugin=toolkit_hostile`);
	server = await start({ set });
	s = await scene(server, { toolkits: deeds.map(kit) });
});
after(async () => {
	await server?.stop();
	rmSync(folder, { recursive: true, force: true });
});

async function open() {
	const thread = await newThread(server, s.person, s.agent.id);
	const socket = await connect(server, thread.id, { token: s.token });
	socket.patience = 60000; // a hundred others are served, too
	await socket.type("snapshot");
	return socket;
}

// The times between the words of one answer, and the answer.
async function stream(socket) {
	const gaps = [];
	let text = "", last;
	socket.ws.on("message", (data) => {
		const frame = JSON.parse(data.toString());
		if (frame.type !== "message_delta")
			return;
		const now = performance.now();
		if (last !== undefined)
			gaps.push(now - last);
		last = now;
		text += frame.text ?? frame.delta ?? "";
	});
	socket.send({ type: "message", content: "innocent" });
	for (;;) {
		const frame = await socket.until((f) => f.type === "message_delta" ||
			f.type === "run_status");
		if (frame.status === "end") {
			assert.equal(frame.state, "succeeded", JSON.stringify(frame));
			return { gaps, text };
		}
	}
}

async function streams(beside = async () => {}) {
	const sockets = [];
	for (let i = 0; i < STREAMS; i++)
		sockets.push(await open());
	const all = sockets.map(stream);
	await beside();
	const ends = await Promise.all(all);
	await Promise.all(sockets.map((socket) => socket.close()));
	const gaps = ends.flatMap((e) => e.gaps).sort((a, b) => a - b);
	assert.ok(gaps.length > STREAMS * WORDS / 4, `${gaps.length} gaps`);
	return gaps[Math.floor(gaps.length * 0.99)];
}

async function tool(socket, content) {
	socket.send({ type: "message", content });
	await socket.type("tool_call");
	const at = performance.now();
	const frame = await socket.type("tool_result");
	const seconds = (performance.now() - at) / 1000;
	const end = await socket.end();
	assert.equal(end.state, "succeeded", JSON.stringify(end));
	return { seconds,
		told: JSON.stringify(frame.error ?? frame.result?.body ?? frame.result) };
}

const table = [];

test("what hostile plugins do to those who call them and to others", async (t) => {
	const alone = await streams();
	const beside = await streams(async () => {
		for (const deed of deeds) {
			const socket = await open();
			const { told, seconds } = await tool(socket, `do ${deed}!`);
			table.push(`${deed.padEnd(9)}${seconds.toFixed(2).padStart(6)} s  ` +
				told.slice(0, 150));
			assert.match(told, DEEDS[deed]);
			// The thread is usable, and so is the plugin.
			const again = await tool(socket, `echo ${deed}!`);
			assert.match(again.told, /still here/);
			await socket.close();
		}
	});
	for (const row of table)
		t.diagnostic(row);
	t.diagnostic(`p99 of ${STREAMS} streams between words, paced at ` +
		`${PACE_MS} ms: ${alone.toFixed(0)} ms alone, ${beside.toFixed(0)} ms ` +
		"beside them");
	assert.ok(beside < alone * 3 + 1000, `${beside} ms, alone ${alone} ms`);
});

// Whether a process of that number runs; a zombie does not.
function runs(pid) {
	try {
		return !/^State:\s+[ZX]/m.test(
			readFileSync(`/proc/${pid}/status`, "utf8"));
	} catch {
		return false;
	}
}

function children(pid) {
	return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim()
		.split(" ").filter((x) => x).map(Number);
}

test("no process of a plugin outlives the host", async () => {
	// One that has died is being replaced.
	const pids = await until("a process for each plugin", () => {
		const list = children(server.child.pid);
		return list.length === deeds.length && list;
	});
	for (const pid of pids)
		assert.match(readFileSync(`/proc/${pid}/cmdline`, "utf8"),
			/^agent-studio\0plugin-host\0toolkit_h\d/);
	await server.kill9();
	await until(() => `the end of ${pids.filter(runs)}`,
		() => !pids.some(runs));
	await server.restart();
});
