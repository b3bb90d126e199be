/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_STORE_STORE_PG_H
#define CORE_STORE_STORE_PG_H

/*
 * The PostgreSQL driver's own types.  Everything belongs to the loop's thread.
 *
 * A connection keeps a queue of requests that wait and a queue of items that
 * the server owes an answer for, in the order in which they were sent.  A Sync
 * ends a group of items: the statements between two Syncs are one transaction
 * of the server.
 */

#include <libpq-fe.h>
#include <pthread.h>

#include "core/store/store_priv.h"

enum pg_state {
	PG_DOWN = 1, /* waits for its timer */
	PG_CONNECTING,
	PG_SETTLING, /* the session's settings are on their way */
	PG_UP
};

enum pg_item_kind {
	PG_PREPARE = 1,
	PG_CALL,
	PG_SETUP,
	PG_SYNC
};

#define PG_TRIES_MAX 3

/* What a connection is for; its name on the server says so. */
enum pg_role {
	PG_READER = 1,
	PG_WRITER,
	PG_LOCK,
	PG_GUEST,
	PG_ADMIN
};

/* One address of one server; "" is what libpq takes when nothing is said. */
struct pg_place {
	char host[256], addr[64], port[16];
};

struct pg_places {
	pthread_mutex_t lock;
	struct pg_place *v;
	unsigned n;
	bool is_looking, has_looker;
	pthread_t looker;
};

struct pg_item {
	struct pg_item *next;
	enum pg_item_kind kind;
	bool answered;
	struct store_req *req; /* PG_PREPARE, PG_CALL */
	int call; /* index of the request's call */
	/* PG_SYNC of writes: the requests that share its transaction. */
	struct store_req *group;
	int64_t sent_us;
};

struct pg_conn {
	struct pg_store *store;
	PGconn *pg;
	enum pg_state state;
	bool is_writer;
	struct loop_watch *watch;
	struct loop_timer timer;
	unsigned attempts; /* to connect that failed since it was last up */
	unsigned place; /* where it is, or is tried */
	uint64_t hope_ms; /* when trying there ends */
	uint64_t
	    heard_ms; /* the last answer, or when something was first owed */
	uint64_t spoke_ms; /* the last time that the server said anything */
	bool is_stuck; /* a commit that does not end */
	bool is_watched; /* while it is up, the timer looks for silence */
	bool is_slow; /* a lock or a timeout: one write at a time */
	bool is_demoted; /* the server writes no more */
	bool met_read_only; /* a server that takes no writes, since it was up */
	unsigned timeline; /* of the server, when the session began */
	/* Requests not sent yet. */
	struct store_req *wait, **wait_tail;
	unsigned n_wait;
	/* What the server owes. */
	struct pg_item *head, **tail;
	unsigned n_sent; /* requests */
	unsigned n_syncs;
	bool group_failed; /* the transaction that is being answered */
	/* Prepared under the name "s<epoch>_<id>". */
	bool *prepared; /* by id */
	unsigned n_prepared;
	unsigned epoch;
	struct loop_hook hook;
};

struct pg_store {
	struct store base;
	unsigned n_guests; /* requests that threads have; under guests.lock */
	unsigned n_conns, n_readers;
	bool freeing;
	struct pg_conn conns[];
};

#define PG_GUESTS_MAX 4

/* Threads with a connection each, for the statements of plugins. */
struct pg_guests {
	pthread_mutex_t lock;
	pthread_cond_t more, ended;
	struct store_req *head, **tail;
	struct pg_guest *threads[PG_GUESTS_MAX];
	unsigned n_threads, n_idle;
	bool stopping;
};

struct pg_db {
	struct store_db base;
	struct pg_guests guests;
	pthread_mutex_t lock; /* of admin */
	PGconn *admin;
	PQconninfoOption *options; /* parsed, for the loops' connections */
	struct pg_places places;
	atomic_uint good; /* the place where writing was possible last */
	atomic_uint timeline; /* the newest that was seen; 0: none yet */
	atomic_int standby; /* enum store_standby */
};

static inline struct pg_db *
pg_db_of(struct store_db *db)
{
	return (struct pg_db *)(void *)db;
}

static inline const struct pg_db *
pg_db_const(const struct store_db *db)
{
	return (const struct pg_db *)(const void *)db;
}

static inline struct pg_store *
pg_store_of(struct store *store)
{
	return (struct pg_store *)(void *)store;
}

/* store_pg_value.c */
struct pg_params {
	int n;
	const char *values[STORE_ARGS_MAX];
	int lengths[STORE_ARGS_MAX];
	int formats[STORE_ARGS_MAX];
	Oid types[STORE_ARGS_MAX];
	char text[STORE_ARGS_MAX][40];
};
Oid pg_type(const struct sql_arg *a); /* 0: to be inferred */
void pg_params_set(struct pg_params *p, const struct sql_arg *args, int n);
struct rows *pg_rows(PGresult *res); /* takes res */
/* A failed result, or NULL: the connection itself, as an error. */
enum as_status pg_error(PGconn *pg, const PGresult *res, struct error *err);
bool pg_is_state(const PGresult *res, const char *sqlstate);

