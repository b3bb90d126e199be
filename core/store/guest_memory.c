/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/store/guest.h"
#include "core/store/store_sqlite.h"

/*
 * A plugin's tables for as long as it is checked: the connection that plugins
 * have on SQLite, of a database that is nowhere else.
 */

#define PATIENCE_MS 30000

struct guest_memory {
	struct lite_db db;
	struct lite_conn *conn;
	sqlite3 *marked; /* as it was; NULL: there is no mark */
};

/* The table in which migrations are recorded, as our own migrations have it. */
static const char steps[] = "CREATE TABLE plugin_migrations ("
			    "plugin TEXT NOT NULL, step BIGINT NOT NULL,"
			    "sha256 TEXT NOT NULL, applied_at BIGINT NOT NULL,"
			    "PRIMARY KEY (plugin, step))";

struct guest_memory *
guest_memory_new(void)
{
	struct guest_memory *m = xcalloc(1, sizeof(*m));

	m->db.path = xstrdup(":memory:");
	m->db.base.config.statement_timeout_ms = PATIENCE_MS;
	if (lite_guest_ready(&m->db, &m->conn, NULL) == AS_OK &&
	    lite_script(m->conn, steps, NULL) == AS_OK)
		return m;
	guest_memory_free(m);
	return NULL;
}

enum as_status
guest_memory_run(struct guest_memory *m, const struct guest_call *call,
    struct json_object **rows, int64_t *changed, struct error *err)
{
	struct store_req r = { .is_write = true };
	enum as_status st = guest_new(call, PATIENCE_MS, &r.guest, err);

	if (st == AS_OK) {
		lite_guest_write(&m->db, &m->conn, &r);
		if ((st = r.status) == AS_OK)
			guest_take(r.guest, rows, changed);
		else if (err != NULL)
			error_move(err, &r.err);
		error_clear(&r.err);
	}
	guest_free(r.guest);
	return st;
}

static void
copy(sqlite3 *from, sqlite3 *to)
{
	sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");

	if (b == NULL)
		return;
	sqlite3_backup_step(b, -1);
	sqlite3_backup_finish(b);
}

void
guest_memory_mark(struct guest_memory *m)
{
	if (m->marked == NULL && sqlite3_open(":memory:", &m->marked) != 0) {
		sqlite3_close(m->marked);
		m->marked = NULL;
	} else
		copy(m->conn->db, m->marked);
}

void
guest_memory_back(struct guest_memory *m)
{
	if (m->marked != NULL)
		copy(m->marked, m->conn->db);
}

void
guest_memory_free(struct guest_memory *m)
{
	if (m == NULL)
		return;
	lite_conn_close(m->conn);
	sqlite3_close(m->marked);
	free(m->db.path);
	free(m);
}
