// SPDX-License-Identifier: Apache-2.0
// Edited questions and second answers: branches of a thread.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { log, messages, scene, untilEnd } from "../support/chat.mjs";
import { api, signUp, start } from "../support/server.mjs";
import { start as startStub } from "../support/stub_model.mjs";

let server, stub;

before(async () => {
	stub = await startStub({ key: "sesame" });
	server = await start({
		env: { OPENAI_API_KEY: "sesame" },
		set: [`plugins.llm_openai.base_url=${stub.url}/v1`,
			"plugins.llm_openai.default_model=stub"],
	});
});
after(async () => {
	await server?.stop();
	await stub?.stop();
});

const people = async (agent = {}) => scene(server,
	{ model_name: "openai/stub", system_prompt: "Be short.", ...agent });

const call = (s, method, path, body) => api(server, method,
	`/api/chat/sessions/${s.thread.id}${path}`, { token: s.token, body });

const ended = (s, runId) => untilEnd(server, s.token, runId);

// Sends, waits for the end, and gives what was accepted.
async function say(s, content, more = {}) {
	const { status, body } = await call(s, "POST", "", { content, ...more });
	assert.equal(status, 202, JSON.stringify(body));
	assert.equal((await ended(s, body.run.id)).state, "succeeded");
	return body;
}

async function again(s, id) {
	const { status, body } = await call(s, "POST",
		`/messages/${id}/regenerate`);
	assert.equal(status, 202, JSON.stringify(body));
	assert.equal((await ended(s, body.run.id)).state, "succeeded");
	return body;
}

const texts = async (s) => (await messages(server, s)).map((m) => m.content);

// What the model was told last, without the system prompt.
const told = () => stub.log.filter((r) => r.body?.messages).at(-1).body.messages
	.filter((m) => m.role !== "system").map((m) => m.content);

const branches = async (s) => (await call(s, "GET", "/branches")).body;

test("a thread without branches has none", async () => {
	const s = await people();
	await say(s, "one");
	await say(s, "two");
	const b = await branches(s);
	assert.deepEqual(b.items, []);
	assert.equal(b.active_leaf, (await messages(server, s)).at(-1).id);
	const thread = (await call(s, "GET", "")).body;
	assert.equal(thread.active_leaf, null);
	const same = await call(s, "PUT", "/active_leaf",
		{ message_id: b.active_leaf });
	assert.equal(same.status, 200);
});

test("an edited question is asked beside the old one", async () => {
	const s = await people();
	await say(s, "one");
	const two = await say(s, "two");
	await say(s, "three");
	const edit = await say(s, "TWO", { edit_of: two.message.id });
	assert.equal(edit.message.parent_id, two.message.parent_id);
	assert.deepEqual(told(), ["one", "You said: one", "TWO"]);
	assert.deepEqual(await texts(s),
		["one", "You said: one", "TWO", "You said: TWO"]);
	await say(s, "four");
	assert.deepEqual(told(),
		["one", "You said: one", "TWO", "You said: TWO", "four"]);
	const b = await branches(s);
	assert.equal(b.items.length, 1);
	assert.equal(b.items[0].parent_id, two.message.parent_id);
	assert.deepEqual(b.items[0].siblings.map((m) => [m.preview, m.active]),
		[["two", false], ["TWO", true]]);
	// Back to the old one, and on from there.
	const back = await call(s, "PUT", "/active_leaf",
		{ message_id: two.message.id });
	assert.equal(back.status, 200, JSON.stringify(back.body));
	assert.equal(back.body.active_leaf, b.items[0].siblings[0].leaf);
	assert.deepEqual(await texts(s), ["one", "You said: one", "two",
		"You said: two", "three", "You said: three"]);
	await say(s, "five");
	assert.deepEqual(told(), ["one", "You said: one", "two",
		"You said: two", "three", "You said: three", "five"]);
	const all = (await call(s, "GET", "?branch=all&limit=200")).body.messages;
	assert.deepEqual(all.map((m) => m.sequence),
		all.map((m, i) => i + 1));
	assert.equal(all.length, 12);
	await log(server, s);
});

