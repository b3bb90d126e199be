/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <sodium.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/loop/fiber.h"
#include "core/plug/call.h"
#include "core/plug/host.h"
#include "core/plug/unit.h"

/*
 * The table that plugins get, and the small services that need nothing from
 * the other side of the border.  Tables of other areas are in host_*.c.
 */

static const struct as_call_info *
host_info(struct as_call *call)
{
	return call_info(call);
}

static const void *
host_conf(struct as_call *call)
{
	return call->unit->conf;
}

static void *
host_state(struct as_call *call)
{
	return atomic_load_explicit(&call->unit->state_of_plugin,
	    memory_order_acquire);
}

static void
host_set_state(struct as_call *call, void *state)
{
	atomic_store_explicit(&call->unit->state_of_plugin, state,
	    memory_order_release);
}

/* Details may be a tree under construction: a copy of it is kept. */
static const struct as_json *
details_keep(struct as_call *call, const struct as_json *details)
{
	struct json_object *copy = NULL;

	if (details == NULL || value_copy(call, details, &copy) != AS_OK)
		return NULL;
	return value_to(call_own(call, copy));
}

static enum as_status
host_fail(struct as_call *call, const struct as_error *given)
{
	struct as_error e = { 0 };
	size_t n = given->size < sizeof(e) ? given->size : sizeof(e);

	memcpy(&e, given, n);
	e.size = sizeof(e);
	e.message = call_text(call, e.message != NULL ? e.message : "");
	e.user_message = call_text(call, e.user_message);
	e.code = call_text(call, e.code);
	e.service = call_text(call, e.service);
	e.details = details_keep(call, e.details);
	if (e.status == AS_OK) {
		e.status = AS_INTERNAL;
		e.message = "the plugin reported a failure without a status";
	}
	call->error = e;
	call->failed = true;
	return e.status;
}

static const struct as_error *
host_error(struct as_call *call)
{
	return call->failed ? &call->error : NULL;
}

static void
host_log(struct as_call *call, enum as_log_level level, const char *text)
{
	struct msg m = { .kind = EMIT_LOG, .n = (int64_t)level };

	m.name = call_text(call, text);
	call->link->emit(call, &m);
}

static void
host_count(struct as_call *call, const char *name, double add)
{
	struct msg m = { .kind = EMIT_COUNT, .x = add };

	if (!isfinite(add) || add < 0)
		return;
	m.name = call_text(call, name);
	call->link->emit(call, &m);
}

static int64_t
host_now(struct as_call *call)
{
	(void)call;
	return clock_wall_us() / 1000;
}

static void
host_random(struct as_call *call, void *buf, size_t n)
{
	(void)call;
	randombytes_buf(buf, n);
}

SUSPENDS static enum as_status
host_check(struct as_call *call)
{
	enum as_status st = call->link->sleep(call, 0);

	if (st != AS_OK || fiber_self() == NULL)
		return st;
	return fiber_exit_status(fiber_yield(), NULL);
}

SUSPENDS static enum as_status
host_sleep(struct as_call *call, int64_t ms)
{
	return call->link->sleep(call, ms > 0 ? ms : 0);
}

static const void *
host_extension(const char *id)
{
	(void)id;
	return NULL;
}

const struct as_host host_table = {
	.size = sizeof(host_table),
	.abi_major = AS_ABI_MAJOR,
	.abi_minor = AS_ABI_MINOR,
	.version = PACKAGE_VERSION,
	.json = &host_json_table,
	.toolkit = &host_toolkit_table,
	.llm = &host_llm_table,
	.vector = &host_vector_table,
	.auth = &host_auth_table,
	.info = host_info,
	.conf = host_conf,
	.state = host_state,
	.set_state = host_set_state,
	.alloc = call_alloc,
	.fail = host_fail,
	.error = host_error,
	.log = host_log,
	.count = host_count,
	.now = host_now,
	.random = host_random,
	.check = host_check,
	.sleep = host_sleep,
	.http = host_http,
	.http_read = host_http_read,
	.http_event = host_http_event,
	.connection = host_connection,
	.credential = host_credential,
	.secret = host_secret,
	.kv_get = host_kv_get,
	.kv_put = host_kv_put,
	.file_stat = host_file_stat,
	.file_read = host_file_read,
	.file_write = host_file_write,
	.ask = host_ask,
	.keep = host_keep,
	.kept = host_kept,
	.extension = host_extension,
	.kv_swap = host_kv_swap,
	.db = &host_db_table,
	.process = &host_process_table,
	.stream = &host_stream_table,
};
