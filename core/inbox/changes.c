/* SPDX-License-Identifier: Apache-2.0 */
#include "core/inbox/changes.h"

#include "core/base/json.h"
#include "core/chat/item.h"
#include "core/inbox/internal.h"

/* See changes.h. */

/* ---- Numbers ------------------------------------------------------- */

SQL_BOTH(HEAD,
    "SELECT max(floor, coalesce((SELECT max(seq) FROM inbox_changes), 0)), 0,"
    " floor FROM inbox_head",
    "SELECT seq, CASE WHEN EXISTS (SELECT 1 FROM inbox_changes"
    " WHERE seq IS NULL) THEN 1 ELSE 0 END, floor FROM inbox_head");

/*
 * Who does not get the row of the head leaves it to who has it.  The rows it
 * numbers are nobody else's to write, so this never waits for a lock, whatever
 * else is in its transaction.  A row that was numbered since the snapshot is
 * left alone, and its number is a hole.
 */
SQL(NUMBER,
    "WITH head AS MATERIALIZED (SELECT seq FROM inbox_head"
    " FOR UPDATE SKIP LOCKED), fresh AS MATERIALIZED (SELECT id,"
    " row_number() OVER (ORDER BY id) AS n FROM inbox_changes"
    " WHERE seq IS NULL AND EXISTS (SELECT 1 FROM head) ORDER BY id"
    " LIMIT 1000), done AS (UPDATE inbox_changes c SET seq = head.seq + fresh.n"
    " FROM fresh, head WHERE c.id = fresh.id AND c.seq IS NULL)"
    " UPDATE inbox_head SET seq = seq + (SELECT count(*) FROM fresh)"
    " WHERE EXISTS (SELECT 1 FROM fresh)");

static SUSPENDS enum as_status
head_read(struct store *store, struct changes_head *out, struct error *err)
{
	struct rows *r = NULL;
	enum as_status st = store_query(store, &HEAD, NULL, 0, &r, err);

	if (st == AS_OK) {
		out->seq = rows_int(r, 0, 0);
		out->unnumbered = rows_int(r, 0, 1) != 0;
		out->floor = rows_int(r, 0, 2);
	}
	rows_free(r);
	return st;
}

SUSPENDS enum as_status
changes_look(struct store *store, struct changes_head *out, struct error *err)
{
	struct rows *r;
	int64_t n = 1;
	enum as_status st = head_read(store, out, err);

	while (st == AS_OK && out->unnumbered && n > 0) {
		r = NULL;
		st = store_exec(store, &NUMBER, NULL, 0, &r, err);
		n = rows_affected(r);
		rows_free(r);
		if (st == AS_OK)
			st = head_read(store, out, err);
	}
	return st;
}

/* ---- Forgetting ---------------------------------------------------- */

#define FORGET_MAX 1000 /* in one transaction */

/* Always from the beginning, so that the floor says it all. */
SQL(RAISE_FLOOR,
    "UPDATE inbox_head SET floor = coalesce((SELECT max(seq) FROM (SELECT seq,"
    " created_at FROM inbox_changes WHERE seq > (SELECT floor FROM inbox_head)"
    " ORDER BY seq LIMIT $2) x WHERE created_at < now_us() - $1), floor)");
SQL(FORGET, "DELETE FROM inbox_changes WHERE seq <= (SELECT floor"
	    " FROM inbox_head)");

SUSPENDS enum as_status
changes_forget(struct store *store, int64_t keep_us, struct error *err)
{
	struct sql_arg args[] = { SQL_INT(keep_us), SQL_INT(FORGET_MAX) };
	struct sql_call calls[] = { { &RAISE_FLOOR, args, 2 },
		{ &FORGET, NULL, 0 } };
	struct rows *r[2];
	int64_t n = FORGET_MAX;
	enum as_status st = AS_OK;

	while (st == AS_OK && n >= FORGET_MAX) {
		r[0] = r[1] = NULL;
		st = store_batch(store, calls, 2, r, err);
		n = rows_affected(r[1]);
		rows_free(r[0]);
		rows_free(r[1]);
	}
	return st;
}

/* ---- Whose --------------------------------------------------------- */

SQL(WHOSE, "SELECT seq, tenant_id, user_id, of_owner FROM inbox_changes"
	   " WHERE seq > $1 ORDER BY seq LIMIT $2");

SUSPENDS enum as_status
changes_whose(struct store *store, int64_t after, struct arena *arena,
    struct change_of **out, int *n, struct error *err)
{
	struct sql_arg args[] = { SQL_INT(after), SQL_INT(CHANGES_MAX) };
	struct rows *r = NULL;
	enum as_status st = store_query(store, &WHOSE, args, 2, &r, err);

	*n = rows_count(r);
	*out = arena_alloc(arena, (size_t)(*n + 1) * sizeof(**out));
	for (int i = 0; i < *n; i++)
		(*out)[i] = (struct change_of){ .seq = rows_int(r, i, 0),
			.tenant_id = rows_uuid(r, i, 1),
			.user_id = rows_uuid(r, i, 2),
			.of_owner = rows_int(r, i, 3) == 1 };
	rows_free(r);
	return st;
}

/* ---- Frames -------------------------------------------------------- */

/* An item that the person does not see any more is told without it. */
#define READ_OF(whose, visible) \
	"SELECT c.seq, c.item_id, c.change, c.created_at," \
	" " ITEM_COLUMNS("i.") " FROM (SELECT seq, item_id, change, " \
			       "created_at FROM inbox_changes" \
			       " WHERE tenant_id = $1 AND " whose \
			       " AND seq > $3" \
			       " ORDER BY seq LIMIT $4) c LEFT JOIN " \
			       "inbox_items i ON i.id = c.item_id" \
			       " AND " visible " ORDER BY c.seq"

SQL(READ_TENANT,
    READ_OF("of_owner = 1 AND $2 IS NOT NULL", "i.tenant_id = $1"));
SQL(READ_MINE, READ_OF("user_id = $2", "(i.user_id = $2 OR i.assignee = $2)"));

static struct json_object *
frame_json(const struct rows *r, int i, const struct inbox_counts *counts)
{
	struct json_object *o = jobj();

	jput_int(o, "v", 1);
	jput_str(o, "type", "inbox_item");
	jput_int(o, "seq", rows_int(r, i, 0));
	jput_time(o, "ts", rows_int(r, i, 3));
	jput_uuid(o, "item_id", rows_uuid(r, i, 1));
	jput_str(o, "change", rows_text(r, i, 2));
	if (rows_is_null(r, i, 4))
		jput_null(o, "item");
	else
		jput(o, "item", item_json_from(r, i, 4));
	jput(o, "counts", inbox_counts_json(counts));
	return o;
}

SUSPENDS enum as_status
changes_read(const struct chat_ctx *ctx, int64_t after, int64_t limit,
    const struct inbox_counts *counts, struct json_object **frames,
    int64_t *last, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(ctx->who.tenant_id),
		SQL_UUID(ctx->who.user_id), SQL_INT(after), SQL_INT(limit) };
	struct rows *r = NULL;
	enum as_status st = store_query(ctx->store,
	    inbox_is_admin(&ctx->who) ? &READ_TENANT : &READ_MINE, args, 4, &r,
	    err);

	if (st != AS_OK)
		return st;
	*frames = jarr();
	for (int i = 0; i < rows_count(r); i++)
		json_object_array_add(*frames, frame_json(r, i, counts));
	*last = rows_count(r) > 0 ? rows_int(r, rows_count(r) - 1, 0) : after;
	rows_free(r);
	return AS_OK;
}
