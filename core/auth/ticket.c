/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/auth/internal.h"
#include "core/base/mem.h"

/*
 * Tickets: a page of another origin has no cookie here, and a token in a URL
 * would be found in logs.  A ticket may be found there: by then it was used.
 *
 * It is used by a compare-and-set on used_at, on whichever node.  Shown where it
 * was not made for, it is used up as well.
 */

#define TICKETS_MAX 100 /* of a session, that have not expired */

/* Two at once would each count without the other's. */
#define SESSION "SELECT id FROM sessions WHERE id = $1"
SQL_BOTH(ticket_turn, SESSION, SESSION " FOR NO KEY UPDATE");
SQL(ticket_insert,
    "INSERT INTO socket_tickets (ticket_hash, session_id, thread_id, origin,"
    " good_until, created_at, expires_at)"
    " SELECT $1, id, $3, $4, $5, now_us(), now_us() + $6 FROM sessions"
    " WHERE id = $2 AND revoked_at IS NULL AND expires_at > now_us()"
    " AND (SELECT COUNT(*) FROM socket_tickets t WHERE t.session_id = $2"
    "  AND t.expires_at > now_us()) < $7");
SQL(ticket_purge, "DELETE FROM socket_tickets"
		  " WHERE expires_at <= now_us() - 300000000");
SQL(ticket_use, "UPDATE socket_tickets SET used_at = now_us()"
		" WHERE ticket_hash = $1 AND used_at IS NULL"
		" AND expires_at > now_us()"
		" RETURNING session_id, thread_id, origin, good_until");
SQL(ticket_look, "SELECT used_at IS NOT NULL FROM socket_tickets"
		 " WHERE ticket_hash = $1");

SUSPENDS enum as_status
auth_ticket_new(const struct auth_ctx *ctx, const struct principal *who,
    struct uuid thread_id, const char *origin, const char **out,
    struct error *err)
{
	char ticket[SECRET_TEXT];
	uint8_t hash[HASH_LEN];
	struct sql_arg args[] = { SQL_BYTES(hash, HASH_LEN),
		SQL_UUID(who->session_id), sql_uuid_or_null(thread_id),
		SQL_TEXT(origin != NULL ? origin : ""),
		SQL_INT(who->expires_us), SQL_INT(AUTH_TICKET_MS * 1000),
		SQL_INT(TICKETS_MAX) };
	struct sql_call calls[] = { { &ticket_purge, NULL, 0 },
		{ &ticket_turn, &args[1], 1 },
		{ &ticket_insert, args, N_ITEMS(args) } };
	struct rows *rows[N_ITEMS(calls)] = { NULL };
	enum as_status st;

	secret_new(ticket);
	secret_hash("ticket", ticket, SECRET_TEXT - 1, hash);
	st = store_batch(ctx->store, calls, N_ITEMS(calls), rows, err);
	if (st == AS_OK && rows_affected(rows[2]) == 0) {
		st = error_set(err, ERR_RATE_LIMITED,
		    "%d tickets of this session were not used yet",
		    TICKETS_MAX);
		if (err != NULL)
			err->retry_after_ms = AUTH_TICKET_MS;
	}
	for (size_t i = 0; i < N_ITEMS(calls); i++)
		rows_free(rows[i]);
	*out = st == AS_OK ? arena_strdup(ctx->arena, ticket) : NULL;
	return st;
}

/* Why ticket_use found nothing to use. */
static SUSPENDS enum as_status
ticket_refuse(struct store *store, struct sql_arg hash, struct error *err)
{
	struct rows *rows = NULL;
	/* On the writer: a read could be from before the use. */
	enum as_status st = store_exec(store, &ticket_look, &hash, 1, &rows,
	    err);
	bool used = rows_count(rows) > 0 && rows_bool(rows, 0, 0);

	rows_free(rows);
	if (st != AS_OK)
		return st;
	if (used)
		return error_set(err, ERR_TICKET_USED,
		    "this ticket was used before");
	return error_set(err, ERR_TICKET_INVALID,
	    "this ticket is unknown or has expired");
}

/* It was made for this thread and for a page of this origin. */
static bool
ticket_fits(const struct rows *rows, struct uuid thread_id, const char *origin)
{
	const char *made_for = rows_text(rows, 0, 2);

	if (!rows_is_null(rows, 0, 1) &&
	    !uuid_equal(rows_uuid(rows, 0, 1), thread_id))
		return false;
	return made_for[0] == '\0' ||
	       (origin != NULL && strcmp(made_for, origin) == 0);
}

SUSPENDS enum as_status
auth_by_ticket(struct store *store, const char *ticket, struct uuid thread_id,
    const char *origin, struct principal *out, struct error *err)
{
	uint8_t hash[HASH_LEN];
	struct sql_arg arg = SQL_BYTES(hash, HASH_LEN);
	struct rows *rows = NULL;
	enum as_status st;
	bool fits;

	memset(out, 0, sizeof(*out));
	secret_hash("ticket", ticket, strnlen(ticket, SECRET_TEXT), hash);
	st = store_exec(store, &ticket_use, &arg, 1, &rows, err);
	if (st == AS_OK && rows_count(rows) == 0) {
		rows_free(rows);
		return ticket_refuse(store, arg, err);
	}
	fits = st == AS_OK && ticket_fits(rows, thread_id, origin);
	if (fits) {
		out->session_id = rows_uuid(rows, 0, 0);
		out->expires_us = rows_int(rows, 0, 3);
	}
	rows_free(rows);
	if (st == AS_OK && !fits)
		return error_set(err, ERR_TICKET_INVALID,
		    "this ticket is for another thread or origin");
	return st == AS_OK ? auth_again(store, out, err) : st;
}
