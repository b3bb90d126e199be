/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/loop.h"
#include "tests/integration/plug_env.h"
#include "tests/tap.h"

/* Local accounts, through the host: as core/auth asks for them. */

#define CONF "plugins : { auth_local : { memory = \"8k\"; passes = 1; }; };"

struct asked {
	struct plug_env *env;
	enum plug_auth_op op;
	char *credentials;
	enum as_status st;
	struct plug_identity who;
	struct error err;
};

static void
ask_fiber(void *arg)
{
	struct asked *a = arg;
	struct json_object *o = NULL;

	MUST(json_parse(a->credentials, strlen(a->credentials), &o, NULL) ==
	     AS_OK);
	a->st = plug_auth(a->env->plug, a->op, &a->env->who, o, &a->who,
	    &a->err);
	json_object_put(o);
}

static void
asked_clear(struct asked *a)
{
	plug_identity_clear(&a->who);
	error_clear(&a->err);
	free(a->credentials);
}

static char *
with_password(const char *email, const char *password)
{
	return xasprintf("{\"email\":\"%s\",\"password\":\"%s\"}", email,
	    password);
}

/* Takes credentials; true if the end was this code (ERR_NONE: it worked). */
static bool
ends(struct plug_env *env, enum plug_auth_op op, char *credentials,
    enum error_code want, char **subject)
{
	struct asked a = { .env = env, .op = op, .credentials = credentials };
	bool ok;

	ask_fiber(&a);
	ok = a.err.code == want && (a.st == AS_OK) == (want == ERR_NONE);
	if (!ok)
		tap_note("%s: %s %s", credentials, error_name(a.err.code),
		    a.err.detail);
	if (subject != NULL) {
		free(*subject);
		*subject = xstrdup(a.who.subject);
	}
	asked_clear(&a);
	return ok;
}

static void
body_accounts(struct plug_env *env)
{
	char *first = NULL, *second = NULL;

	CU_ASSERT_EQUAL_FATAL(env->loaded, AS_OK);
	CU_ASSERT(ends(env, PLUG_SIGNUP,
	    with_password(" Ann@Example.COM ", "password"), ERR_NONE, &first));
	CU_ASSERT_EQUAL(strlen(first), 32);
	CU_ASSERT(
	    ends(env, PLUG_SIGNUP, with_password("ann@example.com", "password"),
		ERR_EMAIL_TAKEN, NULL));
	CU_ASSERT(ends(env, PLUG_LOGIN,
	    with_password("ANN@example.com", "password"), ERR_NONE, &second));
	CU_ASSERT_STRING_EQUAL(first, second);
	CU_ASSERT(
	    ends(env, PLUG_LOGIN, with_password("ann@example.com", "Password"),
		ERR_INVALID_CREDENTIALS, NULL));
	CU_ASSERT(
	    ends(env, PLUG_LOGIN, with_password("bob@example.com", "password"),
		ERR_INVALID_CREDENTIALS, NULL));
	CU_ASSERT(ends(env, PLUG_LOGIN, xstrdup("{}"), ERR_INVALID_CREDENTIALS,
	    NULL));
	CU_ASSERT(ends(env, PLUG_VERIFY, xstrdup("{\"token\":\"x\"}"),
	    ERR_UNSUPPORTED, NULL));
	free(first);
	free(second);
}

static void
test_accounts(void)
{
	plug_env_run(CONF, 0, body_accounts);
	plug_env_run(CONF, ENV_HOME_ELSEWHERE, body_accounts);
	plug_env_run(CONF, ENV_LOOPBACK, body_accounts);
}

