/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/run/replay_impl.h"

/* What the engine wants to write beside what is stored: replay_check. */

/* ---- What was found ------------------------------------------------ */

static struct replay_step *
step_add(struct replay *r, int64_t step, bool same)
{
	struct replay_result *o = r->out;
	struct replay_step *all = arena_alloc(r->arena,
	    (size_t)(o->n_steps + 1) * sizeof(*all));

	if (o->n_steps > 0)
		memcpy(all, o->steps, (size_t)o->n_steps * sizeof(*all));
	o->steps = all;
	all[o->n_steps] = (struct replay_step){ .step = step, .same = same };
	return &all[o->n_steps++];
}

/* The first one counts. */
void
replay_differs(struct replay *r, int64_t step, const char *what,
    const char *expected, const char *got)
{
	if (r->out->what != NULL)
		return;
	r->out->at = step;
	r->out->what = arena_strdup(r->arena, what);
	r->out->expected = arena_strdup(r->arena,
	    expected != NULL ? expected : "nothing");
	r->out->got = arena_strdup(r->arena, got != NULL ? got : "nothing");
	replay_over(r);
}

/* ---- Comparing ----------------------------------------------------- */

static bool
same_text(const char *a, const char *b)
{
	return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

/* What both of two things have, under one name. */
struct member {
	const char *name, *expected, *got;
};

static void
compare(struct replay *r, int64_t step, const char *thing, int64_t number,
    const struct member *members, size_t n)
{
	for (size_t i = 0; i < n && r->out->what == NULL; i++)
		if (!same_text(members[i].expected, members[i].got))
			replay_differs(r, step,
			    arena_printf(r->arena, "%s %lld: %s", thing,
				(long long)number, members[i].name),
			    members[i].expected, members[i].got);
}

/* A turn that was taken back has lost the state that its messages had. */
static const char *
state_expected(const struct replay *r, const struct record_message *rec,
    const struct run_message *m)
{
	return r->rec.state.status == RUN_ROLLED_BACK ? m->state : rec->state;
}

static void
compare_message(struct replay *r, int64_t step, const struct run_message *m)
{
	const struct record_message *rec = &r->rec.messages[r->next];

	if (r->next == r->rec.n_messages) {
		replay_differs(r, step, "one message more", NULL, m->content);
		return;
	}
	struct member members[] = {
		{ "role", rec->role, m->role },
		{ "tool call id", rec->tool_call_id, m->tool_call_id },
		{ "content", rec->content, m->content },
		{ "parts", rec->parts, m->parts },
		{ "state", state_expected(r, rec, m), m->state },
	};

	compare(r, step, "message", r->next, members, N_ITEMS(members));
	r->next++;
}

static const char *
hex(struct replay *r, const uint8_t sum[HASH_LEN])
{
	char text[HASH_TEXT];

	text_hex(text, sum, HASH_LEN);
	return arena_strdup(r->arena, text);
}

/* A call that a person had made again had a key of a later epoch. */
static const char *
key_expected(const struct replay *r, const struct run_tool *rec,
    const struct run_tool *t)
{
	char key[RUN_IDEM_KEY];

	for (int64_t epoch = 1; epoch < 10; epoch++) {
		run_idem_key(r->now.id, "", t->step, t->ordinal, epoch, key);
		if (strcmp(key, rec->idem_key) == 0)
			return t->idem_key;
	}
	return rec->idem_key;
}

static void
compare_intent(struct replay *r, const struct run_tool *t)
{
	const struct run_tool *rec = record_tool_at(&r->rec, t->step,
	    t->ordinal);

	if (rec == NULL) {
		replay_differs(r, t->step, "one tool call more", NULL, t->tool);
		return;
	}
	struct member members[] = {
		{ "tool", rec->tool, t->tool },
		{ "call id", rec->call_id, t->call_id },
		{ "arguments", record_was_edited(rec) ? t->args : rec->args,
		    t->args },
		{ "hash of arguments",
		    hex(r,
			record_was_edited(rec) ? t->args_hash : rec->args_hash),
		    hex(r, t->args_hash) },
		{ "idempotency key", key_expected(r, rec, t), t->idem_key },
	};

	compare(r, t->step, "tool call", t->ordinal, members, N_ITEMS(members));
}

/*
 * Not a result yet: a person has to decide, and did.  What a stop has cut off
 * is unknown or cancelled by how far it had come, which is not stored.
 */
static bool
is_undecided(const struct run_tool *rec, const struct run_tool *t)
{
	return t->result == NULL ||
	       (record_is_cut(rec) && (strcmp(t->state, "unknown") == 0 ||
					  strcmp(t->state, "cancelled") == 0));
}

static void
compare_outcome(struct replay *r, int64_t step, const struct run_tool *t)
{
	const struct run_tool *rec = record_tool_at(&r->rec, t->step,
	    t->ordinal);

	if (rec == NULL)
		return; /* told when it was asked for */
	if (is_undecided(rec, t))
		return; /* its text is in the message */
	struct member members[] = {
		{ "state", rec->state, t->state },
		{ "error code", rec->error_code, t->error_code },
		{ "result", rec->result, t->result },
	};

	compare(r, step, "tool call", t->ordinal, members, N_ITEMS(members));
}

static void
compare_intents(struct replay *r, const struct run_commit *c)
{
	int64_t step = c->step + 1;
	int n = 0;

	for (int i = 0; i < c->n_tools_new; i++)
		compare_intent(r, &c->tools_new[i]);
	for (int i = 0; i < r->rec.n_tools; i++)
		n += r->rec.tools[i].step == step;
	if (c->n_tools_new > 0 && n > c->n_tools_new)
		replay_differs(r, step, "number of tool calls",
		    arena_printf(r->arena, "%d", n),
		    arena_printf(r->arena, "%d", c->n_tools_new));
}

static void
compare_checkpoint(struct replay *r, const struct run_commit *c)
{
	const struct record_checkpoint *rec;
	struct replay_step *s;

	if (uuid_is_nil(c->checkpoint_id))
		return;
	rec = record_checkpoint_at(&r->rec, c->step + 1);
	if (rec == NULL || memcmp(rec->hash, c->checkpoint_hash, HASH_LEN) != 0)
		replay_differs(r, c->step + 1, "hash of the state",
		    rec != NULL ? hex(r, rec->hash) : NULL,
		    hex(r, c->checkpoint_hash));
	s = step_add(r, c->step + 1, r->out->what == NULL);
	memcpy(s->hash, c->checkpoint_hash, HASH_LEN);
	s->has_hash = true;
}

static void
compare_end(struct replay *r, const struct run_commit *c)
{
	struct member members[] = {
		{ "state", run_status_name(r->rec.state.status),
		    run_status_name(c->to) },
		{ "error code", r->rec.error_code, c->error_code },
	};

	if (run_is_open(c->to))
		return;
	compare(r, c->step + 1, "end of run", 1, members, N_ITEMS(members));
	if (r->next < r->rec.n_messages)
		replay_differs(r, r->rec.messages[r->next].step,
		    "a message is missing", r->rec.messages[r->next].content,
		    NULL);
	r->out->whole = true;
}

void
replay_check(struct replay *r, const struct run_commit *c)
{
	for (int i = 0; i < c->n_messages && r->out->what == NULL; i++)
		compare_message(r, c->step + 1, &c->messages[i]);
	for (int i = 0; i < c->n_unblocks && r->out->what == NULL; i++)
		compare_message(r, c->step + 1, c->unblocks[i].message);
	compare_intents(r, c);
	for (int i = 0; i < c->n_tools_done; i++)
		compare_outcome(r, c->step + 1, &c->tools_done[i]);
	compare_end(r, c);
	compare_checkpoint(r, c);
}

/* The record may be longer than what came out. */
void
replay_check_rest(struct replay *r)
{
	const struct record *rec = &r->rec;
	int n = 0;

	for (int i = 0; i < r->out->n_steps; i++)
		n += r->out->steps[i].has_hash;
	if (n < rec->n_checkpoints)
		replay_differs(r, rec->checkpoints[n].step, "hash of the state",
		    hex(r, rec->checkpoints[n].hash), NULL);
	if (r->out->what == NULL)
		return;
	for (int i = 0; i < r->out->n_steps; i++)
		if (r->out->steps[i].step == r->out->at)
			return;
	(void)step_add(r, r->out->at, false);
}
