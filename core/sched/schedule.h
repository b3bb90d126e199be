/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SCHED_SCHEDULE_H
#define CORE_SCHED_SCHEDULE_H

/*
 * Schedules: which agent gets which task when.
 *
 * A schedule belongs to who made it; for others it does not exist (NOT_FOUND).
 * next_at is the next time by the clock; it starts at due_at, which is later by
 * its jitter.  What becomes of each time is a row of schedule_fires: fire.h.
 */

#include "core/chat/chat.h"

struct schedule {
	struct uuid id, tenant_id, user_id, agent_id;
	const char *name, *cron, *timezone, *task;
	const char *class; /* priority standard bulk */
	const char *overlap; /* skip queue replace */
	int64_t jitter_ms, catch_up;
	int64_t ends_at; /* 0: never */
	bool paused;
	const char *paused_reason; /* NULL while it is not */
	int64_t next_at, due_at; /* 0: none */
	int64_t last_at; /* 0: none */
	struct uuid last_run_id; /* nil: none */
	int64_t version, created_at, updated_at;
	bool deleted;
};

#define SCHEDULE_JITTER_MAX INT64_C(3600000)
#define SCHEDULE_CATCH_UP_MAX 24
#define SCHEDULE_PREVIEW 5
#define SCHEDULES_MAX 100 /* of one person for one agent */

/* What schedules need of their process. */
struct schedule_ctx {
	const struct chat_ctx *chat;
	const char *zoneinfo; /* folder of the zone files */
};

/* ---- As its owner works with it ------------------------------------ */

/* A page, newest first: the API's objects. */
SUSPENDS enum as_status schedule_list(const struct schedule_ctx *ctx,
    struct uuid agent_id, struct row_page *page, struct json_object **items,
    struct error *err);
SUSPENDS enum as_status schedule_get(const struct schedule_ctx *ctx,
    struct uuid agent_id, struct uuid id, struct schedule *out,
    struct error *err);
/* body has passed its schema. */
SUSPENDS enum as_status schedule_create(const struct schedule_ctx *ctx,
    struct uuid agent_id, struct json_object *body, struct schedule *out,
    struct error *err);

enum schedule_change {
	SCHEDULE_REPLACE = 1,
	SCHEDULE_MERGE,
	SCHEDULE_PAUSE,
	SCHEDULE_RESUME,
	SCHEDULE_DELETE
};

/*
 * Change it; body is for the first two.  if_version > 0: VERSION_CONFLICT if it
 * is another one.  Where line, zone, jitter or end change, and at its resumption,
 * it goes on with the first time after now; to pause one that is paused and to
 * resume one that is not changes nothing.  *out is what it has become.
 */
SUSPENDS enum as_status schedule_change(const struct schedule_ctx *ctx,
    struct uuid agent_id, struct uuid id, enum schedule_change how,
    struct json_object *body, int64_t if_version, struct schedule *out,
    struct error *err);

/* What has become of its times, newest first; the key is the time. */
SUSPENDS enum as_status schedule_runs(const struct schedule_ctx *ctx,
    struct uuid agent_id, struct uuid id, int64_t before, int64_t limit,
    struct json_object **items, int64_t *next, struct error *err);

/* The API's object, with its next times; the zone may be gone by now. */
struct json_object *schedule_json(const struct schedule_ctx *ctx,
    const struct schedule *s);

/* ---- Times --------------------------------------------------------- */

struct cron;
struct zone;

/* Line and zone; VALIDATION_FAILED on cron or timezone. *zone: zone_free. */
enum as_status schedule_times(const char *zoneinfo, const struct schedule *s,
    struct cron *cron, struct zone **zone, struct error *err);
/* The first time after one, 0: there is none, or it has ended by then. */
int64_t schedule_next(const struct schedule *s, const struct cron *cron,
    const struct zone *zone, int64_t after_us);
/* The same for a time in each node: between 0 and jitter_ms, in microseconds. */
int64_t schedule_jitter(const struct schedule *s, int64_t fire_at);

/* ---- Rows ---------------------------------------------------------- */

#define SCHEDULE_N_COLUMNS 23
#define SCHEDULE_COLUMNS(t) \
	t "id, " t "tenant_id, " t "user_id, " t "agent_id, " t "name, " t \
	  "cron, " t "timezone, " t "task, " t "class, " t "overlap, " t \
	  "jitter_ms, " t "catch_up, " t "ends_at, " t "paused, " t \
	  "paused_reason, " t "next_at, " t "due_at, " t "last_at, " t \
	  "last_run_id, " t "version, " t "created_at, " t "updated_at, " t \
	  "deleted_at"

/* From the columns that begin with number `from`; text in the arena. */
void schedule_from_row(struct arena *arena, const struct rows *r, int row,
    int from, struct schedule *s);
enum as_status schedule_missing(struct uuid id, struct error *err);
int schedule_class(const char *name); /* 0 1 2 */

#endif
