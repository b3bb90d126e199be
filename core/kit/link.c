/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/kit/impl.h"

/*
 * The link between a plugin and the world of the kit.  Nothing really waits:
 * the clock is moved instead.  Whatever may suspend is counted, and at the
 * count that is asked for the call is over, as it would be if a user had
 * pressed stop just then, or the time was up.
 */

#define WAITS_MAX 200000 /* then it is a loop */
#define CALL_MS 60000

static void *
kit_alloc(struct as_call *call, size_t n)
{
	struct world *w = call->far;

	if (++w->allocs == w->alloc_at)
		return NULL;
	return host_table.alloc(call, n);
}

/* The same bytes in every run of a call, so that it takes the same way. */
static void
kit_random(struct as_call *call, void *buf, size_t n)
{
	struct world *w = call->far;
	unsigned char *to = buf;

	for (; n > 0; n--) {
		w->random ^= w->random << 13;
		w->random ^= w->random >> 7;
		w->random ^= w->random << 17;
		*to++ = (unsigned char)(w->random >> 32);
	}
}

const struct as_host *
kit_host(void)
{
	static struct as_host table;

	table = host_table;
	table.alloc = kit_alloc;
	table.random = kit_random;
	return &table;
}

/* ---- Time ---------------------------------------------------------- */

enum as_status
world_over(const struct world *w)
{
	return w->trouble == TROUBLE_CANCEL ? AS_CANCELED : AS_TIMEOUT;
}

bool
world_point(struct world *w, bool wait)
{
	unsigned n;

	w->points++;
	w->waits += wait;
	w->after += w->parked;
	if (w->waits > WAITS_MAX) {
		finding(w->kit, RULE_hang, "it waited %u times and went on",
		    WAITS_MAX);
		_Exit(0);
	}
	if (w->struck) {
		w->after++;
		return true;
	}
	n = w->trouble == TROUBLE_CANCEL ? w->points : w->waits;
	if (w->trouble == TROUBLE_NONE || n != w->at ||
	    (w->trouble == TROUBLE_DEADLINE && !wait))
		return false;
	w->struck = true;
	if (w->trouble == TROUBLE_DEADLINE)
		clock_advance((w->deadline - clock_mono_ms()) * 1000);
	return true;
}

static enum as_status
over(struct as_call *call)
{
	enum as_status st = world_over(call->far);

	if (st == AS_TIMEOUT)
		return call_fail(call, AS_TIMEOUT,
		    "the deadline of the call has passed");
	return st;
}

static enum as_status
kit_sleep(struct as_call *call, int64_t ms)
{
	struct world *w = call->far;
	int64_t left = w->deadline - clock_mono_ms();

	if (world_point(w, true))
		return over(call);
	if (left <= 0 || ms >= left) {
		clock_advance((left > 0 ? left : 0) * 1000);
		return call_fail(call, AS_TIMEOUT,
		    "the deadline of the call has passed");
	}
	clock_advance(ms * 1000);
	return AS_OK;
}

/* ---- What it says and asks for ------------------------------------- */

static enum as_status
kit_emit(struct as_call *call, const struct msg *m)
{
	struct world *w = call->far;

	if (m->kind == EMIT_LOG && secret_is_in(w->kit, m->name))
		finding(w->kit, RULE_secret, "a log line has a secret in it");
	if (m->kind == EMIT_LOG || m->kind == EMIT_COUNT)
		return AS_OK;
	if (m->kind == EMIT_DELTA && w->trouble == TROUBLE_CANCEL &&
	    world_point(w, false))
		return AS_CANCELED;
	if (w->struck && w->trouble == TROUBLE_CANCEL)
		return AS_CANCELED;
	said_take(w, m);
	return AS_OK;
}

static void
kit_serve_one(struct as_call *call, const struct msg *m, struct answer *out)
{
	struct world *w = call->far;

	memset(out, 0, sizeof(*out));
	if (world_point(w, true)) {
		out->status = world_over(w);
		if (out->status == AS_TIMEOUT)
			out->value = failure_new(
			    "the deadline of the call has passed");
		return;
	}
	world_serve(w, m, out);
}

static const struct link kit_link = {
	.emit = kit_emit,
	.serve = kit_serve_one,
	.sleep = kit_sleep,
};

/* ---- A call -------------------------------------------------------- */

/* An operation that has no message is made where start would be. */
static enum as_status
direct(struct as_call *call)
{
	struct world *w = call->far;

	return w->op->direct(call, w->op);
}

enum as_status
world_run(struct world *w, struct json_object **failure)
{
	static const char id[] = "00000000-0000-7000-8000-000000000001";
	struct as_call_info info = { .size = sizeof(info),
		.attempt = 1,
		.deadline_ms = CALL_MS,
		.idem_key = "check-1",
		.correlation_id = "check",
		.tenant_id = id,
		.user_id = id,
		.agent_id = id,
		.thread_id = id,
		.run_id = id,
		.locale = "en",
		.traceparent = "00-0af7651916cd43dd8448eb211c80319c-"
			       "b7ad6b7169203331-01" };
	struct kit *k = w->kit;
	struct as_plugin *about = &k->unit->file->about;
	struct msg op = w->op->op;
	enum as_status st;
	char *kept = NULL;

	k->label = w->op->label;
	info.plugin = k->unit->name;
	w->random = 0x9e3779b97f4a7c15u;
	w->deadline = clock_mono_ms() + CALL_MS;
	w->said.vectors = xcalloc(w->op->n_texts + 1, sizeof(bool));
	if (w->op->direct != NULL)
		about->start = direct;
	if (w->kept != NULL) {
		op.bytes = kept = xstrdup(json_text(w->kept));
		op.len = strlen(kept);
	}
	st = call_run(k->unit, &op, &info, &kit_link, w, failure);
	about->start = k->start;
	free(kept);
	world_streams_free(w);
	world_programs_free(w);
	world_tcps_free(w);
	if (*failure != NULL && secret_is_in(k, json_text(*failure)))
		finding(k, RULE_secret, "its failure has a secret in it");
	return st;
}

void
world_clear(struct world *w)
{
	struct said *s = &w->said;

	json_object_put(s->reply);
	json_object_put(s->identity);
	json_object_put(s->session);
	json_object_put(s->models);
	json_object_put(s->hits);
	json_object_put(s->calls);
	buf_free(&s->text);
	free(s->redirect);
	free(s->vectors);
	memset(s, 0, sizeof(*s));
	files_free(&w->files);
	json_object_put(w->kept);
	json_object_put(w->answers);
	w->kept = w->answers = NULL;
}
