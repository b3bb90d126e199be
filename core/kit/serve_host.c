/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/arena.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/kit/impl.h"
#include "core/plug/serve.h"
#include "core/store/guest.h"

/*
 * Services whose host's side needs neither a loop nor a server: tables, secrets
 * and questions.  It is the host's own code; made up is what stands behind it:
 * a database in memory, and people who answer at once.
 */

static void
answer_of(struct answer *out, enum as_status st, struct error *err)
{
	out->status = st;
	if (st != AS_OK)
		out->value = failure_of(err);
	error_clear(err);
}

/* ---- Tables -------------------------------------------------------- */

/* Of what no database would take; a constraint has done what it is there for. */
static void
judge_sql(struct kit *k, enum as_status st, const struct error *err)
{
	if (st == AS_FORBIDDEN ||
	    (st == AS_INVALID && strstr(err->detail, "constraint") == NULL))
		finding(k, RULE_sql, "a statement was refused: %s",
		    err->detail);
}

static enum as_status
tables_run(void *arg, const char *plugin, int kind, struct json_object *texts,
    struct json_object *params, struct json_object **rows, int64_t *changed,
    struct error *err)
{
	struct kit *k = arg;
	struct guest_call call;
	enum as_status st;

	guest_call_of(&call, kind, plugin, texts, params);
	if (k->db == NULL && (k->db = guest_memory_new()) == NULL)
		st = error_set(err, ERR_UNAVAILABLE, "no database in memory");
	else
		st = guest_memory_run(k->db, &call, rows, changed, err);
	judge_sql(k, st, err);
	guest_call_clear(&call);
	return st;
}

void
tables_mark(struct kit *k)
{
	if (k->db != NULL)
		guest_memory_mark(k->db);
}

void
tables_back(struct kit *k, bool were_there)
{
	if (were_there) {
		guest_memory_back(k->db);
		return;
	}
	guest_memory_free(k->db);
	k->db = NULL;
}

/* ---- People -------------------------------------------------------- */

static enum as_status
keep(void *arg, const char *key, struct json_object *value, struct error *err)
{
	struct world *w = arg;

	(void)err;
	if (w->kept == NULL)
		w->kept = jobj();
	jput(w->kept, key, json_copy(value));
	return AS_OK;
}

static bool
is_allowed(struct json_object *question, const char *kind)
{
	struct json_object *allow = jget(question, "allow");
	size_t i;

	for (i = 0; i < json_object_array_length(allow); i++)
		if (strcmp(json_object_get_string(
			       json_object_array_get_idx(allow, i)),
			kind) == 0)
			return true;
	return false;
}

/* What a person would say who is in a hurry. */
static struct json_object *
answer_to(const struct world *w, struct json_object *question)
{
	static const char *const kinds[] = { "accept", "edit", "response" };
	struct json_object *a = jobj();
	const char *kind = "ignore";
	size_t i;

	for (i = N_ITEMS(kinds); i > 0 && !w->ignores; i--)
		if (is_allowed(question, kinds[i - 1]))
			kind = kinds[i - 1];
	jput_str(a, "kind", kind);
	if (strcmp(kind, "accept") == 0 || strcmp(kind, "edit") == 0)
		jput(a, "value", json_copy(jget(question, "value")));
	else if (strcmp(kind, "response") == 0)
		jput_str(a, "text", "yes");
	jput_str(a, "user_id", "00000000-0000-7000-8000-000000000001");
	return a;
}

/* Is this the one that nobody answers?  Else there is an answer from now on. */
static bool
waits(struct world *w, const char *key, struct json_object *question)
{
	struct json_object *said = w->op->answers;

	if (++w->asked == w->park_at ||
	    (said != NULL && !w->ignores && jget(said, key) == NULL))
		return true;
	if (w->answers == NULL)
		w->answers = jobj();
	jput(w->answers, key,
	    said != NULL && !w->ignores ? json_copy(jget(said, key))
					: answer_to(w, question));
	return false;
}

static enum as_status
ask(struct world *w, struct exchange *x, const struct msg *m,
    struct answer *out, struct error *err)
{
	struct plug_asking asking = { .kept = w->kept, .arg = w, .keep = keep };
	struct plug_caller who = { .asking = &asking };
	enum as_status st;

	x->who = &who;
	asking.answers = w->answers;
	x->parked = w->parked;
	st = serve_ask(x, m, out, err);
	if (st == AS_PARKED && !w->parked &&
	    !waits(w, m->name, asking.question)) {
		asking.answers = w->answers;
		x->parked = false;
		st = serve_ask(x, m, out, err);
	}
	w->parked = w->parked || st == AS_PARKED;
	json_object_put(asking.question);
	return st;
}

/* ---- All of them --------------------------------------------------- */

static bool
is_granted(struct world *w, const struct msg *m, struct answer *out)
{
	char word[160];

	if (m->kind == SERVE_DB)
		return world_grants(w, "db", out);
	if (m->kind == SERVE_CREDENTIAL)
		return world_grants(w, "credential", out);
	if (m->kind != SERVE_SECRET)
		return true;
	snprintf(word, sizeof(word), "secret:%.140s", m->name);
	return world_grants(w, word, out);
}

void
world_serve_host(struct world *w, const struct msg *m, struct answer *out)
{
	struct kit *k = w->kit;
	struct exchange x = { .plug = &k->plug,
		.unit = k->unit,
		.op = w->op->op };
	struct error err = { 0 };
	enum as_status st;

	if (!is_granted(w, m, out))
		return;
	switch (m->kind) {
	case SERVE_DB:
		k->plug.services.arg = k;
		k->plug.services.db = tables_run;
		st = serve_db(&x, m, out, &err);
		break;
	case SERVE_SECRET:
	case SERVE_CREDENTIAL:
		st = serve_account(&x, m, out, &err);
		if (st == AS_NOTFOUND && w->unscripted++ == 0)
			note(k, "check.json has no secret %s", m->name);
		break;
	case SERVE_ASK:
	case SERVE_KEEP:
		st = ask(w, &x, m, out, &err);
		break;
	default:
		st = error_set(&err, ERR_UNSUPPORTED,
		    "the kit does not have this service");
	}
	answer_of(out, st, &err);
}

void
host_setup(struct kit *k)
{
	struct json_object *o = jget(k->script, "secrets");
	struct unit *u = k->unit;

	if (!json_object_is_type(o, json_type_object))
		return;
	u->secrets = arena_alloc(u->arena,
	    (size_t)json_object_object_length(o) * sizeof(*u->secrets) + 1);
	json_object_object_foreach(o, name, value)
	{
		u->secrets[u->n_secrets++] = (struct unit_secret){ .name = name,
			.value = json_object_get_string(value) };
	}
}
