// SPDX-License-Identifier: Apache-2.0
//
// The inbox: what agents ask, who sees it, who may answer, and the live stream.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { events, newThread, scene, script } from "../support/chat.mjs";
import { api, signUp, start } from "../support/server.mjs";

const folder = mkdtempSync(join(tmpdir(), "inbox-"));
let server, admin;

before(async () => {
	server = await start({ set: ["models.tries=1", script(folder, [
		{ match: "fail", fail: { status: 503, message: "no capacity" } },
	])] });
	admin = await signUp(server);
});
after(async () => {
	await server?.stop();
	rmSync(folder, { recursive: true });
});

async function ok(method, path, { status = 200, ...how }) {
	const answer = await api(server, method, path, how);
	assert.equal(answer.status, status,
		`${method} ${path}: ${JSON.stringify(answer.body)}`);
	return answer.body;
}

// The live stream of somebody's inbox; next() is the next frame.
async function listen(token, query = "", headers = {}) {
	const end = new AbortController();
	const response = await fetch(server.url + "/api/inbox/events" + query, {
		headers: { ...headers, accept: "text/event-stream",
			authorization: `Bearer ${token}` },
		signal: end.signal,
	});
	assert.equal(response.status, 200);
	const frames = events(response);
	return {
		next: async () => (await frames.next()).value,
		close: () => end.abort(),
	};
}

// A run that is parked: its owner has an item.
async function parked(s) {
	const thread = await newThread(server, s.person, s.agent.id);
	const { run } = await ok("POST", `/api/chat/sessions/${thread.id}`,
		{ token: s.token, status: 202, body: { content: "fail" } });
	return { thread, run };
}

test("an item is seen by its owner, its assignee and admins only", async () => {
	const s = await scene(server), other = await signUp(server);
	const mine = await listen(s.token), theirs = await listen(other.token);
	assert.deepEqual((await mine.next()).data.counts, { pending: 0, unread: 0 });
	assert.equal((await theirs.next()).event, "ready");
	const { thread, run } = await parked(s);

	const { event, id, data } = await mine.next();
	assert.equal(event, "inbox_item");
	assert.equal(Number(id), data.seq);
	assert.equal(data.change, "created");
	assert.deepEqual(data.counts, { pending: 1, unread: 1 });
	assert.equal(data.item.run_id, run.id);
	const path = `/api/inbox/${data.item_id}`;

	for (const query of ["", "?status=pending", "?kind=error", "?unread=true",
		`?run_id=${run.id}`, `?thread_id=${thread.id}`, "?assignee=none",
		`?agent_id=${s.agent.id}`]) {
		const { items, counts } = await ok("GET", `/api/inbox/${query}`,
			{ token: s.token });
		assert.deepEqual(items, [data.item], query);
		assert.deepEqual(counts, { pending: 1, unread: 1 });
	}
	for (const query of ["?status=answered", "?kind=approval", "?assignee=me",
		`?run_id=${thread.id}`, `?assignee=${s.person.user.id}`])
		assert.deepEqual((await ok("GET", `/api/inbox/${query}`,
			{ token: s.token })).items, [], query);
	assert.deepEqual(await ok("GET", path, { token: s.token }), data.item);
	assert.deepEqual(await ok("GET", path, { token: admin.token }), data.item);
	for (const [method, rest, body] of [["GET", ""], ["POST", "/mark_read"],
		["POST", "/assign", { assignee: null }]])
		await ok(method, path + rest, { token: other.token, body, status: 404 });
	assert.deepEqual(await ok("GET", "/api/inbox/", { token: other.token }),
		{ items: [], next_cursor: null, counts: { pending: 0, unread: 0 } });

	const read = await ok("POST", path + "/mark_read", { token: s.token });
	assert.ok(read.read_at);
	assert.deepEqual(await ok("POST", path + "/mark_read", { token: s.token }),
		read);
	const seen = await mine.next();
	assert.equal(seen.data.change, "read");
	assert.deepEqual(seen.data.item, read);
	assert.deepEqual(seen.data.counts, { pending: 1, unread: 0 });

	await ok("POST", path + "/assign", { token: s.token, status: 400,
		body: { assignee: run.id } });
	const given = await ok("POST", path + "/assign",
		{ token: s.token, body: { assignee: other.user.id } });
	assert.equal(given.assignee, other.user.id);
	assert.equal((await mine.next()).data.change, "assigned");
	const told = (await theirs.next()).data;
	assert.equal(told.change, "assigned");
	assert.deepEqual(told.item, given);
	assert.deepEqual(told.counts, { pending: 1, unread: 0 });
	assert.deepEqual((await ok("GET", "/api/inbox/?assignee=me",
		{ token: other.token })).items, [given]);
	await ok("POST", path + "/assign", { token: other.token, status: 403,
		body: { assignee: s.person.user.id } });
	const back = await ok("POST", path + "/assign",
		{ token: other.token, body: { assignee: null } });
	assert.equal(back.assignee, null);
	await ok("GET", path, { token: other.token, status: 404 });
	const gone = (await theirs.next()).data;
	assert.equal(gone.change, "assigned");
	assert.equal(gone.item, null);
	assert.deepEqual(gone.counts, { pending: 0, unread: 0 });

	await ok("POST", `/api/runs/${run.id}/cancel`,
		{ token: s.token, status: 202, body: {} });
	assert.equal((await mine.next()).data.change, "assigned");
	const last = (await mine.next()).data;
	assert.equal(last.change, "dismissed");
	assert.deepEqual(last.counts, { pending: 0, unread: 0 });
	await ok("POST", path + "/assign", { token: s.token, status: 409,
		body: { assignee: other.user.id } });
	mine.close();
	theirs.close();

	// Whoever comes back gets what he has missed.
	const again = await listen(s.token, "", { "last-event-id": id });
	await again.next();
	for (const change of ["read", "assigned", "assigned", "dismissed"])
		assert.equal((await again.next()).data.change, change);
	again.close();
});

test("the same as pages, waited for", async () => {
	const s = await scene(server);
	const now = await ok("GET", "/api/inbox/events", { token: s.token });
	assert.deepEqual(now.items, []);
	assert.deepEqual(now.counts, { pending: 0, unread: 0 });
	await ok("GET", `/api/inbox/events?after=${now.head + 100000}`,
		{ token: s.token, status: 400 });
	await ok("GET", "/api/inbox/events?after=x", { token: s.token, status: 400 });
	const waiting = ok("GET", `/api/inbox/events?after=${now.head}&wait=30`,
		{ token: s.token });
	await parked(s);
	const { items, head } = await waiting;
	assert.equal(items.length, 1);
	assert.equal(items[0].change, "created");
	assert.ok(head >= items[0].seq);
	await parked(s);
	const two = await ok("GET",
		`/api/inbox/events?after=${now.head}&limit=1&wait=10`,
		{ token: s.token });
	assert.deepEqual(two.items.map((e) => e.seq), [two.head]);
	const rest = await ok("GET",
		`/api/inbox/events?after=${two.head}&limit=10&wait=10`,
		{ token: s.token });
	assert.equal(rest.items.length, 1);
	assert.deepEqual(rest.counts, { pending: 2, unread: 2 });
});
