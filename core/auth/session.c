/* SPDX-License-Identifier: Apache-2.0 */
#include "core/auth/internal.h"

#include <string.h>

#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/bus/bus.h"

/*
 * Sessions: making, checking, renewing and ending them.
 *
 * A credential is good if its session's row says so.  The row is read at most
 * every AUTH_CACHE_MS for one credential; log-out drops what the cache has of
 * the session after its row has changed, so nothing older survives it.
 *
 * A refresh token is used by a compare-and-set on used_at.  One that comes a
 * second time ends the session, also when it is the same client that did not
 * get the first answer: it cannot be told from a thief, and logging in again
 * is cheap.
 */

#define AGENT_MAX 200 /* bytes of a user agent that are kept */

SQL(session_insert,
    "INSERT INTO sessions (id, tenant_id, user_id, cookie_hash, user_agent, ip,"
    " created_at, last_seen_at, expires_at)"
    " SELECT $1, tenant_id, id, $2, $3, $4, now_us(), now_us(), now_us() + $5"
    " FROM users WHERE id = $6");
SQL(refresh_insert,
    "INSERT INTO refresh_tokens (token_hash, session_id, created_at,"
    " expires_at) SELECT $1, id, now_us(), now_us() + $3"
    " FROM sessions WHERE id = $2 AND revoked_at IS NULL"
    " AND expires_at > now_us()");

#define SESSION_COLUMNS \
	"SELECT s.id, s.user_id, s.tenant_id, m.role, s.expires_at," \
	" s.revoked_at IS NULL AND u.disabled_at IS NULL," \
	" s.expires_at - now_us() FROM sessions s" \
	" JOIN users u ON u.id = s.user_id" \
	" JOIN memberships m ON m.tenant_id = s.tenant_id" \
	" AND m.user_id = s.user_id"
SQL(session_by_id, SESSION_COLUMNS " WHERE s.id = $1");
SQL(session_by_cookie, SESSION_COLUMNS " WHERE s.cookie_hash = $1");

SQL(refresh_use,
    "UPDATE refresh_tokens SET used_at = now_us(), replaced_by = $2"
    " WHERE token_hash = $1 AND used_at IS NULL AND expires_at > now_us()"
    " AND EXISTS (SELECT 1 FROM sessions s JOIN users u ON u.id = s.user_id"
    "  WHERE s.id = refresh_tokens.session_id AND s.revoked_at IS NULL"
    "  AND s.expires_at > now_us() AND u.disabled_at IS NULL)"
    " RETURNING session_id");
SQL(refresh_follow,
    "INSERT INTO refresh_tokens (token_hash, session_id, created_at,"
    " expires_at) SELECT $2, session_id, now_us(), now_us() + $3"
    " FROM refresh_tokens WHERE token_hash = $1 AND replaced_by = $2");
/* The client's own cookie stays good; without one it gets a new one. */
SQL(session_touch,
    "UPDATE sessions SET last_seen_at = now_us(), expires_at = now_us() + $2,"
    " cookie_hash = CASE WHEN cookie_hash = $3 THEN cookie_hash ELSE $4 END"
    " WHERE id = (SELECT session_id FROM refresh_tokens WHERE token_hash = $1)"
    " RETURNING cookie_hash = $3");
SQL(refresh_look,
    "SELECT r.session_id, r.used_at IS NOT NULL, s.user_id"
    " FROM refresh_tokens r JOIN sessions s ON s.id = r.session_id"
    " WHERE r.token_hash = $1");
SQL(refresh_forget,
    "DELETE FROM refresh_tokens WHERE session_id = $1 AND used_at IS NULL");
/* A week longer than they are good, so that an old one is still told apart. */
#define GONE "expires_at <= now_us() - 604800000000"
SQL(refresh_purge, "DELETE FROM refresh_tokens WHERE " GONE
		   " AND session_id = (SELECT session_id FROM refresh_tokens"
		   "  WHERE token_hash = $1)");
