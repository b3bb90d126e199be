/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/run/compact.h"

/* What is kept, what is told in short, and how that is asked for. */

#define KEEP 4 /* a part of the window */
#define TRANSCRIPT_MAX 3 /* bytes a token of the window: what fits is less */
#define RESULT_MAX 2000 /* bytes of a tool's result in a transcript */

static bool
is_role(const struct run_history_row *row, const char *role)
{
	return strcmp(row->role, role) == 0;
}

/* ---- Estimates ----------------------------------------------------- */

int64_t
compact_tokens(const char *text)
{
	return text != NULL ? ((int64_t)strlen(text) + 3) / 4 : 0;
}

/* Parts hold what the content says, and the calls. */
static int64_t
row_tokens(const struct run_history_row *row)
{
	return 4 +
	       compact_tokens(row->parts != NULL ? row->parts : row->content);
}

int64_t
compact_estimate(const struct run_history_row *rows, int n)
{
	int64_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += row_tokens(&rows[i]);
	return sum;
}

/* What the model counted for its last answer, with that; 0: it did not say. */
static int64_t
row_counted(const struct run_history_row *row)
{
	struct run_usage u;

	if (!is_role(row, "assistant") || row->usage == NULL)
		return 0;
	run_usage_parse(&u, row->usage);
	return u.input > 0 ? u.input + u.output : 0;
}

/* ---- The summary that counts --------------------------------------- */

static int
summary_find(const struct run_history_row *rows, int n)
{
	int i = n - 1;

	while (i >= 0 && !is_role(&rows[i], "system"))
		i--;
	return i;
}

static int
question_find(const struct run_history_row *rows, int n)
{
	int i = n - 1;

	while (i >= 0 && !is_role(&rows[i], "user"))
		i--;
	return i;
}

void
compact_view(struct compact_view *v, const struct run_history_row *rows, int n)
{
	int at = summary_find(rows, n), keeps;
	struct json_object *part;

	*v = (struct compact_view){ .question = -1 };
	if (at < 0 || json_parse(rows[at].parts, strlen(rows[at].parts),
			  &v->parts, NULL) != AS_OK)
		return;
	part = json_object_is_type(v->parts, json_type_array)
		   ? json_object_array_get_idx(v->parts, 0)
		   : NULL;
	keeps = (int)jget_int(part, "keeps", 0);
	v->summary = jget_str(part, "text", "");
	v->from = keeps < at ? at - keeps : 0;
	while (v->from > 0 && is_role(&rows[v->from], "tool"))
		v->from--;
	v->question = question_find(rows, n);
	if (v->question >= v->from)
		v->question = -1;
}

/* ---- The plan ------------------------------------------------------ */

/* As the model counted, since the last summary; 0: it has not. */
static int64_t
tokens_counted(const struct run_history_row *rows, int n)
{
	int since = summary_find(rows, n);
	int64_t counted, sum = 0;

	for (int i = n - 1; i > since; i--) {
		counted = row_counted(&rows[i]);
		if (counted > 0)
			return counted + sum;
		sum += row_tokens(&rows[i]);
	}
	return 0;
}

/* Some count less than they are told, but not half of it. */
static int64_t
tokens_now(const struct compact_view *v, const struct run_history_row *rows,
    int n, int64_t fixed)
{
	int64_t counted = tokens_counted(rows, n);
	int64_t sum = fixed + compact_tokens(v->summary) +
		      compact_estimate(rows + v->from, n - v->from);

	if (v->question >= 0)
		sum += row_tokens(&rows[v->question]);
	if (counted == 0)
		return sum;
	return counted > sum / 2 ? counted : sum / 2;
}

/* May what comes before this one be left out? */
static bool
is_edge(const struct run_history_row *row)
{
	return is_role(row, "user") || is_role(row, "assistant");
}

/* The most that fits: whole turns, or, of the last one, whole steps. */
static int
cut_find(const struct run_history_row *rows, int n, int from, int64_t keep)
{
	int question = question_find(rows, n), turn = -1, step = -1;
	int64_t sum = 0;

	for (int i = n - 1; i > from; i--) {
		sum += row_tokens(&rows[i]);
		if (sum > keep && (turn >= 0 || step >= 0))
			break;
		if (is_role(&rows[i], "user") && sum <= keep)
			turn = i;
		else if (is_edge(&rows[i]) && sum <= keep && i > question)
			step = i;
	}
	if (turn >= 0)
		return turn;
	return step >= 0 ? step : question;
}

