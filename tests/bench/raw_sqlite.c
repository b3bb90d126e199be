/* SPDX-License-Identifier: Apache-2.0 */
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/*
 * The yardstick of the store on SQLite: the rows that the host has written for
 * chat turns, read from its database and written again in the same order to a
 * new one with the same schema by a plain loop.  A turn is its rows and, for each message, one
 * compare-and-set of its run and one update of its thread, as each commit of
 * the engine has them; 50 messages, with what belongs to them, are a
 * commit.  WAL, synchronous=FULL, foreign keys on, one thread.  Prints
 * "turns N", "rows_per_turn N", "turns_per_second N" and "turn_cpu_us N".
 *
 * usage: raw_sqlite SOURCE NEW
 */

enum {
	BATCH = 50,
	TURNS = 3000
};

/* Parents first; those without a run are copied before the clock starts. */
static const char *const parents[] = { "tenants", "users", "agents",
	"agent_toolkits", "threads" };
static const char *const children[] = { "messages", "run_events", "checkpoints",
	"tool_invocations" };

static sqlite3 *db;

static void
must(int rc, const char *what)
{
	if (rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW)
		return;
	fprintf(stderr, "raw_sqlite: %s: %s\n", what, sqlite3_errmsg(db));
	exit(1);
}

static void
run_sql(const char *sql)
{
	must(sqlite3_exec(db, sql, NULL, NULL, NULL), sql);
}

static sqlite3_stmt *
prepare(const char *sql)
{
	sqlite3_stmt *st;

	must(sqlite3_prepare_v2(db, sql, -1, &st, NULL), sql);
	return st;
}

static bool
table_exists(const char *name)
{
	sqlite3_stmt *st = prepare(
	    "SELECT 1 FROM old.sqlite_master WHERE type = 'table' "
	    "AND name = ?1");
	bool yes;

	sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
	yes = sqlite3_step(st) == SQLITE_ROW;
	sqlite3_finalize(st);
	return yes;
}

