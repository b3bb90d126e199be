/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/sim/model_store.h"

/* What people were asked and have answered (as in run_inbox.c). */

static bool
is_asked(const struct model_item *t)
{
	return strcmp(t->i.kind, "approval") == 0 ||
	       strcmp(t->i.kind, "question") == 0;
}

static struct model_item *
item_pending(const struct model *m, struct uuid run_id, struct uuid id)
{
	for (int i = 0; i < m->items.n; i++) {
		struct model_item *t = m->items.rows[i];

		if (uuid_equal(t->i.id, id) && uuid_equal(t->run_id, run_id) &&
		    strcmp(t->status, "pending") == 0)
			return t;
	}
	return NULL;
}

void
model_item_answer(struct model *m, struct uuid run_id,
    const struct run_answer *a, int64_t now_us)
{
	struct model_item *t = item_pending(m, run_id, a->item_id);

	if (t == NULL)
		return;
	t->status = arena_strdup(m->arena, a->status);
	t->response_type = arena_strdup(m->arena, a->type);
	t->response = arena_strdup(m->arena, a->response);
	t->response_key = arena_strdup(m->arena, a->key);
	t->responded_by = a->by;
	if (strcmp(a->status, "pending") == 0) {
		t->i.expires_at = 0;
		t->escalated_at = now_us;
	} else {
		t->responded_at = now_us;
		t->n_answers++;
	}
}

/* Of a run that stays open, what people were asked stays as it is. */
bool
model_item_closes(const struct model_item *t, const struct run_commit *c)
{
	return !run_is_open(c->to) || !is_asked(t);
}

enum as_status
model_answer(void *arg, struct uuid run_id, const struct run_answer *answers,
    int n, int64_t now_us, struct error *err)
{
	struct model *m = arg;
	struct model_run *r = model_run(m, run_id);
	struct model_change told = { .op = MODEL_ANSWER, .run = r };
	bool all = r != NULL &&
		   (r->status == RUN_QUEUED || r->status == RUN_RUNNING ||
		       r->status == RUN_WAITING_TIMER ||
		       r->status == RUN_WAITING_CHILD ||
		       r->status == RUN_RECOVERABLE_ERROR);

	for (int i = 0; i < n && all; i++)
		all = item_pending(m, run_id, answers[i].item_id) != NULL;
	if (!all)
		return error_set(err, ERR_CONFLICT, "the row has moved on");
	r->version++;
	for (int i = 0; i < n; i++)
		model_item_answer(m, run_id, &answers[i], now_us);
	told.from = r->status;
	told.fence = r->fence;
	told.step = r->step;
	told.owner_epoch = r->owner_epoch;
	model_tell(m, &told);
	return AS_OK;
}

/* ---- Reads --------------------------------------------------------- */

static int
asked_order(const void *a, const void *b)
{
	const struct run_asked *x = a, *y = b;

	if (x->step != y->step)
		return x->step < y->step ? -1 : 1;
	return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

static void
asked_read(const struct model_item *t, struct arena *arena,
    struct run_asked *out)
{
	*out = (struct run_asked){ .id = t->i.id,
		.interrupt_id = t->i.interrupt_id,
		.step = t->step,
		.ordinal = t->i.ordinal,
		.kind = arena_strdup(arena, t->i.kind),
		.status = arena_strdup(arena, t->status),
		.config = arena_strdup(arena, t->i.config),
		.response_type = arena_strdup(arena, t->response_type),
		.response = arena_strdup(arena, t->response),
		.response_key = arena_strdup(arena, t->response_key),
		.responded_by = t->responded_by,
		.responded_at = t->responded_at,
		.expires_at = t->i.expires_at };
}

enum as_status
model_asked(void *arg, struct uuid run_id, struct arena *arena,
    struct run_asked **out, int *n, int64_t *version, struct error *err)
{
	struct model *m = arg;
	const struct model_run *r = model_run(m, run_id);
	char id[UUID_TEXT];

	*n = 0;
	*out = NULL;
	if (r == NULL) {
		uuid_format(run_id, id);
		return error_not_found(err, "run", id);
	}
	*version = r->version;
	*out = arena_alloc(arena, (size_t)m->items.n * sizeof(**out) + 1);
	for (int i = 0; i < m->items.n; i++) {
		const struct model_item *t = m->items.rows[i];

		if (uuid_equal(t->run_id, run_id) && is_asked(t))
			asked_read(t, arena, &(*out)[(*n)++]);
	}
	qsort(*out, (size_t)*n, sizeof(**out), asked_order);
	return AS_OK;
}

static int
overdue_order(const void *a, const void *b)
{
	const struct model_item *const *x = a, *const *y = b;

	if ((*x)->i.expires_at != (*y)->i.expires_at)
		return (*x)->i.expires_at < (*y)->i.expires_at ? -1 : 1;
	return uuid_compare((*x)->i.id, (*y)->i.id);
}

static bool
is_overdue(struct model *m, const struct model_item *t)
{
	const char *then = t->i.on_expire != NULL ? t->i.on_expire : "";
	const struct model_run *r = model_run(m, t->run_id);

	if (strcmp(t->status, "pending") != 0 || t->i.expires_at == 0 ||
	    t->i.expires_at > model_now_us(m) || r == NULL ||
	    r->status == RUN_CANCELLING)
		return false;
	if (strcmp(then, "escalate") == 0)
		return r->status == RUN_WAITING_HUMAN ||
		       r->status == RUN_WAITING_CHILD;
	if (strcmp(then, "fail") == 0)
		return r->status != RUN_RUNNING &&
		       r->status != RUN_WAITING_CHILD;
	return true;
}

enum as_status
model_overdue(void *arg, int max, struct run_overdue **out, int *n,
    struct error *err)
{
	struct model *m = arg;
	struct model_item **due = xcalloc((size_t)m->items.n + 1, sizeof(*due));
	int k = 0;

	(void)err;
	for (int i = 0; i < m->items.n; i++)
		if (is_overdue(m, m->items.rows[i]))
			due[k++] = m->items.rows[i];
	qsort(due, (size_t)k, sizeof(*due), overdue_order);
	*n = k < max ? k : max;
	*out = *n > 0 ? xcalloc((size_t)*n, sizeof(**out)) : NULL;
	for (int i = 0; i < *n; i++) {
		(*out)[i].item_id = due[i]->i.id;
		(*out)[i].run_id = due[i]->run_id;
		snprintf((*out)[i].on_expire, sizeof((*out)[i].on_expire), "%s",
		    due[i]->i.on_expire != NULL ? due[i]->i.on_expire : "");
	}
	free(due);
	return AS_OK;
}
