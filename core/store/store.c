/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_priv.h"

#include <pthread.h>
#include <string.h>

#include "core/base/mem.h"

/*
 * The store as fibers see it: a request is copied, handed to the driver of the
 * database, and waited for.  Nothing here knows which database it is.
 *
 * The result decides, not how the wait ended: what is there is used, even if
 * the fiber was cancelled in the same turn.
 */

/* Reads answered without waiting in one turn; then others get their turn. */
#define READS_AT_ONCE 64

void
store_config_copy(struct store_config *to, const struct store_config *c)
{
	*to = *c;
	to->url = xstrdup(c->url);
	if (c->name != NULL)
		to->name = xstrdup(c->name);
	to->migrations_dir = xstrdup(c->migrations_dir);
	if (to->readers == 0)
		to->readers = 2;
	if (to->writers == 0)
		to->writers = 2;
	if (to->batch_max == 0)
		to->batch_max = 64;
	if (to->statement_timeout_ms <= 0)
		to->statement_timeout_ms = 10000;
}

void
store_config_free(struct store_config *c)
{
	free((void *)(uintptr_t)c->url);
	free((void *)(uintptr_t)c->migrations_dir);
	free((void *)(uintptr_t)c->name);
	memset(c, 0, sizeof(*c));
}

enum as_status
store_db_open(const struct store_config *config, struct store_db **out,
    struct error *err)
{
	const char *url = config->url;

	*out = NULL;
	if (url != NULL && strncmp(url, "sqlite:", 7) == 0)
		return store_sqlite.open(config, out, err);
	if (url != NULL && (strncmp(url, "postgres://", 11) == 0 ||
			       strncmp(url, "postgresql://", 13) == 0 ||
			       strchr(url, '=') != NULL))
		return store_postgres.open(config, out, err);
	/* The value may hold a password: it is not shown. */
	return error_set(err, ERR_VALIDATION_FAILED,
	    "store.url: expected sqlite:/path/file.db, "
	    "postgresql://user@host/db or a libpq conninfo string");
}

void
store_db_close(struct store_db *db)
{
	if (db != NULL)
		db->driver->close(db);
}

enum store_dialect
store_db_dialect(const struct store_db *db)
{
	return db->dialect;
}

enum as_status
store_db_run(struct store_db *db, const char *text, const struct sql_arg *args,
    int n_args, struct rows **out, struct error *err)
{
	struct rows *rows = NULL;
	enum as_status st;

	if (out != NULL)
		*out = NULL;
	st = db->driver->run(db, text, args, n_args, &rows, err);
	if (st == AS_OK && out != NULL)
		*out = rows;
	else
		rows_free(rows);
	return st;
}

enum as_status
store_clock_set(struct store_db *db, int64_t us)
{
	return db->driver->clock_set(db, us);
}

struct store *
store_new(struct store_db *db, struct loop *loop)
{
	return db->driver->new (db, loop);
}

void
store_free(struct store *store)
{
	if (store != NULL)
		store->db->driver->free(store);
}

enum store_dialect
store_dialect(const struct store *store)
{
	return store->db->dialect;
}

bool
store_is_up(const struct store *store)
{
	return store->db->driver->is_up(store);
}

const char *
store_condition(const struct store *store)
{
	const struct store_db *db = store->db;

	if (store_is_up(store))
		return "ok";
	return db->driver->is_read_only != NULL &&
		       db->driver->is_read_only(store)
		   ? "read_only"
		   : "down";
}

unsigned
store_db_timeline(const struct store_db *db)
{
	return db->driver->timeline != NULL ? db->driver->timeline(db) : 0;
}

unsigned
store_timeline(const struct store *store)
{
	return store_db_timeline(store->db);
}

enum store_standby
store_standby(const struct store *store)
{
	const struct store_db *db = store->db;

	return db->driver->standby != NULL ? db->driver->standby(db)
					   : STORE_STANDBY_NONE_NEEDED;
}

SUSPENDS enum as_status
store_look(struct store *store, struct error *err)
{
	return store->db->driver->look != NULL
		   ? store->db->driver->look(store, err)
		   : AS_OK;
}

const char *
store_sql_text(const struct sql *sql, enum store_dialect d)
{
	if (sql->text != NULL)
		return sql->text;
	return d == STORE_SQLITE ? sql->sqlite : sql->postgres;
}

/* Statements are shared by the threads of all loops, so is their numbering. */
unsigned
store_sql_id(struct sql *sql)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static unsigned last;
	unsigned id = __atomic_load_n(&sql->id_, __ATOMIC_ACQUIRE);

	if (id != 0)
		return id;
	pthread_mutex_lock(&lock);
	id = __atomic_load_n(&sql->id_, __ATOMIC_RELAXED);
	if (id == 0) {
		id = ++last;
		__atomic_store_n(&sql->id_, id, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&lock);
	return id;
}

