/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/run/run_outbox.h"
#include "tests/integration/run_dump.h"
#include "tests/integration/store_env.h"
#include "tests/sim/model_store.h"
#include "tests/tap.h"

/*
 * The store of the simulator is the one of the server: the same random
 * operations, some of them with wrong beliefs, on the model and on a database.
 * Each must end with the same status and say the same, and the tables must be
 * the same in the end.  The clock of both is the test's.
 */

#define QUEUED 250
#define OPS 400
#define THREADS 4
#define EPOCHS 6
#define START_US 1700000000000000

static struct model *model;
static struct run_store *both[2]; /* the model's, the database's */
static uint64_t chance;
static int64_t now_us;
static uint64_t n_ids;
static struct uuid threads[64];
static int n_threads, n_promoted;
static struct uuid user_id, other_id, agent_id;
static char what[256]; /* the operation under test */
static int outbox_rows; /* of all sequences */
static bool parted; /* the two do not say the same any more */

static const struct uuid tenant = { { 0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0,
    0, 0, 0, 1 } };

/* ---- Chance -------------------------------------------------------- */

#define N_TENANTS 60

static uint32_t
below(uint32_t n)
{
	uint64_t z = chance += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (uint32_t)((z >> 32) % n);
}

static bool
one_in(uint32_t n)
{
	return below(n) == 0;
}

static struct uuid
new_id(void)
{
	struct uuid id = { { 0x01, 0x8c } };

	n_ids++;
	id.b[6] = 0x70;
	id.b[8] = 0x80;
	for (int i = 0; i < 4; i++)
		id.b[15 - i] = (uint8_t)(n_ids >> (8 * i));
	return id;
}

static void *
any(const struct model_list *l)
{
	return l->n > 0 ? l->rows[below((uint32_t)l->n)] : NULL;
}

static const char *
words(void)
{
	static const char *const list[] = { "", "plain", "a \"quoted\" one",
		"back\\slash", "{},{}", "\xc3\xbc and \xe2\x82\xac", "it's",
		"line\nline" };

	return list[below(N_ITEMS(list))];
}

/* ---- On both ------------------------------------------------------- */

static void
same_status(enum as_status a, enum as_status b, const struct error *err)
{
	if (a != b)
		tap_note("%s: the model says %d, the database %d (%s)", what,
		    (int)a, (int)b, err->detail);
	parted = parted || a != b;
	CU_ASSERT_EQUAL(a, b);
}

static void
same_text(const char *a, const char *b)
{
	CU_ASSERT_STRING_EQUAL(a != NULL ? a : "-", b != NULL ? b : "-");
}

static void
same_count(int a, int b)
{
	parted = parted || a != b;
	CU_ASSERT_EQUAL(a, b);
}

#define ON_BOTH(call_with_rs, err_name) \
	do { \
		enum as_status st_[2]; \
		struct error err_name = { 0 }; \
		for (int i_ = 0; i_ < 2; i_++) { \
			struct run_store *rs = both[i_]; \
			error_clear(&err_name); \
			st_[i_] = call_with_rs; \
		} \
		same_status(st_[0], st_[1], &err_name); \
		error_clear(&err_name); \
	} while (0)

static void
clock_moves(void)
{
	now_us += 1000 + below(5000000);
	model->now_us = now_us;
	MUST(store_clock_set(env.db, now_us) == AS_OK);
}

/* ---- Nodes --------------------------------------------------------- */

static SUSPENDS void
node_joins(void)
{
	int64_t epoch[2] = { 0, 0 }, ttl = 1 + below(30000000);

	snprintf(what, sizeof(what), "join");
	ON_BOTH(run_store_node_join(rs, "n", "1", ttl, &epoch[i_], &err), err);
	CU_ASSERT_EQUAL(epoch[0], epoch[1]);
}

static int64_t
some_epoch(void)
{
	const struct model_node *n = any(&model->nodes);

	return n != NULL && !one_in(20) ? n->epoch : 999;
}

static SUSPENDS void
node_changes(void)
{
	int64_t epoch = some_epoch();

	snprintf(what, sizeof(what), "renew or leave %" PRId64, epoch);
	if (one_in(3))
		ON_BOTH(run_store_node_leave(rs, epoch, &err), err);
	else
		ON_BOTH(run_store_node_renew(rs, epoch, 20000000, &err), err);
}

/* Several, so that there is something to be fair about. */
static struct uuid
some_tenant(void)
{
	struct uuid id = tenant;

	id.b[14] = (uint8_t)below(N_TENANTS);
	return id;
}

static int
claim_order(const void *a, const void *b)
{
	const struct run_claim *x = a, *y = b;

	return uuid_compare(x->run_id, y->run_id);
}

static struct run_claim_ask
some_ask(void)
{
	struct run_claim_ask ask = run_claim_ask(some_epoch(),
	    1 + (int)below(one_in(4) ? 64 : 5));

	if (one_in(3))
		ask.max_other = (int)below((uint32_t)ask.max + 1);
	for (int i = 0; i < RUN_CLASSES; i++) {
		ask.running[i] = below(4);
		ask.weight[i] = 1 + below(RUN_WEIGHT_MAX);
		ask.promote_us[i] = one_in(3) ? 0 : 1 + below(20000000);
	}
	if (one_in(2))
		ask.after = some_tenant();
	return ask;
}

