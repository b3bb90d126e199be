/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/fold.h"

#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/text.h"

/* See fold.h.  One function a type of event; types not named change nothing. */

/* The clocks of a node and of the database may differ by so much. */
#define SKEW_US 5000000

struct folding {
	struct fold_run *r;
	struct arena *arena;
	int64_t error_at; /* when the error was said */
};

/* ---- Events -------------------------------------------------------- */

static int64_t
count_of(struct json_object *usage, const char *member)
{
	int64_t n = jget_int(usage, member, 0);

	return n > 0 ? n : 0;
}

/* Of one answer; the states tell the sum, with what led to nothing. */
static void
on_usage(struct fold_run *r, struct json_object *usage)
{
	r->usage.input += count_of(usage, "input_tokens");
	r->usage.output += count_of(usage, "output_tokens");
	r->usage.cached += count_of(usage, "cached_tokens");
	r->usage.reasoning += count_of(usage, "reasoning_tokens");
}

static void
on_error(struct folding *f, struct json_object *error, int64_t at)
{
	f->r->error = NULL;
	f->r->error_code = NULL;
	if (error == NULL)
		return;
	f->error_at = at;
	f->r->error = arena_strdup(f->arena, json_text(error));
	f->r->error_code = arena_strdup(f->arena, jget_str(error, "code", ""));
}

static enum as_status
on_status(struct folding *f, const struct fold_event *e, struct json_object *o,
    struct error *err)
{
	const char *name = jget_str(o, "state", "");
	enum run_status s = run_status_by_name(name);
	struct fold_run *r = f->r;

	if (s == 0)
		return error_set(err, ERR_CONFLICT, "event %lld: no state '%s'",
		    (long long)e->run_seq, name);
	if (r->status != 0 && !run_is_open(r->status))
		return error_set(err, ERR_CONFLICT,
		    "event %lld: %s after the run has ended as %s",
		    (long long)e->run_seq, name, run_status_name(r->status));
	r->status = s;
	if (s == RUN_RUNNING && r->started_at == 0)
		r->started_at = e->created_at;
	if (!run_is_open(s))
		r->completed_at = e->created_at;
	if (jget(o, "usage") != NULL) {
		memset(&r->usage, 0, sizeof(r->usage));
		on_usage(r, jget(o, "usage"));
	}
	/* Why it waits for its time is not kept in the row. */
	on_error(f, s != RUN_WAITING_TIMER ? jget(o, "error") : NULL,
	    e->created_at);
	return AS_OK;
}

static enum as_status
on_checkpoint(struct fold_run *r, const struct fold_event *e,
    struct json_object *o, struct error *err)
{
	const char *hex = jget_str(o, "state_hash", "");
	unsigned byte;

	r->checkpoint_step = jget_int(o, "step", 0);
	if (!jget_uuid(o, "checkpoint_id", &r->checkpoint_id) ||
	    strlen(hex) != 2 * HASH_LEN || r->checkpoint_step != e->step)
		return error_set(err, ERR_CONFLICT,
		    "event %lld: a checkpoint of step %lld in step %lld",
		    (long long)e->run_seq, (long long)r->checkpoint_step,
		    (long long)e->step);
	for (size_t i = 0; i < HASH_LEN; i++) {
		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return error_set(err, ERR_CONFLICT,
			    "event %lld: '%s' is no hash",
			    (long long)e->run_seq, hex);
		r->state_hash[i] = (uint8_t)byte;
	}
	return AS_OK;
}

static void
on_model(struct folding *f, struct json_object *o)
{
	const char *model = jget_str(o, "model", NULL);

	if (model != NULL)
		f->r->model = arena_strdup(f->arena, model);
}

