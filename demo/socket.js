// The socket of one thread.  Comes back by itself after a drop, with the
// cursor of the last event seen, so nothing is lost and nothing doubled.  Nor is
// what was being said: it is said again, and the server knows it by its id.
// docs/streams.md has the rules.

import { api, ApiError } from "./api.js";

const DELAYS_MS = [250, 500, 1000, 2000, 4000, 8000];
const FINAL = new Set([1008, 4404]);
const TOO_LARGE = 1009;
const WHO = new Set([4401, 4403]); // ask who we are before coming back
const PING_MS = 20000;
const SILENCE_MS = 45000; // a connection that says nothing is dead

// A server that does not answer has not signed us out.
async function signedIn() {
	try {
		await api("GET", "/api/auth/me");
		return true;
	} catch (error) {
		return !(error instanceof ApiError && error.status === 401);
	}
}

export class ThreadSocket {
	#id; #handlers; #ws = null; #seq = -1; #tries = 0; #timer = null; #closed = false;
	#pulse = null; #heardAt = 0; #notBefore = 0;
	#unheard = new Map(); // frames by client_message_id

	constructor(id, handlers) {
		this.#id = id;
		this.#handlers = handlers;
		this.#connect();
	}

	#connect() {
		const scheme = location.protocol === "https:" ? "wss:" : "ws:";
		const query = this.#seq >= 0 ? `?after_seq=${this.#seq}` : "";
		this.#handlers.onState(this.#tries > 0 ? "reconnecting" : "connecting");
		const ws = new WebSocket(`${scheme}//${location.host}/ws/chat/${this.#id}/${query}`);
		this.#ws = ws;
		this.#heardAt = Date.now();
		ws.addEventListener("message", (event) => ws === this.#ws && this.#receive(JSON.parse(event.data)));
		ws.addEventListener("close", (event) => ws === this.#ws && this.#lost(event));
		clearInterval(this.#pulse);
		this.#pulse = setInterval(() => this.#beat(), PING_MS);
	}

	#beat() {
		if (Date.now() - this.#heardAt < SILENCE_MS) {
			this.send({ type: "ping" });
			return;
		}
		const dead = this.#ws;
		this.#ws = null; // its close may come late
		dead.close();
		this.#lost({ code: 1006 });
	}

	#receive(frame) {
		this.#heardAt = Date.now();
		if (frame.type === "pong")
			return;
		if (frame.type === "error" && frame.retry_after)
			this.#notBefore = this.#heardAt + 1000 * frame.retry_after;
		if (frame.type === "ready") {
			this.#tries = 0;
			this.#handlers.onState("live", "live");
			for (const unheard of this.#unheard.values())
				this.#ws.send(JSON.stringify(unheard));
		}
		this.#heard(frame);
		if (frame.type === "snapshot")
			this.#seq = frame.snapshot_seq;
		if (frame.seq !== undefined) {
			if (frame.seq <= this.#seq)
				return;
			this.#seq = frame.seq;
		}
		this.#handlers.onFrame(frame);
	}

	// Accepted or refused.
	#heard(frame) {
		for (const m of [frame, frame.message, ...frame.messages ?? []])
			this.#unheard.delete(m?.client_message_id);
	}

	async #lost(event) {
		clearInterval(this.#pulse);
		if (this.#closed)
			return;
		this.#handlers.onState("reconnecting", "warn");
		if (FINAL.has(event.code) || (WHO.has(event.code) && !await signedIn())) {
			this.#handlers.onState(event.reason || "signed out", "warn");
			return;
		}
		if (event.code === TOO_LARGE) { // said again, it would end the next one
			this.#unheard.clear();
			this.#handlers.onFrame({ type: "error", code: "TOO_LARGE",
				message: "That is too long to be sent." });
		}
		const delay = DELAYS_MS[Math.min(this.#tries++, DELAYS_MS.length - 1)];
		if (!this.#closed)
			this.#timer = setTimeout(() => this.#connect(), Math.max(
				delay * (0.5 + Math.random()), this.#notBefore - Date.now()));
	}

	send(frame) {
		if (this.#ws?.readyState !== WebSocket.OPEN)
			return false;
		if (frame.client_message_id !== undefined)
			this.#unheard.set(frame.client_message_id, frame);
		this.#ws.send(JSON.stringify(frame));
		return true;
	}

	close() {
		this.#closed = true;
		clearTimeout(this.#timer);
		clearInterval(this.#pulse);
		this.#ws?.close();
	}
}
