// SPDX-License-Identifier: Apache-2.0
//
// The drill of the full queue: one tenant asks for four times what the slots of
// class standard can do, and now and then for something of class priority; a
// small tenant asks for a little.  Nobody but the first is to feel much of it.
//
//   const r = await overload({set, slots, run_ms, seconds, promote_ms, slack});
//   r.table   [what, measured, limit, good] of each
//
// The server is a new one; where it is, the environment says (server.mjs).

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { scene, script } from "./chat.mjs";
import { change, id, rows } from "./rows.mjs";
import { api, start } from "./server.mjs";
import { pause } from "./wait.mjs";

const PRIORITY_MS = 2000;
const SMALL_TENANT = "00000000-0000-7000-8000-0000000000b0";

function p95(list) {
	const sorted = list.toSorted((a, b) => a - b);
	return sorted[Math.ceil(sorted.length * 0.95) - 1];
}

// A person of another tenant, with an agent.
async function smallTenant(server) {
	const s = await scene(server);
	const who = id(server, s.person.user.id), tenant = id(server, SMALL_TENANT);
	change(server,
		`INSERT INTO tenants (id, name, created_at) VALUES (${tenant}, 'small', 1)`,
		`INSERT INTO memberships (tenant_id, user_id, role, created_at)` +
			` VALUES (${tenant}, ${who}, 'member', 1)`,
		`UPDATE users SET tenant_id = ${tenant} WHERE id = ${who}`,
		`UPDATE agents SET tenant_id = ${tenant} WHERE user_id = ${who}`);
	const { status, body } = await api(server, "POST", "/api/auth/login",
		{ body: { email: s.person.email, password: s.person.password } });
	if (status !== 200)
		throw new Error(`login: ${JSON.stringify(body)}`);
	return { ...s, token: body.access_token };
}

// Posts `rate` tasks a second until `until`; those that were accepted.
async function post(server, s, klass, rate, until, accepted) {
	const under = new Set(), begun = Date.now();
	for (let n = 0; Date.now() < until; n++) {
		const one = api(server, "POST", `/api/agents/${s.agent.id}/ambient-test`,
			{ token: s.token, body: { task: "work", class: klass } })
			.then(({ status, body }) => {
				if (status !== 202)
					throw new Error(`${status} ${JSON.stringify(body)}`);
				accepted.push(body.run.id);
			}).finally(() => under.delete(one));
		under.add(one);
		await pause(begun + (n + 1) * 1000 / rate - Date.now());
	}
	await Promise.all(under);
}

const waits = (server) => Number(rows(server, "SELECT count(*) AS n FROM runs" +
	" WHERE completed_at IS NULL")[0].n);

async function drained(server) {
	while (waits(server) > 0)
		await pause(200);
}

async function promotions(server) {
	const { body } = await api(server, "GET", "/metrics");
	return body.split("\n")
		.filter((l) => l.startsWith("agent_studio_run_promotions_total"))
		.reduce((n, l) => n + Number(l.split(" ").at(-1)), 0);
}

// Milliseconds from a run's creation to its start and to its end.
function times(server, ids) {
	const wanted = new Set(ids);
	return rows(server, "SELECT id, status, created_at, started_at," +
		" completed_at FROM runs").filter((r) => wanted.has(r.id))
		.map((r) => ({ ok: r.status === "succeeded",
			start: (r.started_at - r.created_at) / 1000,
			end: (r.completed_at - r.created_at) / 1000 }));
}

// slack: how much more than the limits is borne.
function tableOf(m, slack) {
	const line = (what, value, limit, good) => [what, value, limit, good];
	const ms = (n) => `${n.toFixed(0)} ms`;
	return [
		line("priority, enqueue to start, p95", ms(m.priority), ms(PRIORITY_MS),
			m.priority <= slack * PRIORITY_MS),
		line("second tenant, enqueue to end, p95", ms(m.small), ms(2 * m.idle),
			m.small <= slack * 2 * m.idle),
		line("the same, idle", ms(m.idle), "", true),
		line("standard of the first, enqueue to start, p95", ms(m.standard), "",
			true),
		line("accepted runs that were lost", `${m.lost} of ${m.accepted}`, "0",
			m.lost === 0),
		line("promotions", `${m.promoted}`, "> 0", m.promoted > 0),
	];
}

export async function overload({ set = [], slots = 8, run_ms = 200,
	seconds = 20, promote_ms = 5000, idle = 20, small_rate = 2, slack = 1 }) {
	const folder = mkdtempSync(join(tmpdir(), "agent-studio-overload-"));
	const free = Math.floor(slots * 0.75); // not reserved
	const server = await start({ set: ["server.loops=1", `worker.slots=${slots}`,
		`queue.promote_standard=${promote_ms}ms`, script(folder,
			[{ text: "a b c d e f g h i j", delay_ms: run_ms / 10 }]), ...set] });
	const sent = { before: [], standard: [], priority: [], small: [] };
	try {
		const big = await scene(server), small = await smallTenant(server);
		for (let i = 0; i < idle; i++) {
			await post(server, small, "standard", 1000, Date.now() + 1,
				sent.before);
			await drained(server);
		}
		const rate = 4 * free * 1000 / run_ms, until = Date.now() + seconds * 1000;
		await Promise.all([
			post(server, big, "standard", rate, until, sent.standard),
			post(server, big, "priority", rate / 20, until, sent.priority),
			post(server, small, "standard", small_rate, until, sent.small),
		]);
		const promoted = await promotions(server);
		// The rest is for a process with more slots.
		await server.end("SIGTERM");
		server.options.set.push("worker.slots=256");
		await server.restart();
		await drained(server);
		const all = Object.values(sent).flat();
		const of = (name, what) => p95(times(server, sent[name])
			.map((t) => t[what]));
		const m = { idle: of("before", "end"), small: of("small", "end"),
			priority: of("priority", "start"), standard: of("standard", "start"),
			accepted: all.length, promoted,
			lost: all.length - times(server, all).filter((t) => t.ok).length };
		return { ...m, table: tableOf(m, slack) };
	} finally {
		await server.stop();
		rmSync(folder, { recursive: true, force: true });
	}
}
