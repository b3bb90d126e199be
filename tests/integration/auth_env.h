/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INTEGRATION_AUTH_ENV_H
#define TESTS_INTEGRATION_AUTH_ENV_H

/*
 * Accounts on one of the databases of store_env.h.  The backend is here: a list
 * of people and passwords, as a plugin would keep one.
 */

#include "core/auth/auth.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

extern struct auth *auth;
extern struct auth_ctx ctx; /* of the running test, with an arena of its own */
extern struct error auth_err; /* of the last call below */
extern int accounts_count; /* that the backend has */

/* Runs fn on a fiber; anybody may sign up. */
void accounts_run(void (*fn)(void *));
int accounts_end(void); /* of a suite */
/* auth anew, with who may sign up: see auth_config. */
void accounts_make(const char *signup);
/* Nobody is there. */
void accounts_clean(void);

/* Without asking anybody, at the backend. */
enum as_status accounts_add(const char *email, const char *password,
    struct error *err);
struct json_object *accounts_body(const char *email, const char *password);
/* Everybody's password is "password of it". */
SUSPENDS enum error_code sign_up(const char *email, struct session *s);
SUSPENDS enum error_code log_in(const char *email, const char *password,
    struct session *s);
/* Who is it? */
SUSPENDS enum error_code token(const char *text, struct principal *who);
SUSPENDS enum error_code cookie(const char *text, struct principal *who);
SUSPENDS enum error_code renew(const char *refresh, const char *own,
    struct session *s);

#endif
