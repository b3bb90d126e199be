/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/live.h"

#include <string.h>

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

static CU_TestInfo tests[] = {
	{ "pieces follow one another", test_pieces },
	{ "who is late changes nothing", test_successor },
	{ "several write at once", test_several },
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
