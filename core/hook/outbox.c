/* SPDX-License-Identifier: Apache-2.0 */
#include "core/hook/outbox.h"

#include <string.h>

#include "core/auth/seal.h"
#include "core/base/mem.h"
#include "core/run/batch.h"

/* ---- Taking --------------------------------------------------------- */

SQL(DUE, "SELECT MIN(next_at) - now_us() FROM outbox WHERE kind = 'webhook'");
SQL(DEPTH, "SELECT count(*) FROM outbox WHERE kind = 'webhook'");

#define DUE_ROWS \
	"SELECT o.id FROM outbox o JOIN webhooks w ON w.id = o.webhook_id" \
	" WHERE o.kind = 'webhook' AND o.next_at <= now_us()" \
	" AND w.key_id IN ($3, $4, $5, $6, $7, $8, $9, $10)" \
	" ORDER BY o.next_at, o.id LIMIT $1"
#define TAKEN "id, attempts, tenant_id, webhook_id, event_id, dest, ref"

SQL_BOTH(TAKE,
    "UPDATE outbox SET attempts = attempts + 1, next_at = now_us() + $2"
    " WHERE id IN (" DUE_ROWS ") RETURNING " TAKEN,
    "WITH due AS MATERIALIZED (" DUE_ROWS " FOR UPDATE OF o SKIP LOCKED)"
    " UPDATE outbox SET attempts = attempts + 1, next_at = now_us() + $2"
    " FROM due WHERE outbox.id = due.id RETURNING outbox.id, attempts,"
    " tenant_id, webhook_id, event_id, dest, ref");

SQL(REMOVE, "DELETE FROM outbox WHERE id = $1");

static SUSPENDS enum as_status
one_number(struct store *store, struct sql *sql, int64_t dflt, int64_t *out,
    struct error *err)
{
	struct rows *r = NULL;
	enum as_status st = store_query(store, sql, NULL, 0, &r, err);

	*out = st == AS_OK && !rows_is_null(r, 0, 0) ? rows_int(r, 0, 0) : dflt;
	rows_free(r);
	return st;
}

SUSPENDS enum as_status
outbox_due(struct store *store, int64_t *in_us, struct error *err)
{
	return one_number(store, &DUE, INT64_MAX, in_us, err);
}

SUSPENDS enum as_status
outbox_depth(struct store *store, int64_t *n, struct error *err)
{
	return one_number(store, &DEPTH, 0, n, err);
}

static struct outbox_row *
rows_copy(struct arena *arena, const struct rows *r, int n)
{
	struct outbox_row *list = arena_alloc(arena,
	    (size_t)(n + 1) * sizeof(*list));

	for (int i = 0; i < n; i++)
		list[i] = (struct outbox_row){
			.id = rows_int(r, i, 0),
			.attempts = rows_int(r, i, 1),
			.tenant_id = rows_uuid(r, i, 2),
			.webhook_id = rows_uuid(r, i, 3),
			.event_id = rows_uuid(r, i, 4),
			.event = arena_strdup(arena, rows_text(r, i, 5)),
			.ref = arena_strdup(arena, rows_text(r, i, 6)),
		};
	return list;
}

SUSPENDS enum as_status
outbox_take(struct store *store, const struct seal *seal, int64_t lease_us,
    int max, struct arena *arena, struct outbox_row **out, int *n,
    struct error *err)
{
	struct sql_arg args[2 + SEAL_KEYS_MAX] = { SQL_INT(max),
		SQL_INT(lease_us) };
	struct rows *r = NULL;
	enum as_status st;

	for (int i = 0; i < SEAL_KEYS_MAX; i++)
		args[2 + i] = SQL_TEXT(seal_key_at(seal, i));
	st = store_exec(store, &TAKE, args, 2 + SEAL_KEYS_MAX, &r, err);
	*n = rows_count(r);
	*out = rows_copy(arena, r, *n);
	rows_free(r);
	return st;
}

SUSPENDS enum as_status
outbox_remove(struct store *store, const int64_t *ids, int n, struct error *err)
{
	struct batch b;
	enum as_status st;

	if (n == 0)
		return AS_OK;
	batch_init(&b);
	for (int i = 0; i < n; i++)
		BATCH_ADD(&b, &REMOVE, SQL_INT(ids[i]));
	st = store_batch(store, b.calls, b.n, NULL, err);
	batch_fini(&b);
	return st;
}

/* ---- Recording ------------------------------------------------------ */

/* What has arrived stays so, whatever a slower sender has to say of its try. */
SQL(DELIVERY,
    "INSERT INTO webhook_deliveries (webhook_id, id, tenant_id, event, run_id,"
    " body, status, attempts, response_status, error, duration_ms, next_at,"
    " created_at, updated_at) SELECT w.id, $2, w.tenant_id, $3, $4, $5, $6,"
    " $7, $8, $9, $10, now_us() + $11, now_us(), now_us() FROM webhooks w"
    " WHERE w.id = $1 ON CONFLICT (webhook_id, id) DO UPDATE SET"
    " status = excluded.status,"
    " attempts = webhook_deliveries.attempts + excluded.attempts,"
    " response_status = excluded.response_status, error = excluded.error,"
    " duration_ms = excluded.duration_ms, next_at = excluded.next_at,"
    " updated_at = excluded.updated_at"
    " WHERE webhook_deliveries.status <> 'delivered'"
    " OR excluded.status = 'delivered'");

/* Is that still what the delivery says? */
#define SAYS(webhook, delivery, status) \
	" EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.webhook_id " \
	"= " webhook " AND d.id = " delivery " AND d.status = " status ")"

