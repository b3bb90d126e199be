/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/auth/auth.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "tests/integration/auth_env.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/*
 * Accounts on both databases: who may sign up and log in, how often, and what
 * people may change about themselves.
 */

/* ---- The key ------------------------------------------------------- */

static void
test_key_file(void)
{
	struct auth_config config = { .issuer = "x",
		.signup = "open",
		.host = "x" };
	char *dir = env_temp_dir();
	char *path = xasprintf("%s/access.key", dir);
	struct auth *a = NULL;
	struct stat sb;
	FILE *f;

	config.data_dir = dir;
	CU_ASSERT_EQUAL(auth_new(&config, &a, &auth_err), AS_OK);
	auth_free(a);
	CU_ASSERT_EQUAL(stat(path, &sb), 0);
	CU_ASSERT_EQUAL(sb.st_mode & 0777, 0600);
	CU_ASSERT_EQUAL(auth_new(&config, &a, &auth_err), AS_OK);
	auth_free(a);
	chmod(path, 0644);
	CU_ASSERT_NOT_EQUAL(auth_new(&config, &a, &auth_err), AS_OK);
	CU_ASSERT_PTR_NOT_NULL(strstr(auth_err.detail, "others can read it"));
	error_clear(&auth_err);
	chmod(path, 0600);
	f = fopen(path, "w");
	fputs("short\n", f);
	fclose(f);
	CU_ASSERT_NOT_EQUAL(auth_new(&config, &a, &auth_err), AS_OK);
	CU_ASSERT_PTR_NOT_NULL(strstr(auth_err.detail, "64 hex digits"));
	error_clear(&auth_err);
	free(path);
	env_remove(dir);
}

/* ---- Accounts ------------------------------------------------------ */

static void
first(void *arg)
{
	struct session a, b;

	(void)arg;
	accounts_clean();
	CU_ASSERT_EQUAL(sign_up("A@x.test", &a), ERR_NONE);
	CU_ASSERT_EQUAL(a.user.role, ROLE_ADMIN);
	CU_ASSERT_STRING_EQUAL(a.user.email, "a@x.test");
	CU_ASSERT_STRING_EQUAL(a.user.display_name, "a");
	CU_ASSERT(a.user.created_at > 0);
	CU_ASSERT_EQUAL(sign_up("b@x.test", &b), ERR_NONE);
	CU_ASSERT_EQUAL(b.user.role, ROLE_MEMBER);
	CU_ASSERT_EQUAL(sign_up("a@X.test", &b), ERR_EMAIL_TAKEN);
}

static void
test_first(void)
{
	accounts_run(first);
}

static int n_admins, n_waiting;

static void
race_one(void *arg)
{
	struct session s;

	if (sign_up(arg, &s) == ERR_NONE && s.user.role == ROLE_ADMIN)
		n_admins++;
	n_waiting--;
}

static void
race(void *arg)
{
	static char emails[8][32];
	struct fiber_ref refs[8];

	(void)arg;
	accounts_clean();
	n_admins = 0;
	n_waiting = 8;
	for (int i = 0; i < 8; i++) {
		snprintf(emails[i], sizeof(emails[i]), "r%d@x.test", i);
		refs[i] = fiber_spawn(env.loop, "race", race_one, emails[i]);
	}
	for (int i = 0; i < 8; i++)
		fiber_join(refs[i], 0);
	CU_ASSERT_EQUAL(n_waiting, 0);
	CU_ASSERT_EQUAL(n_admins, 1);
}

static void
test_race(void)
{
	accounts_run(race);
}

static void
closed(void *arg)
{
	struct session s;

	(void)arg;
	accounts_clean();
	accounts_make("closed");
	CU_ASSERT_EQUAL(sign_up("a@x.test", &s), ERR_NONE);
	CU_ASSERT_EQUAL(s.user.role, ROLE_ADMIN);
	CU_ASSERT_EQUAL(sign_up("b@x.test", &s), ERR_SIGNUP_CLOSED);
	CU_ASSERT_EQUAL(accounts_count, 1);
	/* The backend knows somebody whom we do not. */
	CU_ASSERT_EQUAL(accounts_add("c@x.test", "pw", NULL), AS_OK);
	CU_ASSERT_EQUAL(log_in("c@x.test", "pw", &s), ERR_SIGNUP_CLOSED);
	accounts_make("open");
	CU_ASSERT_EQUAL(log_in("c@x.test", "pw", &s), ERR_NONE);
	CU_ASSERT_EQUAL(s.user.role, ROLE_MEMBER);
}

static void
test_closed(void)
{
	accounts_run(closed);
}

static void
invite(void *arg)
{
	struct principal admin = { .role = ROLE_ADMIN };
	struct json_object *b = accounts_body("b@x.test", "password");
	struct session s;

	(void)arg;
	accounts_clean();
	accounts_make("invite");
	CU_ASSERT_EQUAL(sign_up("a@x.test", &s), ERR_NONE);
	CU_ASSERT_EQUAL(sign_up("b@x.test", &s), ERR_SIGNUP_CLOSED);
	CU_ASSERT_EQUAL(auth_sign_up(&ctx, &admin, b, &s, NULL), AS_OK);
	CU_ASSERT_EQUAL(s.user.role, ROLE_MEMBER);
	json_object_put(b);
	accounts_make("open");
}

