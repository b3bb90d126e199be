/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sched/schedule.h"

#include <string.h>

#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/sched/cron.h"
#include "core/sched/zone.h"

/* Reading schedules, what they look like, and when they are due. */

#define US INT64_C(1000000)

static const char *const classes[] = { "priority", "standard", "bulk" };

int
schedule_class(const char *name)
{
	for (int i = 0; i < (int)N_ITEMS(classes); i++)
		if (strcmp(classes[i], name) == 0)
			return i;
	return 1;
}

static const char *
class_name(int64_t class)
{
	return class >= 0 && class < (int64_t)N_ITEMS(classes) ? classes[class]
							       : classes[1];
}

void
schedule_from_row(struct arena *arena, const struct rows *r, int row, int from,
    struct schedule *s)
{
	int c = from;

	memset(s, 0, sizeof(*s));
	s->id = rows_uuid(r, row, c++);
	s->tenant_id = rows_uuid(r, row, c++);
	s->user_id = rows_uuid(r, row, c++);
	s->agent_id = rows_uuid(r, row, c++);
	s->name = arena_strdup(arena, rows_text(r, row, c++));
	s->cron = arena_strdup(arena, rows_text(r, row, c++));
	s->timezone = arena_strdup(arena, rows_text(r, row, c++));
	s->task = arena_strdup(arena, rows_text(r, row, c++));
	s->class = class_name(rows_int(r, row, c++));
	s->overlap = arena_strdup(arena, rows_text(r, row, c++));
	s->jitter_ms = rows_int(r, row, c++);
	s->catch_up = rows_int(r, row, c++);
	s->ends_at = rows_int(r, row, c++);
	s->paused = rows_bool(r, row, c++);
	s->paused_reason = arena_strdup(arena, rows_text(r, row, c++));
	s->next_at = rows_int(r, row, c++);
	s->due_at = rows_int(r, row, c++);
	s->last_at = rows_int(r, row, c++);
	s->last_run_id = rows_uuid(r, row, c++);
	s->version = rows_int(r, row, c++);
	s->created_at = rows_int(r, row, c++);
	s->updated_at = rows_int(r, row, c++);
	s->deleted = !rows_is_null(r, row, c);
}

enum as_status
schedule_missing(struct uuid id, struct error *err)
{
	char text[UUID_TEXT];

	uuid_format(id, text);
	return error_not_found(err, "schedule", text);
}

/* ---- Times --------------------------------------------------------- */

enum as_status
schedule_times(const char *zoneinfo, const struct schedule *s,
    struct cron *cron, struct zone **zone, struct error *err)
{
	char why[CRON_WHY];
	enum as_status st = AS_OK;

	*zone = NULL;
	if (!cron_parse(s->cron, cron, why))
		st = error_field(err, "cron", "%s", why);
	if (zone_load(zoneinfo, s->timezone, "timezone", zone, err) != AS_OK)
		st = AS_INVALID;
	if (st != AS_OK) {
		zone_free(*zone);
		*zone = NULL;
	}
	return st;
}

int64_t
schedule_next(const struct schedule *s, const struct cron *cron,
    const struct zone *zone, int64_t after_us)
{
	int64_t t = cron_next(cron, zone, after_us / US);

	if (t >= INT64_MAX / US || (s->ends_at != 0 && t * US > s->ends_at))
		return 0;
	return t * US;
}

int64_t
schedule_jitter(const struct schedule *s, int64_t fire_at)
{
	uint8_t sha[HASH_LEN];
	uint64_t n = 0;
	struct hash h;

	if (s->jitter_ms <= 0)
		return 0;
	hash_init(&h);
	hash_field(&h, s->id.b, sizeof(s->id.b));
	hash_field_int(&h, fire_at);
	hash_end(&h, sha);
	for (int i = 0; i < 8; i++)
		n = n << 8 | sha[i];
	return (int64_t)(n % ((uint64_t)s->jitter_ms * 1000 + 1));
}

/* ---- As the API shows it ------------------------------------------- */

/* Without a zone that can be read there are none, and nothing will start. */
static struct json_object *
next_times(const struct schedule_ctx *ctx, const struct schedule *s)
{
	struct json_object *list = jarr(), *o;
	struct zone *zone = NULL;
	struct cron cron;
	int64_t t = s->next_at;

	if (s->next_at == 0 || s->paused ||
	    schedule_times(ctx->zoneinfo, s, &cron, &zone, NULL) != AS_OK)
		return list;
	o = jobj();
	for (int i = 0; i < SCHEDULE_PREVIEW && t != 0; i++) {
		jput_time(o, "t", t);
		json_object_array_add(list, json_object_get(jget(o, "t")));
		t = schedule_next(s, &cron, zone, t);
	}
	json_object_put(o);
	zone_free(zone);
	return list;
}

static void
put_uuid_or_null(struct json_object *o, const char *key, struct uuid id)
{
	if (uuid_is_nil(id))
		jput_null(o, key);
	else
		jput_uuid(o, key, id);
}

