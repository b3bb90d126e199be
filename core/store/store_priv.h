/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_STORE_STORE_PRIV_H
#define CORE_STORE_STORE_PRIV_H

/*
 * What the files of core/store share: requests, rows, and what a driver is.
 *
 * A request is heap memory with two owners, the fiber that waits and the
 * driver that executes.  A fiber that leaves early marks it dropped; the
 * driver then ends it without telling anyone.
 */

#include <stdatomic.h>

#include "core/base/buf.h"
#include "core/base/counter.h"
#include "core/base/hash.h"
#include "core/loop/loop.h"
#include "core/store/guest.h"
#include "core/store/store.h"

#define STORE_ARGS_MAX 64 /* of one statement */
#define STORE_CALLS_MAX 4096 /* of one request */

struct store_call {
	const struct sql *sql;
	unsigned id; /* of the sql */
	int n_args;
	const struct sql_arg *args; /* into the request's own memory */
};

struct store_req {
	struct store_req *next; /* the driver's */
	struct store_req *peer; /* PostgreSQL: the next of the same set */
	bool is_peer; /* it goes with one before it */
	struct loop_msg msg;
	struct store *store;
	struct fiber_wait wait;
	atomic_int refs;
	atomic_bool dropped;
	bool is_write;
	bool is_guarded; /* SQLite: see store_guarded */
	bool done;
	bool alone; /* do not batch: it has failed in company */
	bool timed_out; /* PostgreSQL: its statement, or for want of a lock */
	bool has_nul; /* a text with U+0000 */
	int tries;
	int64_t queued_us;
	uint64_t key; /* hash of the first UUID, 0: none */
	size_t size; /* bytes, for the bound of a batch */
	enum as_status status;
	struct error err;
	struct rows **rows; /* n_calls */
	struct guest *guest; /* instead of calls; see guest.h */
	int n_calls;
	struct store_call calls[];
};

/* A guest's request; its memory is the request's. */
struct guest {
	enum guest_kind kind;
	bool needs_write; /* SQLite: this query writes */
	char prefix[GUEST_PREFIX];
	char *name;
	char **texts; /* filled in and checked */
	char (*hashes)[HASH_TEXT]; /* of the texts as they were given */
	int n_texts;
	struct sql_arg *args;
	int n_args;
	int64_t give_up_us; /* on clock_mono_us */
	struct json_object *rows;
	size_t bytes; /* of the rows so far */
	int64_t changed;
};
/* For that long; guest_free also what fails. */
enum as_status guest_new(const struct guest_call *call, int64_t patience_ms,
    struct guest **out, struct error *err);
/* Only what is done: what it gave is the caller's from here on. */
void guest_take(struct guest *g, struct json_object **rows, int64_t *changed);
void guest_free(struct guest *g); /* NULL does nothing */
/* Counts a row; LIMIT if there are too many. */
enum as_status guest_row_add(struct guest *g, struct json_object *row,
    size_t bytes, struct error *err); /* takes row */
/* Is that step (from 1) done already?  CONFLICT: it was another then. */
enum as_status guest_step_check(const struct guest *g, int step,
    const char *sha256, struct error *err);
int64_t guest_ms_left(const struct guest *g); /* at least 1 */

struct store_driver {
	enum as_status (*open)(const struct store_config *config,
	    struct store_db **out, struct error *err);
	void (*close)(struct store_db *db);
	struct store *(*new)(struct store_db *db, struct loop *loop);
	void (*free)(struct store *store);
	bool (*is_up)(const struct store *store);
	/*
	 * A read that can be answered at once: true, and *st says how.  NULL:
	 * this driver never can.
	 */
	bool (*read_now)(struct store *store, const struct store_call *call,
	    struct rows **out, enum as_status *st, struct error *err);
	/* After the last read_now of a turn.  NULL with it. */
	void (*turn_end)(struct store *store);
	void (*submit)(struct store *store, struct store_req *req);
	/* Blocking, on one connection of its own; any thread. */
	enum as_status (*run)(struct store_db *db, const char *text,
	    const struct sql_arg *args, int n_args, struct rows **out,
	    struct error *err);
	/* Many statements, no answer; on the same connection. */
	enum as_status (
	    *script)(struct store_db *db, const char *text, struct error *err);
	enum as_status (*clock_set)(struct store_db *db, int64_t us);
	/* PostgreSQL's; NULL: nothing of the kind can happen. */
	bool (*is_read_only)(const struct store *store);
	unsigned (*timeline)(const struct store_db *db);
	enum as_status (*look)(struct store *store, struct error *err);
	enum store_standby (*standby)(const struct store_db *db);
};

extern const struct store_driver store_sqlite, store_postgres;

/* The first member of a driver's own. */
struct store_db {
	const struct store_driver *driver;
	enum store_dialect dialect;
	struct store_config config; /* strings owned */
};

struct store {
	struct store_db *db;
	struct loop *loop;
	unsigned n_now; /* reads answered at once in this turn */
	bool hook_queued;
	struct loop_hook now_hook;
};

void store_config_copy(struct store_config *to, const struct store_config *c);
void store_config_free(struct store_config *c);
unsigned store_sql_id(struct sql *sql);
const char *store_sql_text(const struct sql *sql, enum store_dialect d);

/* On the loop's thread: the request has ended; wakes its fiber, if any. */
void store_req_end(struct store_req *r);
/* The same from any thread. */
void store_req_post(struct store_req *r);
void store_req_unref(struct store_req *r);
/* Hands it to the driver and waits; one reference goes. */
SUSPENDS enum as_status store_req_run(struct store *store, struct store_req *r,
    struct rows **out, struct error *err);
/* Forget what an attempt has brought. */
void store_req_reset(struct store_req *r);

/* ---- Errors -------------------------------------------------------- */

enum as_status store_conflict(struct error *err, const char *constraint,
    const char *detail);
/* A write of which nobody knows whether it happened. */
void store_error_unknown(struct error *err);

/* ---- Rows ---------------------------------------------------------- */

/*
 * Cells are added row by row; text and bytes are either copied or, with
 * rows_borrow, stay where `owner` keeps them.
 */
struct rows *rows_new(int n_cols);
void rows_own(struct rows *r, void *owner, void (*fn)(void *));
void rows_add_null(struct rows *r);
void rows_add_int(struct rows *r, int64_t i);
void rows_add_num(struct rows *r, double n);
void rows_add_copy(struct rows *r, enum sql_type type, const void *p,
    size_t len);
void rows_add_ref(struct rows *r, enum sql_type type, const void *p,
    size_t len);
void rows_end(struct rows *r, int64_t affected);

/* ---- Metrics ------------------------------------------------------- */

struct store_metrics {
	struct counter *reads, *reads_now, *writes, *batches, *resent;
	struct counter *reconnects, *up;
	struct histogram *commit, *wait;
};
const struct store_metrics *store_metrics(void);

#endif
