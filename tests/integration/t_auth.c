/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/auth/auth.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/plug/plug.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/*
 * Accounts and sessions on both databases.  The backend is here: a list of
 * people and passwords, as a plugin would keep one.
 */

static struct {
	char email[64], password[64];
} people[32];
static int n_people;

static int
people_find(const char *email)
{
	for (int i = 0; i < n_people; i++)
		if (strcmp(people[i].email, email) == 0)
			return i;
	return -1;
}

static enum as_status
backend_signup(const char *email, const char *password, struct error *err)
{
	if (people_find(email) >= 0)
		return error_set(err, ERR_EMAIL_TAKEN, "taken");
	snprintf(people[n_people].email, 64, "%s", email);
	snprintf(people[n_people++].password, 64, "%s", password);
	return AS_OK;
}

enum as_status
plug_auth(struct plug *p, enum plug_auth_op op, const struct plug_caller *who,
    struct json_object *c, struct plug_identity *out, struct error *err)
{
	const char *email = jget_str(c, op == PLUG_UPDATE ? "subject" : "email",
	    "");
	const char *password = jget_str(c, "password", "");
	int i;

	(void)p;
	(void)who;
	if (op == PLUG_SIGNUP && backend_signup(email, password, err) != AS_OK)
		return AS_CONFLICT;
	i = people_find(email);
	if (op == PLUG_UPDATE)
		password = jget_str(c, "current_password", "");
	if (i < 0 || strcmp(people[i].password, password) != 0)
		return error_set(err, ERR_INVALID_CREDENTIALS, "no");
	if (op == PLUG_UPDATE)
		snprintf(people[i].password, 64, "%s",
		    jget_str(c, "password", ""));
	out->subject = xstrdup(email);
	out->email = xstrdup(email);
	out->backend = "test";
	return AS_OK;
}

void
plug_identity_clear(struct plug_identity *id)
{
	free(id->subject);
	free(id->email);
	memset(id, 0, sizeof(*id));
}

/* ---- What each test works with ------------------------------------- */

static struct auth *auth;
static struct auth_ctx ctx;
static struct error err;

static void
auth_make(const char *signup)
{
	struct auth_config config = { .issuer = "https://studio.test",
		.signup = signup,
		.host = "127.0.0.1",
		.access_ms = 900000,
		.refresh_ms = 30 * 86400000LL,
		.attempts = 3,
		.attempts_ms = 60000 };
	char *dir = env_temp_dir();

	auth_free(auth);
	config.data_dir = dir;
	MUST(auth_new(&config, &auth, NULL) == AS_OK);
	env_remove(dir);
	ctx.auth = auth;
}

static int
suite_end(void)
{
	auth_free(auth);
	auth = NULL;
	return env_close();
}

static struct json_object *
body(const char *email, const char *password)
{
	struct json_object *o = jobj();

	jput_str(o, "email", email);
	jput_str(o, "password", password);
	return o;
}

static SUSPENDS enum error_code
sign_up(const char *email, struct session *s)
{
	struct json_object *b = body(email, "password of it");
	enum error_code code;

	error_clear(&err);
	auth_sign_up(&ctx, NULL, b, s, &err);
	code = err.code;
	json_object_put(b);
	return code;
}

static SUSPENDS enum error_code
log_in(const char *email, const char *password, struct session *s)
{
	struct json_object *b = body(email, password);
	enum error_code code;

	error_clear(&err);
	auth_log_in(&ctx, b, s, &err);
	code = err.code;
	json_object_put(b);
	return code;
}

static SUSPENDS enum error_code
token(const char *text, struct principal *who)
{
	error_clear(&err);
	auth_by_token(auth, env.store, text, who, &err);
	return err.code;
}

static SUSPENDS enum error_code
cookie(const char *text, struct principal *who)
{
	error_clear(&err);
	auth_by_cookie(auth, env.store, text, who, &err);
	return err.code;
}

static SUSPENDS enum error_code
renew(const char *refresh, const char *own, struct session *s)
{
	error_clear(&err);
	auth_renew(&ctx, refresh, own, s, &err);
	return err.code;
}

