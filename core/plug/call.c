/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plug/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/plug/unit.h"

/*
 * The plugin's side of a call: from the first argument to the last byte that
 * it allocated.  A call begins and ends in call_run, on one thread, and nothing
 * of it is there afterwards; its failure leaves as JSON.
 */

#define CALL_MEMORY_MAX ((size_t)64 << 20)

void
answer_clear(struct answer *a)
{
	json_object_put(a->value);
	free(a->bytes);
	memset(a, 0, sizeof(*a));
}

struct msg
answer_msg(const struct answer *a)
{
	return (struct msg){ .kind = MSG_ANSWER,
		.index = (uint32_t)a->status,
		.n = a->n,
		.value = a->value,
		.bytes = a->bytes,
		.len = a->len };
}

void *
call_alloc(struct as_call *call, size_t n)
{
	if (n > CALL_MEMORY_MAX || call->used > CALL_MEMORY_MAX - n)
		return NULL;
	call->used += n;
	return arena_alloc(call->arena, n);
}

const char *
call_text(struct as_call *call, const char *s)
{
	struct buf clean = { 0 };
	const char *copy;

	if (s == NULL || text_is_utf8(s, strlen(s)))
		return arena_strdup(call->arena, s);
	text_add_clean(&clean, s, strlen(s));
	copy = arena_strndup(call->arena, clean.data, clean.len);
	buf_free(&clean);
	return copy;
}

static void
value_drop(void *v)
{
	json_object_put(v);
}

struct json_object *
call_own(struct as_call *call, struct json_object *v)
{
	if (v != NULL)
		arena_cleanup(call->arena, value_drop, v);
	return v;
}

enum as_status
call_fail(struct as_call *call, enum as_status status, const char *fmt, ...)
{
	struct as_error error = { .size = sizeof(error), .status = status };
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	error.message = text;
	return host_table.fail(call, &error);
}

struct json_object *
failure_new(const char *message)
{
	struct json_object *o = jobj();

	jput_str(o, "message", message);
	return o;
}

struct json_object *
failure_of(const struct error *err)
{
	struct json_object *o = failure_new(err->detail);

	if (err->service[0] != '\0')
		jput_str(o, "service", err->service);
	if (err->retry_after_ms > 0)
		jput_int(o, "retry_after_ms", err->retry_after_ms);
	if (err->extra != NULL && jget_bool(err->extra, "sent", false))
		jput_int(o, "maybe_done", AS_YES);
	return o;
}

/* A failure that came from the other side becomes the call's own. */
enum as_status
call_fail_json(struct as_call *call, enum as_status status,
    struct json_object *failure)
{
	struct as_error error = { .size = sizeof(error), .status = status };

	error.message = jget_str(failure, "message", "");
	error.user_message = jget_str(failure, "user_message", NULL);
	error.code = jget_str(failure, "code", NULL);
	error.service = jget_str(failure, "service", NULL);
	error.retry_after_ms = jget_int(failure, "retry_after_ms", 0);
	error.retryable = (enum as_tristate)jget_int(failure, "retryable", 0);
	error.maybe_done = (enum as_tristate)jget_int(failure, "maybe_done", 0);
	return host_table.fail(call, &error);
}

/* What is left of as_error once the call is gone. */
static struct json_object *
failure_take(struct as_call *call)
{
	const struct as_error *e = &call->error;
	struct json_object *o, *details = NULL;

	if (!call->failed)
		return NULL;
	o = failure_new(e->message);
	if (e->user_message != NULL)
		jput_str(o, "user_message", e->user_message);
	if (e->code != NULL)
		jput_str(o, "code", e->code);
	if (e->service != NULL)
		jput_str(o, "service", e->service);
	if (e->retry_after_ms > 0)
		jput_int(o, "retry_after_ms", e->retry_after_ms);
	if (e->retryable != AS_DEFAULT)
		jput_int(o, "retryable", e->retryable);
	if (e->maybe_done != AS_DEFAULT)
		jput_int(o, "maybe_done", e->maybe_done);
	if (e->details != NULL &&
	    value_copy(call, e->details, &details) == AS_OK)
		jput(o, "details", details);
	return o;
}

