/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/counter.h"
#include "core/base/mem.h"
#include "tests/integration/redis_env.h"
#include "tests/integration/redis_node.h"
#include "tests/tap.h"

/*
 * Two nodes on one loop: what one says the other hears, and text that is
 * written at one can be read at the other from its beginning, whatever was
 * lost in between.
 */

#define GRACE_MS 200

struct reader {
	struct bus_sub *sub;
	int n, looks;
	int64_t seq;
	char frame[64];
};

static struct loop *loop;
static struct redis_node here, there;
static struct bus_redis_config config;

static bool
both_up(void *arg)
{
	(void)arg;
	return redis_node_is_up(&here) && redis_node_is_up(&there);
}

static void
run(fiber_fn fn)
{
	if (!redis_env_start(NULL))
		return;
	loop = loop_new();
	config.grace_ms = GRACE_MS;
	redis_node_open(&here, loop, &config);
	redis_node_open(&there, loop, &config);
	fiber_spawn(loop, "test", fn, NULL);
	loop_run(loop);
	loop_drain(loop);
	redis_node_close(&here);
	redis_node_close(&there);
	loop_free(loop);
	redis_env_stop();
	config = (struct bus_redis_config){ 0 };
}

static void
on_msg(const struct bus_msg *m, void *arg)
{
	struct reader *r = arg;

	if (m->look) {
		r->looks++;
		return;
	}
	r->n++;
	r->seq = m->seq;
	snprintf(r->frame, sizeof(r->frame), "%s",
	    m->frame != NULL ? m->frame->data : "");
}

static void
read_at(struct redis_node *n, struct reader *r, struct uuid topic)
{
	*r = (struct reader){ 0 };
	r->sub = bus_subscribe(n->bus, topic, on_msg, r);
}

static bool
has_looked(void *arg)
{
	return ((struct reader *)arg)->looks > 0;
}

static bool
has_one(void *arg)
{
	return ((struct reader *)arg)->n > 0;
}

static void
say(struct redis_node *n, struct uuid topic, int64_t seq, const char *frame)
{
	struct bus_msg m = { .topic = topic, .seq = seq };

	if (frame != NULL)
		m.frame = rcbuf_new(frame, strlen(frame));
	bus_publish(n->bus, &m);
	rcbuf_unref(m.frame);
}

static double
counted(const char *name)
{
	return counter_value(counter_get(COUNTER, name, "", NULL, NULL));
}

/* ---- Messages ------------------------------------------------------ */

static void
messages_fiber(void *arg)
{
	struct uuid topic = uuid_v7(), other = uuid_v7();
	struct reader a, b, deaf;
	char *large;

	(void)arg;
	other.b[15] = topic.b[15]; /* the same channel */
	CU_ASSERT_TRUE(redis_node_wait(both_up, NULL));
	read_at(&here, &a, topic);
	read_at(&there, &b, topic);
	read_at(&there, &deaf, other);
	/* What was said before is not heard: so it is told to look. */
	CU_ASSERT_TRUE(redis_node_wait(has_looked, &b));
	CU_ASSERT_TRUE(redis_node_wait(has_looked, &a));
	say(&here, topic, 5, "{\"type\":\"x\"}");
	CU_ASSERT_TRUE(redis_node_wait(has_one, &b));
	CU_ASSERT_EQUAL(b.seq, 5);
	CU_ASSERT_STRING_EQUAL(b.frame, "{\"type\":\"x\"}");
	CU_ASSERT_EQUAL(a.n, 1); /* its own comes once */
	say(&there, topic, 0, NULL); /* a bell */
	a.n = 0;
	CU_ASSERT_TRUE(redis_node_wait(has_one, &a));
	CU_ASSERT_EQUAL(a.n, 1);
	CU_ASSERT_EQUAL(deaf.n, 0);
	/* What is too large to carry is looked up. */
	large = xcalloc(1, 400000);
	memset(large, ' ', 399999);
	large[0] = '{';
	large[399998] = '}';
	b.looks = b.n = 0;
	say(&here, topic, 6, large);
	CU_ASSERT_TRUE(redis_node_wait(has_looked, &b));
	CU_ASSERT_EQUAL(b.n, 0);
	free(large);
	bus_unsubscribe(a.sub);
	bus_unsubscribe(b.sub);
	bus_unsubscribe(deaf.sub);
	loop_stop(loop);
}

