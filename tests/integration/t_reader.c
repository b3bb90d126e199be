/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/chat/stream.h"
#include "tests/integration/engine_env.h"

/*
 * What readers of a thread see while the engine is at work, and afterwards.
 */

/* ---- Readers ------------------------------------------------------- */

struct reader {
	struct buf line, text;
	struct uuid message_id; /* that began last */
	int64_t last;
	size_t pending;
	bool over, ordered;
	struct json_object *partial; /* of the snapshot */
	/* After this event it wants the tail after another cursor. */
	struct stream *stream;
	int64_t turns_at, turns_to;
};

static void
reader_send(void *arg, const char *type, int64_t id, struct rcbuf *frame)
{
	struct reader *r = arg;
	struct json_object *o = NULL;

	MUST(json_parse(frame->data, frame->len, &o, NULL) == AS_OK);
	if (strcmp(type, "message_delta") == 0) {
		r->ordered = r->ordered &&
			     jget_int(o, "offset", -1) == (int64_t)r->text.len;
		buf_add_str(&r->text, jget_str(o, "delta", ""));
	} else if (strcmp(type, "message_start") == 0 ||
		   strcmp(type, "message_reset") == 0) {
		(void)jget_uuid(o, "message_id", &r->message_id);
		buf_reset(&r->text);
	}
	if (id > 0 && strcmp(type, "snapshot") != 0)
		r->ordered = r->ordered && id == r->last + 1;
	if (id > 0)
		r->last = id;
	if (strcmp(type, "snapshot") == 0)
		r->partial = json_object_get(jget(o, "partial"));
	json_object_put(o);
	if (id > 0 && id == r->turns_at) {
		r->turns_at = 0;
		r->last = r->turns_to;
		buf_reset(&r->text);
		stream_resume(r->stream, r->turns_to);
	}
}

static size_t
reader_pending(void *arg)
{
	return ((struct reader *)arg)->pending;
}

static void
reader_over(void *arg, enum stream_over why)
{
	((struct reader *)arg)->over = why == STREAM_RUN_ENDED;
}

static const struct stream_ops reader_ops = { reader_send, reader_pending,
	reader_over };

static struct stream *
reader_begin(struct reader *r, bool by_run, bool snapshot, int64_t after)
{
	struct stream_config c = { .loop = env.loop,
		.store = env.store,
		.bus = bed.bus,
		.live = bed.live,
		.ctx = bed.ctx,
		.thread_id = bed.thread_id,
		.run_id = bed.run_id,
		.by_run = by_run,
		.snapshot = snapshot,
		.after = after };

	memset(r, 0, sizeof(*r));
	r->last = after;
	r->ordered = true;
	return stream_open(&c, &reader_ops, r);
}

static struct stream *
reader_open(struct reader *r, bool by_run, int64_t after)
{
	return reader_begin(r, by_run, false, after);
}

static void
readers(void)
{
	struct reader early, middle, slow, late;
	struct stream *s;

	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	reader_open(&early, true, 0);
	s = reader_open(&slow, true, 0);
	bed_until_text("abcdef");
	slow.pending = STREAM_HIGH_WATER + 1; /* it stops reading */
	reader_open(&middle, true, 0);
	while (early.text.len < 6 || middle.text.len < 6)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	fake_release();
	bed_wait_end();
	fiber_yield();
	slow.pending = 0;
	stream_drained(s);
	reader_open(&late, true, 2);
	while (!early.over || !middle.over || !slow.over || !late.over)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	CU_ASSERT_TRUE(early.over && middle.over && slow.over && late.over);
	CU_ASSERT_TRUE(
	    early.ordered && middle.ordered && slow.ordered && late.ordered);
	CU_ASSERT_EQUAL(early.last, 7);
	CU_ASSERT_EQUAL(slow.last, 7);
	CU_ASSERT_EQUAL(late.last, 7);
	CU_ASSERT_STRING_EQUAL(early.text.data, "abcdef");
	CU_ASSERT_STRING_EQUAL(middle.text.data, "abcdef");
	buf_free(&early.text);
	buf_free(&middle.text);
	buf_free(&slow.text);
	buf_free(&late.text);
}

