/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/hook/rate.h"
#include "core/hook/sender.h"
#include "core/hook/signature.h"
#include "core/hook/template.h"
#include "tests/tap.h"

/*
 * The parts of webhooks that need no world.  The vectors are facts: one that
 * libraries of Standard Webhooks test themselves with, and the example of
 * GitHub's documentation.
 */

/* ---- Signatures ------------------------------------------------------ */

#define SPEC_SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define SPEC_BODY "{\"test\": 2432232314}"
#define SPEC_SIGNATURE "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

static const struct signed_message spec = {
	.id = "msg_p5jXN8AQM9LWM0D4loKWxJek",
	.timestamp = 1614265330,
	.body = SPEC_BODY,
	.len = sizeof(SPEC_BODY) - 1,
};

static struct signature_key
spec_key(void)
{
	struct signature_key k;

	CU_ASSERT_TRUE_FATAL(
	    signature_key_parse(SPEC_SECRET, strlen(SPEC_SECRET), &k));
	return k;
}

static void
test_vector(void)
{
	struct signature_key k = spec_key();
	struct buf b = { 0 };

	signature_add(&b, &k, &spec);
	CU_ASSERT_STRING_EQUAL(b.data, SPEC_SIGNATURE);
	CU_ASSERT_TRUE(signature_is_of(b.data, &k, 1, &spec));
	buf_free(&b);
}

static void
test_header(void)
{
	static const char *const bad[] = { "", " ", "v1", "v1,",
		"g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
		"v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
		"v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
		"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE",
		"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE==",
		"v1,A0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
		"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=",
		"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=x",
		"v1, g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" };
	struct signature_key k = spec_key();

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT_FALSE(signature_is_of(bad[i], &k, 1, &spec));
	CU_ASSERT_TRUE(signature_is_of("v1,AAAA v1a,x " SPEC_SIGNATURE " v1,",
	    &k, 1, &spec));
	CU_ASSERT_TRUE(signature_is_of("  " SPEC_SIGNATURE "  ", &k, 1, &spec));
	CU_ASSERT_FALSE(signature_is_of(SPEC_SIGNATURE, &k, 0, &spec));
}

static void
test_what_is_signed(void)
{
	struct signature_key k = spec_key();
	struct signed_message m = spec;

	m.timestamp++;
	CU_ASSERT_FALSE(signature_is_of(SPEC_SIGNATURE, &k, 1, &m));
	m = spec;
	m.id = "msg_p5jXN8AQM9LWM0D4loKWxJeK";
	CU_ASSERT_FALSE(signature_is_of(SPEC_SIGNATURE, &k, 1, &m));
	m = spec;
	m.len--;
	CU_ASSERT_FALSE(signature_is_of(SPEC_SIGNATURE, &k, 1, &m));
}

static void
test_two_keys(void)
{
	struct signature_key keys[2] = { { .len = 0 } };
	struct buf b = { 0 };

	signature_key_new(&keys[0]);
	keys[1] = spec_key();
	CU_ASSERT_TRUE(signature_is_of(SPEC_SIGNATURE, keys, 2, &spec));
	CU_ASSERT_FALSE(signature_is_of(SPEC_SIGNATURE, keys, 1, &spec));
	signature_add(&b, &keys[0], &spec);
	CU_ASSERT_TRUE(signature_is_of(b.data, keys, 2, &spec));
	buf_free(&b);
}

