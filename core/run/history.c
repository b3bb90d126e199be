/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/history.h"

#include <string.h>

#include "core/base/json.h"
#include "core/run/compact.h"

/*
 * Rows are read once in order.  When an assistant's message has calls, the
 * results are looked up among all later rows, so a late one still finds its
 * place, and those rows are skipped when they come by.
 */

static struct json_object *
parts_of(const struct run_history_row *row)
{
	struct json_object *parts = NULL;

	if (row->parts == NULL ||
	    json_parse(row->parts, strlen(row->parts), &parts, NULL) != AS_OK ||
	    !json_object_is_type(parts, json_type_array)) {
		json_object_put(parts);
		parts = NULL;
	}
	return parts;
}

static const char *
part_type(struct json_object *part)
{
	return jget_str(part, "type", "");
}

static struct json_object *
text_part(const char *text)
{
	struct json_object *o = jobj();

	jput_str(o, "type", "text");
	jput_str(o, "text", text);
	return o;
}

static bool
part_is_empty(struct json_object *part)
{
	const char *type = part_type(part);

	if (strcmp(type, "text") == 0 || strcmp(type, "reasoning") == 0)
		return jget_str(part, "text", "")[0] == '\0';
	return false;
}

/* The answer to a call, wherever after `from` it stands. */
static const struct run_history_row *
result_find(const struct run_history_row *rows, int n, int from, const char *id)
{
	for (int i = from + 1; i < n; i++)
		if (strcmp(rows[i].role, "tool") == 0 &&
		    rows[i].tool_call_id != NULL &&
		    strcmp(rows[i].tool_call_id, id) == 0)
			return &rows[i];
	return NULL;
}

static struct json_object *
result_part(const struct run_history_row *row, const char *id)
{
	struct json_object *o = jobj(), *parts, *first;
	bool is_error = true;

	jput_str(o, "type", "tool_result");
	jput_str(o, "id", id);
	if (row == NULL)
		jput_str(o, "text",
		    "No result: the call was interrupted and its outcome is "
		    "not known.");
	else {
		parts = parts_of(row);
		first = parts != NULL ? json_object_array_get_idx(parts, 0)
				      : NULL;
		is_error = jget_bool(first, "is_error", false);
		jput_str(o, "text", row->content);
		json_object_put(parts);
	}
	jput_bool(o, "is_error", is_error);
	return o;
}

/* Appends to the last message if it has the same role, else a new one. */
static struct json_object *
content_for(struct json_object *out, const char *role)
{
	size_t n = json_object_array_length(out);
	struct json_object *m = n > 0 ? json_object_array_get_idx(out, n - 1)
				      : NULL;
	struct json_object *content;

	if (m != NULL && strcmp(jget_str(m, "role", ""), role) == 0)
		return jget(m, "content");
	m = jobj();
	jput_str(m, "role", role);
	jput(m, "content", content = jarr());
	json_object_array_add(out, m);
	return content;
}

static void
add_plain(struct json_object *out, const struct run_history_row *row,
    struct json_object *parts)
{
	struct json_object *content = NULL;
	size_t n = parts != NULL ? json_object_array_length(parts) : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *part = json_object_array_get_idx(parts, i);

		if (part_is_empty(part))
			continue;
		if (content == NULL)
			content = content_for(out, row->role);
		json_object_array_add(content, json_object_get(part));
	}
	if (n == 0 && row->content != NULL && row->content[0] != '\0')
		json_object_array_add(content_for(out, row->role),
		    text_part(row->content));
}

static bool
has_calls(struct json_object *parts)
{
	size_t n = parts != NULL ? json_object_array_length(parts) : 0;

	for (size_t i = 0; i < n; i++)
		if (strcmp(part_type(json_object_array_get_idx(parts, i)),
			"tool_call") == 0)
			return true;
	return false;
}

/* A first message by anyone but a user is of a turn that was voided. */
static bool
may_follow(struct json_object *out, const char *role)
{
	size_t n = json_object_array_length(out);

	if (strcmp(role, "user") == 0)
		return true;
	return n > 0 && strcmp(jget_str(json_object_array_get_idx(out, n - 1),
				   "role", ""),
			    "system") != 0;
}

/*
 * An answer that broke off counts only as the last word of its run: not if the
 * run has answered again, nor if it is about to.
 */
static bool
was_redone(const struct run_history_row *rows, int n, int at)
{
	if (strcmp(rows[at].role, "assistant") != 0 || rows[at].state == NULL ||
	    strcmp(rows[at].state, "interrupted") != 0)
		return false;
	return at == n - 1 || uuid_equal(rows[at + 1].run_id, rows[at].run_id);
}

static void
add_results(struct json_object *out, const struct run_history_row *rows, int n,
    int at, struct json_object *parts)
{
	struct json_object *content = content_for(out, "tool");

	for (size_t i = 0; i < json_object_array_length(parts); i++) {
		struct json_object *part = json_object_array_get_idx(parts, i);
		const char *id = jget_str(part, "id", "");

		if (strcmp(part_type(part), "tool_call") != 0)
			continue;
		json_object_array_add(content,
		    result_part(result_find(rows, n, at, id), id));
	}
}

static void
add_row(struct json_object *out, const struct run_history_row *rows, int n,
    int i)
{
	struct json_object *parts = parts_of(&rows[i]);

	add_plain(out, &rows[i], parts);
	if (has_calls(parts))
		add_results(out, rows, n, i, parts);
	json_object_put(parts);
}

/* Results stand with their calls, summaries at the start. */
static bool
is_left_out(struct json_object *out, const struct run_history_row *rows, int n,
    int i)
{
	return strcmp(rows[i].role, "tool") == 0 ||
	       strcmp(rows[i].role, "system") == 0 ||
	       !may_follow(out, rows[i].role) || was_redone(rows, n, i);
}

static void
add_summary(struct json_object *out, const char *text)
{
	struct buf b = { 0 };

	buf_printf(&b, "What came before in this conversation:\n%s", text);
	json_object_array_add(content_for(out, "system"), text_part(b.data));
	buf_free(&b);
}

struct json_object *
history_build(const char *system, const struct run_history_row *rows, int n)
{
	struct json_object *out = jarr();
	struct compact_view v;

	compact_view(&v, rows, n);
	if (system != NULL && system[0] != '\0')
		json_object_array_add(content_for(out, "system"),
		    text_part(system));
	if (v.summary != NULL)
		add_summary(out, v.summary);
	if (v.question >= 0)
		add_row(out, rows, n, v.question);
	for (int i = v.from; i < n; i++)
		if (!is_left_out(out, rows, n, i))
			add_row(out, rows, n, i);
	json_object_put(v.parts);
	return out;
}

int
history_open_calls(const struct run_history_row *rows, int n)
{
	struct json_object *parts;
	int open = 0, i = n - 1;

	while (i >= 0 && strcmp(rows[i].role, "tool") == 0)
		i--;
	if (i < 0 || strcmp(rows[i].role, "assistant") != 0)
		return 0;
	parts = parts_of(&rows[i]);
	for (size_t k = 0; parts != NULL && k < json_object_array_length(parts);
	     k++) {
		struct json_object *part = json_object_array_get_idx(parts, k);

		if (strcmp(part_type(part), "tool_call") == 0 &&
		    result_find(rows, n, i, jget_str(part, "id", "")) == NULL)
			open++;
	}
	json_object_put(parts);
	return open;
}
