// SPDX-License-Identifier: Apache-2.0
// The demo page in a real browser, from sign-up to log-out.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { lacksChromium, launch } from "../support/browser.mjs";
import { script } from "../support/chat.mjs";
import { start } from "../support/server.mjs";

const WIDE = { width: 1280, height: 800 };
const NARROW = { width: 400, height: 800 };
const folder = mkdtempSync(join(tmpdir(), "script-"));
const LONG = Array.from({ length: 200 }, (_, i) => `word${i}`).join(" ");
const FAIL = { match: "fail", fail: { status: 503, message: "no capacity" } };
const turns = [
	{
		text: "Let me compute that.",
		tool_calls: [{ name: "calculator_evaluate", args: { expression: "12 * (3 + 4)" } }],
	},
	{ match: "12", text: "12 * (3 + 4) is 84." },
	{ match: "count", text: LONG, delay_ms: 150 },
	{ match: "patience", text: LONG, delay_ms: 150 },
	{ match: "queue", text: "That was worth waiting for." },
	{ match: "slowly", text: "slow and steady wins the race, they say", delay_ms: 150 },
	{ match: "markup", text: "<b>bold</b> & <img src=x onerror=alert(1)>" },
	FAIL, FAIL,
	{ match: "fail", text: "Here I am again." },
];
// A request that is never answered, and what the model says in the end.
const post = (port) => [
	{ match: "post", text: "I will.", tool_calls: [{ name: "http_request",
		args: { method: "POST", url: `http://127.0.0.1:${port}/orders` } }] },
	{ match: "post", text: "Then it is done." },
];
const later = [
	{ match: "by permission", tool_calls: [
		{ name: "calculator_evaluate", args: { expression: "1 + 1" } },
		{ name: "ask_human", args: { question: "Which colour?",
			choices: ["red", "blue"] } }] },
	{ match: "by permission", text: "With your permission." },
	{ match: "first try", text: "One answer." },
	{ match: "second try", text: "Asked differently." },
	{ match: "walk on", tool_calls: [{ name: "calculator_evaluate",
		args: { expression: "2 + 2" } }] },
	{ match: "turn left", text: "Left it is." },
];
let browser, page, server, web, posted;

before(async () => {
	browser = await launch();
	if (browser === null)
		return;
	posted = new Promise((resolve) => {
		web = http.createServer(resolve);
	});
	await new Promise((resolve) => web.listen(0, "127.0.0.1", resolve));
	const { port } = web.address();
	server = await start({ set: [script(folder, [...turns, ...post(port), ...later]),
		`plugins.toolkit_http.allow=["127.0.0.1:${port}"]`, "models.tries=2"] });
	page = await browser.page();
	await page.look(WIDE);
});
after(async () => {
	await browser?.close();
	await server?.stop();
	web?.closeAllConnections();
	web?.close();
	rmSync(folder, { recursive: true });
});

const step = (name, fn) => test(name, { skip: lacksChromium }, fn);

// Light and dark, wide and narrow.
async function pictures(name) {
	for (const scheme of ["light", "dark"])
		for (const [size, area] of [["wide", WIDE], ["narrow", NARROW]]) {
			await page.look({ ...area, scheme });
			await page.evaluate("document.querySelector(" +
				"'#messages > li:last-child')?.scrollIntoView()");
			const over = await page.evaluate(
				`document.documentElement.scrollWidth - ${area.width}`);
			assert.ok(over <= 0, `${name} is ${over} px too wide (${size})`);
			await page.screenshot(`demo-${name}-${size}-${scheme}.png`);
		}
	await page.look(WIDE);
}

function nothingWrong(...intended) {
	assert.deepEqual(page.errors, []);
	assert.deepEqual(page.failures, intended);
	page.failures.length = 0;
}

async function ask(text) {
	await page.visible("#send:not(:disabled)");
	await page.type("#composer textarea", text);
	await page.press("Enter", 13);
}

const last = (pattern) => page.text("#messages > li:last-child", pattern);
const transcript = () => page.evaluate(
	"[...document.querySelectorAll('#messages > li')].map((e) => e.textContent)");

step("/ leads to the page; a wrong password is told", async () => {
	await page.goto(server.url + "/");
	await page.visible("#sign-in");
	assert.match(await page.evaluate("location.pathname"), /^\/demo\/$/);
	await page.type("#sign-in-form [name=email]", "ada@example.org");
	await page.type("#sign-in-form [name=password]", "correct horse battery");
	await page.click("[name=login]");
	await page.text("#sign-in-error", /\S/);
	await pictures("sign-in");
	nothingWrong("401 /api/auth/me", "401 /api/auth/login");
});

