/* SPDX-License-Identifier: Apache-2.0 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/auth/jwt.h"
#include "core/base/buf.h"
#include "core/base/text.h"
#include "tests/tap.h"

/* Access tokens: what we sign is taken, everything near it is refused. */

#define NOW INT64_C(1800000000000000)
#define US INT64_C(1000000)

static struct jwt_key key;
static struct principal who;

static int
setup(void)
{
	uint8_t raw[JWT_KEY_LEN];

	memset(raw, 7, sizeof(raw));
	jwt_key_init(&key, raw, "https://studio.test");
	memset(&who, 0, sizeof(who));
	who.user_id = uuid_v7();
	who.tenant_id = uuid_v7();
	who.session_id = uuid_v7();
	who.expires_us = NOW + 900 * US;
	return sodium_init() < 0;
}

static enum error_code
check_len(const char *token, size_t len, int64_t now)
{
	struct error err = { 0 };
	struct principal out;
	enum error_code code;
	enum as_status st;

	st = jwt_check(&key, token, len, now, &out, &err);
	code = err.code;
	CU_ASSERT_EQUAL(st == AS_OK, code == ERR_NONE);
	error_clear(&err);
	return code;
}

static enum error_code
check(const char *token, int64_t now)
{
	return check_len(token, strlen(token), now);
}

/* A token of these two texts, signed with k bytes of the key. */
static char *
forge(const char *header, const char *claims, const void *k, size_t k_len)
{
	crypto_auth_hmacsha256_state state;
	uint8_t mac[crypto_auth_hmacsha256_BYTES];
	struct buf b = { 0 };

	text_base64url(&b, header, strlen(header));
	buf_add_char(&b, '.');
	text_base64url(&b, claims, strlen(claims));
	crypto_auth_hmacsha256_init(&state, k, k_len);
	crypto_auth_hmacsha256_update(&state, (unsigned char *)b.data, b.len);
	crypto_auth_hmacsha256_final(&state, mac);
	buf_add_char(&b, '.');
	text_base64url(&b, mac, sizeof(mac));
	return buf_take(&b);
}

static const char *
header(const char *more)
{
	static char text[512];

	snprintf(text, sizeof(text),
	    "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"%s\"%s}", key.kid,
	    more);
	return text;
}

static const char *
claims(const char *iss, const char *aud, const char *nbf, const char *exp)
{
	static char text[512];
	char id[UUID_TEXT];

	uuid_format(who.user_id, id);
	snprintf(text, sizeof(text),
	    "{\"iss\":\"%s\",\"aud\":\"%s\",\"sub\":\"%s\",\"tid\":\"%s\","
	    "\"sid\":\"%s\",\"nbf\":%s,\"exp\":%s}",
	    iss, aud, id, id, id, nbf, exp);
	return text;
}

static const char *
good_claims(void)
{
	return claims("https://studio.test", "agent-studio", "1800000000",
	    "1800000900");
}

static enum error_code
check_forged(const char *h, const char *c)
{
	char *token = forge(h, c, key.key, JWT_KEY_LEN);
	enum error_code code = check(token, NOW);

	free(token);
	return code;
}

static void
test_round_trip(void)
{
	char *token = jwt_issue(&key, &who, NOW);
	struct principal out;

	CU_ASSERT_EQUAL(jwt_check(&key, token, strlen(token), NOW, &out, NULL),
	    AS_OK);
	CU_ASSERT(uuid_equal(out.user_id, who.user_id));
	CU_ASSERT(uuid_equal(out.tenant_id, who.tenant_id));
	CU_ASSERT(uuid_equal(out.session_id, who.session_id));
	CU_ASSERT_EQUAL(out.expires_us, who.expires_us);
	CU_ASSERT(strlen(token) < JWT_TEXT_MAX);
	free(token);
}

static void
test_forge_works(void)
{
	/* So that the refusals below have their own reasons. */
	CU_ASSERT_EQUAL(check_forged(header(""), good_claims()), ERR_NONE);
}

static void
test_time(void)
{
	char *token = jwt_issue(&key, &who, NOW);

	CU_ASSERT_EQUAL(check(token, who.expires_us - 1), ERR_NONE);
	CU_ASSERT_EQUAL(check(token, who.expires_us), ERR_TOKEN_EXPIRED);
	CU_ASSERT_EQUAL(check(token, NOW - JWT_SKEW_US), ERR_NONE);
	CU_ASSERT_EQUAL(check(token, NOW - JWT_SKEW_US - 1), ERR_AUTH_REQUIRED);
	free(token);
}

static void
test_time_claims(void)
{
	static const char *const bad[] = { "\"1800000900\"", "-1", "1e12",
		"9223372036854775807", "null", "1800000900.5" };
	const char *iss = "https://studio.test", *aud = "agent-studio";

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CU_ASSERT_NOT_EQUAL(check_forged(header(""),
					claims(iss, aud, "0", bad[i])),
		    ERR_NONE);
		CU_ASSERT_NOT_EQUAL(check_forged(header(""),
					claims(iss, aud, bad[i], "1800000900")),
		    ERR_NONE);
	}
}

static void
test_who_for(void)
{
	CU_ASSERT_EQUAL(check_forged(header(""),
			    claims("https://other.test", "agent-studio", "1",
				"1800000900")),
	    ERR_AUTH_REQUIRED);
	CU_ASSERT_EQUAL(check_forged(header(""),
			    claims("https://studio.test", "another", "1",
				"1800000900")),
	    ERR_AUTH_REQUIRED);
	CU_ASSERT_EQUAL(check_forged(header(""),
			    "{\"exp\":1800000900,\"nbf\":1}"),
	    ERR_AUTH_REQUIRED);
	CU_ASSERT_EQUAL(check_forged(header(""), "[]"), ERR_AUTH_REQUIRED);
	CU_ASSERT_EQUAL(check_forged(header(""), "null"), ERR_AUTH_REQUIRED);
}

