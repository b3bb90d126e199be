/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/store/store_priv.h"

/*
 * Migrations: NNNN_verb_noun.sql in a folder for each dialect, applied in the
 * order of their numbers, each in a transaction with the row that records it.
 *
 * What has landed never changes: its checksum is kept, and a file that differs
 * is refused.  A file says with `-- min_compatible: N` which version of the
 * schema a binary must know to work with the database after it.
 */

#define FILE_MAX (4 * 1024 * 1024)
#define FILES_MAX 9999

struct migration {
	int64_t version;
	int64_t min_compatible;
	char *name; /* of the file */
	char *text;
	char sha256[HASH_TEXT];
};

struct migrations {
	struct migration *v;
	size_t n;
};

/* ---- Files --------------------------------------------------------- */

static bool
name_is_migration(const char *s)
{
	size_t len = strlen(s);

	return len > 9 && strspn(s, "0123456789") == 4 && s[4] == '_' &&
	       strcmp(s + len - 4, ".sql") == 0;
}

static enum as_status
file_read(const char *path, char **out, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat sb;
	ssize_t n = -1;
	char *p = NULL;

	*out = NULL;
	if (fd >= 0 && fstat(fd, &sb) == 0 && sb.st_size <= FILE_MAX) {
		p = xmalloc((size_t)sb.st_size + 1);
		n = read(fd, p, (size_t)sb.st_size);
	}
	if (fd >= 0)
		close(fd);
	if (p == NULL || n != sb.st_size) {
		free(p);
		return error_set(err, ERR_UNAVAILABLE, "cannot read %s: %s",
		    path, strerror(errno));
	}
	p[n] = '\0';
	*out = p;
	return AS_OK;
}

static enum as_status
migration_read(struct migration *m, const char *dir, const char *name,
    struct error *err)
{
	char *path = xasprintf("%s/%s", dir, name);
	enum as_status st = file_read(path, &m->text, err);
	const char *line;
	long long min;

	free(path);
	if (st != AS_OK)
		return st;
	MUST(m->text != NULL);
	m->version = strtoll(name, NULL, 10);
	m->name = xstrdup(name);
	hash_text(m->text, strlen(m->text), m->sha256);
	line = strstr(m->text, "-- min_compatible: ");
	if (line == NULL ||
	    sscanf(line, "-- min_compatible: %lld", &min) != 1 || min < 1 ||
	    min > m->version)
		return error_set(err, ERR_VALIDATION_FAILED,
		    "migration %s: expected a line '-- min_compatible: N' "
		    "with N from 1 to %lld",
		    name, (long long)m->version);
	m->min_compatible = min;
	return AS_OK;
}

static int
migration_compare(const void *a, const void *b)
{
	const struct migration *x = a, *y = b;

	return (x->version > y->version) - (x->version < y->version);
}

static void
migrations_free(struct migrations *ms)
{
	for (size_t i = 0; i < ms->n; i++) {
		free(ms->v[i].name);
		free(ms->v[i].text);
	}
	free(ms->v);
}

static enum as_status
migrations_check(const struct migrations *ms, const char *dir,
    struct error *err)
{
	if (ms->v == NULL || ms->n == 0)
		return error_set(err, ERR_UNAVAILABLE, "no migrations in %s",
		    dir);
	for (size_t i = 0; i < ms->n; i++)
		if (ms->v[i].version != (int64_t)i + 1)
			return error_set(err, ERR_VALIDATION_FAILED,
			    "migrations in %s: expected number %zu, found %s",
			    dir, i + 1, ms->v[i].name);
	return AS_OK;
}

static enum as_status
migrations_load(const char *dir, struct migrations *ms, struct error *err)
{
	DIR *d = opendir(dir);
	enum as_status st = AS_OK;
	struct dirent *e;

	if (d == NULL)
		return error_set(err, ERR_UNAVAILABLE, "cannot read %s: %s",
		    dir, strerror(errno));
	while (st == AS_OK && (e = readdir(d)) != NULL) {
		if (!name_is_migration(e->d_name) || ms->n >= FILES_MAX)
			continue;
		ms->v = xrealloc(ms->v, (ms->n + 1) * sizeof(*ms->v));
		memset(&ms->v[ms->n], 0, sizeof(*ms->v));
		st = migration_read(&ms->v[ms->n++], dir, e->d_name, err);
	}
	closedir(d);
	if (st != AS_OK)
		return st;
	if (ms->n > 0)
		qsort(ms->v, ms->n, sizeof(*ms->v), migration_compare);
	return migrations_check(ms, dir, err);
}

/* ---- The database's side ------------------------------------------- */

static enum as_status
run(struct store_db *db, const char *text, struct rows **out, struct error *err)
{
	return store_db_run(db, text, NULL, 0, out, err);
}

static enum as_status
has_table(struct store_db *db, bool *out, struct error *err)
{
	struct rows *r = NULL;
	enum as_status st;

	st = run(db,
	    db->dialect == STORE_SQLITE
		? "SELECT 1 FROM sqlite_master WHERE name = 'schema_migrations'"
		: "SELECT 1 FROM pg_tables WHERE tablename = "
		  "'schema_migrations' AND schemaname = ANY "
		  "(current_schemas(false))",
	    &r, err);
	*out = rows_count(r) > 0;
	rows_free(r);
	return st;
}

