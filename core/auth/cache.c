/* SPDX-License-Identifier: Apache-2.0 */
#include "core/auth/cache.h"

#include <pthread.h>
#include <string.h>

#include "core/base/mem.h"

/*
 * Rows of a few ways, found by the first bytes of the key, which is a hash
 * already.  The lock is held for a comparison or two; dropping walks the whole
 * table, which is rare.
 */

#define ROWS 2048 /* a power of two */
#define WAYS 4

struct entry {
	uint8_t key[HASH_LEN];
	struct principal who;
	int64_t until_us; /* 0: free */
};

struct auth_cache {
	pthread_mutex_t lock;
	uint64_t generation;
	struct entry entries[ROWS][WAYS];
};

struct auth_cache *
auth_cache_new(void)
{
	struct auth_cache *c = xcalloc(1, sizeof(*c));

	MUST(pthread_mutex_init(&c->lock, NULL) == 0);
	return c;
}

void
auth_cache_free(struct auth_cache *c)
{
	if (c == NULL)
		return;
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct entry *
cache_row(struct auth_cache *c, const uint8_t *key)
{
	return c->entries[(key[0] | (unsigned)key[1] << 8) & (ROWS - 1)];
}

uint64_t
auth_cache_generation(struct auth_cache *c)
{
	uint64_t generation;

	pthread_mutex_lock(&c->lock);
	generation = c->generation;
	pthread_mutex_unlock(&c->lock);
	return generation;
}

bool
auth_cache_get(struct auth_cache *c, const uint8_t key[HASH_LEN],
    int64_t now_us, struct principal *out)
{
	struct entry *row = cache_row(c, key);
	bool found = false;

	pthread_mutex_lock(&c->lock);
	for (int i = 0; i < WAYS && !found; i++) {
		if (row[i].until_us > now_us &&
		    memcmp(row[i].key, key, HASH_LEN) == 0) {
			*out = row[i].who;
			found = true;
		}
	}
	pthread_mutex_unlock(&c->lock);
	return found;
}

void
auth_cache_put(struct auth_cache *c, const uint8_t key[HASH_LEN],
    int64_t until_us, uint64_t generation, const struct principal *who)
{
	struct entry *row = cache_row(c, key), *e = row;

	pthread_mutex_lock(&c->lock);
	if (c->generation == generation) {
		for (int i = 0; i < WAYS; i++) {
			if (memcmp(row[i].key, key, HASH_LEN) == 0) {
				e = &row[i];
				break;
			}
			if (row[i].until_us < e->until_us)
				e = &row[i];
		}
		memcpy(e->key, key, HASH_LEN);
		e->who = *who;
		e->until_us = until_us;
	}
	pthread_mutex_unlock(&c->lock);
}

void
auth_cache_drop(struct auth_cache *c, struct uuid session_id,
    struct uuid user_id)
{
	struct entry *e = &c->entries[0][0];

	pthread_mutex_lock(&c->lock);
	c->generation++;
	for (size_t i = 0; i < ROWS * WAYS; i++) {
		/* What was never written stays untouched memory. */
		if (e[i].until_us == 0)
			continue;
		if (uuid_equal(e[i].who.session_id, session_id) ||
		    uuid_equal(e[i].who.user_id, user_id))
			e[i].until_us = 0;
	}
	pthread_mutex_unlock(&c->lock);
}
