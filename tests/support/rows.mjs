// SPDX-License-Identifier: Apache-2.0
//
// Rows of a server's database, on both stores: objects whose members are the
// columns; ids are UUIDs as text.

import { execFileSync } from "node:child_process";
import { join } from "node:path";

import { databaseUrl } from "./server.mjs";

const READ = `import json, sqlite3, sys, uuid
c = sqlite3.connect(sys.argv[1], timeout=20)
c.row_factory = sqlite3.Row
def cell(v):
    return str(uuid.UUID(bytes=v)) if isinstance(v, bytes) and len(v) == 16 else v
print(json.dumps([{k: cell(r[k]) for k in r.keys()} for r in c.execute(sys.argv[2])]))`;

export function rows(server, text) {
	const [program, ...list] = server.database
		? ["psql", "-X", "-q", "-A", "-t", "-d",
			databaseUrl(server.admin, server.database), "-c",
			`SELECT coalesce(json_agg(x), '[]') FROM (${text}) x`]
		: ["python3", "-c", READ, join(server.data, "agent-studio.db"), text];
	return JSON.parse(execFileSync(program, list, { encoding: "utf8" }));
}

// Statements, one after the other; on SQLite beside the server.
export function change(server, ...statements) {
	const text = statements.join(";\n") + ";";
	if (server.database)
		execFileSync("psql", ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-1", "-d",
			databaseUrl(server.admin, server.database), "-c", text]);
	else
		execFileSync("python3", ["-c", "import sqlite3, sys\n" +
			"c = sqlite3.connect(sys.argv[1], timeout=20)\n" +
			"c.executescript('BEGIN;' + sys.argv[2] + 'COMMIT;')",
		join(server.data, "agent-studio.db"), text]);
}

// An id as it stands in a statement of this store.
export function id(server, text) {
	return server.database ? `'${text}'`
		: `x'${text.replaceAll("-", "")}'`;
}
