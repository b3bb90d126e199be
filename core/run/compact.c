/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/compact.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/failpoint.h"
#include "core/base/json.h"
#include "core/base/json_write.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/run/history.h"
#include "core/run/prompt.h"
#include "core/run/run_metrics.h"

/*
 * The summary is a step of its own: the model is asked on a child fiber, and
 * what it said is committed with a checkpoint before anything is built on it.
 * A process that dies in between leaves the step before.
 */

#define SUMMARY_MAX (64 * 1024) /* bytes */
#define NOTE \
	"Earlier messages of this conversation were left out, since they no " \
	"longer fit; they could not be summarised."

struct compacting {
	struct work *w;
	struct compact_plan plan;
	struct json_object *messages;
	struct fiber_ref fiber;
	struct buf text;
	struct plug_chat_end end;
	struct error err;
	enum as_status st;
	bool done;
};

/* ---- The child ----------------------------------------------------- */

static enum as_status
on_delta(void *arg, const struct as_delta *d)
{
	struct compacting *c = arg;

	if (work_must_stop(c->w))
		return AS_CANCELED;
	if (d->type != AS_DELTA_TEXT)
		return AS_OK;
	if (c->text.len + d->len > SUMMARY_MAX)
		return AS_LIMIT;
	buf_add(&c->text, d->text, d->len);
	return AS_OK;
}

static SUSPENDS void
compact_main(void *arg)
{
	struct compacting *c = arg;
	struct work *w = c->w;
	const struct world *world = w->e->c.world;
	struct plug_sink sink = { .arg = c, .delta = on_delta };
	struct json_object *tools = jarr();
	struct plug_caller who;
	char key[RUN_IDEM_KEY];

	work_ask_begin(w, "", &who, key);
	FAILPOINT("compact.pre_send");
	c->st = world->chat(world->arg, &who, w->model, c->messages, tools,
	    &sink, &c->end, &c->err);
	FAILPOINT("compact.end");
	json_object_put(tools);
	fiber_correlation_set(NULL);
	c->done = true;
	fiber_wake(w->wait);
}

static SUSPENDS void
compact_ask(struct compacting *c)
{
	struct work *w = c->w;

	c->end.input = c->end.output = c->end.cached = c->end.reasoning = -1;
	c->messages = compact_request(&c->plan, w->history, w->n_history);
	c->fiber = fiber_spawn(w->e->c.loop, "summary", compact_main, c);
	if (c->fiber.f == NULL) {
		c->st = error_set(&c->err, ERR_UNAVAILABLE, "too many fibers");
		return;
	}
	work_child_wait(w, c->fiber, &c->done);
}

/* ---- The commit ---------------------------------------------------- */

static bool
is_summarised(const struct compacting *c)
{
	return c->st == AS_OK && c->text.len > 0;
}

/* No estimate stands in the part: a replay has another prompt. */
static const char *
parts_text(struct compacting *c, struct work_commit *wc, const char *text)
{
	struct buf b = { 0 };

	jw_open_list(&b, NULL);
	jw_open(&b, NULL);
	jw_str(&b, "type", "summary");
	jw_str(&b, "text", text);
	jw_int(&b, "keeps", c->w->n_history - c->plan.cut);
	jw_int(&b, "window", c->plan.window);
	jw_bool(&b, "summarised", is_summarised(c));
	jw_close(&b);
	jw_close_list(&b);
	return work_text(wc, &b);
}

static void
compacted_event(struct compacting *c, struct work_commit *wc,
    const struct run_message *m)
{
	struct buf b = { 0 };

	jw_open(&b, NULL);
	jw_uuid(&b, "message_id", m->id);
	jw_int(&b, "left_out", c->plan.cut - c->plan.from);
	jw_int(&b, "kept", c->w->n_history - c->plan.cut);
	jw_int(&b, "tokens", c->plan.tokens);
	jw_int(&b, "window", c->plan.window);
	jw_bool(&b, "summarised", is_summarised(c));
	jw_raw(&b, "usage", m->usage);
	jw_close(&b);
	event_list_add(&wc->events, "compaction", &b);
}

static const char *
usage_text(struct compacting *c, struct work_commit *wc)
{
	struct run_usage u = {
		.input = c->end.input > 0 ? c->end.input : 0,
		.output = c->end.output > 0 ? c->end.output : 0,
		.cached = c->end.cached > 0 ? c->end.cached : 0,
		.reasoning = c->end.reasoning > 0 ? c->end.reasoning : 0,
	};
	struct buf b = { 0 };

	run_usage_write(&b, NULL, &u);
	return work_text(wc, &b);
}

static SUSPENDS void
compact_commit(struct compacting *c)
{
	struct work *w = c->w;
	struct buf clean = { 0 };
	struct run_message *m;
	struct work_commit wc;

	if (is_summarised(c))
		text_add_clean(&clean, c->text.data, c->text.len);
	else
		buf_add_str(&clean, NOTE);
	work_commit_init(w, &wc);
	m = work_add_message(w, &wc, "system");
	m->content = work_text(&wc, &clean);
	m->parts = parts_text(c, &wc, m->content);
	m->usage = usage_text(c, &wc);
	m->model = w->model;
	compacted_event(c, &wc, m);
	work_message_created(w, &wc, m);
	work_checkpoint(w, &wc);
	FAILPOINT("compact.pre_commit");
	if (work_commit(w, &wc, NULL) == AS_OK) {
		FAILPOINT("compact.post_commit");
		(void)work_reload_history(w, NULL);
	}
	work_commit_fini(&wc);
}

/* ---- When ---------------------------------------------------------- */

static int64_t
fixed_tokens(struct work *w)
{
	const struct world *world = w->e->c.world;
	struct json_object *tools = world->offer(world->arg, w->agent);
	char *system = prompt_system(w->agent, run_is_alone(w->state.kind));
	int64_t sum = 4 + compact_tokens(system) +
		      compact_tokens(json_text(tools));

	json_object_put(tools);
	free(system);
	return sum;
}

/* The prompt is made only for a history that is on its way to the window. */
static bool
is_due(struct compacting *c)
{
	struct work *w = c->w;
	const struct world *world = w->e->c.world;
	int64_t percent = w->e->c.limits.compact_percent, window;

	if (world->window == NULL || percent == 0 || work_must_stop(w))
		return false;
	window = run_window(w->e->c.limits.windows, w->model);
	if (window <= 0)
		window = world->window(world->arg, w->model);
	if (window <= 0)
		return false;
	return compact_due(&c->plan, w->history, w->n_history, fixed_tokens(w),
	    window, percent);
}

SUSPENDS bool
work_compact(struct work *w)
{
	struct compacting *c = xcalloc(1, sizeof(*c));
	bool due;

	c->w = w;
	due = is_due(c);
	if (due) {
		compact_ask(c);
		run_count_tokens(c->end.input, c->end.output);
		work_spend(w, &c->end);
	}
	if (due && !work_must_stop(w)) {
		if (!is_summarised(c))
			log_warn("run", "no summary: %s", c->err.detail);
		compact_commit(c);
	}
	json_object_put(c->messages);
	buf_free(&c->text);
	error_clear(&c->err);
	free(c);
	return due;
}
