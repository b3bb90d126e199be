// SPDX-License-Identifier: Apache-2.0
//
// What the documentation tells to type, as written.

import assert from "node:assert/strict";
import { test } from "node:test";

import { tour } from "../support/tour.mjs";

test("every command of the tour works", async () => {
	const stdout = await tour("README.md");
	assert.match(stdout, /calculator_evaluate/);
	assert.match(stdout, /event: tool_result/);
	assert.match(stdout, /"result":"84"/);
	assert.match(stdout, /id: 6\n/);
	assert.doesNotMatch(stdout, /"error":"/);
});

test("a job asks, is answered, and goes on", async () => {
	const stdout = await tour("docs/inbox.md");
	assert.match(stdout, /"kind":"approval","status":"pending"/);
	assert.match(stdout, /"counts":\{"pending":1,"unread":1\}/);
	assert.match(stdout, /"status":"waiting_human"/);
	assert.match(stdout, /"kind":"approval","status":"answered"/);
	assert.match(stdout, /"kind":"report","status":"pending"/);
	assert.match(stdout, /"response":\{"expression":"12 \* \(3 \+ 5\)"\}/);
	assert.match(stdout, /"state":"succeeded"/);
	assert.match(stdout, /"type":"tool_result".*\\n96"/);
	assert.doesNotMatch(stdout, /"error":"/);
});
