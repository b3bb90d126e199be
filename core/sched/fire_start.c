/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/counter.h"
#include "core/base/failpoint.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/chat/ambient.h"
#include "core/run/run.h"
#include "core/sched/fire_impl.h"

/*
 * What becomes of a pending time.  It is marked as tried before its run is
 * made: from then on nothing else can become of it, because the run may be
 * there.
 */

SQL(fire_take, "UPDATE schedule_fires SET tries = tries + 1, holder = $3,"
	       " held_until = now_us() + $4, updated_at = now_us()"
	       " WHERE schedule_id = $1 AND fire_at = $2 AND state = 'pending'"
	       " AND tries = $5 AND (held_until <= now_us() OR holder = $3)");
SQL(fire_skip, "UPDATE schedule_fires SET state = 'skipped', reason = $3,"
	       " updated_at = now_us() WHERE schedule_id = $1"
	       " AND fire_at = $2 AND state = 'pending' AND tries = 0"
	       " AND (held_until <= now_us() OR holder = $4)");
/* Looked at again after a while, by whoever comes first. */
SQL(fire_wait, "UPDATE schedule_fires SET holder = NULL,"
	       " held_until = now_us() + $3 WHERE schedule_id = $1"
	       " AND fire_at = $2 AND state = 'pending'"
	       " AND (held_until <= now_us() OR holder = $4)");
SQL(fire_started, "UPDATE schedule_fires SET state = 'started', run_id = $3,"
		  " updated_at = now_us() WHERE schedule_id = $1"
		  " AND fire_at = $2 AND state = 'pending'");
SQL(schedule_ran, "UPDATE schedules SET last_at = $2, last_run_id = $3"
		  " WHERE id = $1 AND COALESCE(last_at, 0) < $2");
SQL(fire_failed,
    "INSERT INTO schedule_fires (schedule_id, fire_at, tenant_id, state, "
    "reason,"
    " held_until, created_at, updated_at) VALUES ($1, $2, $3, 'failed', $4,"
    " now_us(), now_us(), now_us()) ON CONFLICT (schedule_id, fire_at)"
    " DO UPDATE SET state = 'failed', reason = $4, updated_at = now_us()"
    " WHERE schedule_fires.state = 'pending'");
SQL(schedule_stop,
    "UPDATE schedules SET paused = TRUE, paused_reason = $2, next_at = NULL,"
    " due_at = NULL, version = version + 1, updated_at = now_us()"
    " WHERE id = $1 AND NOT paused AND deleted_at IS NULL");
SQL(schedule_note,
    "INSERT INTO inbox_items (id, tenant_id, user_id, agent_id, interrupt_id,"
    " kind, title, description, created_at, updated_at) SELECT $2, tenant_id,"
    " user_id, agent_id, $2, 'notification', $3, $4, now_us(), now_us()"
    " FROM schedules WHERE id = $1 AND paused AND paused_reason = $5"
    " ON CONFLICT DO NOTHING");

/* ---- Small writes -------------------------------------------------- */

static SUSPENDS enum as_status
fire_write(const struct fire_ctx *ctx, const struct fire *f, struct sql *sql,
    struct sql_arg third, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(f->schedule.id), SQL_INT(f->fire_at),
		third, SQL_UUID(ctx->holder) };

	return store_exec(ctx->chat.store, sql, args, 4, NULL, err);
}

static void
count(const char *outcome)
{
	counter_add(counter_get(COUNTER, "schedule_fires_total",
			"What has become of the times of schedules.", "outcome",
			&outcome),
	    1);
}

/* Who comes second has not skipped it. */
static SUSPENDS enum as_status
skip(const struct fire_ctx *ctx, const struct fire *f, const char *reason,
    struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(f->schedule.id), SQL_INT(f->fire_at),
		SQL_TEXT(reason), SQL_UUID(ctx->holder) };
	struct rows *r = NULL;
	enum as_status st = store_exec(ctx->chat.store, &fire_skip, args, 4, &r,
	    err);

	if (st == AS_OK && rows_affected(r) > 0)
		count("skipped");
	rows_free(r);
	return st;
}

static void
count_started(const struct fire_ctx *ctx, const struct fire *f)
{
	int64_t late = engine_now_us(ctx->chat.engine) - f->fire_at;

	count("started");
	histogram_observe(histogram_get("schedule_late_seconds",
			      "From the time of a schedule to its run.", NULL,
			      NULL),
	    late > 0 ? (double)late / 1e6 : 0);
}

