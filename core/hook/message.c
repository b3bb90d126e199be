/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/counter.h"
#include "core/base/failpoint.h"
#include "core/base/json.h"
#include "core/base/json_write.h"
#include "core/base/log.h"
#include "core/hook/secret.h"
#include "core/hook/sender_impl.h"
#include "core/net/http_client.h"

/*
 * One try to deliver one message.  Its body is a function of the event and of
 * what does not change in the run; once it was sent it is that of the delivery,
 * so every try has the same bytes.
 */

#define ANSWER_MAX 4096 /* bytes that are read so that the connection lives */

SQL(MESSAGE,
    "SELECT w.url, w.paused, w.secret, w.secret_before,"
    " COALESCE(w.before_until > now_us(), FALSE), d.body, r.id, r.agent_id,"
    " r.kind, r.correlation_id, r.origin, r.created_at FROM webhooks w"
    " LEFT JOIN webhook_deliveries d ON d.webhook_id = w.id AND d.id = $2"
    " LEFT JOIN runs r ON r.id = $3 AND r.tenant_id = w.tenant_id"
    " WHERE w.id = $1");

void
sender_message_free(struct message *m)
{
	m->s->n_flying--;
	signature_key_wipe(&m->keys[0]);
	signature_key_wipe(&m->keys[1]);
	arena_free(m->arena);
	free(m);
}

/* ---- What is said ---------------------------------------------------- */

static const char *
body_make(struct message *m, struct json_object *ref, const struct rows *r)
{
	struct buf b = { 0 };
	struct uuid id;
	const char *text;

	jw_open(&b, NULL);
	jw_str(&b, "type", m->row.event);
	jw_str(&b, "timestamp", jget_str(ref, "at", NULL));
	jw_open(&b, "data");
	jw_uuid(&b, "run_id", m->run_id);
	jw_str(&b, "thread_id", jget_str(ref, "thread_id", NULL));
	jw_uuid(&b, "agent_id", rows_uuid(r, 0, 7));
	jw_str(&b, "kind", rows_text(r, 0, 8));
	jw_str(&b, "state", jget_str(ref, "state", NULL));
	jw_raw(&b, "error",
	    jget(ref, "error") != NULL ? json_text(jget(ref, "error")) : NULL);
	jw_str(&b, "correlation_id", rows_text(r, 0, 9));
	jw_raw(&b, "origin", rows_text(r, 0, 10));
	jw_time(&b, "created_at", rows_int(r, 0, 11));
	if (jget_uuid(ref, "item_id", &id))
		jw_uuid(&b, "item_id", id);
	if (jget_uuid(ref, "into", &id))
		jw_uuid(&b, "into", id);
	jw_close(&b);
	jw_close(&b);
	text = arena_strndup(m->arena, b.data, b.len);
	buf_free(&b);
	return text;
}

static void
from_row(struct message *m, struct json_object *ref, const struct rows *r)
{
	m->url = arena_strdup(m->arena, rows_text(r, 0, 0));
	m->paused = rows_bool(r, 0, 1);
	m->n_keys = secret_keys(m->s->c.seal, SECRET_WEBHOOK, m->row.webhook_id,
	    r, 0, 2, m->keys);
	if (!rows_is_null(r, 0, 5))
		m->body = arena_strdup(m->arena, rows_text(r, 0, 5));
	else if (!rows_is_null(r, 0, 6))
		m->body = body_make(m, ref, r);
}

/* False: its webhook or its run is not there any more. */
static SUSPENDS enum as_status
load(struct message *m, struct error *err)
{
	struct json_object *ref = NULL;
	struct sql_arg args[] = { SQL_UUID(m->row.webhook_id),
		SQL_UUID(m->row.event_id), SQL_NULL };
	struct rows *r = NULL;
	enum as_status st;

	(void)json_parse(m->row.ref, strlen(m->row.ref), &ref, NULL);
	(void)jget_uuid(ref, "run_id", &m->run_id);
	args[2] = sql_uuid_or_null(m->run_id);
	st = store_query(m->s->c.store, &MESSAGE, args, 3, &r, err);
	if (st == AS_OK && rows_count(r) > 0)
		from_row(m, ref, r);
	rows_free(r);
	json_object_put(ref);
	return st;
}

/* ---- Sending --------------------------------------------------------- */

static const char *const *
headers_make(struct message *m)
{
	char id[UUID_TEXT];
	const char **h = arena_alloc(m->arena, 11 * sizeof(*h));
	struct signed_message what = { .body = m->body,
		.len = strlen(m->body) };
	struct buf b = { 0 };

	uuid_format(m->row.event_id, id);
	what.id = arena_printf(m->arena, "msg_%s", id);
	what.timestamp = m->s->c.wall_us(m->s->c.arg) / 1000000;
	for (int i = 0; i < m->n_keys; i++) {
		if (i > 0)
			buf_add_char(&b, ' ');
		signature_add(&b, &m->keys[i], &what);
	}
	h[0] = "content-type";
	h[1] = "application/json";
	h[2] = "user-agent";
	h[3] = "agent-studio/" PACKAGE_VERSION;
	h[4] = "webhook-id";
	h[5] = what.id;
	h[6] = "webhook-timestamp";
	h[7] = arena_printf(m->arena, "%" PRId64, what.timestamp);
	h[8] = "webhook-signature";
	h[9] = arena_strndup(m->arena, b.data, b.len);
	h[10] = NULL;
	buf_free(&b);
	return h;
}

