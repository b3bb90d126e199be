// SPDX-License-Identifier: Apache-2.0
// The README's tour, as written.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import { start } from "../support/server.mjs";

const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");

test("every command of the tour works", async () => {
	const tour = /^```sh\n([\s\S]*?)^```$/m.exec(readme);
	assert.ok(tour, "README.md has a block marked sh");
	const server = await start();
	const folder = mkdtempSync(join(tmpdir(), "tour-"));
	try {
		const { stdout } = await promisify(execFile)("sh",
			["-euxc", tour[1]], {
				cwd: folder,
				env: { ...process.env, URL: server.url },
				timeout: 60000,
			});
		assert.match(stdout, /calculator_evaluate/);
		assert.match(stdout, /event: tool_result/);
		assert.match(stdout, /"result":"84"/);
		assert.match(stdout, /id: 6\n/);
		assert.doesNotMatch(stdout, /"error":"/);
	} finally {
		await server.stop();
		rmSync(folder, { recursive: true });
	}
});