static void
test_messages(void)
{
	run(messages_fiber);
}

static bool
refused_some(void *arg)
{
	return counted("bus_refused_total") > *(double *)arg;
}

static void
nonsense_fiber(void *arg)
{
	struct uuid topic = uuid_v7();
	double before = counted("bus_refused_total");
	char command[64];
	struct reader b;
	char *got;

	(void)arg;
	CU_ASSERT_TRUE(redis_node_wait(both_up, NULL));
	read_at(&there, &b, topic);
	CU_ASSERT_TRUE(redis_node_wait(has_looked, &b));
	snprintf(command, sizeof(command), "PUBLISH test:0:rt:%02x nonsense",
	    topic.b[15]);
	got = redis_env_ask(command);
	CU_ASSERT_STRING_EQUAL(got, "1\n");
	free(got);
	CU_ASSERT_TRUE(redis_node_wait(refused_some, &before));
	say(&here, topic, 5, "{}");
	CU_ASSERT_TRUE(redis_node_wait(has_one, &b));
	bus_unsubscribe(b.sub);
	loop_stop(loop);
}

static void
test_nonsense(void)
{
	run(nonsense_fiber);
}

/* ---- Text ---------------------------------------------------------- */

static struct uuid thread, run_id, message;
static struct buf said;

static void
write_begin(int attempt)
{
	thread = uuid_v7();
	run_id = uuid_v7();
	message = uuid_v7();
	buf_reset(&said);
	live_begin(here.live, thread, run_id, message, attempt);
}

static void
write_text(int attempt, const char *text)
{
	struct bus_msg m = { 0 };
	struct buf b = { 0 };

	if (!live_append(here.live, thread, run_id, attempt, text, strlen(text),
		&m))
		return;
	buf_add_str(&b, "{\"delta\":");
	buf_add_json_str(&b, text, strlen(text));
	buf_add_str(&b, "}");
	m.frame = rcbuf_new(b.data, b.len);
	bus_publish(here.bus, &m);
	buf_add(&said, text, strlen(text));
	rcbuf_unref(m.frame);
	buf_free(&b);
}

/* Is all that was said at the other node, too? */
static bool
there_is_all(void *arg)
{
	struct live_text t;
	bool same;

	(void)arg;
	if (!live_get(there.live, thread, message, 0, &t))
		return false;
	same = t.text.len == said.len &&
	       memcmp(t.text.data, said.data, said.len) == 0;
	buf_free(&t.text);
	return same;
}

static SUSPENDS bool
fetch(int attempt)
{
	return bus_link_fetch(there.link, thread, run_id, message, attempt);
}

/* What was said is on its way by another connection: until it has arrived. */
static SUSPENDS bool
fetch_all(int attempt)
{
	uint64_t until = loop_now_ms(loop) + REDIS_NODE_WAIT_MS;

	do
		(void)fetch(attempt);
	while (!there_is_all(NULL) && loop_now_ms(loop) < until &&
	       fiber_sleep(2) == FIBER_WOKEN);
	return there_is_all(NULL);
}

static void
text_fiber(void *arg)
{
	struct uuid old_run, old_message;
	struct reader b;

	(void)arg;
	CU_ASSERT_TRUE(redis_node_wait(both_up, NULL));
	write_begin(1);
	write_text(1, "who joins ");
	write_text(1, "l\xc3\xa4ter ");
	CU_ASSERT_FALSE(there_is_all(NULL)); /* it has no reader */
	read_at(&there, &b, thread);
	CU_ASSERT_TRUE(redis_node_wait(has_looked, &b));
	write_text(1, "has all");
	CU_ASSERT_TRUE(redis_node_wait(has_one, &b));
	CU_ASSERT_FALSE(live_has(there.live, thread, message, 0));
	CU_ASSERT_TRUE(fetch(1));
	CU_ASSERT_TRUE(there_is_all(NULL));
	write_text(1, ", and goes \"on\"\n");
	CU_ASSERT_TRUE(redis_node_wait(there_is_all, NULL));
	CU_ASSERT_FALSE(fetch(2)); /* nobody wrote that */
	/* Another attempt of the message: what is late of this one is void. */
	live_begin(here.live, thread, run_id, message, 2);
	buf_reset(&said);
	write_text(2, "anew");
	CU_ASSERT_TRUE(redis_node_wait(there_is_all, NULL));
	CU_ASSERT_TRUE(fetch(1));
	CU_ASSERT_TRUE(there_is_all(NULL));
	/* The next message; what is fetched of the last one is too late. */
	old_run = run_id;
	old_message = message;
	message = uuid_v7();
	live_begin(here.live, thread, run_id, message, 2);
	buf_reset(&said);
	write_text(2, "next");
	CU_ASSERT_TRUE(redis_node_wait(there_is_all, NULL));
	(void)bus_link_fetch(there.link, thread, old_run, old_message, 2);
	CU_ASSERT_TRUE(there_is_all(NULL));
	/* Its end. */
	say(&here, thread, 9, "{\"type\":\"message_end\"}");
	CU_ASSERT_TRUE(live_has(there.live, thread, message, 0));
	b.n = 0;
	CU_ASSERT_TRUE(redis_node_wait(has_one, &b));
	bus_unsubscribe(b.sub);
	CU_ASSERT_FALSE(live_has(there.live, thread, message, 0));
	live_end(here.live, thread, run_id, 2);
	loop_stop(loop);
}

