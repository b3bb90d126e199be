/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_AUTH_IDEMPOTENCY_STORE_H
#define CORE_AUTH_IDEMPOTENCY_STORE_H

/*
 * What became of a request that carried an Idempotency-Key.
 *
 * A key is claimed before the request is worked on, and gets the answer when
 * it is there.  A claim without an answer ends after a minute, which is longer
 * than any request lasts: its process has died.  Answers are kept for a day.
 */

#include "core/base/arena.h"
#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/loop/loop.h"

struct store;

struct idem_key {
	const char *scope; /* tenant, user, method and path */
	const char *key; /* the client's */
	uint8_t request[HASH_LEN]; /* of the body */
};

struct idem_answer {
	int status; /* 0: there is none, the key is claimed for this request */
	const char *content_type, *location, *body;
	size_t len;
};

/* IDEMPOTENCY_IN_PROGRESS, IDEMPOTENCY_KEY_REUSED; text in the arena. */
SUSPENDS enum as_status idem_claim(struct store *store,
    const struct idem_key *key, struct arena *arena, struct idem_answer *out,
    struct error *err);
SUSPENDS enum as_status idem_keep(struct store *store,
    const struct idem_key *key, const struct idem_answer *answer,
    struct error *err);
/* The request has changed nothing: it may be made again. */
SUSPENDS enum as_status idem_release(struct store *store,
    const struct idem_key *key, struct error *err);

#endif