/* What is applied must be what we have, as far as we know it. */
static enum as_status
applied_check(const struct migrations *ms, const struct rows *r,
    struct error *err)
{
	for (int i = 0; i < rows_count(r); i++) {
		int64_t version = rows_int(r, i, 0);
		int64_t min = rows_int(r, i, 3);

		if (min > (int64_t)ms->n)
			return error_set(err, ERR_CONFLICT,
			    "the database is at schema %lld and needs a "
			    "binary that knows at least %lld; this one knows "
			    "%zu: upgrade it",
			    (long long)version, (long long)min, ms->n);
		if (version != i + 1)
			return error_set(err, ERR_CONFLICT,
			    "the database has no migration %d but has %lld",
			    i + 1, (long long)version);
		if (version > (int64_t)ms->n ||
		    strcmp(ms->v[i].sha256, rows_text(r, i, 2)) == 0)
			continue;
		return error_set(err, ERR_CONFLICT,
		    "migration %s was edited after it was applied: restore "
		    "it, or start with an empty database",
		    ms->v[i].name);
	}
	return AS_OK;
}

static enum as_status
applied_count(struct store_db *db, const struct migrations *ms, size_t *n,
    struct error *err)
{
	struct rows *r = NULL;
	bool exists = false;
	enum as_status st;

	*n = 0;
	if ((st = has_table(db, &exists, err)) != AS_OK || !exists)
		return st;
	st = run(db,
	    "SELECT version, name, sha256, min_compatible "
	    "FROM schema_migrations ORDER BY version",
	    &r, err);
	if (st == AS_OK)
		st = applied_check(ms, r, err);
	*n = (size_t)rows_count(r);
	rows_free(r);
	return st;
}

static enum as_status
record(struct store_db *db, const struct migration *m, struct error *err)
{
	struct sql_arg args[] = { SQL_INT(m->version), SQL_TEXT(m->name),
		SQL_TEXT(m->sha256), SQL_INT(m->min_compatible) };

	return store_db_run(db,
	    "INSERT INTO schema_migrations "
	    "(version, name, sha256, applied_at, min_compatible) "
	    "VALUES ($1, $2, $3, now_us(), $4)",
	    args, 4, NULL, err);
}

static enum as_status
apply(struct store_db *db, const struct migration *m, struct error *err)
{
	enum as_status st;

	if ((st = run(db,
		 db->dialect == STORE_SQLITE ? "BEGIN IMMEDIATE" : "BEGIN",
		 NULL, err)) != AS_OK)
		return st;
	st = db->driver->script(db, m->text, err);
	if (st == AS_OK)
		st = record(db, m, err);
	if (st == AS_OK)
		st = run(db, "COMMIT", NULL, err);
	if (st == AS_OK) {
		log_info("store", "applied migration %s", m->name);
		return AS_OK;
	}
	run(db, "ROLLBACK", NULL, NULL);
	log_err("store", "migration %s failed and was rolled back", m->name);
	return st;
}

static enum as_status
apply_all(struct store_db *db, const struct migrations *ms, int *n_applied,
    struct error *err)
{
	enum as_status st;
	size_t n;

	st = run(db,
	    "CREATE TABLE IF NOT EXISTS schema_migrations ("
	    "version bigint PRIMARY KEY, name text NOT NULL, "
	    "sha256 text NOT NULL, applied_at bigint NOT NULL, "
	    "min_compatible bigint NOT NULL)",
	    NULL, err);
	if (st == AS_OK)
		st = applied_count(db, ms, &n, err);
	MUST(ms->v != NULL);
	while (st == AS_OK && n < ms->n) {
		st = apply(db, &ms->v[n++], err);
		if (st == AS_OK)
			++*n_applied;
	}
	return st;
}

/* Two that start at once must not both migrate; SQLite is ours alone. */
#define LOCK_KEY "4731846201"

static enum as_status
migrate(struct store_db *db, const struct migrations *ms, bool check_only,
    int *n_applied, struct error *err)
{
	bool is_pg = db->dialect == STORE_POSTGRES;
	enum as_status st;
	size_t n;

	if ((st = applied_count(db, ms, &n, err)) != AS_OK || n >= ms->n)
		return st;
	MUST(ms->v != NULL);
	if (check_only)
		return error_set(err, ERR_CONFLICT,
		    "%zu migrations are to be applied, the first is %s: run "
		    "agent-studio migrate",
		    ms->n - n, ms->v[n].name);
	if (is_pg)
		st = run(db, "SELECT pg_advisory_lock(" LOCK_KEY ")", NULL,
		    err);
	if (st == AS_OK)
		st = apply_all(db, ms, n_applied, err);
	if (is_pg)
		run(db, "SELECT pg_advisory_unlock(" LOCK_KEY ")", NULL, NULL);
	return st;
}

enum as_status
store_migrate(struct store_db *db, bool check_only, int *n_applied,
    struct error *err)
{
	struct migrations ms = { 0 };
	enum as_status st;
	char *dir;
	int n = 0;

	MUST(db->config.migrations_dir != NULL);
	dir = xasprintf("%s/%s", db->config.migrations_dir,
	    db->dialect == STORE_SQLITE ? "sqlite" : "postgres");
	st = migrations_load(dir, &ms, err);
	if (st == AS_OK)
		st = migrate(db, &ms, check_only, &n, err);
	if (n_applied != NULL)
		*n_applied = n;
	migrations_free(&ms);
	free(dir);
	return st;
}
