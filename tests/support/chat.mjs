// SPDX-License-Identifier: Apache-2.0
//
// What most chat tests begin with, and what they look at in the end.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { api, signUp } from "./server.mjs";
import { until } from "./wait.mjs";

// A person with an agent and a thread.
export async function scene(server, agent = {}) {
	const person = await signUp(server);
	const made = await api(server, "POST", "/api/agents/", {
		token: person.token,
		body: { name: "Helper", toolkits: ["calculator", "clock"], ...agent },
	});
	assert.equal(made.status, 201, JSON.stringify(made.body));
	const thread = await newThread(server, person, made.body.id);
	return { person, token: person.token, agent: made.body, thread };
}

export async function newThread(server, person, agentId) {
	const answer = await api(server, "POST", "/api/chat/sessions", {
		token: person.token,
		body: { agent_id: agentId },
	});
	assert.equal(answer.status, 201, JSON.stringify(answer.body));
	return answer.body;
}

export async function messages(server, s) {
	const { body } = await api(server, "GET",
		`/api/chat/sessions/${s.thread.id}?limit=200`, { token: s.token });
	return body.messages;
}

// The first event of a run that passes.
export function untilEvent(server, token, runId, passes) {
	let after = 0;
	return until(`an event of run ${runId}`, async () => {
		const { status, body } = await api(server, "GET",
			`/api/runs/${runId}/events?after=${after}&wait=10`, { token });
		assert.equal(status, 200, JSON.stringify(body));
		after = body.items.at(-1)?.run_seq ?? after;
		return body.items.find(passes);
	});
}

export const hasEnded = (e) => e.type === "run_status" && e.status === "end";

export const untilEnd = (server, token, runId) =>
	untilEvent(server, token, runId, hasEnded);

// The whole log of a thread, and that it has no gap.
export async function log(server, s) {
	const items = [];
	for (;;) {
		const { status, body } = await api(server, "GET",
			`/api/chat/sessions/${s.thread.id}/events?limit=100&after=` +
			items.length, { token: s.token });
		assert.equal(status, 200, JSON.stringify(body));
		items.push(...body.items);
		if (items.length === body.head)
			break;
		assert.ok(body.items.length > 0, "the log ends before its head");
	}
	items.forEach((e, i) => assert.equal(e.seq, i + 1));
	return items;
}

// Every run of the server, gone through once more from what it has recorded.
export function replayAll(server) {
	const { status, stdout, stderr } = server.command("replay", "--all");
	assert.match(stdout,
		/(^|\n)[1-9]\d* runs equal, 0 different, 0 not to be replayed\n$/);
	assert.equal(status, 0, stderr);
	return Number(/(\d+) runs equal/.exec(stdout)[1]);
}

// A script for the demo model, as a setting.
export function script(folder, turns) {
	const path = join(folder, `script-${Math.random()}.json`);
	writeFileSync(path, JSON.stringify(turns));
	return `plugins.llm_demo.script=${path}`;
}

// Server-sent events of a response, one by one; comments are left out.
export async function* events(response) {
	const decoder = new TextDecoder();
	let text = "";
	for await (const bytes of response.body) {
		text += decoder.decode(bytes, { stream: true });
		let end;
		while ((end = text.indexOf("\n\n")) >= 0) {
			const event = {};
			for (const line of text.slice(0, end).split("\n")) {
				const at = line.indexOf(": ");
				if (at > 0)
					event[line.slice(0, at)] = line.slice(at + 2);
			}
			text = text.slice(end + 2);
			if (event.data !== undefined)
				yield { ...event, data: JSON.parse(event.data) };
		}
	}
}
