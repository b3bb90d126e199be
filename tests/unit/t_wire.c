/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/wire.h"

#include <string.h>

#include "core/base/mem.h"
#include "tests/tap.h"

/* Messages between processes: what is read is what was written, or nothing. */

#define DELTA "{\"v\":1,\"type\":\"message_delta\",\"delta\":\"gr\xc3\xbcn\"}"

static struct buf b;
static struct uuid process;
static struct bus_msg m;

static void
write_delta(void)
{
	struct bus_msg one = { .topic = uuid_v7(),
		.run_id = uuid_v7(),
		.message_id = uuid_v7(),
		.attempt = 7,
		.offset = 12,
		.len = 5,
		.frame = rcbuf_new(DELTA, strlen(DELTA)) };

	buf_reset(&b);
	wire_write(&b, uuid_v7(), &one);
	rcbuf_unref(one.frame);
}

static bool
reads(void)
{
	/* A copy of exactly that size: reading beyond it is noticed. */
	char *p = xmalloc(b.len);
	bool ok;

	memcpy(p, b.data, b.len);
	ok = wire_read(p, b.len, &process, &m);
	free(p);
	rcbuf_unref(m.frame);
	return ok;
}

static void
test_same(void)
{
	struct bus_msg one = { .topic = uuid_v7(),
		.seq = INT64_MAX,
		.run_seq = 3,
		.frame = rcbuf_new("{}", 2) };
	struct uuid mine = uuid_v7();

	buf_reset(&b);
	wire_write(&b, mine, &one);
	CU_ASSERT_TRUE(wire_read(b.data, b.len, &process, &m));
	CU_ASSERT_TRUE(uuid_equal(process, mine));
	CU_ASSERT_TRUE(uuid_equal(m.topic, one.topic));
	CU_ASSERT_EQUAL(m.seq, INT64_MAX);
	CU_ASSERT_EQUAL(m.run_seq, 3);
	CU_ASSERT_STRING_EQUAL(m.frame->data, "{}");
	rcbuf_unref(m.frame);
	rcbuf_unref(one.frame);
	one = (struct bus_msg){ .topic = mine, .look = true };
	buf_reset(&b);
	wire_write(&b, mine, &one);
	CU_ASSERT_TRUE(reads());
	CU_ASSERT_TRUE(m.look);
	write_delta();
	CU_ASSERT_TRUE(reads());
	CU_ASSERT_EQUAL(m.attempt, 7);
	CU_ASSERT_EQUAL(m.offset, 12);
	CU_ASSERT_EQUAL(m.len, 5);
}

/* Cut off anywhere, longer, or with a byte that has no meaning. */
static void
test_hostile(void)
{
	static const struct {
		size_t at;
		uint8_t byte;
	} odd[] = { { 0, 'X' }, { 3, 2 }, { 4, 2 }, { 4, 1 }, { 5, 1 },
		{ 7, 1 }, { 72, 0x80 }, { 80, 0x80 }, { 88, 0x80 },
		{ 88, 0x7f }, { 96, 0x80 }, { 100, 0x7f }, { 103, 0xff },
		{ 104, 1 }, { 107, 0 }, { 108, '[' }, { 110, 0 },
		{ 111, 0xff } };

	write_delta();
	for (size_t n = b.len; b.len > 0;) {
		b.len--;
		CU_ASSERT_FALSE(reads());
		if (b.len == 0) {
			b.len = n;
			break;
		}
	}
	for (size_t i = 0; i < N_ITEMS(odd); i++) {
		write_delta();
		if (odd[i].at == 88 && odd[i].byte == 0x7f)
			memset(b.data + 89, 0xff, 7);
		b.data[odd[i].at] = (char)odd[i].byte;
		if (reads()) {
			tap_note("byte %zu", odd[i].at);
			CU_FAIL("nonsense is read");
		}
	}
	write_delta();
	buf_add(&b, "", 1);
	CU_ASSERT_FALSE(reads());
	write_delta();
	b.data[b.len - 1] = ' '; /* no object */
	CU_ASSERT_FALSE(reads());
	buf_free(&b);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "what is written is read", test_same },
		{ "what nobody wrote is not", test_hostile },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "wire", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