static void
test_invite(void)
{
	accounts_run(invite);
}

static void
short_password(void *arg)
{
	struct json_object *b = accounts_body("a@x.test", "1234567");
	struct session s;

	(void)arg;
	accounts_clean();
	CU_ASSERT_EQUAL(auth_sign_up(&ctx, NULL, b, &s, &auth_err), AS_INVALID);
	CU_ASSERT_EQUAL(auth_err.code, ERR_VALIDATION_FAILED);
	CU_ASSERT_EQUAL(accounts_count, 0);
	json_object_put(b);
}

static void
test_short_password(void)
{
	accounts_run(short_password);
}

/* ---- Log-in -------------------------------------------------------- */

static void
throttle(void *arg)
{
	struct session s;

	(void)arg;
	accounts_clean();
	CU_ASSERT_EQUAL(sign_up("a@x.test", &s), ERR_NONE);
	CU_ASSERT_EQUAL(sign_up("b@x.test", &s), ERR_NONE);
	/* Good ones do not count. */
	for (int i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(log_in("a@x.test", "password of it", &s),
		    ERR_NONE);
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(log_in("a@x.test", "wrong", &s),
		    ERR_INVALID_CREDENTIALS);
	CU_ASSERT_EQUAL(log_in("A@x.test", "password of it", &s),
	    ERR_RATE_LIMITED);
	CU_ASSERT(
	    auth_err.retry_after_ms > 0 && auth_err.retry_after_ms <= 60000);
	/* Another account, and the same one from elsewhere. */
	CU_ASSERT_EQUAL(log_in("b@x.test", "password of it", &s), ERR_NONE);
	ctx.peer = "192.0.2.2";
	CU_ASSERT_EQUAL(log_in("a@x.test", "password of it", &s), ERR_NONE);
	ctx.peer = "192.0.2.1";
}

static void
test_throttle(void)
{
	accounts_run(throttle);
}

static void
throttle_address(void *arg)
{
	struct session s;
	char email[32];

	(void)arg;
	accounts_clean();
	for (int i = 0; i < 30; i++) {
		snprintf(email, sizeof(email), "no%d@x.test", i);
		CU_ASSERT_EQUAL(log_in(email, "wrong", &s),
		    ERR_INVALID_CREDENTIALS);
	}
	CU_ASSERT_EQUAL(log_in("no@x.test", "wrong", &s), ERR_RATE_LIMITED);
}

static void
test_throttle_address(void)
{
	accounts_run(throttle_address);
}

/* One network of IPv6 is one address. */
static void
throttle_network(void *arg)
{
	struct session s;

	(void)arg;
	accounts_clean();
	CU_ASSERT_EQUAL(sign_up("a@x.test", &s), ERR_NONE);
	ctx.peer = "2001:db8::1";
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(log_in("a@x.test", "wrong", &s),
		    ERR_INVALID_CREDENTIALS);
	ctx.peer = "2001:db8::2";
	CU_ASSERT_EQUAL(log_in("a@x.test", "wrong", &s), ERR_RATE_LIMITED);
	ctx.peer = "2001:db8:0:1::1";
	CU_ASSERT_EQUAL(log_in("a@x.test", "password of it", &s), ERR_NONE);
}

static void
test_throttle_network(void)
{
	accounts_run(throttle_network);
}

static void
throttle_window(void *arg)
{
	struct session s;

	(void)arg;
	accounts_clean();
	CU_ASSERT_EQUAL(sign_up("a@x.test", &s), ERR_NONE);
	store_clock_set(env.db, 1800000000000000);
	for (int i = 0; i < 4; i++)
		log_in("a@x.test", "wrong", &s);
	CU_ASSERT_EQUAL(auth_err.code, ERR_RATE_LIMITED);
	CU_ASSERT_EQUAL(auth_err.retry_after_ms, 60000);
	store_clock_set(env.db, 1800000060000000);
	CU_ASSERT_EQUAL(log_in("a@x.test", "password of it", &s), ERR_NONE);
	store_clock_set(env.db, 0);
}

static void
test_throttle_window(void)
{
	accounts_run(throttle_window);
}

/* ---- The user ------------------------------------------------------ */

static SUSPENDS enum error_code
change(const struct principal *who, const char *json, struct user *u)
{
	struct json_object *b = json_tokener_parse(json);

	error_clear(&auth_err);
	auth_user_change(&ctx, who, b, u, &auth_err);
	json_object_put(b);
	return auth_err.code;
}

static void
profile(void *arg)
{
	struct principal who;
	struct session s;
	struct user u;

	(void)arg;
	accounts_clean();
	CU_ASSERT_EQUAL(sign_up("a@x.test", &s), ERR_NONE);
	CU_ASSERT_EQUAL(token(s.access_token, &who), ERR_NONE);
	CU_ASSERT_EQUAL(change(&who, "{\"display_name\":\"Ada\"}", &u),
	    ERR_NONE);
	CU_ASSERT_STRING_EQUAL(u.display_name, "Ada");
	CU_ASSERT_EQUAL(change(&who,
			    "{\"avatar_url\":\"https://x.test/a.png\"}", &u),
	    ERR_NONE);
	CU_ASSERT_EQUAL(auth_user(&ctx, &who, &u, NULL), AS_OK);
	CU_ASSERT_STRING_EQUAL(u.display_name, "Ada");
	CU_ASSERT_STRING_EQUAL(u.avatar_url, "https://x.test/a.png");
	CU_ASSERT_EQUAL(change(&who,
			    "{\"avatar_url\":null,\"display_name\":null}", &u),
	    ERR_NONE);
	CU_ASSERT_STRING_EQUAL(u.display_name, "a");
	CU_ASSERT_PTR_NULL(u.avatar_url);
	CU_ASSERT_EQUAL(change(&who, "{\"avatar_url\":\"javascript:1\"}", &u),
	    ERR_VALIDATION_FAILED);
	CU_ASSERT_EQUAL(change(&who,
			    "{\"role\":\"admin\",\"email\":\"a@x.test\"}", &u),
	    ERR_NONE);
	CU_ASSERT_EQUAL(change(&who, "{\"role\":\"owner\"}", &u),
	    ERR_VALIDATION_FAILED);
}

static void
test_profile(void)
{
	accounts_run(profile);
}

static void
password(void *arg)
{
	struct principal who, other_who;
	struct session s, other;
	struct user u;

	(void)arg;
	accounts_clean();
	CU_ASSERT_EQUAL(sign_up("a@x.test", &s), ERR_NONE);
	CU_ASSERT_EQUAL(log_in("a@x.test", "password of it", &other), ERR_NONE);
	CU_ASSERT_EQUAL(token(s.access_token, &who), ERR_NONE);
	CU_ASSERT_EQUAL(token(other.access_token, &other_who), ERR_NONE);
	CU_ASSERT_EQUAL(change(&who, "{\"password\":\"a new password\"}", &u),
	    ERR_VALIDATION_FAILED);
	CU_ASSERT_EQUAL(change(&who,
			    "{\"password\":\"a new password\","
			    "\"current_password\":\"wrong\"}",
			    &u),
	    ERR_INVALID_CREDENTIALS);
	CU_ASSERT_EQUAL(token(other.access_token, &other_who), ERR_NONE);
	CU_ASSERT_EQUAL(change(&who,
			    "{\"password\":\"a new password\","
			    "\"current_password\":\"password of it\"}",
			    &u),
	    ERR_NONE);
	CU_ASSERT_EQUAL(token(s.access_token, &who), ERR_NONE);
	CU_ASSERT_EQUAL(token(other.access_token, &other_who),
	    ERR_AUTH_REQUIRED);
	CU_ASSERT_EQUAL(log_in("a@x.test", "a new password", &s), ERR_NONE);
	CU_ASSERT_EQUAL(log_in("a@x.test", "password of it", &s),
	    ERR_INVALID_CREDENTIALS);
}

static void
test_password(void)
{
	accounts_run(password);
}

static void
audit(void *arg)
{
	struct rows *rows = NULL;
	struct principal who;
	struct session s;

	(void)arg;
	accounts_clean();
	sign_up("a@x.test", &s);
	log_in("a@x.test", "password of it", &s);
	token(s.access_token, &who);
	auth_log_out(&ctx, &who, NULL);
	CU_ASSERT_EQUAL(store_db_run(env.db,
			    "SELECT action, ip, user_id FROM audit_log ORDER "
			    "BY id",
			    NULL, 0, &rows, NULL),
	    AS_OK);
	CU_ASSERT_EQUAL_FATAL(rows_count(rows), 3);
	CU_ASSERT_STRING_EQUAL(rows_text(rows, 0, 0), "user.signup");
	CU_ASSERT_STRING_EQUAL(rows_text(rows, 1, 0), "session.login");
	CU_ASSERT_STRING_EQUAL(rows_text(rows, 2, 0), "session.logout");
	CU_ASSERT_STRING_EQUAL(rows_text(rows, 2, 1), "192.0.2.1");
	CU_ASSERT(uuid_equal(rows_uuid(rows, 2, 2), who.user_id));
	rows_free(rows);
}

static void
test_audit(void)
{
	accounts_run(audit);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "key file", test_key_file },
		{ "the first is admin", test_first },
		{ "eight are first", test_race },
		{ "sign-up closed", test_closed },
		{ "sign-up by invitation", test_invite },
		{ "short password", test_short_password },
		{ "throttle by account", test_throttle },
		{ "throttle by address", test_throttle_address },
		{ "throttle by network", test_throttle_network },
		{ "throttle ends", test_throttle_window },
		{ "profile", test_profile },
		{ "password", test_password },
		{ "audit", test_audit },
		CU_TEST_INFO_NULL,
	};

	return env_main("auth", tests, accounts_end);
}
