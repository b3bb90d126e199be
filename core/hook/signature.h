/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_HOOK_SIGNATURE_H
#define CORE_HOOK_SIGNATURE_H

/*
 * Signatures of webhooks: those of Standard Webhooks (HMAC-SHA256 over
 * "id.timestamp.body", "v1," and base64), and the ones that GitHub sends
 * (X-Hub-Signature-256: "sha256=" and hex, over the body alone).  Pure
 * functions, any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

#define SIGNATURE_KEY_MAX 64 /* bytes */
#define SIGNATURE_KEY_MIN 24
#define SIGNATURE_TOLERANCE_S 300

struct signature_key {
	uint8_t p[SIGNATURE_KEY_MAX];
	size_t len;
};

void signature_key_new(struct signature_key *k);
/* "whsec_" and base64 of 24 to 64 bytes. */
bool signature_key_parse(const char *text, size_t len, struct signature_key *k);
void signature_key_add(struct buf *b, const struct signature_key *k);
void signature_key_wipe(struct signature_key *k);

struct signed_message {
	const char *id;
	int64_t timestamp; /* seconds */
	const void *body;
	size_t len;
};

/* Appends "v1,<base64>". */
void signature_add(struct buf *b, const struct signature_key *k,
    const struct signed_message *m);
/*
 * Is one of the header's signatures, of which there may be several with blanks
 * between, that of this message by one of n keys?
 */
bool signature_is_of(const char *header, const struct signature_key *keys,
    int n, const struct signed_message *m);
/* header: "sha256=" and 64 hex digits. */
bool signature_github_is_of(const char *header,
    const struct signature_key *keys, int n, const void *body, size_t len);

#endif
