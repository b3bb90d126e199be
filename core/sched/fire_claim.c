/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/sched/cron.h"
#include "core/sched/fire_impl.h"
#include "core/sched/zone.h"

/*
 * Which of the times that have passed start, and which are missed: the newest
 * catch_up of them start, and if that is none, the newest one if it is not late.
 */

#define MINUTE_US INT64_C(60000000)
#define DAY_US (1440 * MINUTE_US)
#define LATE_US (2 * MINUTE_US)
#define HISTORY_US (90 * DAY_US)
/* After so many times it goes on with those of the last days. */
#define TIMES_MAX 10000
#define TIMES_DAYS (6 * DAY_US)

struct due {
	int64_t newest[SCHEDULE_CATCH_UP_MAX]; /* a ring */
	int64_t n; /* times that have passed */
	int64_t first; /* of them */
	int64_t next; /* the first that has not; 0: none */
};

SQL(claim, "UPDATE schedules SET next_at = $4, due_at = $5 WHERE id = $1"
	   " AND next_at = $2 AND version = $3 AND NOT paused"
	   " AND deleted_at IS NULL");
/*
 * Hangs on what the claim has just written; if somebody else has written the
 * same, his rows are there already.
 */
SQL(fire_insert,
    "INSERT INTO schedule_fires (schedule_id, fire_at, tenant_id, state, "
    "reason,"
    " times, holder, held_until, created_at, updated_at) SELECT id, $2,"
    " tenant_id, $3, $4, $5, $6, now_us() + $7, now_us(), now_us()"
    " FROM schedules WHERE id = $1 AND COALESCE(next_at, 0) = $8"
    " AND version = $9 ON CONFLICT DO NOTHING");
SQL(fires_forget, "DELETE FROM schedule_fires WHERE schedule_id = $1"
		  " AND fire_at < $2 AND state <> 'pending'");

static void
due_find(const struct schedule *s, const struct cron *cron,
    const struct zone *zone, int64_t now, struct due *d)
{
	int64_t t = s->next_at;

	memset(d, 0, sizeof(*d));
	d->first = t;
	/* The first one is due: due_at says so, whatever made it. */
	while (t != 0 && (d->n == 0 || t + schedule_jitter(s, t) <= now)) {
		d->newest[d->n++ % SCHEDULE_CATCH_UP_MAX] = t;
		if (d->n == TIMES_MAX && t < now - TIMES_DAYS)
			t = now - TIMES_DAYS;
		t = schedule_next(s, cron, zone, t);
	}
	d->next = t;
}

static int64_t
n_started(const struct schedule *s, const struct due *d, int64_t now)
{
	int64_t n = s->catch_up, newest;

	if (n <= 0) {
		newest = d->newest[(d->n - 1) % SCHEDULE_CATCH_UP_MAX];
		n = now - newest - schedule_jitter(s, newest) <= LATE_US;
	}
	if (n > SCHEDULE_CATCH_UP_MAX)
		n = SCHEDULE_CATCH_UP_MAX;
	return n < d->n ? n : d->n;
}

#define FIRE_ARGS 9

struct claim {
	const struct fire_ctx *ctx;
	const struct schedule *s;
	const struct due *due;
	struct sql_call calls[SCHEDULE_CATCH_UP_MAX + 3];
	struct sql_arg args[SCHEDULE_CATCH_UP_MAX + 1][FIRE_ARGS];
	int n;
};

static void
claim_add(struct claim *c, int64_t fire_at, const char *state,
    const char *reason, int64_t times)
{
	struct sql_arg *a = c->args[c->n - 1];

	a[0] = SQL_UUID(c->s->id);
	a[1] = SQL_INT(fire_at);
	a[2] = SQL_TEXT(state);
	a[3] = SQL_TEXT(reason);
	a[4] = SQL_INT(times);
	a[5] = SQL_UUID(c->ctx->holder);
	a[6] = SQL_INT(FIRE_HOLD_US);
	a[7] = SQL_INT(c->due->next);
	a[8] = SQL_INT(c->s->version);
	c->calls[c->n++] = (struct sql_call){ &fire_insert, a, FIRE_ARGS };
}

/* The rows that the times become, after the claim itself. */
static void
claim_fill(struct claim *c, int64_t n_waiting, int64_t now)
{
	const struct due *d = c->due;
	int64_t n = n_started(c->s, d, now), t;

	if (n < d->n)
		claim_add(c, d->first, "missed", "late", d->n - n);
	for (int64_t i = d->n - n; i < d->n; i++, n_waiting++) {
		t = d->newest[i % SCHEDULE_CATCH_UP_MAX];
		if (n_waiting < FIRES_WAITING_MAX)
			claim_add(c, t, "pending", NULL, 1);
		else
			claim_add(c, t, "skipped", "queue_full", 1);
	}
}

static SUSPENDS enum as_status
claim_write(const struct fire_ctx *ctx, const struct schedule *s,
    const struct due *d, int64_t n_waiting, int64_t now, struct error *err)
{
	struct sql_arg head[] = { SQL_UUID(s->id), SQL_INT(s->next_at),
		SQL_INT(s->version), sql_time(d->next),
		sql_time(
		    d->next != 0 ? d->next + schedule_jitter(s, d->next) : 0) };
	struct sql_arg old[] = { SQL_UUID(s->id), SQL_INT(now - HISTORY_US) };
	struct claim *c = xcalloc(1, sizeof(*c));
	enum as_status st;

	c->ctx = ctx;
	c->s = s;
	c->due = d;
	c->calls[c->n++] = (struct sql_call){ &claim, head, N_ITEMS(head) };
	claim_fill(c, n_waiting, now);
	c->calls[c->n++] = (struct sql_call){ &fires_forget, old,
		N_ITEMS(old) };
	FAILPOINT("sched.pre_claim");
	st = store_batch(ctx->chat.store, c->calls, c->n, NULL, err);
	if (st == AS_OK)
		FAILPOINT("sched.post_claim");
	free(c);
	return st;
}

SUSPENDS enum as_status
fire_claim(const struct fire_ctx *ctx, struct schedule *s, int64_t n_waiting,
    int64_t now_us, struct error *err)
{
	struct zone *zone;
	struct cron cron;
	struct due d;

	/* It was valid when it was written: the zone has gone since. */
	if (schedule_times(ctx->zoneinfo, s, &cron, &zone, NULL) != AS_OK)
		return fire_give_up(ctx, s, s->next_at, "zone_unknown",
		    "its time zone is not there any more", err);
	due_find(s, &cron, zone, now_us, &d);
	zone_free(zone);
	return claim_write(ctx, s, &d, n_waiting, now_us, err);
}
