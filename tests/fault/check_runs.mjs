// SPDX-License-Identifier: Apache-2.0
//
// The checker of the matrix must be able to fail: a good database is spoilt in
// one way after the other, and each must be found, under its name.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync }
	from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { Story, World } from "./world.mjs";

let world, good, dir;

before(async () => {
	dir = mkdtempSync(join(tmpdir(), "fault-check-"));
	world = await World.create({ dir, store: "sqlite" });
	good = await world.story("good");
	const server = await good.start();
	await good.weigh(server, "server", "before");
	await good.listen(server);
	await good.read(server);
	await good.say(server, "do it all", "the client's key");
	assert.equal((await good.rest()).state, "succeeded");
	await good.say(server, "do it all", "the client's key");
	await good.untilTold();
	// What one run leaves open is no matter here.
	note(good, [{ t: "process", name: "server", when: "after", files: 1,
		connections: 0, kb: 1 }]);
	assert.equal((await server.stop()).code, 0);
});
after(async () => {
	await world?.end();
	rmSync(dir, { recursive: true, force: true });
});

// The log is append-only: garbage collection opens it, and so do we.
const OPEN = "INSERT INTO node_settings (key, value) VALUES ('gc_open', '1');";

function sqlite(path, text) {
	execFileSync("python3", ["-c", "import sqlite3, sys\n" +
		"db = sqlite3.connect(sys.argv[1])\n" +
		"db.create_function('now_us', 0, lambda: 1)\n" +
		"db.executescript(sys.argv[2])\n", path, text]);
}

let n = 0;

// A copy of the good story with its logs.
function copy() {
	const name = `copy${++n}`;
	const story = new Story(world, name, join(dir, name));

	cpSync(good.data, story.data, { recursive: true });
	cpSync(good.witness, story.witness);
	cpSync(good.client, story.client);
	cpSync(good.webhooks, story.webhooks);
	cpSync(good.drill, story.drill);
	story.listens = true;
	return story;
}

const lines = (path) => readFileSync(path, "utf8").trim().split("\n")
	.map((l) => JSON.parse(l));
const write = (path, list) => writeFileSync(path,
	list.map((o) => `${JSON.stringify(o)}\n`).join(""));

const note = (story, list) => appendFileSync(story.drill,
	list.map((o) => `${JSON.stringify(o)}\n`).join(""));

// Spoils a copy with SQL or a function; it must be found as this invariant.
function finds(invariant, what, spoil) {
	test(`${invariant}: ${what}`, async () => {
		const story = copy();

		if (typeof spoil === "function")
			spoil(story);
		else
			sqlite(join(story.data, "agent-studio.db"), OPEN + spoil);
		const { broken } = await story.check();
		assert.ok(broken.some((l) => l.startsWith(`${invariant}: `)),
			`not found; there is: ${broken.join("; ") || "nothing"}`);
	});
}

test("a good database is good", async () => {
	const { broken, figures } = await copy().check();
	assert.deepEqual(broken, []);
	assert.equal(figures.texts, 2);
	for (const k of ["P", "N", "K", "V", "U"])
		assert.deepEqual(figures[k],
			{ calls: 1, resends: 0, duplicates: 0, unknown: 0 });
});

const IN = (tool) => `tool = 'witness_${tool}'`;
const LAST = "(SELECT max(run_seq) FROM run_events)";

finds("I17", "tokens that the log does not tell of",
	"UPDATE runs SET used_tokens = used_tokens + 1");
finds("I17", "an answer that is not paid for", "UPDATE run_events SET payload = " +
	"replace(payload, '\"input_tokens\":', '\"input_tokens\":9') " +
	"WHERE type = 'message_end'");
finds("I1", "a run that never ends", "UPDATE runs SET status = 'running'");
finds("I2", "a gap in the log",
	"DELETE FROM run_events WHERE run_seq = 5");
finds("I2", "a head beyond the log", "UPDATE runs SET head_seq = head_seq + 1");
finds("I2", "a thread's head beyond its log",
	"UPDATE threads SET head_seq = head_seq + 1");
finds("I2", "a fence that goes back",
	"UPDATE run_events SET fence = 7 WHERE run_seq = 4");
finds("I3", "a message that is not its event's",
	"UPDATE messages SET content = 'other' WHERE role = 'assistant'");
finds("I3", "a message that no event tells of",
	`DELETE FROM run_events WHERE type = 'message_created' AND run_seq = ` +
	"(SELECT max(run_seq) FROM run_events WHERE type = 'message_created')");