/* Runs fn on a fiber, with an arena of its own. */
static void
run(void (*fn)(void *))
{
	if (!env_ready())
		return;
	if (auth == NULL)
		auth_make("open");
	ctx = (struct auth_ctx){ .auth = auth,
		.store = env.store,
		.arena = arena_new(NULL),
		.peer = "192.0.2.1" };
	env_run(fn, NULL);
	error_clear(&err);
	arena_free(ctx.arena);
}

static void
clean(void)
{
	static const char *const tables[] = { "audit_log", "users",
		"node_settings", "login_attempts" };
	char text[64];

	n_people = 0;
	for (size_t i = 0; i < N_ITEMS(tables); i++) {
		snprintf(text, sizeof(text), "DELETE FROM %s", tables[i]);
		MUST(store_db_run(env.db, text, NULL, 0, NULL, NULL) == AS_OK);
	}
}

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
	CU_ASSERT_EQUAL(auth_new(&config, &a, &err), AS_OK);
	auth_free(a);
	CU_ASSERT_EQUAL(stat(path, &sb), 0);
	CU_ASSERT_EQUAL(sb.st_mode & 0777, 0600);
	CU_ASSERT_EQUAL(auth_new(&config, &a, &err), AS_OK);
	auth_free(a);
	chmod(path, 0644);
	CU_ASSERT_NOT_EQUAL(auth_new(&config, &a, &err), AS_OK);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.detail, "others can read it"));
	error_clear(&err);
	chmod(path, 0600);
	f = fopen(path, "w");
	fputs("short\n", f);
	fclose(f);
	CU_ASSERT_NOT_EQUAL(auth_new(&config, &a, &err), AS_OK);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.detail, "64 hex digits"));
	error_clear(&err);
	free(path);
	env_remove(dir);
}

/* ---- Accounts ------------------------------------------------------ */

static void
first(void *arg)
{
	struct session a, b;

	(void)arg;
	clean();
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
	run(first);
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
	clean();
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
	run(race);
}

static void
closed(void *arg)
{
	struct session s;

	(void)arg;
	clean();
	auth_make("closed");
	CU_ASSERT_EQUAL(sign_up("a@x.test", &s), ERR_NONE);
	CU_ASSERT_EQUAL(s.user.role, ROLE_ADMIN);
	CU_ASSERT_EQUAL(sign_up("b@x.test", &s), ERR_SIGNUP_CLOSED);
	CU_ASSERT_EQUAL(n_people, 1);
	/* The backend knows somebody whom we do not. */
	CU_ASSERT_EQUAL(backend_signup("c@x.test", "pw", NULL), AS_OK);
	CU_ASSERT_EQUAL(log_in("c@x.test", "pw", &s), ERR_SIGNUP_CLOSED);
	auth_make("open");
	CU_ASSERT_EQUAL(log_in("c@x.test", "pw", &s), ERR_NONE);
	CU_ASSERT_EQUAL(s.user.role, ROLE_MEMBER);
}

static void
test_closed(void)
{
	run(closed);
}

static void
invite(void *arg)
{
	struct principal admin = { .role = ROLE_ADMIN };
	struct json_object *b = body("b@x.test", "password");
	struct session s;

	(void)arg;
	clean();
	auth_make("invite");
	CU_ASSERT_EQUAL(sign_up("a@x.test", &s), ERR_NONE);
	CU_ASSERT_EQUAL(sign_up("b@x.test", &s), ERR_SIGNUP_CLOSED);
	CU_ASSERT_EQUAL(auth_sign_up(&ctx, &admin, b, &s, NULL), AS_OK);
	CU_ASSERT_EQUAL(s.user.role, ROLE_MEMBER);
	json_object_put(b);
	auth_make("open");
}

static void
test_invite(void)
{
	run(invite);
}

static void
short_password(void *arg)
{
	struct json_object *b = body("a@x.test", "1234567");
	struct session s;

	(void)arg;
	clean();
	CU_ASSERT_EQUAL(auth_sign_up(&ctx, NULL, b, &s, &err), AS_INVALID);
	CU_ASSERT_EQUAL(err.code, ERR_VALIDATION_FAILED);
	CU_ASSERT_EQUAL(n_people, 0);
	json_object_put(b);
}

