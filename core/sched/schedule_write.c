/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/agent/agent.h"
#include "core/auth/quota.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/sched/cron.h"
#include "core/sched/schedule.h"
#include "core/sched/zone.h"

/*
 * Changing schedules.  Each change is a compare-and-set on the version; one
 * without If-Match that lost against another is made anew.  Fires are no change:
 * they compare next_at, so a change leaves it alone unless it means to move it.
 */

#define RETRIES 8

SQL(store_now, "SELECT now_us()");
/* quota_exec: nobody has more by asking at once. */
SQL(schedule_insert,
    "INSERT INTO schedules (id, tenant_id, user_id, agent_id, name, cron,"
    " timezone, task, class, overlap, jitter_ms, catch_up, ends_at, next_at,"
    " due_at, created_at, updated_at) SELECT $1, $2, $3, $4, $5, $6, $7, $8,"
    " $9, $10, $11, $12, $13, $14, $15, now_us(), now_us()"
    " WHERE (SELECT count(*) FROM schedules s WHERE s.agent_id = $4"
    " AND s.user_id = $3 AND s.deleted_at IS NULL) < $16"
    " RETURNING created_at");
SQL(schedule_update,
    "UPDATE schedules SET name = $5, cron = $6, timezone = $7, task = $8,"
    " class = $9, overlap = $10, jitter_ms = $11, catch_up = $12,"
    " ends_at = $13,"
    " next_at = CASE WHEN $17 THEN $14 ELSE next_at END,"
    " due_at = CASE WHEN $17 THEN $15 ELSE due_at END,"
    " paused = $18, paused_reason = $19,"
    " deleted_at = CASE WHEN $20 THEN now_us() ELSE deleted_at END,"
    " version = version + 1, updated_at = now_us() WHERE id = $1"
    " AND tenant_id = $2 AND user_id = $3 AND agent_id = $4 AND version = $16"
    " AND deleted_at IS NULL RETURNING updated_at, next_at, due_at");
/* Those that wait for an earlier run; what is being started is started. */
SQL(fires_drop, "UPDATE schedule_fires SET state = 'skipped', reason = $2,"
		" updated_at = now_us() WHERE schedule_id = $1"
		" AND state = 'pending' AND tries = 0"
		" AND EXISTS (SELECT 1 FROM schedules WHERE id = $1"
		" AND version = $3 AND (paused OR deleted_at IS NOT NULL))");

/* ---- From a document to a schedule --------------------------------- */

static const char *
doc_text(const struct chat_ctx *chat, struct json_object *doc, const char *name,
    const char *dflt)
{
	return arena_strdup(chat->arena, jget_str(doc, name, dflt));
}

static enum as_status
doc_read(const struct schedule_ctx *ctx, struct json_object *doc,
    struct schedule *s, struct error *err)
{
	const struct chat_ctx *chat = ctx->chat;
	const char *ends = jget_str(doc, "ends_at", NULL);

	s->name = doc_text(chat, doc, "name", "");
	s->cron = doc_text(chat, doc, "cron", "");
	s->timezone = doc_text(chat, doc, "timezone", "UTC");
	s->task = doc_text(chat, doc, "task", "");
	s->class = doc_text(chat, doc, "class", "standard");
	s->overlap = doc_text(chat, doc, "overlap", "skip");
	s->jitter_ms = jget_int(doc, "jitter_ms", 0);
	s->catch_up = jget_int(doc, "catch_up", 1);
	s->ends_at = 0;
	if (strlen(s->task) > CHAT_CONTENT_MAX)
		return error_field(err, "task", "is longer than %d KiB",
		    CHAT_CONTENT_MAX / 1024);
	if (ends != NULL &&
	    (!text_time_parse(ends, &s->ends_at) || s->ends_at <= 0))
		return error_field(err, "ends_at", "must be a time after 1970");
	return AS_OK;
}

/* From the first time after now on. */
static enum as_status
times_begin(const struct schedule_ctx *ctx, struct schedule *s, int64_t now,
    struct error *err)
{
	struct zone *zone;
	struct cron cron;
	enum as_status st = schedule_times(ctx->zoneinfo, s, &cron, &zone, err);

	if (st != AS_OK)
		return st;
	s->next_at = schedule_next(s, &cron, zone, now);
	s->due_at = s->next_at == 0
			? 0
			: s->next_at + schedule_jitter(s, s->next_at);
	zone_free(zone);
	return AS_OK;
}

/* ---- Statements ---------------------------------------------------- */

#define SCHEDULE_ARGS 15

