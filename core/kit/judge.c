/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/schema.h"
#include "core/base/text.h"
#include "core/kit/impl.h"

/*
 * Is what a call has said and returned what its kind promises?
 */

void
judge_legal(struct world *w, enum as_status st, struct json_object *failure)
{
	const char *message = jget_str(failure, "message", "");

	if (st == AS_PARKED && !w->parked)
		finding(w->kit, RULE_ask,
		    "it returned AS_PARKED and has asked nothing");
	else if (w->parked && st != AS_PARKED)
		finding(w->kit, RULE_ask,
		    "it asked, nobody has answered, and it returned %s",
		    status_name(st));
	else if (w->parked && w->after > 0)
		finding(w->kit, RULE_ask,
		    "it asked, nobody has answered, and it went on %u times",
		    w->after);
	if (st == AS_INTERNAL)
		finding(w->kit, RULE_status, "it returned AS_INTERNAL%s%s",
		    *message != '\0' ? ": " : "", message);
	else if (st != AS_OK && st != AS_CANCELED && st != AS_PARKED &&
		 st != AS_NOMEM && *message == '\0')
		finding(w->kit, RULE_message, "it returned %s and no words",
		    status_name(st));
}

static void
judge_reply(struct world *w)
{
	struct error err = { 0 };

	if (w->op->result == NULL)
		return;
	if (schema_validate(w->op->result, w->said.reply, &err) != AS_OK)
		finding(w->kit, RULE_reply, "its reply %.120s is refused: %s",
		    json_text(w->said.reply), json_text(err.extra));
	error_clear(&err);
}

static void
judge_chat(struct world *w, enum as_status st)
{
	const struct said *s = &w->said;

	if (s->order_fault != NULL)
		finding(w->kit, RULE_order, "%s", s->order_fault);
	if (s->end_fault != NULL)
		finding(w->kit, RULE_end, "%s", s->end_fault);
	else if (st == AS_OK && s->ends == 0)
		finding(w->kit, RULE_end, "it returned AS_OK without an end");
	else if (st != AS_OK && s->ends > 0)
		finding(w->kit, RULE_end, "it ended the answer and returned %s",
		    status_name(st));
}

static void
judge_embed(struct world *w)
{
	uint32_t i;

	if (w->said.vector_fault != NULL) {
		finding(w->kit, RULE_vectors, "%s", w->said.vector_fault);
		return;
	}
	for (i = 0; i < w->op->n_texts; i++) {
		if (!w->said.vectors[i]) {
			finding(w->kit, RULE_vectors, "text %u got no vector",
			    i);
			return;
		}
	}
}

static void
judge_models(struct world *w)
{
	struct json_object *list = w->said.models;
	size_t i, j, n = list != NULL ? json_object_array_length(list) : 0;
	const char *name;

	for (i = 0; i < n; i++) {
		name = jget_str(json_object_array_get_idx(list, i), "name", "");
		if (*name == '\0')
			finding(w->kit, RULE_models, "model %zu has no name",
			    i);
		for (j = 0; j < i; j++) {
			if (strcmp(jget_str(json_object_array_get_idx(list, j),
				       "name", ""),
				name) == 0)
				finding(w->kit, RULE_models,
				    "%s is offered twice", name);
		}
	}
}

static void
judge_identity(struct world *w)
{
	const struct said *s = &w->said;

	if (w->op->what == KIT_BEGIN && s->redirect == NULL)
		finding(w->kit, RULE_identity,
		    "it returned AS_OK and said no address to go to");
	else if (w->op->what != KIT_BEGIN && s->session == NULL &&
		 jget_str(s->identity, "subject", "")[0] == '\0')
		finding(w->kit, RULE_identity,
		    "it returned AS_OK and said not who that is");
}

void
judge(struct world *w, enum as_status st, struct json_object *failure)
{
	judge_legal(w, st, failure);
	if (w->op->what == KIT_CHAT)
		judge_chat(w, st);
	if (st != AS_OK) {
		if (w->unscripted > 0 && w->wrong == NULL)
			note(w->kit,
			    "%s fails with %s (%s): script its servers in "
			    "check.json to check more of it",
			    w->op->label, status_name(st),
			    jget_str(failure, "message", ""));
		return;
	}
	switch (w->op->what) {
	case KIT_TOOL:
		judge_reply(w);
		break;
	case KIT_EMBED:
		judge_embed(w);
		break;
	case KIT_MODELS:
		judge_models(w);
		break;
	case KIT_SIGNUP:
	case KIT_AUTH:
	case KIT_BEGIN:
		judge_identity(w);
		break;
	case KIT_SEARCH:
		judge_hits(w);
		break;
	default:
		break;
	}
}

/* ---- What the author expects ---------------------------------------- */

static void
expect_text(struct world *w, const char *what, const char *want,
    const char *got)
{
	if (want != NULL && strcmp(want, got != NULL ? got : "") != 0)
		finding(w->kit, RULE_expect, "%s is \"%.200s\", not \"%.200s\"",
		    what, got != NULL ? got : "", want);
}

static void
expect_status(struct world *w, enum as_status st, struct json_object *failure)
{
	const char *want = jget_str(w->op->expect, "status", "ok");
	const char *message = jget_str(w->op->expect, "message", NULL);
	const char *said = jget_str(failure, "message", "");

	if (!text_eq_nocase(want, status_name(st) + 3))
		finding(w->kit, RULE_expect, "it ends with %s%s%s, not AS_%s",
		    status_name(st), *said != '\0' ? ": " : "", said, want);
	else if (message != NULL && strstr(said, message) == NULL)
		finding(w->kit, RULE_expect,
		    "its message is \"%s\", without \"%s\"", said, message);
}

static void
expect_files(struct world *w)
{
	struct json_object *files = jget(w->op->expect, "files");
	const char *got;

	if (!json_object_is_type(files, json_type_object))
		return;
	json_object_object_foreach(files, name, want)
	{
		got = file_text(w->files, name);
		if (got == NULL)
			finding(w->kit, RULE_expect, "it wrote no file %s",
			    name);
		else
			expect_text(w, name, json_object_get_string(want), got);
	}
}

void
judge_expect(struct world *w, enum as_status st, struct json_object *failure)
{
	static const char *const ends[] = { "", "turn", "tools", "length",
		"stop", "refused" };
	struct json_object *expect = w->op->expect;
	struct json_object *result = jget(expect, "result");
	const struct said *s = &w->said;

	if (expect == NULL)
		return;
	expect_status(w, st, failure);
	if (result != NULL && !json_object_equal(result, s->reply))
		finding(w->kit, RULE_expect, "it replies %.200s, not %.200s",
		    json_text(s->reply), json_text(result));
	expect_files(w);
	expect_text(w, "the answer", jget_str(expect, "text", NULL),
	    s->text.data);
	expect_text(w, "the end", jget_str(expect, "end", NULL),
	    s->why >= 1 && s->why <= 5 ? ends[s->why] : "none");
	expect_text(w, "the subject", jget_str(expect, "subject", NULL),
	    jget_str(s->identity, "subject", NULL));
	expect_text(w, "the address", jget_str(expect, "redirect", NULL),
	    s->redirect);
}
