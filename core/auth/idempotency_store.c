/* SPDX-License-Identifier: Apache-2.0 */
#include "core/auth/idempotency_store.h"

#include <string.h>

#include "core/store/store.h"

/*
 * Rows of idempotency_keys.  Claiming deletes what is out of date, inserts,
 * and reads, in one batch: exactly one of several requests at once gets its
 * insert through, the others read what it made.
 */

SQL(idem_purge, "DELETE FROM idempotency_keys WHERE expires_at <= now_us()");
SQL(idem_insert,
    "INSERT INTO idempotency_keys (scope, key, request_sha, state, created_at,"
    " expires_at)"
    " VALUES ($1, $2, $3, 'in_progress', now_us(), now_us() + 60000000)"
    " ON CONFLICT (scope, key) DO NOTHING RETURNING 1");
SQL(idem_read, "SELECT request_sha, status_code, content_type, location, body,"
	       " expires_at - now_us() FROM idempotency_keys"
	       " WHERE scope = $1 AND key = $2");
SQL(idem_done, "UPDATE idempotency_keys SET state = 'done', status_code = $4,"
	       " content_type = $5, location = $6, body = $7,"
	       " expires_at = now_us() + 86400000000"
	       " WHERE scope = $1 AND key = $2 AND request_sha = $3"
	       " AND state = 'in_progress'");
SQL(idem_drop, "DELETE FROM idempotency_keys WHERE scope = $1 AND key = $2"
	       " AND request_sha = $3 AND state = 'in_progress'");

static void
idem_args(const struct idem_key *key, struct sql_arg args[3])
{
	args[0] = SQL_TEXT(key->scope);
	args[1] = SQL_TEXT(key->key);
	args[2] = SQL_BYTES(key->request, HASH_LEN);
}

/* Somebody was first: what has he made? */
static enum as_status
idem_found(const struct idem_key *key, const struct rows *rows,
    struct arena *arena, struct idem_answer *out, struct error *err)
{
	const void *sha, *body;
	enum as_status st;
	size_t len = 0;

	sha = rows_bytes(rows, 0, 0, &len);
	if (len != HASH_LEN || memcmp(sha, key->request, HASH_LEN) != 0)
		return error_set(err, ERR_IDEMPOTENCY_KEY_REUSED,
		    "this key came with another body before");
	if (rows_is_null(rows, 0, 1)) {
		st = error_set(err, ERR_IDEMPOTENCY_IN_PROGRESS,
		    "the first request with this key has no answer yet");
		if (err != NULL)
			err->retry_after_ms = 1000;
		return st;
	}
	out->status = (int)rows_int(rows, 0, 1);
	out->content_type = arena_strdup(arena, rows_text(rows, 0, 2));
	out->location = arena_strdup(arena, rows_text(rows, 0, 3));
	body = rows_bytes(rows, 0, 4, &out->len);
	out->body = arena_strndup(arena, body != NULL ? body : "", out->len);
	return AS_OK;
}

enum as_status
idem_claim(struct store *store, const struct idem_key *key, struct arena *arena,
    struct idem_answer *out, struct error *err)
{
	struct rows *rows[3] = { NULL };
	struct sql_arg args[3];
	struct sql_call calls[] = { { &idem_purge, NULL, 0 },
		{ &idem_insert, args, 3 }, { &idem_read, args, 2 } };
	enum as_status st;

	memset(out, 0, sizeof(*out));
	idem_args(key, args);
	st = store_batch(store, calls, 3, rows, err);
	if (st == AS_OK && rows_count(rows[1]) == 0)
		st = idem_found(key, rows[2], arena, out, err);
	for (int i = 0; i < 3; i++)
		rows_free(rows[i]);
	return st;
}

enum as_status
idem_keep(struct store *store, const struct idem_key *key,
    const struct idem_answer *answer, struct error *err)
{
	struct sql_arg args[7];

	idem_args(key, args);
	args[3] = SQL_INT(answer->status);
	args[4] = SQL_TEXT(answer->content_type);
	args[5] = SQL_TEXT(answer->location);
	args[6] = SQL_BYTES(answer->body, answer->len);
	return store_exec(store, &idem_done, args, 7, NULL, err);
}

enum as_status
idem_release(struct store *store, const struct idem_key *key, struct error *err)
{
	struct sql_arg args[3];

	idem_args(key, args);
	return store_exec(store, &idem_drop, args, 3, NULL, err);
}
