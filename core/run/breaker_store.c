/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/breaker_store.h"

#include <stdio.h>

/* See breaker_store.h.  The table has the store's time, breakers a loop's. */

SQL(BREAKER_PUT,
    "INSERT INTO breakers (scope, state, opened_at, open_until)"
    " VALUES ($1, $2, now_us() + $3 - $4, now_us() + $3)"
    " ON CONFLICT (scope) DO UPDATE SET state = excluded.state,"
    " opened_at = excluded.opened_at, open_until = excluded.open_until");

SQL(BREAKERS_OPEN,
    "SELECT scope, open_until - now_us(), open_until - opened_at"
    " FROM breakers WHERE state = 'open' AND open_until > now_us()");

static SUSPENDS enum as_status
note_put(struct store *store, const struct breaker_note *note)
{
	struct sql_arg args[] = { SQL_TEXT(note->scope),
		SQL_TEXT(breaker_state_name(
		    note->open ? BREAKER_OPEN : BREAKER_CLOSED)),
		SQL_INT((int64_t)note->left_ms * 1000),
		SQL_INT((int64_t)note->open_ms * 1000) };

	return store_exec(store, &BREAKER_PUT, args, 4, NULL, NULL);
}

static void
notes_learn(struct breakers *b, const struct rows *r, uint64_t now_ms)
{
	for (int i = 0; i < rows_count(r); i++) {
		struct breaker_note note = { .open = true,
			.left_ms = (uint64_t)rows_int(r, i, 1) / 1000,
			.open_ms = (uint64_t)rows_int(r, i, 2) / 1000 };

		snprintf(note.scope, sizeof(note.scope), "%s",
		    rows_text(r, i, 0));
		breaker_learn(b, &note, now_ms);
	}
}

SUSPENDS void
breaker_sync(struct store *store, struct breakers *b, uint64_t now_ms, bool ask)
{
	struct breaker_note note;
	struct rows *r = NULL;

	while (breaker_news(b, now_ms, &note))
		if (note_put(store, &note) != AS_OK)
			return;
	if (ask &&
	    store_query(store, &BREAKERS_OPEN, NULL, 0, &r, NULL) == AS_OK)
		notes_learn(b, r, now_ms);
	rows_free(r);
}
