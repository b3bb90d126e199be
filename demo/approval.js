// What the agent asks: may this tool be called, or a question of its own.  The
// card knows its item and answers it by the API; that it was answered, here or
// by somebody else, comes as an event, and removes it.
import { api } from "./api.js";
import { button, element } from "./waiting.js";

export class Approval {
	#item; #card; #error; #text = null;

	constructor(item) {
		this.#item = item;
		this.run = item.run_id;
		this.element = element("li", "");
		this.#card = element("section", "question approval");
		this.#error = element("p", "error");
		this.#error.setAttribute("role", "alert");
		const { action, args } = item.action_request;
		const row = element("div", "row");
		if (item.kind === "question")
			this.#question(args, row);
		else
			this.#call(action, args, row);
		if (item.config.allow_ignore)
			this.#button(row, item.kind === "question" ? "No answer" : "Reject", "ignore", "quiet", () => null);
		this.#card.append(this.#error, row);
		this.element.append(this.#card);
	}

	remove() {
		this.element.remove();
	}

	#field(tag, label, value = "") {
		const field = element(tag, "");
		field.value = value;
		field.placeholder = label;
		field.setAttribute("aria-label", label);
		this.#card.append(field);
		return field;
	}

	#button(row, label, type, className, args) {
		row.append(button(label, className, () => this.#answer(type, args)));
		row.lastChild.name = type;
	}

	#call(action, args, row) {
		const { config } = this.#item;
		this.#card.append(element("strong", "", `May it call ${action}?`));
		const text = JSON.stringify(args, null, 1);
		if (config.allow_edit) {
			this.#text = this.#field("textarea", "Arguments", text);
			this.#text.rows = text.split("\n").length;
			this.#text.spellcheck = false;
		} else
			this.#card.append(element("code", "", text));
		const reply = config.allow_respond ? this.#field("input", "Or answer in its place") : null;
		if (config.allow_accept)
			this.#button(row, "Allow", "accept", "", () => null);
		if (config.allow_edit)
			this.#button(row, "Allow with these arguments", "edit", "quiet", () => JSON.parse(this.#text.value));
		if (reply !== null)
			this.#button(row, "Answer", "response", "quiet", () => reply.value);
	}

	#question({ question, choices = [], free_text: free }, row) {
		this.#card.append(element("strong", "", question));
		for (const choice of choices ?? []) {
			this.#button(row, choice, "response", "", () => choice);
			row.lastChild.value = choice;
		}
		if (choices?.length > 0 && !free)
			return;
		const reply = this.#field("input", "Answer");
		this.#button(row, "Answer", "response", "", () => reply.value);
	}

	async #answer(type, args) {
		const buttons = this.#card.querySelectorAll("button");
		this.#error.textContent = "";
		buttons.forEach((b) => { b.disabled = true; });
		try {
			await api("POST", `/api/inbox/${this.#item.item_id}/respond`, { type, args: args() });
		} catch (e) {
			this.#error.textContent = e.message;
			buttons.forEach((b) => { b.disabled = false; });
		}
	}
}