finds("I3", "a state that the log does not have",
	"UPDATE runs SET status = 'failed'");
finds("I3", "a step that the log does not have",
	"UPDATE runs SET step = step + 1");
finds("I3", "a checkpoint that the log does not have",
	"UPDATE runs SET checkpoint_id = X'00000000000070008000000000000001'");
finds("I3", "a result that the log does not have",
	`UPDATE tool_invocations SET state = 'failed' WHERE ${IN("put")}`);
finds("I3", "a call that was never ended",
	`UPDATE tool_invocations SET state = 'started' WHERE ${IN("put")};` +
	"DELETE FROM run_events WHERE type = 'tool_result'");
finds("I4", "two ends", "INSERT INTO run_events SELECT run_id, run_seq + 1, " +
	"tenant_id, thread_id, seq + 1, step, ns, task_id, type, fence, " +
	`schema_version, payload, created_at FROM run_events WHERE run_seq = ${LAST}`);
finds("I4", "no end", `DELETE FROM run_events WHERE run_seq = ${LAST}`);
finds("I5", "a parent that is not there",
	"DELETE FROM checkpoints WHERE step = 1");
finds("I5", "a cycle", "UPDATE checkpoints SET parent_id = (SELECT " +
	"checkpoint_id FROM checkpoints WHERE step = 3) WHERE step = 1");
finds("I5", "two heads",
	"UPDATE checkpoints SET parent_id = NULL WHERE step = 3");
finds("I5", "a head that is not the last",
	"UPDATE threads SET head_checkpoint_id = (SELECT checkpoint_id FROM " +
	"checkpoints WHERE step = 2)");
finds("I6", "a step that was committed twice", "INSERT INTO checkpoints " +
	"(thread_id, ns, checkpoint_id, tenant_id, parent_id, run_id, step, " +
	"source, created_at) SELECT thread_id, ns, " +
	"X'00000000000070008000000000000001', tenant_id, checkpoint_id, run_id, " +
	"step, source, created_at FROM checkpoints WHERE step = 3");
finds("I6", "a step that is not there",
	"UPDATE run_events SET payload = replace(payload, '\"step\":2', " +
	"'\"step\":3') WHERE type = 'checkpoint'");

for (const tool of ["put", "pay", "book", "send"])
	finds("I7", `two effects of ${tool}`, (story) => {
		const all = lines(story.witness);
		write(story.witness, [...all, all.find((o) =>
			o.t === "effect" && o.tool === tool)]);
	});
finds("I7", "a success without an effect", (story) =>
	write(story.witness, lines(story.witness).filter((o) =>
		!(o.t === "effect" && o.tool === "pay"))));
finds("I7", "a call of class U that was sent twice", (story) => {
	const all = lines(story.witness);
	write(story.witness, [...all, all.find((o) =>
		o.t === "request" && o.tool === "send")]);
});
finds("I8", "a result that nobody gave",
	"UPDATE tool_invocations SET result = replace(result, '\"receipt\":\"', " +
	`'"receipt":"x') WHERE ${IN("pay")}`);
finds("I9", "a call without an intent",
	`DELETE FROM tool_invocations WHERE ${IN("send")}`);
finds("I9", "a call before its intent",
	`UPDATE tool_invocations SET started_at = started_at + 60000000 ` +
	`WHERE ${IN("send")}`);
finds("I9", "a call with other arguments",
	"UPDATE tool_invocations SET args_hash = zeroblob(32) " +
	`WHERE ${IN("send")}`);
finds("I9", "an intent that the log does not have",
	"UPDATE run_events SET payload = replace(payload, (SELECT idem_key FROM " +
	`tool_invocations WHERE ${IN("send")}), 'as1-other')`);
// As if the call of that tool had been approved.
const asked = (status, type, response) => "INSERT INTO inbox_items (id, " +
	"tenant_id, user_id, agent_id, thread_id, run_id, interrupt_id, step, " +
	"ordinal, kind, status, response_type, response, created_at, updated_at) " +
	"SELECT X'0000000000007000800000000000000a', t.tenant_id, r.user_id, " +
	"r.agent_id, r.thread_id, r.id, X'0000000000007000800000000000000b', " +
	`t.step, t.ordinal, 'approval', '${status}', ${type}, ${response}, 1, 1 ` +
	`FROM tool_invocations t JOIN runs r ON r.id = t.run_id WHERE ${IN("pay")};`;
finds("I10", "an item that is open after its run's end",
	asked("pending", "NULL", "NULL"));
finds("I10", "a call that was made although it was rejected",
	asked("answered", "'ignore'", "NULL"));