/* False: it is somebody else's by now. */
static SUSPENDS enum as_status
take(const struct fire_ctx *ctx, const struct fire *f, bool *taken,
    struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(f->schedule.id), SQL_INT(f->fire_at),
		SQL_UUID(ctx->holder), SQL_INT(FIRE_HOLD_US),
		SQL_INT(f->tries) };
	struct rows *r = NULL;
	enum as_status st = store_exec(ctx->chat.store, &fire_take, args, 5, &r,
	    err);

	*taken = st == AS_OK && rows_affected(r) > 0;
	rows_free(r);
	return st;
}

static SUSPENDS enum as_status
mark_started(const struct fire_ctx *ctx, const struct fire *f,
    struct uuid run_id, struct error *err)
{
	struct sql_arg fire[] = { SQL_UUID(f->schedule.id), SQL_INT(f->fire_at),
		SQL_UUID(run_id) };
	struct sql_call calls[] = { { &schedule_ran, fire, 3 },
		{ &fire_started, fire, 3 } };
	struct rows *r[2] = { NULL, NULL };
	enum as_status st = store_batch(ctx->chat.store, calls, 2, r, err);

	if (st == AS_OK && rows_affected(r[1]) > 0)
		count_started(ctx, f);
	rows_free(r[0]);
	rows_free(r[1]);
	return st;
}

/* ---- Giving up ----------------------------------------------------- */

/* The same for each who tells of the same. */
static struct uuid
note_id(struct uuid schedule, int64_t fire_at)
{
	uint8_t sha[HASH_LEN];
	struct uuid id = schedule; /* its time, so that it sorts somewhere */
	struct hash h;

	hash_init(&h);
	hash_field_str(&h, "schedule paused");
	hash_field(&h, schedule.b, sizeof(schedule.b));
	hash_field_int(&h, fire_at);
	hash_end(&h, sha);
	memcpy(id.b + 9, sha, 7);
	return id;
}

SUSPENDS enum as_status
fire_give_up(const struct fire_ctx *ctx, const struct schedule *s,
    int64_t fire_at, const char *why, const char *detail, struct error *err)
{
	char title[256], text[768], id[UUID_TEXT];
	struct uuid note = note_id(s->id, fire_at);
	struct sql_arg failed[] = { SQL_UUID(s->id), SQL_INT(fire_at),
		SQL_UUID(s->tenant_id), SQL_TEXT(why) };
	struct sql_arg stop[] = { SQL_UUID(s->id), SQL_TEXT(why) };
	struct sql_arg told[5] = { SQL_UUID(s->id), SQL_UUID(note) };
	struct sql_call calls[] = { { &schedule_stop, stop, 2 },
		{ &fire_failed, failed, 4 }, { &schedule_note, told, 5 } };
	struct rows *r[N_ITEMS(calls)] = { NULL };
	enum as_status st;

	uuid_format(s->id, id);
	snprintf(title, sizeof(title), "Schedule paused: %.200s",
	    s->name[0] != '\0' ? s->name : s->cron);
	snprintf(text, sizeof(text),
	    "It could not start its agent: %.300s. It goes on when it is "
	    "resumed: POST /api/agents/{agent_id}/schedules/%s/resume",
	    detail, id);
	told[2] = SQL_TEXT(title);
	told[3] = SQL_TEXT(text);
	told[4] = SQL_TEXT(why);
	log_warn("sched", "schedule %s pauses: %s", id, why);
	st = store_batch(ctx->chat.store, calls, 3, r, err);
	if (st == AS_OK && rows_affected(r[1]) > 0)
		count("failed");
	for (size_t i = 0; i < N_ITEMS(calls); i++)
		rows_free(r[i]);
	return st;
}

/* ---- Deciding ------------------------------------------------------ */

enum decision {
	FIRE_START = 1,
	FIRE_SKIP,
	FIRE_WAIT,
	FIRE_GIVE_UP
};

static enum decision
decide(const struct fire *f, const char **reason)
{
	const struct schedule *s = &f->schedule;
	bool open = f->last_status != NULL &&
		    run_is_open(run_status_by_name(f->last_status));

	if (f->tries > 0) /* its run may be there */
		return FIRE_START;
	*reason = s->deleted ? "deleted" : s->paused ? "paused" : "overlap";
	if (s->deleted || s->paused)
		return FIRE_SKIP;
	if (f->user_disabled)
		return FIRE_GIVE_UP;
	if (!open || strcmp(s->overlap, "replace") == 0)
		return FIRE_START;
	return strcmp(s->overlap, "queue") == 0 ? FIRE_WAIT : FIRE_SKIP;
}

