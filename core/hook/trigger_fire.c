/* SPDX-License-Identifier: Apache-2.0 */
#include "core/hook/trigger_fire.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/counter.h"
#include "core/base/text.h"
#include "core/hook/rate.h"
#include "core/hook/secret.h"
#include "core/hook/template.h"

/*
 * In this order: is the sender's address one that guesses; is there such a
 * trigger; is it signed; only then whether the trigger takes anything now.  So
 * a stranger learns no more than that it is there, and cannot use up its rate.
 */

#define ID_MAX 256
#define DEDUP_FORMAT "webhook:%s:%s"

SQL(TRIGGER_LOAD,
    "SELECT t.tenant_id, t.user_id, t.agent_id, t.scheme, t.task, t.class,"
    " t.paused, t.name, t.secret, t.secret_before,"
    " COALESCE(t.before_until > now_us(), FALSE) FROM triggers t"
    " JOIN users u ON u.id = t.user_id AND u.disabled_at IS NULL"
    " WHERE t.id = $1");
SQL(TRIGGER_FIRED, "UPDATE triggers SET fired = fired + 1, last_at = now_us(),"
		   " last_run_id = $2 WHERE id = $1");

static enum as_status
limited(int64_t wait_ms, struct error *err)
{
	enum as_status st = error_set(err, ERR_RATE_LIMITED,
	    "too many messages");

	if (err != NULL)
		err->retry_after_ms = wait_ms;
	return st;
}

static enum as_status
bad_signature(const char *what, struct error *err)
{
	return error_set(err, ERR_SIGNATURE_INVALID, "%s", what);
}

/* ---- Is it from who may? ---------------------------------------------- */

static bool
id_is_good(const char *id)
{
	size_t len = id != NULL ? strlen(id) : 0;

	for (size_t i = 0; i < len; i++)
		if (id[i] <= ' ' || id[i] >= 0x7f)
			return false;
	return len > 0 && len <= ID_MAX;
}

static enum as_status
standard_check(const struct trigger_message *m,
    const struct signature_key *keys, int n, int64_t now_s, struct error *err)
{
	struct signed_message what = { .id = m->id,
		.body = m->body,
		.len = m->len };

	if (!id_is_good(m->id) || m->signature == NULL ||
	    m->timestamp == NULL ||
	    !text_to_int(m->timestamp, 0, INT64_MAX / 2, &what.timestamp))
		return bad_signature("webhook-id, webhook-timestamp and "
				     "webhook-signature are needed",
		    err);
	if (!signature_is_of(m->signature, keys, n, &what))
		return bad_signature("the signature is of another message",
		    err);
	if (llabs(what.timestamp - now_s) > SIGNATURE_TOLERANCE_S)
		return bad_signature("the timestamp is not of now", err);
	return AS_OK;
}

static enum as_status
github_check(const struct trigger_message *m, const struct signature_key *keys,
    int n, struct error *err)
{
	if (m->github_signature == NULL || !id_is_good(m->github_id))
		return bad_signature("X-Hub-Signature-256 and "
				     "X-GitHub-Delivery are needed",
		    err);
	if (!signature_github_is_of(m->github_signature, keys, n, m->body,
		m->len))
		return bad_signature("the signature is of another message",
		    err);
	return AS_OK;
}

static enum as_status
signature_check(const struct chat_ctx *ctx, const struct seal *seal,
    const struct trigger_message *m, const struct rows *r, bool is_github,
    struct error *err)
{
	struct signature_key keys[2] = { { .len = 0 } };
	int n = secret_keys(seal, is_github ? SECRET_GITHUB : SECRET_TRIGGER,
	    m->trigger_id, r, 0, 8, keys);
	enum as_status st;

	if (n == 0)
		st = error_set(err, ERR_UNAVAILABLE,
		    "the trigger's secret cannot be opened here");
	else if (is_github)
		st = github_check(m, keys, n, err);
	else
		st = standard_check(m, keys, n,
		    engine_now_us(ctx->engine) / 1000000, err);
	signature_key_wipe(&keys[0]);
	signature_key_wipe(&keys[1]);
	return st;
}

/* ---- What it starts ---------------------------------------------------- */