test("the very first question can be edited, too", async () => {
	const s = await people();
	const one = await say(s, "one");
	const edit = await say(s, "uno", { edit_of: one.message.id });
	assert.equal(edit.message.parent_id, null);
	assert.deepEqual(told(), ["uno"]);
	await say(s, "dos");
	assert.deepEqual(told(), ["uno", "You said: uno", "dos"]);
	const b = await branches(s);
	assert.equal(b.items[0].parent_id, null);
	const third = await say(s, "eins", { parent_id: null });
	assert.equal(third.message.parent_id, null);
	assert.equal((await branches(s)).items[0].siblings.length, 3);
});

test("a second answer stands beside the first", async () => {
	const s = await people({ toolkits: ["calculator"] });
	stub.script([{ tool_calls: [{ id: "a", name: "calculator_evaluate",
		args: { expression: "2+2" } }] }, { text: "four" },
		{ text: "it is 4" }, { text: "4!" }]);
	const first = await say(s, "2+2?");
	const answer = (await messages(server, s)).at(-1);
	const second = await again(s, answer.id);
	assert.equal(second.message.id, first.message.id);
	assert.deepEqual(told(), ["2+2?"]);
	assert.deepEqual(await texts(s), ["2+2?", "it is 4"]);
	await again(s, first.message.id);
	assert.deepEqual(await texts(s), ["2+2?", "4!"]);
	const b = await branches(s);
	assert.equal(b.items.length, 1);
	assert.equal(b.items[0].siblings.length, 3);
	assert.ok(b.items[0].siblings.every((m) => m.role === "assistant"));
	await call(s, "PUT", "/active_leaf", { message_id: answer.id });
	const stored = await messages(server, s);
	assert.deepEqual(stored.map((m) => m.role),
		["user", "assistant", "tool", "assistant"]);
	for (let i = 1; i < stored.length; i++)
		assert.equal(stored[i].parent_id, stored[i - 1].id);
});

test("a branch is shown by pages", async () => {
	const s = await people();
	const one = await say(s, "one");
	await say(s, "two");
	await say(s, "uno", { edit_of: one.message.id });
	for (const word of ["dos", "tres"])
		await say(s, word);
	const whole = await texts(s);
	let cursor, pages = [];
	do {
		const { body } = await call(s, "GET", "?limit=2" +
			(cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""));
		assert.equal(body.messages.length, 2);
		pages = [...body.messages.map((m) => m.content), ...pages];
		cursor = body.next_cursor;
	} while (cursor);
	assert.deepEqual(pages, whole);
});

for (const [multitask, state, others] of [
	["interrupt", "interrupted", ["two", "deux"]],
	["rollback", "rolled_back", []]])
	test(`a question is edited while it is answered: ${multitask}`, async () => {
		const s = await people();
		await say(s, "one");
		stub.script([{ text: "never", hang_after: -1 }]);
		const first = await call(s, "POST", "", { content: "two" });
		assert.equal(first.status, 202);
		await stub.until((x) => x.log.at(-1)?.body?.messages
			?.at(-1).content === "two");
		const edit = { content: "deux", edit_of: first.body.message.id };
		for (const policy of [undefined, "enqueue", "reject", "steer"]) {
			const { status, body } = await call(s, "POST", "",
				{ ...edit, multitask: policy });
			assert.equal(status, 409);
			assert.equal(body.code, "THREAD_BUSY");
			assert.equal(body.active_run_id, first.body.run.id);
		}
		// What cannot be is told before anything is stopped.
		const nowhere = await call(s, "POST", "", { ...edit, multitask,
			edit_of: first.body.run.id });
		assert.equal(nowhere.status, 404);
		const second = await say(s, "deux", { ...edit, multitask });
		assert.equal((await ended(s, first.body.run.id)).state,
			state === "rolled_back" ? state : "cancelled");
		const shown = (await messages(server, s))
			.filter((m) => m.state !== "rolled_back");
		assert.deepEqual(shown.map((m) => m.content),
			["one", "You said: one", "deux", "You said: deux"]);
		assert.deepEqual(told(), ["one", "You said: one", "deux"]);
		const { items } = await branches(s);
		assert.deepEqual(items.flatMap((i) => i.siblings
			.map((x) => x.preview)), others);
	});