static void
schema_copy(void)
{
	sqlite3_stmt *st = prepare(
	    "SELECT sql FROM old.sqlite_master WHERE sql IS NOT NULL "
	    "AND name NOT LIKE 'sqlite_%' AND type IN ('table', 'index') "
	    "ORDER BY type DESC, rowid");

	while (sqlite3_step(st) == SQLITE_ROW)
		run_sql((const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
}

/* One row that is to be written: its statement and its values. */
struct row {
	sqlite3_stmt *insert;
	sqlite3_value **values;
	int n;
	bool is_message;
	sqlite3_int64 at; /* when it was written */
	size_t place; /* among those of its time */
};

static struct row *rows;
static size_t n_rows, room;

static sqlite3_stmt *
insert_prepare(const char *table, int n)
{
	char sql[1024];
	int at = snprintf(sql, sizeof(sql), "INSERT INTO main.%s VALUES (",
	    table);

	for (int i = 1; i <= n; i++)
		at += snprintf(sql + at, sizeof(sql) - (size_t)at, "%s?%d",
		    i > 1 ? "," : "", i);
	snprintf(sql + at, sizeof(sql) - (size_t)at, ")");
	return prepare(sql);
}

static void
row_add(sqlite3_stmt *select, sqlite3_stmt *insert, int at, bool is_message)
{
	struct row *r;

	if (n_rows == room) {
		room = room == 0 ? 4096 : 2 * room;
		if ((rows = realloc(rows, room * sizeof(*rows))) == NULL)
			exit(1);
	}
	r = &rows[n_rows];
	r->place = n_rows++;
	r->at = sqlite3_column_int64(select, at);
	r->insert = insert;
	r->n = sqlite3_column_count(select);
	r->values = calloc((size_t)r->n, sizeof(sqlite3_value *));
	r->is_message = is_message;
	for (int i = 0; i < r->n; i++)
		r->values[i] = sqlite3_value_dup(
		    sqlite3_column_value(select, i));
}

struct table {
	sqlite3_stmt *select, *insert;
	int at; /* the column created_at */
};

static struct table
table_open(const char *name, const char *by)
{
	struct table t;
	char sql[256];

	snprintf(sql, sizeof(sql), "SELECT * FROM old.%s WHERE %s = ?1", name,
	    by);
	t.select = prepare(sql);
	t.insert = insert_prepare(name, sqlite3_column_count(t.select));
	t.at = 0;
	while (strcmp(sqlite3_column_name(t.select, t.at), "created_at") != 0)
		t.at++;
	return t;
}

static void
table_load(struct table *t, sqlite3_value *run, bool is_message)
{
	sqlite3_bind_value(t->select, 1, run);
	while (sqlite3_step(t->select) == SQLITE_ROW)
		row_add(t->select, t->insert, t->at, is_message);
	sqlite3_reset(t->select);
}

/* The runs of many threads were written side by side. */
static int
row_compare(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return (x->place > y->place) - (x->place < y->place);
}

static int
turns_load(void)
{
	struct table tables[1 + sizeof(children) / sizeof(*children)];
	sqlite3_stmt *ids = prepare("SELECT id FROM old.runs "
				    "WHERE status = 'succeeded' LIMIT ?1");
	int n_tables = 0, n_turns = 0;

	tables[n_tables++] = table_open("runs", "id");
	for (size_t i = 0; i < sizeof(children) / sizeof(*children); i++)
		tables[n_tables++] = table_open(children[i], "run_id");
	sqlite3_bind_int(ids, 1, TURNS);
	while (sqlite3_step(ids) == SQLITE_ROW) {
		sqlite3_value *id = sqlite3_value_dup(
		    sqlite3_column_value(ids, 0));

		for (int i = 0; i < n_tables; i++)
			table_load(&tables[i], id, i == 1);
		sqlite3_value_free(id);
		n_turns++;
	}
	sqlite3_finalize(ids);
	qsort(rows, n_rows, sizeof(*rows), row_compare);
	return n_turns;
}

/* By the column of a message that has the id. */
static void
row_step(sqlite3_stmt *update, const struct row *message, int column)
{
	sqlite3_bind_value(update, 1, message->values[column]);
	must(sqlite3_step(update), "compare-and-set");
	must(sqlite3_reset(update), "reset");
	if (sqlite3_changes(db) != 1) {
		fprintf(stderr, "raw_sqlite: a compare-and-set missed\n");
		exit(1);
	}
}

static void
rows_write(void)
{
	sqlite3_stmt *update = prepare(
	    "UPDATE main.runs SET step = step + 1, version = version + 1, "
	    "last_commit_id = randomblob(16) WHERE id = ?1 "
	    "AND status = 'succeeded' AND fence >= 0");
	sqlite3_stmt *move = prepare(
	    "UPDATE main.threads SET head_seq = head_seq + 3, "
	    "next_msg_seq = next_msg_seq + 1, version = version + 1, "
	    "updated_at = updated_at + 1 WHERE id = ?1");
	int n = 0;

	run_sql("BEGIN IMMEDIATE");
	for (size_t i = 0; i < n_rows; i++) {
		struct row *r = &rows[i];

		for (int v = 0; v < r->n; v++)
			sqlite3_bind_value(r->insert, v + 1, r->values[v]);
		must(sqlite3_step(r->insert), "insert");
		must(sqlite3_reset(r->insert), "reset");
		if (!r->is_message)
			continue;
		row_step(update, r, 4); /* its run */
		row_step(move, r, 2); /* its thread */
		if (++n % BATCH == 0)
			run_sql("COMMIT; BEGIN IMMEDIATE");
	}
	run_sql("COMMIT");
}

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double
cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

int
main(int argc, char **argv)
{
	char sql[512];
	double start, cpu;
	int n;

	if (argc != 3 || sqlite3_open(argv[2], &db) != SQLITE_OK) {
		fprintf(stderr, "usage: raw_sqlite SOURCE NEW\n");
		return 1;
	}
	run_sql("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
	snprintf(sql, sizeof(sql), "ATTACH '%.400s' AS old", argv[1]);
	run_sql(sql);
	schema_copy();
	for (size_t i = 0; i < sizeof(parents) / sizeof(*parents); i++) {
		if (!table_exists(parents[i]))
			continue;
		snprintf(sql, sizeof(sql),
		    "INSERT INTO main.%s SELECT * FROM old.%s", parents[i],
		    parents[i]);
		run_sql(sql);
	}
	run_sql("PRAGMA foreign_keys = ON");
	n = turns_load();
	if (n == 0) {
		fprintf(stderr, "raw_sqlite: no chat turns in %s\n", argv[1]);
		return 1;
	}
	start = now();
	cpu = cpu_us();
	rows_write();
	printf("turns %d\nrows_per_turn %.1f\nturns_per_second %.0f\n", n,
	    (double)n_rows / n, n / (now() - start));
	printf("turn_cpu_us %.1f\n", (cpu_us() - cpu) / n);
	return 0;
}
