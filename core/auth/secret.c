/* SPDX-License-Identifier: Apache-2.0 */
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#include "core/auth/internal.h"
#include "core/auth/key_file.h"
#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * Secrets: the opaque ones that clients hold, of which only hashes are kept,
 * and the key of the access tokens, which is a file.
 */

#define KEY_FILE "access.key"

void
secret_new(char out[SECRET_TEXT])
{
	struct buf text = { 0 };
	uint8_t raw[32];

	randombytes_buf(raw, sizeof(raw));
	text_base64url(&text, raw, sizeof(raw));
	MUST(text.len == SECRET_TEXT - 1);
	memcpy(out, text.data, SECRET_TEXT);
	sodium_memzero(raw, sizeof(raw));
	sodium_memzero(text.data, text.len);
	buf_free(&text);
}

void
secret_hash(const char *kind, const char *secret, size_t len,
    uint8_t out[HASH_LEN])
{
	struct hash h;

	hash_init(&h);
	hash_field_str(&h, kind);
	hash_field(&h, secret, len);
	hash_end(&h, out);
}

static enum as_status
key_read(const char *path, uint8_t key[JWT_KEY_LEN], struct error *err)
{
	char text[2 * JWT_KEY_LEN + 2];
	size_t len = 0;
	enum as_status st = key_file_read(path, text, sizeof(text), err);

	if (st == AS_OK && (sodium_hex2bin(key, JWT_KEY_LEN, text, strlen(text),
				"\n", &len, NULL) != 0 ||
			       len != JWT_KEY_LEN))
		st = error_set(err, ERR_INTERNAL,
		    "key file %s: expected 64 hex digits; delete it for a new "
		    "one, which ends all access tokens",
		    path);
	sodium_memzero(text, sizeof(text));
	return st;
}

enum as_status
secret_key_file(const char *data_dir, uint8_t key[JWT_KEY_LEN],
    struct error *err)
{
	char *path = xasprintf("%s/%s", data_dir, KEY_FILE);
	enum as_status st = AS_OK;

	if (access(path, F_OK) != 0)
		st = key_file_make(data_dir, KEY_FILE, err);
	if (st == AS_OK)
		st = key_read(path, key, err);
	free(path);
	return st;
}
