/* SPDX-License-Identifier: Apache-2.0 */
#include "core/auth/jwt.h"

#include <jwt.h>
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * Nothing of a token is believed before the signature is checked, and the
 * signature is only checked for a header that is exactly the one we write.  A
 * header that names another algorithm never reaches libjwt, which would follow
 * it.  One token has one spelling: no padding, no stray bits.
 */

#define AUDIENCE "agent-studio"

void
jwt_key_init(struct jwt_key *k, const uint8_t key[JWT_KEY_LEN],
    const char *issuer)
{
	struct hash h;
	uint8_t sum[HASH_LEN];

	memset(k, 0, sizeof(*k));
	memcpy(k->key, key, JWT_KEY_LEN);
	hash_init(&h);
	hash_field_str(&h, "kid");
	hash_field(&h, key, JWT_KEY_LEN);
	hash_end(&h, sum);
	text_hex(k->kid, sum, 8);
	snprintf(k->issuer, sizeof(k->issuer), "%s", issuer);
}

static void
jwt_add_uuid(jwt_t *jwt, const char *name, struct uuid id)
{
	char text[UUID_TEXT];

	uuid_format(id, text);
	MUST(jwt_add_grant(jwt, name, text) == 0);
}

char *
jwt_issue(const struct jwt_key *k, const struct principal *who, int64_t now_us)
{
	jwt_t *jwt = NULL;
	char *text, *copy;

	MUST(jwt_new(&jwt) == 0);
	MUST(jwt_set_alg(jwt, JWT_ALG_HS256, k->key, JWT_KEY_LEN) == 0);
	MUST(jwt_add_header(jwt, "kid", k->kid) == 0);
	MUST(jwt_add_grant(jwt, "iss", k->issuer) == 0);
	MUST(jwt_add_grant(jwt, "aud", AUDIENCE) == 0);
	jwt_add_uuid(jwt, "sub", who->user_id);
	jwt_add_uuid(jwt, "tid", who->tenant_id);
	jwt_add_uuid(jwt, "sid", who->session_id);
	MUST(jwt_add_grant_int(jwt, "iat", now_us / 1000000) == 0);
	MUST(jwt_add_grant_int(jwt, "nbf", now_us / 1000000) == 0);
	MUST(jwt_add_grant_int(jwt, "exp", who->expires_us / 1000000) == 0);
	text = jwt_encode_str(jwt);
	MUST(text != NULL);
	copy = xstrdup(text);
	free(text);
	jwt_free(jwt);
	return copy;
}

/* One base64url segment, spelled the only way, to JSON. */
static struct json_object *
jwt_segment(const char *s, size_t len)
{
	struct json_object *v = NULL;
	struct buf raw = { 0 }, again = { 0 };

	if (len > 0 && text_base64url_decode(&raw, s, len)) {
		text_base64url(&again, raw.data, raw.len);
		if (again.len == len && memcmp(again.data, s, len) == 0)
			json_parse(raw.data, raw.len, &v, NULL);
	}
	buf_free(&raw);
	buf_free(&again);
	return v;
}

static bool
jwt_str_is(struct json_object *o, const char *name, const char *want)
{
	struct json_object *v = jget(o, name);

	return json_object_is_type(v, json_type_string) &&
	       (size_t)json_object_get_string_len(v) == strlen(want) &&
	       memcmp(json_object_get_string(v), want, strlen(want)) == 0;
}

/* Exactly what jwt_issue writes: alg, kid and typ, and nothing else. */
static bool
jwt_header_is_ours(const struct jwt_key *k, struct json_object *header)
{
#ifdef FUZZ_PLANT
	/* What a careless check of "crit" could do. */
	if (json_object_is_type(jget(header, "crit"), json_type_array) &&
	    json_object_array_length(jget(header, "crit")) > 0)
		abort();
#endif
	return json_object_is_type(header, json_type_object) &&
	       json_object_object_length(header) == 3 &&
	       jwt_str_is(header, "alg", "HS256") &&
	       jwt_str_is(header, "typ", "JWT") &&
	       jwt_str_is(header, "kid", k->kid);
}

static bool
jwt_signature_is_good(const struct jwt_key *k, const char *token, size_t len)
{
	char *text = xstrndup(token, len);
	jwt_t *jwt = NULL;
	bool good;

	good = jwt_decode(&jwt, text, k->key, JWT_KEY_LEN) == 0 &&
	       jwt_get_alg(jwt) == JWT_ALG_HS256;
	jwt_free(jwt);
	free(text);
	return good;
}

static bool
jwt_time(struct json_object *claims, const char *name, int64_t *us)
{
	struct json_object *v = jget(claims, name);
	int64_t s;

	if (!json_object_is_type(v, json_type_int))
		return false;
	s = json_object_get_int64(v);
	if (s < 0 || s > INT64_MAX / 1000000)
		return false;
	*us = s * 1000000;
	return true;
}

static enum as_status
jwt_claims(const struct jwt_key *k, struct json_object *c, int64_t now_us,
    struct principal *out, struct error *err)
{
	int64_t nbf;

	if (!json_object_is_type(c, json_type_object) ||
	    !jwt_str_is(c, "iss", k->issuer) ||
	    !jwt_str_is(c, "aud", AUDIENCE) ||
	    !jget_uuid(c, "sub", &out->user_id) ||
	    !jget_uuid(c, "tid", &out->tenant_id) ||
	    !jget_uuid(c, "sid", &out->session_id) ||
	    !jwt_time(c, "exp", &out->expires_us) || !jwt_time(c, "nbf", &nbf))
		return error_set(err, ERR_AUTH_REQUIRED,
		    "the access token is not for this service");
	if (nbf > now_us + JWT_SKEW_US)
		return error_set(err, ERR_AUTH_REQUIRED,
		    "the access token is not valid yet");
	if (out->expires_us <= now_us)
		return error_set(err, ERR_TOKEN_EXPIRED,
		    "the access token has expired");
	return AS_OK;
}

enum as_status
jwt_check(const struct jwt_key *k, const char *token, size_t len,
    int64_t now_us, struct principal *out, struct error *err)
{
	const char *dot1, *dot2, *end = token + len;
	struct json_object *header = NULL, *claims = NULL;
	enum as_status st;

	memset(out, 0, sizeof(*out));
	st = error_set(err, ERR_AUTH_REQUIRED, "the access token is not valid");
	if (len > JWT_TEXT_MAX || memchr(token, '\0', len) != NULL ||
	    (dot1 = memchr(token, '.', len)) == NULL ||
	    (dot2 = memchr(dot1 + 1, '.', (size_t)(end - dot1 - 1))) == NULL ||
	    memchr(dot2 + 1, '.', (size_t)(end - dot2 - 1)) != NULL ||
	    memchr(dot2 + 1, '=', (size_t)(end - dot2 - 1)) != NULL)
		return st;
	header = jwt_segment(token, (size_t)(dot1 - token));
	claims = jwt_segment(dot1 + 1, (size_t)(dot2 - dot1 - 1));
	if (jwt_header_is_ours(k, header) &&
	    jwt_signature_is_good(k, token, len)) {
		error_clear(err);
		st = jwt_claims(k, claims, now_us, out, err);
	}
	json_object_put(header);
	json_object_put(claims);
	return st;
}
