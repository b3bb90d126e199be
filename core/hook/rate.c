/* SPDX-License-Identifier: Apache-2.0 */
#include "core/hook/rate.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/bus/rate_redis.h"

/* Small sets of places: a key has WAYS of them, by its hash. */

#define SETS 256
#define WAYS 8

struct bucket {
	uint8_t key[HASH_LEN];
	double tokens;
	uint64_t at_ms; /* 0: nobody's */
};

struct hook_rates {
	pthread_mutex_t mu;
	double per_ms, burst;
	int64_t per_minute;
	struct bus_redis *redis; /* NULL: each process for itself */
	struct bucket buckets[SETS][WAYS];
};

struct hook_rates *
hook_rates_new(int64_t per_minute)
{
	struct hook_rates *r = xcalloc(1, sizeof(*r));

	pthread_mutex_init(&r->mu, NULL);
	r->per_ms = (double)per_minute / 60000;
	r->burst = (double)per_minute;
	r->per_minute = per_minute;
	return r;
}

void
hook_rates_free(struct hook_rates *r)
{
	if (r == NULL)
		return;
	pthread_mutex_destroy(&r->mu);
	free(r);
}

static struct bucket *
bucket_of(struct hook_rates *r, const uint8_t key[HASH_LEN], uint64_t now_ms)
{
	struct bucket *set = r->buckets[key[0]], *oldest = &set[0];

	for (int i = 0; i < WAYS; i++) {
		if (set[i].at_ms != 0 && memcmp(set[i].key, key, HASH_LEN) == 0)
			return &set[i];
		if (set[i].at_ms < oldest->at_ms)
			oldest = &set[i];
	}
	memcpy(oldest->key, key, HASH_LEN);
	oldest->tokens = r->burst;
	oldest->at_ms = now_ms;
	return oldest;
}

static void
key_hash(const void *key, size_t len, uint8_t out[HASH_LEN])
{
	struct hash h;

	hash_init(&h);
	hash_field(&h, key, len);
	hash_end(&h, out);
}

/* With what has flowed in since it was looked at last; mu is held. */
static struct bucket *
bucket_filled(struct hook_rates *r, const uint8_t hash[HASH_LEN],
    uint64_t now_ms)
{
	struct bucket *b;

	now_ms += 1; /* never 0 */
	b = bucket_of(r, hash, now_ms);
	if (now_ms > b->at_ms)
		b->tokens += (double)(now_ms - b->at_ms) * r->per_ms;
	if (b->tokens > r->burst)
		b->tokens = r->burst;
	b->at_ms = now_ms;
	return b;
}

static int64_t
take_here(struct hook_rates *r, const uint8_t hash[HASH_LEN], uint64_t now_ms)
{
	struct bucket *b;
	int64_t wait = 0;

	pthread_mutex_lock(&r->mu);
	b = bucket_filled(r, hash, now_ms);
	if (b->tokens < 1)
		wait = (int64_t)((1 - b->tokens) / r->per_ms) + 1;
	else
		b->tokens -= 1;
	pthread_mutex_unlock(&r->mu);
	return wait;
}

static void
give_here(struct hook_rates *r, const uint8_t hash[HASH_LEN], uint64_t now_ms)
{
	pthread_mutex_lock(&r->mu);
	bucket_filled(r, hash, now_ms)->tokens += 1;
	pthread_mutex_unlock(&r->mu);
}

SUSPENDS int64_t
hook_rates_take(struct hook_rates *r, const void *key, size_t len,
    uint64_t now_ms)
{
	uint8_t hash[HASH_LEN];
	char name[2 * HASH_LEN + 1];
	int64_t wait;

	key_hash(key, len, hash);
	wait = take_here(r, hash, now_ms);
	if (wait > 0 || r->redis == NULL)
		return wait;
	text_hex(name, hash, HASH_LEN);
	wait = rate_redis_take(r->redis, name, r->per_minute);
	if (wait > 0)
		give_here(r, hash, now_ms);
	return wait > 0 ? wait : 0;
}

void
hook_rates_give(struct hook_rates *r, const void *key, size_t len,
    uint64_t now_ms)
{
	uint8_t hash[HASH_LEN];
	char name[2 * HASH_LEN + 1];

	key_hash(key, len, hash);
	give_here(r, hash, now_ms);
	if (r->redis == NULL)
		return;
	text_hex(name, hash, HASH_LEN);
	rate_redis_give(r->redis, name, r->per_minute);
}

void
hook_rates_share(struct hook_rates *r, struct bus_redis *redis)
{
	r->redis = redis;
}
