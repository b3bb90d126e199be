// SPDX-License-Identifier: Apache-2.0
//
// A PostgreSQL of a test's own, which it may stop and start again:
//
//   const postgres = await startPostgres();
//   postgres.url
//   await postgres.restart("immediate");   or "fast"; resolves when it is back
//   await postgres.restart("fast", 10);    it is away for 10 s at least
//   await postgres.stop();                 and removes it
//   await postgres.kill();                 SIGKILL for all of it
//   await postgres.again();                after that
//   const other = await postgres.follow(); a standby, which is streaming; with
//                                          {dir} instead of what is there
//   await other.promote();                 it takes over
//   await startPostgres("fsync = off")     with lines of postgresql.conf
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

function cluster(dir) {
	const env = { PG_DIR: dir };

	return { dir, url: `postgresql:///test?host=${dir}&user=test`,
		restart: (mode, seconds = 0) =>
			script(`postgres_restart ${mode} ${seconds}`, env),
		kill: () => script("postgres_kill", env),
		again: () => script("postgres_again", env),
		promote: () => script("postgres_promote", env),
		follow: async ({ dir: into = "" } = {}) =>
			cluster(await script(`postgres_follow ${into}`, env)),
		stop: () => script("postgres_stop", env) };
}

export async function startPostgres(...settings) {
	const list = settings.map((s) => `"${s}"`).join(" ");

	return cluster(await script(`postgres_start ${list} >&2 && ` +
		"printf '%s' \"$PG_DIR\""));
}