/* ---- Requests ------------------------------------------------------ */

static size_t
arg_size(const struct sql_arg *a)
{
	if (a->type == SQL_TYPE_TEXT || a->type == SQL_TYPE_BYTES)
		return a->len + 1;
	return 0;
}

static uint64_t
arg_key(const struct sql_arg *a)
{
	uint64_t key;

	/* The random half of a UUIDv7. */
	memcpy(&key, a->v.u.b + 8, sizeof(key));
	return key == 0 ? 1 : key;
}

static char *
req_copy_arg(struct store_req *r, struct sql_arg *to,
    const struct sql_arg *from, char *mem)
{
	size_t size = arg_size(from);

	*to = *from;
	if (size == 0)
		return mem;
	if (from->len > 0)
		memcpy(mem, from->v.p, from->len);
	if (from->type == SQL_TYPE_TEXT && memchr(mem, 0, from->len) != NULL)
		r->has_nul = true;
	mem[from->len] = '\0';
	to->v.p = mem;
	return mem + size;
}

static void
req_copy(struct store_req *r, const struct sql_call *calls, int n_calls,
    struct sql_arg *arg, char *mem)
{
	for (int i = 0; i < n_calls; i++) {
		struct store_call *c = &r->calls[i];

		c->sql = calls[i].sql;
		c->id = store_sql_id(calls[i].sql);
		c->n_args = calls[i].n_args;
		c->args = arg;
		for (int j = 0; j < c->n_args; j++, arg++) {
			mem = req_copy_arg(r, arg, &calls[i].args[j], mem);
			if (r->key == 0 && arg->type == SQL_TYPE_UUID)
				r->key = arg_key(arg);
		}
	}
}

/* One allocation: the request, its calls, rows, arguments, and their bytes. */
static struct store_req *
req_new(struct store *store, bool is_write, const struct sql_call *calls,
    int n_calls)
{
	size_t n = (size_t)n_calls, n_args = 0, bytes = 0, size;
	struct store_req *r;
	char *mem;

	MUST(n_calls > 0 && n_calls <= STORE_CALLS_MAX);
	for (size_t i = 0; i < n; i++) {
		MUST(calls[i].n_args >= 0 && calls[i].n_args <= STORE_ARGS_MAX);
		for (int j = 0; j < calls[i].n_args; j++, n_args++)
			bytes += arg_size(&calls[i].args[j]);
	}
	size = sizeof(*r) + n * (sizeof(struct store_call) + sizeof(void *)) +
	       n_args * sizeof(struct sql_arg);
	r = xmalloc(size + bytes);
	memset(r, 0, sizeof(*r));
	mem = (char *)r + sizeof(*r) + n * sizeof(struct store_call);
	r->rows = memset(mem, 0, n * sizeof(void *));
	mem += n * sizeof(void *);
	r->n_calls = n_calls;
	r->size = size + bytes;
	r->store = store;
	r->is_write = is_write;
	atomic_init(&r->refs, 2);
	atomic_init(&r->dropped, false);
	req_copy(r, calls, n_calls, (struct sql_arg *)(void *)mem,
	    (char *)r + size);
	return r;
}

void
store_req_reset(struct store_req *r)
{
	for (int i = 0; i < r->n_calls; i++) {
		rows_free(r->rows[i]);
		r->rows[i] = NULL;
	}
	error_clear(&r->err);
	r->status = AS_OK;
	r->peer = NULL;
	r->is_peer = false;
	r->timed_out = false;
}

void
store_req_unref(struct store_req *r)
{
	if (atomic_fetch_sub(&r->refs, 1) > 1)
		return;
	store_req_reset(r);
	guest_free(r->guest);
	free(r);
}

void
store_req_end(struct store_req *r)
{
	r->done = true;
	if (!atomic_load(&r->dropped))
		fiber_wake(r->wait);
	store_req_unref(r);
}

static void
req_delivered(struct loop_msg *m)
{
	store_req_end(container_of(m, struct store_req, msg));
}

void
store_req_post(struct store_req *r)
{
	if (atomic_load(&r->dropped)) {
		store_req_unref(r);
		return;
	}
	r->msg.fn = req_delivered;
	loop_post(r->store->loop, &r->msg);
}

static void
req_take(struct store_req *r, struct rows **out)
{
	if (out == NULL || r->status != AS_OK)
		return;
	for (int i = 0; i < r->n_calls; i++) {
		out[i] = r->rows[i];
		r->rows[i] = NULL;
	}
}

/* What PostgreSQL would cut at the U+0000 and SQLite would not. */
static enum as_status
req_refuse_nul(struct store_req *r, struct error *err)
{
	atomic_store(&r->refs, 1); /* no driver has seen it */
	store_req_unref(r);
	return error_set(err, ERR_VALIDATION_FAILED, "a text contains U+0000");
}