finds("I10", "a call with other arguments than were approved",
	asked("answered", "'edit'", "'{\"id\":\"pay\",\"value\":99}'"));
finds("I10", "a result that is not what was answered",
	`UPDATE tool_invocations SET state = 'skipped' WHERE ${IN("pay")};` +
	asked("answered", "'response'", "'\"other\"'"));
finds("I10", "a call that needs approval and was not asked for",
	"UPDATE run_events SET payload = replace(payload, " +
	"'\"needs_approval\":false', '\"needs_approval\":true')");
finds("I10", "a run that waits for nobody",
	"UPDATE runs SET status = 'waiting_human'");
finds("I10", "an answer that was told twice", asked("pending", "NULL", "NULL") +
	"UPDATE run_events SET type = 'hitl_resolved', payload = " +
	"'{\"item_id\":\"00000000-0000-7000-8000-00000000000a\"}' " +
	"WHERE run_seq = 3");
finds("I11", "a gap in the messages",
	"UPDATE messages SET sequence = sequence + 1 WHERE sequence = " +
	"(SELECT max(sequence) FROM messages)");
finds("I11", "a message too few",
	"UPDATE threads SET next_msg_seq = next_msg_seq + 1");
finds("I11", "a tool call without a result",
	"UPDATE messages SET state = 'superseded' WHERE tool_name = 'witness_put'");
finds("I11", "a result without a call",
	"UPDATE messages SET tool_call_id = 'other' WHERE " +
	"tool_name = 'witness_put'");
finds("I12", "an event that was not shown", (story) =>
	write(story.client, lines(story.client).filter((o) => o.seq !== 4)));
finds("I12", "an event that was shown twice", (story) => {
	const all = lines(story.client);
	write(story.client, [...all, all.find((o) => o.seq === 4)]);
});
finds("I12", "an end that was not shown", (story) => {
	const all = lines(story.client);
	const last = Math.max(...all.map((o) => o.seq ?? 0));
	write(story.client, all.filter((o) => o.seq !== last));
});
finds("I12", "an event that was shown and is not in the log", (story) =>
	write(story.client, lines(story.client).map((o) => o.seq === 4
		? { ...o, type: "tool_call" } : o)));
finds("I12", "an event that one of two readers was not shown", (story) => {
	const all = lines(story.client);
	write(story.client, [...all, ...all.filter((o) => o.t === "event" &&
		o.seq !== 3).map((o) => ({ ...o, reader: "another" }))]);
});
// As the stream of its run, and as one who joined at the third.
const ofRun = (story) => {
	const { run_id } = lines(story.client).find((o) => o.t === "reply");
	return lines(story.client).filter((o) => o.t === "event")
		.map((o) => ({ t: "event", reader: "of the run", run_id,
			run_seq: o.seq, type: o.type }));
};
const joined = (all, n) => [{ t: "snapshot", reader: "late", seq: n,
	thread_id: all.find((o) => o.t === "event").thread_id },
...all.filter((o) => o.seq > 3).map((o) => ({ ...o, reader: "late" }))];
test("readers of a run, and late ones, are no error", async () => {
	const story = copy(), all = lines(story.client);
	write(story.client, [...all, ...ofRun(story), ...joined(all, 3)]);
	assert.deepEqual((await story.check()).broken, []);
});
finds("I12", "an event that a reader of the run was not shown", (story) =>
	write(story.client, [...lines(story.client),
		...ofRun(story).filter((o) => o.run_seq !== 5)]));
finds("I12", "an event between a snapshot and what came then", (story) => {
	const all = lines(story.client);
	write(story.client, [...all, ...joined(all, 2)]);
});
finds("I12", "another text than is stored", (story) => {
	const id = execFileSync("python3", ["-c", "import sqlite3, sys, uuid\n" +
		"r = sqlite3.connect(sys.argv[1]).execute('SELECT id FROM messages " +
		"LIMIT 1').fetchone()\nprint(uuid.UUID(bytes=r[0]))",
	join(story.data, "agent-studio.db")], { encoding: "utf8" }).trim();
	write(story.client, [...lines(story.client), { t: "text",
		message_id: id, sha256: "00" }]);
});

const text = (change) => (story) => write(story.client, lines(story.client)
	.map((o) => o.t === "text" ? { ...o, ...change(o) } : o));
finds("I12", "a text that is not what was shown",
	text((o) => ({ text: `${o.text.slice(0, -1)}!?` })));
finds("I12", "a text of no message",
	text(() => ({ message_id: "00000000-0000-7000-8000-000000000001" })));
