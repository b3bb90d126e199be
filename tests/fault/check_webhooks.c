/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/fault/check.h"

/*
 * What the receiver of a webhook for all events has got, against the log.  A
 * line of its log is a message as it came:
 *
 *	{"t": "webhook", "id": ID, "good": BOOL, "body": TEXT, "status": 204}
 *
 * Each time that a run came into a state that is told of is one event: under
 * one id, and there at least once.
 */

struct got {
	struct got *next;
	char *id, *body, *run_id, *type;
	int n, n_taken;
};

struct told {
	struct told *next;
	char *run_id, *type;
	int n; /* events in the log */
};

struct hooks {
	struct got *got;
	struct told *told;
};

/* ---- What came -------------------------------------------------------- */

static void
got_describe(struct check *c, struct got *g)
{
	struct json_object *o = NULL;

	if (json_parse(g->body, strlen(g->body), &o, NULL) != AS_OK)
		check_broken(c, "I16", "message %s is no JSON", g->id);
	g->type = xstrdup(jget_str(o, "type", ""));
	g->run_id = xstrdup(jget_str(jget(o, "data"), "run_id", ""));
	json_object_put(o);
}

static struct got *
got_of(struct check *c, struct hooks *h, const char *id, const char *body)
{
	struct got *g = h->got;

	while (g != NULL && strcmp(g->id, id) != 0)
		g = g->next;
	if (g != NULL)
		return g;
	g = xcalloc(1, sizeof(*g));
	g->id = xstrdup(id);
	g->body = xstrdup(body);
	got_describe(c, g);
	g->next = h->got;
	h->got = g;
	return g;
}

static void
line(struct check *c, struct json_object *o, void *arg)
{
	const char *body = jget_str(o, "body", "");
	struct got *g = got_of(c, arg, jget_str(o, "id", ""), body);

	if (strcmp(g->body, body) != 0)
		check_broken(c, "I16", "message %s came with two bodies",
		    g->id);
	if (!jget_bool(o, "good", false))
		check_broken(c, "I16", "message %s is not signed", g->id);
	if (g->n++ > 0)
		c->webhooks_again++;
	g->n_taken += jget_int(o, "status", 0) / 100 == 2;
}

/* ---- What there was to tell -------------------------------------------- */

static bool
is_told(const char *state)
{
	return check_is_terminal(state) ||
	       strcmp(state, "waiting_human") == 0 ||
	       strcmp(state, "recoverable_error") == 0;
}

static void
told_add(struct hooks *h, const char *run_id, const char *state)
{
	char *type = xasprintf("run.%s", state);
	struct told *t = h->told;

	while (t != NULL &&
	       (strcmp(t->run_id, run_id) != 0 || strcmp(t->type, type) != 0))
		t = t->next;
	if (t == NULL) {
		t = xcalloc(1, sizeof(*t));
		t->run_id = xstrdup(run_id);
		t->type = xstrdup(type);
		t->next = h->told;
		h->told = t;
	}
	t->n++;
	free(type);
}

static void
log_read(struct check *c, struct hooks *h)
{
	struct rows *r = check_query(c,
	    "SELECT run_id, payload FROM run_events WHERE type = 'run_status'"
	    " AND ns = ''"
	    " ORDER BY run_id, run_seq",
	    NULL, 0);
	char last[64 + UUID_TEXT] = "", now[64 + UUID_TEXT], id[UUID_TEXT];

	for (int i = 0; i < rows_count(r); i++) {
		struct json_object *o = NULL;
		const char *text = rows_text(r, i, 1), *state;

		if (json_parse(text, strlen(text), &o, NULL) != AS_OK)
			continue;
		state = jget_str(o, "state", "");
		uuid_format(rows_uuid(r, i, 0), id);
		snprintf(now, sizeof(now), "%s %.63s", id, state);
		if (is_told(state) && strcmp(now, last) != 0)
			told_add(h, id, state);
		memcpy(last, now, sizeof(last));
		json_object_put(o);
	}
	rows_free(r);
}

/* ---- Against each other ------------------------------------------------- */

static void
check_told(struct check *c, const struct hooks *h, const struct told *t)
{
	int n = 0;

	for (const struct got *g = h->got; g != NULL; g = g->next)
		n += g->n_taken > 0 && strcmp(g->run_id, t->run_id) == 0 &&
		     strcmp(g->type, t->type) == 0;
	if (n != t->n)
		check_broken(c, "I16",
		    "run %s: %d of %s in the log, %d were received", t->run_id,
		    t->n, t->type, n);
}

static void
check_got(struct check *c, const struct hooks *h, const struct got *g)
{
	struct uuid id = { 0 };
	struct sql_arg args[1];
	const struct told *t = h->told;
	struct rows *r;

	while (t != NULL && (strcmp(t->run_id, g->run_id) != 0 ||
				strcmp(t->type, g->type) != 0))
		t = t->next;
	if (t == NULL)
		check_broken(c, "I16", "message %s: run %s was never %s", g->id,
		    g->run_id, g->type);
	if (strncmp(g->id, "msg_", 4) != 0 || !uuid_parse(g->id + 4, &id))
		check_broken(c, "I16", "message %s is no id", g->id);
	args[0] = SQL_UUID(id);
	r = check_query(c,
	    "SELECT 1 FROM webhook_deliveries WHERE id = $1"
	    " AND status = 'delivered'",
	    args, 1);
	if (rows_count(r) == 0)
		check_broken(c, "I16", "message %s: nobody knows of it", g->id);
	rows_free(r);
}

static void
hooks_free(struct hooks *h)
{
	struct got *g;
	struct told *t;

	while ((g = h->got) != NULL) {
		h->got = g->next;
		free(g->id);
		free(g->body);
		free(g->run_id);
		free(g->type);
		free(g);
	}
	while ((t = h->told) != NULL) {
		h->told = t->next;
		free(t->run_id);
		free(t->type);
		free(t);
	}
}

void
check_webhooks(struct check *c)
{
	struct hooks h = { NULL, NULL };
	struct rows *r;

	check_lines(c, c->webhooks, line, &h);
	log_read(c, &h);
	for (const struct told *t = h.told; t != NULL; t = t->next)
		check_told(c, &h, t);
	for (const struct got *g = h.got; g != NULL; g = g->next)
		check_got(c, &h, g);
	r = check_query(c, "SELECT count(*) FROM outbox", NULL, 0);
	if (rows_int(r, 0, 0) != 0)
		check_broken(c, "I16", "%lld rows are left in the outbox",
		    (long long)rows_int(r, 0, 0));
	rows_free(r);
	hooks_free(&h);
}
