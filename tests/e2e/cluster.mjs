// SPDX-License-Identifier: Apache-2.0
//
// script/cluster, and the demo page that chats through its nginx while the
// processes behind it are killed.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { lacksChromium, launch } from "../support/browser.mjs";
import { script } from "../support/chat.mjs";
import { lacks, lacksPostgres } from "../support/lacks.mjs";
import { hasProxy } from "../support/proxy.mjs";
import { PATIENCE_MS, until } from "../support/wait.mjs";

const CLUSTER = join(process.env.SRC_DIR, "script/cluster");
const NODES = ["serve1", "serve2", "worker1", "worker2"];
const folder = mkdtempSync(join(tmpdir(), "script-"));
const state = join(folder, "cluster");
const long = (word) => Array.from({ length: 60 }, (_, i) => `${word}${i}`).join(" ");
const turns = [
	{ match: "first", text: long("wörd"), delay_ms: 60 },
	{ match: "second", text: long("tök"), delay_ms: 60 },
	{ match: "third", text: "Thrice." },
];
const skip = lacksPostgres || lacks(hasProxy("nginx"), "nginx");
let browser, page, cluster, url, ended, said = "";

const soon = (what, found) => until(() => `${what}\n${said}`, found);

async function command(...words) {
	const { stdout } = await promisify(execFile)(CLUSTER,
		[...words, "--state", state], { timeout: PATIENCE_MS });
	return stdout;
}

const pid = (name) => Number(readFileSync(join(state, `${name}.pid`), "utf8"));
const port = (node) => new RegExp(`^${node} (\\d+)$`, "m").exec(
	readFileSync(join(state, "ports"), "utf8"))[1];

before(async () => {
	if (skip)
		return;
	cluster = spawn(CLUSTER, ["--port", "0", "--state", state, "--program",
		process.env.AGENT_STUDIO, "--set", script(folder, turns)],
	{ stdio: ["ignore", "pipe", "pipe"], detached: true });
	ended = new Promise((done) => cluster.on("close", (code) => done(code)));
	cluster.stderr.on("data", (text) => {
		said += text;
	});
	url = await Promise.race([new Promise((resolve) =>
		createInterface({ input: cluster.stdout }).on("line", (line) => {
			said += `${line}\n`;
			const m = /^listening on (\S+)$/.exec(line);
			if (m)
				resolve(m[1]);
		})), ended.then((code) => {
		throw new Error(`script/cluster ended with ${code}:\n${said}`);
	})]);
	browser = await launch();
	page = await browser?.page();
	await page?.look({ width: 1280, height: 800 });
});
after(async () => {
	await browser?.close();
	if (cluster?.exitCode === null) {
		cluster.kill("SIGTERM");
		await ended;
	}
	rmSync(folder, { recursive: true, force: true });
});

const step = (name, chromium, fn) => test(name, {
	skip: skip || (chromium && lacksChromium) }, fn);

async function ask(text) {
	await page.visible("#send:not(:disabled)");
	await page.type("#composer textarea", text);
	await page.press("Enter", 13);
}

const last = (pattern) => page.text("#messages > li:last-child", pattern);

// The server that holds the page's socket.
const holder = () => soon("a server with a socket", async () => {
	for (const node of ["serve1", "serve2"]) {
		const text = await fetch(`http://127.0.0.1:${port(node)}/metrics`)
			.then((answer) => answer.text()).catch(() => "");
		if (/^agent_studio_websockets [1-9]/m.test(text))
			return node;
	}
	return null;
});