static void
test_alg_none(void)
{
	const char *h = "{\"alg\":\"none\",\"typ\":\"JWT\"}";
	struct buf b = { 0 };

	CU_ASSERT_EQUAL(check_forged(h, good_claims()), ERR_AUTH_REQUIRED);
	text_base64url(&b, h, strlen(h));
	buf_add_char(&b, '.');
	text_base64url(&b, good_claims(), strlen(good_claims()));
	buf_add_char(&b, '.');
	CU_ASSERT_EQUAL(check(b.data, NOW), ERR_AUTH_REQUIRED);
	buf_free(&b);
}

static void
test_alg_confusion(void)
{
	static const char *const algs[] = { "RS256", "ES256", "HS384", "HS512",
		"hs256", "" };
	char h[256];

	for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
		snprintf(h, sizeof(h),
		    "{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"%s\"}", algs[i],
		    key.kid);
		CU_ASSERT_EQUAL(check_forged(h, good_claims()),
		    ERR_AUTH_REQUIRED);
	}
}

static void
test_header(void)
{
	CU_ASSERT_EQUAL(check_forged(header(",\"crit\":[\"exp\"]"),
			    good_claims()),
	    ERR_AUTH_REQUIRED);
	CU_ASSERT_EQUAL(check_forged(header(",\"jku\":\"http://evil.test\""),
			    good_claims()),
	    ERR_AUTH_REQUIRED);
	CU_ASSERT_EQUAL(check_forged(header(",\"alg\":\"none\""),
			    good_claims()),
	    ERR_AUTH_REQUIRED);
	CU_ASSERT_EQUAL(check_forged("{\"alg\":\"HS256\",\"typ\":\"JWT\","
				     "\"kid\":\"x\"}",
			    good_claims()),
	    ERR_AUTH_REQUIRED);
	CU_ASSERT_EQUAL(check_forged("{\"alg\":\"HS256\"}", good_claims()),
	    ERR_AUTH_REQUIRED);
}

static void
test_tampered(void)
{
	char *token = jwt_issue(&key, &who, NOW), *copy;
	size_t len = strlen(token);

	for (size_t i = 0; i < len; i++) {
		copy = strdup(token);
		copy[i] = copy[i] == 'A' ? 'B' : 'A';
		CU_ASSERT_NOT_EQUAL(check(copy, NOW), ERR_NONE);
		free(copy);
		CU_ASSERT_NOT_EQUAL(check_len(token, i, NOW), ERR_NONE);
	}
	free(token);
}

static void
test_one_spelling(void)
{
	static const char *const tails[] = { "=", "==", ".", " ", "\n", "A" };
	char *token = jwt_issue(&key, &who, NOW), text[JWT_TEXT_MAX];

	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		snprintf(text, sizeof(text), "%s%s", token, tails[i]);
		CU_ASSERT_EQUAL(check(text, NOW), ERR_AUTH_REQUIRED);
	}
	snprintf(text, sizeof(text), " %s", token);
	CU_ASSERT_EQUAL(check(text, NOW), ERR_AUTH_REQUIRED);
	/* A NUL and more behind a good token. */
	snprintf(text, sizeof(text), "%s", token);
	CU_ASSERT_EQUAL(check_len(text, strlen(token) + 1, NOW),
	    ERR_AUTH_REQUIRED);
	free(token);
}

/* The last character of a 32 byte MAC has two bits that mean nothing. */
static void
test_stray_bits(void)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789-_";
	char *token = jwt_issue(&key, &who, NOW);
	char *last = token + strlen(token) - 1;
	size_t at = (size_t)(strchr(digits, *last) - digits);

	*last = digits[at ^ 1];
	CU_ASSERT_EQUAL(check(token, NOW), ERR_AUTH_REQUIRED);
	free(token);
}

static void
test_other_key(void)
{
	uint8_t other[JWT_KEY_LEN];
	char *token;

	memset(other, 8, sizeof(other));
	token = forge(header(""), good_claims(), other, sizeof(other));
	CU_ASSERT_EQUAL(check(token, NOW), ERR_AUTH_REQUIRED);
	free(token);
	token = forge(header(""), good_claims(), "", 0);
	CU_ASSERT_EQUAL(check(token, NOW), ERR_AUTH_REQUIRED);
	free(token);
}

static void
test_garbage(void)
{
	static const char *const bad[] = { "", ".", "..", "...", "a.b.c",
		"e30.e30.", "e30.e30.e30", "Bearer x" };
	char *big = malloc(JWT_TEXT_MAX + 2);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT_EQUAL(check(bad[i], NOW), ERR_AUTH_REQUIRED);
	memset(big, 'A', JWT_TEXT_MAX + 1);
	big[100] = big[200] = '.';
	big[JWT_TEXT_MAX + 1] = '\0';
	CU_ASSERT_EQUAL(check(big, NOW), ERR_AUTH_REQUIRED);
	free(big);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "round trip", test_round_trip },
		{ "forged with the key", test_forge_works },
		{ "exp and nbf", test_time },
		{ "exp and nbf that are no times", test_time_claims },
		{ "iss, aud and missing claims", test_who_for },
		{ "alg none", test_alg_none },
		{ "alg confusion", test_alg_confusion },
		{ "crit and foreign headers", test_header },
		{ "tampered and cut", test_tampered },
		{ "one spelling", test_one_spelling },
		{ "stray bits", test_stray_bits },
		{ "another key", test_other_key },
		{ "garbage", test_garbage },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "jwt", setup, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