static SUSPENDS void
claims(void)
{
	struct run_claim *got[2] = { NULL, NULL };
	struct run_claim_ask ask = some_ask();
	int n[2] = { 0, 0 };

	snprintf(what, sizeof(what), "claim %d for %" PRId64, ask.max,
	    ask.epoch);
	ON_BOTH(run_store_claim(rs, &ask, &got[i_], &n[i_], &err), err);
	same_count(n[0], n[1]);
	for (int i = 0; i < 2 && n[i] > 0; i++)
		qsort(got[i], (size_t)n[i], sizeof(*got[i]), claim_order);
	for (int i = 0; i < n[0] && !parted; i++) {
		CU_ASSERT_TRUE(uuid_equal(got[0][i].run_id, got[1][i].run_id));
		CU_ASSERT_TRUE(
		    uuid_equal(got[0][i].thread_id, got[1][i].thread_id));
		CU_ASSERT_TRUE(
		    uuid_equal(got[0][i].tenant_id, got[1][i].tenant_id));
		CU_ASSERT_EQUAL(got[0][i].class, got[1][i].class);
		CU_ASSERT_EQUAL(got[0][i].lane, got[1][i].lane);
		n_promoted += got[0][i].lane < got[0][i].class ? 1 : 0;
	}
	free(got[0]);
	free(got[1]);
}

static SUSPENDS void
reaps(void)
{
	int64_t epoch = some_epoch(), age = 1 + below(60000000);
	bool all = one_in(20);
	int n[2] = { 0, 0 };

	snprintf(what, sizeof(what), "reap for %" PRId64, epoch);
	ON_BOTH(run_store_reap(rs, epoch, all, age, &n[i_], &err), err);
	CU_ASSERT_EQUAL(n[0], n[1]);
}

static SUSPENDS void
releases(void)
{
	const struct model_run *r = any(&model->runs);
	int64_t epoch;

	if (r == NULL)
		return;
	epoch = one_in(3) ? some_epoch() : r->owner_epoch;
	snprintf(what, sizeof(what), "release");
	ON_BOTH(run_store_release(rs, epoch, r->thread_id, r->id, &err), err);
}

static SUSPENDS void
charges(void)
{
	const struct model_run *r = any(&model->runs);

	if (r == NULL)
		return;
	snprintf(what, sizeof(what), "charge");
	ON_BOTH(run_store_charge(rs, r->id, &err), err);
}

static int
cancelling_order(const void *a, const void *b)
{
	const struct run_cancelling *x = a, *y = b;

	return uuid_compare(x->run_id, y->run_id);
}

static SUSPENDS void
reads_node(void)
{
	struct run_cancelling *got[2] = { NULL, NULL };
	int64_t due[2] = { 0, 0 }, epoch = some_epoch();
	int n[2] = { 0, 0 };

	snprintf(what, sizeof(what), "cancelling, next due");
	ON_BOTH(run_store_cancelling(rs, epoch, &got[i_], &n[i_], &err), err);
	same_count(n[0], n[1]);
	for (int i = 0; i < 2 && n[i] > 0; i++)
		qsort(got[i], (size_t)n[i], sizeof(*got[i]), cancelling_order);
	for (int i = 0; i < n[0] && !parted; i++) {
		CU_ASSERT_TRUE(uuid_equal(got[0][i].run_id, got[1][i].run_id));
		CU_ASSERT_EQUAL(got[0][i].age_us, got[1][i].age_us);
	}
	free(got[0]);
	free(got[1]);
	ON_BOTH(run_store_next_due(rs, &due[i_], &err), err);
	CU_ASSERT_EQUAL(due[0], due[1]);
}

/* ---- Threads and runs ---------------------------------------------- */

static SUSPENDS void
thread_begins(void)
{
	struct uuid id = new_id(), whose = some_tenant();
	const char *title = one_in(2) ? "" : "title";

	snprintf(what, sizeof(what), "thread");
	ON_BOTH(run_store_thread_create(rs, id, whose, user_id, agent_id, title,
		    &err),
	    err);
	threads[n_threads++] = id;
}

static void
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

static struct uuid
some_message(struct uuid thread_id)
{
	const struct model_message *m = any(&model->messages);

	return m != NULL && uuid_equal(m->thread_id, thread_id) ? m->m.id
								: new_id();
}

static void
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

static SUSPENDS void
run_begins(void)
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

/* ---- Commits ------------------------------------------------------- */

struct commit {
	struct run_commit c;
	struct event_list events;
	struct run_message messages[3];
	struct run_tool new[3], done[3];
	struct run_item items[2];
	struct run_child children[3];
	struct event_list born[3], told;
	struct run_answer answers[2];
	char keys[4][40], ns[3][64];
	struct run_unblock unblocks[3];
	struct run_message placed[3];
	struct event_list unblock_events[3];
};

static enum run_status
some_end(enum run_status from)
{
	static const enum run_status ends[] = { RUN_QUEUED, RUN_CANCELLING,
		RUN_WAITING_HUMAN, RUN_WAITING_TIMER, RUN_RECOVERABLE_ERROR,
		RUN_SUCCEEDED, RUN_FAILED, RUN_CANCELLED, RUN_ROLLED_BACK,
		RUN_DEAD_LETTERED };

	return one_in(2) ? from : ends[below(N_ITEMS(ends))];
}

static const char *
some_state(void)
{
	static const char *const states[] = { "started", "awaiting_approval",
		"parked" };

	return one_in(2) ? states[0] : states[below(N_ITEMS(states))];
}

static void
args_change(struct run_tool *t)
{
	t->new_args = one_in(3);
	if (!t->new_args)
		return;
	t->args = "{\"y\":2}";
	t->effect = "P";
	t->key_until = one_in(2) ? now_us : 0;
	for (int b = 0; b < 32; b++)
		t->args_hash[b] = (uint8_t)below(256);
}