SQL(session_purge, "DELETE FROM sessions WHERE " GONE);
SQL(session_revoke, "UPDATE sessions SET revoked_at = now_us()"
		    " WHERE id = $1 AND revoked_at IS NULL");
SQL(session_revoke_others,
    "UPDATE sessions SET revoked_at = now_us()"
    " WHERE user_id = $1 AND id <> $2 AND revoked_at IS NULL RETURNING id");
SQL(user_by_session, "SELECT " USER_COLUMNS " FROM sessions s"
		     " JOIN users u ON u.id = s.user_id"
		     " JOIN memberships m ON m.tenant_id = s.tenant_id"
		     " AND m.user_id = s.user_id WHERE s.id = $1");

/* ---- Making one ---------------------------------------------------- */

void
session_prepare(struct session_new *n)
{
	n->id = uuid_v7();
	secret_new(n->refresh);
	secret_new(n->cookie);
	secret_hash("refresh", n->refresh, strlen(n->refresh), n->refresh_hash);
	secret_hash("cookie", n->cookie, strlen(n->cookie), n->cookie_hash);
}

/* What the client calls itself, as text that may be stored. */
static const char *
session_agent(const struct auth_ctx *ctx)
{
	struct buf b = { 0 };
	const char *s;

	if (ctx->user_agent == NULL)
		return "";
	text_add_clean(&b, ctx->user_agent,
	    strnlen(ctx->user_agent, AGENT_MAX));
	s = arena_strndup(ctx->arena, b.data != NULL ? b.data : "", b.len);
	buf_free(&b);
	return s;
}

void
session_calls(const struct auth_ctx *ctx, const struct session_new *n,
    struct uuid user_id, struct session_args *args, struct sql_call *calls)
{
	args->session[0] = SQL_UUID(n->id);
	args->session[1] = SQL_BYTES(n->cookie_hash, HASH_LEN);
	args->session[2] = SQL_TEXT(session_agent(ctx));
	args->session[3] = SQL_TEXT(ctx->peer);
	args->session[4] = SQL_INT(ctx->auth->refresh_us);
	args->session[5] = SQL_UUID(user_id);
	calls[0] = (struct sql_call){ &session_insert, args->session, 6 };
	args->refresh[0] = SQL_BYTES(n->refresh_hash, HASH_LEN);
	args->refresh[1] = SQL_UUID(n->id);
	args->refresh[2] = SQL_INT(ctx->auth->refresh_us);
	calls[1] = (struct sql_call){ &refresh_insert, args->refresh, 3 };
	calls[2] = (struct sql_call){ &session_purge, NULL, 0 };
}

void
session_give(const struct auth_ctx *ctx, struct uuid id, const char *refresh,
    const char *cookie, struct session *out)
{
	int64_t now = clock_wall_us();
	struct principal who = { .user_id = out->user.id,
		.tenant_id = out->user.tenant_id,
		.session_id = id,
		.expires_us = now + ctx->auth->access_us };
	char *token = jwt_issue(&ctx->auth->key, &who, now);

	out->id = id;
	out->access_token = arena_strdup(ctx->arena, token);
	out->refresh_token = arena_strdup(ctx->arena, refresh);
	out->cookie = arena_strdup(ctx->arena, cookie);
	out->expires_in = ctx->auth->access_us / 1000000;
	free(token);
}

/* ---- Checking one -------------------------------------------------- */

static enum as_status
session_refuse(struct error *err, const char *what)
{
	return error_set(err, ERR_AUTH_REQUIRED, "%s", what);
}

/*
 * Reads the session's row into *out.  *out->expires_us is the session's, or
 * what it was if that is sooner.
 */
static SUSPENDS enum as_status
session_check(struct store *store, struct sql *sql, struct sql_arg arg,
    struct principal *out, struct error *err)
{
	int64_t until = out->expires_us;
	struct rows *rows = NULL;
	enum as_status st;

