/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_STORE_STORE_SQLITE_H
#define CORE_STORE_STORE_SQLITE_H

/*
 * The SQLite driver's own types.
 *
 * lite_conn is one connection and belongs to one thread at a time: the writer
 * thread's, one for each reader thread, one for each loop (short reads), and
 * one for blocking use under a mutex.
 */

#include <pthread.h>
#include <sqlite3.h>

#include "core/store/store_priv.h"

enum lite_role {
	LITE_WRITER = 1,
	LITE_READER,
	LITE_LOOP,
	LITE_ADMIN,
	LITE_GUEST /* a thread's second one, for the statements of plugins */
};

struct lite_stmt {
	sqlite3_stmt *st;
	const struct sql *sql;
	int n_params;
	unsigned char index[STORE_ARGS_MAX]; /* of $i+1; 0: not in the text */
	unsigned skip; /* LITE_LOOP: reads to leave to the readers */
	unsigned penalty;
};

struct lite_conn {
	sqlite3 *db;
	enum lite_role role;
	bool read_only;
	struct lite_stmt *stmts; /* by id of the sql */
	unsigned n_stmts;
	const _Atomic int64_t *clock;
	int64_t now; /* of the running statement; 0: not asked yet */
	int steps_left; /* LITE_LOOP */
	bool out_of_steps;
	unsigned snapshot; /* LITE_LOOP: blocking_runs when it was taken */
	const atomic_bool *dropped; /* LITE_READER: nobody waits any more */
	int64_t timeout_us; /* LITE_READER, LITE_WRITER: of one statement */
	int64_t give_up_us;
	const struct guest *guest; /* LITE_GUEST: whose statement is compiled */
	bool guest_defines; /* it creates or changes tables */
	bool guest_creates; /* which may read rows */
};

struct lite_queue {
	pthread_cond_t more;
	struct store_req *head, **tail;
	unsigned n;
	unsigned idle; /* threads that wait */
	bool after_guest; /* the last that was taken was a guest's */
};

#define LITE_READERS_MAX 16

struct lite_db {
	struct store_db base;
	char *path;
	int lock_fd;
	_Atomic int64_t clock;
	atomic_bool up;
	atomic_bool stopping;
	pthread_mutex_t lock; /* of the queues and what follows */
	pthread_cond_t ended; /* a request has left a thread */
	struct lite_queue writes, reads;
	pthread_t writer;
	pthread_t readers[LITE_READERS_MAX];
	unsigned n_readers;
	atomic_uint blocking_runs; /* counts them, see lite_read_now */
	pthread_mutex_t admin_lock;
	struct lite_conn *admin;
	struct lite_conn *writer_conn;
	struct lite_conn *guest_conn; /* the writer thread's; NULL: not yet */
};

struct lite_store {
	struct store base;
	struct lite_conn
	    *conn; /* for reads on the loop; NULL: could not open */
	unsigned n_open; /* requests that threads have; under db->lock */
};

static inline struct lite_db *
lite_db_of(struct store_db *db)
{
	return (struct lite_db *)(void *)db;
}

static inline struct lite_store *
lite_store_of(struct store *store)
{
	return (struct lite_store *)(void *)store;
}

/* Tests only, before the database is opened. */
struct lite_test {
	const char *vfs;
	const char *synchronous; /* instead of FULL */
};
extern struct lite_test lite_test;

/* store_sqlite_conn.c */
enum as_status lite_conn_open(struct lite_db *db, enum lite_role role,
    struct lite_conn **out, struct error *err);
void lite_conn_close(struct lite_conn *c); /* NULL does nothing */
/* out may be NULL: then no rows are made. */
enum as_status lite_call(struct lite_conn *c, const struct store_call *call,
    struct rows **out, struct error *err);
/* Rows that the last INSERT, UPDATE or DELETE has touched. */
int64_t lite_changes(const struct lite_conn *c);
/* Text that is not kept prepared; exactly one statement. */
enum as_status lite_once(struct lite_conn *c, const char *text,
    const struct sql_arg *args, int n_args, struct rows **out,
    struct error *err);
enum as_status lite_script(struct lite_conn *c, const char *text,
    struct error *err);
enum as_status lite_error(struct lite_conn *c, int rc, struct error *err);

/* Of a statement that is not kept. */
enum as_status lite_bind_all(struct lite_conn *c, sqlite3_stmt *st,
    const struct sql_arg *args, int n_args, struct error *err);

/* store_sqlite_guest.c; on a thread, whose connection *c is or becomes. */
enum as_status lite_guest_ready(struct lite_db *db, struct lite_conn **c,
    struct error *err);
void lite_guest_read(struct lite_db *db, struct lite_conn **c,
    struct store_req *r);
void lite_guest_write(struct lite_db *db, struct lite_conn **c,
    struct store_req *r);

/* store_sqlite_writer.c */
enum as_status lite_tx(struct lite_conn *c, struct sql *sql, struct error *err);
bool lite_tx_is_open(const struct lite_conn *c);
void lite_queue_init(struct lite_queue *q);
void lite_queue_fini(struct lite_queue *q);
void lite_push(struct lite_db *db, struct lite_queue *q, struct store_req *r);
/* Up to max requests in order; waits.  NULL: stopping and empty, or, with
 * timeout_ms, nothing came. */
struct store_req *lite_take(struct lite_db *db, struct lite_queue *q,
    unsigned max, int timeout_ms);
void lite_give_back(struct lite_db *db, struct store_req *r);
void *lite_writer_main(void *arg); /* the struct lite_db */

/* store_sqlite_reader.c */
void *lite_reader_main(void *arg); /* the struct lite_db */
void lite_read(struct lite_db *db, struct store_req *r);
bool lite_read_now(struct store *store, const struct store_call *call,
    struct rows **out, enum as_status *st, struct error *err);
void lite_turn_end(struct store *store);

#endif
