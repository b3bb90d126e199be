/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/uuid.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

/*
 * UUIDv7: 48 bits of milliseconds, a 12-bit counter that starts in the lower
 * half of its range at a random place each millisecond, 62 random bits.  When
 * the counter is full, or the clock has stepped back, the thread's own last
 * millisecond goes on, so that the order within a thread never breaks.
 * Random bytes are fetched 512 at a time and dropped in a forked child.
 */

struct generator {
	int64_t ms;
	unsigned counter;
	unsigned generation;
	size_t left;
	uint8_t pool[512];
};

static _Thread_local struct generator gen;
static atomic_uint fork_generation = 1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
after_fork(void)
{
	atomic_fetch_add(&fork_generation, 1);
}

static void
prepare(void)
{
	MUST(sodium_init() >= 0);
	pthread_atfork(NULL, NULL, after_fork);
}

static void
random_bytes(uint8_t *out, size_t len)
{
	unsigned now = atomic_load(&fork_generation);

	if (gen.left < len || gen.generation != now) {
		pthread_once(&once, prepare);
		randombytes_buf(gen.pool, sizeof(gen.pool));
		gen.left = sizeof(gen.pool);
		gen.generation = now;
	}
	gen.left -= len;
	memcpy(out, gen.pool + gen.left, len);
	memset(gen.pool + gen.left, 0, len);
}

struct uuid
uuid_v7(void)
{
	int64_t now = clock_wall_us() / 1000;
	uint8_t r[10];
	struct uuid id;
	int i;

	random_bytes(r, sizeof(r));
	if (now <= gen.ms && ++gen.counter > 0xfff)
		now = gen.ms + 1;
	if (now > gen.ms) {
		gen.ms = now;
		gen.counter = ((unsigned)r[8] << 8 | r[9]) & 0x7ff;
	}
	for (i = 0; i < 6; i++)
		id.b[i] = (uint8_t)((uint64_t)gen.ms >> (40 - 8 * i));
	id.b[6] = (uint8_t)(0x70 | gen.counter >> 8);
	id.b[7] = (uint8_t)gen.counter;
	memcpy(id.b + 8, r, 8);
	id.b[8] = (uint8_t)(0x80 | (id.b[8] & 0x3f));
	return id;
}

static int
nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static bool
is_dash_place(int i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

bool
uuid_parse(const char *s, struct uuid *out)
{
	struct uuid id;
	int i, hi, lo, n = 0;

	if (s == NULL)
		return false;
	for (i = 0; i < 36;) {
		if (is_dash_place(i)) {
			if (s[i++] != '-')
				return false;
			continue;
		}
		if ((hi = nibble(s[i])) < 0 || (lo = nibble(s[i + 1])) < 0)
			return false;
		id.b[n++] = (uint8_t)(hi << 4 | lo);
		i += 2;
	}
	if (s[36] != '\0')
		return false;
	*out = id;
	return true;
}

void
uuid_format(struct uuid id, char out[UUID_TEXT])
{
	static const unsigned char place[] = { 0, 2, 4, 6, 9, 11, 14, 16, 19,
		21, 24, 26, 28, 30, 32, 34 };
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < 16; i++) {
		out[place[i]] = digits[id.b[i] >> 4];
		out[place[i] + 1] = digits[id.b[i] & 15];
	}
	out[8] = out[13] = out[18] = out[23] = '-';
	out[36] = '\0';
}

bool
uuid_is_nil(struct uuid id)
{
	return uuid_equal(id, (struct uuid){ { 0 } });
}

bool
uuid_equal(struct uuid a, struct uuid b)
{
	return uuid_compare(a, b) == 0;
}

int
uuid_compare(struct uuid a, struct uuid b)
{
	return memcmp(a.b, b.b, sizeof(a.b));
}

int64_t
uuid_time_ms(struct uuid id)
{
	int64_t ms = 0;
	int i;

	for (i = 0; i < 6; i++)
		ms = ms << 8 | id.b[i];
	return ms;
}