static void
tools_make(struct commit *k, const struct model_run *r)
{
	struct run_commit *c = &k->c;
	const struct model_tool *old;

	c->tools_new = k->new;
	c->n_tools_new = one_in(3) ? 1 + (int)below(3) : 0;
	for (int i = 0; i < c->n_tools_new; i++) {
		snprintf(k->keys[i], sizeof(k->keys[i]), "key-%u",
		    one_in(8) ? below(5) : 10 + (unsigned)n_ids + (unsigned)i);
		k->new[i] = (struct run_tool){ .id = new_id(),
			.step = r->step + 1,
			.ordinal = i,
			.call_id = "call_1",
			.idem_key = k->keys[i],
			.tool = "t_K",
			.version = "1",
			.args = "{\"x\":\"\\\"\"}",
			.effect = "K",
			.state = some_state(),
			.deadline_us = now_us + 5,
			.key_until = one_in(2) ? now_us : 0 };
		for (int b = 0; b < 32; b++)
			k->new[i].args_hash[b] = (uint8_t)below(256);
	}
	c->tools_done = k->done;
	for (int i = 0; i < 3 && (old = any(&model->tools)) != NULL; i++) {
		static const char *const states[] = { "succeeded", "failed",
			"unknown", "started", "skipped", "planned",
			"awaiting_approval", "parked" };
		struct run_tool *t = &k->done[c->n_tools_done];

		if (!uuid_equal(old->run_id, r->id) && !one_in(10))
			continue;
		if (c->n_tools_done > 0 && uuid_equal(k->done[0].id, old->t.id))
			continue;
		*t = old->t;
		t->state = states[below(N_ITEMS(states))];
		t->result = strcmp(t->state, "started") != 0 ? words() : NULL;
		t->error_code = one_in(2) ? "CANCELED" : NULL;
		t->resolution = one_in(2) ? "operator" : NULL;
		t->deadline_us = one_in(2) ? 0 : now_us;
		args_change(t);
		if (one_in(6) && c->n_tools_done == 0) {
			snprintf(k->keys[3], sizeof(k->keys[3]), "key-%u",
			    one_in(2) ? below(5) : 10000 + (unsigned)n_ids);
			t->idem_key = k->keys[3];
		}
		if (++c->n_tools_done == 2)
			break;
	}
}

static void
answer_make(struct run_answer *a, const struct model_item *item)
{
	static const char *const types[] = { "accept", "edit", "response",
		"ignore" };

	*a = (struct run_answer){ .item_id = item->i.id,
		.status = one_in(4) ? "expired" : "answered",
		.type = types[below(N_ITEMS(types))],
		.response = one_in(2) ? "{\"x\":\"\\\"\"}" : NULL,
		.key = one_in(4) ? NULL : words(),
		.by = one_in(3) ? (struct uuid){ { 0 } } : user_id };
}

/* Of this run, or, sometimes, of any. */
static int
answers_make(struct run_answer a[2], struct uuid run_id)
{
	const struct model_item *old;
	int n = 0;

	for (int i = 0; i < 6 && n < 2; i++) {
		old = any(&model->items);
		if (old == NULL ||
		    (!uuid_equal(old->run_id, run_id) && !one_in(10)))
			continue;
		if (n == 0 || !uuid_equal(a[0].item_id, old->i.id))
			answer_make(&a[n++], old);
	}
	return n;
}

static void
items_make(struct commit *k)
{
	static const char *const kinds[] = { "error", "approval", "question" };
	struct run_commit *c = &k->c;
	const struct model_item *old = any(&model->items);

	c->items_new = k->items;
	c->n_items_new = one_in(4) ? 1 : 0;
	k->items[0] = (struct run_item){ .id = new_id(),
		.interrupt_id = old != NULL && one_in(4) ? old->i.interrupt_id
							 : new_id(),
		.agent_id = agent_id,
		.user_id = user_id,
		.correlation_id = words(),
		.task_id = one_in(2) ? (struct uuid){ { 0 } } : new_id(),
		.kind = kinds[below(N_ITEMS(kinds))],
		.expires_at = one_in(2) ? now_us + below(9000000) : 0,
		.on_expire = one_in(2) ? "reject" : NULL,
		.ordinal = below(4),
		.title = words(),
		.description = words(),
		.action_request = one_in(2) ? NULL : "{}",
		.config = one_in(2) ? NULL : "{\"a\":1}" };
	c->answers = k->answers;
	if (one_in(3))
		c->n_answers = answers_make(k->answers, c->run_id);
	if (c->n_answers > 0 && one_in(4)) {
		k->answers[0].status = "pending";
		k->answers[0].by = (struct uuid){ { 0 } };
	}
	if (!one_in(4))
		return;
	c->items_close = one_in(2) ? "answered" : "superseded";
	c->response_type = one_in(2) ? "retry" : NULL;
	c->response = one_in(2) ? "{\"b\":2}" : NULL;
	if (one_in(2))
		c->responded_by = user_id;
	if (old != NULL && one_in(2))
		c->item_id = old->i.id;
}

/* ---- Commits that touch the queue ----------------------------------- */

static const struct model_message *
staged_of(const struct model_run *r)
{
	for (int i = 0; i < model->messages.n; i++) {
		const struct model_message *m = model->messages.rows[i];

		if (uuid_equal(m->run_id, r->id) &&
		    strcmp(m->m.state, "staged") == 0)
			return m;
	}
	return NULL;
}

static void
place_make(struct commit *k, struct run_message *m, const struct model_run *r)
{
	const struct model_message *staged = staged_of(r);

	MUST(staged != NULL);
	*m = staged->m;
	m->state = "final";
	m->sequence = run_commit_heads(&k->c).msg_seq;
	m->parent_id = new_id();
}

static struct run_branch
some_branch(const struct run_commit *c, const struct run_message *m)
{
	return (struct run_branch){ .leaf = m->id,
		.before = some_message(c->thread_id) };
}

/* A blocked one is cancelled, or its thread is free and it begins. */
static void
blocked_make(struct commit *k, const struct model_run *r)
{
	const struct model_thread *t = model_thread(model, r->thread_id);
	struct run_commit *c = &k->c;

	c->n_messages = 0;
	c->void_messages = true;
	c->to = one_in(2) ? RUN_CANCELLED : RUN_ROLLED_BACK;
	c->dead_reason = NULL;
	if (!uuid_is_nil(t->active_run_id))
		return;
	c->to = RUN_QUEUED;
	c->void_messages = false;
	place_make(k, &k->placed[0], r);
	c->unstaged = &k->placed[0];
	if (one_in(2))
		c->branch = some_branch(c, c->unstaged);
}

