/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"

/*
 * The SQLite database of a process: locked for it alone, in WAL mode with
 * synchronous=FULL, one writer thread and a few readers shared by all loops.
 */

static enum as_status
lock_refused(const char *path, int fd, struct error *err)
{
	char pid[24] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	pid[n > 0 ? (size_t)n : 0] = '\0';
	pid[strcspn(pid, "\n")] = '\0';
	return error_set(err, ERR_CONFLICT,
	    "%s is in use by process %s; SQLite serves one process: stop it, "
	    "or use PostgreSQL",
	    path, pid[0] == '\0' ? "(unknown)" : pid);
}

/* One process a database: the lock file names it. */
static enum as_status
lock_take(struct lite_db *db, struct error *err)
{
	char *name = xasprintf("%s.lock", db->path);
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char pid[24];
	int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	enum as_status st = AS_OK;

	if (fd < 0)
		st = error_set(err, ERR_UNAVAILABLE, "cannot open %s: %s", name,
		    strerror(errno));
	else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
		st = lock_refused(db->path, fd, err);
	else if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)n, 0) != n)
		st = error_set(err, ERR_UNAVAILABLE, "cannot write %s: %s",
		    name, strerror(errno));
	if (st == AS_OK)
		db->lock_fd = fd;
	else if (fd >= 0)
		close(fd);
	free(name);
	return st;
}

/* Made by us, so that others cannot read it. */
static void
file_create(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
}

/* A setting that did not take would cost acknowledged writes: say so. */
static enum as_status
check_durable(struct lite_db *db, struct error *err)
{
	struct rows *rows = NULL;
	enum as_status st;

	st = lite_once(db->admin, "PRAGMA journal_mode", NULL, 0, &rows, err);
	if (st == AS_OK && strcmp(rows_text(rows, 0, 0), "wal") != 0)
		st = error_set(err, ERR_UNAVAILABLE,
		    "%s: no write-ahead log here (journal mode is %s); "
		    "put the data folder on a local disk",
		    db->path, rows_text(rows, 0, 0));
	rows_free(rows);
	rows = NULL;
	if (st == AS_OK)
		st = lite_once(db->writer_conn, "PRAGMA synchronous", NULL, 0,
		    &rows, err);
	if (st == AS_OK && rows_int(rows, 0, 0) < 2)
		log_warn("store",
		    "%s: synchronous is not FULL: a power loss can lose "
		    "acknowledged writes",
		    db->path);
	rows_free(rows);
	return st;
}

static void
db_close(struct store_db *base)
{
	struct lite_db *db = lite_db_of(base);

	pthread_mutex_lock(&db->lock);
	atomic_store(&db->stopping, true);
	pthread_cond_broadcast(&db->writes.more);
	pthread_cond_broadcast(&db->reads.more);
	pthread_mutex_unlock(&db->lock);
	if (db->writer_conn != NULL)
		pthread_join(db->writer, NULL);
	for (unsigned i = 0; i < db->n_readers; i++)
		pthread_join(db->readers[i], NULL);
	lite_conn_close(db->guest_conn);
	lite_conn_close(db->writer_conn);
	lite_conn_close(db->admin); /* the last one checkpoints */
	if (db->lock_fd >= 0)
		close(db->lock_fd);
	lite_queue_fini(&db->writes);
	lite_queue_fini(&db->reads);
	pthread_cond_destroy(&db->ended);
	pthread_mutex_destroy(&db->lock);
	pthread_mutex_destroy(&db->admin_lock);
	store_config_free(&db->base.config);
	free(db->path);
	free(db);
}

static enum as_status
writer_start(struct lite_db *db, struct error *err)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&db->writer, NULL, lite_writer_main, db);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc == 0)
		return AS_OK;
	lite_conn_close(db->writer_conn);
	db->writer_conn = NULL;
	return error_set(err, ERR_UNAVAILABLE,
	    "cannot start the writer thread: %s", strerror(rc));
}

static enum as_status
db_start(struct lite_db *db, struct error *err)
{
	enum as_status st;

	/* No lock, no writer: whoever has the lock may be at work. */
	if (db->base.config.read_only)
		return lite_conn_open(db, LITE_ADMIN, &db->admin, err);
	if ((st = lock_take(db, err)) != AS_OK)
		return st;
	file_create(db->path);
	if ((st = lite_conn_open(db, LITE_ADMIN, &db->admin, err)) != AS_OK ||
	    (st = lite_conn_open(db, LITE_WRITER, &db->writer_conn, err)) !=
		AS_OK)
		return st;
	if ((st = writer_start(db, err)) != AS_OK)
		return st;
	return check_durable(db, err);
}