step("sign up, and make an agent", async () => {
	await page.click("[name=signup]");
	await page.visible("#agent-dialog");
	await page.visible("#toolkits input[value=calculator]:checked");
	await page.click("#toolkits input[value=http]");
	await pictures("agent");
	await page.evaluate("document.querySelector('#agent-form [name=name]').value = ''");
	await page.type("#agent-form [name=name]", "Abacus");
	await page.click("#agent-form button[value=create]");
	await page.hidden("#agent-dialog");
	await page.text("#agent-name", /Abacus/);
	await page.text("#status", /live/);
	await page.visible("#empty");
	await pictures("empty");
	nothingWrong();
});

step("a question, a tool card, an answer", async () => {
	await ask("What is 12 * (3 + 4)?");
	await page.text(".tool[data-state=succeeded]", /calculator_evaluate/);
	await last(/is 84\.$/);
	await page.visible("#send");
	await page.hidden("#empty");
	await page.click(".tool summary");
	await page.text(".tool .result", /^84$/);
	await pictures("chat");
	await page.text("#threads [aria-current=true]", /What is 12/);
	nothingWrong();
});

step("the same after a reload", async () => {
	const before = await transcript();
	await page.reload();
	await last(/is 84\.$/);
	assert.deepEqual(await transcript(), before);
	nothingWrong();
});

step("stop", async () => {
	await ask("count");
	await last(/word3 /);
	await pictures("writing");
	await page.click("#stop");
	await page.visible(".message.interrupted");
	await page.visible("#send");
	nothingWrong();
});

step("what is said meanwhile waits; it can be taken back", async () => {
	await ask("patience");
	await last(/word3 /);
	for (const text of ["never mind", "queue this"]) {
		await page.visible("#queue:not(:disabled)");
		await page.type("#composer textarea", text);
		await page.press("Enter", 13);
		await page.text("#messages > li.staged:last-child", new RegExp(text));
	}
	await pictures("queued");
	await page.click("#messages > li.staged button");
	await page.text("#messages > li:nth-last-child(2)", /word3 /);
	await page.click("#stop");
	await last(/^That was worth waiting for\.$/);
	await page.text("#messages > li:nth-last-child(2)", /^queue this$/);
	await page.visible("#send");
	const before = await transcript();
	assert.ok(!before.some((t) => t.includes("never mind")));
	await page.reload();
	await last(/^That was worth waiting for\.$/);
	assert.deepEqual(await transcript(), before);
	nothingWrong();
});

step("the server dies in the middle of an answer; the page comes back", async () => {
	await ask("slowly");
	await last(/slow and/);
	await server.kill9();
	await page.text("#status", /reconnecting/);
	await page.screenshot("demo-lost.png");
	await server.restart({ port: server.port });
	await page.text("#status", /live/);
	await last(/^slow and steady wins the race, they say$/);
	await page.visible("#send");
	assert.deepEqual(page.errors, []);
	assert.ok(page.failures.every((f) => /CONNECTION/.test(f)), String(page.failures));
	page.failures.length = 0;
});

step("text is text", async () => {
	await ask("markup");
	await last(/^<b>bold<\/b> & <img src=x onerror=alert\(1\)>$/);
	await page.visible("#send");
	nothingWrong();
});

step("a failure: it waits, then a person decides, who lets it try again", async () => {
	// The pause may be short: what the list has shown is kept.
	await page.evaluate(`new MutationObserver((list) => list.forEach((m) =>
		m.addedNodes.forEach((el) => (window.shown ??= []).push(el.textContent))))
		.observe(document.getElementById("messages"), { childList: true })`);
	await ask("fail");
	await page.text(".question", /could not go on[^]*UNAVAILABLE: .*no capacity/);
	assert.match((await page.evaluate("window.shown")).join("\n"),
		/no capacity \u2014 again in \d+ s/);
	await page.hidden(".pause");
	await page.visible("#send");
	await pictures("failure");
	await page.reload();
	await page.visible(".question [name=cancel]");
	await page.click(".question [name=retry]");
	await last(/^Here I am again\.$/);
	await page.hidden(".question");
	await page.visible("#send");
	nothingWrong();
});