static void
unblock_make(struct commit *k, const struct model_run *r, enum run_status to)
{
	struct run_commit *c = &k->c;
	int i = c->n_unblocks;
	struct run_message *m = &k->placed[i];

	place_make(k, m, r);
	if (to == RUN_CANCELLED) {
		m->step = c->step + 1;
		m->ordinal = 1000000 + (int64_t)n_ids;
	}
	events_make(&k->unblock_events[i], 1 + (int)below(2));
	k->unblocks[i] = (struct run_unblock){ .run_id = r->id,
		.to = to,
		.run_seq = r->head_seq,
		.deadline_at = one_in(2) ? now_us + 77 : 0,
		.events = &k->unblock_events[i],
		.message = m };
	if (to == RUN_QUEUED && one_in(2))
		k->unblocks[i].branch = some_branch(c, m);
	c->unblocks = k->unblocks;
	c->n_unblocks++;
}

static void
unblocks_make(struct commit *k)
{
	struct run_commit *c = &k->c;
	const struct model_run *next = model_first_blocked(model, c->thread_id);

	if (next == NULL || one_in(4))
		return;
	if (run_commit_frees_thread(c)) {
		unblock_make(k, next, RUN_QUEUED);
		return;
	}
	for (int i = 0; i < model->runs.n && c->n_unblocks < 3; i++) {
		const struct model_run *r = model->runs.rows[i];

		if (r->block_pos != 0 && uuid_equal(r->thread_id, c->thread_id))
			unblock_make(k, r, RUN_CANCELLED);
	}
}

static void
checkpoint_make(struct run_commit *c)
{
	c->advance = true;
	c->checkpoint_id = new_id();
	c->checkpoint_manifest = "{\"messages\":1}";
	for (int b = 0; b < 32; b++)
		c->checkpoint_hash[b] = (uint8_t)below(256);
}

static void
beliefs_twist(struct run_commit *c)
{
	switch (below(8)) {
	case 0:
		c->fence--;
		break;
	case 1:
		c->step++;
		break;
	case 2:
		c->heads.seq++;
		break;
	case 3:
		c->heads.run_seq--;
		break;
	case 4:
		c->from = c->from == RUN_RUNNING ? RUN_QUEUED : RUN_RUNNING;
		break;
	case 5:
		c->thread_id = threads[0];
		break;
	case 6:
		c->version += 1 + below(2);
		break;
	default:
		c->heads.msg_seq = 1; /* not tested, but its messages exist */
	}
}

/* A run at work begins subagents, and waits. */
static void
children_make(struct commit *k, const struct model_run *r)
{
	struct run_commit *c = &k->c;
	const struct model_tool *call;

	if (r->status != RUN_RUNNING || r->pending_children > 0 || !one_in(4))
		return;
	c->to = RUN_WAITING_CHILD;
	c->void_messages = false;
	c->dead_reason = NULL;
	c->children = k->children;
	c->n_children = 1 + (int)below(3);
	for (int i = 0; i < c->n_children; i++) {
		struct run_child *d = &k->children[i];

		snprintf(k->ns[i], sizeof(k->ns[i]), "task:%llu",
		    (unsigned long long)n_ids);
		call = any(&model->tools);
		d->run_id = new_id();
		d->agent_id = agent_id;
		d->call_id = call != NULL ? call->t.id : new_id();
		d->ns = k->ns[i];
		d->model = one_in(2) ? "m" : NULL;
		d->budget = one_in(2) ? "{\"steps\":-1}" : NULL;
		d->deadline_at = now_us + 5;
		d->events = &k->born[i];
		events_make(&k->born[i], 1 + (int)below(3));
		message_make(&d->message, r->thread_id, "user", 0, 0, 0);
		d->message = (struct run_message){ .id = d->message.id,
			.role = "user",
			.content = d->message.content,
			.parts = "[]",
			.state = "final",
			.created_at = now_us };
	}
}

/* One that ends tells its parent. */
static void
tell_make(struct commit *k, const struct model_run *r)
{
	const struct model_run *p = model_run(model, r->parent_run_id);
	struct run_tell *t = &k->c.tell;

	if (p == NULL || run_is_open(k->c.to) || p->pending_children == 0 ||
	    (p->status != RUN_WAITING_CHILD && p->status != RUN_CANCELLING))
		return;
	t->run_id = p->id;
	t->call.id = r->parent_call_id;
	t->call.state = one_in(2) ? "succeeded" : "failed";
	t->call.result = words();
	t->call.error_code = one_in(2) ? "CANCELED" : NULL;
	t->budget = one_in(2) ? "{\"steps\":7}" : NULL;
	t->run_seq = p->head_seq;
	t->last = p->pending_children == 1;
	t->events = &k->told;
	events_make(&k->told, (int)below(2));
}