static void
test_text(void)
{
	run(text_fiber);
}

/* What redis-cli says to a command on what is kept of the message. */
static char *
kept_ask(const char *command, int attempt)
{
	char id[UUID_TEXT], *line, *got;

	uuid_format(message, id);
	line = xasprintf("%s test:t:%s:%d", command, id, attempt);
	got = redis_env_ask(line);
	free(line);
	return got;
}

static long
kept_number(const char *command, int attempt)
{
	char *got = kept_ask(command, attempt);
	long n = strtol(got, NULL, 10);

	free(got);
	return n;
}

/* How often Redis was asked for that. */
static long
calls_of(const char *command)
{
	char *got = redis_env_ask("info commandstats"), *at;
	char what[64];
	long n;

	snprintf(what, sizeof(what), "cmdstat_%s:calls=", command);
	at = strstr(got, what);
	n = at != NULL ? strtol(at + strlen(what), NULL, 10) : 0;
	free(got);
	return n;
}

/* Of a long text each piece is written once, and all of it can be had. */
static void
long_fiber(void *arg)
{
	char text[64];
	long ttl;

	(void)arg;
	CU_ASSERT_TRUE(redis_node_wait(both_up, NULL));
	write_begin(3);
	for (int i = 0; i < 6000; i++) {
		snprintf(text, sizeof(text), "word %d, ", i);
		write_text(3, text);
		if (i % 100 == 0)
			(void)fiber_yield();
	}
	CU_ASSERT_TRUE(fetch_all(3));
	CU_ASSERT_EQUAL(kept_number("STRLEN", 3), (long)said.len);
	CU_ASSERT_EQUAL(calls_of("set"), 1);
	CU_ASSERT_EQUAL(calls_of("setrange"), 5999);
	ttl = kept_number("TTL", 3);
	CU_ASSERT_TRUE(ttl > 300 && ttl <= 600);
	live_end(here.live, thread, run_id, 3);
	loop_stop(loop);
}

static void
test_long(void)
{
	run(long_fiber);
}

static bool
is_whole(void *arg)
{
	(void)arg;
	return kept_number("STRLEN", 1) == (long)said.len &&
	       kept_number("TTL", 1) > 0 && calls_of("set") > 1;
}

static bool
goes_soon(void *arg)
{
	long ttl = kept_number("TTL", 1);

	(void)arg;
	return ttl >= 0 && ttl <= 60;
}

/* Redis throws it out: what is written then is found; soon all of it is. */
static void
thrown_fiber(void *arg)
{
	(void)arg;
	CU_ASSERT_TRUE(redis_node_wait(both_up, NULL));
	write_begin(1);
	write_text(1, "the beginning, ");
	CU_ASSERT_TRUE(fetch_all(1));
	free(kept_ask("DEL", 1));
	write_text(1, "what follows");
	CU_ASSERT_TRUE(redis_node_wait(is_whole, NULL));
	CU_ASSERT_TRUE(fetch_all(1));
	live_end(here.live, thread, run_id, 1);
	CU_ASSERT_TRUE(redis_node_wait(goes_soon, NULL));
	loop_stop(loop);
}

static void
test_thrown(void)
{
	config.look_ms = 20;
	run(thrown_fiber);
}

