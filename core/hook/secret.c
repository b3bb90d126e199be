/* SPDX-License-Identifier: Apache-2.0 */
#include "core/hook/secret.h"

#include <sodium.h>
#include <string.h>

#include "core/auth/seal.h"
#include "core/base/text.h"

/* What they are sealed under: what they are of, and whose. */

#define CONTEXT_LEN 24

static void
context_make(enum secret_of of, struct uuid id, uint8_t out[CONTEXT_LEN])
{
	memset(out, 0, CONTEXT_LEN);
	memcpy(out, of == SECRET_WEBHOOK ? "webhook" : "trigger", 7);
	memcpy(out + 8, id.b, sizeof(id.b));
}

/* Where the other side takes the text as it is, that is the key. */
static bool
key_of(enum secret_of of, const struct buf *text, struct signature_key *k)
{
	if (of != SECRET_GITHUB)
		return signature_key_parse(text->data, text->len, k);
	if (text->len > sizeof(k->p))
		return false;
	memcpy(k->p, text->data, text->len);
	k->len = text->len;
	return true;
}

void
secret_make(const struct seal *s, enum secret_of of, struct uuid id,
    struct buf *text, struct buf *sealed)
{
	uint8_t context[CONTEXT_LEN];
	struct signature_key k;

	signature_key_new(&k);
	if (of == SECRET_GITHUB)
		text_base64url(text, k.p, k.len);
	else
		signature_key_add(text, &k);
	signature_key_wipe(&k);
	context_make(of, id, context);
	seal_close(s, context, sizeof(context), text->data, text->len, sealed);
}

void
secret_wipe(struct buf *text)
{
	if (text->data != NULL)
		sodium_memzero(text->data, text->cap);
	buf_free(text);
}

static bool
secret_open(const struct seal *s, enum secret_of of, struct uuid id,
    const struct rows *r, int row, int col, struct signature_key *k)
{
	uint8_t context[CONTEXT_LEN];
	struct buf text = { 0 };
	const void *box;
	size_t len;
	bool ok;

	if (rows_is_null(r, row, col))
		return false;
	box = rows_bytes(r, row, col, &len);
	context_make(of, id, context);
	ok = seal_open(s, context, sizeof(context), box, len, &text) &&
	     key_of(of, &text, k);
	secret_wipe(&text);
	return ok;
}

int
secret_keys(const struct seal *s, enum secret_of of, struct uuid id,
    const struct rows *r, int row, int at, struct signature_key keys[2])
{
	if (!secret_open(s, of, id, r, row, at, &keys[0]))
		return 0;
	if (!rows_is_null(r, row, at + 1) && rows_bool(r, row, at + 2) &&
	    secret_open(s, of, id, r, row, at + 1, &keys[1]))
		return 2;
	return 1;
}
