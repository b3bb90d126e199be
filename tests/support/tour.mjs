// SPDX-License-Identifier: Apache-2.0
//
// The shell commands of a page of the documentation, as written, against a
// server of their own: what they print.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { start } from "./server.mjs";

const ROOT = new URL("../../", import.meta.url);

export async function tour(page) {
	const text = readFileSync(new URL(page, ROOT), "utf8");
	const blocks = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)];
	assert.ok(blocks.length > 0, `${page} has no block marked sh`);
	const server = await start();
	const folder = mkdtempSync(join(tmpdir(), "tour-"));
	try {
		const { stdout } = await promisify(execFile)("sh",
			["-euxc", blocks.map((b) => b[1]).join("")], {
				cwd: folder,
				env: { ...process.env, URL: server.url },
				timeout: 60000,
			});
		return stdout;
	} finally {
		await server.stop();
		rmSync(folder, { recursive: true });
	}
}