static void
schedule_args(const struct schedule *s, struct sql_arg args[SCHEDULE_ARGS])
{
	args[0] = SQL_UUID(s->id);
	args[1] = SQL_UUID(s->tenant_id);
	args[2] = SQL_UUID(s->user_id);
	args[3] = SQL_UUID(s->agent_id);
	args[4] = SQL_TEXT(s->name);
	args[5] = SQL_TEXT(s->cron);
	args[6] = SQL_TEXT(s->timezone);
	args[7] = SQL_TEXT(s->task);
	args[8] = SQL_INT(schedule_class(s->class));
	args[9] = SQL_TEXT(s->overlap);
	args[10] = SQL_INT(s->jitter_ms);
	args[11] = SQL_INT(s->catch_up);
	args[12] = sql_time(s->ends_at);
	args[13] = sql_time(s->next_at);
	args[14] = sql_time(s->due_at);
}

/* By the clock of the store. */
static SUSPENDS enum as_status
now_get(struct store *store, int64_t *now, struct error *err)
{
	struct rows *r = NULL;
	enum as_status st = store_query(store, &store_now, NULL, 0, &r, err);

	*now = st == AS_OK ? rows_int(r, 0, 0) : 0;
	rows_free(r);
	return st;
}

static SUSPENDS enum as_status
insert(const struct chat_ctx *chat, struct schedule *s, struct error *err)
{
	struct sql_arg args[SCHEDULE_ARGS + 1];
	struct sql_call call = { &schedule_insert, args, N_ITEMS(args) };
	struct rows *r = NULL;
	enum as_status st;

	schedule_args(s, args);
	args[SCHEDULE_ARGS] = SQL_INT(SCHEDULES_MAX);
	st = quota_exec(chat->store, s->user_id, &call, &r, err);
	if (st == AS_OK && rows_count(r) == 0)
		st = error_set(err, ERR_CONFLICT,
		    "this agent has %d schedules of yours already",
		    SCHEDULES_MAX);
	else if (st == AS_OK)
		s->created_at = s->updated_at = rows_int(r, 0, 0);
	rows_free(r);
	return st;
}

SUSPENDS enum as_status
schedule_create(const struct schedule_ctx *ctx, struct uuid agent_id,
    struct json_object *body, struct schedule *out, struct error *err)
{
	const struct chat_ctx *chat = ctx->chat;
	struct agent *agent;
	int64_t now;
	enum as_status st;

	memset(out, 0, sizeof(*out));
	out->id = uuid_v7();
	out->tenant_id = chat->who.tenant_id;
	out->user_id = chat->who.user_id;
	out->agent_id = agent_id;
	out->version = 1;
	st = agent_show(chat->store, &chat->who, agent_id, chat->arena, &agent,
	    err);
	if (st == AS_OK)
		st = doc_read(ctx, body, out, err);
	if (st == AS_OK)
		st = now_get(chat->store, &now, err);
	if (st == AS_OK)
		st = times_begin(ctx, out, now, err);
	return st == AS_OK ? insert(chat, out, err) : st;
}

/* ---- Changes ------------------------------------------------------- */

/* Members that nobody writes come back as they are, or are not looked at. */
static enum as_status
doc_readonly(struct json_object *body, struct json_object *old,
    struct error *err)
{
	static const char *const fixed[] = { "id", "agent_id", "user_id",
		"created_at", "paused" };
	enum as_status st = AS_OK;

	for (size_t i = 0; i < N_ITEMS(fixed); i++)
		if (json_object_object_get_ex(body, fixed[i], NULL) &&
		    !json_object_equal(jget(body, fixed[i]),
			jget(old, fixed[i])))
			st = error_field(err, fixed[i],
			    strcmp(fixed[i], "paused") == 0
				? "is read-only: POST to pause or resume"
				: "is read-only");
	return st;
}

static bool
times_differ(const struct schedule *a, const struct schedule *b)
{
	return strcmp(a->cron, b->cron) != 0 ||
	       strcmp(a->timezone, b->timezone) != 0 ||
	       a->jitter_ms != b->jitter_ms || a->ends_at != b->ends_at;
}

/* By a document; *moved: it goes on with other times. */
static enum as_status
apply_doc(const struct schedule_ctx *ctx, enum schedule_change how,
    struct json_object *body, int64_t now, struct schedule *s, bool *moved,
    struct error *err)
{
	struct json_object *old = schedule_json(ctx, s), *doc;
	struct schedule before = *s;
	enum as_status st = doc_readonly(body, old, err);

