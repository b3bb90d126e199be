/* SPDX-License-Identifier: Apache-2.0 */
#include "core/auth/auth.h"

#include <sodium.h>
#include <string.h>

#include "core/auth/internal.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/plug/plug.h"

/*
 * Sign-up and log-in.  The backend comes first and the account after it, in
 * one batch with its session: a crash in between leaves somebody whom the
 * backend knows and we do not, and who gets the account at the next log-in.
 *
 * The first account of an installation is its admin, and may be made even
 * where sign-up is closed.  Who is first is settled by the row first_account:
 * its insert waits for a concurrent one, and whoever finds another's name in
 * it is not the first.
 */

const struct uuid auth_tenant = { { 0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0,
    0, 0, 1 } };

bool
auth_runs_installation(const struct principal *who)
{
	return uuid_equal(who->tenant_id, auth_tenant);
}

SQL(first_exists, "SELECT 1 FROM node_settings WHERE key = 'first_account'");
SQL(first_claim,
    "INSERT INTO node_settings (key, value) VALUES ('first_account', $1)"
    " ON CONFLICT (key) DO NOTHING");
SQL(user_insert,
    "INSERT INTO users (id, tenant_id, email, display_name, avatar_url,"
    " created_at, updated_at)"
    " SELECT $1, t.id, $3, $4, $5, now_us(), now_us() FROM tenants t"
    " WHERE t.id = $2 AND ($6 OR EXISTS (SELECT 1 FROM node_settings"
    "  WHERE key = 'first_account' AND value = $7))"
    " RETURNING created_at");
SQL(member_insert,
    "INSERT INTO memberships (tenant_id, user_id, role, created_at)"
    " SELECT u.tenant_id, u.id, CASE WHEN $2 OR EXISTS (SELECT 1"
    "  FROM node_settings WHERE key = 'first_account' AND value = $3)"
    "  THEN 'admin' ELSE 'member' END, now_us() FROM users u WHERE u.id = $1"
    " RETURNING role");
SQL(identity_insert,
    "INSERT INTO identities (backend, subject, user_id, created_at)"
    " SELECT $1, $2, u.id, now_us() FROM users u WHERE u.id = $3");
SQL(user_by_identity,
    "SELECT " USER_COLUMNS ", u.disabled_at IS NOT NULL FROM identities i"
    " JOIN users u ON u.id = i.user_id"
    " JOIN memberships m ON m.tenant_id = u.tenant_id AND m.user_id = u.id"
    " WHERE i.backend = $1 AND i.subject = $2");

/* ---- The shared part ----------------------------------------------- */

static bool
host_is_loopback(const char *host)
{
	return text_has_prefix(host, "127.") || strcmp(host, "::1") == 0 ||
	       strcmp(host, "localhost") == 0;
}

static enum signup_mode
signup_mode(const struct auth_config *c)
{
	const char *mode = c->signup;

	if (strcmp(mode, "open") == 0)
		return SIGNUP_OPEN;
	if (strcmp(mode, "invite") == 0)
		return SIGNUP_INVITE;
	if (strcmp(mode, "auto") == 0 && host_is_loopback(c->host))
		return SIGNUP_OPEN;
	return SIGNUP_SHUT;
}

enum as_status
auth_new(const struct auth_config *config, struct auth **out, struct error *err)
{
	uint8_t key[JWT_KEY_LEN];
	struct auth *a;
	enum as_status st;

	*out = NULL;
	st = secret_key_file(config->data_dir, key, err);
	if (st != AS_OK)
		return st;
	a = xcalloc(1, sizeof(*a));
	jwt_key_init(&a->key, key, config->issuer);
	sodium_memzero(key, sizeof(key));
	a->cache = auth_cache_new();
	a->signup = signup_mode(config);
	a->access_us = config->access_ms * 1000;
	a->refresh_us = config->refresh_ms * 1000;
	a->attempts = config->attempts;
	a->attempts_us = config->attempts_ms * 1000;
	*out = a;
	return AS_OK;
}

void
auth_free(struct auth *auth)
{
	if (auth == NULL)
		return;
	auth_cache_free(auth->cache);
	sodium_memzero(auth, sizeof(*auth));
	free(auth);
}

void
auth_tag(const struct auth *auth, const void *p, size_t len,
    uint8_t tag[AUTH_TAG_LEN])
{
	MUST(crypto_generichash(tag, AUTH_TAG_LEN, p, len, auth->key.key,
		 JWT_KEY_LEN) == 0);
}

/* ---- Accounts ------------------------------------------------------ */

