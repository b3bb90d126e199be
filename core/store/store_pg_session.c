/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_pg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"

/*
 * What a session is told at its start, and what it tells: whether its server
 * can be written to, and on which timeline it is.  Each promotion of a standby
 * begins a new timeline.  A server of an older one than was seen before is a
 * former primary that does not know it yet: it is left at once.
 *
 * A statement that takes too long is never cancelled from here, but its
 * connection closed.  A cancel that meets a commit which waits for its standby
 * makes the server say that it is done.
 */

static const char *const role_names[] = {
	[PG_READER] = "reader",
	[PG_WRITER] = "writer",
	[PG_LOCK] = "lock",
	[PG_GUEST] = "plugin",
	[PG_ADMIN] = "admin",
};

static void
notice(void *arg, const char *msg)
{
	(void)arg;
	log_line(strncmp(msg, "WARNING", 7) == 0 ? LOG_WARNING : LOG_DEBUG,
	    "store", NULL, "%.*s", (int)strcspn(msg, "\n"), msg);
}

const char *
pg_option(const struct pg_db *db, const char *keyword)
{
	for (PQconninfoOption *o = db->options; o->keyword != NULL; o++)
		if (strcmp(o->keyword, keyword) == 0)
			return o->val;
	return NULL;
}

/* ---- Connecting ---------------------------------------------------- */

#define KEYS_MAX 64

struct keys {
	const char *names[KEYS_MAX + 1], *values[KEYS_MAX + 1];
	int n;
};

static void
key(struct keys *k, const char *name, const char *value)
{
	MUST(k->n < KEYS_MAX);
	k->names[k->n] = name;
	k->values[k->n++] = value;
}

/*
 * A host that is gone without a word: its connections end after seconds, not
 * after the two hours that systems give them.
 */
static void
keys_ours(struct keys *k, const struct pg_db *db)
{
	static const char *const ours[][2] = {
		{ "connect_timeout", "10" },
		{ "keepalives_idle", "5" },
		{ "keepalives_interval", "2" },
		{ "keepalives_count", "3" },
		{ "tcp_user_timeout", "5000" },
		{ "client_encoding", "UTF8" },
	};

	for (size_t i = 0; i < N_ITEMS(ours); i++)
		if (pg_option(db, ours[i][0]) == NULL)
			key(k, ours[i][0], ours[i][1]);
}

static void
keys_place(struct keys *k, const struct pg_place *p)
{
	if (p->host[0] != '\0')
		key(k, "host", p->host);
	if (p->addr[0] != '\0')
		key(k, "hostaddr", p->addr);
	if (p->port[0] != '\0')
		key(k, "port", p->port);
}

/* What libpq is not to do: choose. */
static bool
is_choice(const char *keyword)
{
	return strcmp(keyword, "host") == 0 ||
	       strcmp(keyword, "hostaddr") == 0 ||
	       strcmp(keyword, "port") == 0 ||
	       strcmp(keyword, "target_session_attrs") == 0;
}

static PGconn *
connect_to(struct pg_db *db, enum pg_role role, const struct pg_place *place,
    bool blocks)
{
	const char *name = db->base.config.name;
	struct keys k = { .n = 0 };
	char text[64];
	PGconn *pg;

	for (PQconninfoOption *o = db->options; o->keyword != NULL; o++)
		if (o->val != NULL && (place == NULL || !is_choice(o->keyword)))
			key(&k, o->keyword, o->val);
	keys_ours(&k, db);
	if (place != NULL)
		keys_place(&k, place);
	else if (!db->base.config.read_only &&
		 pg_option(db, "target_session_attrs") == NULL)
		key(&k, "target_session_attrs", "read-write");
	/* The server keeps 63 bytes of it. */
	snprintf(text, sizeof(text), "%.50s %s",
	    name != NULL ? name : "agent-studio", role_names[role]);
	key(&k, "fallback_application_name", text);
	k.names[k.n] = k.values[k.n] = NULL;
	pg = blocks ? PQconnectdbParams(k.names, k.values, 0)
		    : PQconnectStartParams(k.names, k.values, 0);
	PQsetNoticeProcessor(pg, notice, NULL);
	return pg;
}

PGconn *
pg_connect(struct pg_db *db, enum pg_role role, const struct pg_place *place)
{
	return connect_to(db, role, place, place == NULL);
}

/* ---- What a session tells ------------------------------------------ */

static bool
is_true(const PGresult *res, int col)
{
	const char *v = PQgetvalue(res, 0, col);

	return PQfformat(res, col) == 1 ? *v != 0 : *v == 't';
}

/* Is it of the newest timeline that is known?  If not, it is to be left. */
static bool
timeline_ok(struct pg_db *db, unsigned timeline)
{
	unsigned known = atomic_load(&db->timeline);

	while (timeline > known)
		if (atomic_compare_exchange_weak(&db->timeline, &known,
			timeline)) {
			if (known != 0)
				log_warn("store",
				    "the database was promoted: timeline %u "
				    "comes after %u",
				    timeline, known);
			return true;
		}
	return timeline == known;
}

unsigned
pg_session_timeline(const struct pg_db *db, const PGresult *res, int col)
{
	return db->base.config.read_only
		   ? 0
		   : (unsigned)strtoul(PQgetvalue(res, 0, col + 1), NULL, 16);
}

