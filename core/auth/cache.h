/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_AUTH_CACHE_H
#define CORE_AUTH_CACHE_H

/*
 * Credentials that were found good a moment ago, by their SHA-256.
 *
 * A table of fixed size; what does not fit pushes out the oldest of its row.
 * A reader of the database notes the generation before it asks and gives it
 * back with the answer: an answer from before a log-out is not kept.  Any
 * thread.
 */

#include "core/auth/principal.h"
#include "core/base/hash.h"

struct auth_cache;

struct auth_cache *auth_cache_new(void);
void auth_cache_free(struct auth_cache *c);

uint64_t auth_cache_generation(struct auth_cache *c);
bool auth_cache_get(struct auth_cache *c, const uint8_t key[HASH_LEN],
    int64_t now_us, struct principal *out);
/* Good until until_us, unless something was dropped since the generation. */
void auth_cache_put(struct auth_cache *c, const uint8_t key[HASH_LEN],
    int64_t until_us, uint64_t generation, const struct principal *who);
/* Forget a session, or all sessions of a user; the other id is nil. */
void auth_cache_drop(struct auth_cache *c, struct uuid session_id,
    struct uuid user_id);

#endif
