// What the reader sees: frames in, elements out.  Text is only ever set as
// text, never as HTML.
import { Approval } from "./approval.js";
import { element, Pause, Question } from "./waiting.js";

const decoder = new TextDecoder();
const encoder = new TextEncoder();

// A button without a text of its own: its sign is not a part of the message.
function sign(name, icon, label, onClick) {
	const el = element("button", "sign");
	el.type = "button";
	el.name = name;
	el.dataset.icon = icon;
	el.title = label;
	el.setAttribute("aria-label", label);
	el.addEventListener("click", onClick);
	return el;
}

const show = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 1));

export class Transcript {
	#list; #who; #acts; #asked = new Map(); #messages = new Map(); #staged = new Map(); #tools = new Map(); #texts = new Map(); #reasoning = new Map();
	#waiting = null; // the run that waits, as the last element

	// who() is the user that reads; acts.cancel(runId) takes back what waits,
	// acts.edit(message) and acts.again(message) make another branch,
	// acts.look(messageId) shows one.
	constructor(list, who, acts) {
		this.#list = list;
		this.#who = who;
		this.#acts = acts;
	}

	clear() {
		this.#waiting?.remove();
		this.#list.replaceChildren();
		for (const map of [this.#asked, this.#messages, this.#staged, this.#tools, this.#texts, this.#reasoning])
			map.clear();
	}

	isEmpty() {
		return this.#list.childElementCount === 0;
	}

	apply(frame) {
		const handler = this[`on_${frame.type}`];
		if (handler === undefined || (frame.ns && !this.#ofSubagent(frame)))
			return; // a newer host may say more than we know
		const bottom = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 80;
		handler.call(this, frame);
		if (bottom)
			this.#list.scrollTop = this.#list.scrollHeight;
	}

	// What waits stands below all that has been said.
	#add(el) {
		this.#list.insertBefore(el, this.#list.querySelector(":scope > .staged"));
	}

	#stage(m) {
		const li = element("li", "message user staged", m.content);
		const button = element("button", "quiet small", "Take back");
		button.type = "button";
		button.addEventListener("click", () => this.#acts.cancel(m.run_id));
		li.append(button);
		this.#messages.set(m.id, li);
		this.#staged.set(m.run_id, li);
		this.#list.append(li);
	}

	// Its turn has come: before an answer that has not begun to speak.
	#unstage(m) {
		const li = this.#messages.get(m.id);
		if (!li?.classList.contains("staged"))
			return;
		li.remove();
		li.classList.remove("staged");
		const next = this.#list.querySelector(":scope > .writing:empty");
		if (next !== null)
			next.before(li);
		else
			this.#add(li);
		for (const [run, el] of this.#staged)
			if (el === li)
				this.#staged.delete(run);
	}

	#bubble(id, role) {
		let li = this.#messages.get(id);
		if (li === undefined) {
			li = element("li", `message ${role}`);
			this.#messages.set(id, li);
			this.#add(li);
		}
		return li;
	}

	#card(id, name, args) {
		let card = this.#tools.get(id);
		if (card === undefined) {
			card = element("details", "tool");
			card.dataset.state = "running";
			const summary = element("summary", "");
			summary.append(element("code", "", name), element("span", "short"), element("span", "state", "running"));
			card.append(summary, element("pre", "args", show(args)));
			this.#tools.set(id, card);
			const li = element("li", "");
			li.append(card);
			this.#add(li);
		}
		return card;
	}

	#finish(id, name, outcome, result) {
		const card = this.#card(id, name, {});
		card.dataset.state = outcome;
		card.querySelector(".state").textContent = outcome;
		card.querySelector(".result")?.remove();
		card.querySelector(".short").textContent = show(result).slice(0, 120);
		card.append(element("pre", "result", show(result)));
	}

	#message(m) {
		if (m.state === "rolled_back") {
			this.#messages.get(m.id)?.remove();
			return;
		}
		if (m.role === "tool") {
			const part = m.parts[0] ?? {};
			const known = this.#tools.get(m.tool_call_id)?.dataset.state ?? "running";
			if (known !== "running" && known !== "asked")
				return;
			this.#finish(m.tool_call_id, m.tool_name, part.is_error ? "failed" : "succeeded", m.content);
			return;
		}
		if (m.state === "staged") {
			this.#stage(m);
			return;
		}
		this.#unstage(m);
		const li = this.#bubble(m.id, m.role);
		li.textContent = m.content;
		li.classList.remove("writing");
		li.classList.toggle("interrupted", m.state === "interrupted");
		if (m.content !== "" && m.role !== "system")
			li.append(this.#signs(m));
		for (const part of m.parts)
			if (part.type === "tool_call")
				this.#card(part.id, part.name, part.args);
	}

