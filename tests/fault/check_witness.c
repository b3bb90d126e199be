/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/buf.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "tests/fault/check.h"

/*
 * What the world outside has seen, key by key, against what the invocations
 * say.  Subagents and late results change nothing here: a key is one decision,
 * and may be carried out at most once.
 */

struct seen {
	struct seen *next;
	char *key, *args_hash;
	struct json_object *answers; /* array */
	int n_requests, n_effects;
	int64_t first_us;
	bool has_row;
};

struct world {
	struct seen *first;
};

static struct seen *
seen_get(struct world *w, const char *key)
{
	struct seen *s = w->first;

	while (s != NULL && strcmp(s->key, key) != 0)
		s = s->next;
	if (s != NULL)
		return s;
	s = xcalloc(1, sizeof(*s));
	s->key = xstrdup(key);
	s->answers = jarr();
	s->next = w->first;
	w->first = s;
	return s;
}

static void
request_seen(struct check *c, struct seen *s, struct json_object *o)
{
	const char *args = jget_str(o, "args_hash", "");

	if (s->n_requests++ == 0) {
		s->first_us = jget_int(o, "at", 0);
		s->args_hash = xstrdup(args);
	} else if (strcmp(s->args_hash, args) != 0)
		check_broken(c, "I9", "key %s came with other arguments",
		    s->key);
}

static void
world_line(struct check *c, struct json_object *o, void *arg)
{
	struct seen *s = seen_get(arg, jget_str(o, "key", ""));
	const char *t = jget_str(o, "t", "");
	struct json_object *body = jget(o, "body");

	if (strcmp(t, "request") == 0)
		request_seen(c, s, o);
	else if (strcmp(t, "effect") == 0)
		s->n_effects++;
	else if (strcmp(t, "verify") == 0)
		c->verifications++;
	if (body != NULL)
		json_object_array_add(s->answers, json_object_get(body));
}

static void
world_free(struct world *w)
{
	struct seen *s;

	while ((s = w->first) != NULL) {
		w->first = s->next;
		json_object_put(s->answers);
		free(s->args_hash);
		free(s->key);
		free(s);
	}
}

/* ---- One invocation ------------------------------------------------ */

static enum effect_class
class_of(const char *letter)
{
	static const char letters[] = "PNKVU";
	const char *at = strchr(letters, letter[0]);

	return at != NULL && letter[0] != '\0'
		   ? (enum effect_class)(at - letters)
		   : CLASS_U;
}

static bool
same_json(struct json_object *a, struct json_object *b)
{
	struct buf x = { 0 }, y = { 0 };
	bool same;

	json_canonical(&x, a);
	json_canonical(&y, b);
	same = x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
	buf_free(&x);
	buf_free(&y);
	return same;
}

static bool
answer_was_given(const struct seen *s, const char *result)
{
	struct json_object *mine = NULL;
	bool found = false;

	if (result == NULL ||
	    json_parse(result, strlen(result), &mine, NULL) != AS_OK)
		return false;
	for (size_t i = 0; !found && i < json_object_array_length(s->answers);
	     i++)
		found = same_json(mine,
		    json_object_array_get_idx(s->answers, i));
	json_object_put(mine);
	return found;
}

static void
count_call(struct check *c, const struct seen *s, enum effect_class class,
    const char *state)
{
	struct class_stats *n = &c->classes[class];

	n->calls++;
	n->unknown += strcmp(state, "unknown") == 0;
	n->resends += s->n_requests > 1 ? s->n_requests - 1 : 0;
	n->duplicates += s->n_effects > 1 ? s->n_effects - 1 : 0;
}

static void
check_effects(struct check *c, const struct seen *s, enum effect_class class,
    const char *state)
{
	bool succeeded = strcmp(state, "succeeded") == 0;

	if (class == CLASS_P)
		return;
	if (s->n_effects > 1)
		check_broken(c, "I7", "key %s had %d effects", s->key,
		    s->n_effects);
	if (succeeded && s->n_effects != 1)
		check_broken(c, "I7", "key %s succeeded with %d effects",
		    s->key, s->n_effects);
	if (class == CLASS_U && s->n_requests > 1)
		check_broken(c, "I7",
		    "key %s was sent %d times, and may be "
		    "sent once",
		    s->key, s->n_requests);
}

static void
check_dispatch(struct check *c, const struct seen *s, const struct rows *r,
    int i)
{
	char hex[HASH_TEXT];
	const void *hash;
	size_t len;

	if (s->n_requests == 0)
		return;
	hash = rows_bytes(r, i, 4, &len);
	text_hex(hex, hash, len < HASH_LEN ? len : HASH_LEN);
	if (strcmp(hex, s->args_hash) != 0)
		check_broken(c, "I9",
		    "key %s was sent with other arguments "
		    "than its intent has",
		    s->key);
	if (rows_is_null(r, i, 5) || rows_int(r, i, 5) > s->first_us)
		check_broken(c, "I9", "key %s was sent before its intent",
		    s->key);
	if (rows_int(r, i, 6) == 0)
		check_broken(c, "I9", "key %s has no intent in the log",
		    s->key);
}

static void
check_invocation(struct check *c, struct world *w, const struct rows *r, int i)
{
	struct seen *s = seen_get(w, rows_text(r, i, 0));
	enum effect_class class = class_of(rows_text(r, i, 1));
	const char *state = rows_text(r, i, 2);

	s->has_row = true;
	count_call(c, s, class, state);
	check_effects(c, s, class, state);
	check_dispatch(c, s, r, i);
	if (strcmp(state, "succeeded") == 0 &&
	    !answer_was_given(s, rows_text(r, i, 3)))
		check_broken(c, "I8",
		    "key %s: the recorded result was never an answer", s->key);
}

void
check_witness(struct check *c)
{
	struct world w = { NULL };
	struct rows *r;

	check_lines(c, c->witness, world_line, &w);
	/* The log is append-only: who is in it was there before it was sent. */
	r = check_query(c,
	    "SELECT i.idem_key, i.effect, i.state, i.result, i.args_hash,"
	    " i.started_at, (SELECT count(*) FROM run_events e WHERE e.run_id ="
	    " i.run_id AND e.type = 'tool_call' AND e.payload LIKE"
	    " '%' || i.idem_key || '%') FROM tool_invocations i"
	    " WHERE i.tool LIKE 'witness%'",
	    NULL, 0);
	for (int i = 0; i < rows_count(r); i++)
		check_invocation(c, &w, r, i);
	rows_free(r);
	for (struct seen *s = w.first; s != NULL; s = s->next)
		if (!s->has_row)
			check_broken(c, "I9",
			    "key '%s' was sent and has no "
			    "intent",
			    s->key);
	world_free(&w);
}