static void
test_short_password(void)
{
	run(short_password);
}

/* ---- Log-in -------------------------------------------------------- */

static void
throttle(void *arg)
{
	struct session s;

	(void)arg;
	clean();
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
	CU_ASSERT(err.retry_after_ms > 0 && err.retry_after_ms <= 60000);
	/* Another account, and the same one from elsewhere. */
	CU_ASSERT_EQUAL(log_in("b@x.test", "password of it", &s), ERR_NONE);
	ctx.peer = "192.0.2.2";
	CU_ASSERT_EQUAL(log_in("a@x.test", "password of it", &s), ERR_NONE);
	ctx.peer = "192.0.2.1";
}

static void
test_throttle(void)
{
	run(throttle);
}

static void
throttle_address(void *arg)
{
	struct session s;
	char email[32];

	(void)arg;
	clean();
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
	run(throttle_address);
}

/* One network of IPv6 is one address. */
static void
throttle_network(void *arg)
{
	struct session s;

	(void)arg;
	clean();
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
	run(throttle_network);
}

static void
throttle_window(void *arg)
{
	struct session s;

	(void)arg;
	clean();
	CU_ASSERT_EQUAL(sign_up("a@x.test", &s), ERR_NONE);
	store_clock_set(env.db, 1800000000000000);
	for (int i = 0; i < 4; i++)
		log_in("a@x.test", "wrong", &s);
	CU_ASSERT_EQUAL(err.code, ERR_RATE_LIMITED);
	CU_ASSERT_EQUAL(err.retry_after_ms, 60000);
	store_clock_set(env.db, 1800000060000000);
	CU_ASSERT_EQUAL(log_in("a@x.test", "password of it", &s), ERR_NONE);
	store_clock_set(env.db, 0);
}

static void
test_throttle_window(void)
{
	run(throttle_window);
}

/* ---- Sessions ------------------------------------------------------ */

static void
credentials_work(void *arg)
{
	struct principal who;
	struct session s;

	(void)arg;
	clean();
	CU_ASSERT_EQUAL(sign_up("a@x.test", &s), ERR_NONE);
	CU_ASSERT_EQUAL(token(s.access_token, &who), ERR_NONE);
	CU_ASSERT(uuid_equal(who.user_id, s.user.id));
	CU_ASSERT_EQUAL(who.role, ROLE_ADMIN);
	CU_ASSERT_EQUAL(token(s.access_token, &who), ERR_NONE);
	CU_ASSERT_EQUAL(cookie(s.cookie, &who), ERR_NONE);
	CU_ASSERT(uuid_equal(who.session_id, s.id));
	/* None passes for another. */
	CU_ASSERT_EQUAL(cookie(s.refresh_token, &who), ERR_AUTH_REQUIRED);
	CU_ASSERT_EQUAL(token(s.cookie, &who), ERR_AUTH_REQUIRED);
	CU_ASSERT_EQUAL(renew(s.cookie, NULL, &s), ERR_AUTH_REQUIRED);
	CU_ASSERT_EQUAL(cookie("", &who), ERR_AUTH_REQUIRED);
}

static void
test_credentials(void)
{
	run(credentials_work);
}

static void
logout(void *arg)
{
	struct principal who;
	struct session s, other;

	(void)arg;
	clean();
	CU_ASSERT_EQUAL(sign_up("a@x.test", &s), ERR_NONE);
	CU_ASSERT_EQUAL(log_in("a@x.test", "password of it", &other), ERR_NONE);
	CU_ASSERT_EQUAL(cookie(s.cookie, &who), ERR_NONE);
	CU_ASSERT_EQUAL(token(s.access_token, &who), ERR_NONE);
	CU_ASSERT_EQUAL(auth_log_out(&ctx, &who, NULL), AS_OK);
	CU_ASSERT_EQUAL(token(s.access_token, &who), ERR_AUTH_REQUIRED);
	CU_ASSERT_EQUAL(cookie(s.cookie, &who), ERR_AUTH_REQUIRED);
	CU_ASSERT_NOT_EQUAL(renew(s.refresh_token, NULL, &s), ERR_NONE);
	CU_ASSERT_EQUAL(token(other.access_token, &who), ERR_NONE);
}

