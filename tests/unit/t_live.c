/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/live.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/tap.h"

/* The text that is being written: who may add to it, who may end it. */

static const struct uuid thread = { { [15] = 1 } };
static const struct uuid old_run = { { [15] = 2 } };
static const struct uuid new_run = { { [15] = 3 } };
static const struct uuid message = { { [15] = 4 } };
static const struct uuid any;
static struct bus_msg m;

static bool
append(struct live *l, struct uuid run, int attempt, const char *text)
{
	memset(&m, 0, sizeof(m));
	return live_append(l, thread, run, attempt, text, strlen(text), &m);
}

static void
assert_text(struct live *l, int64_t from, const char *want)
{
	struct live_text t;

	CU_ASSERT_TRUE_FATAL(live_get(l, thread, message, from, &t));
	CU_ASSERT_EQUAL(t.offset, from);
	CU_ASSERT_EQUAL(t.text.len, strlen(want));
	CU_ASSERT_EQUAL(memcmp(t.text.data, want, t.text.len), 0);
	buf_free(&t.text);
}

static void
test_pieces(void)
{
	struct live *l = live_new();
	struct live_text t;

	CU_ASSERT_FALSE(append(l, old_run, 1, "nobody began"));
	CU_ASSERT_FALSE(live_get(l, thread, any, 0, &t));
	live_begin(l, thread, old_run, message, 1);
	CU_ASSERT_FALSE(live_get(l, thread, any, 0, &t));
	CU_ASSERT_TRUE(append(l, old_run, 1, "one"));
	CU_ASSERT_EQUAL(m.offset, 0);
	CU_ASSERT_TRUE(append(l, old_run, 1, " two"));
	CU_ASSERT_EQUAL(m.offset, 3);
	CU_ASSERT_EQUAL(m.len, 4);
	CU_ASSERT_EQUAL(m.attempt, 1);
	CU_ASSERT_TRUE(uuid_equal(m.message_id, message));
	assert_text(l, 0, "one two");
	assert_text(l, 4, "two");
	CU_ASSERT_FALSE(live_get(l, thread, message, 7, &t));
	CU_ASSERT_FALSE(live_get(l, thread, old_run, 0, &t));
	live_end(l, thread, old_run, 1);
	CU_ASSERT_FALSE(live_get(l, thread, message, 0, &t));
	live_free(l);
}

/* The last breath of who has lost the run, when the next one has begun. */
static void
test_successor(void)
{
	struct live *l = live_new();

	live_begin(l, thread, new_run, message, 1);
	CU_ASSERT_TRUE(append(l, new_run, 1, "new"));
	CU_ASSERT_FALSE(append(l, old_run, 1, "late"));
	live_begin(l, thread, new_run, message, 2);
	CU_ASSERT_TRUE(append(l, new_run, 2, "newer"));
	CU_ASSERT_FALSE(append(l, new_run, 1, "late"));
	live_end(l, thread, new_run, 1);
	assert_text(l, 0, "newer");
	live_free(l); /* with what is in it */
}

/* Subagents write into one thread at the same time. */
static void
test_several(void)
{
	static const struct uuid other = { { [15] = 5 } };
	struct live *l = live_new();
	struct live_text t;

	live_begin(l, thread, old_run, message, 1);
	live_begin(l, thread, new_run, other, 1);
	CU_ASSERT_TRUE(append(l, old_run, 1, "one"));
	CU_ASSERT_TRUE(append(l, new_run, 1, "another"));
	CU_ASSERT_TRUE(append(l, old_run, 1, " two"));
	assert_text(l, 0, "one two");
	CU_ASSERT_TRUE_FATAL(live_get(l, thread, other, 2, &t));
	CU_ASSERT_TRUE(uuid_equal(t.run_id, new_run));
	CU_ASSERT_EQUAL(t.text.len, 5);
	buf_free(&t.text);
	live_end(l, thread, new_run, 1);
	CU_ASSERT_FALSE(live_get(l, thread, other, 0, &t));
	assert_text(l, 0, "one two");
	live_free(l);
}

static void
mirror(struct live *l, int attempt, int64_t offset, const char *text,
    bool again)
{
	struct bus_msg piece = { .topic = thread,
		.run_id = old_run,
		.message_id = message,
		.attempt = attempt,
		.offset = offset };

	live_mirror(l, &piece, text, strlen(text), again);
}

