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

#define ESCALATED "run.escalated"
#define ESCALATED_BIT (INT64_C(1) << 40) /* beside those of states */

static int64_t
bit_of(enum run_status s)
{
	return INT64_C(1) << s;
}

int64_t
run_outbox_mask(const char *name)
{
	bool all = strcmp(name, "run.*") == 0;
	int64_t mask = all || strcmp(name, ESCALATED) == 0 ? ESCALATED_BIT : 0;

	for (size_t i = 0; i < N_ITEMS(told); i++)
		if (all || strcmp(told[i].name, name) == 0)
			mask |= bit_of(told[i].status);
	return mask;
}

/* ---- What is told -------------------------------------------------- */

bool
run_outbox_tells(const struct run_commit *c)
{
	return c->from != c->to && run_commit_ns(c)[0] == '\0' &&
	       run_outbox_name(c->to) != NULL;
}

/* `more` is the id of what else there is to know. */
static const char *
ref_make(struct arena *arena, const struct run_commit *c, struct uuid run_id,
    enum run_status state, const char *more, struct uuid id)
{
	struct buf b = { 0 };
	const char *text;

	jw_open(&b, NULL);
	jw_uuid(&b, "run_id", run_id);
	jw_uuid(&b, "thread_id", c->thread_id);
	jw_str(&b, "state", run_status_name(state));
	jw_time(&b, "at", c->now_us);
	if (more != NULL)
		jw_uuid(&b, more, id);
	else
		jw_raw(&b, "error", c->error);
	jw_close(&b);
	text = arena_strndup(arena, b.data, b.len);
	buf_free(&b);
	return text;
}

static struct run_told
of_state(struct arena *arena, const struct run_commit *c)
{
	return (struct run_told){ .run_id = c->run_id,
		.event_id = c->commit_id,
		.name = run_outbox_name(c->to),
		.bit = bit_of(c->to),
		.ref = ref_make(arena, c, c->run_id, c->to, NULL, c->run_id) };
}

/* An item escalates once. */
static struct run_told
of_item(struct arena *arena, const struct run_commit *c, struct uuid item_id)
{
	return (struct run_told){ .run_id = c->run_id,
		.event_id = item_id,
		.name = ESCALATED,
		.bit = ESCALATED_BIT,
		.ref = ref_make(arena, c, c->run_id, c->to, "item_id",
		    item_id) };
}

/* Its words go on in the run that has heard them; it ends once. */
static struct run_told
of_heard(struct arena *arena, const struct run_commit *c, struct uuid run_id)
{
	return (struct run_told){ .run_id = run_id,
		.event_id = run_id,
		.name = run_outbox_name(RUN_CANCELLED),
		.bit = bit_of(RUN_CANCELLED),
		.ref = ref_make(arena, c, run_id, RUN_CANCELLED, "into",
		    c->run_id) };
}

int
run_outbox_list(struct arena *arena, const struct run_commit *c,
    struct run_told **out)
{
	struct run_told *list = arena_alloc(arena,
	    (size_t)(1 + c->n_answers + c->n_unblocks) * sizeof(*list));
	int n = 0;

	if (run_outbox_tells(c))
		list[n++] = of_state(arena, c);
	for (int i = 0; i < c->n_answers; i++)
		if (strcmp(c->answers[i].status, "pending") == 0)
			list[n++] = of_item(arena, c, c->answers[i].item_id);
	for (int i = 0; i < c->n_unblocks; i++)
		if (c->unblocks[i].to == RUN_CANCELLED)
			list[n++] = of_heard(arena, c, c->unblocks[i].run_id);
	*out = list;
	return n;
}

SQL(OUTBOX_EVENT,
    "INSERT INTO outbox (tenant_id, kind, dest, ref, webhook_id, event_id,"
    " next_at, created_at) SELECT r.tenant_id, 'webhook', $5, $6, w.id, $4,"
    " $7, $7 FROM runs o JOIN runs r ON r.id = $3 JOIN webhooks w"
    " ON w.tenant_id = r.tenant_id AND w.user_id = r.user_id WHERE o.id = $1"
    " AND o.last_commit_id = $2 AND NOT w.paused"
    " AND (w.event_mask & $8) <> 0");

void
run_outbox_add(struct batch *b, const struct run_commit *c)
{
	struct run_told *list;
	int n = run_outbox_list(b->arena, c, &list);

	for (int i = 0; i < n; i++)
		BATCH_ADD(b, &OUTBOX_EVENT, SQL_UUID(c->run_id),
		    SQL_UUID(c->commit_id), SQL_UUID(list[i].run_id),
		    SQL_UUID(list[i].event_id), SQL_TEXT(list[i].name),
		    SQL_TEXT(list[i].ref), SQL_INT(c->now_us),
		    SQL_INT(list[i].bit));
}
