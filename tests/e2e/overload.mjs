// SPDX-License-Identifier: Apache-2.0
//
// The short form of the drill of the full queue; script/bench has the long one.

import assert from "node:assert/strict";
import { test } from "node:test";

import { overload } from "../support/overload.mjs";

test("a flood of one tenant is its own affair", async (t) => {
	// Who is not kept apart from the flood waits for half of it: 12 s.
	const { table } = await overload({ slots: 8, run_ms: 500, seconds: 8,
		promote_ms: 2000, idle: 8, small_rate: 1, slack: 4 });
	for (const [what, value, limit] of table)
		t.diagnostic(`${what}: ${value}${limit && `, limit ${limit}`}`);
	for (const [what, value, limit, good] of table)
		assert.ok(good, `${what}: ${value}, limit ${limit}`);
});
