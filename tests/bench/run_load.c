/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/json_write.h"
#include "core/base/mem.h"
#include "core/run/run_store.h"
#include "core/run/wire.h"

/*
 * The engine's transactions without models, tools or clients.
 *
 *	run_load steps URL SECONDS FIBERS
 *		each fiber commits step after step of a run of its own: a
 *		message, three events, a checkpoint.  Prints "steps N", "seconds
 *		S"; a run has STEPS of them, then comes the next one.
 *	run_load noop URL SECONDS FIBERS
 *		each fiber creates a queued run, waits for its claim, commits
 *		three steps, the last of which succeeds.  Prints "runs N",
 *		"seconds S", "start_p99_ms T": from the create's answer to the
 *		claim's, while every fiber has a slot.
 *
 * The database has the schema; what it needs beside runs is inserted.
 */

enum {
	STEPS = 20,
	LATENCIES = 1 << 20
};

struct runner {
	struct load *load;
	struct uuid thread_id, run_id, message_id, checkpoint_id;
	struct run_heads heads;
	int64_t step, fence;
	struct fiber_wait claimed;
	bool is_claimed;
};

struct load {
	struct loop *loop;
	struct store_db *db;
	struct store *store;
	struct run_store *runs;
	struct uuid tenant, user, agent;
	int64_t epoch;
	uint64_t began_ms, end_ms;
	struct runner *runners;
	int n, n_alive;
	bool noop;
	int64_t done;
	bool wants_claim;
	struct fiber_wait claimer;
	float *latencies;
	int n_latencies;
};

static void
must(enum as_status st, struct error *err, const char *what)
{
	if (st == AS_OK)
		return;
	fprintf(stderr, "run_load: %s: %s\n", what, err->detail);
	exit(1);
}

/* ---- What is written ----------------------------------------------- */

static void
event_filler(struct event_list *l, const char *type)
{
	struct buf b = { 0 };

	jw_open(&b, NULL);
	jw_str(&b, "text",
	    "0123456789012345678901234567890123456789012345678901234567890123"
	    "0123456789012345678901234567890123456789012345678901234567890123"
	    "0123456789012345678901234567890123456789012345678901234567890123"
	    "0123456789012345678901234567890123456789012345678901234567890123");
	jw_close(&b);
	event_list_add(l, type, &b);
}

static struct run_message
message_of(struct runner *r, const char *role)
{
	return (struct run_message){ .id = uuid_v7(),
		.role = role,
		.content = "Sixteen tokens of an answer, more or less, as a "
			   "model would say them to a person.",
		.parts = "[{\"type\":\"text\",\"text\":\"Sixteen tokens of an "
			 "answer, more or less, as a model would say them to a "
			 "person.\"}]",
		.state = "final",
		.step = r->step,
		.sequence = r->heads.msg_seq,
		.created_at = clock_wall_us() };
}

static SUSPENDS void
run_create(struct runner *r, bool owned)
{
	struct load *l = r->load;
	struct event_list events = { 0 };
	struct error err = { 0 };
	struct run_create c = { .run_id = uuid_v7(),
		.thread_id = r->thread_id,
		.agent_id = l->agent,
		.tenant_id = l->tenant,
		.user_id = l->user,
		.model = "none/none",
		.correlation_id = "load",
		.traceparent = "",
		.title = "load",
		.owner_epoch = owned ? l->epoch : 0,
		.now_us = clock_wall_us(),
		.events = &events };

	r->step = 0;
	r->heads.run_seq = 0;
	c.heads = r->heads;
	c.deadline_at = c.now_us + 900000000;
	c.message = message_of(r, "user");
	r->run_id = c.run_id;
	event_filler(&events, "message_created");
	event_list_add_status(&events, owned ? RUN_RUNNING : RUN_QUEUED,
	    "created", NULL, NULL);
	must(run_store_create(l->runs, &c, &err), &err, "create");
	r->heads.seq += events.n;
	r->heads.run_seq += events.n;
	r->heads.msg_seq++;
	r->fence = owned ? 1 : 0;
	event_list_clear(&events);
}