static void
commit_fill(struct commit *k, const struct model_run *r)
{
	const struct model_thread *t = model_thread(model, r->thread_id);
	struct run_commit *c = &k->c;

	c->run_id = r->id;
	c->thread_id = t->id;
	c->tenant_id = r->tenant_id;
	c->commit_id = new_id();
	c->ns = r->ns;
	c->todos = one_in(8) ? "[]" : NULL;
	c->from = r->status;
	c->to = some_end(r->status);
	c->fence = r->fence;
	c->step = r->step;
	c->heads = (struct run_heads){ t->head_seq, r->head_seq,
		t->next_msg_seq };
	c->version = one_in(2) ? r->version : 0;
	c->bump_fence = one_in(5);
	c->cancel_mode = one_in(6) ? "keep" : NULL;
	c->void_messages = c->to == RUN_ROLLED_BACK;
	c->usage = one_in(2) ? "{\"input_tokens\":2}" : NULL;
	c->tokens = below(50);
	c->cost_micros = below(50);
	c->error_code = one_in(4) ? "TIMEOUT" : NULL;
	c->error = c->error_code != NULL ? "{\"code\":\"TIMEOUT\"}" : NULL;
	c->model = one_in(6) ? "other" : NULL;
	c->budget = one_in(6) ? "{\"max_steps\":3}" : NULL;
	c->deadline_at = one_in(6) ? now_us + 99 : 0;
	c->attempt = below(3);
	c->run_at = now_us + below(2000000);
	c->now_us = now_us;
	c->dead_reason = c->to == RUN_DEAD_LETTERED ? "crashes" : NULL;
	c->events = &k->events;
	events_make(&k->events, (int)below(4));
	c->messages = k->messages;
	c->n_messages = (int)below(3);
	for (int i = 0; i < c->n_messages; i++)
		message_make(&k->messages[i], t->id,
		    i == 0 ? "assistant" : "tool", t->next_msg_seq + i,
		    r->step + 1, one_in(10) ? 0 : (int64_t)n_ids);
	/* Whoever voids a run's messages writes no others that count. */
	for (int i = 0; c->void_messages && i < c->n_messages; i++)
		k->messages[i].state = "rolled_back";
	tools_make(k, r);
	items_make(k);
	if (one_in(2))
		checkpoint_make(c);
	if (one_in(4))
		c->checkpoint_parent = new_id();
	c->beside = one_in(4);
	if (one_in(4))
		c->leaf = some_message(t->id);
	children_make(k, r);
	tell_make(k, r);
	if (r->status == RUN_BLOCKED)
		blocked_make(k, r);
	else if (r->ns[0] == '\0')
		unblocks_make(k);
	if (c->void_messages && one_in(2))
		c->back_to = some_message(t->id);
}

static SUSPENDS void
commits(void)
{
	const struct model_run *r = any(&model->runs);
	struct commit *k;

	if (r == NULL || !run_is_open(r->status))
		return;
	k = xcalloc(1, sizeof(*k));
	commit_fill(k, r);
	if (one_in(6))
		beliefs_twist(&k->c);
	snprintf(what, sizeof(what),
	    "commit %s > %s, %d messages, %d + %d tools, %d items, %d others",
	    run_status_name(k->c.from), run_status_name(k->c.to),
	    k->c.n_messages, k->c.n_tools_new, k->c.n_tools_done,
	    k->c.n_items_new, k->c.n_unblocks);
	ON_BOTH(run_store_commit(rs, &k->c, &err), err);
	event_list_clear(&k->events);
	event_list_clear(&k->told);
	for (int i = 0; i < 3; i++) {
		event_list_clear(&k->born[i]);
		event_list_clear(&k->unblock_events[i]);
	}
	free(k);
}

/* ---- Webhooks ------------------------------------------------------ */

/* Not an operation of the engine: both are told what the table holds. */
static void
hook_changes(void)
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

static SUSPENDS void
late(void)
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

static SUSPENDS void
switches(void)
{
	const struct model_thread *t = any(&model->threads);
	struct uuid leaf = some_message(t->id);
	struct uuid who = one_in(9) ? agent_id : user_id;

	snprintf(what, sizeof(what), "switch");
	ON_BOTH(run_store_switch(rs, t->id, tenant, who, leaf, &err), err);
}

static SUSPENDS void
answers(void)
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

/* ---- Reads --------------------------------------------------------- */

static int
overdue_order(const void *a, const void *b)
{
	const struct run_overdue *x = a, *y = b;

	return uuid_compare(x->item_id, y->item_id);
}

static SUSPENDS void
reads_overdue(void)
{
	struct run_overdue *got[2] = { NULL, NULL };
	int n[2] = { 0, 0 };

	snprintf(what, sizeof(what), "overdue");
	ON_BOTH(run_store_overdue(rs, 1000, &got[i_], &n[i_], &err), err);
	same_count(n[0], n[1]);
	for (int i = 0; i < 2 && n[i] > 0; i++)
		qsort(got[i], (size_t)n[i], sizeof(*got[i]), overdue_order);
	for (int i = 0; i < n[0] && !parted; i++) {
		CU_ASSERT_TRUE(
		    uuid_equal(got[0][i].item_id, got[1][i].item_id));
		CU_ASSERT_TRUE(uuid_equal(got[0][i].run_id, got[1][i].run_id));
		CU_ASSERT_STRING_EQUAL(got[0][i].on_expire,
		    got[1][i].on_expire);
	}
	free(got[0]);
	free(got[1]);
}

static int
asked_order(const void *a, const void *b)
{
	const struct run_asked *x = a, *y = b;

	return uuid_compare(x->id, y->id);
}

static SUSPENDS void
reads_asked(struct arena *arena)
{
	const struct model_item *old = any(&model->items);
	struct uuid run = old != NULL && !one_in(10) ? old->run_id : new_id();
	struct run_asked *got[2] = { NULL, NULL };
	int64_t version[2] = { 0, 0 };
	int n[2] = { 0, 0 };

	snprintf(what, sizeof(what), "asked");
	ON_BOTH(run_store_asked(rs, run, arena, &got[i_], &n[i_], &version[i_],
		    &err),
	    err);
	same_count(n[0], n[1]);
	CU_ASSERT_EQUAL(version[0], version[1]);
	for (int i = 0; i < 2 && n[i] > 0; i++)
		qsort(got[i], (size_t)n[i], sizeof(*got[i]), asked_order);
	for (int i = 0; i < n[0] && !parted; i++) {
		const struct run_asked *a = &got[0][i], *b = &got[1][i];

		CU_ASSERT_TRUE(uuid_equal(a->id, b->id));
		CU_ASSERT_TRUE(uuid_equal(a->interrupt_id, b->interrupt_id));
		CU_ASSERT_EQUAL(a->step, b->step);
		CU_ASSERT_EQUAL(a->ordinal, b->ordinal);
		CU_ASSERT_EQUAL(a->expires_at, b->expires_at);
		CU_ASSERT_EQUAL(a->responded_at, b->responded_at);
		same_text(a->kind, b->kind);
		same_text(a->status, b->status);
		same_text(a->config, b->config);
		same_text(a->response_type, b->response_type);
		same_text(a->response, b->response);
		same_text(a->response_key, b->response_key);
	}
}

