/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/cmd/doctor.h"

/*
 * The facts about a PostgreSQL.  Each question is asked for itself: one that
 * this server or this role has no answer to spoils no other.
 */

#define GUESTS 4 /* connections for statements of plugins */
#define CLOCK_TRIES 5

static const char settings_text
    [] = "SELECT current_setting('server_version_num')::int,"
	 " pg_is_in_recovery(),"
	 " (SELECT reset_val FROM pg_settings"
	 "  WHERE name = 'default_transaction_read_only'),"
	 " current_setting('server_encoding'),"
	 " current_setting('synchronous_commit'),"
	 " current_setting('synchronous_standby_names'),"
	 " (SELECT min(name) FROM pg_settings WHERE setting = 'off' AND name IN"
	 "  ('fsync', 'full_page_writes', 'synchronous_commit')),"
	 " current_setting('max_connections')::int"
	 "  - current_setting('superuser_reserved_connections')::int,"
	 " NOT EXISTS (SELECT 1 FROM pg_settings WHERE setting = 'off'"
	 "  AND name IN ('autovacuum', 'track_counts')),"
	 " (SELECT min(name || ' = ' || reset_val) FROM pg_settings"
	 "  WHERE reset_val <> '0'"
	 "  AND name IN ('idle_session_timeout', 'transaction_timeout'))";

static const char standby_text
    [] = "SELECT CASE WHEN pg_has_role('pg_read_all_stats', 'MEMBER')"
	 "  THEN count(*) ELSE -1 END,"
	 " CASE WHEN pg_has_role('pg_read_all_stats', 'MEMBER')"
	 "  THEN count(*) FILTER (WHERE sync_state IN ('sync', 'quorum'))"
	 "  ELSE -1 END,"
	 " coalesce(max(extract(epoch FROM replay_lag)), 0)::float8"
	 " FROM pg_stat_replication";

static const char sessions_text
    [] = "SELECT (SELECT count(*) FROM pg_stat_activity"
	 "  WHERE backend_type = 'client backend'"
	 "  AND application_name NOT LIKE 'agent-studio%'),"
	 " coalesce((SELECT min(l) FROM (SELECT rolconnlimit AS l FROM pg_roles"
	 "  WHERE rolname = current_user UNION ALL SELECT datconnlimit"
	 "  FROM pg_database WHERE datname = current_database()) x"
	 "  WHERE l >= 0), -1),"
	 " (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),"
	 " (SELECT coalesce(max(age(backend_xmin)), 0) FROM pg_stat_activity),"
	 " (SELECT age(datfrozenxid) FROM pg_database"
	 "  WHERE datname = current_database()),"
	 " (SELECT count(*) FROM pg_replication_slots WHERE NOT active),"
	 " (SELECT count(*) FROM pg_prepared_xacts"
	 "  WHERE prepared < now() - interval '5 minutes')";

static const char idle_text
    [] = "SELECT pid, extract(epoch FROM now() - xact_start)::bigint"
	 " FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
	 " ORDER BY xact_start LIMIT 1";

static const char nodes_text
    [] = "SELECT count(*) FROM nodes WHERE lease_expires_at > now_us()";

/* run_log is only added to. */
static const char rights_text
    [] = "SELECT p || ' on ' || c.relname FROM pg_class c,"
	 " unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p"
	 " WHERE c.relnamespace = current_schema()::regnamespace"
	 " AND c.relkind IN ('r', 'p')"
	 " AND NOT (c.relname = 'run_log' AND p IN ('UPDATE', 'DELETE'))"
	 " AND NOT has_table_privilege(c.oid, p)"
	 " UNION ALL SELECT 'USAGE on ' || c.relname FROM pg_class c"
	 " WHERE c.relnamespace = current_schema()::regnamespace"
	 " AND CASE c.relkind WHEN 'S' THEN NOT has_sequence_privilege(c.oid,"
	 " 'USAGE') END"
	 " LIMIT 1";

static const char
    log_text[] = "SELECT has_table_privilege(oid, 'UPDATE, DELETE, TRUNCATE')"
		 " FROM pg_class WHERE relname = 'run_log'"
		 " AND relnamespace = current_schema()::regnamespace";

struct look {
	struct doctor *d;
	struct store_db *db;
	struct rows *rows[8]; /* the facts point into them */
	int n;
};

/* NULL: no answer, which has been told, or no row. */
static struct rows *
ask(struct look *l, const char *name, const char *text)
{
	struct error err = { 0 };
	struct rows *r = NULL;

	if (store_db_run(l->db, text, NULL, 0, &r, &err) != AS_OK)
		doctor_say(l->d, DOCTOR_WARN, name, "cannot be seen: %s",
		    err.detail);
	error_clear(&err);
	MUST(l->n < (int)N_ITEMS(l->rows));
	l->rows[l->n++] = r;
	return rows_count(r) > 0 ? r : NULL;
}