static SUSPENDS enum as_status
start(struct chat_ctx *ctx, const struct trigger_message *m,
    const struct rows *r, const char *id, struct ambient_started *out,
    struct error *err)
{
	char trigger[UUID_TEXT];
	struct buf task = { 0 };
	struct ambient_task t = { .tenant_id = rows_uuid(r, 0, 0),
		.user_id = rows_uuid(r, 0, 1),
		.agent_id = rows_uuid(r, 0, 2),
		.class = (int)rows_int(r, 0, 5) };
	enum as_status st;

	uuid_format(m->trigger_id, trigger);
	ctx->who = (struct principal){ .user_id = t.user_id,
		.tenant_id = t.tenant_id,
		.role = ROLE_MEMBER };
	template_fill(&task, rows_text(r, 0, 4), id, m->body, m->len);
	t.task = task.data;
	if (rows_text(r, 0, 7)[0] != '\0')
		t.title = rows_text(r, 0, 7);
	t.origin = arena_printf(ctx->arena,
	    "{\"kind\":\"webhook\",\"id\":\"%s\"}", trigger);
	t.dedup = arena_printf(ctx->arena, DEDUP_FORMAT, trigger, id);
	st = ambient_start(ctx, &t, out, err);
	buf_free(&task);
	return st;
}

/* A count that a crash may lose: what counts is the run. */
static SUSPENDS void
fired(struct store *store, struct uuid trigger_id, struct uuid run_id)
{
	struct sql_arg args[] = { SQL_UUID(trigger_id), SQL_UUID(run_id) };

	(void)store_exec(store, &TRIGGER_FIRED, args, 2, NULL, NULL);
}

static SUSPENDS enum as_status
fire(struct chat_ctx *ctx, const struct seal *seal, struct hook_rates *rates,
    const struct trigger_message *m, const struct rows *r,
    struct ambient_started *out, struct error *err)
{
	bool is_github = strcmp(rows_text(r, 0, 3), "github") == 0;
	int64_t wait;
	enum as_status st = signature_check(ctx, seal, m, r, is_github, err);

	if (st != AS_OK)
		return st;
	if (rows_bool(r, 0, 6))
		return error_set(err, ERR_FORBIDDEN, "the trigger is paused");
	wait = hook_rates_take(rates, m->trigger_id.b, sizeof(m->trigger_id.b),
	    loop_now_ms(loop_self()));
	if (wait > 0)
		return limited(wait, err);
	st = start(ctx, m, r, is_github ? m->github_id : m->id, out, err);
	if (st == AS_OK && !out->replayed)
		fired(ctx->store, m->trigger_id, out->run_id);
	return st;
}

static void
count(const char *outcome)
{
	counter_add(counter_get(COUNTER, "trigger_messages_total",
			"Messages to triggers, and what came of them.",
			"outcome", &outcome),
	    1);
}

/* Refused for what it is, not for what happens to be here. */
static bool
is_a_guess(const struct error *err)
{
	return err->code == ERR_NOT_FOUND || err->code == ERR_SIGNATURE_INVALID;
}

SUSPENDS enum as_status
trigger_fire(struct chat_ctx *ctx, const struct seal *seal,
    struct hook_rates *rates, const struct trigger_message *m,
    struct ambient_started *out, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(m->trigger_id) };
	size_t peer_len = strlen(m->peer);
	char id[UUID_TEXT];
	struct rows *r = NULL;
	enum as_status st;
	int64_t wait = hook_rates_take(rates, m->peer, peer_len,
	    loop_now_ms(loop_self()));

	if (wait > 0) {
		count("limited");
		return limited(wait, err);
	}
	st = store_query(ctx->store, &TRIGGER_LOAD, args, 1, &r, err);
	uuid_format(m->trigger_id, id);
	if (st == AS_OK && rows_count(r) == 0)
		st = error_not_found(err, "trigger", id);
	else if (st == AS_OK)
		st = fire(ctx, seal, rates, m, r, out, err);
	rows_free(r);
	count(st == AS_OK ? out->replayed ? "repeated" : "started"
	      : err->code == ERR_RATE_LIMITED ? "limited"
					      : "refused");
	if (st == AS_OK || !is_a_guess(err))
		hook_rates_give(rates, m->peer, peer_len,
		    loop_now_ms(loop_self()));
	return st;
}
