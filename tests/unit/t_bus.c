/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/bus.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/base/counter.h"
#include "core/base/mem.h"
#include "core/bus/bus_remote.h"
#include "core/bus/topics.h"
#include "core/loop/fiber.h"
#include "tests/tap.h"

/* The memory bus: one loop, two loops, and a publisher that has none. */

static struct bus *bus;
static struct loop *loop;

static void
run_here(fiber_fn fn)
{
	bus = bus_new_memory();
	loop = loop_new();
	bus_join(bus, loop);
	fiber_spawn(loop, "test", fn, NULL);
	loop_run(loop);
	bus_leave(bus, loop);
	loop_free(loop);
	bus_free(bus);
}

static void
publish(struct uuid topic, int64_t seq)
{
	struct bus_msg m = { .topic = topic, .seq = seq };

	m.frame = rcbuf_new("{}", 2);
	bus_publish(bus, &m);
	rcbuf_unref(m.frame);
}

struct reader {
	struct bus_sub *sub;
	struct uuid topic;
	int64_t sum;
	int64_t last;
	int n;
	struct reader *victim; /* unsubscribed by fn */
	struct reader *newcomer; /* subscribed by fn */
	bool echo; /* fn publishes */
};

static void
reader_fn(const struct bus_msg *m, void *arg)
{
	struct reader *r = arg;
	struct reader *v = r->victim;

	CU_ASSERT_PTR_NULL(fiber_self());
	CU_ASSERT_TRUE(uuid_equal(m->topic, r->topic));
	CU_ASSERT_TRUE(m->seq > r->last);
	CU_ASSERT_EQUAL(m->frame->len, 2);
	r->last = m->seq;
	r->sum += m->seq;
	r->n++;
	if (v != NULL) {
		bus_unsubscribe(v->sub);
		v->sub = NULL;
		r->victim = NULL;
	}
	if (r->newcomer != NULL && r->newcomer->sub == NULL)
		r->newcomer->sub = bus_subscribe(bus, r->topic, reader_fn,
		    r->newcomer);
	if (r->echo) {
		r->echo = false;
		publish(r->topic, m->seq + 1);
		CU_ASSERT_EQUAL(r->last, m->seq); /* not from within */
	}
}

static void
reader_start(struct reader *r, struct uuid topic)
{
	*r = (struct reader){ .topic = topic };
	r->sub = bus_subscribe(bus, topic, reader_fn, r);
}

static void
one_loop_fiber(void *arg)
{
	struct reader a, b, other;
	struct uuid t = uuid_v7();

	(void)arg;
	publish(t, 1); /* nobody wants it */
	reader_start(&a, t);
	reader_start(&b, t);
	reader_start(&other, uuid_v7());
	for (int i = 2; i <= 10; i++)
		publish(t, i);
	CU_ASSERT_EQUAL(a.n, 0);
	(void)fiber_yield(); /* at the end of this turn */
	CU_ASSERT_EQUAL(a.n, 9);
	CU_ASSERT_EQUAL(a.sum, 54);
	CU_ASSERT_EQUAL(b.n, 9);
	CU_ASSERT_EQUAL(other.n, 0);
	bus_unsubscribe(a.sub);
	publish(t, 11);
	bus_unsubscribe(b.sub); /* before delivery */
	bus_unsubscribe(other.sub);
	bus_unsubscribe(NULL);
	(void)fiber_yield();
	CU_ASSERT_EQUAL(a.n, 9);
	CU_ASSERT_EQUAL(b.n, 9);
	loop_stop(loop);
}

static void
test_one_loop(void)
{
	run_here(one_loop_fiber);
}

