/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/json_write.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/run/ask.h"

/*
 * Items that nobody has answered in time.  Every process looks; who is first
 * decides, by the same commits as an answer.
 */

#define EXPIRE_AT_ONCE 100

/* It waits on, for whoever is an admin. */
static SUSPENDS enum as_status
escalate(struct engine *e, const struct run_overdue *o, struct error *err)
{
	struct run_answer a = { .item_id = o->item_id, .status = "pending" };
	struct buf b = { 0 };
	struct work_commit wc;
	struct work *w;
	enum as_status st = work_guest(e, o->run_id, &w, err);

	/* While it is at work there is time enough. */
	if (st == AS_OK && (w->state.status == RUN_WAITING_HUMAN ||
			       w->state.status == RUN_WAITING_CHILD)) {
		work_commit_init(w, &wc);
		wc.c.answers = &a;
		wc.c.n_answers = 1;
		jw_open(&b, NULL);
		jw_uuid(&b, "item_id", o->item_id);
		jw_null(&b, "expires_at");
		jw_bool(&b, "escalated", true);
		jw_close(&b);
		event_list_add(&wc.events, "hitl_request", &b);
		st = work_commit(w, &wc, err);
		work_commit_fini(&wc);
	}
	work_guest_free(w);
	return st;
}

static SUSPENDS enum as_status
fail(struct engine *e, const struct run_overdue *o, struct error *err)
{
	struct error why = { 0 };
	struct engine_resume how = { .reason = "unanswered",
		.items_close = "expired",
		.why = &why };
	enum as_status st;

	error_set(&why, ERR_EXPIRED, "nobody has answered in time");
	st = engine_end(e, o->run_id, RUN_FAILED, &how, err);
	error_clear(&why);
	return st;
}

static SUSPENDS void
expire_one(struct engine *e, const struct run_overdue *o)
{
	struct engine_answer a = { .item_id = o->item_id, .type = "ignore" };
	struct error err = { 0 };
	char id[UUID_TEXT];
	enum as_status st;

	if (strcmp(o->on_expire, "escalate") == 0)
		st = escalate(e, o, &err);
	else if (strcmp(o->on_expire, "fail") == 0)
		st = fail(e, o, &err);
	else {
		if (strcmp(o->on_expire, "approve") == 0)
			a.type = "accept";
		st = engine_respond(e, o->run_id, &a, 1, &err);
	}
	uuid_format(o->item_id, id);
	if (st == AS_OK)
		log_info("run", "item %s was not answered in time: %s", id,
		    o->on_expire);
	else if (st != AS_CONFLICT && st != AS_CANCELED)
		log_warn("run", "item %s: %s", id, err.detail);
	error_clear(&err);
}

SUSPENDS void
engine_expire(struct engine *e)
{
	struct run_overdue *list;
	int n;

	if (run_store_overdue(e->c.runs, EXPIRE_AT_ONCE, &list, &n, NULL) !=
	    AS_OK)
		return;
	for (int i = 0; i < n && !e->draining; i++)
		expire_one(e, &list[i]);
	free(list);
}