	st = store_query(store, sql, &arg, 1, &rows, err);
	if (st != AS_OK)
		return st;
	if (rows_count(rows) == 0 || !rows_bool(rows, 0, 5)) {
		st = session_refuse(err, "this session has ended");
	} else if (rows_int(rows, 0, 6) <= 0) {
		st = error_set(err, ERR_TOKEN_EXPIRED,
		    "this session has expired");
	} else {
		out->session_id = rows_uuid(rows, 0, 0);
		out->user_id = rows_uuid(rows, 0, 1);
		out->tenant_id = rows_uuid(rows, 0, 2);
		out->role = role_by_name(rows_text(rows, 0, 3));
		out->expires_us = rows_int(rows, 0, 4);
		if (until != 0 && until < out->expires_us)
			out->expires_us = until;
	}
	rows_free(rows);
	return st;
}

static void
session_remember(struct auth *auth, const uint8_t key[HASH_LEN],
    uint64_t generation, int64_t now, const struct principal *who)
{
	int64_t until = now + AUTH_CACHE_MS * INT64_C(1000);

	if (who->expires_us < until)
		until = who->expires_us;
	auth_cache_put(auth->cache, key, until, generation, who);
}

enum as_status
auth_by_token(struct auth *auth, struct store *store, const char *token,
    struct principal *out, struct error *err)
{
	size_t len = strnlen(token, JWT_TEXT_MAX + 1);
	int64_t now = clock_wall_us();
	uint8_t key[HASH_LEN];
	uint64_t generation;
	enum as_status st;

	secret_hash("access", token, len, key);
	if (auth_cache_get(auth->cache, key, now, out))
		return AS_OK;
	st = jwt_check(&auth->key, token, len, now, out, err);
	if (st != AS_OK)
		return st;
	generation = auth_cache_generation(auth->cache);
	st = session_check(store, &session_by_id, SQL_UUID(out->session_id),
	    out, err);
	if (st == AS_OK)
		session_remember(auth, key, generation, now, out);
	return st;
}

enum as_status
auth_by_cookie(struct auth *auth, struct store *store, const char *cookie,
    struct principal *out, struct error *err)
{
	size_t len = strnlen(cookie, SECRET_TEXT);
	int64_t now = clock_wall_us();
	uint8_t key[HASH_LEN];
	uint64_t generation;
	enum as_status st;

	memset(out, 0, sizeof(*out));
	if (len != SECRET_TEXT - 1)
		return session_refuse(err, "the session cookie is not valid");
	secret_hash("cookie", cookie, len, key);
	if (auth_cache_get(auth->cache, key, now, out))
		return AS_OK;
	generation = auth_cache_generation(auth->cache);
	st = session_check(store, &session_by_cookie, SQL_BYTES(key, HASH_LEN),
	    out, err);
	if (st == AS_OK)
		session_remember(auth, key, generation, now, out);
	return st;
}

SUSPENDS enum as_status
auth_again(struct store *store, struct principal *who, struct error *err)
{
	return session_check(store, &session_by_id, SQL_UUID(who->session_id),
	    who, err);
}

/* ---- Renewing one -------------------------------------------------- */

static SUSPENDS enum as_status
session_user(const struct auth_ctx *ctx, struct uuid id, struct user *out,
    struct error *err)
{
	struct sql_arg arg = SQL_UUID(id);
	struct rows *rows = NULL;
	enum as_status st;

	st = store_query(ctx->store, &user_by_session, &arg, 1, &rows, err);
	if (st == AS_OK && rows_count(rows) == 0)
		st = session_refuse(err, "this session has ended");
	if (st == AS_OK)
		user_from_row(ctx->arena, rows, out);
	rows_free(rows);
	return st;
}

