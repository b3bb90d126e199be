// SPDX-License-Identifier: Apache-2.0
//
// A reader of the continuity drill: follows one thread, or its run, until the
// run has ended, through whatever happens to its connection; comes back as the
// documents say (its cursor; another node; a pause by chance when it was sent
// away), and holds every frame against what it has.
//
// What it has of a message is a prefix of its text.  A connection begins with
// what is open from its first byte; from there on each delta begins where the
// last one ended.

import { createHash } from "node:crypto";

import { RawStream } from "./raw_stream.mjs";

const AGAIN_MS = [250, 8000]; // the first pause and the longest
const STALL_MS = [200, 1500];
const TAIL = 600; // more bytes just before an end were not said live,
const PRESENT_MS = 1000; // and whoever was there so long should have heard them
const SHOWN = 14; // last frames that a failure shows
const AWAY = [1001, 1006, 1013, 4008]; // come back
const UNAVAILABLE = ["REALTIME_UNAVAILABLE", "UNAVAILABLE", "SLOW_READER"];
const HOWS = ["reset", "leave", "stall"];

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const isEnd = (f) => f.type === "run_status" && f.status === "end" && !f.ns;

// The text of a message as far as it is here.
class Text {
	constructor(attempt) {
		this.attempt = attempt;
		this.parts = [];
		this.length = 0;
		Object.assign(this, { partial: 0, live: 0, last: 0, again: 0 });
	}

	bytes() {
		if (this.parts.length > 1)
			this.parts = [Buffer.concat(this.parts)];
		return this.parts[0] ?? Buffer.alloc(0);
	}

	// Bytes from an offset: what is known must be the same.  How many are new.
	add(offset, bytes) {
		const known = Math.min(this.length - offset, bytes.length);

		if (known > 0 && !this.bytes().subarray(offset, offset + known)
			.equals(bytes.subarray(0, known)))
			throw new Error("other bytes than before");
		this.again += known;
		if (known < bytes.length)
			this.parts.push(bytes.subarray(known));
		this.length += bytes.length - known;
		return bytes.length - known;
	}
}

export class Reader {
	// how: "ws", "thread" or "run"; late: the part of the answer that is said
	// before it joins; drill: nodes, token, note, failed.
	constructor(drill, { name, how, talk, late, cuts, rand }) {
		Object.assign(this, { drill, name, how, talk, late, cuts, rand,
			cursor: null, texts: new Map(), last: [], stream: null, away: 0,
			pauses: 0, retryAfter: 0, ended: false, progress: 0, bytes: 0,
			node: Math.floor(rand() * drill.nodes.length) });
		this.counts = { frames: 0, bytes: 0, cuts: 0, lost: 0, refused: 0,
			resets: 0, doubled: 0, disorder: 0, partial: 0, live: 0, tail: 0,
			missed: 0, again: 0, resumed: 0 };
		this.times = { cut: [], lost: [] };
	}

	between([from, to]) {
		return from + this.rand() * (to - from);
	}

	// ---- The connection ---------------------------------------------------

	async read() {
		if (this.late > 0)
			await this.talk.said(this.late);
		if (this.how === "run")
			await this.talk.accepted;
		while (!this.ended && !this.failure && !this.drill.over)
			await this.once();
	}

	path() {
		const { id } = this.talk.thread;

		if (this.how === "ws")
			return `/ws/chat/${id}/` + (this.cursor === null ? ""
				: `?after_seq=${this.cursor}`);
		return this.how === "run" ? `/api/runs/${this.talk.runId}/events`
			: `/api/chat/sessions/${id}/events`;
	}

	// One connection, until it is over for whatever reason.
	once() {
		const { nodes, token } = this.drill;
		const { rand } = this;

		this.node = (this.node + 1 + Math.floor(rand() * (nodes.length - 1))) %
			nodes.length;
		this.at = { seq: this.cursor ?? 0, resumed: null, texts: new Map() };
		// One in eight is cut off before it has caught up, too.
		this.early = this.cursor !== null && rand() < 1 / 8
			? Math.floor(rand() * 700) : -1;
		this.bytes = 0;
		return new Promise((resolve) => {
			this.done = resolve;
			this.stream = new RawStream(nodes[this.node].url, { token,
				path: this.path(), websocket: this.how === "ws",
				lastId: this.how !== "ws" && this.cursor ? this.cursor : null,
				on: { open: () => this.onOpen(),
					frame: (f, id) => this.guard(() => this.take(f, id)),
					over: (why) => this.onOver(why),
					bytes: (chunk) => this.onBytes(chunk),
					cut: () => this.onCut() } });
		});
	}

	onOpen() {
		if (this.how !== "ws")
			this.onBack();
	}

	// Connected, and served.
	onBack() {
		this.pauses = 0;
		this.since = performance.now();
		if (this.away > 0)
			this.times[this.why].push(performance.now() - this.away);
		this.away = 0;
		this.drill.joined(this);
	}

	leftAs(why) {
		if (this.away === 0)
			[this.away, this.why] = [performance.now(), why];
	}

