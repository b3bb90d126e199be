// SPDX-License-Identifier: Apache-2.0
//
// Headless Chromium over the DevTools protocol, with nothing but `ws`:
//
//   const browser = await launch();          null: there is no Chromium
//   const page = await browser.page();
//   await page.goto(url);
//   await page.type("#name", "text"); await page.click("button");
//   await page.text("#messages", /84/);      waits until it matches
//   await page.evaluate("document.title");
//   await page.screenshot("name.png");
//   page.errors, page.failures               what the console and net say
//   await browser.close();
//
// All waiting is done in the page, by a MutationObserver.

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { lacks } from "./lacks.mjs";

const { WebSocket } = createRequire(import.meta.url)("ws");
const PROGRAM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const WAIT_MS = 20000;

export const lacksChromium = lacks(existsSync(PROGRAM), "Chromium");

function endpoint(child) {
	return new Promise((resolve, reject) => {
		let text = "";
		child.stderr.setEncoding("utf8");
		child.stderr.on("data", (part) => {
			text += part;
			const m = /DevTools listening on (ws:\S+)/.exec(text);
			if (m)
				resolve(m[1]);
		});
		child.on("error", reject);
		child.on("close", () => reject(new Error(`Chromium ended:\n${text}`)));
	});
}

class Connection {
	#ws; #calls = new Map(); #n = 0; #listeners = [];

	constructor(ws) {
		this.#ws = ws;
		ws.on("message", (data) => this.#receive(JSON.parse(data)));
		ws.on("close", () => {
			for (const call of this.#calls.values())
				call.reject(new Error(`${call.method}: Chromium is gone`));
		});
	}

	static open(url) {
		return new Promise((resolve, reject) => {
			const ws = new WebSocket(url, { perMessageDeflate: false });
			ws.on("open", () => resolve(new Connection(ws)));
			ws.on("error", reject);
		});
	}

	#receive(message) {
		const call = this.#calls.get(message.id);
		if (call === undefined) {
			this.#listeners.forEach((fn) => fn(message));
			return;
		}
		this.#calls.delete(message.id);
		if (message.error)
			call.reject(new Error(`${call.method}: ${message.error.message}`));
		else
			call.resolve(message.result);
	}

	listen(fn) {
		this.#listeners.push(fn);
	}

	call(method, params = {}, sessionId = undefined) {
		const id = ++this.#n;
		return new Promise((resolve, reject) => {
			this.#calls.set(id, { method, resolve, reject });
			this.#ws.send(JSON.stringify({ id, method, params, sessionId }));
		});
	}
}

// Runs in the page: resolves with what fn gives once that is true.
function waitInPage(fn, ms) {
	return new Promise((resolve, reject) => {
		const look = () => {
			const value = fn();
			if (value)
				done(resolve, value);
		};
		const observer = new MutationObserver(look);
		const timer = setTimeout(() =>
			done(reject, new Error("not in time: " + fn)), ms);
		function done(how, value) {
			clearTimeout(timer);
			observer.disconnect();
			how(value);
		}
		observer.observe(document, { subtree: true, childList: true,
			attributes: true, characterData: true });
		look();
	});
}

class Page {
	#connection; #session; #loaded = () => {};

	constructor(connection, session) {
		this.#connection = connection;
		this.#session = session;
		this.errors = [];
		this.failures = [];
		connection.listen((m) => {
			if (m.sessionId === session)
				this.#event(m.method, m.params);
		});
	}

	#event(method, params) {
		if (method === "Page.loadEventFired")
			this.#loaded();
		else if (method === "Runtime.exceptionThrown")
			this.errors.push(params.exceptionDetails.exception?.description ??
				params.exceptionDetails.text);
		else if (method === "Runtime.consoleAPICalled" && params.type === "error")
			this.errors.push(params.args.map((a) => a.value ?? a.description).join(" "));
		else if (method === "Network.loadingFailed" && !params.canceled)
			this.failures.push(params.errorText);
		else if (method === "Network.responseReceived" && params.response.status >= 400)
			this.failures.push(`${params.response.status} ${new URL(params.response.url).pathname}`);
	}

	call(method, params) {
		return this.#connection.call(method, params, this.#session);
	}

	// What act does loads a page; waits until it has.
	async loads(act) {
		const loaded = new Promise((resolve) => {
			this.#loaded = resolve;
		});
		const answer = await act();
		if (answer?.errorText)
			throw new Error(answer.errorText);
		await loaded;
	}