static void
callbacks_fiber(void *arg)
{
	struct reader r[4], late = { 0 };
	struct uuid t = uuid_v7();

	(void)arg;
	late.topic = t;
	for (int i = 0; i < 4; i++)
		reader_start(&r[i], t);
	/* Themselves, an earlier and a later one, in any order. */
	r[0].victim = &r[0];
	r[1].victim = &r[3];
	r[3].victim = &r[1];
	r[2].newcomer = &late;
	publish(t, 1);
	(void)fiber_yield();
	CU_ASSERT_EQUAL(r[0].n, 1);
	CU_ASSERT_PTR_NULL(r[0].sub);
	CU_ASSERT_EQUAL(r[1].n + r[3].n, 1);
	CU_ASSERT_EQUAL(r[2].n, 1);
	CU_ASSERT_EQUAL(late.n, 0);
	publish(t, 2);
	(void)fiber_yield();
	CU_ASSERT_EQUAL(late.n, 1);
	CU_ASSERT_EQUAL(r[2].n, 2);
	r[2].echo = true;
	publish(t, 3);
	(void)fiber_yield();
	(void)fiber_yield();
	CU_ASSERT_EQUAL(r[2].n, 4);
	CU_ASSERT_EQUAL(r[2].last, 4);

	/* The last reader goes and another comes in the same call. */
	for (int i = 0; i < 4; i++)
		if (i != 2)
			bus_unsubscribe(r[i].sub);
	bus_unsubscribe(late.sub);
	late.sub = NULL;
	late.n = 0;
	late.last = 0;
	r[2].victim = &r[2];
	publish(t, 5);
	(void)fiber_yield();
	CU_ASSERT_EQUAL(late.n, 0);
	publish(t, 6);
	(void)fiber_yield();
	CU_ASSERT_EQUAL(late.n, 1);
	bus_unsubscribe(late.sub);
	loop_stop(loop);
}

static void
test_callbacks(void)
{
	run_here(callbacks_fiber);
}

static void
drop_fiber(void *arg)
{
	struct counter *dropped = counter_get(COUNTER, "bus_dropped_total",
	    NULL, NULL, NULL);
	double before = counter_value(dropped);
	struct uuid t = uuid_v7();
	struct reader r;

	(void)arg;
	reader_start(&r, t);
	for (int i = 1; i <= 65536 + 100; i++)
		publish(t, i);
	CU_ASSERT_EQUAL(counter_value(dropped) - before, 100);
	(void)fiber_yield();
	CU_ASSERT_EQUAL(r.n, 65536);
	publish(t, 70000); /* there is room again */
	(void)fiber_yield();
	CU_ASSERT_EQUAL(r.last, 70000);
	bus_unsubscribe(r.sub);
	loop_stop(loop);
}

static void
test_dropped(void)
{
	run_here(drop_fiber);
}

/* ---- Several threads ----------------------------------------------- */

#define N_MSG 2000
#define N_TOPICS 4

struct node {
	struct loop *loop;
	pthread_t thread;
	struct reader readers[N_TOPICS];
	struct uuid topics[N_TOPICS]; /* what it publishes to */
	struct node *other;
	atomic_bool ready;
};

static void
node_publish(const struct uuid *topics)
{
	for (int i = 1; i <= N_MSG; i++)
		publish(topics[i % N_TOPICS], i);
}

static bool
node_is_served(const struct node *n)
{
	int sum = 0;

	for (int i = 0; i < N_TOPICS; i++)
		sum += n->readers[i].n;
	return sum == N_MSG;
}

/* Reads what the other node publishes, and comes and goes on a third. */
static void
node_fiber(void *arg)
{
	struct node *n = arg;
	struct reader visitor;

	for (int i = 0; i < N_TOPICS; i++)
		reader_start(&n->readers[i], n->other->topics[i]);
	atomic_store(&n->ready, true);
	while (!atomic_load(&n->other->ready))
		(void)fiber_yield();
	node_publish(n->topics);
	while (!node_is_served(n)) {
		reader_start(&visitor, n->topics[0]);
		(void)fiber_yield();
		bus_unsubscribe(visitor.sub);
	}
	for (int i = 0; i < N_TOPICS; i++)
		bus_unsubscribe(n->readers[i].sub);
	bus_leave(bus, n->loop); /* letters may be under way */
	loop_stop(n->loop);
}

static void *
node_thread(void *arg)
{
	loop_run(((struct node *)arg)->loop);
	return NULL;
}

static void
test_two_loops(void)
{
	struct node *n = xcalloc(2, sizeof(*n));

	bus = bus_new_memory();
	for (int i = 0; i < 2; i++) {
		n[i].loop = loop_new();
		n[i].other = &n[1 - i];
		for (int k = 0; k < N_TOPICS; k++)
			n[i].topics[k] = uuid_v7();
		bus_join(bus, n[i].loop);
		fiber_spawn(n[i].loop, "node", node_fiber, &n[i]);
	}
	for (int i = 0; i < 2; i++)
		pthread_create(&n[i].thread, NULL, node_thread, &n[i]);
	for (int i = 0; i < 2; i++)
		pthread_join(n[i].thread, NULL);
	for (int i = 0; i < 2; i++)
		loop_free(n[i].loop);
	bus_free(bus);
	free(n);
}

