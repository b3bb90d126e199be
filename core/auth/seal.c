/* SPDX-License-Identifier: Apache-2.0 */
#include "core/auth/seal.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/auth/key_file.h"
#include "core/base/buf.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/* Sealed: a version, the key's id, a nonce, then what the cipher makes. */

#define KEY_FILE "sealing.key"
#define KEY_LEN crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define NONCE_LEN crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_LEN crypto_aead_xchacha20poly1305_ietf_ABYTES
#define ID_LEN 8
#define HEAD_LEN (1 + ID_LEN + NONCE_LEN)
#define SEAL_VERSION 1
#define FILE_MAX 1024

struct seal_key {
	uint8_t key[KEY_LEN], id[ID_LEN];
	char id_text[SEAL_ID_TEXT];
};

struct seal {
	struct seal_key keys[SEAL_KEYS_MAX];
	int n;
};

/* ---- Keys ---------------------------------------------------------- */

static enum as_status
fail(struct error *err, const char *where, const char *what)
{
	return error_set(err, ERR_INTERNAL, "%s: %s", where, what);
}

static void
key_name(struct seal_key *k)
{
	uint8_t sum[HASH_LEN];
	struct hash h;

	hash_init(&h);
	hash_bytes(&h, k->key, sizeof(k->key));
	hash_end(&h, sum);
	memcpy(k->id, sum, ID_LEN);
	text_hex(k->id_text, k->id, ID_LEN);
}

static enum as_status
keys_parse(struct seal *s, const char *text, const char *where,
    struct error *err)
{
	size_t n, len;

	for (text += strspn(text, " \t\r\n"); *text != '\0';
	     text += n + strspn(text + n, " \t\r\n")) {
		n = strcspn(text, " \t\r\n");
		if (s->n == SEAL_KEYS_MAX)
			return fail(err, where, "has too many keys");
		if (n != 2 * KEY_LEN ||
		    sodium_hex2bin(s->keys[s->n].key, KEY_LEN, text, n, NULL,
			&len, NULL) != 0 ||
		    len != KEY_LEN)
			return fail(err, where,
			    "expected keys of 64 hex digits");
		key_name(&s->keys[s->n++]);
	}
	return s->n > 0 ? AS_OK : fail(err, where, "has no key");
}

static enum as_status
file_read(struct seal *s, const char *path, struct error *err)
{
	char text[FILE_MAX + 1];
	enum as_status st = key_file_read(path, text, sizeof(text), err);

	if (st == AS_OK)
		st = keys_parse(s, text, path, err);
	sodium_memzero(text, sizeof(text));
	return st;
}

enum as_status
seal_new(const char *data_dir, const char *setting, bool make,
    struct seal **out, struct error *err)
{
	struct seal *s = xcalloc(1, sizeof(*s));
	char *path = xasprintf("%s/%s", data_dir, KEY_FILE);
	enum as_status st = AS_OK;

	*out = NULL;
	MUST(sodium_init() >= 0);
	if (setting != NULL && setting[0] != '\0')
		st = keys_parse(s, setting, "auth.sealing_keys", err);
	else {
		if (make && access(path, F_OK) != 0)
			st = key_file_make(data_dir, KEY_FILE, err);
		if (st == AS_OK && access(path, F_OK) == 0)
			st = file_read(s, path, err);
	}
	free(path);
	if (st != AS_OK || s->n == 0) {
		seal_free(s);
		return st;
	}
	*out = s;
	return AS_OK;
}

void
seal_free(struct seal *s)
{
	if (s == NULL)
		return;
	sodium_memzero(s, sizeof(*s));
	free(s);
}

const char *
seal_key_at(const struct seal *s, int i)
{
	return i >= 0 && i < s->n ? s->keys[i].id_text : NULL;
}

const char *
seal_key_id(const struct seal *s)
{
	return s->keys[0].id_text;
}

/* ---- Sealing ------------------------------------------------------- */

void
seal_close(const struct seal *s, const void *context, size_t context_len,
    const void *p, size_t len, struct buf *out)
{
	const struct seal_key *k = &s->keys[0];
	uint8_t nonce[NONCE_LEN];
	unsigned long long n = 0;

	randombytes_buf(nonce, sizeof(nonce));
	buf_add_char(out, SEAL_VERSION);
	buf_add(out, k->id, ID_LEN);
	buf_add(out, nonce, NONCE_LEN);
	buf_reserve(out, len + TAG_LEN);
	MUST(crypto_aead_xchacha20poly1305_ietf_encrypt((unsigned char *)
								out->data +
							    out->len,
		 &n, p, len, context, context_len, NULL, nonce, k->key) == 0);
	out->len += (size_t)n;
	out->data[out->len] = '\0';
}

bool
seal_open(const struct seal *s, const void *context, size_t context_len,
    const void *box, size_t len, struct buf *out)
{
	const uint8_t *in = box;
	unsigned long long n = 0;

	if (len < HEAD_LEN + TAG_LEN || in[0] != SEAL_VERSION)
		return false;
	for (int i = 0; i < s->n; i++) {
		if (memcmp(s->keys[i].id, in + 1, ID_LEN) != 0)
			continue;
		buf_reserve(out, len);
		if (crypto_aead_xchacha20poly1305_ietf_decrypt((unsigned char
								       *)out
								       ->data +
								   out->len,
			&n, NULL, in + HEAD_LEN, len - HEAD_LEN, context,
			context_len, in + 1 + ID_LEN, s->keys[i].key) != 0)
			return false;
		out->len += (size_t)n;
		out->data[out->len] = '\0';
		return true;
	}
	return false;
}
