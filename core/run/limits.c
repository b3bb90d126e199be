/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/limits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/json_write.h"

/* See limits.h. */

bool
run_is_alone(const char *kind)
{
	return kind != NULL && strcmp(kind, "ambient") == 0;
}

struct engine_limits
run_limits(const struct engine_limits *l, const char *kind)
{
	struct engine_limits own = *l;

	if (run_is_alone(kind) && l->ambient_steps > 0)
		own.max_steps = l->ambient_steps;
	if (run_is_alone(kind) && l->ambient_wall_ms > 0)
		own.max_wall_ms = l->ambient_wall_ms;
	return own;
}

void
run_budget_parse(struct run_budget *b, const char *json)
{
	struct json_object *o = NULL;

	memset(b, 0, sizeof(*b));
	if (json == NULL || json_parse(json, strlen(json), &o, NULL) != AS_OK)
		return;
	b->steps = jget_int(o, "steps", 0);
	b->tokens = jget_int(o, "tokens", 0);
	b->cost_micros = jget_int(o, "cost_micros", 0);
	b->repeats = jget_int(o, "repeats", 0);
	b->wall_left_ms = jget_int(o, "wall_left_ms", 0);
	json_object_put(o);
}

void
run_budget_write(struct buf *out, const struct run_budget *b)
{
	jw_open(out, NULL);
	jw_int(out, "steps", b->steps);
	jw_int(out, "tokens", b->tokens);
	jw_int(out, "cost_micros", b->cost_micros);
	jw_int(out, "repeats", b->repeats);
	if (b->wall_left_ms > 0)
		jw_int(out, "wall_left_ms", b->wall_left_ms);
	jw_close(out);
}

void
run_budget_extend(struct run_budget *b, const struct engine_limits *l)
{
	b->steps += l->max_steps;
	b->tokens += l->max_tokens;
	b->cost_micros += l->max_cost_micros;
	b->repeats += RUN_REPEATS_MAX;
}

bool
run_limits_hold(const struct engine_limits *l, const struct run_budget *granted,
    const struct run_used *used, struct error *err)
{
	int64_t steps = l->max_steps + granted->steps;
	int64_t tokens = l->max_tokens + granted->tokens;
	int64_t cost = l->max_cost_micros + granted->cost_micros;

	if (used->steps >= steps)
		error_set(err, ERR_LIMIT_REACHED,
		    "%lld model calls, the limit of a run", (long long)steps);
	else if (used->tokens >= tokens)
		error_set(err, ERR_LIMIT_REACHED,
		    "%lld tokens used, the limit of a run is %lld",
		    (long long)used->tokens, (long long)tokens);
	else if (l->max_cost_micros > 0 && used->cost_micros >= cost)
		error_set(err, ERR_LIMIT_REACHED,
		    "%.4f dollars used, the limit of a run is %.4f",
		    (double)used->cost_micros / 1e6, (double)cost / 1e6);
	else if (used->repeats >= RUN_REPEATS_MAX + granted->repeats)
		error_set(err, ERR_LOOP_DETECTED,
		    "the model made the same calls %d times in a row",
		    used->repeats);
	else
		return true;
	return false;
}

/* ---- Circles ------------------------------------------------------- */

/* Tools and arguments of an answer, one after the other; empty: no calls. */
static void
calls_print(struct buf *out, const char *parts)
{
	struct json_object *list = NULL, *part;

	if (parts == NULL ||
	    json_parse(parts, strlen(parts), &list, NULL) != AS_OK)
		return;
	for (size_t i = 0; json_object_is_type(list, json_type_array) &&
			   i < json_object_array_length(list);
	     i++) {
		part = json_object_array_get_idx(list, i);
		if (strcmp(jget_str(part, "type", ""), "tool_call") != 0)
			continue;
		buf_add_str(out, jget_str(part, "name", ""));
		buf_add_char(out, '\n');
		json_canonical(out, jget(part, "args"));
		buf_add_char(out, '\n');
	}
	json_object_put(list);
}

static bool
same(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && a->len > 0 &&
	       memcmp(a->data, b->data, a->len) == 0;
}

int
run_repeats(const struct run_history_row *rows, int n, struct uuid run_id)
{
	struct buf last = { 0 }, one = { 0 };
	bool goes_on = true;
	int repeats = 0;

	for (int i = n - 1;
	     i >= 0 && goes_on && uuid_equal(rows[i].run_id, run_id); i--) {
		if (strcmp(rows[i].role, "assistant") != 0)
			continue;
		buf_reset(&one);
		calls_print(repeats == 0 ? &last : &one, rows[i].parts);
		goes_on = repeats == 0 ? last.len > 0 : same(&last, &one);
		repeats += goes_on ? 1 : 0;
	}
	buf_free(&last);
	buf_free(&one);
	return repeats;
}

/* ---- Windows ------------------------------------------------------- */

int64_t
run_window(const struct as_list *windows, const char *model)
{
	size_t len = model != NULL ? strlen(model) : 0;
	const char *p;

	for (size_t i = 0; windows != NULL && len > 0 && i < windows->n; i++) {
		p = windows->items[i];
		if (strncmp(p, model, len) == 0 && p[len] == '=')
			return strtoll(p + len + 1, NULL, 10);
	}
	return 0;
}

/* ---- Money --------------------------------------------------------- */

int64_t
run_cost_micros(const struct as_list *prices, const char *model, int64_t input,
    int64_t output)
{
	double in, out;
	const char *p;
	char *end;
	size_t len = model != NULL ? strlen(model) : 0;

	for (size_t i = 0; prices != NULL && len > 0 && i < prices->n; i++) {
		p = prices->items[i];
		if (strncmp(p, model, len) != 0 || p[len] != '=')
			continue;
		in = strtod(p + len + 1, &end);
		out = *end == ',' ? strtod(end + 1, NULL) : in;
		return llround(in * (double)(input > 0 ? input : 0) +
			       out * (double)(output > 0 ? output : 0));
	}
	return 0;
}
