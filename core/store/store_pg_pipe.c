/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_pg.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/mem.h"

/*
 * The pipeline: what is sent, and what comes back for it, in the same order.
 *
 * Reads queued in one turn share a Sync; one that fails makes the server skip
 * the rest of its group, which is sent again.  Writes are sent when nothing is
 * in flight: all that wait become one transaction with one Sync, whose result
 * is the only thing that wakes their fibers.  If such a batch fails, it was
 * rolled back as a whole, and each of its requests is sent again alone.
 */

#define GROUP_BYTES (1024 * 1024)

/* ---- Sending ------------------------------------------------------- */

void
pg_push(struct pg_conn *c, struct store_req *r)
{
	pg_wait_append(c, r);
	if (c->state == PG_UP) {
		pg_conn_watch(c);
		pg_flush_later(c);
	}
}

/* The item comes first: so it is found if sending fails. */
static bool
send_params(struct pg_conn *c, struct store_req *r, int i,
    const struct pg_params *p)
{
	const struct store_call *call = &r->calls[i];
	bool *prepared = pg_prepared(c, call->id);
	char name[32];

	snprintf(name, sizeof(name), "s%u_%u", c->epoch, call->id);
	if (!*prepared) {
		pg_item_push(c, PG_PREPARE, r, i);
		if (!PQsendPrepare(c->pg, name,
			store_sql_text(call->sql, STORE_POSTGRES), p->n,
			p->types))
			return false;
		*prepared = true;
	}
	pg_item_push(c, PG_CALL, r, i);
	return PQsendQueryPrepared(c->pg, name, p->n, p->values, p->lengths,
	    p->formats, 1);
}

static bool
send_call(struct pg_conn *c, struct store_req *r, int i)
{
	const struct store_call *call = &r->calls[i];
	struct buf mem = { 0 };
	struct pg_params p;
	bool ok;

	if (call->sql->is_set)
		pg_set_params(&p, &mem, r, i);
	else
		pg_params_set(&p, call->args, call->n_args);
	ok = send_params(c, r, i, &p);
	buf_free(&mem);
	return ok;
}

static bool
send_req(struct pg_conn *c, struct store_req *r)
{
	for (int i = 0; i < r->n_calls; i++)
		if (!send_call(c, r, i))
			return false;
	return true;
}

bool
pg_send_sync(struct pg_conn *c, struct store_req *group)
{
	struct pg_item *it;

	if (!PQpipelineSync(c->pg))
		return false;
	it = pg_item_push(c, PG_SYNC, NULL, 0);
	it->group = group;
	it->sent_us = clock_mono_us();
	c->n_syncs++;
	return true;
}

/* One Sync behind all reads that wait. */
static bool
send_reads(struct pg_conn *c)
{
	struct store_req *r;

	while (c->wait != NULL) {
		r = pg_wait_pop(c);
		if (atomic_load(&r->dropped)) {
			store_req_end(r);
			continue;
		}
		c->n_sent++;
		if (!send_req(c, r))
			return false;
	}
	return pg_send_sync(c, NULL);
}

/* The next transaction: one request that must be alone, or a batch. */
static struct store_req *
group_take(struct pg_conn *c)
{
	unsigned max = c->store->base.db->config.batch_max, n = 0;
	struct store_req *head = NULL, **tail = &head, *r;
	int64_t expired_us = pg_expired_us(c);
	size_t bytes = 0;

	while ((r = c->wait) != NULL && n < max) {
		bytes += r->size;
		if (n > 0 && (r->alone || bytes > GROUP_BYTES))
			break;
		pg_wait_pop(c);
		if (atomic_load(&r->dropped)) {
			store_req_end(r);
			continue;
		}
		if (r->queued_us < expired_us) {
			pg_refuse(r, PG_TOO_LATE);
			continue;
		}
		*tail = r;
		tail = &r->next;
		n++;
		c->n_sent++;
		histogram_observe(store_metrics()->wait,
		    (double)(clock_mono_us() - r->queued_us) / 1e6);
		if (r->alone)
			break;
	}
	return head;
}

static bool
group_send(struct pg_conn *c, struct store_req *head)
{
	for (struct store_req *r = head; r != NULL; r = r->next) {
		if (r->is_peer)
			continue;
		pg_set_gather(head, r);
		if (!send_req(c, r))
			return false;
	}
	return true;
}

static bool
send_group(struct pg_conn *c)
{
	struct store_req *head = group_take(c);

	if (head == NULL)
		return true;
	if (group_send(c, head) &&
	    FAILPOINT_ERROR("store.pg.pre_sync", NULL) == AS_OK &&
	    pg_send_sync(c, head))
		return true;
	/* Sending failed: so the group is found when it is lost. */
	pg_item_push(c, PG_SYNC, NULL, 0)->group = head;
	c->n_syncs++;
	return false;
}