static enum as_status
fold_one(struct folding *f, const struct fold_event *e, struct json_object *o,
    struct error *err)
{
	/* An error stays until the next commit; its events have one time. */
	if (f->r->error != NULL && e->created_at != f->error_at)
		on_error(f, NULL, 0);
	on_model(f, o);
	if (strcmp(e->type, "run_status") == 0)
		return on_status(f, e, o, err);
	if (strcmp(e->type, "checkpoint") == 0)
		return on_checkpoint(f->r, e, o, err);
	if (strcmp(e->type, "message_end") == 0 ||
	    strcmp(e->type, "compaction") == 0)
		on_usage(f->r, jget(o, "usage"));
	return AS_OK;
}

/* What every event has to obey, and carries by itself. */
static enum as_status
fold_order(struct fold_run *r, const struct fold_event *e, struct error *err)
{
	bool late = r->status != 0 && !run_is_open(r->status);

	if (e->run_seq != r->head_seq + 1)
		return error_set(err, ERR_CONFLICT,
		    "event %lld follows event %lld", (long long)e->run_seq,
		    (long long)r->head_seq);
	if (e->fence < r->fence || e->step < r->step)
		return error_set(err, ERR_CONFLICT,
		    "event %lld: fence %lld, step %lld after fence %lld, "
		    "step %lld",
		    (long long)e->run_seq, (long long)e->fence,
		    (long long)e->step, (long long)r->fence,
		    (long long)r->step);
	if (late && strcmp(e->type, "run_status") != 0 &&
	    e->created_at != r->completed_at &&
	    strcmp(e->type, "tool_result") != 0)
		return error_set(err, ERR_CONFLICT,
		    "event %lld: %s after the run has ended",
		    (long long)e->run_seq, e->type);
	r->head_seq = e->run_seq;
	r->fence = e->fence;
	r->step = e->step;
	if (e->run_seq == 1)
		r->created_at = e->created_at;
	return AS_OK;
}

enum as_status
fold_events(const struct fold_event *events, int n, struct arena *arena,
    struct fold_run *out, struct error *err)
{
	struct folding f = { .r = out, .arena = arena };
	struct json_object *o;
	enum as_status st = AS_OK;

	memset(out, 0, sizeof(*out));
	for (int i = 0; i < n && st == AS_OK; i++) {
		o = NULL;
		st = fold_order(out, &events[i], err);
		if (st == AS_OK)
			st = json_parse(events[i].payload,
			    strlen(events[i].payload), &o, err);
		if (st == AS_OK)
			st = fold_one(&f, &events[i], o, err);
		json_object_put(o);
	}
	if (st == AS_OK && out->status == 0)
		st = error_set(err, ERR_CONFLICT,
		    "no event tells the state of this run");
	return st;
}

/* ---- Comparing ----------------------------------------------------- */

struct comparing {
	struct arena *arena;
	struct fold_difference *out;
	int n;
};

static void
differ(struct comparing *c, const char *column, const char *log,
    const char *row)
{
	c->out[c->n++] = (struct fold_difference){ column,
		log != NULL ? log : "nothing", row != NULL ? row : "nothing" };
}

static void
compare_int(struct comparing *c, const char *column, int64_t log, int64_t row)
{
	if (log != row)
		differ(c, column,
		    arena_printf(c->arena, "%lld", (long long)log),
		    arena_printf(c->arena, "%lld", (long long)row));
}

static void
compare_text(struct comparing *c, const char *column, const char *log,
    const char *row)
{
	if (strcmp(log != NULL ? log : "", row != NULL ? row : "") != 0)
		differ(c, column, log, row);
}

static bool
is_queued_or_run(enum run_status s)
{
	return s == RUN_QUEUED || s == RUN_RUNNING || s == RUN_WAITING_TIMER;
}

static bool
same_status(const struct fold_run *log, const struct fold_run *row)
{
	return log->status == row->status ||
	       (is_queued_or_run(log->status) && is_queued_or_run(row->status));
}

static bool
same_fence(const struct fold_run *log, const struct fold_run *row)
{
	return log->fence == row->fence ||
	       (run_is_open(log->status) && row->fence > log->fence);
}

