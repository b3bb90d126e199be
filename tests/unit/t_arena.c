/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <string.h>

#include "core/base/arena.h"
#include "tests/tap.h"

/*
 * Arenas: zeroed and aligned memory of any size, the tree, cleanups.
 */

static char order[8];

static void
note(void *arg)
{
	size_t len = strlen(order);

	order[len] = *(const char *)arg;
	order[len + 1] = '\0';
}

static void
test_memory(void)
{
	static const char zero[70000];
	struct arena *a = arena_new(NULL);
	size_t size;
	char *p;

	for (size = 0; size < 70000; size = size * 2 + 1) {
		p = arena_alloc(a, size);
		CU_ASSERT_EQUAL((uintptr_t)p % _Alignof(max_align_t), 0);
		CU_ASSERT_EQUAL(memcmp(p, zero, size), 0);
		memset(p, 0xee, size);
	}
	for (size = 0; size < 5000; size++)
		memset(arena_alloc(a, 24), 0xee, 24);
	p = arena_alloc(a, 100);
	CU_ASSERT_EQUAL(memcmp(p, zero, 100), 0);
	arena_free(a);
}

static void
test_text(void)
{
	struct arena *a = arena_new(NULL);

	CU_ASSERT_PTR_NULL(arena_strdup(a, NULL));
	CU_ASSERT_STRING_EQUAL(arena_strdup(a, "abc"), "abc");
	CU_ASSERT_STRING_EQUAL(arena_strndup(a, "abc", 2), "ab");
	CU_ASSERT_STRING_EQUAL(arena_printf(a, "%s-%d", "x", 7), "x-7");
	arena_free(a);
}

static void
test_order(void)
{
	struct arena *a = arena_new(NULL), *b = arena_new(a);

	order[0] = '\0';
	arena_cleanup(a, note, (char[]){ "1" });
	arena_cleanup(a, note, (char[]){ "2" });
	arena_cleanup(b, note, (char[]){ "b" });
	arena_cleanup(arena_new(b), note, (char[]){ "c" });
	arena_free(a);
	CU_ASSERT_STRING_EQUAL(order, "cb21");
	arena_free(NULL);
}

static void
test_tree(void)
{
	struct arena *a = arena_new(NULL), *b, *c;

	b = arena_new(a);
	c = arena_new(a);
	arena_alloc(a, 10);
	arena_alloc(b, 100);
	arena_alloc(c, 1000);
	CU_ASSERT(arena_size(a) >= 1110);
	CU_ASSERT(arena_size(b) >= 100 && arena_size(b) < 200);
	arena_free(b);
	CU_ASSERT(arena_size(a) >= 1010 && arena_size(a) < 1110);
	arena_free(arena_new(a));
	arena_free(c);
	CU_ASSERT(arena_size(a) < 100);
	arena_free(a);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "memory is zeroed and aligned", test_memory },
		{ "text", test_text },
		{ "children and cleanups end in order", test_order },
		{ "sizes follow the tree", test_tree },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "arena", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