test("who edits does not stop what others wait for", async () => {
	const s = await people();
	const one = await say(s, "one");
	stub.script([{ text: "never", hang_after: -1 }]);
	const run = (await call(s, "POST", "", { content: "two" })).body.run;
	const next = (await call(s, "POST", "", { content: "three" })).body.run;
	const edit = await call(s, "POST", "", { content: "uno",
		edit_of: one.message.id, multitask: "interrupt" });
	assert.equal(edit.body.code, "THREAD_BUSY");
	for (const { id } of [next, run])
		await api(server, "POST", `/api/runs/${id}/cancel`, { token: s.token });
	await ended(s, run.id);
});

test("a rolled back branch leaves the thread where it was", async () => {
	const s = await people();
	const one = await say(s, "one");
	await say(s, "two");
	const before = await texts(s);
	stub.script([{ text: "never", hang_after: -1 }]);
	const { status, body } = await call(s, "POST", "",
		{ content: "uno", edit_of: one.message.id });
	assert.equal(status, 202);
	await stub.until((x) => x.hanging > 0 || x.log.at(-1)?.body?.messages
		?.at(-1).content === "uno");
	const busy = await call(s, "PUT", "/active_leaf",
		{ message_id: one.message.id });
	assert.equal(busy.status, 409);
	assert.equal(busy.body.code, "THREAD_BUSY");
	await api(server, "POST", `/api/runs/${body.run.id}/cancel`,
		{ token: s.token, body: { action: "rollback" } });
	assert.equal((await ended(s, body.run.id)).state, "rolled_back");
	assert.deepEqual(await texts(s), before);
	await say(s, "three");
	assert.deepEqual(await texts(s), [...before, "three", "You said: three"]);
});

test("what cannot be: nothing is changed", async () => {
	const s = await people();
	const other = await people();
	const one = await say(s, "one");
	const theirs = await say(other, "theirs");
	const answer = (await messages(server, s)).at(-1);
	const head = (await call(s, "GET", "")).body.head_seq;
	const refused = async (method, path, body, status, code) => {
		const got = await call(s, method, path, body);
		assert.equal(got.status, status, JSON.stringify(got.body));
		assert.equal(got.body.code, code);
	};
	const post = (body, ...want) => refused("POST", "",
		{ content: "x", ...body }, ...want);
	await post({ edit_of: answer.id }, 400, "VALIDATION_FAILED");
	await post({ edit_of: theirs.message.id }, 404, "NOT_FOUND");
	await post({ parent_id: theirs.message.id }, 404, "NOT_FOUND");
	await post({ edit_of: "no" }, 400, "VALIDATION_FAILED");
	await post({ edit_of: one.message.id, parent_id: answer.id }, 400,
		"VALIDATION_FAILED");
	await refused("POST", `/messages/${theirs.message.id}/regenerate`,
		undefined, 404, "NOT_FOUND");
	await refused("PUT", "/active_leaf", { message_id: theirs.message.id },
		404, "NOT_FOUND");
	await refused("PUT", "/active_leaf", {}, 400, "VALIDATION_FAILED");
	await refused("GET", "?branch=some", undefined, 400, "VALIDATION_FAILED");
	const stranger = await signUp(server);
	for (const [method, path] of [["GET", "/branches"],
		["POST", `/messages/${one.message.id}/regenerate`]]) {
		const got = await api(server, method,
			`/api/chat/sessions/${s.thread.id}${path}`,
			{ token: stranger.token });
		assert.equal(got.status, 404);
	}
	assert.equal((await call(s, "GET", "")).body.head_seq, head);
});