/* Is it only for the first one?  SIGNUP_CLOSED if that is taken. */
static SUSPENDS enum as_status
account_policy(const struct auth_ctx *ctx, const struct principal *by,
    bool *anybody, struct error *err)
{
	struct rows *rows = NULL;
	enum as_status st;

	*anybody = ctx->auth->signup == SIGNUP_OPEN ||
		   (ctx->auth->signup == SIGNUP_INVITE && by != NULL &&
		       by->role >= ROLE_ADMIN);
	if (*anybody)
		return AS_OK;
	st = store_query(ctx->store, &first_exists, NULL, 0, &rows, err);
	if (st == AS_OK && rows_count(rows) > 0)
		st = error_set(err, ERR_SIGNUP_CLOSED,
		    "accounts are made by the administrator here");
	rows_free(rows);
	return st;
}

static const char *
email_fold(struct arena *arena, const char *email)
{
	char *s = arena_strdup(arena, email);

	for (char *p = s; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	return s;
}

struct account_args {
	char id[UUID_TEXT];
	struct sql_arg claim[1], user[7], member[3], identity[3];
	struct session_args session;
	struct audit_args audit;
};

enum {
	CALL_CLAIM,
	CALL_USER,
	CALL_MEMBER,
	CALL_IDENTITY,
	CALL_SESSION,
	CALL_AUDIT = CALL_SESSION + SESSION_CALLS,
	N_CALLS
};

static void
account_calls(const struct auth_ctx *ctx, const struct plug_identity *who,
    const struct user *u, const struct session_new *n, bool anybody,
    struct account_args *a, struct sql_call calls[N_CALLS])
{
	uuid_format(u->id, a->id);
	a->claim[0] = SQL_TEXT(a->id);
	calls[CALL_CLAIM] = (struct sql_call){ &first_claim, a->claim, 1 };
	a->user[0] = SQL_UUID(u->id);
	a->user[1] = SQL_UUID(u->tenant_id);
	a->user[2] = SQL_TEXT(u->email);
	a->user[3] = SQL_TEXT(u->display_name);
	a->user[4] = SQL_TEXT(u->avatar_url);
	a->user[5] = SQL_BOOL(anybody);
	a->user[6] = SQL_TEXT(a->id);
	calls[CALL_USER] = (struct sql_call){ &user_insert, a->user, 7 };
	a->member[0] = SQL_UUID(u->id);
	a->member[1] = SQL_BOOL(who->is_admin);
	a->member[2] = SQL_TEXT(a->id);
	calls[CALL_MEMBER] = (struct sql_call){ &member_insert, a->member, 3 };
	a->identity[0] = SQL_TEXT(who->backend);
	a->identity[1] = SQL_TEXT(who->subject);
	a->identity[2] = SQL_UUID(u->id);
	calls[CALL_IDENTITY] = (struct sql_call){ &identity_insert, a->identity,
		3 };
	session_calls(ctx, n, u->id, &a->session, calls + CALL_SESSION);
	calls[CALL_AUDIT] = audit_call(ctx, "user.signup", u->id, n->id,
	    &a->audit);
}

/* The account, its identity and its first session, at once. */
static SUSPENDS enum as_status
account_create(const struct auth_ctx *ctx, const struct plug_identity *who,
    const char *email, const char *name, bool anybody, struct session *out,
    struct error *err)
{
	struct account_args *args = arena_alloc(ctx->arena, sizeof(*args));
	struct rows *rows[N_CALLS] = { NULL };
	struct sql_call calls[N_CALLS];
	struct user *u = &out->user;
	struct session_new n;
	enum as_status st;

	u->id = uuid_v7();
	u->tenant_id = auth_tenant;
	u->email = email_fold(ctx->arena,
	    who->email != NULL ? who->email : email);
	u->display_name = user_name(ctx->arena, name != NULL ? name : who->name,
	    u->email);
	u->avatar_url = arena_strdup(ctx->arena, who->avatar_url);
	session_prepare(&n);
	account_calls(ctx, who, u, &n, anybody, args, calls);
	st = store_batch(ctx->store, calls, N_CALLS, rows, err);
	if (st == AS_CONFLICT)
		st = error_set(err, ERR_EMAIL_TAKEN,
		    "there is an account with this e-mail address");
	else if (st == AS_OK && rows_count(rows[CALL_USER]) == 0)
		st = error_set(err, ERR_SIGNUP_CLOSED,
		    "accounts are made by the administrator here");
	if (st == AS_OK) {
		u->created_at = rows_int(rows[CALL_USER], 0, 0);
		u->updated_at = u->created_at;
		u->role = role_by_name(rows_text(rows[CALL_MEMBER], 0, 0));
		session_give(ctx, n.id, n.refresh, n.cookie, out);
	}
	for (int i = 0; i < N_CALLS; i++)
		rows_free(rows[i]);
	return st;
}

/* ---- Sign-up ------------------------------------------------------- */

static struct json_object *
credentials(struct json_object *body, const char *email)
{
	struct json_object *c = jobj();

	jput_str(c, "email", email);
	jput(c, "password", json_object_get(jget(body, "password")));
	if (jget_str(body, "display_name", NULL) != NULL)
		jput_str(c, "display_name",
		    jget_str(body, "display_name", NULL));
	return c;
}

static SUSPENDS enum as_status
backend_ask(const struct auth_ctx *ctx, enum plug_auth_op op,
    struct json_object *body, const char *email, struct plug_identity *out,
    struct error *err)
{
	struct plug_caller caller = { .tenant_id = auth_tenant,
		.correlation_id = ctx->correlation_id };
	struct json_object *cred = credentials(body, email);
	enum as_status st;

	st = plug_auth(ctx->plug, op, &caller, cred, out, err);
	json_object_put(cred);
	return st;
}

enum as_status
auth_sign_up(const struct auth_ctx *ctx, const struct principal *by,
    struct json_object *body, struct session *out, struct error *err)
{
	const char *email = email_fold(ctx->arena, jget_str(body, "email", ""));
	struct plug_identity who = { 0 };
	enum as_status st;
	bool anybody = false;

	memset(out, 0, sizeof(*out));
	st = user_password_check(body, err);
	if (st == AS_OK)
		st = account_policy(ctx, by, &anybody, err);
	if (st == AS_OK)
		st = backend_ask(ctx, PLUG_SIGNUP, body, email, &who, err);
	if (st == AS_CONFLICT)
		st = error_set(err, ERR_EMAIL_TAKEN,
		    "there is an account with this e-mail address");
	if (st == AS_OK)
		st = account_create(ctx, &who, email,
		    jget_str(body, "display_name", NULL), anybody, out, err);
	plug_identity_clear(&who);
	return st;
}

/* ---- Log-in -------------------------------------------------------- */

static SUSPENDS enum as_status
log_in_known(const struct auth_ctx *ctx, struct session *out, struct error *err)
{
	struct sql_call calls[SESSION_CALLS + 1];
	struct session_args args;
	struct audit_args audit;
	struct session_new n;
	enum as_status st;

	session_prepare(&n);
	session_calls(ctx, &n, out->user.id, &args, calls);
	calls[SESSION_CALLS] = audit_call(ctx, "session.login", out->user.id,
	    n.id, &audit);
	st = store_batch(ctx->store, calls, SESSION_CALLS + 1, NULL, err);
	if (st == AS_OK)
		session_give(ctx, n.id, n.refresh, n.cookie, out);
	return st;
}

/* Whom the backend knows and we do not, as after a crash in a sign-up. */
static SUSPENDS enum as_status
log_in_new(const struct auth_ctx *ctx, const struct plug_identity *who,
    const char *email, struct session *out, struct error *err)
{
	enum as_status st;
	bool anybody;

	st = account_policy(ctx, NULL, &anybody, err);
	if (st != AS_OK)
		return st;
	return account_create(ctx, who, email, NULL, anybody, out, err);
}

static SUSPENDS enum as_status
log_in_as(const struct auth_ctx *ctx, const struct plug_identity *who,
    const char *email, struct session *out, struct error *err)
{
	struct sql_arg args[] = { SQL_TEXT(who->backend),
		SQL_TEXT(who->subject) };
	struct rows *rows = NULL;
	bool known, disabled = false;
	enum as_status st;

	st = store_query(ctx->store, &user_by_identity, args, 2, &rows, err);
	if (st != AS_OK)
		return st;
	known = rows_count(rows) > 0;
	if (known) {
		user_from_row(ctx->arena, rows, &out->user);
		disabled = rows_bool(rows, 0, 8);
	}
	rows_free(rows);
	if (disabled)
		return error_set(err, ERR_FORBIDDEN,
		    "this account is disabled");
	return known ? log_in_known(ctx, out, err)
		     : log_in_new(ctx, who, email, out, err);
}

enum as_status
auth_log_in(const struct auth_ctx *ctx, struct json_object *body,
    struct session *out, struct error *err)
{
	const char *email = email_fold(ctx->arena, jget_str(body, "email", ""));
	struct throttle t = { .account = email, .peer = ctx->peer };
	struct plug_identity who = { 0 };
	enum as_status st;

	memset(out, 0, sizeof(*out));
	st = throttle_enter(ctx, &t, err);
	if (st != AS_OK)
		return st;
	st = backend_ask(ctx, PLUG_LOGIN, body, email, &who, err);
	if (st == AS_AUTH || st == AS_NOTFOUND) {
		/* The attempt stays counted. */
		st = error_set(err, ERR_INVALID_CREDENTIALS,
		    "wrong e-mail address or password");
	} else {
		throttle_forget(ctx, &t);
		if (st == AS_OK)
			st = log_in_as(ctx, &who, email, out, err);
	}
	plug_identity_clear(&who);
	return st;
}