const char *
pg_session_refused(struct pg_db *db, const PGresult *res, int col, bool writes)
{
	bool standby = is_true(res, col);
	bool read_only = strcmp(PQgetvalue(res, 0, col + 2), "on") == 0;

	if (db->base.config.read_only)
		return NULL;
	if (standby)
		return "the server is a standby";
	if (read_only && writes)
		return "the server is read-only";
	return timeline_ok(db, pg_session_timeline(db, res, col)) ? NULL
								  : PG_FORMER;
}

/* ---- What a session is told ---------------------------------------- */

/*
 * A third of what a statement has: who waits for a lock is told so, and there
 * is time for those that waited behind.
 */
static int64_t
lock_timeout(const struct store_config *c)
{
	return c->statement_timeout_ms / 3;
}

/*
 * A server that looks whether its client is still there lets go of locks for
 * which nobody waits any more.
 */
const char *
pg_session_checks(const PGconn *pg)
{
	return PQserverVersion(pg) < 140000
		   ? ""
		   : ", set_config('idle_session_timeout', '0', false), "
		     "set_config('client_connection_check_interval', '2s', "
		     "false)";
}

/*
 * A writer's statements find their rows by key, whatever they are called with:
 * they are planned once, and never as the scan that was right while a table was
 * small.
 */
bool
pg_send_setup(struct pg_conn *c)
{
	const struct store_config *config = &c->store->base.db->config;
	char timeout[24], lock[24], text[900];
	const char *values[5] = { timeout, lock };

	snprintf(timeout, sizeof(timeout), "%lld",
	    (long long)config->statement_timeout_ms);
	snprintf(lock, sizeof(lock), "%lld", (long long)lock_timeout(config));
	values[2] = c->is_writer && !config->read_only ? "no" : "yes";
	values[3] = c->is_writer ? "force_generic_plan" : "auto";
	values[4] = c->is_writer ? "off" : "on";
	snprintf(text, sizeof(text),
	    "SELECT " PG_SESSION ", set_config('statement_timeout', $1, false)"
	    ", set_config('lock_timeout', $2, false)"
	    ", CASE WHEN $3 = 'yes' THEN"
	    " set_config('default_transaction_read_only', 'on', false) END"
	    ", set_config('plan_cache_mode', $4, false)"
	    ", set_config('enable_seqscan', $5, false)"
	    ", set_config('idle_in_transaction_session_timeout', '10s', false)"
	    ", set_config('jit', 'off', false)%s",
	    pg_session_checks(c->pg));
	if (!PQsendQueryParams(c->pg, text, 5, NULL, values, NULL, NULL, 1))
		return false;
	pg_item_push(c, PG_SETUP, NULL, 0);
	return pg_send_sync(c, NULL);
}

#define SETTLE_US 10000000

/*
 * Of connections that block: what a migration takes is not known beforehand,
 * and a plugin's statement has a limit of its own.
 */
static bool
settle(struct pg_db *db, PGconn *pg)
{
	bool read_only = db->base.config.read_only;
	PGresult *res = pg_last(pg,
	    PQsendQuery(pg,
		read_only ? "SELECT " PG_SESSION ", set_config("
			    "'default_transaction_read_only', 'on', false)"
			  : "SELECT " PG_SESSION
			    ", set_config('statement_timeout', '0', false)"
			    ", set_config('lock_timeout', '0', false)"),
	    clock_mono_us() + SETTLE_US);
	const char *why = NULL;
	bool ok = PQresultStatus(res) == PGRES_TUPLES_OK;

	if (!ok)
		log_err("store", "cannot settle the session: %s",
		    PQresultErrorMessage(res));
	else if ((why = pg_session_refused(db, res, 0, true)) != NULL)
		log_warn("store", "%s", why);
	PQclear(res);
	return ok && why == NULL;
}

static PGconn *
connect_settled(struct pg_db *db, enum pg_role role, unsigned nth,
    struct error *err)
{
	struct pg_place place;
	PGconn *pg = connect_to(db, role,
	    pg_place(db, nth, &place) ? &place : NULL, true);

	if (pg == NULL || PQstatus(pg) != CONNECTION_OK)
		(void)pg_error(pg, NULL, err);
	else if (settle(db, pg))
		return pg;
	else
		error_set(err, ERR_UNAVAILABLE,
		    "database: the session cannot be used");
	PQfinish(pg);
	return NULL;
}

/*
 * Who writes and knows of no timeline yet asks all servers: one that answers
 * first may be a former primary.  Of those that may be used the last one is the
 * newest.
 */
PGconn *
pg_connect_blocking(struct pg_db *db, enum pg_role role, struct error *err)
{
	unsigned n = pg_places_count(db);
	bool all = !db->base.config.read_only &&
		   atomic_load(&db->timeline) == 0;
	PGconn *pg = NULL, *next;

	for (unsigned i = 0; i < n && (all || pg == NULL); i++) {
		next = connect_settled(db, role, i, err);
		if (next == NULL)
			continue;
		PQfinish(pg);
		pg = next;
	}
	if (pg == NULL)
		pg_places_look_again(db);
	else
		error_clear(err);
	return pg;
}
