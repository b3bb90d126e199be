/* SPDX-License-Identifier: Apache-2.0 */
#include <agentstudio/auth.h>
#include <agentstudio/db.h>
#include <agentstudio/llm.h>
#include <agentstudio/process.h>
#include <agentstudio/stream.h>
#include <agentstudio/toolkit.h>
#include <agentstudio/vector.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "tests/tap.h"

/*
 * The layout of the contract.  Size and place of each member are compared with
 * the golden file of 1.0: only members at the end of a struct may be new, and
 * whole structs.  `t_layout --print` writes what sdk/abi/freeze keeps.
 */

#define GOLDEN SRC_DIR "/sdk/abi/1.0/layout.txt"

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

/* The struct that a line is about. */
static size_t
type_len(const char *line)
{
	return strcspn(line, ". \n");
}

static bool
same_type(const char *a, const char *b)
{
	return type_len(a) == type_len(b) && strncmp(a, b, type_len(a)) == 0;
}

static bool
is_size(const char *line)
{
	return line[type_len(line)] == ' ';
}

static const char *
next_line(const char *line)
{
	line += strcspn(line, "\n");
	return *line == '\n' ? line + 1 : line;
}

/* Others cross by value, in arrays of their own size, or on plugins' stacks. */
static bool
may_grow(const char *line)
{
	static const char *const fixed[] = { "as_list", "as_bytes", "as_iter",
		"as_effect_case" };
	size_t i;

	for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		if (strlen(fixed[i]) == type_len(line) &&
		    strncmp(line, fixed[i], type_len(line)) == 0)
			return false;
	}
	return true;
}

/* What the golden line has become, or NULL; *now moves on to it. */
static bool
line_holds(const char *was, const char **now)
{
	size_t len = strcspn(was, "\n");

	while (**now != '\0' && !same_type(was, *now))
		*now = next_line(*now); /* a new struct */
	while (is_size(was) && may_grow(was) && same_type(was, *now) &&
	       !is_size(*now))
		*now = next_line(*now); /* new members */
	if (strncmp(was, *now, len) == 0 && (*now)[len] == '\n')
		return true;
	return is_size(was) && may_grow(was) && same_type(was, *now) &&
	       is_size(*now) &&
	       strtoul(*now + type_len(*now), NULL, 10) >
		   strtoul(was + type_len(was), NULL, 10);
}

/* The first line of was that now does not keep, or NULL. */
static const char *
first_broken(const char *was, const char *now)
{
	for (; *was != '\0'; was = next_line(was)) {
		if (!line_holds(was, &now))
			return was;
		now = next_line(now);
	}
	return NULL;
}

static void
test_golden(void)
{
	FILE *f = fopen(GOLDEN, "r");
	struct buf now = { 0 };
	const char *broken;
	char was[65536];
	size_t n;

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	n = fread(was, 1, sizeof(was) - 1, f);
	fclose(f);
	was[n] = '\0';
	CU_ASSERT(n > 1000);
	layout_print(&now);
	broken = first_broken(was, now.data);
	if (broken != NULL)
		tap_note("no longer so: %.*s", (int)strcspn(broken, "\n"),
		    broken);
	CU_ASSERT_PTR_NULL(broken);
	buf_free(&now);
}

/* The test itself: what is allowed, and what is not. */
static void
test_rule(void)
{
	static const char was[] = "a.x 0 4\na.y 4 4\na 8\nas_bytes.ptr 0 8\n"
				  "as_bytes 8\n";

	CU_ASSERT_PTR_NULL(first_broken(was, was));
	CU_ASSERT_PTR_NULL(
	    first_broken(was, "a.x 0 4\na.y 4 4\na.z 8 8\na 16\nb.x 0 4\nb 4\n"
			      "as_bytes.ptr 0 8\nas_bytes 8\n"));
	CU_ASSERT_PTR_NOT_NULL(first_broken(was,
	    "a.x 0 4\na.z 4 4\na.y 8 4\na 12\nas_bytes.ptr 0 8\n"
	    "as_bytes 8\n"));
	CU_ASSERT_PTR_NOT_NULL(
	    first_broken(was, "a.x 0 4\na 4\nas_bytes.ptr 0 8\nas_bytes 8\n"));
	CU_ASSERT_PTR_NOT_NULL(
	    first_broken(was, "a.x 0 4\na.y 4 4\na 8\nas_bytes.ptr 0 8\n"
			      "as_bytes.len 8 8\nas_bytes 16\n"));
	CU_ASSERT_PTR_NOT_NULL(first_broken(was, "a.x 0 4\na.y 4 4\na 8\n"));
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
		{ "structs have only grown at their end", test_golden },
		{ "what may change", test_rule },
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
