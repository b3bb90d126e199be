/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sched/fire_impl.h"

#include "core/base/log.h"

/*
 * One look at all schedules: a number of those that are due, then the oldest
 * pending time of each.  Several fibers share a list, so that their writes share
 * commits; each process begins at another place of it, so that two that look at
 * once do not both try the same ones first.
 */

#define AT_ONCE_TEXT "200"
#define FIBERS 16
#define ROUNDS 20

SQL(fires_due,
    "SELECT now_us(), (SELECT count(*) FROM schedule_fires f"
    " WHERE f.schedule_id = s.id AND f.state = 'pending'),"
    " " SCHEDULE_COLUMNS("s.") " FROM schedules s WHERE NOT paused"
			       " AND deleted_at IS NULL AND due_at IS NOT NULL "
			       "AND due_at <= now_us()"
			       " ORDER BY due_at LIMIT " AT_ONCE_TEXT);
SQL(fires_pending,
    "SELECT f.fire_at, f.tries, r.status,"
    " (SELECT deleted_at IS NOT NULL FROM agents WHERE id = s.agent_id),"
    " (SELECT disabled_at IS NOT NULL FROM users WHERE id = s.user_id),"
    " " SCHEDULE_COLUMNS(
	"s.") " FROM schedule_fires f"
	      " JOIN schedules s ON s.id = f.schedule_id"
	      " LEFT JOIN runs r ON r.id = s.last_run_id"
	      " WHERE f.state = 'pending' AND (f.held_until <= now_us()"
	      " OR f.holder = $1) AND NOT EXISTS (SELECT 1 FROM schedule_fires "
	      "g"
	      " WHERE g.schedule_id = f.schedule_id AND g.state = 'pending'"
	      " AND g.fire_at < f.fire_at) ORDER BY f.held_until "
	      "LIMIT " AT_ONCE_TEXT);
SQL(fires_next,
    "SELECT now_us(), (SELECT min(due_at) FROM schedules WHERE NOT paused"
    " AND deleted_at IS NULL AND due_at IS NOT NULL),"
    " (SELECT min(held_until) FROM schedule_fires WHERE state = 'pending')");

static void
tell(const struct schedule *s, const char *what, struct error *err)
{
	char id[UUID_TEXT];

	uuid_format(s->id, id);
	log_warn("sched", "schedule %s: cannot %s: %s", id, what, err->detail);
	error_clear(err);
}

/* ---- Many at once -------------------------------------------------- */

struct batch {
	const struct fire_ctx *ctx;
	struct rows *rows;
	SUSPENDS enum as_status (
	    *one)(struct batch *b, int row, struct error *err);
	int next, n, offset;
	uint64_t deadline;
	enum as_status st; /* the first failure ends it, and is in err */
	struct error *err;
};

static SUSPENDS void
batch_fiber(void *arg)
{
	struct batch *b = arg;
	struct error err = { 0 };
	enum as_status st;
	int row;

	fiber_deadline_set(b->deadline);
	while (b->st == AS_OK && b->next < b->n) {
		row = (b->next++ + b->offset) % b->n;
		st = b->one(b, row, &err);
		if (st != AS_OK && b->st == AS_OK) {
			b->st = st;
			error_move(b->err, &err);
		}
		error_clear(&err);
	}
}

static SUSPENDS enum as_status
batch_run(struct batch *b)
{
	struct fiber_ref refs[FIBERS];
	int n = 0;

	b->n = rows_count(b->rows);
	b->offset = b->n > 0 ? b->ctx->holder.b[15] % b->n : 0;
	b->deadline = fiber_deadline();
	while (n < FIBERS && n < b->n) {
		refs[n] = fiber_spawn(loop_self(), "schedule", batch_fiber, b);
		if (refs[n].f == NULL)
			break;
		n++;
	}
	if (n == 0)
		batch_fiber(b);
	for (int i = 0; i < n; i++)
		if (fiber_join(refs[i], 0) != FIBER_WOKEN)
			fiber_reap(refs[i]);
	return b->st;
}

/* AS_OK too when it could not be claimed: the others shall be. */
static SUSPENDS enum as_status
claim_one(struct batch *b, int row, struct error *err)
{
	struct rows *r = b->rows;
	struct schedule s;
	enum as_status st;

	schedule_from_row(b->ctx->chat.arena, r, row, 2, &s);
	st = fire_claim(b->ctx, &s, rows_int(r, row, 1), rows_int(r, row, 0),
	    err);
	if (st != AS_INVALID && st != AS_CONFLICT)
		return st;
	tell(&s, "claim", err);
	return AS_OK;
}

static SUSPENDS enum as_status
start_one(struct batch *b, int row, struct error *err)
{
	struct arena *arena = b->ctx->chat.arena;
	struct rows *r = b->rows;
	struct fire f;

	f.fire_at = rows_int(r, row, 0);
	f.tries = rows_int(r, row, 1);
	f.last_status = arena_strdup(arena, rows_text(r, row, 2));
	f.agent_deleted = rows_bool(r, row, 3);
	f.user_disabled = rows_bool(r, row, 4);
	schedule_from_row(arena, r, row, 5, &f.schedule);
	return fire_start(b->ctx, &f, err);
}

/* ---- A look -------------------------------------------------------- */

/* One round; *n is how many there were to look at. */
static SUSPENDS enum as_status
look_once(const struct fire_ctx *ctx, int *n, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(ctx->holder) };
	struct batch claims = { .ctx = ctx, .one = claim_one, .err = err };
	struct batch starts = { .ctx = ctx, .one = start_one, .err = err };
	enum as_status st = store_query(ctx->chat.store, &fires_due, NULL, 0,
	    &claims.rows, err);

	if (st == AS_OK)
		st = batch_run(&claims);
	if (st == AS_OK)
		st = store_query(ctx->chat.store, &fires_pending, args, 1,
		    &starts.rows, err);
	if (st == AS_OK)
		st = batch_run(&starts);
	*n = rows_count(claims.rows) + rows_count(starts.rows);
	rows_free(claims.rows);
	rows_free(starts.rows);
	return st;
}

static SUSPENDS enum as_status
look_again(const struct fire_ctx *ctx, int64_t *in_us, struct error *err)
{
	struct rows *r = NULL;
	enum as_status st = store_query(ctx->chat.store, &fires_next, NULL, 0,
	    &r, err);
	int64_t now, at;

	*in_us = -1;
	if (st != AS_OK)
		return st;
	now = rows_int(r, 0, 0);
	for (int c = 1; c <= 2; c++) {
		if (rows_is_null(r, 0, c))
			continue;
		at = rows_int(r, 0, c) - now;
		if (*in_us < 0 || at < *in_us)
			*in_us = at > 0 ? at : 0;
	}
	rows_free(r);
	return AS_OK;
}

SUSPENDS enum as_status
fire_due(const struct fire_ctx *ctx, int64_t *in_us, struct error *err)
{
	struct fire_ctx own = *ctx;
	enum as_status st = AS_OK;
	int n = 1;

	*in_us = -1;
	for (int i = 0; i < ROUNDS && n > 0 && st == AS_OK; i++) {
		own.chat.arena = arena_new(NULL);
		st = look_once(&own, &n, err);
		arena_free(own.chat.arena);
	}
	return st == AS_OK ? look_again(ctx, in_us, err) : st;
}
