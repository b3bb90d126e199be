/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/arena.h"
#include "core/run/run_store_impl.h"
#include "core/store/store.h"

/*
 * What tool calls keep.  A note is written beside the commits of its run, but
 * only while the fence stands under which the call is made; like an intent, it
 * says nothing to readers of the log.
 */

#define NOTE_FROM \
	" FROM tool_invocations t JOIN runs r ON r.id = t.run_id" \
	" WHERE t.id = $3 AND r.id = $1 AND r.fence = $2" \
	" AND r.status IN ('running', 'cancelling') AND t.state = 'started'"
#define NOTE_INTO \
	"INSERT INTO call_notes (invocation_id, key, value)" \
	" SELECT t.id, $4, $5"
#define NOTE_AGAIN \
	" ON CONFLICT (invocation_id, key) DO UPDATE SET" \
	" value = excluded.value RETURNING 1"

/* Whoever moves the fence meanwhile waits for us, or we for him. */
static struct sql NOTE = {
	.sqlite = NOTE_INTO NOTE_FROM NOTE_AGAIN,
	.postgres = NOTE_INTO NOTE_FROM " FOR SHARE OF r" NOTE_AGAIN,
};

SUSPENDS enum as_status
run_sql_note(void *arg, struct uuid run_id, int64_t fence,
    const struct run_note *note, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(run_id), SQL_INT(fence),
		SQL_UUID(note->call_id), SQL_TEXT(note->key),
		SQL_TEXT(note->value) };
	struct rows *r = NULL;
	enum as_status st = store_exec(arg, &NOTE, args, 5, &r, err);

	if (st == AS_OK && rows_count(r) != 1)
		st = error_set(err, ERR_CONFLICT,
		    "the call is not under way any more");
	rows_free(r);
	return st;
}

SQL(NOTES, "SELECT n.invocation_id, n.key, n.value FROM call_notes n"
	   " JOIN tool_invocations t ON t.id = n.invocation_id"
	   " WHERE t.run_id = $1 AND t.step = $2 ORDER BY n.key");

SUSPENDS enum as_status
run_sql_notes(void *arg, struct uuid run_id, int64_t step, struct arena *arena,
    struct run_note **out, int *n, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(run_id), SQL_INT(step) };
	struct rows *r = NULL;
	enum as_status st = store_query(arg, &NOTES, args, 2, &r, err);

	*n = rows_count(r);
	*out = arena_alloc(arena, (size_t)*n * sizeof(**out) + 1);
	for (int i = 0; i < *n; i++)
		(*out)[i] = (struct run_note){ .call_id = rows_uuid(r, i, 0),
			.key = arena_strdup(arena, rows_text(r, i, 1)),
			.value = arena_strdup(arena, rows_text(r, i, 2)) };
	rows_free(r);
	return st;
}
