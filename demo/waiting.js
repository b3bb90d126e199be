// A run that does not go on by itself: until its time has come, or until a
// person decides.  Each card knows its run and asks the API itself.
import { api } from "./api.js";

const TITLES = {
	LIMIT_REACHED: "This turn has used up its limit",
	LOOP_DETECTED: "It makes the same calls again and again",
	OUTCOME_UNKNOWN: "Did it happen?",
};
const LABELS = { retry: "Try again", extend: "Let it go on", cancel: "Stop" };
const OUTCOMES = { happened: "It happened", not_happened: "It did not: call again", skip: "Skip it" };

export function element(tag, className, text = "") {
	const el = document.createElement(tag);
	el.className = className;
	el.textContent = text;
	return el;
}

export function button(label, className, onClick) {
	const el = element("button", `small ${className}`, label);
	el.type = "button";
	el.addEventListener("click", onClick);
	return el;
}

// Counts down to the next try; a reader who comes later does not know when.
export class Pause {
	#timer = null;

	constructor(error, ms) {
		this.element = element("li", "notice pause");
		const until = Date.now() + ms;
		const show = () => {
			const s = Math.max(0, Math.ceil((until - Date.now()) / 1000));
			this.element.textContent = `${error?.message ?? "The model did not answer"} — ` +
				(Number.isFinite(s) ? `again in ${s} s` : "it will be tried again");
		};
		show();
		if (Number.isFinite(until))
			this.#timer = setInterval(show, 1000);
	}

	remove() {
		clearInterval(this.#timer);
		this.element.remove();
	}
}

// What went wrong, and a button for everything that can be done about it.
export class Question {
	#run; #card; #error;

	constructor(run, error, user) {
		this.#run = run;
		this.element = element("li", "");
		this.#card = element("section", "question");
		this.#error = element("p", "error");
		this.#error.setAttribute("role", "alert");
		this.#card.append(element("strong", "", TITLES[error.code] ?? "The agent could not go on"),
			element("p", "muted", `${error.code}: ${error.message}`));
		if (error.actions.includes("resolve"))
			this.#outcomes(user);
		this.#card.append(this.#error, this.#actions(error.actions));
		this.element.append(this.#card);
	}

	remove() {
		this.element.remove();
	}

	// The answer changes the run, and what the run says then removes the card.
	async #decide(path, body) {
		const buttons = this.#card.querySelectorAll("button");
		this.#error.textContent = "";
		buttons.forEach((b) => { b.disabled = true; });
		try {
			await api("POST", path, body);
			return true;
		} catch (e) {
			this.#error.textContent = e.message;
			buttons.forEach((b) => { b.disabled = false; });
			return false;
		}
	}

	#actions(actions) {
		const row = element("div", "row");
		for (const action of actions) {
			if (!(action in LABELS))
				continue;
			row.append(button(LABELS[action], action === "cancel" ? "quiet" : "", () =>
				(action === "cancel"
					? this.#decide(`/api/runs/${this.#run}/cancel`, {})
					: this.#decide(`/api/runs/${this.#run}/resume`, { action }))));
			row.lastChild.name = action;
		}
		return row;
	}

	// Only an admin may say what happened on the other side.
	async #outcomes(user) {
		const list = element("div", "calls");
		this.#card.append(list);
		if (user.role === "member") {
			list.append(element("p", "muted", "An admin has to say what became of it."));
			return;
		}
		try {
			const { items } = await api("GET",
				`/api/operator/items?run_id=${this.#run}&kind=outcome&status=pending`);
			list.replaceChildren(...items.map((item) => this.#outcome(item)));
			this.element.scrollIntoView({ block: "nearest" });
		} catch (e) {
			this.#error.textContent = e.message;
		}
	}

	#outcome(item) {
		const el = element("div", "call");
		const answer = element("input", "");
		const row = element("div", "row");
		const { action, args } = item.action_request;
		answer.placeholder = "What it answered, if you know";
		answer.setAttribute("aria-label", answer.placeholder);
		for (const outcome of item.config.outcomes) {
			row.append(button(OUTCOMES[outcome], "quiet", async () => {
				const body = { outcome };
				if (outcome === "happened" && answer.value !== "")
					body.result = answer.value;
				if (await this.#decide(`/api/operator/items/${item.id}/resolve`, body))
					el.remove();
			}));
			row.lastChild.name = outcome;
		}
		el.append(element("code", "", `${action} ${JSON.stringify(args)}`), answer, row);
		return el;
	}
}