static void
body_input(struct plug_env *env)
{
	static const char *const emails[] = { "", "@", "a@", "@b", "a", "a@b@c",
		"a b@c", "a@b\\u0007", "a@b\\nc" };
	char password[1200];
	struct asked a = { .env = env, .op = PLUG_SIGNUP };
	size_t i;

	for (i = 0; i < N_ITEMS(emails); i++)
		CU_ASSERT(
		    ends(env, PLUG_SIGNUP, with_password(emails[i], "password"),
			ERR_VALIDATION_FAILED, NULL));
	a.credentials = with_password("a@b", "short");
	ask_fiber(&a);
	CU_ASSERT_EQUAL(a.err.code, ERR_VALIDATION_FAILED);
	CU_ASSERT_STRING_EQUAL(json_text(jget(a.err.extra, "details")),
	    "{\"password\":[\"must have 8 to 1024 bytes\"]}");
	asked_clear(&a);
	memset(password, 'x', sizeof(password));
	password[1025] = '\0';
	CU_ASSERT(ends(env, PLUG_SIGNUP, with_password("a@b", password),
	    ERR_VALIDATION_FAILED, NULL));
	password[1024] = '\0';
	CU_ASSERT(ends(env, PLUG_SIGNUP, with_password("a@b", password),
	    ERR_NONE, NULL));
	CU_ASSERT(ends(env, PLUG_LOGIN, with_password("a@b", password),
	    ERR_NONE, NULL));
	/* The last byte counts too. */
	password[1023] = 'y';
	CU_ASSERT(ends(env, PLUG_LOGIN, with_password("a@b", password),
	    ERR_INVALID_CREDENTIALS, NULL));
}

static void
test_input(void)
{
	plug_env_run(CONF, 0, body_input);
}

/* Of many who sign up at once with one address, one has it. */
static void
body_race(struct plug_env *env)
{
	struct asked asked[12] = { 0 };
	struct fiber_ref refs[12];
	int n_ok = 0, n_taken = 0;
	size_t i;

	for (i = 0; i < N_ITEMS(asked); i++) {
		asked[i].env = env;
		asked[i].op = PLUG_SIGNUP;
		asked[i].credentials = with_password("one@example.com",
		    "password");
		refs[i] = fiber_spawn(env->loop, "race", ask_fiber, &asked[i]);
	}
	for (i = 0; i < N_ITEMS(asked); i++) {
		fiber_join(refs[i], 0);
		n_ok += asked[i].st == AS_OK;
		n_taken += asked[i].err.code == ERR_EMAIL_TAKEN;
		asked_clear(&asked[i]);
	}
	CU_ASSERT_EQUAL(n_ok, 1);
	CU_ASSERT_EQUAL(n_taken, 11);
}

static void
test_race(void)
{
	plug_env_run(CONF, 0, body_race);
	plug_env_run(CONF, ENV_LOOPBACK, body_race);
}

static char *
change(const char *subject, const char *current, const char *password)
{
	return xasprintf("{\"subject\":\"%s\",\"current_password\":\"%s\","
			 "\"password\":\"%s\"}",
	    subject, current, password);
}

static void
body_update(struct plug_env *env)
{
	char *subject = NULL;

	CU_ASSERT(ends(env, PLUG_SIGNUP, with_password("a@b", "password"),
	    ERR_NONE, &subject));
	CU_ASSERT(
	    ends(env, PLUG_UPDATE, change(subject, "wrong one", "new password"),
		ERR_INVALID_CREDENTIALS, NULL));
	CU_ASSERT(ends(env, PLUG_UPDATE, change(subject, "password", "new"),
	    ERR_VALIDATION_FAILED, NULL));
	CU_ASSERT(ends(env, PLUG_UPDATE,
	    change("nobody", "password", "new password"), ERR_NOT_FOUND, NULL));
	CU_ASSERT(ends(env, PLUG_UPDATE,
	    change(subject, "password", "new password"), ERR_NONE, NULL));
	CU_ASSERT(ends(env, PLUG_LOGIN, with_password("a@b", "password"),
	    ERR_INVALID_CREDENTIALS, NULL));
	CU_ASSERT(ends(env, PLUG_LOGIN, with_password("a@b", "new password"),
	    ERR_NONE, NULL));
	free(subject);
}

static void
test_update(void)
{
	plug_env_run(CONF, 0, body_update);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "sign-up and log-in", test_accounts },
		{ "bad input", test_input },
		{ "races", test_race },
		{ "another password", test_update },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "auth_local", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	log_configure("error");
	return tap_run(suites);
}
