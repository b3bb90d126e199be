/* SPDX-License-Identifier: Apache-2.0 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "core/auth/jwt.h"
#include "core/base/buf.h"
#include "core/base/text.h"

/*
 * Access tokens.  The first byte says what the rest is: a token as it came, or
 * header and claims as text, one line each, which are then signed with the
 * right key, so that what is behind the signature is reached as well.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define NOW INT64_C(1800000000000000)

static void
put_signed(struct buf *b, const struct jwt_key *k, const char *text, size_t len)
{
	crypto_auth_hmacsha256_state state;
	uint8_t mac[crypto_auth_hmacsha256_BYTES];
	const char *nl = memchr(text, '\n', len);
	size_t n = nl != NULL ? (size_t)(nl - text) : len;

	text_base64url(b, text, n);
	buf_add_char(b, '.');
	if (nl != NULL)
		text_base64url(b, nl + 1, len - n - 1);
	crypto_auth_hmacsha256_init(&state, k->key, JWT_KEY_LEN);
	crypto_auth_hmacsha256_update(&state, (unsigned char *)b->data, b->len);
	crypto_auth_hmacsha256_final(&state, mac);
	buf_add_char(b, '.');
	text_base64url(b, mac, sizeof(mac));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t raw[JWT_KEY_LEN] = { 1, 2, 3 };
	struct error err = { 0 };
	struct buf b = { 0 };
	struct principal out;
	struct jwt_key key;
	enum as_status st;

	if (len < 1)
		return 0;
	jwt_key_init(&key, raw, "fuzz");
	if (data[0] == 's')
		put_signed(&b, &key, (const char *)data + 1, len - 1);
	else
		buf_add(&b, data + 1, len - 1);
	buf_add(&b, "", 0);
	st = jwt_check(&key, b.data != NULL ? b.data : "", b.len, NOW, &out,
	    &err);
	if ((st == AS_OK) != (err.code == ERR_NONE))
		abort();
	if (st == AS_OK && out.expires_us <= NOW)
		abort();
	error_clear(&err);
	buf_free(&b);
	return 0;
}
