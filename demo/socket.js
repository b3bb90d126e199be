// The socket of one thread.  Comes back by itself after a drop, with the
// cursor of the last event seen, so nothing is lost and nothing doubled.  Nor is
// what was being said: it is said again, and the server knows it by its id.

const DELAYS_MS = [250, 500, 1000, 2000, 4000, 8000];
const FINAL = new Set([4401, 4403, 4404, 1008]);

export class ThreadSocket {
	#id; #handlers; #ws = null; #seq = -1; #tries = 0; #timer = null; #closed = false;
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
		this.#ws = new WebSocket(`${scheme}//${location.host}/ws/chat/${this.#id}/${query}`);
		this.#ws.addEventListener("message", (event) => this.#receive(JSON.parse(event.data)));
		this.#ws.addEventListener("close", (event) => this.#lost(event));
	}

	#receive(frame) {
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

	#lost(event) {
		if (this.#closed)
			return;
		if (FINAL.has(event.code)) {
			this.#handlers.onState(event.reason || "signed out", "warn");
			return;
		}
		const delay = DELAYS_MS[Math.min(this.#tries++, DELAYS_MS.length - 1)];
		this.#handlers.onState("reconnecting", "warn");
		this.#timer = setTimeout(() => this.#connect(), delay * (0.5 + Math.random()));
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
		this.#ws?.close();
	}
}