// nginx sends requests to both servers (again).
function bothServe() {
	const served = (node) => fetch(`http://127.0.0.1:${port(node)}/metrics`)
		.then((answer) => answer.text()).catch(() => "")
		.then((text) => Number(/^agent_studio_http_requests_total{route="\/healthz".* (\d+)$/m
			.exec(text)?.[1] ?? 0));
	const all = () => Promise.all(["serve1", "serve2"].map(served));
	return soon("requests for both servers", async () => {
		const before = await all();
		for (let i = 0; i < 10; i++)
			await (await fetch(`${url}/healthz`)).text();
		return (await all()).every((n, i) => n > before[i]);
	});
}

// What the page shows and what is stored, byte by byte.
async function isStored() {
	const { shown, stored } = await page.evaluate(`(async () => {
		const get = async (path) => (await fetch(path)).json();
		const { items: [thread] } = await get("/api/chat/sessions");
		const { messages } = await get("/api/chat/sessions/" + thread.id + "?limit=200");
		return { shown: [...document.querySelectorAll("#messages > .assistant")]
			.map((e) => e.textContent),
		stored: messages.filter((m) => m.role === "assistant").map((m) => m.content) };
	})()`);
	assert.deepEqual(shown, stored);
	return stored;
}

test("a folder that has other things in it is left alone", async () => {
	const mine = join(folder, "mine");
	mkdirSync(join(mine, "data"), { recursive: true });
	await assert.rejects(promisify(execFile)(CLUSTER, ["--port", "0",
		"--state", mine, "--program", process.env.AGENT_STUDIO],
	{ timeout: PATIENCE_MS }), /is not empty/);
	assert.deepEqual(readdirSync(mine), ["data"]);
});

step("everything runs", false, async () => {
	const status = await command("status");
	for (const node of ["nginx", ...NODES])
		assert.match(status, new RegExp(`^${node} +process \\d+ +port \\d+ +ready$`, "m"));
	assert.match(status, /^redis +process \d+$/m);
	const answer = await fetch(`${url}/readyz`);
	assert.deepEqual(await answer.json(), { status: "ready",
		checks: { store: "ok", standby: "none", realtime: "ok" } });
});

step("the server of the page is killed in the middle of an answer", true, async () => {
	await page.goto(url + "/");
	await page.visible("#sign-in");
	await page.type("#sign-in-form [name=email]", "ada@example.org");
	await page.type("#sign-in-form [name=password]", "correct horse battery");
	await page.click("[name=signup]");
	await page.visible("#agent-dialog");
	await page.click("#agent-form button[value=create]");
	await page.text("#status", /live/);
	await page.evaluate(`window.states = new Set();
		new MutationObserver(() => window.states.add(
			document.getElementById("status").textContent))
			.observe(document.getElementById("status"),
				{ childList: true, characterData: true, subtree: true })`);
	await ask("first");
	await last(/wörd5 /);
	await command("kill", await holder());
	await page.until("window.states.has('reconnecting')");
	await page.text("#status", /live/);
	await last(/wörd59$/);
	await page.visible("#send");
	assert.deepEqual(await isStored(), [long("wörd")]);
	await page.screenshot("cluster.png");
	assert.deepEqual(page.errors, []);
});

step("servers and workers are restarted in the middle of an answer", true, async () => {
	await bothServe();
	await ask("second");
	await last(/tök5 /);
	await command("restart", await holder());
	await last(/tök59$/);
	await page.visible("#send");
	await command("restart", "worker1");
	await command("restart", "worker2");
	await page.text("#status", /live/);
	assert.deepEqual(await isStored(), [long("wörd"), long("tök")]);
	assert.deepEqual(page.errors, []);
});

step("what is said to a server that does not hear it any more", true, async () => {
	await bothServe();
	const victim = pid(await holder());
	process.kill(victim, "SIGSTOP");
	await ask("third");
	process.kill(victim, "SIGKILL");
	await last(/^Thrice\.$/);
	await page.visible("#send");
	assert.deepEqual(await isStored(), [long("wörd"), long("tök"), "Thrice."]);
	assert.deepEqual(page.errors, []);
});

step("it stops, and leaves nothing behind", false, async () => {
	process.kill(-cluster.pid, "SIGINT"); // as Ctrl-C
	assert.equal(await ended, 0, said);
	// It has ended; whoever inherits it has to notice.
	for (const name of [...NODES, "nginx", "redis"])
		await soon(`the end of ${name}`, () => {
			try {
				return !process.kill(pid(name), 0);
			} catch (e) {
				return e.code === "ESRCH";
			}
		});
	await assert.rejects(command("status"), /it does not run/);
});
