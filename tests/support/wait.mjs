// SPDX-License-Identifier: Apache-2.0
//
// Waiting for what other processes do:
//
//   const run = await until("the run ends", async () => ...);
//   await within(5000, promise, "an answer");
//   const { hold, release } = held();   a promise, and what fulfils it
//   await pause(ms);                    for what has a pace, never for an event

export const PATIENCE_MS = 60000; // of who waits for no promised time

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// What found gives, as soon as it gives something; what may be a function that
// says more when it was in vain.
export async function until(what, found, ms = PATIENCE_MS) {
	for (const end = performance.now() + ms; ; await pause(20)) {
		const value = await found();
		if (value)
			return value;
		if (performance.now() > end)
			throw new Error(`not within ${ms} ms: ` +
				`${typeof what === "function" ? await what() : what}`);
	}
}

export async function within(ms, promise, what) {
	let timer;
	const late = new Promise((_, reject) => {
		timer = setTimeout(() => reject(new Error(
			`not within ${ms} ms: ${what}`)), ms);
		// Who waits for what has become of no interest holds nobody up.
		timer.unref();
	});
	try {
		return await Promise.race([promise, late]);
	} finally {
		clearTimeout(timer);
	}
}

export function held() {
	let release;
	const hold = new Promise((resolve) => {
		release = resolve;
	});
	return { hold, release };
}
