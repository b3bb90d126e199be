/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/copy.h"

#include <string.h>

/* Every text is copied in place: the structs hold no other pointers. */

static void
text_copy(struct arena *a, const char **s)
{
	*s = arena_strdup(a, *s);
}

static void *
rows_copy(struct arena *a, const void *rows, int n, size_t size)
{
	void *to = arena_alloc(a, (size_t)n * size + 1);

	if (n > 0)
		memcpy(to, rows, (size_t)n * size);
	return to;
}

static struct event_list *
events_copy(struct arena *a, const struct event_list *l)
{
	struct event_list *to = arena_alloc(a, sizeof(*to));

	to->n = to->cap = l->n;
	to->items = rows_copy(a, l->items, l->n, sizeof(*l->items));
	for (int i = 0; i < to->n; i++)
		to->items[i].body = arena_strdup(a, l->items[i].body);
	return to;
}

static void
message_texts(struct arena *a, struct run_message *m)
{
	text_copy(a, &m->role);
	text_copy(a, &m->content);
	text_copy(a, &m->parts);
	text_copy(a, &m->tool_name);
	text_copy(a, &m->tool_call_id);
	text_copy(a, &m->state);
	text_copy(a, &m->client_message_id);
	text_copy(a, &m->model);
	text_copy(a, &m->usage);
}

struct run_tool *
run_tools_copy(struct arena *a, const struct run_tool *tools, int n)
{
	struct run_tool *to = rows_copy(a, tools, n, sizeof(*to));

	for (struct run_tool *t = to; t < to + n; t++) {
		text_copy(a, &t->call_id);
		text_copy(a, &t->idem_key);
		text_copy(a, &t->tool);
		text_copy(a, &t->version);
		text_copy(a, &t->args);
		text_copy(a, &t->effect);
		text_copy(a, &t->state);
		text_copy(a, &t->result);
		text_copy(a, &t->error_code);
		text_copy(a, &t->resolution);
	}
	return to;
}

static struct run_item *
items_copy(struct arena *a, const struct run_item *items, int n)
{
	struct run_item *to = rows_copy(a, items, n, sizeof(*to));

	for (struct run_item *t = to; t < to + n; t++) {
		text_copy(a, &t->correlation_id);
		text_copy(a, &t->kind);
		text_copy(a, &t->title);
		text_copy(a, &t->description);
		text_copy(a, &t->action_request);
		text_copy(a, &t->config);
		text_copy(a, &t->on_expire);
	}
	return to;
}

struct run_answer *
run_answers_copy(struct arena *a, const struct run_answer *answers, int n)
{
	struct run_answer *to = rows_copy(a, answers, n, sizeof(*to));

	for (struct run_answer *t = to; t < to + n; t++) {
		text_copy(a, &t->status);
		text_copy(a, &t->type);
		text_copy(a, &t->response);
		text_copy(a, &t->key);
	}
	return to;
}

struct run_create *
run_create_copy(struct arena *a, const struct run_create *c)
{
	struct run_create *to = rows_copy(a, c, 1, sizeof(*to));

	text_copy(a, &to->model);
	text_copy(a, &to->correlation_id);
	text_copy(a, &to->traceparent);
	text_copy(a, &to->title);
	text_copy(a, &to->multitask);
	text_copy(a, &to->kind);
	text_copy(a, &to->origin);
	text_copy(a, &to->dedup);
	message_texts(a, &to->message);
	to->events = events_copy(a, c->events);
	return to;
}

static void
commit_texts(struct arena *a, struct run_commit *c)
{
	text_copy(a, &c->cancel_mode);
	text_copy(a, &c->items_close);
	text_copy(a, &c->response_type);
	text_copy(a, &c->response);
	text_copy(a, &c->dead_reason);
	text_copy(a, &c->checkpoint_manifest);
	text_copy(a, &c->usage);
	text_copy(a, &c->error_code);
	text_copy(a, &c->error);
	text_copy(a, &c->model);
	text_copy(a, &c->budget);
	text_copy(a, &c->ns);
	text_copy(a, &c->todos);
}

static struct run_child *
children_copy(struct arena *a, const struct run_child *children, int n)
{
	struct run_child *to = rows_copy(a, children, n, sizeof(*to));

	for (struct run_child *k = to; k < to + n; k++) {
		text_copy(a, &k->ns);
		text_copy(a, &k->model);
		text_copy(a, &k->budget);
		message_texts(a, &k->message);
		k->events = events_copy(a, k->events);
	}
	return to;
}

static void
tell_copy(struct arena *a, struct run_tell *t)
{
	t->call = *run_tools_copy(a, &t->call, 1);
	text_copy(a, &t->budget);
	text_copy(a, &t->parent_ns);
	if (t->events != NULL)
		t->events = events_copy(a, t->events);
}

static struct run_message *
messages_copy(struct arena *a, const struct run_message *messages, int n)
{
	struct run_message *to = rows_copy(a, messages, n, sizeof(*to));

	for (int i = 0; i < n; i++)
		message_texts(a, &to[i]);
	return to;
}

static struct run_unblock *
unblocks_copy(struct arena *a, const struct run_unblock *unblocks, int n)
{
	struct run_unblock *to = rows_copy(a, unblocks, n, sizeof(*to));

	for (struct run_unblock *u = to; u < to + n; u++) {
		u->events = events_copy(a, u->events);
		u->message = messages_copy(a, u->message, 1);
	}
	return to;
}

struct run_commit *
run_commit_copy(struct arena *a, const struct run_commit *c)
{
	struct run_commit *to = rows_copy(a, c, 1, sizeof(*to));

	commit_texts(a, to);
	to->events = events_copy(a, c->events);
	to->messages = messages_copy(a, c->messages, c->n_messages);
	to->unblocks = unblocks_copy(a, c->unblocks, c->n_unblocks);
	if (c->unstaged != NULL)
		to->unstaged = messages_copy(a, c->unstaged, 1);
	to->tools_new = run_tools_copy(a, c->tools_new, c->n_tools_new);
	to->tools_done = run_tools_copy(a, c->tools_done, c->n_tools_done);
	to->items_new = items_copy(a, c->items_new, c->n_items_new);
	to->children = children_copy(a, c->children, c->n_children);
	if (!uuid_is_nil(to->tell.run_id))
		tell_copy(a, &to->tell);
	to->answers = run_answers_copy(a, c->answers, c->n_answers);
	return to;
}