enum as_status
call_serve(struct as_call *call, const struct msg *m, struct answer *out)
{
	enum as_status st;

	memset(out, 0, sizeof(*out));
	if ((st = call->link->sleep(call, 0)) != AS_OK)
		return st;
	call->link->serve(call, m, out);
	if ((st = out->status) == AS_OK)
		return AS_OK;
	if (st != AS_CANCELED)
		call_fail_json(call, st, out->value);
	answer_clear(out);
	return st;
}

struct info_text {
	const char *key;
	size_t offset;
};

#define INFO_TEXT(member) \
	{ \
#member, offsetof(struct as_call_info, member) \
	}

static const struct info_text info_texts[] = {
	INFO_TEXT(idem_key),
	INFO_TEXT(correlation_id),
	INFO_TEXT(traceparent),
	INFO_TEXT(tenant_id),
	INFO_TEXT(user_id),
	INFO_TEXT(agent_id),
	INFO_TEXT(thread_id),
	INFO_TEXT(run_id),
	INFO_TEXT(plugin),
	INFO_TEXT(locale),
};

static const char **
info_at(struct as_call_info *info, size_t i)
{
	return (const char **)(void *)((char *)info + info_texts[i].offset);
}

/* Two numbers, then the texts, each with its NUL. */
void
info_encode(const struct as_call_info *info, struct buf *b)
{
	struct as_call_info copy = *info;
	const char *text;
	size_t i;

	buf_add(b, &info->deadline_ms, sizeof(info->deadline_ms));
	buf_add(b, &info->attempt, sizeof(info->attempt));
	for (i = 0; i < N_ITEMS(info_texts); i++) {
		text = *info_at(&copy, i);
		text = text != NULL ? text : "";
		buf_add(b, text, strlen(text) + 1);
	}
}

bool
info_decode(const void *bytes, size_t len, struct as_call_info *info)
{
	const size_t head = sizeof(info->deadline_ms) + sizeof(info->attempt);
	const char *at = bytes, *end = at + len;
	size_t i;

	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	if (len < head)
		return false;
	memcpy(&info->deadline_ms, at, sizeof(info->deadline_ms));
	at += sizeof(info->deadline_ms);
	memcpy(&info->attempt, at, sizeof(info->attempt));
	at += sizeof(info->attempt);
	for (i = 0; i < N_ITEMS(info_texts); i++) {
		*info_at(info, i) = at;
		at = memchr(at, '\0', (size_t)(end - at));
		if (at++ == NULL)
			return false;
	}
	return true;
}

const struct as_call_info *
call_info(struct as_call *call)
{
	const char **text;
	size_t i;

	if (call->info.size > 0)
		return &call->info;
	call->info = *call->given;
	for (i = 0; i < N_ITEMS(info_texts); i++) {
		text = info_at(&call->info, i);
		if (*text == NULL)
			*text = "";
		else if (!text_is_utf8(*text, strlen(*text)))
			*text = call_text(call, *text);
	}
	return &call->info;
}

/* What may leave a plugin; anything else is its author's mistake. */
static enum as_status
status_checked(struct as_call *call, enum as_status st)
{
	if (st == AS_EOF)
		return call_fail(call, AS_INTERNAL,
		    "%s passed on the end of a stream as its own failure",
		    call->unit->name);
	if (st < AS_OK || st > AS_EOF)
		return call_fail(call, AS_INTERNAL,
		    "%s returned %d, which is no status", call->unit->name,
		    (int)st);
	return st;
}

enum as_status
call_run(struct unit *u, const struct msg *op, const struct as_call_info *info,
    const struct link *link, void *far, struct json_object **failure)
{
	struct arena *arena = arena_new(NULL);
	struct as_call *call = arena_alloc(arena, sizeof(*call));
	const char *before = fiber_guest_set(u->name);
	enum as_status st;

	call->unit = u;
	call->given = info;
	call->link = link;
	call->far = far;
	call->arena = arena;
	st = status_checked(call, op_run(call, op));
	fiber_guest_set(before);
	*failure = st != AS_OK ? failure_take(call) : NULL;
	streams_close(call);
	value_give(call);
	arena_free(arena);
	return st;
}
