#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
//
// The model of the continuity drill, a process of its own: it streams answers
// word by word, another one at each try, and tells its parent of each try
//
//   {run, step, attempt, process, at, sha256, bytes}
//
// A message "run N of S steps, W words, M ms" is answered in S steps, the first
// ones with a call of the calculator.  `process` is the first part of the path
// that was asked: who works on the run.  Nobody hears the last words before the
// parent has sent "quiet"; a later try is faster.

import { createHash } from "node:crypto";

import { start } from "../support/stub_model.mjs";

const WORDS = ["a token ", "wörd für wörd ", "\u4e2d\u6587\u5b57\u7b26 ",
	"\u{1f600}\u{1f680} ", "\"quoted\" ", "back\\slash ", "a line\nand another ",
	"tab\t", "of the ", "continuity, ", "<b>&amp;</b> ", "e\u0301 "];
const HELD = 0.85; // of the words

const tries = new Map();
let release;
const quiet = new Promise((resolve) => {
	release = resolve;
});

const tokensOf = ({ run, step, attempt, words }) => [
	`Run ${run}, step ${step}, attempt ${attempt}: `,
	...Array.from({ length: words }, (_, i) => [7, 5, 11].map((by, k) =>
		WORDS[(i * by + k + run + attempt * 5 + step * 3) % WORDS.length])
		.join(""))];

// What a message demands, and how often it was demanded.
function demand(messages) {
	const at = messages.map((m) => m.role).lastIndexOf("user");
	const { content } = messages[at];
	const text = Array.isArray(content) ? content.at(-1).text : content;
	const [run, steps, words, ms] =
		/^run (\d+) of (\d+) steps, (\d+) words, (\d+) ms/.exec(text)
			.slice(1).map(Number);
	const step = messages.slice(at).filter((m) => m.role === "tool").length + 1;
	const attempt = (tries.get(`${run} ${step}`) ?? 0) + 1;

	tries.set(`${run} ${step}`, attempt);
	return { run, steps, words, ms, step, attempt };
}

function decide(messages, entry) {
	const d = demand(messages);
	const tokens = tokensOf(d), all = tokens.join("");
	const isLast = d.step === d.steps;

	process.send({ run: d.run, step: d.step, attempt: d.attempt,
		at: Date.now(), process: entry.path.split("/")[1],
		bytes: Buffer.byteLength(all),
		sha256: createHash("sha256").update(all).digest("hex") });
	return { tokens, delay_ms: d.ms / d.attempt, hold: quiet,
		hold_after: isLast ? Math.ceil(tokens.length * HELD) : undefined,
		tool_calls: isLast ? undefined : [{ id: `call_${d.run}_${d.step}`,
			name: "calculator_evaluate",
			args: { expression: `${d.run}+${d.step}` } }] };
}

const stub = await start({ decide });

process.on("message", release);
process.on("disconnect", () => process.exit());
process.send({ url: stub.url });