	onBytes(chunk) {
		this.counts.bytes += chunk.length;
		this.bytes += chunk.length;
		const due = this.cuts.length > 0 && this.progress >= this.cuts[0];
		if (!due && !(this.early >= 0 && this.bytes > this.early))
			return null;
		if (due)
			this.cuts.shift();
		this.early = -1;
		return Math.floor(this.rand() * (chunk.length + 1));
	}

	async onCut() {
		const { stream } = this;
		const how = HOWS[Math.floor(this.rand() * HOWS.length)];

		this.counts.cuts++;
		this.note(`-- cut: ${how}`);
		this.leftAs("cut");
		stream[how]();
		if (how === "stall") {
			await pause(this.between(STALL_MS));
			stream.reset();
			this.away = performance.now();
		}
		this.done();
	}

	// It was closed, refused, or lost.
	async onOver(why) {
		if (this.ended) {
			this.done();
			return;
		}
		this.note(`-- over: ${JSON.stringify(why)}`);
		if ((why.status && ![429, 503].includes(why.status)) ||
			(why.code && !AWAY.includes(why.code)))
			this.fail(`closed with ${JSON.stringify(why)}`);
		this.counts[why.code || why.status ? "refused" : "lost"]++;
		this.leftAs("lost");
		const [first, longest] = AGAIN_MS;
		const ms = Math.min(first * 2 ** this.pauses++, longest) *
			this.between([0.5, 1.5]);
		// Sent away with a time: not before it.
		await pause(Math.max(ms,
			(why.retryAfter || this.retryAfter) * 1000));
		this.retryAfter = 0;
		this.done();
	}

	// ---- What is shown ----------------------------------------------------

	note(line) {
		this.last.push(line);
		if (this.last.length > 4 * SHOWN)
			this.last.splice(0, this.last.length - SHOWN);
	}

	// What it saw last, a line each.
	lines() {
		return this.last.slice(-SHOWN).map((f) => {
			const text = typeof f === "string" ? f : JSON.stringify(f);
			return text.length > 400 ? `${text.slice(0, 300)}... ` +
				`(${text.length})` : text;
		});
	}

	fail(what) {
		this.failure = `${this.name} (${this.how}, node ${this.node}), run ` +
			`${this.talk.n}, cursor ${this.cursor}, texts ${[...this.texts]
				.map(([id, t]) => `${id}/${t.attempt}: ${t.length}`)
				.join(" ")}: ${what}`;
		this.stream?.reset();
		this.drill.failed(this);
		this.done();
	}

	guard(fn) {
		try {
			fn();
		} catch (e) {
			this.fail(e.message);
		}
	}

	take(f, id) {
		this.counts.frames++;
		this.note(f);
		if (f.type === "ready")
			this.onReady();
		else if (f.type === "snapshot")
			this.onSnapshot(f);
		else if (f.type === "error")
			this.onError(f);
		else if (f.type === "message_delta")
			this.onDelta(f);
		else if (f.seq > 0)
			this.onEvent(f, id);
		else if (!["reasoning_delta", "tool_progress", "run_status",
			"ping", "pong"].includes(f.type))
			throw new Error(`what is this: ${JSON.stringify(f)}`);
	}

	onReady() {
		this.onBack();
		// Some ask for the same once more, which is what a page does that slept.
		if (this.cursor !== null && this.rand() < 1 / 6) {
			this.at.resumed = this.cursor;
			this.counts.resumed++;
			this.stream.send({ type: "resume", after_seq: this.cursor });
		}
	}

	onError(f) {
		if (!UNAVAILABLE.includes(f.code))
			throw new Error(`refused: ${JSON.stringify(f)}`);
		this.retryAfter = f.retry_after ?? 0;
		this.at.resumed = null; // if it was that which was refused
	}

	onSnapshot(f) {
		if (this.cursor !== null)
			throw new Error("a snapshot for somebody with a cursor");
		this.cursor = this.at.seq = f.snapshot_seq;
		this.drill.note({ t: "snapshot", reader: this.name,
			thread_id: this.talk.thread.id, seq: this.cursor });
		for (const m of f.messages.filter((m) => m.role === "assistant"))
			this.whole(m);
		const p = f.partial;
		if (p) {
			const text = new Text(p.attempt);
			text.partial = text.add(0, Buffer.from(p.text));
			this.texts.set(p.message_id, text);
			this.at.texts.set(p.message_id, text.length);
			this.advance();
		}
		if (f.run && f.run.completed_at !== null)
			this.finish();
	}

	// A message that had ended when its reader joined; it may have begun after
	// the seq of the snapshot.
	whole(m) {
		const text = new Text(0);

		text.partial = text.add(0, Buffer.from(m.content));
		text.over = text.stored = true;
		this.texts.set(m.id, text);
		this.advance();
	}

	// From here on it is the answer to `resume`: it goes back, which nothing
	// else does.
	onResumed() {
		this.at = { seq: this.at.resumed, resumed: null, again: true,
			texts: new Map() };
	}