/* A hole is none of the text. */
static void
hole_fiber(void *arg)
{
	struct live_text t;

	(void)arg;
	CU_ASSERT_TRUE(redis_node_wait(both_up, NULL));
	write_begin(1);
	write_text(1, "lost ");
	CU_ASSERT_TRUE(fetch_all(1));
	live_forget_thread(there.live, thread);
	free(kept_ask("DEL", 1));
	write_text(1, "there");
	while (kept_number("STRLEN", 1) == 0)
		(void)fiber_yield();
	CU_ASSERT_TRUE(fetch(1));
	CU_ASSERT_FALSE(live_has(there.live, thread, message, 0));
	CU_ASSERT_TRUE_FATAL(live_get(there.live, thread, message, 5, &t));
	CU_ASSERT_STRING_EQUAL(t.text.data, "there");
	buf_free(&t.text);
	live_end(here.live, thread, run_id, 1);
	loop_stop(loop);
}

static void
test_hole(void)
{
	run(hole_fiber);
}

/* A piece that is too large to be carried is kept all the same. */
static void
large_fiber(void *arg)
{
	char *large = xcalloc(1, 400000);

	(void)arg;
	memset(large, 'x', 399999);
	CU_ASSERT_TRUE(redis_node_wait(both_up, NULL));
	write_begin(1);
	write_text(1, "first, ");
	write_text(1, large);
	write_text(1, ", last");
	CU_ASSERT_TRUE(fetch_all(1));
	live_end(here.live, thread, run_id, 1);
	free(large);
	loop_stop(loop);
}

static void
test_large(void)
{
	run(large_fiber);
}

/* What is not there is asked for once, however many readers miss it. */
#define READERS 20

static void
miss_fiber(void *arg)
{
	CU_ASSERT_FALSE(fetch(7));
	++*(int *)arg;
}

static bool
all_missed(void *arg)
{
	return *(int *)arg == READERS;
}

static void
crowd_fiber(void *arg)
{
	int missed = 0;

	(void)arg;
	CU_ASSERT_TRUE(redis_node_wait(both_up, NULL));
	write_begin(1);
	for (int i = 0; i < READERS; i++)
		fiber_spawn(loop, "misses", miss_fiber, &missed);
	CU_ASSERT_TRUE(redis_node_wait(all_missed, &missed));
	CU_ASSERT_EQUAL(calls_of("get"), 1);
	live_end(here.live, thread, run_id, 1);
	loop_stop(loop);
}

static void
test_crowd(void)
{
	run(crowd_fiber);
}

/* A thousand texts at once when Redis comes back: none is forgotten. */
#define TEXTS 1000

static bool
texts_are_kept(void *arg)
{
	char *got = redis_env_ask("dbsize");
	long n = strtol(got, NULL, 10);

	(void)arg;
	free(got);
	return n == TEXTS;
}

static void
many_fiber(void *arg)
{
	struct uuid runs[TEXTS], messages[TEXTS];
	struct bus_msg m = { 0 };
	char text[4096];

	(void)arg;
	memset(text, 'x', sizeof(text));
	CU_ASSERT_TRUE(redis_node_wait(both_up, NULL));
	m.frame = rcbuf_new("{}", 2);
	for (int i = 0; i < TEXTS; i++) {
		runs[i] = uuid_v7();
		messages[i] = uuid_v7();
		live_begin(here.live, runs[i], runs[i], messages[i], 1);
		(void)live_append(here.live, runs[i], runs[i], 1, text,
		    sizeof(text), &m);
		bus_publish(here.bus, &m);
	}
	CU_ASSERT_TRUE(redis_node_wait(texts_are_kept, NULL));
	redis_env_kill();
	redis_env_again(NULL);
	CU_ASSERT_TRUE(redis_node_wait(texts_are_kept, NULL));
	for (int i = 0; i < TEXTS; i++)
		live_end(here.live, runs[i], runs[i], 1);
	rcbuf_unref(m.frame);
	loop_stop(loop);
}

static void
test_many(void)
{
	run(many_fiber);
}

/* ---- Losses -------------------------------------------------------- */

struct mourner {
	struct bus_mourner m;
	bool told;
};

static void
on_lost(struct bus_mourner *m)
{
	container_of(m, struct mourner, m)->told = true;
}

static bool
is_told(void *arg)
{
	return ((struct mourner *)arg)->told;
}

