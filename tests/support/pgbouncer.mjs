// SPDX-License-Identifier: Apache-2.0
//
// A PgBouncer of a test's own, in front of a cluster of postgres.mjs:
//
//   const pool = await startPgbouncer(postgres, "transaction");   or "session"
//   pool.url             of its database test
//   await pool.stop();   and removes it

import { spawn } from "node:child_process";
import { chownSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { until } from "./wait.mjs";

const answers = (path) => new Promise((resolve) => {
	const socket = connect(path);
	socket.on("error", () => resolve(false));
	socket.on("connect", () => {
		socket.destroy();
		resolve(true);
	});
});

export async function startPgbouncer(postgres, mode) {
	const dir = mkdtempSync(join(tmpdir(), "pgbouncer-"));
	const file = join(dir, "ini");
	// It does not run as root; who owns the cluster owns its folder.
	const { uid, gid } = statSync(postgres.dir);

	writeFileSync(file, `[databases]
* = host=${postgres.dir} user=test
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = ${dir}
auth_type = any
pool_mode = ${mode}
default_pool_size = 100
`);
	for (const path of [dir, file])
		chownSync(path, uid, gid);
	const child = spawn("pgbouncer", [file], { stdio: "ignore",
		...process.getuid() === 0 ? { uid, gid } : {} });
	const exited = new Promise((resolve, reject) => {
		child.on("error", reject);
		child.on("exit", resolve);
	});
	exited.catch(() => {});
	await until("pgbouncer answers", () => {
		if (child.exitCode !== null)
			throw new Error("pgbouncer has ended");
		return answers(join(dir, ".s.PGSQL.6432"));
	});
	return { url: `postgresql:///test?host=${dir}&port=6432&user=test`,
		async stop() {
			child.kill("SIGKILL");
			await exited;
			rmSync(dir, { recursive: true, force: true });
		} };
}
