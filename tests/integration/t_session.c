/* SPDX-License-Identifier: Apache-2.0 */
#include "core/auth/auth.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/loop/fiber.h"
#include "tests/integration/auth_env.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/*
 * Sessions on both databases: their tokens, cookies and tickets, and what ends
 * them.
 */

/* ---- Sessions ------------------------------------------------------ */

static void
credentials_work(void *arg)
{
	struct principal who;
	struct session s;

	(void)arg;
	accounts_clean();
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
	accounts_run(credentials_work);
}

static void
logout(void *arg)
{
	struct principal who;
	struct session s, other;

	(void)arg;
	accounts_clean();
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
	accounts_run(logout);
}

static void
rotation(void *arg)
{
	struct principal who;
	struct session s, next, third;

	(void)arg;
	accounts_clean();
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
	accounts_run(rotation);
}

static void
reuse(void *arg)
{
	struct principal who;
	struct session s, next, none;

	(void)arg;
	accounts_clean();
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
	accounts_run(reuse);
}

static void
by_cookie(void *arg)
{
	struct principal who;
	struct session s, next;

	(void)arg;
	accounts_clean();
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
	accounts_run(by_cookie);
}

static void
expiry(void *arg)
{
	struct principal who;
	struct session s, next;

	(void)arg;
	accounts_clean();
	CU_ASSERT_EQUAL(sign_up("a@x.test", &s), ERR_NONE);
	store_clock_set(env.db, 4000000000000000);
	CU_ASSERT_EQUAL(cookie(s.cookie, &who), ERR_TOKEN_EXPIRED);
	CU_ASSERT_EQUAL(renew(s.refresh_token, NULL, &next), ERR_TOKEN_EXPIRED);
	store_clock_set(env.db, 0);
}

static void
test_expiry(void)
{
	accounts_run(expiry);
}

/* ---- Tickets ------------------------------------------------------- */

static const struct uuid thread_1 = { .b = { 1, [15] = 1 } };
static const struct uuid no_thread;
static const struct uuid thread_2 = { .b = { 1, [15] = 2 } };

static SUSPENDS enum error_code
ticket_new(const struct principal *who, struct uuid thread, const char *origin,
    const char **ticket)
{
	error_clear(&auth_err);
	auth_ticket_new(&ctx, who, thread, origin, ticket, &auth_err);
	return auth_err.code;
}

static SUSPENDS enum error_code
ticket_use(const char *ticket, struct uuid thread, const char *origin,
    struct principal *who)
{
	error_clear(&auth_err);
	auth_by_ticket(ctx.store, ticket, thread, origin, who, &auth_err);
	return auth_err.code;
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
	accounts_clean();
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
	accounts_run(tickets);
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
	accounts_clean();
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
	accounts_run(tickets_age);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "token and cookie", test_credentials },
		{ "log-out is at once", test_logout },
		{ "refresh tokens rotate", test_rotation },
		{ "a reused one ends the session", test_reuse },
		{ "refresh by cookie", test_by_cookie },
		{ "expiry", test_expiry },
		{ "tickets are used once", test_tickets },
		{ "tickets that are old, or many", test_tickets_age },
		CU_TEST_INFO_NULL,
	};

	return env_main("session", tests, accounts_end);
}
