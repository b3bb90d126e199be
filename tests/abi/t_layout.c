/* SPDX-License-Identifier: Apache-2.0 */
#include <agentstudio/auth.h>
#include <agentstudio/db.h>
#include <agentstudio/llm.h>
#include <agentstudio/process.h>
#include <agentstudio/stream.h>
#include <agentstudio/toolkit.h>
#include <agentstudio/vector.h>
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "tests/tap.h"

/*
 * The layout of the contract.  Size and place of each member are compared with
 * the golden file of this version: until 1.0 a change of it is allowed, after
 * that only lines at the end of a struct may be new.  `t_layout --print` writes
 * what belongs into the file.
 */

#define GOLDEN SRC_DIR "/sdk/abi/0.1/layout.txt"

struct place {
	const char *type;
	const char *member; /* NULL: the whole struct */
	size_t offset;
	size_t size;
};

static const struct place places[] = {
#define S(type)
#define M(type, member) \
	{ #type, #member, offsetof(struct type, member), \
		sizeof(((struct type *)NULL)->member) },
#define E(type) { #type, NULL, 0, sizeof(struct type) },
#include "tests/abi/layout.def"
#undef S
#undef M
#undef E
};

static void
layout_print(struct buf *out)
{
	const struct place *p;
	size_t i;

	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		p = &places[i];
		if (p->member != NULL)
			buf_printf(out, "%s.%s %zu %zu\n", p->type, p->member,
			    p->offset, p->size);
		else
			buf_printf(out, "%s %zu\n", p->type, p->size);
	}
}

/* No member is forgotten: what lies between two is less than a pointer. */
static void
test_gaps(void)
{
	const struct place *p;
	size_t i, end = 0, next;

	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		p = &places[i];
		next = p->member != NULL ? p->offset : p->size;
		if (next < end || next - end >= sizeof(void *))
			tap_note("a gap before %s.%s", p->type,
			    p->member != NULL ? p->member : "(end)");
		CU_ASSERT(next >= end && next - end < sizeof(void *));
		end = p->member != NULL ? next + p->size : 0;
	}
}

static void
test_golden(void)
{
	struct buf now = { 0 };
	char was[65536], *a, *b;
	FILE *f = fopen(GOLDEN, "r");
	size_t n;

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	n = fread(was, 1, sizeof(was) - 1, f);
	fclose(f);
	was[n] = '\0';
	layout_print(&now);
	if (strcmp(was, now.data) != 0) {
		for (a = was, b = now.data; *a != '\0' && *a == *b; a++, b++)
			continue;
		while (a > was && a[-1] != '\n')
			a--, b--;
		tap_note("was: %.*s", (int)strcspn(a, "\n"), a);
		tap_note("now: %.*s", (int)strcspn(b, "\n"), b);
	}
	CU_ASSERT_STRING_EQUAL(was, now.data);
	buf_free(&now);
}

/* Values are promises too: renumbering would be silent. */
static void
test_values(void)
{
	CU_ASSERT_EQUAL(AS_ABI_MAGIC, 0x31445341u);
	CU_ASSERT_EQUAL(AS_EOF, 16);
	CU_ASSERT_EQUAL(AS_UNSUPPORTED, 13);
	CU_ASSERT_EQUAL(AS_FIELD_SECRET, 10);
	CU_ASSERT_EQUAL(AS_JSON_OBJECT, 7);
	CU_ASSERT_EQUAL(AS_KV_RUN, 4);
	CU_ASSERT_EQUAL(AS_EFFECT_ONCE, 0);
	CU_ASSERT_EQUAL(AS_EFFECT_VERIFIED, 4);
	CU_ASSERT_EQUAL(AS_DELTA_END, 6);
	CU_ASSERT_EQUAL(AS_END_REFUSED, 5);
	CU_ASSERT_EQUAL(AS_EUCLID, 3);
	CU_ASSERT_EQUAL(AS_PARALLEL | AS_BLOCKING | AS_UNLOADABLE, 7);
	CU_ASSERT_EQUAL(AS_FALLBACK, 8);
}

int
main(int argc, char **argv)
{
	CU_TestInfo tests[] = {
		{ "every member is listed", test_gaps },
		{ "the layout is that of the golden file", test_golden },
		{ "values", test_values },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "layout", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};
	struct buf out = { 0 };

	if (argc > 1 && strcmp(argv[1], "--print") == 0) {
		layout_print(&out);
		fputs(out.data, stdout);
		buf_free(&out);
		return 0;
	}
	return tap_run(suites);
}