	doc = how == SCHEDULE_MERGE ? json_merge_patch(json_copy(old), body)
				    : json_object_get(body);
	if (doc_read(ctx, doc, s, err) != AS_OK)
		st = AS_INVALID;
	*moved = times_differ(&before, s);
	/* What does not move is looked at all the same: is it valid? */
	if (st == AS_OK)
		st = times_begin(ctx, s, now, err);
	json_object_put(doc);
	json_object_put(old);
	return st;
}

static enum as_status
apply(const struct schedule_ctx *ctx, enum schedule_change how,
    struct json_object *body, int64_t now, struct schedule *s, bool *moved,
    struct error *err)
{
	*moved = true;
	switch (how) {
	case SCHEDULE_PAUSE:
	case SCHEDULE_DELETE:
		s->paused = s->paused || how == SCHEDULE_PAUSE;
		if (s->paused && s->paused_reason == NULL)
			s->paused_reason = "user";
		s->next_at = s->due_at = 0;
		return AS_OK;
	case SCHEDULE_RESUME:
		s->paused = false;
		s->paused_reason = NULL;
		return times_begin(ctx, s, now, err);
	case SCHEDULE_REPLACE:
	case SCHEDULE_MERGE:
	default:
		return apply_doc(ctx, how, body, now, s, moved, err);
	}
}

static SUSPENDS enum as_status
change_store(const struct schedule_ctx *ctx, struct schedule *s,
    enum schedule_change how, bool moved, bool *hit, struct error *err)
{
	struct sql_arg args[SCHEDULE_ARGS + 5], drop[3];
	struct sql_call calls[] = { { &schedule_update, args,
					SCHEDULE_ARGS + 5 },
		{ &fires_drop, drop, 3 } };
	struct rows *r[2] = { NULL };
	enum as_status st;

	/* One that is paused has no time; when it goes on it gets one. */
	if (s->paused)
		s->next_at = s->due_at = 0;
	schedule_args(s, args);
	args[15] = SQL_INT(s->version);
	args[16] = SQL_BOOL(moved || s->paused);
	args[17] = SQL_BOOL(s->paused);
	args[18] = SQL_TEXT(s->paused_reason);
	args[19] = SQL_BOOL(how == SCHEDULE_DELETE);
	drop[0] = SQL_UUID(s->id);
	drop[1] = SQL_TEXT(how == SCHEDULE_DELETE ? "deleted" : "paused");
	drop[2] = SQL_INT(s->version + 1);
	st = store_batch(ctx->chat->store, calls, 2, r, err);
	*hit = st == AS_OK && rows_count(r[0]) > 0;
	if (*hit) {
		s->version++;
		s->updated_at = rows_int(r[0], 0, 0);
		s->next_at = rows_int(r[0], 0, 1);
		s->due_at = rows_int(r[0], 0, 2);
	}
	rows_free(r[0]);
	rows_free(r[1]);
	return st;
}

static SUSPENDS enum as_status
find(const struct schedule_ctx *ctx, struct uuid agent_id, struct uuid id,
    int64_t if_version, int64_t *now, struct schedule *out, struct error *err)
{
	enum as_status st = schedule_get(ctx, agent_id, id, out, err);

	if (st == AS_OK && if_version > 0 && if_version != out->version) {
		st = error_set(err, ERR_VERSION_CONFLICT,
		    "the schedule has version %lld by now",
		    (long long)out->version);
		error_member(err, "current_version",
		    json_object_new_int64(out->version));
	}
	return st == AS_OK ? now_get(ctx->chat->store, now, err) : st;
}

static bool
is_so_already(const struct schedule *s, enum schedule_change how)
{
	return (how == SCHEDULE_PAUSE && s->paused) ||
	       (how == SCHEDULE_RESUME && !s->paused);
}

SUSPENDS enum as_status
schedule_change(const struct schedule_ctx *ctx, struct uuid agent_id,
    struct uuid id, enum schedule_change how, struct json_object *body,
    int64_t if_version, struct schedule *out, struct error *err)
{
	int64_t now = 0;
	enum as_status st;
	bool hit = false, moved;

	for (int i = 0; i < RETRIES && !hit; i++) {
		st = find(ctx, agent_id, id, if_version, &now, out, err);
		if (st != AS_OK || is_so_already(out, how))
			return st;
		st = apply(ctx, how, body, now, out, &moved, err);
		if (st == AS_OK)
			st = change_store(ctx, out, how, moved, &hit, err);
		if (st != AS_OK)
			return st;
	}
	return hit ? AS_OK
		   : error_set(err, ERR_CONFLICT,
			 "the schedule is being changed by others");
}
