// SPDX-License-Identifier: Apache-2.0
//
// People who talk on while something is done to the servers below them.

import { pause } from "../support/wait.mjs";

export const TALKS = 8;
const EVERY_MS = 500; // somebody says something, unless still waiting
const AGAIN_MS = 100; // before a request without an answer is repeated

// The reader comes back for as long as there is somebody to listen to.
async function follow(talk, server, load) {
	while (!load.over) {
		try {
			const socket = await talk.read(server);
			load.sockets++;
			await Promise.race([socket.closed, load.left]);
		} catch {
			await pause(AGAIN_MS);
		}
	}
}

// Until the message is accepted, under one key.
async function insist(talk, server, key, text, load) {
	for (;;) {
		const answer = await talk.say(server, text, key);

		if (answer?.status < 300)
			return answer.body.run.id;
		if (answer && answer.status < 429)
			throw new Error(`${key}: ${JSON.stringify(answer.body)}`);
		load.repeated++;
		await pause(AGAIN_MS);
	}
}

async function converse(talk, server, load, texts, which) {
	for (let n = 0; !load.enough; n++) {
		const next = performance.now() + EVERY_MS;

		talk.seen.length = 0;
		const text = `${texts[(n + which) % texts.length]} ` +
			`${n * TALKS + which}`;
		const id = await insist(talk, server, `${talk.thread} ${n}`, text,
			load);
		const { state } = await talk.rest(id);

		load.ends.push(performance.now());
		load.states.set(state, (load.states.get(state) ?? 0) + 1);
		// Nothing is made up for: who had to wait does not hurry.
		await pause(next - performance.now());
	}
}

// Eight talks on this server, each of which says one of the texts in turn, with
// a number: load.enough = true ends them, load.all resolves then, and load.leave()
// sends the readers home.
export async function beginLoad(story, server, texts = ["only talk"]) {
	const load = { ends: [], states: new Map(), sockets: 0, repeated: 0,
		from: performance.now() };

	load.left = new Promise((resolve) => {
		load.leave = () => {
			load.over = true;
			resolve();
		};
	});
	while (story.talks.length < TALKS)
		await story.talk(server);
	load.readers = story.talks.map((talk) => follow(talk, server, load));
	load.all = Promise.all(story.talks.map((talk, i) =>
		converse(talk, server, load, texts, i)));
	load.all.catch((e) => {
		load.failed = e;
	});
	return load;
}