finds("I12", "a text that is not stored",
	"UPDATE messages SET content = 'x' || content WHERE role = 'assistant'");

const beginOther = (id, seq) => "INSERT INTO run_events SELECT " +
	`X'0000000000007000800000000000000${id}', run_seq, tenant_id, ` +
	`thread_id, seq + ${seq}, step, ns, task_id, type, fence, ` +
	"schema_version, payload, created_at FROM run_events WHERE type = " +
	"'run_status' AND run_seq = (SELECT min(run_seq) FROM run_events WHERE " +
	"type = 'run_status') AND run_id IN (SELECT id FROM runs);";
finds("I13", "two live runs in a thread",
	beginOther(1, 1000) + beginOther(2, 1001));
finds("I13", "an active run that is over",
	"UPDATE threads SET active_run_id = (SELECT id FROM runs)");
finds("I14", "a job of a run that is over", "INSERT INTO jobs (tenant_id, " +
	"kind, run_id, run_at, enqueued_at) SELECT tenant_id, 'run', id, 1, 1 " +
	"FROM runs");
finds("I14", "a run that waits without a job",
	"UPDATE runs SET status = 'queued'");
finds("I14", "a run and a job with two owners", "UPDATE runs SET status = " +
	"'running', owner_epoch = 1; INSERT INTO jobs (tenant_id, kind, run_id, " +
	"run_at, enqueued_at, state, owner_epoch) SELECT tenant_id, 'run', id, " +
	"1, 1, 1, 2 FROM runs");
finds("I15", "a key with two runs", (story) =>
	appendFileSync(story.client, `${JSON.stringify({ ...lines(story.client)
		.find((o) => o.t === "reply"), run_id: "other" })}\n`));
finds("I15", "a key with two answers", (story) =>
	appendFileSync(story.client, `${JSON.stringify({ ...lines(story.client)
		.find((o) => o.t === "reply"), sha256: "other" })}\n`));
finds("I15", "an answer about a message that is not there",
	"UPDATE messages SET client_message_id = NULL");

// The only message of the good story, and others like it.
const message = (story, change) => {
	const [only] = lines(story.webhooks);
	appendFileSync(story.webhooks, `${JSON.stringify({ ...only,
		...change(only) })}\n`);
};
finds("I16", "an event that nobody was told of", (story) =>
	write(story.webhooks, []));
finds("I16", "an event that nobody has taken", (story) =>
	write(story.webhooks, lines(story.webhooks).map((o) =>
		({ ...o, status: 503 }))));
finds("I16", "an event under two ids", (story) => message(story, () =>
	({ id: "msg_00000000-0000-7000-8000-000000000001" })));
finds("I16", "a message with two bodies", (story) => message(story, (o) =>
	({ body: o.body.replace("succeeded", "failed") })));
finds("I16", "a message that is not signed", (story) => message(story, () =>
	({ good: false })));
finds("I16", "an event that the log does not have",
	"UPDATE run_events SET payload = replace(payload, '\"succeeded\"', " +
	"'\"failed\"') WHERE type = 'run_status'");
finds("I16", "a delivery that is not known",
	"UPDATE webhook_deliveries SET status = 'pending'");
finds("I16", "a row that is left", "INSERT INTO outbox (tenant_id, kind, dest, " +
	"ref, next_at, created_at) SELECT tenant_id, 'webhook', '', '{}', 1, 1 " +
	"FROM runs");

// A run that was ready for so long before it began.
const READY = (ms) => "UPDATE run_events SET type = 'run_status', payload = " +
	`'{"state":"queued"}', created_at = created_at - ${ms * 1000} WHERE run_seq = 1`;
finds("I18", "a run that was ready for too long", READY(16000));
finds("I18", "one whose pause was over long ago",
	"UPDATE run_events SET type = 'run_status', payload = " +
	"'{\"state\":\"waiting_timer\",\"in_ms\":1000}', created_at = created_at - " +
	"17000000 WHERE run_seq = 1");
finds("I18", "one that was disturbed before it was ready", (story) => {
	note(story, [{ t: "fault", from: 1, to: 2 }]);
	sqlite(join(story.data, "agent-studio.db"), OPEN + READY(16000));
});
test("I18: who was disturbed may take longer", async () => {
	const story = copy();
	sqlite(join(story.data, "agent-studio.db"), OPEN + READY(16000));
	story.fault(story.nowUs() - 3600e6);
	const { broken, figures } = await story.check();
	assert.deepEqual(broken.filter((l) => l.startsWith("I18")), []);
	assert.equal(figures.starts, 1);
});

