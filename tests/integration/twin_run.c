/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "core/base/json.h"
#include "core/run/run_outbox.h"
#include "tests/integration/twin.h"

/* Threads and runs that begin; webhooks, late results, answers. */

/* ---- Threads and runs ---------------------------------------------- */

SUSPENDS void
twin_thread_begins(void)
{
	struct uuid id = new_id(), whose = some_tenant();
	const char *title = one_in(2) ? "" : "title";

	snprintf(what, sizeof(what), "thread");
	ON_BOTH(run_store_thread_create(rs, id, whose, user_id, agent_id, title,
		    &err),
	    err);
	threads[n_threads++] = id;
}

void
events_make(struct event_list *l, int n)
{
	static const char *const types[] = { "run_status", "message_start",
		"message_end", "message_reset", "message_created", "checkpoint",
		"tool_call" };

	for (int i = 0; i < n; i++) {
		struct buf b = { 0 };
		struct json_object *o = jobj();
		char id[UUID_TEXT];

		uuid_format(new_id(), id);
		jput_str(o, "message_id", id);
		jput_int(o, "attempt", below(5));
		jput_str(o, "x", words());
		jput_str(o, "state",
		    run_status_name((enum run_status)(1 + below(14))));
		buf_add_str(&b, json_text(o));
		event_list_add(l, types[below(N_ITEMS(types))], &b);
		json_object_put(o);
	}
}

struct uuid
some_message(struct uuid thread_id)
{
	const struct model_message *m = any(&model->messages);

	return m != NULL && uuid_equal(m->thread_id, thread_id) ? m->m.id
								: new_id();
}

void
message_make(struct run_message *m, struct uuid thread_id, const char *role,
    int64_t sequence, int64_t step, int64_t ordinal)
{
	m->id = new_id();
	m->role = role;
	m->content = words();
	m->parts = one_in(2) ? "[]" : "[{\"type\":\"text\"}]";
	m->state = one_in(5) ? "interrupted" : "final";
	m->tool_call_id = one_in(3) ? "call_1" : NULL;
	m->tool_name = m->tool_call_id != NULL ? "t" : NULL;
	m->usage = one_in(3) ? "{\"input_tokens\":1}" : NULL;
	m->model = one_in(3) ? "m" : NULL;
	m->step = step;
	m->ordinal = ordinal;
	m->sequence = sequence;
	m->created_at = now_us;
	if (one_in(2))
		m->parent_id = some_message(thread_id);
}

/* It goes on from any message, with or without the thread's leaf. */
static void
branch_make(struct run_create *c, struct run_tool *tool, char key[40])
{
	c->branch.leaf = one_in(2) && !uuid_is_nil(c->message.id)
			     ? c->message.id
			     : some_message(c->thread_id);
	c->branch.before = some_message(c->thread_id);
	if (one_in(2))
		return;
	c->branch.beside = one_in(2);
	c->fork.manifest = "{\"messages\":2}";
	c->fork.mode = one_in(2) ? "live" : NULL;
	snprintf(key, 40, "fork-%u", (unsigned)n_ids);
	*tool = (struct run_tool){ .id = new_id(),
		.ordinal = below(3),
		.call_id = "call_1",
		.idem_key = key,
		.tool = "t_K",
		.version = "1",
		.args = "{}",
		.effect = "K",
		.state = "planned",
		.key_until = one_in(2) ? now_us : 0 };
	c->fork.tools = tool;
	c->fork.n_tools = one_in(2) ? 1 : 0;
	if (one_in(2))
		c->fork.checkpoint_id = new_id();
	for (int b = 0; b < 32; b++)
		c->fork.hash[b] = (uint8_t)below(256);
}

static const char *
some_multitask(void)
{
	return run_multitask_name((enum run_multitask)(RUN_ENQUEUE + below(4)));
}

/* Behind the run that holds the thread; or it is free, and that is wrong. */
static void
run_waits(struct run_create *c)
{
	int64_t seq = c->heads.seq + 1;

	c->owner_epoch = 0;
	c->block_pos = one_in(3) ? seq - 1000000 : seq;
	c->multitask = some_multitask();
	c->message.state = "staged";
}

/* Work that nobody watches, in a thread of its own. */
static void
make_ambient(struct run_create *c, char dedup[16])
{
	c->kind = "ambient";
	c->class = (int)below(3);
	c->run_at = one_in(3) ? now_us + below(5000000) : 0;
	c->origin = one_in(2) ? "{\"kind\":\"user\"}" : NULL;
	snprintf(dedup, 16, "d%u", below(20));
	c->dedup = one_in(2) ? dedup : NULL;
	c->owner_epoch = 0;
	c->new_thread = !one_in(4) && n_threads < (int)N_ITEMS(threads);
	if (!c->new_thread)
		return;
	if (!one_in(10))
		threads[n_threads++] = c->thread_id = new_id();
	c->heads = (struct run_heads){ 0, 0, 1 };
}