static SUSPENDS void
step_commit(struct runner *r, bool last)
{
	struct load *l = r->load;
	struct event_list events = { 0 };
	struct error err = { 0 };
	struct run_message m;
	struct run_commit c = { .run_id = r->run_id,
		.thread_id = r->thread_id,
		.tenant_id = l->tenant,
		.commit_id = uuid_v7(),
		.from = RUN_RUNNING,
		.to = last ? RUN_SUCCEEDED : RUN_RUNNING,
		.fence = r->fence,
		.step = r->step,
		.heads = r->heads,
		.advance = true,
		.events = &events,
		.messages = &m,
		.n_messages = 1,
		.checkpoint_id = uuid_v7(),
		.checkpoint_manifest = "{\"messages\":1}",
		.tokens = 16,
		.now_us = clock_wall_us() };

	r->step++;
	m = message_of(r, "assistant");
	event_filler(&events, "message_end");
	event_filler(&events, "message_created");
	event_filler(&events, "checkpoint");
	must(run_store_commit(l->runs, &c, &err), &err, "commit");
	r->heads.seq += events.n;
	r->heads.run_seq += events.n;
	r->heads.msg_seq++;
	event_list_clear(&events);
}

/* ---- Fibers -------------------------------------------------------- */

static bool
time_is_up(const struct load *l)
{
	return loop_now_ms(l->loop) >= l->end_ms;
}

static SUSPENDS void
one_run_of_steps(struct runner *r)
{
	run_create(r, true);
	for (int i = 1; i <= STEPS; i++) {
		step_commit(r, i == STEPS);
		r->load->done++;
	}
}

static SUSPENDS void
one_noop_run(struct runner *r)
{
	struct load *l = r->load;
	int64_t at;

	r->is_claimed = false;
	run_create(r, false);
	at = clock_mono_us();
	l->wants_claim = true;
	fiber_wake(l->claimer);
	while (!r->is_claimed) {
		r->claimed = fiber_prepare();
		(void)fiber_suspend(UINT64_MAX);
	}
	if (l->n_latencies < LATENCIES)
		l->latencies[l->n_latencies++] = (float)(clock_mono_us() - at) /
						 1e3F;
	r->fence = 1;
	for (int i = 1; i <= 3; i++)
		step_commit(r, i == 3);
	l->done++;
}

static SUSPENDS void
runner_main(void *arg)
{
	struct runner *r = arg;
	struct load *l = r->load;

	while (!time_is_up(l)) {
		if (l->noop)
			one_noop_run(r);
		else
			one_run_of_steps(r);
	}
	if (--l->n_alive == 0)
		fiber_wake(l->claimer);
}

static void
claimed(struct load *l, struct uuid run_id)
{
	for (int i = 0; i < l->n; i++)
		if (uuid_equal(l->runners[i].run_id, run_id)) {
			l->runners[i].is_claimed = true;
			fiber_wake(l->runners[i].claimed);
		}
}

static SUSPENDS void
claimer_main(void *arg)
{
	struct load *l = arg;
	struct run_claim_ask ask = run_claim_ask(l->epoch, l->n);
	struct run_claim *claims;
	struct error err = { 0 };
	int n;

	while (l->n_alive > 0) {
		if (!l->wants_claim) {
			l->claimer = fiber_prepare();
			(void)fiber_suspend(UINT64_MAX);
			continue;
		}
		l->wants_claim = false;
		must(run_store_claim(l->runs, &ask, &claims, &n, &err), &err,
		    "claim");
		for (int i = 0; i < n; i++)
			claimed(l, claims[i].run_id);
		free(claims);
	}
	loop_stop(l->loop);
}