const key = (name, at, until) => "INSERT INTO idempotency_keys (scope, key, " +
	`request_sha, state, created_at, expires_at) VALUES ('x', '${name}', X'00', ` +
	`'done', ${at}, ${until});`;
finds("I19", "a key that is out of date",
	key("old", 1, 2) + key("new", 9000000, 10000000));
finds("I19", "a session that has ended long ago",
	"INSERT INTO sessions (id, tenant_id, user_id, cookie_hash, created_at, " +
	"last_seen_at, expires_at) SELECT X'01', tenant_id, user_id, X'01', 1, 1, 1 " +
	"FROM sessions LIMIT 1");
const fire = (at, made) => "INSERT INTO schedule_fires (schedule_id, fire_at, " +
	"tenant_id, state, held_until, created_at, updated_at) VALUES (X'01', " +
	`${at}, X'01', 'started', 1, ${made}, ${made});`;
finds("I19", "a time of a schedule that is long past",
	fire(1, 1) + fire(2, 91 * 86400e6));
finds("I19", "a change of the inbox that is forgotten",
	"INSERT INTO inbox_changes (seq, item_id, tenant_id, user_id, of_owner, " +
	"change, created_at) VALUES (1, X'01', X'01', X'01', 0, 'read', 1); " +
	"UPDATE inbox_head SET floor = 1");
finds("I19", "a delivery that is older than it is kept",
	"UPDATE webhook_deliveries SET updated_at = 1; " +
	"UPDATE nodes SET beat_at = started_at + 7200000000");
finds("I19", "a message for no webhook", "INSERT INTO outbox (tenant_id, kind, " +
	"dest, ref, webhook_id, next_at, created_at) SELECT tenant_id, 'webhook', " +
	"'', '{}', X'01', 1, 1 FROM runs");
finds("I19", "a piece of no file", "INSERT INTO file_pieces (file_id, at, bytes) " +
	"VALUES (X'01', 0, X'0102')");
const file = (length, callKey) => "INSERT INTO files (id, tenant_id, thread_id, " +
	"call_key, name, media_type, length, sha256, created_at) SELECT X'01', " +
	`tenant_id, id, ${callKey}, 'x', 'text/plain', ${length}, '', 9e12 ` +
	"FROM threads LIMIT 1;";
finds("I19", "a file without its bytes", file(3, "NULL"));
finds("I19", "a file that is a draft, too", file(0, "NULL") +
	"INSERT INTO file_drafts (file_id, created_at) VALUES (X'01', 8e12)");
finds("I19", "a draft that was left behind", file(0, "'k'") +
	"INSERT INTO file_drafts (file_id, created_at) VALUES (X'02', 1)");
finds("I19", "a note of no call", "INSERT INTO call_notes (invocation_id, key, " +
	"value) VALUES (X'01', 'k', '1')");

const after_ = (change) => (story) => write(story.drill, [
	...lines(story.drill).slice(0, 1).map((o) => ({ ...o, when: "before" })),
	{ ...lines(story.drill)[0], when: "after", ...change(lines(story.drill)[0]) }]);
finds("I20", "files that are not closed",
	after_((o) => ({ files: o.files + 3 })));
finds("I20", "a connection that is not closed",
	after_((o) => ({ connections: o.connections + 1 })));
finds("I20", "memory that is kept",
	after_((o) => ({ kb: o.kb + 65537 })));
finds("I20", "a process that was not there", after_(() => ({ name: "other" })));
finds("I20", "a process that nobody looked at again", (story) =>
	write(story.drill, lines(story.drill).slice(0, 1)));

finds("I21", "a run that waits for nobody",
	"UPDATE runs SET pending_children = 1");
finds("I21", "a subagent of nobody", "UPDATE runs SET kind = 'subagent'");
finds("I21", "a subagent that told nobody", "UPDATE runs SET parent_run_id = id, " +
	"parent_call_id = X'00000000000070008000000000000001'");
finds("I21", "two subagents of one call", "UPDATE runs SET parent_call_id = " +
	"X'00000000000070008000000000000001'; INSERT INTO runs (id, tenant_id, thread_id, agent_id, user_id, kind, " +
	"status, root_run_id, created_at, updated_at, parent_call_id, completed_at) " +
	"SELECT X'00000000000070008000000000000002', tenant_id, thread_id, agent_id, user_id, kind, status, " +
	"root_run_id, created_at, updated_at, parent_call_id, completed_at FROM runs");
