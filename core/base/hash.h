/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_HASH_H
#define CORE_BASE_HASH_H

/*
 * SHA-256 over fields.  OpenSSL's, because it uses what the processor has for
 * it: every message and every step is hashed.
 * hash_field prefixes each field with its length as 8 bytes, big endian, so
 * that ("ab","c") and ("a","bc") differ.
 */

/* The context of fixed size; the one of EVP would be an allocation a hash. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASH_LEN 32
#define HASH_TEXT 65

struct hash {
	SHA256_CTX state;
};

void hash_init(struct hash *h);
void hash_bytes(struct hash *h, const void *p, size_t len);
void hash_field(struct hash *h, const void *p, size_t len);
void hash_field_str(struct hash *h, const char *s);
void hash_field_int(struct hash *h, int64_t n);
void hash_end(struct hash *h, uint8_t out[HASH_LEN]);
void hash_text(const void *p, size_t len, char out[HASH_TEXT]); /* hex */

/*
 * Lower-case base32 (RFC 4648 alphabet) without padding, cut to n chars; out
 * has n + 1 bytes.
 */
void hash_base32(const uint8_t *p, size_t len, char *out, size_t n);

#endif