/* Text of another process: in any order, twice, with gaps. */
static void
test_mirrored(void)
{
	struct uuid later = { { [15] = 5 } };
	struct live *l = live_new();
	struct bus_msg other = { .topic = thread,
		.run_id = old_run,
		.message_id = later,
		.attempt = 2 };

	CU_ASSERT_FALSE(live_has(l, thread, message, 0));
	mirror(l, 2, 4, "4567", false); /* its beginning was missed */
	CU_ASSERT_TRUE(live_has(l, thread, message, 4));
	CU_ASSERT_TRUE(live_has(l, thread, message, 8));
	CU_ASSERT_FALSE(live_has(l, thread, message, 3));
	CU_ASSERT_FALSE(live_has(l, thread, message, 9));
	assert_text(l, 4, "4567");
	mirror(l, 2, 6, "6789", false); /* it overlaps */
	assert_text(l, 4, "456789");
	mirror(l, 2, 4, "45", false); /* had already */
	assert_text(l, 4, "456789");
	mirror(l, 2, 0, "012345", true);
	assert_text(l, 0, "0123456789");
	mirror(l, 1, 10, "stale", false);
	mirror(l, 2, 12, "cd", false); /* a gap */
	CU_ASSERT_FALSE(live_has(l, thread, message, 10));
	assert_text(l, 12, "cd");
	mirror(l, 2, 0, "01", true); /* it does not reach that far */
	assert_text(l, 12, "cd");
	mirror(l, 2, 0, "0123456789abcdef", true);
	assert_text(l, 0, "0123456789abcdef");
	CU_ASSERT_FALSE(append(l, old_run, 2, "not ours"));
	live_end(l, thread, old_run, 2);
	assert_text(l, 15, "f");
	/* The next message; the last one does not come back. */
	live_mirror(l, &other, "next", 4, false);
	mirror(l, 2, 0, "0123", true);
	CU_ASSERT_FALSE(live_has(l, thread, message, 0));
	CU_ASSERT_TRUE(live_has(l, thread, later, 0));
	/* Taken over: what is written here is not overwritten by them. */
	live_begin(l, thread, old_run, message, 3);
	CU_ASSERT_TRUE(append(l, old_run, 3, "mine"));
	mirror(l, 2, 0, "yours", false);
	mirror(l, 3, 4, "yours", false);
	live_forget(l, thread, old_run);
	live_forget_thread(l, thread);
	assert_text(l, 0, "mine");
	/* And lost again. */
	mirror(l, 4, 0, "theirs", false);
	CU_ASSERT_FALSE(append(l, old_run, 3, "mine"));
	assert_text(l, 0, "theirs");
	live_forget_thread(l, thread);
	CU_ASSERT_FALSE(live_has(l, thread, message, 0));
	live_free(l);
}

/* Runs without end, of another process: the oldest make way; our own do not. */
static void
test_bound(void)
{
	struct bus_msg piece = { .topic = thread,
		.message_id = { { [2] = 1 } },
		.attempt = 1 };
	struct live *l = live_new();
	int n = 0;

	live_begin(l, thread, old_run, message, 1);
	CU_ASSERT_TRUE(append(l, old_run, 1, "mine"));
	for (int i = 0; i < 1000; i++) {
		piece.run_id.b[0] = piece.message_id.b[0] = (uint8_t)i;
		piece.run_id.b[1] = piece.message_id.b[1] = (uint8_t)(i >> 8);
		live_mirror(l, &piece, "text", 4, false);
		CU_ASSERT_TRUE(live_has(l, thread, piece.message_id, 0));
	}
	for (int i = 0; i < 1000; i++) {
		piece.message_id.b[0] = (uint8_t)i;
		piece.message_id.b[1] = (uint8_t)(i >> 8);
		n += live_has(l, thread, piece.message_id, 0) ? 1 : 0;
	}
	CU_ASSERT_EQUAL(n, 128);
	assert_text(l, 0, "mine");
	CU_ASSERT_TRUE(live_is_written(l, thread, message, 1));
	CU_ASSERT_FALSE(live_is_written(l, thread, message, 2));
	CU_ASSERT_FALSE(live_is_written(l, thread, piece.message_id, 1));
	live_free(l);
}

/* And long ones. */
static void
test_bytes(void)
{
	struct bus_msg piece = { .topic = thread, .attempt = 1 };
	char *text = xcalloc(1, LIVE_MIRROR_MAX);
	struct live *l = live_new();
	int n = 0;

	memset(text, 'x', LIVE_MIRROR_MAX);
	for (int i = 0; i < 12; i++) {
		piece.run_id.b[0] = piece.message_id.b[0] = (uint8_t)(i + 1);
		live_mirror(l, &piece, text, LIVE_MIRROR_MAX, false);
		CU_ASSERT_TRUE(live_has(l, thread, piece.message_id, 0));
	}
	for (int i = 0; i < 12; i++) {
		piece.message_id.b[0] = (uint8_t)(i + 1);
		n += live_has(l, thread, piece.message_id, 0) ? 1 : 0;
	}
	CU_ASSERT_EQUAL(n, 8);
	live_free(l);
	free(text);
}

static CU_TestInfo tests[] = {
	{ "pieces follow one another", test_pieces },
	{ "who is late changes nothing", test_successor },
	{ "several write at once", test_several },
	{ "text of another process", test_mirrored },
	{ "how many there are", test_bound },
	{ "how long they are", test_bytes },
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	CU_SuiteInfo suites[] = {
		{ "live", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