static bool
send_writes(struct pg_conn *c)
{
	bool alone;

	if (c->n_syncs > 0)
		return true;
	do {
		alone = c->wait != NULL && c->wait->alone;
		if (!send_group(c))
			return false;
	} while (alone && !c->is_slow && c->wait != NULL && c->wait->alone);
	return true;
}

static void
pg_turn(struct loop_hook *h)
{
	struct pg_conn *c = container_of(h, struct pg_conn, hook);
	bool ok;

	if (c->state != PG_UP || c->wait == NULL || pg_left_behind(c))
		return;
	if (c->head == NULL)
		c->heard_ms = loop_now_ms(c->store->base.loop);
	ok = c->is_writer ? send_writes(c) : send_reads(c);
	if (ok) {
		pg_flush(c);
		if (c->is_writer)
			FAILPOINT("store.pg.post_send");
	} else
		pg_conn_lost(c, PQerrorMessage(c->pg));
}

void
pg_flush_later(struct pg_conn *c)
{
	c->hook.fn = pg_turn;
	if (!c->hook.queued)
		loop_at_turn_end(c->store->base.loop, &c->hook);
}

/* ---- Answers ------------------------------------------------------- */

/* Worth another try on the same connection, without harm. */
static bool
retry_may_help(struct pg_conn *c, const struct store_req *r,
    const PGresult *res)
{
	if (r->tries >= PG_TRIES_MAX)
		return false;
	if (pg_is_state(res, "40001") || pg_is_state(res, "40P01"))
		return true;
	if (!pg_is_state(res, "26000") && !pg_is_state(res, "0A000"))
		return false;
	/* Statements are gone or planned for a table that has changed. */
	if (c->n_prepared > 0)
		memset(c->prepared, 0, c->n_prepared * sizeof(*c->prepared));
	c->epoch++;
	return true;
}

static void
item_failed(struct pg_conn *c, struct pg_item *it, const PGresult *res)
{
	struct store_req *r = it->req;

	c->group_failed = true;
	if (it->kind == PG_PREPARE)
		*pg_prepared(c, r->calls[it->call].id) = false;
	r->status = pg_error(c->pg, res, &r->err);
	if (pg_is_state(res, "57014") || pg_is_state(res, "55P03"))
		c->is_slow = r->timed_out = true;
	else if (pg_is_state(res, "25006") && c->is_writer)
		c->is_demoted = true;
	if (retry_may_help(c, r, res)) {
		r->tries++;
		r->alone = true;
		r->status = AS_BUSY; /* until its Sync or its end */
	} else if (r->status == AS_INTERNAL)
		log_err("store", "%s in: %.400s", r->err.detail,
		    store_sql_text(r->calls[it->call].sql, STORE_POSTGRES));
}

static void
item_result(struct pg_conn *c, struct pg_item *it, PGresult *res)
{
	ExecStatusType st = PQresultStatus(res);
	struct store_req *r = it->req;

	it->answered = true;
	if (it->kind == PG_SETUP) {
		pg_conn_settled(c, res);
	} else if (st == PGRES_PIPELINE_ABORTED) {
		if (it->kind == PG_PREPARE)
			*pg_prepared(c, r->calls[it->call].id) = false;
		else if (!c->is_writer && r->status == AS_OK)
			r->status = AS_BUSY;
	} else if (it->kind == PG_SYNC) {
		/* The commit itself has failed. */
		c->group_failed = true;
		for (r = it->group; r != NULL; r = r->next)
			if (r->status == AS_OK)
				r->status = pg_error(c->pg, res, &r->err);
	} else if (st == PGRES_FATAL_ERROR || st == PGRES_BAD_RESPONSE) {
		item_failed(c, it, res);
	} else if (it->kind == PG_CALL && r->rows[it->call] == NULL) {
		if (r->peer != NULL)
			pg_set_answer(r, res);
		else
			r->rows[it->call] = pg_rows(res);
		return;
	}
	PQclear(res);
}

/* A read ends with its own answer. */
static void
read_ended(struct pg_conn *c, struct store_req *r)
{
	c->n_sent--;
	if (r->status != AS_BUSY) {
		store_req_end(r);
		return;
	}
	store_req_reset(r);
	pg_push(c, r);
}

static void
group_committed(struct pg_conn *c, struct store_req *r)
{
	struct store_req *next;

	for (; r != NULL; r = next) {
		next = r->next;
		c->n_sent--;
		store_req_end(r);
	}
}

/*
 * In their order, before all that waits.  Whose time was up has had it; but of
 * a set nobody knows whose it was.
 */