/* A reader that comes when all is over gets every byte as text, too. */
static void
late_reader(void)
{
	struct reader r;

	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_wait_end();
	reader_open(&r, true, 0);
	while (!r.over)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	CU_ASSERT_TRUE(r.ordered);
	CU_ASSERT_STRING_EQUAL_FATAL(r.text.data, "abc");
	buf_free(&r.text);
	reader_open(&r, true, 3); /* the message has begun already */
	while (!r.over)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	CU_ASSERT_STRING_EQUAL(r.text.data, "abc");
	buf_free(&r.text);
}

/* One that turns back while it is still being told what there is. */
static void
turning_reader(void)
{
	struct reader r;

	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_wait_end();
	r.stream = reader_open(&r, true, 0);
	r.turns_at = 5;
	r.turns_to = 3; /* in the middle of the message */
	while (!r.over)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	CU_ASSERT_TRUE(r.ordered);
	CU_ASSERT_EQUAL(r.turns_at, 0);
	CU_ASSERT_STRING_EQUAL(r.text.data != NULL ? r.text.data : "", "abc");
	buf_free(&r.text);
}

/* What comes over the bus and is no event harms nobody: the log has the truth. */
static void
strange_bus(void)
{
	static const char text[] = "{\"type\":\"}";
	struct bus_msg torn = { .topic = bed.thread_id }, bare;
	struct reader r;
	int64_t last;

	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	torn.run_id = bed.run_id;
	bare = torn;
	reader_open(&r, true, 0);
	bed_until_text("abcdef");
	while (r.text.len < 6)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	last = r.last;
	torn.seq = torn.run_seq = last + 1;
	torn.frame = rcbuf_new(text, strlen(text));
	bus_publish(bed.bus, &torn);
	bus_publish(bed.bus, &bare);
	rcbuf_unref(torn.frame);
	for (int i = 0; i < 10; i++)
		fiber_yield();
	CU_ASSERT_EQUAL(r.last, last);
	fake_release();
	bed_wait_end();
	while (!r.over)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	CU_ASSERT_TRUE(r.ordered);
	CU_ASSERT_EQUAL(r.last, 7);
	CU_ASSERT_STRING_EQUAL(r.text.data, "abcdef");
	buf_free(&r.text);
}

static void
test_strange_bus(void)
{
	const struct fake_turn turns[] = { { .text = "abcdef", .hang = true } };

	bed_run(strange_bus, turns, 1);
}

static void
test_turning_reader(void)
{
	const struct fake_turn turns[] = { { .text = "abc" } };

	bed_run(turning_reader, turns, 1);
}

/*
 * A long log is read in pages of 500; this one has seven events a run, so from
 * the first event on the end of the last message is the last of a page, and its
 * text stands on the next.
 */
#define LONG_RUNS 72

static void
long_log(void)
{
	struct reader r;

	for (int i = 0; i < LONG_RUNS; i++) {
		CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
		bed_wait_end();
	}
	reader_open(&r, false, 1);
	while (!r.over)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	CU_ASSERT_TRUE(r.ordered);
	CU_ASSERT_EQUAL(r.last, 7 * LONG_RUNS);
	CU_ASSERT_STRING_EQUAL(r.text.data != NULL ? r.text.data : "", "abc");
	buf_free(&r.text);
}

static void
test_long_log(void)
{
	struct fake_turn turns[LONG_RUNS];

	for (int i = 0; i < LONG_RUNS; i++)
		turns[i] = (struct fake_turn){ .text = "abc" };
	bed_run(long_log, turns, LONG_RUNS);
}

static void
test_late_reader(void)
{
	const struct fake_turn turns[] = { { .text = "abc" } };

	bed_run(late_reader, turns, 1);
}