bool
compact_due(struct compact_plan *p, const struct run_history_row *rows, int n,
    int64_t fixed, int64_t window, int64_t percent)
{
	struct compact_view v;
	bool due = false;

	if (window <= 0 || percent == 0 || n < 2 ||
	    is_role(&rows[n - 1], "system"))
		return false;
	compact_view(&v, rows, n);
	p->window = window;
	p->from = v.from;
	p->tokens = tokens_now(&v, rows, n, fixed);
	if (percent == COMPACT_ALWAYS || p->tokens >= window / 100 * percent) {
		p->cut = cut_find(rows, n, v.from, window / KEEP);
		due = p->cut > p->from;
	}
	json_object_put(v.parts);
	return due;
}

/* ---- The request --------------------------------------------------- */

static void
transcribe_call(struct buf *b, struct json_object *part)
{
	buf_printf(b, "assistant calls %s %s\n", jget_str(part, "name", ""),
	    jget(part, "args") != NULL ? json_text(jget(part, "args")) : "{}");
}

static void
transcribe(struct buf *b, const struct run_history_row *row)
{
	struct json_object *parts = NULL, *part;
	size_t len = strlen(row->content);

	if (is_role(row, "tool") && len > RESULT_MAX)
		len = RESULT_MAX;
	while (len > 0 && ((unsigned char)row->content[len] & 0xc0) == 0x80)
		len--;
	if (len > 0)
		buf_printf(b, "%s: %.*s\n", row->role, (int)len, row->content);
	if (!is_role(row, "assistant") ||
	    json_parse(row->parts, strlen(row->parts), &parts, NULL) != AS_OK)
		return;
	for (size_t i = 0; i < json_object_array_length(parts); i++) {
		part = json_object_array_get_idx(parts, i);
		if (strcmp(jget_str(part, "type", ""), "tool_call") == 0)
			transcribe_call(b, part);
	}
	json_object_put(parts);
}

static void
message_add(struct json_object *out, const char *role, const char *text)
{
	struct json_object *m = jobj(), *content = jarr(), *part = jobj();

	jput_str(part, "type", "text");
	jput_str(part, "text", text);
	json_object_array_add(content, part);
	jput_str(m, "role", role);
	jput(m, "content", content);
	json_object_array_add(out, m);
}

/* Of a transcript that is too long the newer part counts. */
static const char *
tail(const struct buf *b, int64_t window)
{
	size_t max = (size_t)window * TRANSCRIPT_MAX, at;

	if (b->len <= max)
		return b->len > 0 ? b->data : "";
	for (at = b->len - max; b->data[at] != '\0'; at++)
		if (((unsigned char)b->data[at] & 0xc0) != 0x80)
			break;
	return b->data + at;
}

struct json_object *
compact_request(const struct compact_plan *p,
    const struct run_history_row *rows, int n)
{
	struct json_object *out = jarr();
	struct buf talk = { 0 }, ask = { 0 };
	struct compact_view v;

	compact_view(&v, rows, n);
	for (int i = p->from; i < p->cut; i++)
		if (!is_role(&rows[i], "system"))
			transcribe(&talk, &rows[i]);
	message_add(out, "system",
	    "You shorten conversations. What you write replaces the part that "
	    "you are shown, for an assistant that goes on with it.");
	buf_add_str(&ask,
	    "Summarise the conversation between the lines. Keep decisions, "
	    "names, numbers, identifiers, results of tools and what is still "
	    "to be done; leave out greetings. Write plain text only.\n----\n");
	if (v.summary != NULL)
		buf_printf(&ask, "What came before: %s\n", v.summary);
	buf_printf(&ask, "%s----", tail(&talk, p->window));
	message_add(out, "user", ask.data);
	json_object_put(v.parts);
	buf_free(&talk);
	buf_free(&ask);
	return out;
}
