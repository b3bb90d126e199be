/* SPDX-License-Identifier: Apache-2.0 */
#include "core/hook/rate.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"

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
	struct bucket buckets[SETS][WAYS];
};

struct hook_rates *
hook_rates_new(int64_t per_minute)
{
	struct hook_rates *r = xcalloc(1, sizeof(*r));

	pthread_mutex_init(&r->mu, NULL);
	r->per_ms = (double)per_minute / 60000;
	r->burst = (double)per_minute;
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

/* With what has flowed in since it was looked at last; mu is held. */
static struct bucket *
bucket_filled(struct hook_rates *r, const void *key, size_t len,
    uint64_t now_ms)
{
	uint8_t hash[HASH_LEN];
	struct bucket *b;
	struct hash h;

	now_ms += 1; /* never 0 */
	hash_init(&h);
	hash_field(&h, key, len);
	hash_end(&h, hash);
	b = bucket_of(r, hash, now_ms);
	if (now_ms > b->at_ms)
		b->tokens += (double)(now_ms - b->at_ms) * r->per_ms;
	if (b->tokens > r->burst)
		b->tokens = r->burst;
	b->at_ms = now_ms;
	return b;
}

int64_t
hook_rates_take(struct hook_rates *r, const void *key, size_t len,
    uint64_t now_ms)
{
	struct bucket *b;
	int64_t wait = 0;

	pthread_mutex_lock(&r->mu);
	b = bucket_filled(r, key, len, now_ms);
	if (b->tokens < 1)
		wait = (int64_t)((1 - b->tokens) / r->per_ms) + 1;
	else
		b->tokens -= 1;
	pthread_mutex_unlock(&r->mu);
	return wait;
}

void
hook_rates_give(struct hook_rates *r, const void *key, size_t len,
    uint64_t now_ms)
{
	struct bucket *b;

	pthread_mutex_lock(&r->mu);
	b = bucket_filled(r, key, len, now_ms);
	b->tokens += 1;
	pthread_mutex_unlock(&r->mu);
}