static void
test_logout(void)
{
	run(logout);
}

static void
rotation(void *arg)
{
	struct principal who;
	struct session s, next, third;

	(void)arg;
	clean();
	CU_ASSERT_EQUAL(sign_up("a@x.test", &s), ERR_NONE);
	CU_ASSERT_EQUAL(renew(s.refresh_token, NULL, &next), ERR_NONE);
	CU_ASSERT(uuid_equal(next.id, s.id));
	CU_ASSERT_STRING_NOT_EQUAL(next.refresh_token, s.refresh_token);
	CU_ASSERT_PTR_NOT_NULL(next.cookie);
	CU_ASSERT_EQUAL(cookie(next.cookie, &who), ERR_NONE);
	CU_ASSERT_EQUAL(token(next.access_token, &who), ERR_NONE);
	CU_ASSERT_STRING_EQUAL(next.user.email, "a@x.test");
	/* Its own cookie stays. */
	CU_ASSERT_EQUAL(renew(next.refresh_token, next.cookie, &third),
	    ERR_NONE);
	CU_ASSERT_PTR_NULL(third.cookie);
	CU_ASSERT_EQUAL(cookie(next.cookie, &who), ERR_NONE);
}

static void
test_rotation(void)
{
	run(rotation);
}

static void
reuse(void *arg)
{
	struct principal who;
	struct session s, next, none;

	(void)arg;
	clean();
	CU_ASSERT_EQUAL(sign_up("a@x.test", &s), ERR_NONE);
	CU_ASSERT_EQUAL(renew(s.refresh_token, NULL, &next), ERR_NONE);
	CU_ASSERT_EQUAL(token(next.access_token, &who), ERR_NONE);
	CU_ASSERT_EQUAL(renew(s.refresh_token, NULL, &none), ERR_TOKEN_REUSED);
	CU_ASSERT_EQUAL(token(next.access_token, &who), ERR_AUTH_REQUIRED);
	CU_ASSERT_EQUAL(token(s.access_token, &who), ERR_AUTH_REQUIRED);
	CU_ASSERT_EQUAL(cookie(next.cookie, &who), ERR_AUTH_REQUIRED);
	CU_ASSERT_NOT_EQUAL(renew(next.refresh_token, NULL, &none), ERR_NONE);
}

static void
test_reuse(void)
{
	run(reuse);
}

static void
by_cookie(void *arg)
{
	struct principal who;
	struct session s, next;

	(void)arg;
	clean();
	CU_ASSERT_EQUAL(sign_up("a@x.test", &s), ERR_NONE);
	CU_ASSERT_EQUAL(renew(NULL, s.cookie, &next), ERR_NONE);
	CU_ASSERT_PTR_NULL(next.cookie);
	CU_ASSERT_EQUAL(cookie(s.cookie, &who), ERR_NONE);
	CU_ASSERT_EQUAL(renew(s.refresh_token, NULL, &next), ERR_AUTH_REQUIRED);
	CU_ASSERT_EQUAL(renew(NULL, NULL, &next), ERR_AUTH_REQUIRED);
}

static void
test_by_cookie(void)
{
	run(by_cookie);
}

static void
expiry(void *arg)
{
	struct principal who;
	struct session s, next;

	(void)arg;
	clean();
	CU_ASSERT_EQUAL(sign_up("a@x.test", &s), ERR_NONE);
	store_clock_set(env.db, 4000000000000000);
	CU_ASSERT_EQUAL(cookie(s.cookie, &who), ERR_TOKEN_EXPIRED);
	CU_ASSERT_EQUAL(renew(s.refresh_token, NULL, &next), ERR_TOKEN_EXPIRED);
	store_clock_set(env.db, 0);
}

static void
test_expiry(void)
{
	run(expiry);
}

/* ---- Tickets ------------------------------------------------------- */

