/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/letter.h"

#include "core/base/mem.h"
#include "core/run/wire.h"

const struct uuid letter_tenant = { { 0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0,
    0, 0, 0, 1 } };
const struct uuid letter_user = { { 0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0,
    0, 0, 2 } };
const struct uuid letter_agent = { { 0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0,
    0, 0, 0, 3 } };

static void
message_fill(struct letter *l, struct run_message *m, int64_t now_us)
{
	m->id = l->message_id;
	m->role = "user";
	m->content = "go";
	m->parts = "[{\"type\":\"text\",\"text\":\"go\"}]";
	m->client_message_id = l->client_id;
	m->created_at = now_us;
}

static void
events_fill(struct letter *l, struct event_list *events,
    const struct run_message *m, bool owned)
{
	run_message_created(events, m, l->thread.id, l->run_id);
	event_list_add_status(events, owned ? RUN_RUNNING : RUN_QUEUED,
	    owned ? "started" : "created", NULL, NULL);
	if (owned)
		run_message_started(events, l->answer_id, 1, "sim/sim");
}

static SUSPENDS void
letter_begins(struct letter *l, struct work *w)
{
	struct arena *arena = arena_new(NULL);
	struct engine *e = l->node->engine;
	struct agent *a = NULL;

	/* The agent is loaded by the run itself. */
	if (engine_begin(w, l->answer_id, a, arena, NULL) != AS_OK)
		(void)run_store_release(&l->node->link, engine_epoch(e),
		    l->thread.id, l->run_id, NULL);
}

static void
create_fill(struct letter *l, struct run_create *c, struct event_list *events)
{
	struct engine *e = l->node->engine;

	*c = (struct run_create){ .run_id = l->run_id,
		.thread_id = l->thread.id,
		.agent_id = l->thread.agent_id,
		.tenant_id = l->thread.tenant_id,
		.user_id = letter_user,
		.kind = l->class == 0 ? "interactive" : "ambient",
		.class = l->class,
		.model = "sim/sim",
		.correlation_id = "sim",
		.traceparent = "",
		.title = "go",
		.heads = l->thread.heads,
		.multitask = run_multitask_name(l->multitask),
		.now_us = engine_now_us(e),
		.events = events };
	c->heads.run_seq = 0;
	c->deadline_at = c->now_us + engine_limits(e)->max_wall_ms * 1000;
	message_fill(l, &c->message, c->now_us);
}

static SUSPENDS enum as_status
letter_create(struct letter *l)
{
	struct engine *e = l->node->engine;
	struct event_list events = { 0 };
	/* Who chats does not wait for a slot that is free. */
	bool owned = l->class == 0 && engine_has_slot(e);
	struct work *w = NULL;
	struct run_create c;
	enum as_status st;

	create_fill(l, &c, &events);
	c.owner_epoch = owned ? engine_epoch(e) : 0;
	c.message.parent_id = l->thread.last_message_id;
	c.message.state = "final";
	c.message.sequence = l->thread.heads.msg_seq;
	events_fill(l, &events, &c.message, owned);
	if (owned)
		w = engine_expect(e, &c);
	st = run_store_create(&l->node->link, &c, NULL);
	if (st == AS_OK)
		engine_publish(l->node->sim->bus, l->thread.id, l->run_id,
		    &c.heads, &events, c.now_us);
	if (st == AS_OK && owned)
		letter_begins(l, w);
	else if (owned)
		engine_forget(w, st);
	else if (st == AS_OK)
		engine_starve(e);
	event_list_clear(&events);
	return st;
}

/* ---- While another run holds the thread ----------------------------- */

#define WAITING_MAX 4
#define BEFORE_OTHERS (INT64_C(1) << 40)

static bool
interrupts(const struct letter *l)
{
	return l->multitask == RUN_INTERRUPT || l->multitask == RUN_ROLLBACK;
}

static SUSPENDS void
interrupt_active(struct letter *l)
{
	struct engine_resume how = { .reason = "superseded",
		.items_close = "superseded" };
	bool asked = false;

	(void)engine_cancel(l->node->engine, l->thread.active_run_id,
	    l->multitask == RUN_ROLLBACK, &how, &asked, NULL);
}

static SUSPENDS enum as_status
letter_block(struct letter *l)
{
	struct event_list events = { 0 };
	struct run_create c;
	enum as_status st;

	create_fill(l, &c, &events);
	c.block_pos = c.heads.seq + 1 - (interrupts(l) ? BEFORE_OTHERS : 0);
	c.message.state = "staged";
	run_message_created(&events, &c.message, l->thread.id, l->run_id);
	event_list_add_status(&events, RUN_BLOCKED, c.multitask, NULL, NULL);
	st = run_store_create(&l->node->link, &c, NULL);
	if (st == AS_OK)
		engine_publish(l->node->sim->bus, l->thread.id, l->run_id,
		    &c.heads, &events, c.now_us);
	event_list_clear(&events);
	if (st == AS_OK && interrupts(l))
		interrupt_active(l);
	return st;
}

static SUSPENDS enum as_status
make_way(struct letter *l)
{
	struct engine_resume how = { .reason = "superseded",
		.items_close = "superseded" };
	enum run_status to = l->multitask == RUN_ROLLBACK ? RUN_ROLLED_BACK
							  : RUN_CANCELLED;

	(void)engine_end(l->node->engine, l->thread.active_run_id, to, &how,
	    NULL);
	return AS_BUSY;
}

static SUSPENDS enum as_status
letter_behind(struct letter *l)
{
	struct arena *arena = arena_new(NULL);
	struct run_state run;
	enum as_status st = run_store_state(&l->node->link,
	    l->thread.active_run_id, arena, &run, NULL);
	bool parked = st == AS_OK && run.status == RUN_RECOVERABLE_ERROR;

	arena_free(arena);
	if (st != AS_OK)
		return st;
	if (!run_is_open(run.status) || l->multitask == RUN_REJECT)
		return AS_BUSY;
	if (parked)
		return make_way(l);
	return l->thread.n_blocked < WAITING_MAX ? letter_block(l) : AS_BUSY;
}

SUSPENDS enum as_status
letter_send(struct letter *l, struct uuid thread_id, struct uuid tenant_id)
{
	struct run_store *link = &l->node->link;
	enum as_status st;
	int64_t seq = 0;

	st = run_store_thread(link, thread_id, tenant_id, letter_user,
	    &l->thread, NULL);
	if (st == AS_OK)
		st = run_store_by_client_id(link, thread_id, l->client_id,
		    &l->message_id, &l->run_id, &seq, NULL);
	if (st != AS_OK || !uuid_is_nil(l->run_id))
		return st;
	l->run_id = sim_id(l->node->sim);
	l->message_id = sim_id(l->node->sim);
	l->answer_id = sim_id(l->node->sim);
	if (uuid_is_nil(l->thread.active_run_id))
		st = l->thread.n_blocked > 0 ? AS_BUSY : letter_create(l);
	else
		st = letter_behind(l);
	if (st != AS_OK) /* the next try looks for it */
		l->run_id = (struct uuid){ 0 };
	return st;
}
