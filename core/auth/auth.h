/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_AUTH_AUTH_H
#define CORE_AUTH_AUTH_H

/*
 * Accounts and sessions: sign-up, log-in, tokens, log-out.
 *
 * A backend (plugin) says who somebody is; everything after that is here.  A
 * log-in makes a session, a row.  Three secrets stand for it, and only their
 * hashes are stored:
 *
 *	access token	JWT, HS256, minutes; the session's id is in it
 *	refresh token	opaque, used once; a second use ends the session
 *	cookie		opaque, for browsers
 *
 * struct auth is shared by all loops: the signing key, the throttle, and the
 * credentials that were found good in the last seconds.  Logging out empties
 * that cache of the session before it returns, so on this node a session ends
 * at once; another node notices within AUTH_CACHE_MS.  That it has ended is said
 * on the bus, under its id, to those who serve it without asking again.
 */

#include "core/auth/principal.h"
#include "core/base/arena.h"
#include "core/base/error.h"
#include "core/loop/loop.h"

struct auth;
struct bus;
struct json_object;
struct plug;
struct store;

#define AUTH_CACHE_MS 5000
#define AUTH_TICKET_MS 30000 /* how long a ticket is good */
#define AUTH_COOKIE "agent_studio"
#define AUTH_PASSWORD_MIN 8 /* bytes */
#define AUTH_PASSWORD_MAX 1024

struct auth_config {
	const char *data_dir;
	const char *issuer; /* of access tokens */
	const char *signup; /* open invite closed auto */
	const char *host; /* for auto: open on loopback only */
	int64_t access_ms, refresh_ms; /* how long tokens are good */
	int64_t attempts, attempts_ms; /* so many guesses in such a time */
};

/*
 * Reads the signing key from the data folder, or makes it (mode 0600).  Blocks;
 * before loops run.
 */
enum as_status auth_new(const struct auth_config *config, struct auth **out,
    struct error *err);
void auth_free(struct auth *auth);

/* What core/auth needs of a loop, and what it should know of the client. */
struct auth_ctx {
	struct auth *auth;
	struct store *store;
	struct plug *plug;
	struct bus *bus; /* hears of sessions that end; may be NULL */
	struct arena *arena;
	const char *peer; /* address */
	const char *user_agent; /* may be NULL */
	const char *correlation_id; /* may be NULL */
};

struct user {
	struct uuid id, tenant_id;
	const char *email, *display_name,
	    *avatar_url; /* the last may be NULL */
	enum role role;
	int64_t created_at, updated_at;
};

/* What a client is given; text in the arena. */
struct session {
	struct uuid id;
	struct user user;
	const char *access_token, *refresh_token;
	const char *cookie; /* NULL: the client's own is still good */
	int64_t expires_in; /* seconds, of the access token */
};

/* body: email, password, display_name?.  EMAIL_TAKEN, SIGNUP_CLOSED. */
SUSPENDS enum as_status auth_sign_up(const struct auth_ctx *ctx,
    const struct principal *by, struct json_object *body, struct session *out,
    struct error *err);
/* INVALID_CREDENTIALS, RATE_LIMITED. */
SUSPENDS enum as_status auth_log_in(const struct auth_ctx *ctx,
    struct json_object *body, struct session *out, struct error *err);
/* By token, or, when that is NULL, by cookie.  TOKEN_REUSED, TOKEN_EXPIRED. */
SUSPENDS enum as_status auth_renew(const struct auth_ctx *ctx,
    const char *refresh_token, const char *cookie, struct session *out,
    struct error *err);
SUSPENDS enum as_status auth_log_out(const struct auth_ctx *ctx,
    const struct principal *who, struct error *err);

SUSPENDS enum as_status auth_user(const struct auth_ctx *ctx,
    const struct principal *who, struct user *out, struct error *err);
/* A new password ends the user's other sessions. */
SUSPENDS enum as_status auth_user_change(const struct auth_ctx *ctx,
    const struct principal *who, struct json_object *body, struct user *out,
    struct error *err);

/* Who holds this credential.  AUTH_REQUIRED, TOKEN_EXPIRED. */
SUSPENDS enum as_status auth_by_token(struct auth *auth, struct store *store,
    const char *token, struct principal *out, struct error *err);
SUSPENDS enum as_status auth_by_cookie(struct auth *auth, struct store *store,
    const char *cookie, struct principal *out, struct error *err);

/*
 * Asks the database once more about who was found good: session_id and
 * expires_us of *who, whose role is told anew.  Errors as above.
 */
SUSPENDS enum as_status auth_again(struct store *store, struct principal *who,
    struct error *err);

/*
 * A ticket stands for who, once, as long as their credential would: for that
 * thread (nil: any), and for pages of that origin (NULL: any).  Text in the
 * arena.  RATE_LIMITED.
 */
SUSPENDS enum as_status auth_ticket_new(const struct auth_ctx *ctx,
    const struct principal *who, struct uuid thread_id, const char *origin,
    const char **out, struct error *err);
/* It is used up, whatever comes of it.  TICKET_INVALID, TICKET_USED. */
SUSPENDS enum as_status auth_by_ticket(struct store *store, const char *ticket,
    struct uuid thread_id, const char *origin, struct principal *out,
    struct error *err);

/*
 * Is it of the tenant that the installation belongs to?  What is one for all
 * tenants, such as plugins, is for the admins of that one.
 */
bool auth_runs_installation(const struct principal *who);

struct json_object *user_json(const struct user *u);
struct json_object *session_json(const struct session *s);

/* 16 bytes that only this installation can make; for cursors. */
#define AUTH_TAG_LEN 16
void auth_tag(const struct auth *auth, const void *p, size_t len,
    uint8_t tag[AUTH_TAG_LEN]);

#endif