static const char *
header_of(const struct http_response_head *head, const char *name)
{
	for (const char *const *h = head->headers; h[0] != NULL; h += 2)
		if (strcmp(h[0], name) == 0)
			return h[1];
	return NULL;
}

/* The answer's status; 0: there was none, and err says why. */
static SUSPENDS int
post(struct message *m, struct error *err)
{
	struct http_request req = { .method = "POST",
		.url = m->url,
		.headers = headers_make(m),
		.body = m->body,
		.body_len = strlen(m->body),
		.trust = HTTP_GUARDED,
		.allow = m->s->c.allow,
		.allow_name = "webhooks.allow",
		.idle_ms = m->s->c.timeout_ms,
		.max_redirects = -1,
		.max_body = ANSWER_MAX };
	struct http_stream *stream = NULL;
	int status = 0;

	FAILPOINT("outbox.pre_send");
	if (http_open(m->s->c.http, &req, &stream, err) == AS_OK) {
		status = http_head(stream)->status;
		m->retry_after_ms = hook_retry_after_ms(header_of(http_head(
								      stream),
							    "retry-after"),
		    m->s->c.wall_us(m->s->c.arg));
	}
	http_close(stream);
	FAILPOINT("outbox.post_send");
	return status;
}

/* ---- What becomes of it ---------------------------------------------- */

static enum outbox_result
judge(const struct message *m, int status, const struct error *why)
{
	if (status >= 200 && status < 300)
		return OUTBOX_DELIVERED;
	if (status == 410)
		return OUTBOX_GONE;
	/* Nobody but the user or an admin can change that. */
	if (status == 0 && (why->code == ERR_FORBIDDEN ||
			       error_status(why->code) == AS_INVALID))
		return OUTBOX_FAILED;
	return m->row.attempts < m->s->c.tries ? OUTBOX_AGAIN : OUTBOX_FAILED;
}

static void
count(enum outbox_result result)
{
	static const char *const names[] = { [OUTBOX_DELIVERED] = "delivered",
		[OUTBOX_AGAIN] = "retry",
		[OUTBOX_FAILED] = "failed",
		[OUTBOX_GONE] = "gone",
		[OUTBOX_PAUSED] = "paused" };

	counter_add(counter_get(COUNTER, "webhook_deliveries_total",
			"Tries to deliver a webhook message, by result.",
			"result", &names[result]),
	    1);
}

static SUSPENDS void
attempt(struct message *m)
{
	struct hook_sender *s = m->s;
	uint64_t from = loop_now_ms(s->c.loop);
	struct outbox_try *t = &m->result;
	struct error err = { 0 };

	t->status = post(m, &err);
	t->result = judge(m, t->status, &err);
	t->duration_ms = (int64_t)(loop_now_ms(s->c.loop) - from);
	if (t->status == 0)
		t->error = arena_strdup(m->arena, err.detail);
	if (t->result == OUTBOX_AGAIN)
		t->wait_us = hook_delay_ms(s->c.retry_ms, m->row.attempts,
				 m->retry_after_ms, s->c.random, s->c.arg) *
			     1000;
	error_clear(&err);
}

static SUSPENDS void
settle(struct message *m)
{
	struct error err = { 0 };

	m->result.row = &m->row;
	m->result.run_id = m->run_id;
	m->result.body = m->body;
	m->result.url = m->url;
	m->result.tries = m->s->c.tries;
	count(m->result.result);
	if (outbox_record(m->s->c.store, &m->result, &err) != AS_OK)
		log_warn("webhook", "a delivery is not recorded: %s",
		    err.detail);
	else if (m->result.result != OUTBOX_AGAIN)
		sender_done(m->s, m->row.id);
	error_clear(&err);
}

/*
 * A key that this process had when it took the row is gone, or the row is not
 * what was sealed: nobody can sign it.
 */
static void
unsigned_fail(struct message *m)
{
	m->result.result = OUTBOX_FAILED;
	m->result.error = "its secret cannot be opened; rotate it";
}

SUSPENDS void
sender_message(void *message)
{
	struct message *m = message;
	struct hook_sender *s = m->s;
	struct error err = { 0 };

	fiber_deadline_set(loop_now_ms(s->c.loop) + (uint64_t)s->c.timeout_ms);
	if (load(m, &err) != AS_OK) {
		error_clear(&err);
		sender_message_free(m);
		return;
	}
	if (m->url == NULL || m->body == NULL) { /* nothing to tell of */
		sender_done(s, m->row.id);
		sender_message_free(m);
		return;
	}
	if (m->paused) {
		m->result.result = OUTBOX_PAUSED;
		m->result.error = "the webhook is paused";
	} else if (m->n_keys == 0)
		unsigned_fail(m);
	else
		attempt(m);
	/* A receiver that was slow must not cost what is known of it. */
	fiber_deadline_set(loop_now_ms(s->c.loop) + (uint64_t)s->c.timeout_ms);
	settle(m);
	sender_message_free(m);
}