static void
test_readers(void)
{
	const struct fake_turn turns[] = { { .text = "abcdef", .hang = true } };

	bed_run(readers, turns, 1);
}

/* What a model said before it failed is taken back. */
static void
reset(void)
{
	struct reader r;

	bed.engine->c.limits.model_tries = 3;
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	reader_open(&r, true, 0);
	while (!r.over)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	CU_ASSERT_TRUE(r.over && r.ordered);
	CU_ASSERT_STRING_EQUAL(r.text.data, "whole");
	buf_free(&r.text);
}

static void
test_reset(void)
{
	const struct fake_turn turns[] = { { .text = "half",
					       .fail = ERR_UNAVAILABLE },
		{ .text = "another half", .fail = ERR_UNAVAILABLE },
		{ .text = "whole" } };

	bed_run(reset, turns, 3);
}

/* What the model thought has been shown; so its answer begins at once. */
static void
on_delta(const struct bus_msg *m, void *arg)
{
	struct buf *said = arg;
	struct json_object *o = NULL;
	const char *type;

	MUST(json_parse(m->frame->data, m->frame->len, &o, NULL) == AS_OK);
	type = jget_str(o, "type", "");
	if (strstr(type, "_delta") != NULL)
		buf_printf(said, "%c:%s ", type[0], jget_str(o, "delta", ""));
	json_object_put(o);
}

static void
reasoner(void)
{
	struct buf said = { 0 };
	struct bus_sub *sub = bus_subscribe(bed.bus, bed.thread_id, on_delta,
	    &said);

	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_wait_end();
	bus_unsubscribe(sub);
	CU_ASSERT_PTR_NOT_NULL_FATAL(said.data);
	CU_ASSERT_EQUAL(strncmp(said.data, "r:hm m:a m:", 11), 0);
	buf_free(&said);
}

static void
test_reasoner(void)
{
	const struct fake_turn turns[] = { { .reasons = "hm", .text = "abc" } };

	bed_run(reasoner, turns, 1);
}

/* Who joins before the first word is told which message has begun. */
static void
before_the_first_word(void)
{
	struct reader early, r;
	struct json_object *partial;
	struct uuid id;

	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	reader_open(&early, true, 0);
	while (fake.n_chats == 0)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	reader_begin(&r, false, true, 0);
	while (r.partial == NULL && !r.over)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	partial = r.partial;
	CU_ASSERT_TRUE(jget_uuid(partial, "message_id", &id));
	CU_ASSERT_TRUE(uuid_equal(id, early.message_id));
	CU_ASSERT_EQUAL(jget_int(partial, "attempt", -1), 1);
	CU_ASSERT_EQUAL(jget_int(partial, "offset", -1), 0);
	CU_ASSERT_STRING_EQUAL(jget_str(partial, "text", "?"), "");
	fake_release();
	while (!r.over || !early.over)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	CU_ASSERT_TRUE(r.ordered);
	CU_ASSERT_STRING_EQUAL(r.text.data, "abc");
	json_object_put(partial);
	buf_free(&r.text);
	buf_free(&early.text);
}

static void
test_before_the_first_word(void)
{
	const struct fake_turn turns[] = {
		{ .text = "", .hang = true, .calls = { "t_P {}" } },
		{ .text = "abc" }
	};

	bed_run(before_the_first_word, turns, 2);
}

static CU_TestInfo tests[] = {
	{ "a reader of what is over", test_late_reader },
	{ "a reader that turns back", test_turning_reader },
	{ "a reader hears what is no event", test_strange_bus },
	{ "a reader before the first word", test_before_the_first_word },
	{ "a reader of a long log", test_long_log },
	{ "readers: early, late, slow", test_readers },
	{ "a reader of an answer that begins anew", test_reset },
	{ "an answer begins at once, whatever was thought", test_reasoner },
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	CU_SuiteInfo suites[] = {
		{ "readers on sqlite", env_sqlite_open, env_close, NULL, NULL,
		    tests },
		{ "readers on postgres", env_postgres_open, env_close, NULL,
		    NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