step("a call that may have happened: the admin says that it has", async () => {
	await ask("post an order");
	await posted;
	await server.kill9();
	await page.text("#status", /reconnecting/);
	await server.restart({ port: server.port });
	await page.text(".question", /Did it happen[^]*http_request .*orders/);
	await page.text("#messages > li:nth-last-child(2) .tool .state", /^unknown$/);
	await page.visible("#send");
	await page.visible(".question [name=not_happened]");
	await page.visible(".question [name=skip]");
	await pictures("unknown");
	await page.type(".question input", "order 7");
	await page.click(".question [name=happened]");
	await last(/^Then it is done\.$/);
	await page.hidden(".question");
	await page.text("#messages > li:nth-last-child(2) .tool .short", /^order 7$/);
	assert.deepEqual(page.errors, []);
	assert.ok(page.failures.every((f) => /CONNECTION/.test(f)), String(page.failures));
	page.failures.length = 0;
});

const approval = (value) => page.evaluate(`(async () => {
	const { items: [{ id }] } = await (await fetch("/api/agents/")).json();
	await fetch("/api/agents/" + id + "/", { method: "PATCH",
		headers: { "content-type": "application/json" },
		body: JSON.stringify({ approval: ${JSON.stringify(value)} }) });
})()`);

step("what needs a person's word is answered on the page", async () => {
	await approval({ questions: true, tools: { calculator_evaluate: "always" } });
	await ask("by permission");
	await page.text(".approval", /May it call calculator_evaluate/);
	await page.text("#messages > li:last-child .approval", /Which colour\?/);
	await pictures("asked");
	// The same after a reload.
	await page.reload();
	await page.text(".approval", /May it call calculator_evaluate/);
	await page.evaluate("document.querySelector('.approval textarea').value = '{\"expression\": 1}'");
	await page.click(".approval [name=edit]");
	await page.text(".approval .error", /expression/);
	await page.evaluate("document.querySelector('.approval textarea').value = '{\"expression\": \"40 + 2\"}'");
	await page.click(".approval [name=edit]");
	await page.text(".approval", /Which colour\?/);
	await page.click(".approval [name=response][value=blue]");
	await last(/^With your permission\.$/);
	await page.hidden(".approval");
	await page.visible("#send");
	assert.match((await page.evaluate("[...document.querySelectorAll("
		+ "'.tool .result')].map((e) => e.textContent)")).join("; "),
	/changed the arguments to \{"expression":"40 \+ 2"\}\]\n42;/);
	assert.deepEqual(page.errors, []);
	assert.deepEqual(page.failures.map((f) => f.slice(0, 15)), ["400 /api/inbox/"]);
	page.failures.length = 0;
});

step("another answer, the question asked differently, and back", async () => {
	await ask("first try");
	await last(/^One answer\.$/);
	await page.visible("#send");
	await page.click("#messages > li:last-child [name=again]");
	await page.visible("#messages > li:last-child .branch[data-place='2 / 2']");
	await last(/^One answer\.$/);
	await pictures("branch");
	await page.click("#messages > li:last-child [name=before]");
	await page.visible("#messages > li:last-child .branch[data-place='1 / 2']");
	await last(/^One answer\.$/);

	await page.click("#messages > li:nth-last-child(2) [name=edit]");
	await page.visible("#editing");
	await page.click("#edit-cancel");
	await page.hidden("#editing");
	await page.click("#messages > li:nth-last-child(2) [name=edit]");
	await page.evaluate("document.querySelector('#composer textarea').value = ''");
	await page.type("#composer textarea", "second try");
	await page.press("Enter", 13);
	await last(/^Asked differently\.$/);
	await page.hidden("#editing");
	await page.text("#messages > li:nth-last-child(2)", /^second try$/);
	await page.click("#messages > li:nth-last-child(2) [name=before]");
	await last(/^One answer\.$/);
	await page.text("#messages > li:nth-last-child(2)", /^first try$/);
	nothingWrong();
});

step("what is said meanwhile can reach the run at work", async () => {
	await ask("walk on");
	await page.visible(".approval");
	await page.type("#composer textarea", "turn left");
	await page.click("#steer");
	await page.text("#messages > li.staged:last-child", /turn left/);
	await page.click(".approval [name=accept]");
	await last(/^Left it is\.$/);
	await page.visible("#send");
	await approval({ tools: { calculator_evaluate: null } });
	nothingWrong();
});

step("a second conversation begins empty, and the first is still there", async () => {
	await page.click("#new-thread");
	await page.visible("#empty");
	assert.deepEqual(await transcript(), []);
	await page.click("#empty button");
	await page.text("#messages", /What is 12/);
	await page.text(".tool .short", /^84$/);
	await last(/is 84\.$/);
	await pictures("suggestion");
	await page.click("#threads li:last-child button");
	await page.text("#messages", /is 84\./);
	await page.hidden("#empty");
	nothingWrong();
});

step("log out", async () => {
	await page.loads(() => page.click("#logout"));
	await page.visible("#sign-in");
	await page.hidden("#app");
	nothingWrong("401 /api/auth/me");
});
