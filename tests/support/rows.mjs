// SPDX-License-Identifier: Apache-2.0
//
// Rows of a server's database, on both stores: objects whose members are the
// columns; ids are UUIDs as text, other bytes are text in hex.

import { execFileSync } from "node:child_process";
import { join } from "node:path";

import { api, databaseUrl } from "./server.mjs";

const READ = `import json, sqlite3, sys, uuid
c = sqlite3.connect(sys.argv[1], timeout=20)
c.row_factory = sqlite3.Row
def cell(v):
    if not isinstance(v, bytes):
        return v
    return str(uuid.UUID(bytes=v)) if len(v) == 16 else v.hex()
c.execute("BEGIN")
print(json.dumps({name: [{k: cell(r[k]) for k in r.keys()} for r in c.execute(text)]
    for name, text in json.loads(sys.argv[2]).items()}))`;

// Of several queries by name, as they are at one time.
export function rowsOf(server, queries) {
	const [program, ...list] = server.database
		? ["psql", "-X", "-q", "-A", "-t", "-d",
			databaseUrl(server.admin, server.database), "-c",
			`SELECT json_build_object(${Object.entries(queries).map(([k, q]) =>
				`'${k}', (SELECT coalesce(json_agg(x), '[]') FROM (${q}) x)`)})`]
		: ["python3", "-c", READ, join(server.data, "agent-studio.db"),
			JSON.stringify(queries)];
	return JSON.parse(execFileSync(program, list,
		{ encoding: "utf8", maxBuffer: 1 << 26 }));
}

export const rows = (server, text) => rowsOf(server, { rows: text }).rows;

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

const ANOTHER_TENANT = "00000000-0000-7000-8000-0000000000a0";

// Moves a person there, as its admin; a token of the new place.
export async function adminOfAnotherTenant(server, person) {
	const who = id(server, person.user.id), tenant = id(server, ANOTHER_TENANT);
	change(server,
		`INSERT INTO tenants (id, name, created_at) VALUES (${tenant}, 'other', 1)`,
		`INSERT INTO memberships (tenant_id, user_id, role, created_at)` +
			` VALUES (${tenant}, ${who}, 'admin', 1)`,
		`UPDATE users SET tenant_id = ${tenant} WHERE id = ${who}`);
	const { body } = await api(server, "POST", "/api/auth/login",
		{ body: { email: person.email, password: person.password } });
	return body.access_token;
}