static void *
publisher_thread(void *arg)
{
	node_publish(arg);
	return NULL;
}

static void
no_loop_fiber(void *arg)
{
	struct node n = { 0 };

	(void)arg;
	for (int i = 0; i < N_TOPICS; i++) {
		n.topics[i] = uuid_v7();
		reader_start(&n.readers[i], n.topics[i]);
	}
	pthread_create(&n.thread, NULL, publisher_thread, n.topics);
	while (!node_is_served(&n))
		(void)fiber_yield();
	pthread_join(n.thread, NULL);
	for (int i = 0; i < N_TOPICS; i++)
		bus_unsubscribe(n.readers[i].sub);
	loop_stop(loop);
}

static void
test_no_loop(void)
{
	run_here(no_loop_fiber);
}

/* ---- A driver ------------------------------------------------------ */

static struct reader shared[2]; /* of two loops, one topic */
static int n_wanting, n_unread;

static void
remote_publish(struct bus_remote *r, const struct bus_msg *m)
{
	(void)r;
	(void)m;
}

static void
remote_want(struct bus_remote *r, struct uuid topic, bool wanted)
{
	(void)r;
	CU_ASSERT_TRUE(uuid_equal(topic, shared[0].topic));
	n_wanting += wanted ? 1 : -1;
}

static void
remote_unread(struct bus_remote *r, struct uuid topic)
{
	(void)r;
	CU_ASSERT_TRUE(uuid_equal(topic, shared[0].topic));
	n_unread++;
}

static void
join_fiber(void *arg)
{
	struct reader *r = arg;

	reader_start(r, shared[0].topic);
	loop_stop(loop_self());
}

static void
part_fiber(void *arg)
{
	bus_unsubscribe(((struct reader *)arg)->sub);
	loop_stop(loop_self());
}

/* What only the last reader's leaving is for comes when all loops have none. */
static void
test_driver(void)
{
	struct bus_remote remote = { .publish = remote_publish,
		.want = remote_want,
		.unread = remote_unread };
	const struct {
		fiber_fn fn;
		int who, wanting, unread;
	} steps[] = { { join_fiber, 0, 1, 0 }, { join_fiber, 1, 2, 0 },
		{ part_fiber, 0, 1, 0 }, { join_fiber, 0, 2, 0 },
		{ part_fiber, 1, 1, 0 }, { part_fiber, 0, 0, 1 } };
	struct loop *loops[2];

	bus = bus_new_memory();
	bus_attach(bus, &remote);
	shared[0].topic = uuid_v7();
	for (int i = 0; i < 2; i++) {
		loops[i] = loop_new();
		bus_join(bus, loops[i]);
	}
	for (size_t i = 0; i < N_ITEMS(steps); i++) {
		fiber_spawn(loops[steps[i].who], "test", steps[i].fn,
		    &shared[steps[i].who]);
		loop_run(loops[steps[i].who]);
		CU_ASSERT_EQUAL(n_wanting, steps[i].wanting);
		CU_ASSERT_EQUAL(n_unread, steps[i].unread);
	}
	for (int i = 0; i < 2; i++) {
		bus_leave(bus, loops[i]);
		loop_free(loops[i]);
	}
	bus_free(bus);
}

static void
test_topics(void)
{
	struct topic *t = xcalloc(1000, sizeof(*t));
	struct topics ts = { 0 };

	for (int i = 0; i < 1000; i++) {
		t[i].id = uuid_v7();
		CU_ASSERT_PTR_NULL(topics_get(&ts, t[i].id));
		topics_add(&ts, &t[i]);
	}
	for (int i = 0; i < 1000; i += 2)
		topics_remove(&ts, &t[i]);
	for (int i = 0; i < 1000; i++)
		CU_ASSERT_PTR_EQUAL(topics_get(&ts, t[i].id),
		    i % 2 == 0 ? NULL : &t[i]);
	for (int i = 1; i < 1000; i += 2)
		topics_remove(&ts, &t[i]);
	topics_fini(&ts);
	free(t);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "a driver, and two loops", test_driver },
		{ "topics", test_topics },
		{ "one loop", test_one_loop },
		{ "anything in a callback", test_callbacks },
		{ "dropped", test_dropped },
		{ "two loops", test_two_loops },
		{ "a publisher without a loop", test_no_loop },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "bus", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