static SUSPENDS void
reads_state(struct arena *arena)
{
	const struct model_run *r = any(&model->runs);
	struct uuid id = r != NULL && !one_in(10) ? r->id : new_id();
	struct run_state s[2];

	memset(s, 0, sizeof(s));
	snprintf(what, sizeof(what), "state");
	ON_BOTH(run_store_state(rs, id, arena, &s[i_], &err), err);
	CU_ASSERT_EQUAL(s[0].status, s[1].status);
	CU_ASSERT_EQUAL(s[0].fence, s[1].fence);
	CU_ASSERT_EQUAL(s[0].owner_epoch, s[1].owner_epoch);
	CU_ASSERT_EQUAL(s[0].waited, s[1].waited);
	CU_ASSERT_EQUAL(s[0].heads.seq, s[1].heads.seq);
	CU_ASSERT_EQUAL(s[0].heads.run_seq, s[1].heads.run_seq);
	CU_ASSERT_EQUAL(s[0].heads.msg_seq, s[1].heads.msg_seq);
	CU_ASSERT_EQUAL(s[0].usage.input, s[1].usage.input);
	CU_ASSERT_EQUAL(s[0].now_us, s[1].now_us);
	same_text(s[0].kind, s[1].kind);
	CU_ASSERT_EQUAL(s[0].class, s[1].class);
	CU_ASSERT_EQUAL(s[0].pending_children, s[1].pending_children);
	CU_ASSERT_EQUAL(s[0].parent.status, s[1].parent.status);
	CU_ASSERT_EQUAL(s[0].parent.run_seq, s[1].parent.run_seq);
	CU_ASSERT_EQUAL(s[0].parent.pending_children,
	    s[1].parent.pending_children);
	CU_ASSERT_TRUE(uuid_equal(s[0].parent_call_id, s[1].parent_call_id));
	if (s[0].ns != NULL && s[1].ns != NULL)
		CU_ASSERT_STRING_EQUAL(s[0].ns, s[1].ns);
	CU_ASSERT_EQUAL(memcmp(s[0].checkpoint_hash, s[1].checkpoint_hash, 32),
	    0);
	CU_ASSERT_TRUE(uuid_equal(s[0].last_commit_id, s[1].last_commit_id));
	CU_ASSERT_TRUE(uuid_equal(s[0].leaf, s[1].leaf));
	CU_ASSERT_EQUAL(s[0].branch.beside, s[1].branch.beside);
	CU_ASSERT_TRUE(uuid_equal(s[0].thread_leaf, s[1].thread_leaf));
	CU_ASSERT_TRUE(uuid_equal(s[0].active_run_id, s[1].active_run_id));
	CU_ASSERT_EQUAL(s[0].n_blocked, s[1].n_blocked);
	CU_ASSERT_EQUAL(s[0].n_steers, s[1].n_steers);
	same_text(s[0].multitask, s[1].multitask);
	same_text(s[0].next_multitask, s[1].next_multitask);
}

static SUSPENDS void
reads_queue(struct arena *arena)
{
	struct uuid id = threads[below((uint32_t)n_threads)];
	const struct model_run *r = any(&model->runs);
	struct run_stalled *stalled[2] = { NULL, NULL };
	struct run_blocked *list[2];
	struct run_tool *tools[2];
	int n[2] = { 0, 0 };

	snprintf(what, sizeof(what), "blocked, stalled, effects");
	ON_BOTH(run_store_blocked(rs, id, arena, &list[i_], &n[i_], &err), err);
	same_count(n[0], n[1]);
	for (int i = 0; i < n[0] && !parted; i++) {
		const struct run_blocked *a = &list[0][i], *b = &list[1][i];

		CU_ASSERT_TRUE(uuid_equal(a->run_id, b->run_id));
		CU_ASSERT_TRUE(uuid_equal(a->message.id, b->message.id));
		CU_ASSERT_EQUAL(a->block_pos, b->block_pos);
		CU_ASSERT_EQUAL(a->run_seq, b->run_seq);
		same_text(a->multitask, b->multitask);
		same_text(a->message.content, b->message.content);
		same_text(a->message.client_message_id,
		    b->message.client_message_id);
	}
	ON_BOTH(run_store_stalled(rs, 10, &stalled[i_], &n[i_], &err), err);
	same_count(n[0], n[1]);
	for (int i = 0; i < n[0] && !parted; i++) {
		const struct run_stalled *a = &stalled[0][i];
		const struct run_stalled *b = &stalled[1][i];

		CU_ASSERT_TRUE(uuid_equal(a->thread_id, b->thread_id));
		CU_ASSERT_TRUE(uuid_equal(a->active_run_id, b->active_run_id));
		CU_ASSERT_TRUE(uuid_equal(a->next_run_id, b->next_run_id));
		same_text(a->multitask, b->multitask);
	}
	free(stalled[0]);
	free(stalled[1]);
	if (r == NULL)
		return;
	ON_BOTH(run_store_effects(rs, r->id, arena, &tools[i_], &n[i_], &err),
	    err);
	same_count(n[0], n[1]);
	for (int i = 0; i < n[0] && !parted; i++)
		same_text(tools[0][i].state, tools[1][i].state);
}