/* Until it is done, or the fiber must leave. */
SUSPENDS static enum fiber_exit
req_wait(struct store *store, struct store_req *r)
{
	uint64_t at = loop_now_ms(store->loop) +
		      (uint64_t)store->db->config.statement_timeout_ms;
	enum fiber_exit x = FIBER_WOKEN;

	r->wait = fiber_prepare();
	store->db->driver->submit(store, r);
	while (!r->done && x == FIBER_WOKEN) {
		x = fiber_suspend(at);
		if (!r->done && x == FIBER_WOKEN)
			r->wait = fiber_prepare();
	}
	return x;
}

SUSPENDS enum as_status
store_req_run(struct store *store, struct store_req *r, struct rows **out,
    struct error *err)
{
	const struct store_metrics *m = store_metrics();
	bool is_write = r->is_write;
	enum fiber_exit x;
	enum as_status st;

	if (r->has_nul)
		return req_refuse_nul(r, err);
	counter_add(is_write ? m->writes : m->reads, 1);
	x = req_wait(store, r);
	if (r->done) {
		st = r->status;
		req_take(r, out);
		if (st != AS_OK && err != NULL)
			error_move(err, &r->err);
		store_req_unref(r);
		return st;
	}
	atomic_store(&r->dropped, true);
	store_req_unref(r);
	st = fiber_exit_status(x, err);
	if (is_write)
		store_error_unknown(err);
	return st;
}

/* ---- Public -------------------------------------------------------- */

static void
reads_new_turn(struct loop_hook *h)
{
	struct store *s = container_of(h, struct store, now_hook);

	s->hook_queued = false;
	s->n_now = 0;
	s->db->driver->turn_end(s);
}

/* A fiber that reads in a long loop must not keep the loop to itself. */
SUSPENDS static enum as_status
reads_pace(struct store *store, struct error *err)
{
	if (fiber_is_canceled())
		return fiber_exit_status(FIBER_CANCELED, err);
	if (store->n_now >= READS_AT_ONCE)
		return fiber_exit_status(fiber_yield(), err);
	store->n_now++;
	if (!store->hook_queued) {
		store->hook_queued = true;
		store->now_hook.fn = reads_new_turn;
		loop_at_turn_end(store->loop, &store->now_hook);
	}
	return AS_OK;
}

SUSPENDS static enum as_status
read_now(struct store *store, struct sql *sql, const struct sql_arg *args,
    int n_args, struct rows **out, bool *done, struct error *err)
{
	struct store_call call = { sql, store_sql_id(sql), n_args, args };
	enum as_status st;

	*done = true;
	if ((st = reads_pace(store, err)) != AS_OK)
		return st;
	*done = store->db->driver->read_now(store, &call, out, &st, err);
	if (*done)
		counter_add(store_metrics()->reads_now, 1);
	return st;
}

SUSPENDS enum as_status
store_query(struct store *store, struct sql *sql, const struct sql_arg *args,
    int n_args, struct rows **out, struct error *err)
{
	struct sql_call call = { sql, args, n_args };
	enum as_status st;
	bool done;

	*out = NULL;
	MUST(fiber_self() != NULL);
	if (store->db->driver->read_now != NULL) {
		st = read_now(store, sql, args, n_args, out, &done, err);
		if (done)
			return st;
	}
	return store_req_run(store, req_new(store, false, &call, 1), out, err);
}

SUSPENDS enum as_status
store_exec(struct store *store, struct sql *sql, const struct sql_arg *args,
    int n_args, struct rows **out, struct error *err)
{
	struct sql_call call = { sql, args, n_args };

	return store_batch(store, &call, 1, out, err);
}

static enum as_status
refuse_write(struct error *err)
{
	return error_set(err, ERR_FORBIDDEN,
	    "the database was opened for reading only");
}

SUSPENDS enum as_status
store_batch(struct store *store, const struct sql_call *calls, int n_calls,
    struct rows **out, struct error *err)
{
	MUST(fiber_self() != NULL);
	for (int i = 0; out != NULL && i < n_calls; i++)
		out[i] = NULL;
	if (store->db->config.read_only)
		return refuse_write(err);
	return store_req_run(store, req_new(store, true, calls, n_calls), out,
	    err);
}

SUSPENDS enum as_status
store_guarded(struct store *store, const struct sql_call *calls, int n_calls,
    struct error *err)
{
	struct store_req *r;

	MUST(fiber_self() != NULL && store_dialect(store) == STORE_SQLITE);
	if (store->db->config.read_only)
		return refuse_write(err);
	r = req_new(store, true, calls, n_calls);
	r->is_guarded = true;
	return store_req_run(store, r, NULL, err);
}