/* $4: 0 it works, 1 it does not, 2 given up, 3 gone. */
SQL(WEBHOOK_TOLD,
    "UPDATE webhooks SET last_status = $2, last_at = now_us(),"
    " failures = CASE WHEN $4 = 0 THEN 0 ELSE failures + 1 END,"
    " paused_reason = CASE WHEN paused THEN paused_reason"
    " WHEN $4 = 3 THEN 'gone'"
    " WHEN $4 = 2 AND failures + 1 >= $3 THEN 'failing' END,"
    " paused = paused OR $4 = 3 OR ($4 = 2 AND failures + 1 >= $3)"
    " WHERE id = $1 AND" SAYS("$1", "$5", "$6"));

/* One for a webhook and a run, whatever happens to both later. */
SQL(NOTICE,
    "INSERT INTO inbox_items (id, tenant_id, user_id, agent_id, thread_id,"
    " run_id, correlation_id, interrupt_id, step, ordinal, kind, title,"
    " description, status, created_at, updated_at)"
    " SELECT $3, w.tenant_id, w.user_id, r.agent_id, r.thread_id, r.id,"
    " r.correlation_id, w.id, r.step, 0, 'notification', CASE"
    " WHEN w.paused THEN 'A webhook is paused' ELSE"
    " 'A webhook message was given up' END, $4, 'pending', now_us(),"
    " now_us() FROM webhooks w JOIN runs r ON r.tenant_id = w.tenant_id"
    " AND r.user_id = w.user_id WHERE w.id = $1 AND r.id = $2"
    " AND" SAYS("$1", "$5",
	"$6") " ON CONFLICT (run_id, interrupt_id) DO NOTHING");

SQL(AGAIN, "UPDATE outbox SET next_at = now_us() + $3 WHERE id = $1"
	   " AND attempts = $2");
/* Its other messages would not fare better now. */
SQL(OTHERS_LATER,
    "UPDATE outbox SET next_at = now_us() + $3 WHERE webhook_id = $1"
    " AND id <> $2 AND next_at <= now_us() + $3");

static const char *
status_of(enum outbox_result result)
{
	return result == OUTBOX_DELIVERED ? "delivered"
	       : result == OUTBOX_AGAIN   ? "pending"
					  : "failed";
}

static int
told_of(enum outbox_result result)
{
	switch (result) {
	case OUTBOX_AGAIN:
		return 1;
	case OUTBOX_FAILED:
		return 2;
	case OUTBOX_GONE:
		return 3;
	default:
		return 0;
	}
}

static const char *
notice_text(struct arena *arena, const struct outbox_try *t)
{
	const char *why = t->error != NULL ? t->error : "it was refused";

	if (t->result == OUTBOX_GONE)
		why = "it answered 410 Gone";
	return arena_printf(arena,
	    "%s could not be told of %s after %lld tries: %s", t->url,
	    t->row->event, (long long)t->row->attempts, why);
}

static void
add_again(struct batch *b, const struct outbox_try *t)
{
	BATCH_ADD(b, &AGAIN, SQL_INT(t->row->id), SQL_INT(t->row->attempts),
	    SQL_INT(t->wait_us));
	BATCH_ADD(b, &OTHERS_LATER, SQL_UUID(t->row->webhook_id),
	    SQL_INT(t->row->id), SQL_INT(t->wait_us));
}

SUSPENDS enum as_status
outbox_record(struct store *store, const struct outbox_try *t,
    struct error *err)
{
	bool was_tried = t->result != OUTBOX_PAUSED;
	struct sql_arg hook = SQL_UUID(t->row->webhook_id);
	struct sql_arg id = SQL_UUID(t->row->event_id);
	struct sql_arg status = SQL_TEXT(status_of(t->result));
	struct batch b;
	enum as_status st;

	batch_init(&b);
	BATCH_ADD(&b, &DELIVERY, hook, id, SQL_TEXT(t->row->event),
	    sql_uuid_or_null(t->run_id), SQL_TEXT(t->body), status,
	    SQL_INT(was_tried ? 1 : 0), sql_time(t->status), SQL_TEXT(t->error),
	    SQL_INT(t->duration_ms),
	    sql_time(t->result == OUTBOX_AGAIN ? t->wait_us : 0));
	if (was_tried)
		BATCH_ADD(&b, &WEBHOOK_TOLD, hook, sql_time(t->status),
		    SQL_INT(t->tries), SQL_INT(told_of(t->result)), id, status);
	if (told_of(t->result) > 1 && !uuid_is_nil(t->run_id))
		BATCH_ADD(&b, &NOTICE, hook, SQL_UUID(t->run_id),
		    SQL_UUID(uuid_v7()), SQL_TEXT(notice_text(b.arena, t)), id,
		    status);
	if (t->result == OUTBOX_AGAIN)
		add_again(&b, t);
	st = store_batch(store, b.calls, b.n, NULL, err);
	batch_fini(&b);
	return st;
}

/* ---- What is left ----------------------------------------------------- */

SQL(PRUNE_DELIVERIES,
    "DELETE FROM webhook_deliveries WHERE updated_at < now_us() - $1"
    " AND status <> 'pending'");
SQL(PRUNE_OUTBOX, "DELETE FROM outbox WHERE kind = 'webhook' AND NOT EXISTS"
		  " (SELECT 1 FROM webhooks w WHERE w.id = outbox.webhook_id)");

SUSPENDS enum as_status
outbox_prune(struct store *store, int64_t keep_us, struct error *err)
{
	struct sql_arg args[] = { SQL_INT(keep_us) };
	struct sql_call calls[] = { { &PRUNE_DELIVERIES, args, 1 },
		{ &PRUNE_OUTBOX, NULL, 0 } };

	return store_batch(store, calls, N_ITEMS(calls), NULL, err);
}