static enum as_status
db_open(const struct store_config *config, struct store_db **out,
    struct error *err)
{
	struct lite_db *db = xcalloc(1, sizeof(*db));
	enum as_status st;

	/* Statistics that nobody reads would cost a lock an allocation. */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	db->base.driver = &store_sqlite;
	db->base.dialect = STORE_SQLITE;
	store_config_copy(&db->base.config, config);
	if (db->base.config.readers > LITE_READERS_MAX)
		db->base.config.readers = LITE_READERS_MAX;
	db->path = xstrdup(config->url + strlen("sqlite:"));
	db->lock_fd = -1;
	atomic_init(&db->up, true);
	pthread_mutex_init(&db->lock, NULL);
	pthread_mutex_init(&db->admin_lock, NULL);
	pthread_cond_init(&db->ended, NULL);
	lite_queue_init(&db->writes);
	lite_queue_init(&db->reads);
	st = db_start(db, err);
	counter_set(store_metrics()->up, st == AS_OK);
	if (st == AS_OK)
		*out = &db->base;
	else
		db_close(&db->base);
	return st;
}

/* ---- A loop's view ------------------------------------------------- */

static struct store *
lite_new(struct store_db *base, struct loop *loop)
{
	struct lite_store *s = xcalloc(1, sizeof(*s));
	struct error err = { 0 };

	s->base.db = base;
	s->base.loop = loop;
	if (lite_conn_open(lite_db_of(base), LITE_LOOP, &s->conn, &err) !=
	    AS_OK)
		log_warn("store", "no reads on the loop: %s", err.detail);
	error_clear(&err);
	return &s->base;
}

/* Fibers have ended, so what still waits is dropped. */
static void
queue_purge(struct lite_queue *q, struct lite_store *s)
{
	struct store_req **p = &q->head, *r;

	while ((r = *p) != NULL) {
		if (r->store != &s->base) {
			p = &r->next;
			continue;
		}
		*p = r->next;
		q->n--;
		s->n_open--;
		store_req_unref(r);
	}
	q->tail = p;
}

static void
lite_free(struct store *base)
{
	struct lite_store *s = lite_store_of(base);
	struct lite_db *db = lite_db_of(base->db);

	pthread_mutex_lock(&db->lock);
	queue_purge(&db->writes, s);
	queue_purge(&db->reads, s);
	while (s->n_open > 0)
		pthread_cond_wait(&db->ended, &db->lock);
	pthread_mutex_unlock(&db->lock);
	loop_hook_clear(base->loop, &base->now_hook);
	lite_conn_close(s->conn);
	free(s);
}

static bool
lite_is_up(const struct store *store)
{
	return atomic_load(&lite_db_of(store->db)->up);
}

static void
lite_submit(struct store *store, struct store_req *r)
{
	struct lite_db *db = lite_db_of(store->db);

	if (r->is_write)
		lite_push(db, &db->writes, r);
	else
		lite_read(db, r);
}

/* ---- Blocking ------------------------------------------------------ */

static enum as_status
lite_run_blocking(struct store_db *base, const char *text,
    const struct sql_arg *args, int n_args, struct rows **out,
    struct error *err)
{
	struct lite_db *db = lite_db_of(base);
	enum as_status st;

	MUST(n_args <= STORE_ARGS_MAX);
	pthread_mutex_lock(&db->admin_lock);
	st = lite_once(db->admin, text, args, n_args, out, err);
	atomic_fetch_add(&db->blocking_runs, 1);
	pthread_mutex_unlock(&db->admin_lock);
	return st;
}

/* A migration: it may write what SQLite keeps as the text of a table. */
static enum as_status
lite_run_script(struct store_db *base, const char *text, struct error *err)
{
	struct lite_db *db = lite_db_of(base);
	enum as_status st;

	pthread_mutex_lock(&db->admin_lock);
	sqlite3_db_config(db->admin->db, SQLITE_DBCONFIG_DEFENSIVE, 0,
	    (int *)NULL);
	st = lite_script(db->admin, text, err);
	sqlite3_db_config(db->admin->db, SQLITE_DBCONFIG_DEFENSIVE, 1,
	    (int *)NULL);
	pthread_mutex_unlock(&db->admin_lock);
	return st;
}

static enum as_status
lite_clock_set(struct store_db *base, int64_t us)
{
	atomic_store(&lite_db_of(base)->clock, us);
	return AS_OK;
}

const struct store_driver store_sqlite = {
	.open = db_open,
	.close = db_close,
	.new = lite_new,
	.free = lite_free,
	.is_up = lite_is_up,
	.read_now = lite_read_now,
	.turn_end = lite_turn_end,
	.submit = lite_submit,
	.run = lite_run_blocking,
	.script = lite_run_script,
	.clock_set = lite_clock_set,
};
