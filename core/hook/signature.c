/* SPDX-License-Identifier: Apache-2.0 */
#include "core/hook/signature.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * What a header says is compared as text and in constant time: there is one way
 * to write a signature, and nothing of it is decoded.
 */

#define PREFIX "whsec_"
#define V1 "v1,"
#define MAC_LEN crypto_auth_hmacsha256_BYTES
#define BASE64 sodium_base64_VARIANT_ORIGINAL
#define MAC_TEXT sodium_base64_ENCODED_LEN(MAC_LEN, BASE64)
#define SIGNATURES_MAX 16 /* of one header that are looked at */

/* ---- Keys ---------------------------------------------------------- */

void
signature_key_new(struct signature_key *k)
{
	k->len = 32;
	randombytes_buf(k->p, k->len);
}

void
signature_key_wipe(struct signature_key *k)
{
	sodium_memzero(k, sizeof(*k));
}

bool
signature_key_parse(const char *text, size_t len, struct signature_key *k)
{
	size_t skip = strlen(PREFIX);

	memset(k, 0, sizeof(*k));
	if (len <= skip || memcmp(text, PREFIX, skip) != 0)
		return false;
	return sodium_base642bin(k->p, sizeof(k->p), text + skip, len - skip,
		   NULL, &k->len, NULL, BASE64) == 0 &&
	       k->len >= SIGNATURE_KEY_MIN;
}

void
signature_key_add(struct buf *b, const struct signature_key *k)
{
	char text[sodium_base64_ENCODED_LEN(SIGNATURE_KEY_MAX, BASE64)];

	sodium_bin2base64(text, sizeof(text), k->p, k->len, BASE64);
	buf_add_str(b, PREFIX);
	buf_add_str(b, text);
	sodium_memzero(text, sizeof(text));
}

/* ---- Signing ------------------------------------------------------- */

static void
mac_of(const struct signature_key *k, const struct signed_message *m,
    uint8_t mac[MAC_LEN])
{
	crypto_auth_hmacsha256_state st;
	char stamp[32];
	int n = snprintf(stamp, sizeof(stamp), ".%" PRId64 ".", m->timestamp);

	crypto_auth_hmacsha256_init(&st, k->p, k->len);
	crypto_auth_hmacsha256_update(&st, (const unsigned char *)m->id,
	    strlen(m->id));
	crypto_auth_hmacsha256_update(&st, (const unsigned char *)stamp,
	    (size_t)n);
	crypto_auth_hmacsha256_update(&st, m->body, m->len);
	crypto_auth_hmacsha256_final(&st, mac);
	sodium_memzero(&st, sizeof(st));
}

static void
mac_text(const struct signature_key *k, const struct signed_message *m,
    char text[MAC_TEXT])
{
	uint8_t mac[MAC_LEN];

	mac_of(k, m, mac);
	sodium_bin2base64(text, MAC_TEXT, mac, sizeof(mac), BASE64);
}

void
signature_add(struct buf *b, const struct signature_key *k,
    const struct signed_message *m)
{
	char text[MAC_TEXT];

	mac_text(k, m, text);
	buf_add_str(b, V1);
	buf_add_str(b, text);
}

/* ---- Looking at what came ------------------------------------------ */

/* One of a header: "v1,<base64>" as long as ours is. */
static bool
one_is(const char *s, size_t len, char texts[][MAC_TEXT], int n)
{
	size_t skip = strlen(V1);
	bool is = false;

#ifdef FUZZ_PLANT
	/* What somebody would do who looks at the length too late. */
	if (len > skip + MAC_TEXT - 1 && memcmp(s, V1, skip) == 0 &&
	    memcmp(s + skip, texts[0], MAC_TEXT - 1) == 0)
		abort();
#endif
	if (len != skip + MAC_TEXT - 1 || memcmp(s, V1, skip) != 0)
		return false;
	for (int i = 0; i < n; i++)
		if (sodium_memcmp(s + skip, texts[i], MAC_TEXT - 1) == 0)
			is = true;
	return is;
}

bool
signature_is_of(const char *header, const struct signature_key *keys, int n,
    const struct signed_message *m)
{
	char texts[2][MAC_TEXT];
	bool is = false;
	size_t len;

	MUST(n <= 2);
	for (int i = 0; i < n; i++)
		mac_text(&keys[i], m, texts[i]);
	for (int i = 0; i < SIGNATURES_MAX && *header != '\0'; i++) {
		header += strspn(header, " ");
		len = strcspn(header, " ");
		if (one_is(header, len, texts, n))
			is = true;
		header += len;
	}
	return is;
}

bool
signature_github_is_of(const char *header, const struct signature_key *keys,
    int n, const void *body, size_t len)
{
	crypto_auth_hmacsha256_state st;
	char hex[2 * MAC_LEN + 1];
	uint8_t mac[MAC_LEN];
	bool is = false;

	if (strlen(header) != 7 + 2 * MAC_LEN ||
	    memcmp(header, "sha256=", 7) != 0)
		return false;
	for (int i = 0; i < n; i++) {
		crypto_auth_hmacsha256_init(&st, keys[i].p, keys[i].len);
		crypto_auth_hmacsha256_update(&st, body, len);
		crypto_auth_hmacsha256_final(&st, mac);
		text_hex(hex, mac, MAC_LEN);
		if (sodium_memcmp(header + 7, hex, 2 * MAC_LEN) == 0)
			is = true;
	}
	sodium_memzero(&st, sizeof(st));
	return is;
}