	goto(url) {
		return this.loads(() => this.call("Page.navigate", { url }));
	}

	reload() {
		return this.loads(() => this.call("Page.reload"));
	}

	async evaluate(expression) {
		const { result, exceptionDetails } = await this.call("Runtime.evaluate",
			{ expression, awaitPromise: true, returnByValue: true });
		if (exceptionDetails)
			throw new Error(exceptionDetails.exception?.description ??
				exceptionDetails.text);
		return result.value;
	}

	// The value of a JavaScript expression once it is true.
	async until(expression) {
		try {
			return await this.evaluate(`(${waitInPage})(() => (${expression}), ${WAIT_MS})`);
		} catch (error) {
			error.message += "\n" + await this.evaluate("document.body.innerText");
			throw error;
		}
	}

	// Waits for an element that can be seen.
	visible(selector) {
		return this.until(
			`document.querySelector(${JSON.stringify(selector)})?.checkVisibility()`);
	}

	hidden(selector) {
		return this.until(
			`!document.querySelector(${JSON.stringify(selector)})?.checkVisibility()`);
	}

	// Waits until the text of an element matches.
	text(selector, pattern) {
		return this.until(`(() => {
			const text = document.querySelector(${JSON.stringify(selector)})?.innerText ?? "";
			return ${pattern}.test(text) && text;
		})()`);
	}

	// A real click, where a finger would hit it, once it can be clicked.
	async click(selector) {
		await this.visible(`${selector}:not(:disabled)`);
		const { x, y, hit } = await this.evaluate(`(() => {
			const el = document.querySelector(${JSON.stringify(`${selector}:not(:disabled)`)});
			el.scrollIntoView({ block: "nearest" });
			const r = el.getBoundingClientRect();
			const x = r.x + r.width / 2, y = r.y + r.height / 2;
			const top = document.elementFromPoint(x, y);
			return { x, y, hit: el.contains(top) };
		})()`);
		if (!hit)
			throw new Error(`${selector} is covered by something else`);
		const at = { x, y, button: "left", clickCount: 1 };
		await this.call("Input.dispatchMouseEvent", { type: "mousePressed", ...at });
		await this.call("Input.dispatchMouseEvent", { type: "mouseReleased", ...at });
	}

	async type(selector, text) {
		await this.click(selector);
		await this.call("Input.insertText", { text });
	}

	async press(key, code) {
		const event = { key, code: key, windowsVirtualKeyCode: code, text: "\r" };
		await this.call("Input.dispatchKeyEvent", { type: "keyDown", ...event });
		await this.call("Input.dispatchKeyEvent", { type: "keyUp", ...event });
	}

	async look({ width, height, scheme = "light" }) {
		await this.call("Emulation.setDeviceMetricsOverride",
			{ width, height, deviceScaleFactor: 1, mobile: width < 500 });
		await this.call("Emulation.setEmulatedMedia", {
			features: [{ name: "prefers-color-scheme", value: scheme },
				{ name: "prefers-reduced-motion", value: "reduce" }],
		});
	}

	async screenshot(name) {
		const folder = process.env.SCREENSHOT_DIR ?? tmpdir();
		mkdirSync(folder, { recursive: true });
		const { data } = await this.call("Page.captureScreenshot", { format: "png" });
		writeFileSync(join(folder, name), Buffer.from(data, "base64"));
	}
}

class Browser {
	constructor(child, folder, connection) {
		this.child = child;
		this.folder = folder;
		this.connection = connection;
		this.ended = new Promise((resolve) => child.on("close", resolve));
	}

	async page() {
		const { targetId } = await this.connection.call("Target.createTarget",
			{ url: "about:blank" });
		const { sessionId } = await this.connection.call("Target.attachToTarget",
			{ targetId, flatten: true });
		const page = new Page(this.connection, sessionId);
		for (const domain of ["Page", "Runtime", "Network"])
			await page.call(`${domain}.enable`);
		return page;
	}

	async close() {
		await this.connection.call("Browser.close").catch(() => {});
		await this.ended;
		rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
	}
}

export async function launch() {
	if (lacksChromium)
		return null;
	const folder = mkdtempSync(join(tmpdir(), "chromium-"));
	const child = spawn(PROGRAM, ["--headless", "--no-sandbox", "--disable-gpu",
		"--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--hide-scrollbars", `--user-data-dir=${folder}`,
		"--remote-debugging-port=0", "about:blank"],
	{ stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, HOME: folder } });
	return new Browser(child, folder, await Connection.open(await endpoint(child)));
}