static SUSPENDS void
reads_thread(struct arena *arena)
{
	struct uuid id = threads[below((uint32_t)n_threads)];
	struct uuid leaf = one_in(2) ? some_message(id) : (struct uuid){ 0 };
	struct run_history_row *rows[2];
	struct uuid who = one_in(9) ? agent_id : user_id;
	struct thread_state t[2];
	int n[2] = { 0, 0 };

	memset(t, 0, sizeof(t));
	snprintf(what, sizeof(what), "thread and history");
	ON_BOTH(run_store_thread(rs, id, tenant, who, &t[i_], &err), err);
	ON_BOTH(run_store_thread(rs, id, tenant, user_id, &t[i_], &err), err);
	CU_ASSERT_EQUAL(t[0].heads.seq, t[1].heads.seq);
	CU_ASSERT_EQUAL(t[0].has_title, t[1].has_title);
	CU_ASSERT_TRUE(uuid_equal(t[0].active_run_id, t[1].active_run_id));
	CU_ASSERT_TRUE(uuid_equal(t[0].last_message_id, t[1].last_message_id));
	CU_ASSERT_TRUE(uuid_equal(t[0].leaf, t[1].leaf));
	ON_BOTH(run_store_history(rs, id, "", leaf, t[0].heads.msg_seq, arena,
		    &rows[i_], &n[i_], &err),
	    err);
	same_count(n[0], n[1]);
	for (int i = 0; i < n[0] && !parted; i++) {
		CU_ASSERT_TRUE(uuid_equal(rows[0][i].id, rows[1][i].id));
		CU_ASSERT_STRING_EQUAL(rows[0][i].content, rows[1][i].content);
		CU_ASSERT_STRING_EQUAL(rows[0][i].state, rows[1][i].state);
	}
}

static SUSPENDS void
reads_run(struct arena *arena)
{
	const struct model_run *r = any(&model->runs);
	int64_t at = one_in(2) ? INT64_MAX : below(10);
	int64_t step = below(4), seq[2] = { 0, 0 };
	struct uuid open[2], message[2], run[2];
	struct run_claim first[2];
	struct run_tool *tools[2];
	int n[2] = { 0, 0 }, attempt[2] = { 0, 0 };
	bool by_run = one_in(2);
	char client_id[16];

	if (r == NULL)
		return;
	snprintf(what, sizeof(what), "tools, open message, client id");
	ON_BOTH(run_store_tools(rs, r->id, step, arena, &tools[i_], &n[i_],
		    &err),
	    err);
	same_count(n[0], n[1]);
	for (int i = 0; i < n[0] && !parted; i++) {
		CU_ASSERT_EQUAL(tools[0][i].ordinal, tools[1][i].ordinal);
		CU_ASSERT_EQUAL(tools[0][i].deadline_us,
		    tools[1][i].deadline_us);
	}
	ON_BOTH(run_store_open_message(rs, by_run,
		    by_run ? r->id : r->thread_id, at, &open[i_], &attempt[i_],
		    &err),
	    err);
	CU_ASSERT_TRUE(uuid_equal(open[0], open[1]));
	CU_ASSERT_EQUAL(attempt[0], attempt[1]);
	snprintf(client_id, sizeof(client_id), "c%u", below(40));
	ON_BOTH(run_store_by_client_id(rs, r->thread_id, client_id,
		    &message[i_], &run[i_], &seq[i_], &err),
	    err);
	CU_ASSERT_TRUE(uuid_equal(message[0], message[1]));
	CU_ASSERT_TRUE(uuid_equal(run[0], run[1]));
	CU_ASSERT_EQUAL(seq[0], seq[1]);
	snprintf(client_id, sizeof(client_id), "d%u", below(20));
	ON_BOTH(run_store_by_dedup(rs, user_id, agent_id, client_id, &first[i_],
		    &err),
	    err);
	CU_ASSERT_TRUE(uuid_equal(first[0].run_id, first[1].run_id));
	CU_ASSERT_TRUE(uuid_equal(first[0].thread_id, first[1].thread_id));
}

/* Who works for a run, and what it has in its own name space. */
static SUSPENDS void
reads_family(struct arena *arena)
{
	const struct model_run *r = any(&model->runs);
	struct run_claim *got[2] = { NULL, NULL };
	struct run_history_row *rows[2];
	int n[2] = { 0, 0 };

	if (r == NULL)
		return;
	snprintf(what, sizeof(what), "subagents and their history");
	ON_BOTH(run_store_children(rs, r->id, &got[i_], &n[i_], &err), err);
	same_count(n[0], n[1]);
	for (int i = 0; i < 2 && n[i] > 0; i++)
		qsort(got[i], (size_t)n[i], sizeof(*got[i]), claim_order);
	for (int i = 0; i < n[0] && !parted; i++)
		CU_ASSERT_TRUE(uuid_equal(got[0][i].run_id, got[1][i].run_id));
	free(got[0]);
	free(got[1]);
	ON_BOTH(run_store_history(rs, r->thread_id, r->ns, (struct uuid){ 0 },
		    INT64_MAX, arena, &rows[i_], &n[i_], &err),
	    err);
	same_count(n[0], n[1]);
	for (int i = 0; i < n[0] && !parted; i++)
		CU_ASSERT_TRUE(uuid_equal(rows[0][i].id, rows[1][i].id));
}

static SUSPENDS void
reads(void)
{
	struct arena *arena = arena_new(NULL);

	reads_state(arena);
	reads_thread(arena);
	reads_run(arena);
	reads_queue(arena);
	reads_family(arena);
	reads_asked(arena);
	reads_overdue();
	reads_node();
	arena_free(arena);
}

/* ---- A sequence ---------------------------------------------------- */

static SUSPENDS void
one_operation(void)
{
	uint32_t dice = below(100);

	if (dice < 45)
		commits();
	else if (dice < 62)
		run_begins();
	else if (dice < 70)
		claims();
	else if (dice < 75)
		reaps();
	else if (dice < 78)
		releases();
	else if (dice < 80)
		late();
	else if (dice < 82)
		answers();
	else if (dice < 86)
		node_changes();
	else if (dice < 87)
		charges();
	else if (dice < 88)
		switches();
	else if (dice < 89 && model->nodes.n < EPOCHS)
		node_joins();
	else if (dice < 90)
		hook_changes();
	else if (dice < 93)
		clock_moves();
	else
		reads();
}