SUSPENDS void
twin_run_begins(void)
{
	const struct model_thread *t = any(&model->threads);
	struct event_list events = { 0 };
	struct run_tool tool;
	char client_id[16], key[40], dedup[16];
	struct run_create c = { .run_id = new_id(),
		.thread_id = t->id,
		.agent_id = agent_id,
		.tenant_id = t->tenant_id,
		.user_id = user_id,
		.model = one_in(4) ? NULL : "m",
		.correlation_id = words(),
		.traceparent = one_in(2) ? NULL : "00-1",
		.title = words(),
		.owner_epoch = one_in(2) ? some_epoch() : 0,
		.deadline_at = now_us + 1000,
		.now_us = now_us,
		.events = &events };

	c.heads.seq = t->head_seq + (one_in(12) ? 1 : 0);
	c.heads.msg_seq = t->next_msg_seq + (one_in(12) ? 1 : 0);
	if (one_in(3))
		make_ambient(&c, dedup);
	if (one_in(10))
		c.forked_from = new_id();
	else {
		snprintf(client_id, sizeof(client_id), "c%u", below(40));
		message_make(&c.message, c.thread_id, "user", c.heads.msg_seq,
		    0, 0);
		c.message.client_message_id = one_in(3) ? client_id : NULL;
		if (c.new_thread)
			c.multitask = "enqueue";
		else if (one_in(12) != !uuid_is_nil(t->active_run_id))
			run_waits(&c);
		else
			c.multitask = one_in(2) ? "enqueue" : NULL;
	}
	if (c.block_pos == 0 && one_in(3) && !c.new_thread)
		branch_make(&c, &tool, key);
	events_make(&events, 1 + (int)below(3));
	snprintf(what, sizeof(what), "create%s",
	    c.block_pos != 0 ? ", blocked" : "");
	ON_BOTH(run_store_create(rs, &c, &err), err);
	event_list_clear(&events);
}

/* ---- Webhooks ------------------------------------------------------ */

/* Not an operation of the engine: both are told what the table holds. */
void
twin_hook_changes(void)
{
	bool old = model->hooks.n > 0 && !one_in(3);
	struct model_hook *h = old ? any(&model->hooks)
				   : model_add(model, &model->hooks,
					 sizeof(*h));
	struct sql_arg args[5];

	if (!old) {
		h->id = new_id();
		h->tenant_id = tenant;
		h->user_id = one_in(4) ? other_id : user_id;
	}
	h->mask = run_outbox_mask(one_in(2) ? "run.*" : "run.succeeded") |
		  run_outbox_mask(
		      one_in(2) ? "run.waiting_human" : "run.failed");
	h->paused = one_in(3);
	args[0] = SQL_UUID(h->id);
	args[1] = SQL_UUID(h->tenant_id);
	args[2] = SQL_UUID(h->user_id);
	args[3] = SQL_INT(h->mask);
	args[4] = SQL_BOOL(h->paused);
	MUST(store_db_run(env.db,
		 "INSERT INTO webhooks (id, tenant_id, user_id, url,"
		 " event_mask, paused, created_at, updated_at)"
		 " VALUES ($1, $2, $3, 'http://x', $4, $5, 1, 1)"
		 " ON CONFLICT (id) DO UPDATE SET"
		 " event_mask = excluded.event_mask,"
		 " paused = excluded.paused",
		 args, 5, NULL, NULL) == AS_OK);
}

SUSPENDS void
twin_late(void)
{
	const struct model_tool *old = any(&model->tools);
	struct run_tool t;

	if (old == NULL)
		return;
	t = old->t;
	t.state = one_in(3) ? "failed" : "succeeded";
	t.result = words();
	t.error_code = one_in(3) ? "TIMEOUT" : NULL;
	if (one_in(6))
		t.idem_key = "another";
	snprintf(what, sizeof(what), "late");
	ON_BOTH(run_store_late(rs, old->run_id, &t, now_us, &err), err);
}

SUSPENDS void
twin_switches(void)
{
	const struct model_thread *t = any(&model->threads);
	struct uuid leaf = some_message(t->id);
	struct uuid who = one_in(9) ? agent_id : user_id;

	snprintf(what, sizeof(what), "switch");
	ON_BOTH(run_store_switch(rs, t->id, tenant, who, leaf, &err), err);
}

SUSPENDS void
twin_answers(void)
{
	const struct model_item *old = any(&model->items);
	struct run_answer a[2];
	struct uuid run;
	int n;

	if (old == NULL)
		return;
	run = old->run_id;
	n = answers_make(a, run);
	if (n == 0)
		answer_make(&a[n++], old);
	snprintf(what, sizeof(what), "%d answers", n);
	ON_BOTH(run_store_answer(rs, run, a, n, now_us, &err), err);
}