static const struct uuid thread_1 = { .b = { 1, [15] = 1 } };
static const struct uuid no_thread;
static const struct uuid thread_2 = { .b = { 1, [15] = 2 } };

static SUSPENDS enum error_code
ticket_new(const struct principal *who, struct uuid thread, const char *origin,
    const char **ticket)
{
	error_clear(&err);
	auth_ticket_new(&ctx, who, thread, origin, ticket, &err);
	return err.code;
}

static SUSPENDS enum error_code
ticket_use(const char *ticket, struct uuid thread, const char *origin,
    struct principal *who)
{
	error_clear(&err);
	auth_by_ticket(ctx.store, ticket, thread, origin, who, &err);
	return err.code;
}

#define USE_TICKET(ticket, thread, origin) \
	ticket_use(ticket, thread, origin, &(struct principal){ 0 })

static void
tickets(void *arg)
{
	const char *ticket, *other;
	struct principal who, by;
	struct session s;

	(void)arg;
	clean();
	CU_ASSERT_EQUAL(sign_up("a@x.test", &s), ERR_NONE);
	CU_ASSERT_EQUAL(token(s.access_token, &who), ERR_NONE);
	CU_ASSERT_EQUAL(ticket_new(&who, no_thread, NULL, &ticket), ERR_NONE);
	CU_ASSERT_EQUAL(ticket_use(ticket, thread_1, "https://a.test", &by),
	    ERR_NONE);
	CU_ASSERT_TRUE(uuid_equal(by.user_id, who.user_id));
	CU_ASSERT_TRUE(uuid_equal(by.session_id, who.session_id));
	CU_ASSERT_EQUAL(by.role, who.role);
	CU_ASSERT_EQUAL(by.expires_us, who.expires_us);
	CU_ASSERT_EQUAL(USE_TICKET(ticket, thread_1, NULL), ERR_TICKET_USED);
	CU_ASSERT_EQUAL(USE_TICKET(s.cookie, thread_1, NULL),
	    ERR_TICKET_INVALID);
	CU_ASSERT_EQUAL(USE_TICKET("", thread_1, NULL), ERR_TICKET_INVALID);
	/* Shown in the wrong place it is used up. */
	CU_ASSERT_EQUAL(ticket_new(&who, thread_1, NULL, &ticket), ERR_NONE);
	CU_ASSERT_EQUAL(USE_TICKET(ticket, thread_2, NULL), ERR_TICKET_INVALID);
	CU_ASSERT_EQUAL(USE_TICKET(ticket, thread_1, NULL), ERR_TICKET_USED);
	CU_ASSERT_EQUAL(ticket_new(&who, no_thread, "https://a.test", &ticket),
	    ERR_NONE);
	CU_ASSERT_EQUAL(ticket_new(&who, no_thread, "https://a.test", &other),
	    ERR_NONE);
	CU_ASSERT_EQUAL(USE_TICKET(ticket, thread_1, "https://b.test"),
	    ERR_TICKET_INVALID);
	CU_ASSERT_EQUAL(USE_TICKET(other, thread_1, "https://a.test"),
	    ERR_NONE);
	/* It is worth what its session is. */
	CU_ASSERT_EQUAL(ticket_new(&who, no_thread, NULL, &ticket), ERR_NONE);
	CU_ASSERT_EQUAL(auth_log_out(&ctx, &who, NULL), AS_OK);
	CU_ASSERT_EQUAL(USE_TICKET(ticket, thread_1, NULL), ERR_AUTH_REQUIRED);
	CU_ASSERT_EQUAL(auth_again(ctx.store, &who, NULL), AS_AUTH);
}

static void
test_tickets(void)
{
	run(tickets);
}

struct ticket_try {
	const struct principal *who;
	enum as_status status;
};

static SUSPENDS void
ticket_fiber(void *arg)
{
	struct ticket_try *t = arg;
	const char *ticket;

	t->status = auth_ticket_new(&ctx, t->who, no_thread, NULL, &ticket,
	    NULL);
}