static void
group_resend(struct pg_conn *c, struct store_req *r)
{
	struct store_req *next, *reversed = NULL;

	for (; r != NULL; r = next) {
		next = r->next;
		c->n_sent--;
		if (r->timed_out && r->peer == NULL) {
			store_req_end(r);
			continue;
		}
		counter_add(store_metrics()->resent, 1);
		store_req_reset(r);
		r->alone = true;
		r->next = reversed;
		reversed = r;
	}
	for (r = reversed; r != NULL; r = next) {
		next = r->next;
		pg_wait_prepend(c, r);
	}
}

static void
sync_done(struct pg_conn *c, struct pg_item *it)
{
	struct store_req *r = it->group;
	bool failed = c->group_failed;

	c->group_failed = false;
	c->n_syncs--;
	if (r == NULL)
		return;
	counter_add(store_metrics()->batches, 1);
	histogram_observe(store_metrics()->commit,
	    (double)(clock_mono_us() - it->sent_us) / 1e6);
	if (!failed)
		c->is_slow = false;
	if (failed && (r->next != NULL || r->status == AS_BUSY))
		group_resend(c, r);
	else {
		FAILPOINT("store.pg.pre_ack");
		group_committed(c, r);
	}
}

static void
item_done(struct pg_conn *c)
{
	struct pg_item *it = c->head;
	struct store_req *r = it->req;
	bool ends_read = it->kind == PG_CALL && !c->is_writer;

	if (it->kind == PG_SYNC) {
		it->answered = false; /* an error; its Sync is to come */
		return;
	}
	pg_item_pop(c);
	if (ends_read)
		read_ended(c, r);
}

/* False: nothing more to read, or the connection has gone. */
static bool
answer(struct pg_conn *c)
{
	PGresult *res;

	if (c->head == NULL || PQisBusy(c->pg))
		return false;
	res = PQgetResult(c->pg);
	if (res == NULL) {
		if (!c->head->answered)
			return false;
		item_done(c);
	} else if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
		PQclear(res);
		MUST(c->head->kind == PG_SYNC);
		sync_done(c, c->head);
		pg_item_pop(c);
		if (c->is_demoted)
			pg_conn_lost(c, "the server has become read-only");
	} else if (PQstatus(c->pg) == CONNECTION_BAD ||
		   pg_is_state(res, "57P")) {
		char why[200];

		snprintf(why, sizeof(why), "%s", PQresultErrorMessage(res));
		PQclear(res);
		pg_conn_lost(c, why);
		return false;
	} else
		item_result(c, c->head, res);
	return c->pg != NULL;
}

void
pg_answers(struct pg_conn *c)
{
	if (pg_left_behind(c))
		return;
	while (answer(c))
		;
	if (c->pg != NULL && PQstatus(c->pg) == CONNECTION_BAD)
		pg_conn_lost(c, PQerrorMessage(c->pg));
	else if (c->state == PG_UP && c->wait != NULL)
		pg_flush_later(c);
}

/* ---- The end ------------------------------------------------------- */

static void
owed_read_lost(struct pg_conn *c, struct store_req *r, const char *why)
{
	store_req_reset(r);
	/* All connections may have gone at once: each is tried. */
	if (++r->tries > (int)c->store->n_readers + 1 || c->store->freeing)
		pg_refuse(r, why);
	else
		store_postgres.submit(&c->store->base, r);
}

static void
owed_writes_lost(struct store_req *r, const char *why)
{
	struct store_req *next;

	for (; r != NULL; r = next) {
		next = r->next;
		store_req_reset(r);
		store_error_unknown(&r->err);
		pg_refuse(r, why);
	}
}

/* The connection is gone: reads go once more, writes are unknown. */
void
pg_owed_lost(struct pg_conn *c, const char *why)
{
	struct pg_item *it = c->head, *next;
	struct store_req *last = NULL;

	c->head = NULL;
	c->tail = &c->head;
	c->n_sent = c->n_syncs = 0;
	c->group_failed = false;
	for (; it != NULL; it = next) {
		next = it->next;
		if (it->kind == PG_SYNC)
			owed_writes_lost(it->group, why);
		else if (!c->is_writer && it->req != NULL && it->req != last)
			owed_read_lost(c, last = it->req, why);
		free(it);
	}
}

/* Nothing of these was sent. */
void
pg_waiting_lost(struct pg_conn *c, const char *why)
{
	struct store_req *r = c->wait, *next;

	c->wait = NULL;
	c->wait_tail = &c->wait;
	c->n_wait = 0;
	for (; r != NULL; r = next) {
		next = r->next;
		if (c->store->freeing)
			pg_refuse(r, why);
		else
			store_postgres.submit(&c->store->base, r);
	}
}