	// The next one of this connection; false: known from another one, which
	// only happens to those who ask for it.
	isNew(seq) {
		if (this.at.resumed !== null && seq === this.at.resumed + 1 &&
			seq !== this.at.seq + 1)
			this.onResumed();
		const { at } = this;
		if (seq <= at.seq) {
			this.counts.doubled++;
			throw new Error(`event ${seq} after ${at.seq}`);
		}
		if (seq !== at.seq + 1) {
			this.counts.disorder++;
			throw new Error(`event ${seq} after ${at.seq}`);
		}
		at.seq = seq;
		if (seq > (this.cursor ?? 0))
			return true;
		if (!at.again)
			throw new Error(`event ${seq} is known since ${this.cursor}`);
		return false;
	}

	onEvent(f, id) {
		const seq = this.how === "run" ? f.run_seq : f.seq;

		if (id !== undefined && Number(id) !== seq)
			throw new Error(`event ${seq} has the id ${id}`);
		if (!this.isNew(seq)) {
			if (f.type === "message_reset")
				this.at.texts.delete(f.message_id);
			return;
		}
		this.cursor = seq;
		this.drill.note({ t: "event", reader: this.name,
			...this.how === "run" ? { run_id: f.run_id, run_seq: f.run_seq }
				: { thread_id: this.talk.thread.id }, seq: f.seq,
			type: f.type });
		if (f.type === "message_start" || f.type === "message_reset")
			this.onBegin(f);
		else if (f.type === "message_end")
			this.onMessageEnd(f);
		else if (f.type === "message_created" &&
			f.message.role === "assistant")
			this.onMessage(f.message);
		else if (isEnd(f) && f.run_id === this.talk.runId)
			this.onRunEnd(f);
	}

	onBegin(f) {
		const old = this.texts.get(f.message_id);

		if ((f.type === "message_reset") !== (old !== undefined) &&
			!old?.stored)
			throw new Error(`${f.type} of a message that ${old ? "has begun"
				: "has not"}`);
		if (old && !(f.attempt > old.attempt))
			throw new Error(`attempt ${f.attempt} after ${old.attempt}`);
		this.counts.resets += old ? 1 : 0;
		this.texts.set(f.message_id, new Text(f.attempt));
		this.at.texts.set(f.message_id, 0);
		this.advance();
	}

	// Where this connection is in a text: at its beginning first, also after
	// a resume.
	onDelta(f) {
		const text = this.texts.get(f.message_id);

		if (this.at.resumed !== null && f.offset === 0 &&
			this.at.texts.get(f.message_id) > 0)
			this.onResumed();
		const { at } = this;
		// Before the reset that came just before the resume.
		if (text?.attempt > f.attempt && at.again)
			return;
		if (!text || text.attempt !== f.attempt)
			throw new Error(`a delta of attempt ${f.attempt} of ` +
				(text ? `attempt ${text.attempt}` : "nothing"));
		const pos = at.texts.get(f.message_id) ?? 0;
		if (f.offset !== pos) {
			this.counts[f.offset < pos ? "doubled" : "disorder"]++;
			throw new Error(`a delta at ${f.offset}, not at ${pos}`);
		}
		const bytes = Buffer.from(f.delta);
		if (text.over && !at.again)
			throw new Error("a delta of a message that is over");
		at.texts.set(f.message_id, pos + bytes.length);
		const fresh = text.add(f.offset, bytes);
		if (text.over && fresh > 0)
			throw new Error("more of a message that is over");
		if (fresh > 0) {
			text.live += fresh;
			text.last = fresh;
			text.at = performance.now() - this.since;
		}
		this.advance();
	}

	onMessageEnd(f) {
		const text = this.texts.get(f.message_id);
		const hash = text && createHash("sha256").update(text.bytes())
			.digest("hex");

		if (text?.length !== f.length || hash !== f.sha256)
			throw new Error(`ends with ${f.length} bytes, there are ` +
				`${text?.length}`);
		text.over = true;
	}

	onMessage(m) {
		const text = this.texts.get(m.id);

		if (!text?.over || !text.bytes().equals(Buffer.from(m.content)))
			throw new Error("another text than what is stored");
	}

	onRunEnd(f) {
		if (f.state !== "succeeded")
			throw new Error(`the run has ${f.state}: ${JSON.stringify(f)}`);
		if (this.how !== "run") {
			this.finish();
			this.stream.leave();
			this.done();
		} else {
			this.ended = true; // and the server closes
			this.finish();
		}
	}

	finish() {
		for (const [id, t] of this.texts) {
			this.counts.partial += t.partial;
			this.counts.live += t.live;
			this.counts.again += t.again;
			if (t.last > TAIL) {
				this.counts[t.at < PRESENT_MS ? "missed" : "tail"] += t.last;
			}
			this.drill.note({ t: "text", reader: this.name, message_id: id,
				length: t.length, sha256: createHash("sha256")
					.update(t.bytes()).digest("hex") });
		}
		this.ended = true;
		this.drill.finished(this);
	}

	advance() {
		let n = 0;

		for (const t of this.texts.values())
			n += t.length;
		this.progress = n / this.talk.expected;
		this.talk.reached(this.progress);
	}
}
