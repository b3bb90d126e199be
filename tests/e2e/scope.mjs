// SPDX-License-Identifier: Apache-2.0
//
// Who may look at what: owners, admins of their tenant, strangers.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { messages, scene, untilEnd } from "../support/chat.mjs";
import { api, signUp, start } from "../support/server.mjs";

let server, admin;

// The first account of an installation is its admin.
before(async () => {
	server = await start({ set: ["plugins.llm_demo.delay=50",
		"server.loops=3", "worker.slots=1"] });
	admin = await signUp(server);
	assert.equal(admin.user.role, "admin");
});
after(() => server?.stop());

async function talk(s, content) {
	const { status, body } = await api(server, "POST",
		`/api/chat/sessions/${s.thread.id}`, { token: s.token, body: { content } });
	assert.equal(status, 202, JSON.stringify(body));
	return body.run;
}

test("an admin sees and ends other people's runs, but does not read along", async () => {
	const s = await scene(server);
	const stranger = await signUp(server);
	const run = await talk(s, "a secret of mine");
	const see = (token, path, options = {}) => api(server, options.method ?? "GET",
		`/api/runs${path}`, { token, ...options });
	assert.equal((await see(admin.token, `/${run.id}`)).status, 200);
	const list = await see(admin.token, `?thread_id=${s.thread.id}`);
	assert.deepEqual(list.body.items.map((r) => r.id), [run.id]);
	for (const headers of [{}, { accept: "text/event-stream" }]) {
		const events = await see(admin.token, `/${run.id}/events`, { headers });
		assert.equal(events.status, 403);
		assert.equal(events.body.code, "FORBIDDEN");
	}
	for (const path of ["", "/events"])
		assert.equal((await api(server, "GET",
			`/api/chat/sessions/${s.thread.id}${path}`,
			{ token: admin.token })).status, 404);
	for (const path of [`/${run.id}`, `/${run.id}/events`])
		assert.equal((await see(stranger.token, path)).status, 404);
	assert.deepEqual((await see(stranger.token, "")).body.items, []);
	assert.equal((await see(stranger.token, `/${run.id}/cancel`,
		{ method: "POST" })).status, 404);
	const ended = await see(admin.token, `/${run.id}/cancel`, { method: "POST" });
	assert.equal(ended.status, 202);
	const mine = await see(s.token, `/${run.id}/events?wait=20`);
	assert.equal(mine.status, 200);
	assert.match(JSON.stringify(mine.body.items), /a secret of mine/);
});

test("fewer slots than loops are enough", async () => {
	const s = await scene(server);
	const run = await talk(s, "hello");
	assert.equal((await untilEnd(server, s.token, run.id)).state, "succeeded");
	assert.equal((await messages(server, s)).at(-1).role, "assistant");
});