/* The last one goes to one of many that ask at once. */
static SUSPENDS void
tickets_at_once(const struct principal *who)
{
	struct ticket_try tries[16];
	struct fiber_ref fibers[N_ITEMS(tries)];
	int n = 0;

	for (size_t i = 0; i < N_ITEMS(tries); i++) {
		tries[i] = (struct ticket_try){ .who = who };
		fibers[i] = fiber_spawn(env.loop, "ticket", ticket_fiber,
		    &tries[i]);
	}
	for (size_t i = 0; i < N_ITEMS(tries); i++) {
		fiber_join(fibers[i], 0);
		n += tries[i].status == AS_OK;
	}
	CU_ASSERT_EQUAL(n, 1);
}

static void
tickets_age(void *arg)
{
	int64_t now = clock_wall_us();
	const char *ticket = NULL, *first = NULL;
	struct principal who;
	struct session s;

	(void)arg;
	clean();
	CU_ASSERT_EQUAL(sign_up("a@x.test", &s), ERR_NONE);
	CU_ASSERT_EQUAL(token(s.access_token, &who), ERR_NONE);
	store_clock_set(env.db, now);
	CU_ASSERT_EQUAL(ticket_new(&who, no_thread, NULL, &first), ERR_NONE);
	for (int i = 1; i < 99; i++)
		CU_ASSERT_EQUAL(ticket_new(&who, no_thread, NULL, &ticket),
		    ERR_NONE);
	tickets_at_once(&who);
	CU_ASSERT_EQUAL(ticket_new(&who, no_thread, NULL, &ticket),
	    ERR_RATE_LIMITED);
	store_clock_set(env.db, now + AUTH_TICKET_MS * 1000);
	CU_ASSERT_EQUAL(USE_TICKET(first, thread_1, NULL), ERR_TICKET_INVALID);
	CU_ASSERT_EQUAL(ticket_new(&who, no_thread, NULL, &ticket), ERR_NONE);
	CU_ASSERT_EQUAL(USE_TICKET(ticket, thread_1, NULL), ERR_NONE);
	/* What was used is known as such for some minutes. */
	store_clock_set(env.db, now + 300 * INT64_C(1000000));
	CU_ASSERT_EQUAL(ticket_new(&who, no_thread, NULL, &first), ERR_NONE);
	CU_ASSERT_EQUAL(USE_TICKET(ticket, thread_1, NULL), ERR_TICKET_USED);
	store_clock_set(env.db, now + 400 * INT64_C(1000000));
	CU_ASSERT_EQUAL(ticket_new(&who, no_thread, NULL, &first), ERR_NONE);
	CU_ASSERT_EQUAL(USE_TICKET(ticket, thread_1, NULL), ERR_TICKET_INVALID);
	store_clock_set(env.db, 0);
}

static void
test_tickets_age(void)
{
	run(tickets_age);
}

/* ---- The user ------------------------------------------------------ */

static SUSPENDS enum error_code
change(const struct principal *who, const char *json, struct user *u)
{
	struct json_object *b = json_tokener_parse(json);

	error_clear(&err);
	auth_user_change(&ctx, who, b, u, &err);
	json_object_put(b);
	return err.code;
}

static void
profile(void *arg)
{
	struct principal who;
	struct session s;
	struct user u;

	(void)arg;
	clean();
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
	run(profile);
}

static void
password(void *arg)
{
	struct principal who, other_who;
	struct session s, other;
	struct user u;

	(void)arg;
	clean();
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
	run(password);
}

static void
audit(void *arg)
{
	struct rows *rows = NULL;
	struct principal who;
	struct session s;

	(void)arg;
	clean();
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
	run(audit);
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
		{ "token and cookie", test_credentials },
		{ "log-out is at once", test_logout },
		{ "refresh tokens rotate", test_rotation },
		{ "a reused one ends the session", test_reuse },
		{ "refresh by cookie", test_by_cookie },
		{ "expiry", test_expiry },
		{ "tickets are used once", test_tickets },
		{ "tickets that are old, or many", test_tickets_age },
		{ "profile", test_profile },
		{ "password", test_password },
		{ "audit", test_audit },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "sqlite", env_sqlite_open, suite_end, NULL, NULL, tests },
		{ "postgres", env_postgres_open, suite_end, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
