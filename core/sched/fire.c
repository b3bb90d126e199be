/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sched/fire_impl.h"

#include "core/base/log.h"

/*
 * One look at all schedules.  What is pending comes first, the oldest of each
 * schedule, because what is due next may have to wait for it.
 */

#define AT_ONCE 50
#define AT_ONCE_TEXT "50"
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

/* AS_OK too when some of them could not be claimed: the others shall be. */
static SUSPENDS enum as_status
claim_some(const struct fire_ctx *ctx, struct arena *arena, int *n,
    struct error *err)
{
	struct rows *r = NULL;
	struct schedule s;
	enum as_status st = store_query(ctx->chat.store, &fires_due, NULL, 0,
	    &r, err);

	if (st == AS_OK)
		*n += rows_count(r);
	for (int i = 0; st == AS_OK && i < rows_count(r); i++) {
		schedule_from_row(arena, r, i, 2, &s);
		st = fire_claim(ctx, &s, rows_int(r, i, 1), rows_int(r, i, 0),
		    err);
		if (st == AS_INVALID || st == AS_CONFLICT) {
			tell(&s, "claim", err);
			st = AS_OK;
		}
	}
	rows_free(r);
	return st;
}

static SUSPENDS enum as_status
start_some(const struct fire_ctx *ctx, struct arena *arena, int *n,
    struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(ctx->holder) };
	struct fire_ctx own = *ctx;
	struct rows *r = NULL;
	struct fire f;
	enum as_status st = store_query(ctx->chat.store, &fires_pending, args,
	    1, &r, err);

	own.chat.arena = arena;
	if (st == AS_OK)
		*n += rows_count(r);
	for (int i = 0; st == AS_OK && i < rows_count(r); i++) {
		f.fire_at = rows_int(r, i, 0);
		f.tries = rows_int(r, i, 1);
		f.last_status = arena_strdup(arena, rows_text(r, i, 2));
		f.agent_deleted = rows_bool(r, i, 3);
		f.user_disabled = rows_bool(r, i, 4);
		schedule_from_row(arena, r, i, 5, &f.schedule);
		st = fire_start(&own, &f, err);
	}
	rows_free(r);
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
	struct arena *arena;
	enum as_status st = AS_OK;
	int n = 1;

	*in_us = -1;
	for (int i = 0; i < ROUNDS && n > 0 && st == AS_OK; i++) {
		n = 0;
		arena = arena_new(NULL);
		st = claim_some(ctx, arena, &n, err);
		if (st == AS_OK)
			st = start_some(ctx, arena, &n, err);
		arena_free(arena);
	}
	return st == AS_OK ? look_again(ctx, in_us, err) : st;
}
