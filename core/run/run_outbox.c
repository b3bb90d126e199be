/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/run_outbox.h"

#include <string.h>

#include "core/base/json_write.h"
#include "core/base/mem.h"

/* See run_outbox.h; the same statement on both databases. */

static const struct {
	enum run_status status;
	const char *name;
} told[] = {
	{ RUN_WAITING_HUMAN, "run.waiting_human" },
	{ RUN_RECOVERABLE_ERROR, "run.recoverable_error" },
	{ RUN_SUCCEEDED, "run.succeeded" },
	{ RUN_FAILED, "run.failed" },
	{ RUN_CANCELLED, "run.cancelled" },
	{ RUN_EXPIRED, "run.expired" },
	{ RUN_ROLLED_BACK, "run.rolled_back" },
	{ RUN_DEAD_LETTERED, "run.dead_lettered" },
};

const char *
run_outbox_name(enum run_status s)
{
	for (size_t i = 0; i < N_ITEMS(told); i++)
		if (told[i].status == s)
			return told[i].name;
	return NULL;
}

int64_t
run_outbox_bit(enum run_status s)
{
	return INT64_C(1) << s;
}

int64_t
run_outbox_mask(const char *name)
{
	bool all = strcmp(name, "run.*") == 0;
	int64_t mask = 0;

	for (size_t i = 0; i < N_ITEMS(told); i++)
		if (all || strcmp(told[i].name, name) == 0)
			mask |= run_outbox_bit(told[i].status);
	return mask;
}

bool
run_outbox_tells(const struct run_commit *c)
{
	return c->from != c->to && run_commit_ns(c)[0] == '\0' &&
	       run_outbox_name(c->to) != NULL;
}

const char *
run_outbox_ref(struct arena *arena, const struct run_commit *c)
{
	struct buf b = { 0 };
	const char *text;

	jw_open(&b, NULL);
	jw_uuid(&b, "run_id", c->run_id);
	jw_uuid(&b, "thread_id", c->thread_id);
	jw_str(&b, "state", run_status_name(c->to));
	jw_time(&b, "at", c->now_us);
	jw_raw(&b, "error", c->error);
	jw_close(&b);
	text = arena_strndup(arena, b.data, b.len);
	buf_free(&b);
	return text;
}

SQL(OUTBOX_EVENT,
    "INSERT INTO outbox (tenant_id, kind, dest, ref, webhook_id, event_id,"
    " next_at, created_at) SELECT r.tenant_id, 'webhook', $3, $4, w.id, $2,"
    " $5, $5 FROM runs r JOIN webhooks w ON w.tenant_id = r.tenant_id AND"
    " w.user_id = r.user_id WHERE r.id = $1 AND r.last_commit_id = $2"
    " AND NOT w.paused AND (w.event_mask & $6) <> 0");

void
run_outbox_add(struct batch *b, const struct run_commit *c)
{
	if (!run_outbox_tells(c))
		return;
	BATCH_ADD(b, &OUTBOX_EVENT, SQL_UUID(c->run_id), SQL_UUID(c->commit_id),
	    SQL_TEXT(run_outbox_name(c->to)),
	    SQL_TEXT(run_outbox_ref(b->arena, c)), SQL_INT(c->now_us),
	    SQL_INT(run_outbox_bit(c->to)));
}
