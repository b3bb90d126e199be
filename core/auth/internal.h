/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_AUTH_INTERNAL_H
#define CORE_AUTH_INTERNAL_H

/* What the files of core/auth share; nobody else includes it. */

#include "core/auth/auth.h"
#include "core/auth/cache.h"
#include "core/auth/jwt.h"
#include "core/store/store.h"

enum signup_mode {
	SIGNUP_OPEN = 1,
	SIGNUP_INVITE,
	SIGNUP_SHUT
};

struct auth {
	struct jwt_key key;
	struct auth_cache *cache;
	enum signup_mode signup;
	int64_t access_us, refresh_us; /* how long they are good */
	int64_t attempts, attempts_us; /* so many in such a time */
};

/* The one tenant there is until workspaces come. */
extern const struct uuid auth_tenant;

/* ---- secret.c: opaque secrets and the key file --------------------- */

#define SECRET_TEXT 44 /* 256 bits as base64url, with the NUL */

void secret_new(char out[SECRET_TEXT]);
/* kind keeps a cookie from being taken for a token. */
void secret_hash(const char *kind, const char *secret, size_t len,
    uint8_t out[HASH_LEN]);
enum as_status secret_key_file(const char *data_dir, uint8_t key[JWT_KEY_LEN],
    struct error *err);

/* ---- throttle.c ---------------------------------------------------- */

struct throttle {
	const char *account; /* e-mail address, lower case */
	const char *peer;
};

/* Counts an attempt before it is made; RATE_LIMITED with retry_after. */
SUSPENDS enum as_status throttle_enter(const struct auth_ctx *ctx,
    const struct throttle *t, struct error *err);
/* The attempt was a good one: it does not count. */
SUSPENDS void throttle_forget(const struct auth_ctx *ctx,
    const struct throttle *t);

/* ---- session.c ----------------------------------------------------- */

/* What a new session consists of; filled by session_prepare. */
struct session_new {
	struct uuid id;
	char refresh[SECRET_TEXT], cookie[SECRET_TEXT];
	uint8_t refresh_hash[HASH_LEN], cookie_hash[HASH_LEN];
};

void session_prepare(struct session_new *n);
#define SESSION_CALLS 3
/* Statements that insert it if the user is there, and tidy up. */
struct session_args {
	struct sql_arg session[6], refresh[3];
};
void session_calls(const struct auth_ctx *ctx, const struct session_new *n,
    struct uuid user_id, struct session_args *args, struct sql_call *calls);
/* Fills *out: user is set already. */
void session_give(const struct auth_ctx *ctx, struct uuid id,
    const char *refresh, const char *cookie, struct session *out);
/* Ends all sessions of a user but one. */
SUSPENDS enum as_status session_end_others(const struct auth_ctx *ctx,
    struct uuid user_id, struct uuid keep, struct error *err);

/* ---- user.c -------------------------------------------------------- */

#define USER_COLUMNS \
	"u.id, u.tenant_id, u.email, u.display_name, u.avatar_url, m.role," \
	" u.created_at, u.updated_at"

/* USER_COLUMNS, from column 0 of the first row; text in the arena. */
void user_from_row(struct arena *arena, const struct rows *rows,
    struct user *out);
/* The part before the @, or what is given. */
const char *user_name(struct arena *arena, const char *given,
    const char *email);
/* 8 to 1024 bytes, no U+0000. */
enum as_status user_password_check(struct json_object *body, struct error *err);

/* ---- audit.c ------------------------------------------------------- */

struct audit_args {
	struct sql_arg args[7];
};
/* A statement for a batch. */
struct sql_call audit_call(const struct auth_ctx *ctx, const char *action,
    struct uuid user_id, struct uuid session_id, struct audit_args *args);

#endif
