/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
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
key_fail(struct error *err, const char *path, const char *what)
{
	return error_set(err, ERR_INTERNAL, "key file %s: %s", path, what);
}

static enum as_status
key_read(const char *path, uint8_t key[JWT_KEY_LEN], struct error *err)
{
	char text[2 * JWT_KEY_LEN + 2];
	struct stat sb;
	ssize_t n = -1;
	size_t len = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return key_fail(err, path, strerror(errno));
	if (fstat(fd, &sb) == 0 && (sb.st_mode & 077) == 0)
		n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if ((sb.st_mode & 077) != 0)
		return key_fail(err, path,
		    "others can read it; make a new one or chmod 600 it");
	if (n < 2 * JWT_KEY_LEN ||
	    sodium_hex2bin(key, JWT_KEY_LEN, text, (size_t)n, "\n", &len,
		NULL) != 0 ||
	    len != JWT_KEY_LEN)
		return key_fail(err, path,
		    "expected 64 hex digits; delete it for a new one, which"
		    " ends all access tokens");
	sodium_memzero(text, sizeof(text));
	return AS_OK;
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