/* The claim is earlier than what its owner says of it; or nothing was said. */
static bool
same_start(const struct fold_run *log, const struct fold_run *row)
{
	if (row->started_at == 0)
		return log->started_at == 0;
	return row->started_at >= log->created_at - SKEW_US &&
	       (log->started_at == 0
		       ? log->fence > 0 || row->fence > 0
		       : row->started_at <= log->started_at + SKEW_US);
}

static void
compare_usage(struct comparing *c, const struct run_usage *log,
    const struct run_usage *row)
{
	if (log->input != row->input || log->output != row->output ||
	    log->cached != row->cached || log->reasoning != row->reasoning)
		differ(c, "usage",
		    arena_printf(c->arena, "%lld + %lld tokens",
			(long long)log->input, (long long)log->output),
		    arena_printf(c->arena, "%lld + %lld tokens",
			(long long)row->input, (long long)row->output));
}

static const char *
uuid_text(struct arena *arena, struct uuid id)
{
	char text[UUID_TEXT];

	uuid_format(id, text);
	return uuid_is_nil(id) ? NULL : arena_strdup(arena, text);
}

static const char *
hash_hex(struct arena *arena, const uint8_t sum[HASH_LEN])
{
	char text[HASH_TEXT];

	text_hex(text, sum, HASH_LEN);
	return arena_strdup(arena, text);
}

/* JSON that says the same may be written in two ways. */
static const char *
json_normal(struct arena *arena, const char *text)
{
	struct json_object *o = NULL;
	const char *normal;

	if (text == NULL || json_parse(text, strlen(text), &o, NULL) != AS_OK)
		return text;
	normal = arena_strdup(arena, json_text(o));
	json_object_put(o);
	return normal;
}

int
fold_compare(const struct fold_run *log, const struct fold_run *row,
    struct arena *arena, struct fold_difference out[FOLD_COLUMNS])
{
	struct comparing c = { .arena = arena, .out = out };

	if (!same_status(log, row))
		compare_text(&c, "status", run_status_name(log->status),
		    row->status != 0 ? run_status_name(row->status) : NULL);
	compare_int(&c, "step", log->step, row->step);
	compare_int(&c, "head_seq", log->head_seq, row->head_seq);
	if (!same_fence(log, row))
		compare_int(&c, "fence", log->fence, row->fence);
	compare_usage(&c, &log->usage, &row->usage);
	compare_text(&c, "error_code", log->error_code, row->error_code);
	compare_text(&c, "error", json_normal(arena, log->error),
	    json_normal(arena, row->error));
	if (log->model != NULL)
		compare_text(&c, "model", log->model, row->model);
	compare_text(&c, "checkpoint_id", uuid_text(arena, log->checkpoint_id),
	    uuid_text(arena, row->checkpoint_id));
	if (uuid_equal(log->checkpoint_id, row->checkpoint_id)) {
		compare_int(&c, "checkpoint.step", log->checkpoint_step,
		    row->checkpoint_step);
		compare_text(&c, "checkpoint.state_hash",
		    hash_hex(arena, log->state_hash),
		    hash_hex(arena, row->state_hash));
	}
	if (!same_start(log, row))
		compare_int(&c, "started_at", log->started_at, row->started_at);
	compare_int(&c, "completed_at", log->completed_at, row->completed_at);
	return c.n;
}

struct fold_run
fold_mend(const struct fold_run *log, const struct fold_run *row)
{
	struct fold_run m = *log;

	if (same_start(log, row))
		m.started_at = row->started_at;
	if (log->model == NULL)
		m.model = row->model;
	if (!run_is_open(log->status))
		return m;
	if (row->fence > m.fence)
		m.fence = row->fence;
	if (same_status(log, row)) {
		m.status = row->status;
		return m;
	}
	/* Nobody may be at work on it: whoever is has lost it now. */
	m.fence++;
	if (is_queued_or_run(log->status))
		m.status = RUN_QUEUED;
	return m;
}