/* ---- Start --------------------------------------------------------- */

static void
sql(struct load *l, const char *text)
{
	struct sql_arg args[] = { SQL_UUID(l->tenant), SQL_UUID(l->user),
		SQL_UUID(l->agent) };
	struct error err = { 0 };

	must(store_db_run(l->db, text, args, 3, NULL, &err), &err, text);
}

static SUSPENDS void
setup_main(void *arg)
{
	struct load *l = arg;
	struct error err = { 0 };

	sql(l, "INSERT INTO users (id, tenant_id, email, created_at,"
	       " updated_at) SELECT $2, $1, lower(CAST(now_us() AS TEXT)), 1, 1"
	       " WHERE $3 IS NOT NULL");
	sql(l, "INSERT INTO agents (id, tenant_id, user_id, name, created_at,"
	       " updated_at) VALUES ($3, $1, $2, 'load', 1, 1)");
	must(run_store_node_join(l->runs, "load", "1", 3600000000, &l->epoch,
		 &err),
	    &err, "join");
	for (int i = 0; i < l->n; i++) {
		struct runner *r = &l->runners[i];

		r->load = l;
		r->thread_id = uuid_v7();
		r->heads.msg_seq = 1;
		must(run_store_thread_create(l->runs, r->thread_id, l->tenant,
			 l->user, l->agent, "", &err),
		    &err, "thread");
	}
	l->began_ms = loop_now_ms(l->loop);
	l->end_ms += l->began_ms;
	l->n_alive = l->n;
	for (int i = 0; i < l->n; i++)
		MUST(fiber_spawn(l->loop, "runner", runner_main, &l->runners[i])
			 .f != NULL);
	claimer_main(l);
}

static int
float_compare(const void *a, const void *b)
{
	const float *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
print(struct load *l)
{
	double s = (double)(loop_now_ms(l->loop) - l->began_ms) / 1e3;

	printf("%s %lld\nseconds %.3f\n", l->noop ? "runs" : "steps",
	    (long long)l->done, s);
	printf("steps_per_run %d\n", l->noop ? 3 : STEPS);
	if (l->n_latencies == 0)
		return;
	qsort(l->latencies, (size_t)l->n_latencies, sizeof(float),
	    float_compare);
	printf("start_p99_ms %.3f\n",
	    (double)l->latencies[l->n_latencies * 99 / 100]);
}

int
main(int argc, char **argv)
{
	struct load l = { 0 };
	struct store_config config = { .migrations_dir = SRC_DIR "/migrations",
		.writers = 4 }; /* of a process, at least */
	struct error err = { 0 };

	if (argc != 5) {
		fprintf(stderr, "usage: run_load steps|noop URL SECONDS "
				"FIBERS\n");
		return 2;
	}
	l.noop = strcmp(argv[1], "noop") == 0;
	config.url = argv[2];
	l.end_ms = (uint64_t)(strtod(argv[3], NULL) * 1e3);
	l.n = atoi(argv[4]);
	memcpy(&l.tenant,
	    (const uint8_t[]){ 0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0,
		0, 1 },
	    16);
	l.user = uuid_v7();
	l.agent = uuid_v7();
	l.runners = xcalloc((size_t)l.n, sizeof(*l.runners));
	l.latencies = xmalloc(LATENCIES * sizeof(float));
	must(store_db_open(&config, &l.db, &err), &err, "open");
	must(store_migrate(l.db, false, NULL, &err), &err, "migrate");
	l.loop = loop_new();
	l.store = store_new(l.db, l.loop);
	l.runs = run_store_new(l.store);
	MUST(fiber_spawn(l.loop, "setup", setup_main, &l).f != NULL);
	loop_run(l.loop);
	print(&l);
	run_store_free(l.runs);
	store_free(l.store);
	loop_free(l.loop);
	store_db_close(l.db);
	free(l.runners);
	free(l.latencies);
	return 0;
}
