/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <string.h>

#include "core/auth/internal.h"

/*
 * How often a password may be guessed.  Three counters in the database, so
 * that they survive a restart and hold for all nodes: one account from one
 * address may try auth.attempts times in a window; an account from anywhere,
 * and an address with any accounts, ten times that, so that a stranger cannot
 * easily lock somebody out, nor a house be locked out by one of its people.
 *
 * An attempt is counted before it is made: guesses at once are counted too.
 * An attempt that is refused is not counted, so the table grows by what may be
 * tried only; rows that are out of date go with the next good attempt.
 */

#define WIDE 10

enum {
	PAIR,
	ACCOUNT,
	PEER,
	N_SCOPES
};

static const char *const scopes[N_SCOPES] = { "pair", "account", "peer" };

SQL(throttle_read,
    "SELECT count, window_start + $1 - now_us() FROM login_attempts"
    " WHERE scope = $2 AND key = $3 AND window_start > now_us() - $1");
SQL(throttle_count,
    "INSERT INTO login_attempts (scope, key, window_start, count)"
    " VALUES ($2, $3, now_us(), 1)"
    " ON CONFLICT (scope, key) DO UPDATE SET"
    " count = CASE WHEN login_attempts.window_start > now_us() - $1"
    "  THEN login_attempts.count + 1 ELSE 1 END,"
    " window_start = CASE WHEN login_attempts.window_start > now_us() - $1"
    "  THEN login_attempts.window_start ELSE now_us() END"
    " RETURNING count, window_start + $1 - now_us()");
SQL(throttle_undo, "UPDATE login_attempts SET count = count - 1"
		   " WHERE scope = $1 AND key = $2 AND count > 0");
SQL(throttle_purge,
    "DELETE FROM login_attempts WHERE window_start <= now_us() - $1");

struct throttle_keys {
	const char *key[N_SCOPES];
};

/* Who has one IPv6 address has 2^64 of them. */
static const char *
throttle_peer(struct arena *arena, const char *peer)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr a;

	if (inet_pton(AF_INET6, peer, &a) != 1 || IN6_IS_ADDR_V4MAPPED(&a))
		return peer;
	memset(a.s6_addr + 8, 0, 8);
	inet_ntop(AF_INET6, &a, text, sizeof(text));
	return arena_strdup(arena, text);
}

static struct throttle_keys
throttle_keys(const struct auth_ctx *ctx, const struct throttle *t)
{
	const char *peer = throttle_peer(ctx->arena, t->peer);

	return (struct throttle_keys){ {
	    [PAIR] = arena_printf(ctx->arena, "%s %s", peer, t->account),
	    [ACCOUNT] = t->account,
	    [PEER] = peer,
	} };
}

/* count: attempts so far, this one included. */
static enum as_status
throttle_judge(const struct auth_ctx *ctx, int scope, int64_t count,
    int64_t left_us, struct error *err)
{
	int64_t limit = ctx->auth->attempts * (scope == PAIR ? 1 : WIDE);
	enum as_status st;

	if (count <= limit)
		return AS_OK;
	st = error_set(err, ERR_RATE_LIMITED, "too many attempts to log in");
	if (err != NULL)
		err->retry_after_ms = left_us > 1000 ? left_us / 1000 : 1;
	return st;
}

static SUSPENDS enum as_status
throttle_look(const struct auth_ctx *ctx, int scope, const char *key,
    struct error *err)
{
	struct sql_arg args[] = { SQL_INT(ctx->auth->attempts_us),
		SQL_TEXT(scopes[scope]), SQL_TEXT(key) };
	struct rows *rows = NULL;
	enum as_status st;

	st = store_query(ctx->store, &throttle_read, args, 3, &rows, err);
	if (st == AS_OK && rows_count(rows) > 0)
		st = throttle_judge(ctx, scope, rows_int(rows, 0, 0) + 1,
		    rows_int(rows, 0, 1), err);
	rows_free(rows);
	return st;
}

enum as_status
throttle_enter(const struct auth_ctx *ctx, const struct throttle *t,
    struct error *err)
{
	struct throttle_keys k = throttle_keys(ctx, t);
	struct sql_arg args[N_SCOPES][3];
	struct sql_call calls[N_SCOPES];
	struct rows *rows[N_SCOPES] = { NULL };
	enum as_status st = AS_OK;

	for (int i = 0; i < N_SCOPES && st == AS_OK; i++)
		st = throttle_look(ctx, i, k.key[i], err);
	if (st != AS_OK)
		return st;
	for (int i = 0; i < N_SCOPES; i++) {
		args[i][0] = SQL_INT(ctx->auth->attempts_us);
		args[i][1] = SQL_TEXT(scopes[i]);
		args[i][2] = SQL_TEXT(k.key[i]);
		calls[i] = (struct sql_call){ &throttle_count, args[i], 3 };
	}
	st = store_batch(ctx->store, calls, N_SCOPES, rows, err);
	for (int i = 0; i < N_SCOPES; i++) {
		if (st == AS_OK)
			st = throttle_judge(ctx, i, rows_int(rows[i], 0, 0),
			    rows_int(rows[i], 0, 1), err);
		rows_free(rows[i]);
	}
	return st;
}

void
throttle_forget(const struct auth_ctx *ctx, const struct throttle *t)
{
	struct throttle_keys k = throttle_keys(ctx, t);
	struct sql_arg args[N_SCOPES][2];
	struct sql_arg window = SQL_INT(ctx->auth->attempts_us);
	struct sql_call calls[N_SCOPES + 1];

	for (int i = 0; i < N_SCOPES; i++) {
		args[i][0] = SQL_TEXT(scopes[i]);
		args[i][1] = SQL_TEXT(k.key[i]);
		calls[i] = (struct sql_call){ &throttle_undo, args[i], 2 };
	}
	calls[N_SCOPES] = (struct sql_call){ &throttle_purge, &window, 1 };
	/* If it fails, a good attempt counts as one: no harm. */
	store_batch(ctx->store, calls, N_SCOPES + 1, NULL, NULL);
}