static void
loss_fiber(void *arg)
{
	struct mourner who = { .m.fn = on_lost }, gone = { .m.fn = on_lost };
	double unsent = counted("bus_unsent_total");
	struct reader b;

	(void)arg;
	CU_ASSERT_TRUE(redis_node_wait(both_up, NULL));
	write_begin(1);
	read_at(&there, &b, thread);
	CU_ASSERT_TRUE(redis_node_wait(has_looked, &b));
	write_text(1, "before, ");
	CU_ASSERT_TRUE(redis_node_wait(there_is_all, NULL));
	bus_link_mourn(there.link, &who.m);
	bus_link_mourn(there.link, &gone.m);
	bus_link_leave(&gone.m);
	bus_link_leave(&gone.m);
	redis_env_kill();
	CU_ASSERT_TRUE(redis_node_wait(is_told, &who));
	CU_ASSERT_FALSE(gone.told);
	CU_ASSERT_EQUAL(bus_link_state(there.link), BUS_LINK_LOST);
	write_text(1, "in between, ");
	CU_ASSERT_TRUE(counted("bus_unsent_total") > unsent);
	CU_ASSERT_FALSE(fetch(1));
	b.looks = 0;
	redis_env_again(NULL); /* it knows nothing any more */
	CU_ASSERT_TRUE(redis_node_wait(both_up, NULL));
	CU_ASSERT_TRUE(redis_node_wait(has_looked, &b));
	b.n = 0;
	write_text(1, "after");
	CU_ASSERT_TRUE(redis_node_wait(has_one, &b));
	CU_ASSERT_FALSE(there_is_all(NULL));
	CU_ASSERT_TRUE(fetch(1));
	CU_ASSERT_TRUE(there_is_all(NULL));
	bus_unsubscribe(b.sub);
	live_end(here.live, thread, run_id, 1);
	loop_stop(loop);
}

static void
test_loss(void)
{
	run(loss_fiber);
}

/* Too much at once is dropped, not waited for; the text is whole again later. */
static void
full_fiber(void *arg)
{
	uint64_t until = loop_now_ms(loop) + REDIS_NODE_WAIT_MS;
	double unsent = counted("bus_unsent_total");
	struct reader b;

	(void)arg;
	CU_ASSERT_TRUE(redis_node_wait(both_up, NULL));
	write_begin(1);
	read_at(&there, &b, thread);
	CU_ASSERT_TRUE(redis_node_wait(has_looked, &b));
	for (int i = 0; i < 50; i++) /* in one turn of the loop */
		write_text(1, "piece ");
	CU_ASSERT_TRUE(counted("bus_unsent_total") > unsent);
	CU_ASSERT_TRUE(redis_node_wait(has_one, &b));
	do { /* until there is room again */
		write_text(1, "last");
		(void)fetch(1);
	} while (!there_is_all(NULL) && loop_now_ms(loop) < until &&
		 fiber_sleep(2) == FIBER_WOKEN);
	CU_ASSERT_TRUE(there_is_all(NULL));
	bus_unsubscribe(b.sub);
	live_end(here.live, thread, run_id, 1);
	loop_stop(loop);
}

static void
test_full(void)
{
	config.max_waiting = 16;
	run(full_fiber);
}

/* Nobody waits for readers: not even for one that is gone by the answer. */
static void
leave_fiber(void *arg)
{
	(void)arg;
	fiber_deadline_set(loop_now_ms(loop) + 1);
	(void)fetch(1);
}

static void
cut_fiber(void *arg)
{
	(void)arg;
	CU_ASSERT_TRUE(redis_node_wait(both_up, NULL));
	write_begin(1);
	write_text(1, "text");
	for (int i = 0; i < 20; i++) {
		fiber_spawn(loop, "leaves", leave_fiber, NULL);
		(void)fiber_yield();
	}
	CU_ASSERT_TRUE(fetch_all(1));
	live_end(here.live, thread, run_id, 1);
	loop_stop(loop);
}

static void
test_cut(void)
{
	run(cut_fiber);
	buf_free(&said);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "messages", test_messages },
		{ "nonsense in a channel", test_nonsense },
		{ "text", test_text },
		{ "a long text", test_long },
		{ "Redis throws a text out", test_thrown },
		{ "a hole", test_hole },
		{ "a large piece", test_large },
		{ "many miss the same", test_crowd },
		{ "many texts", test_many },
		{ "Redis is lost, and back", test_loss },
		{ "a full queue", test_full },
		{ "who fetches leaves", test_cut },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "bus over Redis", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
