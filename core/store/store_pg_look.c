/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_pg.h"

#include <string.h>

#include "core/base/log.h"

/*
 * What the server's settings promise: that a commit is kept, and that it is
 * kept by a second server, too.  The first is looked at when the database is
 * opened, the second again and again, since standbys come and go.
 *
 * Who may not see the standbys takes the setting's word for it: while none is
 * there, commits do not end.
 */

/* 0: no commit waits; 1: it waits for one that is there; 2: for one that is
 * not. */
#define STANDBY \
	"CASE WHEN current_setting('synchronous_standby_names') = ''" \
	" OR current_setting('synchronous_commit') IN ('off', 'local')" \
	" THEN 0" \
	" WHEN NOT pg_has_role('pg_read_all_stats', 'MEMBER') OR EXISTS" \
	" (SELECT 1 FROM pg_stat_replication" \
	" WHERE sync_state IN ('sync', 'quorum'))" \
	" THEN 1 ELSE 2 END"

SQL(STANDBY_LOOK, "SELECT " STANDBY);

static void
warn_unless(const char *name, const char *value, const char *bad)
{
	if (strcmp(value, bad) == 0)
		log_warn("store",
		    "the server has %s = %s: a crash can lose acknowledged "
		    "writes",
		    name, value);
}

static void
standby_set(struct pg_db *db, int64_t found)
{
	static const struct {
		enum store_standby state;
		const char *text;
	} states[] = {
		{ STORE_STANDBY_NONE,
		    "no commit waits for a standby: if the server is lost, so "
		    "are the last ones, and an effect may happen twice" },
		{ STORE_STANDBY_OK, "commits wait for a standby" },
		{ STORE_STANDBY_LOST,
		    "commits wait for a standby, and none is there" },
	};
	int now = (int)states[found].state;

	if (atomic_exchange(&db->standby, now) == now)
		return;
	if (now == STORE_STANDBY_LOST)
		log_warn("store", "%s", states[found].text);
	else
		log_info("store", "%s", states[found].text);
}

enum as_status
pg_look_first(struct pg_db *db, struct error *err)
{
	struct rows *r = NULL;
	enum as_status st = store_postgres.run(&db->base,
	    "SELECT current_setting('synchronous_commit'), "
	    "current_setting('fsync'), "
	    "current_setting('full_page_writes'), " STANDBY,
	    NULL, 0, &r, err);

	if (st == AS_OK) {
		warn_unless("synchronous_commit", rows_text(r, 0, 0), "off");
		warn_unless("fsync", rows_text(r, 0, 1), "off");
		warn_unless("full_page_writes", rows_text(r, 0, 2), "off");
		standby_set(db, rows_int(r, 0, 3));
	}
	rows_free(r);
	return st;
}

SUSPENDS enum as_status
pg_look(struct store *store, struct error *err)
{
	struct rows *r = NULL;
	enum as_status st = store_query(store, &STANDBY_LOOK, NULL, 0, &r, err);

	if (st == AS_OK)
		standby_set(pg_db_of(store->db), rows_int(r, 0, 0));
	rows_free(r);
	return st;
}
