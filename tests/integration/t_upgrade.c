/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/* The log of a database of schema 4, in that of today. */

static char *dir;

/* The migrations from..to of the source, as links. */
static void
files_link(const char *dialect, int from, int to)
{
	char *source = xasprintf("%s/migrations/%s", SRC_DIR, dialect);
	char *file, *link;
	struct dirent *e;
	DIR *d = opendir(source);

	MUST(d != NULL);
	while ((e = readdir(d)) != NULL) {
		int n = atoi(e->d_name);

		if (n < from || n > to)
			continue;
		file = xasprintf("%s/%s", source, e->d_name);
		link = xasprintf("%s/%s/%s", dir, dialect, e->d_name);
		MUST(symlink(file, link) == 0);
		free(file);
		free(link);
	}
	closedir(d);
	free(source);
}

static void
folder_make(const char *dialect)
{
	char *sub = xasprintf("%s/%s", dir, dialect);

	MUST(mkdir(sub, 0700) == 0);
	free(sub);
	files_link(dialect, 1, 4);
}

static int
open_with(int (*open)(void))
{
	dir = env_temp_dir();
	folder_make("sqlite");
	folder_make("postgres");
	env_migrations = dir;
	return open();
}

static int
open_sqlite(void)
{
	return open_with(env_sqlite_open);
}

static int
open_postgres(void)
{
	return open_with(env_postgres_open);
}

static int
close_both(void)
{
	env_close();
	env_remove(dir);
	return 0;
}

#define OK(x) CU_ASSERT_EQUAL_FATAL((x), AS_OK)

static void
run(const char *text)
{
	OK(store_db_run(env.db, text, NULL, 0, NULL, NULL));
}

/* ---- What is there ------------------------------------------------- */

static const struct {
	const char *type, *payload;
} events[] = {
	{ "message_created",
	    "{\"text\":\"a \\\"word\\\", [and] {more}\\u00e4\"}" },
	{ "run_status", "{ \"status\" : \"running\", \"n\":1.50e1}" },
	{ "message_end", "{\"big\":[\"},{\",null,true]}" },
	{ "checkpoint", "{}" },
};

static void
event_add(int i, bool row)
{
	struct sql_arg args[] = { SQL_INT(i + 1), SQL_INT(i + 11),
		SQL_TEXT(events[i].type), SQL_TEXT(events[i].payload),
		SQL_INT(i / 2) };

	OK(store_db_run(env.db,
	    row ? "INSERT INTO run_log (run_id, run_seq, tenant_id, thread_id,"
		  " seq, types, payloads, step, n_events, created_at) SELECT"
		  " id, $1, id, id, $2, '[\"' || $3 || '\"]', '[' || $4 || ']',"
		  " $5, 1, 7 FROM tenants"
		: "INSERT INTO run_events (run_id, run_seq, tenant_id,"
		  " thread_id, seq, type, payload, step, fence, ns, created_at)"
		  " SELECT id, $1, id, id, $2, $3, $4, $5, 3, 'a', 7"
		  " FROM tenants",
	    args, 5, NULL, NULL));
}

static void
events_check(int n)
{
	struct rows *r = NULL;

	OK(store_db_run(env.db,
	    "SELECT e.run_seq, e.seq, e.type, e.payload, e.step, e.created_at,"
	    " e.schema_version FROM run_events e JOIN tenants t ON"
	    " t.id = e.run_id AND t.id = e.thread_id AND t.id = e.tenant_id"
	    " ORDER BY e.seq",
	    NULL, 0, &r, NULL));
	CU_ASSERT_EQUAL_FATAL(rows_count(r), n);
	for (int i = 0; i < n; i++) {
		CU_ASSERT_EQUAL(rows_int(r, i, 0), i + 1);
		CU_ASSERT_EQUAL(rows_int(r, i, 1), i + 11);
		CU_ASSERT_STRING_EQUAL(rows_text(r, i, 2), events[i].type);
		CU_ASSERT_STRING_EQUAL(rows_text(r, i, 3), events[i].payload);
		CU_ASSERT_EQUAL(rows_int(r, i, 4), i / 2);
		CU_ASSERT_EQUAL(rows_int(r, i, 5), 7);
		CU_ASSERT_EQUAL(rows_int(r, i, 6), 1);
	}
	rows_free(r);
}

static int64_t
count(const char *text)
{
	struct rows *r = NULL;
	int64_t n;

	OK(store_db_run(env.db, text, NULL, 0, &r, NULL));
	n = rows_int(r, 0, 0);
	rows_free(r);
	return n;
}

/* ---- Tests --------------------------------------------------------- */

static void
test_kept(void)
{
	if (!env_ready())
		return;
	for (int i = 0; i < 3; i++)
		event_add(i, false);
	run("INSERT INTO checkpoints (thread_id, checkpoint_id, tenant_id,"
	    " run_id, step, source, manifest, created_at)"
	    " SELECT id, id, id, id, 1, 'loop', '{\"messages\":2}', 8"
	    " FROM tenants");
	files_link(env.dialect == STORE_SQLITE ? "sqlite" : "postgres", 5,
	    9999);
	OK(store_migrate(env.db, false, NULL, NULL));
	events_check(3);
	CU_ASSERT_EQUAL(count("SELECT count(*) FROM run_events WHERE fence = 3"
			      " AND ns = 'a' AND task_id IS NULL"),
	    3);
	CU_ASSERT_EQUAL(count("SELECT count(*) FROM checkpoints c JOIN tenants"
			      " t ON t.id = c.thread_id AND t.id = c.run_id"
			      " AND t.id = c.checkpoint_id WHERE step = 1"
			      " AND c.source = 'loop' AND c.created_at = 8"
			      " AND manifest = '{\"messages\":2}'"),
	    1);
}

static void
test_goes_on(void)
{
	bool pg = env.dialect == STORE_POSTGRES;

	if (!env_ready())
		return;
	event_add(3, pg);
	events_check(4);
	log_to_fd(-1);
	CU_ASSERT_NOT_EQUAL(store_db_run(env.db,
				pg ? "DELETE FROM run_log"
				   : "DELETE FROM run_events",
				NULL, 0, NULL, NULL),
	    AS_OK);
	log_to_fd(2);
}

static void
files_forget(const char *dialect)
{
	char *path = xasprintf("%s/%s", dir, dialect);
	struct dirent *e;
	DIR *d = opendir(path);

	MUST(d != NULL);
	while ((e = readdir(d)) != NULL)
		if (atoi(e->d_name) > 4)
			MUST(unlinkat(dirfd(d), e->d_name, 0) == 0);
	closedir(d);
	free(path);
}

/* A binary of schema 4 would write to a table that is not there any more. */
static void
test_older_binary(void)
{
	struct error err = { 0 };

	if (!env_ready())
		return;
	files_forget(env.dialect == STORE_SQLITE ? "sqlite" : "postgres");
	CU_ASSERT_EQUAL(store_migrate(env.db, false, NULL, &err),
	    env.dialect == STORE_POSTGRES ? AS_CONFLICT : AS_OK);
	error_clear(&err);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "what was there is there", test_kept },
		{ "the log goes on", test_goes_on },
		{ "an older binary", test_older_binary },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "sqlite", open_sqlite, close_both, NULL, NULL, tests },
		{ "postgres", open_postgres, close_both, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	log_configure("error");
	return tap_run(suites);
}