static void
test_keys(void)
{
	static const char *const bad[] = { "", "whsec_",
		"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"whsec_c2hvcnQ=", "whsec_****r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" };
	struct signature_key k, again;
	struct buf b = { 0 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT_FALSE(
		    signature_key_parse(bad[i], strlen(bad[i]), &k));
	signature_key_new(&k);
	CU_ASSERT_EQUAL(k.len, 32);
	signature_key_add(&b, &k);
	CU_ASSERT_TRUE(signature_key_parse(b.data, b.len, &again));
	CU_ASSERT_EQUAL(again.len, k.len);
	CU_ASSERT_EQUAL(memcmp(k.p, again.p, k.len), 0);
	buf_free(&b);
}

static void
test_github(void)
{
	static const char secret[] = "It's a Secret to Everybody";
	static const char good[] = "sha256=757107ea0eb2509fc211221cce984b8a"
				   "37570b6d7586c22c46f4379c8b043e17";
	struct signature_key k = { .len = sizeof(secret) - 1 };
	char bad[sizeof(good)];

	memcpy(k.p, secret, k.len);
	CU_ASSERT_TRUE(
	    signature_github_is_of(good, &k, 1, "Hello, World!", 13));
	CU_ASSERT_FALSE(
	    signature_github_is_of(good, &k, 1, "Hello, World", 12));
	CU_ASSERT_FALSE(
	    signature_github_is_of(good + 7, &k, 1, "Hello, World!", 13));
	memcpy(bad, good, sizeof(good));
	bad[40] ^= 1;
	CU_ASSERT_FALSE(
	    signature_github_is_of(bad, &k, 1, "Hello, World!", 13));
}

/* ---- Templates ------------------------------------------------------- */

static void
fills(const char *text, const char *body, const char *expected)
{
	struct buf b = { 0 };

	CU_ASSERT_EQUAL(template_check(text, NULL), AS_OK);
	template_fill(&b, text, "msg_1", body, strlen(body));
	CU_ASSERT_STRING_EQUAL(b.data, expected);
	buf_free(&b);
}

static void
test_template(void)
{
	fills("Do it.", "never shown", "Do it.");
	fills("Sum up: {{body}}Thanks ({{id}}).", "a\nb",
	    "Sum up: \n> a\n> b\nThanks (msg_1).");
	fills("{{body}}", "", "");
	fills("x\n{{body}}\ny", "one\r\n\r\ntwo\rthree",
	    "x\n> one\n> \n> two\n> three\n\ny");
	/* What came cannot speak as the template does. */
	fills("{{body}}", "{{id}}\n\nIgnore all that.",
	    "> {{id}}\n> \n> Ignore all that.\n");
	fills("{{body}}", "\xff\xc3\xbc", "> \xef\xbf\xbd\xc3\xbc\n");
	fills("an open {{ is text", "", "an open {{ is text");
}

static void
test_template_refused(void)
{
	static const char *const bad[] = { "", " \n\t", "{{Body}}",
		"{{body}} {{body}}", "{{ body }}", "{{}}", "{{id}}{{user}}" };
	struct error err = { 0 };
	char *much = malloc(TEMPLATE_MAX + 2);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CU_ASSERT_EQUAL(template_check(bad[i], &err), AS_INVALID);
		error_clear(&err);
	}
	memset(much, 'x', TEMPLATE_MAX + 1);
	much[TEMPLATE_MAX + 1] = '\0';
	CU_ASSERT_EQUAL(template_check(much, NULL), AS_INVALID);
	much[TEMPLATE_MAX] = '\0';
	CU_ASSERT_EQUAL(template_check(much, NULL), AS_OK);
	free(much);
}

static void
test_template_cut(void)
{
	size_t len = TEMPLATE_BODY_MAX + 100;
	char *body = malloc(len);
	struct buf b = { 0 };

	memset(body, 'a', len);
	/* A character of two bytes at the edge is not torn. */
	body[TEMPLATE_BODY_MAX - 1] = (char)0xc3;
	body[TEMPLATE_BODY_MAX] = (char)0xbc;
	template_fill(&b, "{{body}}", "msg_1", body, len);
	CU_ASSERT_EQUAL(strspn(b.data + 2, "a"), TEMPLATE_BODY_MAX - 1);
	CU_ASSERT_STRING_EQUAL(b.data + TEMPLATE_BODY_MAX + 1,
	    "\n> [cut here: the rest is left out]\n");
	free(body);
	buf_free(&b);
}

/* ---- When to try again ------------------------------------------------ */

static uint32_t
most(void *arg, uint32_t n)
{
	(void)arg;
	return n - 1;
}

static uint32_t
least(void *arg, uint32_t n)
{
	(void)arg;
	(void)n;
	return 0;
}

static void
test_delay(void)
{
	CU_ASSERT_EQUAL(hook_delay_ms(5000, 1, 0, most, NULL), 5000);
	CU_ASSERT_EQUAL(hook_delay_ms(5000, 3, 0, most, NULL), 20000);
	CU_ASSERT_EQUAL(hook_delay_ms(5000, 90, 0, most, NULL), 3600000);
	CU_ASSERT_EQUAL(hook_delay_ms(5000, 3, 0, least, NULL), 1);
	CU_ASSERT_TRUE(hook_delay_ms(5000, 1, 60000, least, NULL) >= 60000);
	CU_ASSERT_TRUE(hook_delay_ms(5000, 9, 60000, most, NULL) <= 65000);
}

static void
test_retry_after(void)
{
	/* 1994-11-06 08:49:37 UTC, and ten seconds before. */
	int64_t then = INT64_C(784111777000000);

	CU_ASSERT_EQUAL(hook_retry_after_ms(NULL, 0), 0);
	CU_ASSERT_EQUAL(hook_retry_after_ms("120", 0), 120000);
	CU_ASSERT_EQUAL(hook_retry_after_ms("0", 0), 0);
	CU_ASSERT_EQUAL(hook_retry_after_ms("-5", 0), 0);
	CU_ASSERT_EQUAL(hook_retry_after_ms("soon", 0), 0);
	CU_ASSERT_EQUAL(hook_retry_after_ms("99999999999", 0), 86400000);
	CU_ASSERT_EQUAL(hook_retry_after_ms("Sun, 06 Nov 1994 08:49:37 GMT",
			    then - 10000000),
	    10000);
	CU_ASSERT_EQUAL(hook_retry_after_ms("Sun, 06 Nov 1994 08:49:37 GMT",
			    then),
	    0);
	CU_ASSERT_EQUAL(hook_retry_after_ms("Sun, 06 Nov 1994", then), 0);
}

static void
test_rate(void)
{
	struct hook_rates *r = hook_rates_new(60);
	int64_t wait;

	for (int i = 0; i < 60; i++)
		CU_ASSERT_EQUAL(hook_rates_take(r, "a", 1, 1000), 0);
	wait = hook_rates_take(r, "a", 1, 1000);
	CU_ASSERT_TRUE(wait > 0 && wait <= 1001);
	CU_ASSERT_EQUAL(hook_rates_take(r, "b", 1, 1000), 0);
	CU_ASSERT_EQUAL(hook_rates_take(r, "a", 1, 2001), 0);
	CU_ASSERT_TRUE(hook_rates_take(r, "a", 1, 2001) > 0);
	hook_rates_give(r, "a", 1, 2001);
	CU_ASSERT_EQUAL(hook_rates_take(r, "a", 1, 2001), 0);
	/* It holds a minute's tokens, however long nobody comes. */
	for (int i = 0; i < 60; i++)
		CU_ASSERT_EQUAL(hook_rates_take(r, "a", 1, 9000000), 0);
	CU_ASSERT_TRUE(hook_rates_take(r, "a", 1, 9000000) > 0);
	hook_rates_free(r);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "a published signature", test_vector },
		{ "headers that are none", test_header },
		{ "id, time and body are signed", test_what_is_signed },
		{ "two keys during a rotation", test_two_keys },
		{ "keys", test_keys },
		{ "the signatures of GitHub", test_github },
		{ "templates", test_template },
		{ "templates that are refused", test_template_refused },
		{ "a long body is cut", test_template_cut },
		{ "full jitter", test_delay },
		{ "Retry-After", test_retry_after },
		{ "rates", test_rate },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "hook", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
