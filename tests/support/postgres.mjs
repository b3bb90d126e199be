// SPDX-License-Identifier: Apache-2.0
//
// A PostgreSQL of a test's own, which it may stop and start again:
//
//   const postgres = await startPostgres();   or with settings: "fsync=off"
//   postgres.url
//   await postgres.restart("immediate");   or "fast"; resolves when it is back
//   await postgres.restart("fast", 10);    it is away for 10 s at least
//   await postgres.stop();                 and removes it
//
// script/lib.sh knows how; SRC_DIR is where that is.

import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

async function script(text, env = {}) {
	const ROOT = process.env.SRC_DIR;
	const { stdout } = await run("bash", ["-c",
		`. "$ROOT/script/lib.sh" && ${text}`],
	{ env: { ...process.env, ...env, ROOT } });

	return stdout.trim();
}

export async function startPostgres(...settings) {
	const [dir, url] = (await script("postgres_start $SETTINGS >&2 && " +
		"printf '%s\\n%s\\n' \"$PG_DIR\" \"$PG_URL\"",
	{ SETTINGS: settings.join(" ") })).split("\n");
	const PG_DIR = dir;

	return { url, dir,
		restart: (mode, seconds = 0) =>
			script(`postgres_restart ${mode} ${seconds}`, { PG_DIR }),
		stop: () => script("postgres_stop", { PG_DIR }) };
}