	#signs(m) {
		const row = element("span", "signs");
		row.append(m.role === "user"
			? sign("edit", "\u270e", "Ask differently", () => this.#acts.edit(m))
			: sign("again", "\u21bb", "Another answer", () => this.#acts.again(m)));
		return row;
	}

	// Which of several messages in one place is looked at, and the way to the
	// others.  What has not changed stays: somebody may be about to click it.
	showBranches(items) {
		const old = new Set(this.#list.querySelectorAll(".branch"));
		for (const { siblings } of items) {
			const at = siblings.findIndex((s) => s.active);
			const row = this.#messages.get(siblings[at]?.id)?.querySelector(".signs");
			const key = siblings.map((s) => s.leaf ?? s.id).join();
			if (!row || old.delete([...old].find((el) => row.contains(el) && el.dataset.key === key)))
				continue;
			const place = element("span", "branch");
			place.dataset.key = key;
			place.dataset.place = `${at + 1} / ${siblings.length}`;
			const step = (name, icon, label, by) => {
				const other = siblings[at + by];
				const el = sign(name, icon, label, () => this.#acts.look(other.leaf ?? other.id));
				el.toggleAttribute("data-end", other === undefined);
				return el;
			};
			place.append(step("before", "\u2039", "The branch before", -1), step("next", "\u203a", "The next branch", 1));
			row.append(place);
		}
		old.forEach((el) => el.remove());
	}

	// The parts of a subagent's work that are shown: what it says and calls, and
	// what it asks.
	#ofSubagent(frame) {
		return /^(message_(start|reset|delta|end)|tool_|hitl_)/.test(frame.type);
	}

	on_hitl_request(frame) {
		// What is escalated is on the page; what a run has run into is another card.
		if (this.#asked.has(frame.item_id) || !["approval", "question"].includes(frame.kind))
			return;
		const card = new Approval(frame);
		this.#asked.set(frame.item_id, card);
		this.#add(card.element);
	}

	on_hitl_resolved(frame) {
		this.#asked.get(frame.item_id)?.remove();
		this.#asked.delete(frame.item_id);
	}

	on_snapshot(frame) {
		this.clear();
		for (const m of frame.messages)
			this.#message(m);
		if (frame.partial) {
			this.on_message_start(frame.partial);
			this.on_message_delta({ ...frame.partial, delta: frame.partial.text });
		}
		for (const partial of frame.subagent_partials ?? []) {
			this.on_message_start(partial);
			this.on_message_delta({ ...partial, delta: partial.text });
		}
		for (const item of frame.open_requests)
			this.on_hitl_request(item);
		if (frame.run)
			this.#wait({ state: frame.run.status, error: frame.run.error, run_id: frame.run.id });
	}

	// What the run waits for now, if it does.
	#wait(status) {
		this.#waiting?.remove();
		this.#waiting = null;
		if (status.state === "waiting_timer")
			this.#waiting = new Pause(status.error, status.in_ms ?? NaN);
		else if (status.state === "recoverable_error")
			this.#waiting = new Question(status.run_id, status.error, this.#who());
		if (this.#waiting !== null)
			this.#add(this.#waiting.element);
		const unknown = this.#waiting !== null && status.error?.code === "OUTCOME_UNKNOWN";
		for (const card of this.#tools.values())
			if (card.dataset.state === (unknown ? "running" : "asked")) {
				card.dataset.state = unknown ? "asked" : "running";
				card.querySelector(".state").textContent = unknown ? "unknown" : "running";
			}
	}

	on_message_created(frame) {
		this.#message(frame.message);
	}

	on_message_start(frame) {
		this.#texts.set(frame.message_id, new Uint8Array());
		const li = this.#bubble(frame.message_id, "assistant");
		li.classList.add("writing");
		li.classList.toggle("subagent", Boolean(frame.ns));
	}

	on_message_reset(frame) {
		this.#reasoning.get(frame.message_id)?.remove();
		this.#reasoning.delete(frame.message_id);
		this.on_message_start(frame);
		this.#bubble(frame.message_id, "assistant").textContent = "";
	}

	// A delta says at which byte it begins; what overlaps is known already.
	on_message_delta(frame) {
		const known = this.#texts.get(frame.message_id);
		const bytes = encoder.encode(frame.delta);
		if (known === undefined || frame.offset > known.length || frame.offset + bytes.length <= known.length)
			return;
		const all = new Uint8Array(frame.offset + bytes.length);
		all.set(known);
		all.set(bytes, frame.offset);
		this.#texts.set(frame.message_id, all);
		this.#bubble(frame.message_id, "assistant").textContent = decoder.decode(all);
	}

	on_reasoning_delta(frame) {
		let el = this.#reasoning.get(frame.message_id);
		if (el === undefined) {
			el = element("li", "reasoning");
			this.#reasoning.set(frame.message_id, el);
			this.#bubble(frame.message_id, "assistant").before(el);
		}
		el.textContent += frame.delta;
	}

	on_message_end(frame) {
		this.#texts.delete(frame.message_id);
		this.#bubble(frame.message_id, "assistant").classList.remove("writing");
	}

	on_tool_call(frame) {
		this.#card(frame.tool_call_id, frame.name, frame.args);
	}

	on_tool_result(frame) {
		this.#finish(frame.tool_call_id, frame.name, frame.outcome, frame.error?.message ?? frame.result ?? "");
	}

	on_run_status(frame) {
		if (frame.state === "blocked")
			return;
		const staged = this.#staged.get(frame.run_id);
		if (staged !== undefined && frame.status === "end") {
			staged.remove();
			this.#staged.delete(frame.run_id);
			return;
		}
		if (frame.status === "end")
			for (const [id, card] of this.#asked)
				if (card.run === frame.run_id)
					this.on_hitl_resolved({ item_id: id });
		this.#wait(frame);
		if (frame.error && this.#waiting === null)
			this.#add(element("li", "notice", `${frame.error.code}: ${frame.error.message}`));
		if (frame.state === "rolled_back")
			this.#add(element("li", "notice", "This turn was taken back."));
	}

	on_error(frame) {
		this.#add(element("li", "notice", `${frame.code}: ${frame.message}`));
	}
}