static bool
look_settings(struct look *l, struct pg_facts *f)
{
	struct rows *r = ask(l, "postgres.settings", settings_text);

	if (r == NULL)
		return false;
	f->version = rows_int(r, 0, 0);
	f->is_standby = rows_bool(r, 0, 1);
	f->is_read_only = strcmp(rows_text(r, 0, 2), "on") == 0;
	f->encoding = rows_text(r, 0, 3);
	f->synchronous_commit = rows_text(r, 0, 4);
	f->standby_names = rows_text(r, 0, 5);
	f->not_durable = rows_text(r, 0, 6);
	f->max_connections = rows_int(r, 0, 7);
	f->autovacuum = rows_bool(r, 0, 8);
	f->idle_setting = rows_text(r, 0, 9);
	return true;
}

static bool
look_sessions(struct look *l, struct pg_facts *f)
{
	struct rows *r = ask(l, "postgres.connections", sessions_text);

	if (r == NULL)
		return false;
	f->others = rows_int(r, 0, 0);
	f->role_limit = rows_int(r, 0, 1);
	f->is_superuser = rows_bool(r, 0, 2);
	f->xmin_age = rows_int(r, 0, 3);
	f->wraparound_age = rows_int(r, 0, 4);
	f->dead_slots = rows_int(r, 0, 5);
	f->prepared = rows_int(r, 0, 6);
	if ((r = ask(l, "postgres.idle", idle_text)) != NULL) {
		f->idle_pid = rows_int(r, 0, 0);
		f->idle_s = rows_int(r, 0, 1);
	}
	return true;
}

static void
look_standbys(struct look *l, struct pg_facts *f)
{
	struct rows *r = ask(l, "postgres.replication", standby_text);

	f->standbys = f->synchronous = -1;
	if (r == NULL)
		return;
	f->standbys = rows_int(r, 0, 0);
	f->synchronous = rows_int(r, 0, 1);
	f->lag_s = rows_num(r, 0, 2);
}

/* A database without tables has nothing of this yet. */
static void
look_tables(struct look *l, struct pg_facts *f)
{
	struct rows *r = ask(l, "postgres.rights", log_text);

	if (r == NULL)
		return;
	f->can_change_log = rows_bool(r, 0, 0);
	if ((r = ask(l, "postgres.rights", rights_text)) != NULL)
		f->lacks = rows_text(r, 0, 0);
	if (f->lacks != NULL && strcmp(f->lacks, "SELECT on nodes") == 0)
		return;
	if ((r = ask(l, "postgres.connections", nodes_text)) != NULL)
		f->processes = rows_int(r, 0, 0);
}

/* The try that was answered first says most. */
static void
look_clock(struct look *l, struct pg_facts *f)
{
	struct rows *r = NULL;
	int64_t sent, got;

	f->skew_error_s = 1e9;
	for (int i = 0; i < CLOCK_TRIES; i++, rows_free(r), r = NULL) {
		sent = clock_wall_us();
		if (store_db_run(l->db,
			"SELECT (extract(epoch FROM clock_timestamp())"
			" * 1000000)::bigint",
			NULL, 0, &r, NULL) != AS_OK)
			continue;
		got = clock_wall_us();
		if ((double)(got - sent) / 2e6 > f->skew_error_s)
			continue;
		f->skew_error_s = (double)(got - sent) / 2e6;
		f->skew_s = (double)(rows_int(r, 0, 0) - (sent + got) / 2) /
			    1e6;
	}
}

static void
need(const struct settings *s, struct pg_facts *f)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	int64_t loops = s->server.loops > 0 ? s->server.loops
			: cores > 0         ? cores
					    : 1;

	/* Of each loop; of the process: its start's, the lock, plugins'. */
	f->per_process = loops * (s->store.readers + s->store.writers) + 2 +
			 GUESTS;
}

void
doctor_pg_look(struct doctor *d, const struct settings *s, struct store_db *db)
{
	struct look l = { .d = d, .db = db };
	struct pg_facts f = { 0 };
	struct error err = { 0 };

	need(s, &f);
	if (store_db_proxy(db, &f.proxy, &err) != AS_OK)
		doctor_say(d, DOCTOR_WARN, "postgres.proxy", "%s", err.detail);
	error_clear(&err);
	look_standbys(&l, &f);
	look_tables(&l, &f);
	look_clock(&l, &f);
	if (look_settings(&l, &f) && look_sessions(&l, &f))
		doctor_pg_judge(d, &f);
	for (int i = 0; i < l.n; i++)
		rows_free(l.rows[i]);
}
