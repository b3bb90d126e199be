/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/api/internal.h"
#include "core/auth/idempotency_store.h"
#include "core/base/json.h"
#include "core/base/log.h"

/*
 * The Idempotency-Key header: a POST that is sent twice works once.
 *
 * A key belongs to one user, method and path.  Only answers of requests that
 * did something (2xx) are kept; one that failed has changed nothing and may be
 * made again with its key, when the thread is not busy any more, say.
 */

#define KEY_MAX 255

static bool
idempotency_key(struct http_req *req, struct idem_key *out)
{
	const struct principal *who = api_who(req);
	char tenant[UUID_TEXT], user[UUID_TEXT];
	const char *path = http_path(req), *body;
	size_t len = strlen(path), body_len;
	struct hash h;

	out->key = http_header(req, "idempotency-key");
	if (out->key == NULL || who == NULL)
		return false;
	while (len > 1 && path[len - 1] == '/')
		len--;
	uuid_format(who->tenant_id, tenant);
	uuid_format(who->user_id, user);
	out->scope = arena_printf(http_arena(req), "%s %s %s %.*s", tenant,
	    user, http_method(req), (int)len, path);
	body = http_body(req, &body_len);
	hash_init(&h);
	hash_field(&h, body, body_len);
	hash_end(&h, out->request);
	return true;
}

static enum as_status
idempotency_check(const char *key, struct error *err)
{
	size_t len = strlen(key);

	for (size_t i = 0; i < len && len <= KEY_MAX; i++)
		if (key[i] <= ' ' || key[i] >= 0x7f)
			len = 0;
	if (len < 1 || len > KEY_MAX)
		return error_field(err, "Idempotency-Key",
		    "must have 1 to %d visible ASCII characters", KEY_MAX);
	return AS_OK;
}

static void
idempotency_replay(struct http_req *req, const struct idem_answer *a)
{
	struct json_object *body = NULL;
	int64_t version;

	if (a->location != NULL)
		http_set_header(req, "Location", a->location);
	if (json_parse(a->body, a->len, &body, NULL) == AS_OK &&
	    (version = jget_int(body, "version", 0)) > 0)
		http_set_header(req, "ETag",
		    arena_printf(http_arena(req), "\"%lld\"",
			(long long)version));
	json_object_put(body);
	http_set_header(req, "Idempotent-Replay", "true");
	http_reply(req, a->status, a->content_type, a->body, a->len);
}

enum as_status
idempotency_begin(struct http_req *req, bool *answered, struct error *err)
{
	struct idem_answer answer;
	struct idem_key key;
	enum as_status st;

	*answered = false;
	if (!idempotency_key(req, &key))
		return AS_OK;
	st = idempotency_check(key.key, err);
	if (st == AS_OK)
		st = idem_claim(app_of(req)->store, &key, http_arena(req),
		    &answer, err);
	if (st == AS_OK && answer.status != 0) {
		idempotency_replay(req, &answer);
		*answered = true;
	}
	return st;
}

void
idempotency_end(struct http_req *req, int status, const char *body, size_t len)
{
	struct idem_answer answer = { .status = status,
		.content_type = "application/json",
		.body = body,
		.len = len,
		.location = http_header_set(req, "Location") };
	struct error err = { 0 };
	struct idem_key key;
	enum as_status st;

	if (!idempotency_key(req, &key))
		return;
	if (status >= 200 && status < 300)
		st = idem_keep(app_of(req)->store, &key, &answer, &err);
	else
		st = idem_release(app_of(req)->store, &key, &err);
	if (st != AS_OK)
		log_warn("api", "idempotency key not settled: %s", err.detail);
	error_clear(&err);
}
