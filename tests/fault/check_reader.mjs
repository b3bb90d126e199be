// SPDX-License-Identifier: Apache-2.0
//
// The reader of the continuity drill must be able to fail: what a good server
// shows is spoilt in one way after the other, and each must be noticed.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { Reader } from "./continuity_reader.mjs";

const sha256 = (text) => createHash("sha256").update(text).digest("hex");
const delta = (offset, text, attempt = 1) => ({ type: "message_delta",
	message_id: "m", attempt, offset, delta: text });
const event = (seq, type, more) => ({ type, seq, run_seq: seq, run_id: "r",
	...more });
const TEXT = "wörd for wörd";
const [FIRST, SECOND] = ["wörd ", "for wörd"];
const AT = Buffer.byteLength(FIRST);

const good = () => [
	{ type: "ready" },
	event(1, "message_created", { message: { role: "user" } }),
	event(2, "message_start", { message_id: "m", attempt: 1 }),
	delta(0, FIRST), delta(AT, SECOND),
	event(3, "message_end", { message_id: "m", attempt: 1,
		length: Buffer.byteLength(TEXT), sha256: sha256(TEXT) }),
	event(4, "message_created", { message: { id: "m", role: "assistant",
		content: TEXT } }),
	event(5, "run_status", { status: "end", state: "succeeded" })];

// What becomes of a reader; frames after null come by another connection.
function reads(frames, how = "thread") {
	const drill = { nodes: [{}, {}], note() {}, joined() {},
		finished() {}, failed() {} };
	const r = new Reader(drill, { name: "a reader", how, late: 0, cuts: [],
		rand: () => 0.5,
		talk: { runId: "r", n: 1, thread: { id: "t" }, expected: 1,
			reached() {} } });
	const begin = () => {
		r.at = { seq: r.cursor ?? 0, resumed: null, texts: new Map() };
		r.stream = { reset() {}, leave() {}, send() {} };
	};

	r.done = () => {};
	begin();
	for (const f of frames)
		if (f === null)
			begin();
		else if (f.resume)
			r.at.resumed = r.cursor;
		else if (!r.failure)
			r.guard(() => r.take(f));
	return r;
}

function fine(what, frames, how) {
	test(`good: ${what}`, () => {
		const r = reads(frames, how);
		assert.equal(r.failure, undefined);
		assert.ok(r.ended);
		assert.equal(r.counts.live + r.counts.partial,
			Buffer.byteLength(TEXT));
	});
}

function bad(what, frames) {
	test(`bad: ${what}`, () => assert.ok(reads(frames).failure));
}

// The frames with some from `at` replaced.
const but = (at, n, ...more) => good().toSpliced(at, n, ...more);

fine("all of it", good());
fine("the stream of a run", good(), "run");
fine("cut in the middle, text again", but(4, 0, null, delta(0, FIRST)));
fine("cut, and all at once", but(4, 1, null, delta(0, TEXT)));
fine("a reset", but(4, 0, event(3, "message_reset", { message_id: "m",
	attempt: 2 }), delta(0, FIRST, 2)).map((f, i) => i < 5 ? f
	: { ...f, attempt: f.attempt && 2, ...f.seq && i > 5
		? { seq: f.seq + 1, run_seq: f.seq + 1 } : {} }), "ws");
fine("a snapshot with a part", [{ type: "ready" }, { type: "snapshot",
	snapshot_seq: 2, messages: [], partial: { message_id: "m", attempt: 1,
		text: FIRST } }, ...good().slice(4)], "ws");
const joined = (partial) => [{ type: "ready" }, { type: "snapshot",
	snapshot_seq: 2, messages: [], run: { completed_at: null }, partial },
...good().slice(3)];
fine("a snapshot before the first word", joined({ message_id: "m", attempt: 1,
	offset: 0, text: "" }), "ws");
fine("a snapshot with a message that ended after its seq", [{ type: "ready" },
	{ type: "snapshot", snapshot_seq: 1, messages: [{ id: "m",
		role: "assistant", content: TEXT }], run: { completed_at: null },
	partial: null }, ...good().slice(2)], "ws");
fine("the answer to a resume", [...good().slice(0, 4), { resume: true },
	delta(AT, SECOND), good()[5], delta(0, TEXT), good()[5],
	...good().slice(6)], "ws");

bad("an event twice", but(2, 0, good()[1]));
bad("no event", but(1, 1));
bad("an event that a cursor has", but(4, 0, null, good()[2]));
bad("a delta twice", but(4, 0, delta(0, FIRST)));
bad("no delta", but(3, 1));
bad("a delta that overlaps", but(4, 1, delta(AT - 1, ` ${SECOND}`)));
bad("other text after a cut", but(4, 0, null, delta(0, "werd ")));
bad("a delta of an older attempt", but(4, 1, delta(AT, SECOND, 0)));
bad("a delta of an attempt that was not told", but(4, 1,
	delta(AT, SECOND, 2)));
bad("a delta before its message", but(2, 0, delta(0, FIRST)));
bad("a delta after the end", but(6, 0, delta(AT + 8, "x")));
bad("an end too early", but(4, 1));
bad("an end of another text", but(5, 1, { ...good()[5],
	sha256: sha256("else") }));
bad("stored otherwise", but(6, 1, event(4, "message_created", { message: {
	id: "m", role: "assistant", content: "else" } })));
bad("a reset of nothing", but(2, 1, { ...good()[2], type: "message_reset" }));
bad("a start of what has begun", but(3, 0, event(3, "message_start",
	{ message_id: "m", attempt: 2 })));
bad("a reset to an older attempt", but(3, 0, event(3, "message_reset",
	{ message_id: "m", attempt: 1 })));
bad("a snapshot for a cursor", but(2, 0, { type: "snapshot", snapshot_seq: 1,
	messages: [] }));
bad("a text of nobody's", joined(null));
bad("a run that fails", but(7, 1, event(5, "run_status", { status: "end",
	state: "failed" })));
bad("a frame of no kind", but(2, 0, { type: "gossip" }));