static bool
replaces(const struct fire *f)
{
	return strcmp(f->schedule.overlap, "replace") == 0 &&
	       f->last_status != NULL &&
	       run_is_open(run_status_by_name(f->last_status));
}

static SUSPENDS enum as_status
start_run(const struct chat_ctx *chat, const struct fire *f,
    struct ambient_started *out, struct error *err)
{
	const struct schedule *s = &f->schedule;
	char id[UUID_TEXT];
	struct ambient_task t = { .tenant_id = s->tenant_id,
		.user_id = s->user_id,
		.agent_id = s->agent_id,
		.task = s->task,
		.class = schedule_class(s->class),
		.title = s->name[0] != '\0' ? s->name : NULL };

	uuid_format(s->id, id);
	t.origin = arena_printf(chat->arena,
	    "{\"kind\":\"schedule\",\"id\":\"%s\"}", id);
	t.dedup = arena_printf(chat->arena, "schedule:%s:%lld", id,
	    (long long)f->fire_at);
	return ambient_start(chat, &t, out, err);
}

/* Will it fail again, whenever it is tried? */
static bool
is_final(const struct error *err)
{
	return err->code == ERR_AGENT_NOT_READY || err->code == ERR_NOT_FOUND ||
	       err->code == ERR_FORBIDDEN || err->code == ERR_VALIDATION_FAILED;
}

static const char *
final_reason(const struct fire *f, const struct error *err)
{
	return f->agent_deleted                     ? "agent_deleted"
	       : err->code == ERR_VALIDATION_FAILED ? "task_refused"
						    : "agent_not_ready";
}

static SUSPENDS enum as_status
start_failed(const struct fire_ctx *ctx, const struct fire *f,
    const struct error *why, struct error *err)
{
	char id[UUID_TEXT];

	if (is_final(why))
		return fire_give_up(ctx, &f->schedule, f->fire_at,
		    final_reason(f, why), why->detail, err);
	uuid_format(f->schedule.id, id);
	log_warn("sched", "schedule %s waits: %s", id, why->detail);
	return fire_write(ctx, f, &fire_wait, SQL_INT(FIRE_AGAIN_US), err);
}

static SUSPENDS enum as_status
start_it(const struct fire_ctx *ctx, const struct fire *f, struct error *err)
{
	struct chat_ctx chat = ctx->chat;
	struct ambient_started started;
	struct error why = { 0 };
	char correlation[UUID_TEXT];
	enum as_status st = AS_OK;

	uuid_format(uuid_v7(), correlation);
	chat.correlation_id = correlation;
	chat.who.user_id = f->schedule.user_id;
	chat.who.tenant_id = f->schedule.tenant_id;
	chat.who.role = ROLE_MEMBER;
	FAILPOINT("sched.pre_start");
	if (replaces(f))
		st = chat_cancel(&chat, f->schedule.last_run_id, false,
		    "replaced", &why);
	if (st == AS_OK)
		st = start_run(&chat, f, &started, &why);
	if (st != AS_OK) {
		st = start_failed(ctx, f, &why, err);
		error_clear(&why);
		return st;
	}
	FAILPOINT("sched.post_start");
	st = mark_started(ctx, f, started.run_id, err);
	if (st == AS_OK)
		FAILPOINT("sched.post_mark");
	return st;
}

SUSPENDS enum as_status
fire_start(const struct fire_ctx *ctx, const struct fire *f, struct error *err)
{
	const char *reason = NULL;
	bool taken = false;
	enum as_status st;

	switch (decide(f, &reason)) {
	case FIRE_SKIP:
		return skip(ctx, f, reason, err);
	case FIRE_WAIT:
		return fire_write(ctx, f, &fire_wait, SQL_INT(FIRE_AGAIN_US),
		    err);
	case FIRE_GIVE_UP:
		return fire_give_up(ctx, &f->schedule, f->fire_at,
		    "user_disabled", "its owner's account is disabled", err);
	case FIRE_START:
	default:
		st = take(ctx, f, &taken, err);
		return st == AS_OK && taken ? start_it(ctx, f, err) : st;
	}
}