/* store_pg_set.c */
/* Requests of r's group that go with it; before each is sent. */
void pg_set_gather(struct store_req *group, struct store_req *r);
/* The arguments of r and its peers as arrays; their bytes are in `mem`. */
void pg_set_params(struct pg_params *p, struct buf *mem,
    const struct store_req *r, int call);
void pg_set_answer(struct store_req *r, PGresult *res); /* takes res */

/* store_pg_conn.c */
void pg_conn_init(struct pg_conn *c, struct pg_store *store, bool is_writer);
void pg_conn_fini(struct pg_conn *c); /* all requests are dropped */
void pg_conn_lost(struct pg_conn *c, const char *why);
bool pg_left_behind(struct pg_conn *c); /* and then it is lost */
void pg_conn_settled(struct pg_conn *c, const PGresult *res);
/* place NULL: blocks until any of them has answered. */
PGconn *pg_connect(struct pg_db *db, enum pg_role role,
    const struct pg_place *place);
const char *pg_option(const struct pg_db *db, const char *keyword);
void pg_flush(struct pg_conn *c);
/* Something is owed or waits: from now on it must not last for ever. */
void pg_conn_watch(struct pg_conn *c);
/* Who has been queued before then has waited for too long. */
int64_t pg_expired_us(const struct pg_conn *c);
#define PG_TOO_LATE "it is busy, the request has waited too long"

/* store_pg_place.c */
/* Looks names up: blocks.  INVALID: one cannot be a name. */
enum as_status pg_places_init(struct pg_db *db, struct error *err);
void pg_places_fini(struct pg_db *db);
void pg_places_look_again(struct pg_db *db); /* in the background */
unsigned pg_places_count(struct pg_db *db); /* at least 1 */
/* False: no name could be looked up. */
bool pg_place(struct pg_db *db, unsigned nth, struct pg_place *out);

/* store_pg_session.c */
/* What a session tells of its server: three columns. */
#define PG_SESSION \
	"pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN '' ELSE " \
	"substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END, " \
	"current_setting('default_transaction_read_only')"
#define PG_FORMER "the server is a former primary: another one was promoted"
/* NULL: it may be used; else why not.  col: the first of the three. */
const char *pg_session_refused(struct pg_db *db, const PGresult *res, int col,
    bool writes);
/* 0: it is not asked for, only reading. */
unsigned pg_session_timeline(const struct pg_db *db, const PGresult *res,
    int col);
bool pg_send_setup(struct pg_conn *c);
/* More columns, of settings that the server may know. */
const char *pg_session_checks(const PGconn *pg);
/* The first server that may be used; NULL: *err says what the last one lacks. */
PGconn *pg_connect_blocking(struct pg_db *db, enum pg_role role,
    struct error *err);

/* store_pg_wait.c: in threads that may block */
#define PG_SILENCE_MS 2000 /* more than a statement may take */
/*
 * As PQgetResult; of a server that has said nothing by then the connection is
 * shut, and the result says that it is lost.
 */
PGresult *pg_next(PGconn *pg, int64_t until_us);
/* The last one of what was sent; NULL: it was not, see the connection. */
PGresult *pg_last(PGconn *pg, int sent, int64_t until_us);

/* store_pg_guest.c */
void pg_guests_init(struct pg_db *db);
void pg_guests_fini(struct pg_db *db);
void pg_guests_push(struct pg_store *store, struct store_req *r);
void pg_guests_settle(struct pg_store *store); /* its fibers have ended */

/* store_pg_queue.c */
void pg_wait_append(struct pg_conn *c, struct store_req *r);
void pg_wait_prepend(struct pg_conn *c, struct store_req *r);
struct store_req *pg_wait_pop(struct pg_conn *c); /* there is one */
/* Those that have waited since before then; linked by next. */
struct store_req *pg_wait_expired(struct pg_conn *c, int64_t before_us);
struct pg_item *pg_item_push(struct pg_conn *c, enum pg_item_kind kind,
    struct store_req *r, int call);
void pg_item_pop(struct pg_conn *c); /* frees the first */
bool *pg_prepared(struct pg_conn *c, unsigned id); /* until the next call */

/* store_pg_pipe.c */
void pg_push(struct pg_conn *c, struct store_req *r);
void pg_flush_later(struct pg_conn *c); /* at the end of this turn */
void pg_answers(struct pg_conn *c);
bool pg_send_sync(struct pg_conn *c, struct store_req *group);
void pg_owed_lost(struct pg_conn *c, const char *why);
void pg_waiting_lost(struct pg_conn *c, const char *why);

/* store_pg_look.c */
enum as_status pg_look_first(struct pg_db *db, struct error *err); /* blocks */
SUSPENDS enum as_status pg_look(struct store *store, struct error *err);

/* store_pg.c */
void pg_refuse(struct store_req *r, const char *why);

#endif
