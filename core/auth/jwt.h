/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_AUTH_JWT_H
#define CORE_AUTH_JWT_H

/*
 * Access tokens: JWTs that we sign and nobody else.
 *
 * libjwt makes and checks the signature; everything it leaves to its caller is
 * checked here: that the algorithm is the one of the key, kid, typ, crit, iss,
 * aud, exp and nbf.  Pure, any thread.
 */

#include <stddef.h>
#include <stdint.h>

#include "core/auth/principal.h"
#include "core/base/error.h"

#define JWT_KEY_LEN 32
#define JWT_TEXT_MAX 2048
#define JWT_SKEW_US INT64_C(30000000) /* of another node's clock, for nbf */

struct jwt_key {
	uint8_t key[JWT_KEY_LEN];
	char kid[17];
	char issuer[256];
};

/* Derives the kid; the issuer is cut to what fits. */
void jwt_key_init(struct jwt_key *k, const uint8_t key[JWT_KEY_LEN],
    const char *issuer);

/* A token for who until who->expires_us; malloc()ed. */
char *jwt_issue(const struct jwt_key *k, const struct principal *who,
    int64_t now_us);

/*
 * AUTH_REQUIRED, or TOKEN_EXPIRED for a good one that is too old.  The role is
 * not in the token: it is the session's affair.
 */
enum as_status jwt_check(const struct jwt_key *k, const char *token, size_t len,
    int64_t now_us, struct principal *out, struct error *err);

#endif