/* Sockets and streams of the session end. */
static void
session_say_ended(const struct auth_ctx *ctx, struct uuid id)
{
	struct bus_msg m = { .topic = id };

	if (ctx->bus != NULL)
		bus_publish(ctx->bus, &m);
}

static SUSPENDS enum as_status
session_revoke_now(const struct auth_ctx *ctx, struct uuid id,
    struct uuid user_id, const char *action, struct error *err)
{
	struct sql_arg arg = SQL_UUID(id);
	struct audit_args audit;
	struct sql_call calls[] = { { &session_revoke, &arg, 1 },
		audit_call(ctx, action, user_id, id, &audit) };
	enum as_status st;

	st = store_batch(ctx->store, calls, 2, NULL, err);
	/* Unknown counts as done: the next request asks the database. */
	auth_cache_drop(ctx->auth->cache, id, (struct uuid){ { 0 } });
	session_say_ended(ctx, id);
	return st;
}

/* Why refresh_use found nothing to use. */
static SUSPENDS enum as_status
refresh_refuse(const struct auth_ctx *ctx, const uint8_t hash[HASH_LEN],
    struct error *err)
{
	struct sql_arg arg = SQL_BYTES(hash, HASH_LEN);
	struct rows *rows = NULL;
	struct uuid id, user;
	enum as_status st;
	bool used;

	/* On the writer: a read could be from before the use. */
	st = store_exec(ctx->store, &refresh_look, &arg, 1, &rows, err);
	if (st != AS_OK)
		return st;
	if (rows_count(rows) == 0) {
		rows_free(rows);
		return session_refuse(err, "unknown refresh token");
	}
	id = rows_uuid(rows, 0, 0);
	used = rows_bool(rows, 0, 1);
	user = rows_uuid(rows, 0, 2);
	rows_free(rows);
	if (!used)
		return error_set(err, ERR_TOKEN_EXPIRED,
		    "the refresh token or its session has expired");
	st = session_revoke_now(ctx, id, user, "session.token_reused", err);
	if (st != AS_OK)
		return st;
	return error_set(err, ERR_TOKEN_REUSED,
	    "this refresh token was used before; the session is ended");
}

static SUSPENDS enum as_status
renew_by_token(const struct auth_ctx *ctx, const char *token,
    const char *cookie, struct session *out, struct error *err)
{
	uint8_t old[HASH_LEN], own[HASH_LEN];
	struct session_new n;
	struct rows *rows[4] = { NULL };
	struct sql_arg args[4], touch[4];
	struct sql_call calls[] = { { &refresh_use, args, 2 },
		{ &refresh_follow, args, 3 }, { &session_touch, touch, 4 },
		{ &refresh_purge, touch, 1 } };
	struct uuid id = { { 0 } };
	enum as_status st;
	bool keeps = false;

	session_prepare(&n);
	secret_hash("refresh", token, strlen(token), old);
	if (cookie == NULL)
		cookie = "";
	secret_hash("cookie", cookie, strlen(cookie), own);
	args[0] = SQL_BYTES(old, HASH_LEN);
	args[1] = SQL_BYTES(n.refresh_hash, HASH_LEN);
	args[2] = SQL_INT(ctx->auth->refresh_us);
	touch[0] = SQL_BYTES(n.refresh_hash, HASH_LEN);
	touch[1] = SQL_INT(ctx->auth->refresh_us);
	touch[2] = SQL_BYTES(own, HASH_LEN);
	touch[3] = SQL_BYTES(n.cookie_hash, HASH_LEN);
	st = store_batch(ctx->store, calls, N_ITEMS(calls), rows, err);
	if (st == AS_OK && rows_count(rows[0]) > 0) {
		id = rows_uuid(rows[0], 0, 0);
		keeps = rows_bool(rows[2], 0, 0);
	}
	for (int i = 0; i < 4; i++)
		rows_free(rows[i]);
	if (st == AS_OK && uuid_is_nil(id))
		st = refresh_refuse(ctx, old, err);
	if (st == AS_OK)
		st = session_user(ctx, id, &out->user, err);
	if (st == AS_OK)
		session_give(ctx, id, n.refresh, keeps ? NULL : n.cookie, out);
	return st;
}

