/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/call.h"

#include <string.h>

#include "core/base/json.h"
#include "core/base/json_write.h"
#include "core/base/text.h"

/* What is written of a call: for the model, for readers, for its row. */

const char *
call_result_text(struct call *c, struct arena *arena)
{
	size_t max = c->t->w->e->c.limits.max_output, len;
	struct buf clean = { 0 };
	const char *s;

	if (c->st != AS_OK) {
		struct json_object *details = jget(c->err.extra, "details");

		return arena_printf(arena, "Error %s: %s%s%s",
		    error_name(c->err.code), c->err.detail,
		    details != NULL ? " " : "",
		    details != NULL ? json_text(details) : "");
	}
	s = json_object_is_type(c->result, json_type_string)
		? json_object_get_string(c->result)
		: json_text(c->result);
	len = strlen(s);
	if (len > max)
		len = text_utf8_whole(s, max);
	text_add_clean(&clean, s, len);
	if (strlen(s) > len)
		buf_printf(&clean, "\n[cut: %zu of %zu bytes]", len, strlen(s));
	s = arena_strndup(arena, clean.data != NULL ? clean.data : "",
	    clean.len);
	buf_free(&clean);
	return s;
}

static void
failure_write(const struct call *c, struct buf *b)
{
	jw_open(b, "error");
	jw_str(b, "code", error_name(c->err.code));
	jw_str(b, "message", c->err.detail);
	jw_bool(b, "retryable",
	    c->st == AS_BUSY || c->st == AS_UPSTREAM ||
		c->st == AS_UNAVAILABLE);
	jw_close(b);
}

static void
result_event(struct call *c, struct work_commit *wc, const char *text)
{
	uint64_t now = loop_now_ms(c->t->w->e->c.loop);
	struct buf b = { 0 };

	jw_open(&b, NULL);
	jw_str(&b, "tool_call_id", c->row.call_id);
	jw_str(&b, "name", c->row.tool);
	if (c->recorded)
		jw_str(&b, "result", text);
	else if (c->st != AS_OK)
		failure_write(c, &b);
	else if (strlen(text) <= c->t->w->e->c.limits.max_output &&
		 !json_object_is_type(c->result, json_type_string))
		jw_raw(&b, "result", json_text(c->result));
	else
		jw_str(&b, "result", text);
	jw_bool(&b, "is_error", c->st != AS_OK);
	jw_int(&b, "duration_ms",
	    c->began_ms > 0 ? (int64_t)(now - c->began_ms) : 0);
	jw_str(&b, "outcome", c->outcome);
	jw_close(&b);
	event_list_add(&wc->events, "tool_result", &b);
}

void
call_row(struct call *c, struct run_tool *done, const char *text)
{
	*done = c->row;
	done->state = c->outcome;
	done->result = text;
	done->error_code = c->st == AS_OK ? NULL : error_name(c->err.code);
}

/* A model that asks for the same again and again is told so, once. */
static const char *
result_nudge(struct call *c, struct arena *arena, const char *text)
{
	struct work *w = c->t->w;

	if (run_repeats(w->history, w->n_history, w->run_id) !=
	    RUN_REPEATS_TOLD)
		return text;
	return arena_printf(arena,
	    "%s" RUN_REPEATS_NOTE "%d times in a row: the result does not "
	    "change; go on without it]",
	    text, RUN_REPEATS_TOLD);
}

/* The model has asked for something else than what was done. */
static const char *
result_edited(const struct call *c, struct arena *arena, const char *text)
{
	if (c->row.resolution == NULL ||
	    strcmp(c->row.resolution, "edited") != 0)
		return text;
	return arena_printf(arena,
	    "[A person has changed the arguments to %s]\n%s", c->row.args,
	    text);
}

/* One result: its row, its event, its message. */
void
call_result(struct call *c, struct work_commit *wc)
{
	struct work *w = c->t->w;
	const char *text = c->recorded ? c->row.result
				       : result_nudge(c, wc->arena,
					     call_result_text(c, wc->arena));
	struct run_message *m = work_add_message(w, wc, "tool");

	if (!c->recorded)
		call_row(c, &wc->tools_done[wc->c.n_tools_done++], text);
	text = result_edited(c, wc->arena, text);
	m->ordinal = c->row.ordinal;
	m->content = text;
	m->tool_name = c->row.tool;
	m->tool_call_id = c->row.call_id;
	m->parts = work_result_parts(wc, c->row.call_id, text, c->st != AS_OK);
	if (c->todos != NULL && c->st == AS_OK)
		wc->c.todos = c->todos;
	result_event(c, wc, text);
	work_message_created(w, wc, m);
}