static void
insert(const char *text)
{
	struct sql_arg args[] = { SQL_UUID(user_id), SQL_UUID(tenant),
		SQL_UUID(agent_id), SQL_UUID(other_id) };

	MUST(store_db_run(env.db, text, args, 4, NULL, NULL) == AS_OK);
}

static void
dumps_compare(void)
{
	struct buf a = { 0 }, b = { 0 };
	const char *x, *y;
	size_t n, m;

	run_dump_model(model, &a);
	run_dump_sql(&b);
	for (x = a.data, y = b.data; *x != '\0' && *y != '\0';) {
		n = strcspn(x, "\n");
		m = strcspn(y, "\n");
		if (n != m || memcmp(x, y, n) != 0) {
			tap_note("the model:    %.*s", (int)n, x);
			tap_note("the database: %.*s", (int)m, y);
			break;
		}
		x += n + 1;
		y += m + 1;
	}
	CU_ASSERT_STRING_EQUAL(a.data, b.data);
	tap_note("%d runs, %d events, %d messages, %d tools, %d items, %d dead,"
		 " %d in the outbox",
	    model->runs.n, model->events.n, model->messages.n, model->tools.n,
	    model->items.n, model->dead.n, model->outbox.n);
	outbox_rows += model->outbox.n;
	buf_free(&a);
	buf_free(&b);
}

static void
tenants_insert(void)
{
	for (int i = 1; i < N_TENANTS; i++) {
		struct uuid id = tenant;
		struct sql_arg args[] = { SQL_UUID(id) };

		args[0].v.u.b[14] = (uint8_t)i;
		MUST(store_db_run(env.db,
			 "INSERT INTO tenants (id, name, created_at)"
			 " VALUES ($1, 't', 1)",
			 args, 1, NULL, NULL) == AS_OK);
	}
}

static SUSPENDS void
begin(void)
{
	tenants_insert();
	insert("INSERT INTO users (id, tenant_id, email, created_at,"
	       " updated_at) SELECT $1, $2, 'a@x', 1, 1 WHERE $3 IS NOT NULL"
	       " UNION ALL SELECT $4, $2, 'b@x', 1, 1");
	insert("INSERT INTO agents (id, tenant_id, user_id, name, created_at,"
	       " updated_at) SELECT $3, $2, $1, 'a', 1, 1 WHERE $4 IS NOT"
	       " NULL");
	clock_moves();
	for (int i = 0; i < THREADS; i++)
		thread_begins();
	node_joins();
}

static SUSPENDS void
sequence(void *arg)
{
	(void)arg;
	begin();
	hook_changes(); /* or few ends would be told of */
	hook_changes();
	for (int i = 0; i < OPS && !parted; i++)
		one_operation();
	dumps_compare();
}

/* A task of some tenant, in a thread of its own that nobody looks at. */
static SUSPENDS void
job_waits(void)
{
	struct event_list events = { 0 };
	struct run_create c = { .run_id = new_id(),
		.thread_id = new_id(),
		.agent_id = agent_id,
		.tenant_id = some_tenant(),
		.user_id = user_id,
		.correlation_id = "",
		.title = "",
		.new_thread = true,
		.heads = { 0, 0, 1 },
		.kind = "ambient",
		.class = (int)below(RUN_CLASSES),
		.now_us = now_us,
		.events = &events };

	if (one_in(3)) /* one has far more than the others */
		c.tenant_id = tenant;
	c.message.sequence = 1;
	c.run_at = one_in(8) ? now_us + below(9000000) : 0;
	events_make(&events, 1);
	snprintf(what, sizeof(what), "a job waits");
	ON_BOTH(run_store_create(rs, &c, &err), err);
	event_list_clear(&events);
}

/* A long queue of many tenants, and who gets what of it. */
static SUSPENDS void
queue(void *arg)
{
	(void)arg;
	begin();
	for (int i = 0; i < QUEUED && !parted; i++) {
		job_waits();
		if (one_in(6))
			clock_moves();
	}
	for (int i = 0; i < 90 && !parted; i++) {
		claims();
		if (one_in(3))
			releases();
		if (one_in(3))
			clock_moves();
		reads_node();
	}
	CU_ASSERT_TRUE(n_promoted > 0);
	dumps_compare();
}

static void
sequence_run(uint64_t seed, SUSPENDS void (*fn)(void *arg))
{
	struct run_store *db;

	chance = seed;
	now_us = START_US;
	n_threads = n_promoted = 0;
	n_ids = 0;
	user_id = new_id();
	other_id = new_id();
	agent_id = new_id();
	model = model_new();
	model->is_sqlite = env.dialect == STORE_SQLITE;
	db = run_store_new(env.store);
	both[0] = &model->store;
	both[1] = db;
	env_run(fn, NULL);
	run_store_free(db);
	model_free(model);
}

static void
sequences(int (*open)(void), uint64_t n, SUSPENDS void (*fn)(void *arg))
{
	parted = false;
	outbox_rows = 0;
	for (uint64_t seed = 1; seed <= n && !parted; seed++) {
		MUST(open() == 0);
		if (!env_ready())
			return;
		sequence_run(seed, fn);
		env_close();
	}
	CU_ASSERT_TRUE(fn != sequence || outbox_rows > 0);
}

static void
test_sqlite(void)
{
	sequences(env_sqlite_open, 8, sequence);
	sequences(env_sqlite_open, 3, queue);
}

static void
test_postgres(void)
{
	sequences(env_postgres_open, 4, sequence);
	sequences(env_postgres_open, 2, queue);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "SQLite", test_sqlite },
		{ "PostgreSQL", test_postgres },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "run store model", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