/* Unused refresh tokens of the session go: a browser holds none. */
static SUSPENDS enum as_status
renew_by_cookie(const struct auth_ctx *ctx, const char *cookie,
    struct session *out, struct error *err)
{
	struct principal who;
	struct session_new n;
	struct rows *rows[3] = { NULL };
	struct sql_arg id, args[3], touch[4];
	struct sql_call calls[] = { { &refresh_forget, &id, 1 },
		{ &refresh_insert, args, 3 }, { &session_touch, touch, 4 } };
	enum as_status st;
	bool done = false;

	st = auth_by_cookie(ctx->auth, ctx->store, cookie, &who, err);
	if (st != AS_OK)
		return st;
	session_prepare(&n);
	secret_hash("cookie", cookie, strlen(cookie), n.cookie_hash);
	id = SQL_UUID(who.session_id);
	args[0] = SQL_BYTES(n.refresh_hash, HASH_LEN);
	args[1] = id;
	args[2] = SQL_INT(ctx->auth->refresh_us);
	touch[0] = args[0];
	touch[1] = args[2];
	touch[2] = SQL_BYTES(n.cookie_hash, HASH_LEN);
	touch[3] = touch[2];
	st = store_batch(ctx->store, calls, 3, rows, err);
	done = st == AS_OK && rows_affected(rows[1]) == 1;
	for (int i = 0; i < 3; i++)
		rows_free(rows[i]);
	if (st == AS_OK && !done)
		st = session_refuse(err, "this session has ended");
	if (st == AS_OK)
		st = session_user(ctx, who.session_id, &out->user, err);
	if (st == AS_OK)
		session_give(ctx, who.session_id, n.refresh, NULL, out);
	return st;
}

enum as_status
auth_renew(const struct auth_ctx *ctx, const char *refresh_token,
    const char *cookie, struct session *out, struct error *err)
{
	memset(out, 0, sizeof(*out));
	if (refresh_token != NULL)
		return renew_by_token(ctx, refresh_token, cookie, out, err);
	if (cookie != NULL)
		return renew_by_cookie(ctx, cookie, out, err);
	return session_refuse(err, "no refresh token and no cookie");
}

/* ---- Ending it ----------------------------------------------------- */

enum as_status
auth_log_out(const struct auth_ctx *ctx, const struct principal *who,
    struct error *err)
{
	return session_revoke_now(ctx, who->session_id, who->user_id,
	    "session.logout", err);
}

enum as_status
session_end_others(const struct auth_ctx *ctx, struct uuid user_id,
    struct uuid keep, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(user_id), SQL_UUID(keep) };
	struct audit_args audit;
	struct sql_call calls[] = { { &session_revoke_others, args, 2 },
		audit_call(ctx, "user.password", user_id, keep, &audit) };
	struct rows *rows[2] = { NULL };
	enum as_status st;

	st = store_batch(ctx->store, calls, 2, rows, err);
	auth_cache_drop(ctx->auth->cache, (struct uuid){ { 0 } }, user_id);
	for (int i = 0; i < rows_count(rows[0]); i++)
		session_say_ended(ctx, rows_uuid(rows[0], i, 0));
	rows_free(rows[0]);
	rows_free(rows[1]);
	return st;
}

struct json_object *
session_json(const struct session *s)
{
	struct json_object *o = jobj();

	jput_str(o, "access_token", s->access_token);
	jput_str(o, "token_type", "bearer");
	jput_int(o, "expires_in", s->expires_in);
	jput_str(o, "refresh_token", s->refresh_token);
	jput(o, "user", user_json(&s->user));
	return o;
}
