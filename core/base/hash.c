/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/hash.h"

#include <string.h>

#include "core/base/text.h"

/*
 * SHA-256 with fields that cannot run into each other, and its two printed
 * forms.
 */

void
hash_init(struct hash *h)
{
	SHA256_Init(&h->state);
}

void
hash_bytes(struct hash *h, const void *p, size_t len)
{
	SHA256_Update(&h->state, p, len);
}

void
hash_field(struct hash *h, const void *p, size_t len)
{
	uint8_t prefix[8];
	int i;

	for (i = 0; i < 8; i++)
		prefix[i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
	hash_bytes(h, prefix, sizeof(prefix));
	hash_bytes(h, p, len);
}

void
hash_field_str(struct hash *h, const char *s)
{
	hash_field(h, s, strlen(s));
}

void
hash_field_int(struct hash *h, int64_t n)
{
	uint8_t b[8];
	int i;

	for (i = 0; i < 8; i++)
		b[i] = (uint8_t)((uint64_t)n >> (56 - 8 * i));
	hash_field(h, b, sizeof(b));
}

void
hash_end(struct hash *h, uint8_t out[HASH_LEN])
{
	SHA256_Final(out, &h->state);
}

void
hash_text(const void *p, size_t len, char out[HASH_TEXT])
{
	uint8_t sum[HASH_LEN];
	struct hash h;

	hash_init(&h);
	hash_bytes(&h, p, len);
	hash_end(&h, sum);
	text_hex(out, sum, sizeof(sum));
}

void
hash_base32(const uint8_t *p, size_t len, char *out, size_t n)
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
	size_t i, used = 0;
	unsigned bits = 0, n_bits = 0;

	for (i = 0; i < len && used < n; i++) {
		bits = bits << 8 | p[i];
		for (n_bits += 8; n_bits >= 5 && used < n; n_bits -= 5)
			out[used++] = alphabet[bits >> (n_bits - 5) & 31];
		bits &= 0xff;
	}
	if (n_bits > 0 && used < n)
		out[used++] = alphabet[bits << (5 - n_bits) & 31];
	out[used] = '\0';
}