struct json_object *
schedule_json(const struct schedule_ctx *ctx, const struct schedule *s)
{
	struct json_object *o = jobj();

	jput_uuid(o, "id", s->id);
	jput_uuid(o, "agent_id", s->agent_id);
	jput_uuid(o, "user_id", s->user_id);
	jput_str(o, "name", s->name);
	jput_str(o, "cron", s->cron);
	jput_str(o, "timezone", s->timezone);
	jput_str(o, "task", s->task);
	jput_str(o, "class", s->class);
	jput_str(o, "overlap", s->overlap);
	jput_int(o, "jitter_ms", s->jitter_ms);
	jput_int(o, "catch_up", s->catch_up);
	jput_time(o, "ends_at", s->ends_at);
	jput_bool(o, "paused", s->paused);
	jput_str(o, "paused_reason", s->paused_reason);
	jput_time(o, "next_at", s->paused ? 0 : s->next_at);
	jput(o, "next_times", next_times(ctx, s));
	jput_time(o, "last_at", s->last_at);
	put_uuid_or_null(o, "last_run_id", s->last_run_id);
	jput_int(o, "version", s->version);
	jput_time(o, "created_at", s->created_at);
	jput_time(o, "updated_at", s->updated_at);
	return o;
}

/* ---- Reading ------------------------------------------------------- */

/*
 * COALESCE as in agents: PostgreSQL shall ask the primary key for the one id.
 */
SQL(schedule_one,
    "SELECT " SCHEDULE_COLUMNS(
	"") " FROM schedules WHERE id = $1"
	    " AND COALESCE(tenant_id, $2) = $2"
	    " AND COALESCE(user_id, $3) = $3"
	    " AND COALESCE(agent_id, $4) = $4 AND deleted_at IS NULL");
SQL(schedule_page,
    "SELECT " SCHEDULE_COLUMNS("") " FROM schedules WHERE agent_id = $1"
				   " AND tenant_id = $2 AND user_id = $3 AND "
				   "id < $4 AND deleted_at IS NULL"
				   " ORDER BY id DESC LIMIT $5");

SUSPENDS enum as_status
schedule_get(const struct schedule_ctx *ctx, struct uuid agent_id,
    struct uuid id, struct schedule *out, struct error *err)
{
	const struct principal *who = &ctx->chat->who;
	struct sql_arg args[] = { SQL_UUID(id), SQL_UUID(who->tenant_id),
		SQL_UUID(who->user_id), SQL_UUID(agent_id) };
	struct rows *r = NULL;
	enum as_status st;

	st = store_query(ctx->chat->store, &schedule_one, args, 4, &r, err);
	if (st == AS_OK && rows_count(r) == 0)
		st = schedule_missing(id, err);
	if (st == AS_OK)
		schedule_from_row(ctx->chat->arena, r, 0, 0, out);
	rows_free(r);
	return st;
}

SUSPENDS enum as_status
schedule_list(const struct schedule_ctx *ctx, struct uuid agent_id,
    struct row_page *page, struct json_object **items, struct error *err)
{
	const struct principal *who = &ctx->chat->who;
	struct uuid before = page->after;
	struct sql_arg args[5];
	struct rows *r = NULL;
	struct schedule s;
	enum as_status st;

	if (uuid_is_nil(before))
		memset(before.b, 0xff, sizeof(before.b));
	args[0] = SQL_UUID(agent_id);
	args[1] = SQL_UUID(who->tenant_id);
	args[2] = SQL_UUID(who->user_id);
	args[3] = SQL_UUID(before);
	args[4] = SQL_INT(page->limit + 1);
	st = store_query(ctx->chat->store, &schedule_page, args, 5, &r, err);
	if (st != AS_OK)
		return st;
	*items = jarr();
	page->more = rows_count(r) > page->limit;
	for (int i = 0; i < rows_count(r) && i < page->limit; i++) {
		schedule_from_row(ctx->chat->arena, r, i, 0, &s);
		page->last = s.id;
		json_object_array_add(*items, schedule_json(ctx, &s));
	}
	rows_free(r);
	return AS_OK;
}

/* ---- What has become of its times ---------------------------------- */

SQL(fires_page,
    "SELECT f.fire_at, f.state, f.reason, f.times, f.run_id, r.thread_id,"
    " r.status, f.updated_at FROM schedule_fires f"
    " LEFT JOIN runs r ON r.id = f.run_id WHERE f.schedule_id = $1"
    " AND f.fire_at < $2 ORDER BY f.fire_at DESC LIMIT $3");

static struct json_object *
fire_json(const struct rows *r, int i)
{
	struct json_object *o = jobj();

	jput_time(o, "fire_at", rows_int(r, i, 0));
	jput_str(o, "state", rows_text(r, i, 1));
	jput_str(o, "reason", rows_text(r, i, 2));
	jput_int(o, "times", rows_int(r, i, 3));
	put_uuid_or_null(o, "run_id", rows_uuid(r, i, 4));
	put_uuid_or_null(o, "thread_id", rows_uuid(r, i, 5));
	jput_str(o, "run_status", rows_text(r, i, 6));
	jput_time(o, "updated_at", rows_int(r, i, 7));
	return o;
}

SUSPENDS enum as_status
schedule_runs(const struct schedule_ctx *ctx, struct uuid agent_id,
    struct uuid id, int64_t before, int64_t limit, struct json_object **items,
    int64_t *next, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(id),
		SQL_INT(before > 0 ? before : INT64_MAX), SQL_INT(limit + 1) };
	struct schedule s;
	struct rows *r = NULL;
	enum as_status st = schedule_get(ctx, agent_id, id, &s, err);

	*next = 0;
	if (st == AS_OK)
		st = store_query(ctx->chat->store, &fires_page, args, 3, &r,
		    err);
	if (st != AS_OK)
		return st;
	*items = jarr();
	for (int i = 0; i < rows_count(r) && i < limit; i++)
		json_object_array_add(*items, fire_json(r, i));
	if (rows_count(r) > limit)
		*next = rows_int(r, (int)limit - 1, 0);
	rows_free(r);
	return AS_OK;
}
