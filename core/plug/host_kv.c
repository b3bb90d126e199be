/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/plug/call.h"
#include "core/plug/host.h"
#include "core/plug/unit.h"

/*
 * Durable notes, as a plugin sees them: checked here, kept on the other side.
 */

#define KEY_MAX 512
#define VALUE_MAX ((size_t)64 << 10)

static enum as_status
kv_check(struct as_call *call, enum as_kv_scope scope, const char *key)
{
	if (scope < AS_KV_PLUGIN || scope > AS_KV_RUN)
		return call_fail(call, AS_INVALID, "no scope has the number %d",
		    (int)scope);
	if (key == NULL || *key == '\0' || strlen(key) > KEY_MAX)
		return call_fail(call, AS_INVALID, "a key has 1 to %d bytes",
		    KEY_MAX);
	return AS_OK;
}

enum as_status
host_kv_get(struct as_call *call, enum as_kv_scope scope, const char *key,
    const struct as_json **value)
{
	struct msg m = { .kind = SERVE_KV_GET, .n = scope };
	struct answer a;
	enum as_status st = kv_check(call, scope, key);

	*value = NULL;
	if (st != AS_OK)
		return st;
	m.name = call_text(call, key);
	if ((st = call_serve(call, &m, &a)) != AS_OK)
		return st;
	*value = value_to(call_own(call, a.value));
	free(a.bytes);
	return AS_OK;
}

static enum as_status
kv_value(struct as_call *call, const struct as_json *v,
    struct json_object **copy)
{
	enum as_status st;

	*copy = NULL;
	if (v == NULL)
		return AS_OK;
	if ((st = value_copy(call, v, copy)) != AS_OK)
		return st;
	if (*copy != NULL && strlen(json_text(*copy)) <= VALUE_MAX)
		return AS_OK;
	st = *copy == NULL
		 ? call_fail(call, AS_INVALID, "null cannot be kept")
		 : call_fail(call, AS_LIMIT, "a value of more than 64 KiB");
	json_object_put(*copy);
	*copy = NULL;
	return st;
}

/* Takes args. */
SUSPENDS static enum as_status
kv_send(struct as_call *call, enum msg_kind kind, enum as_kv_scope scope,
    const char *key, struct json_object *args)
{
	struct msg m = { .kind = kind, .n = scope, .value = args };
	struct answer a;
	enum as_status st;

	m.name = call_text(call, key);
	st = call_serve(call, &m, &a);
	if (st == AS_OK)
		answer_clear(&a);
	json_object_put(args);
	return st;
}

enum as_status
host_kv_put(struct as_call *call, enum as_kv_scope scope, const char *key,
    const struct as_json *value, int64_t ttl_ms)
{
	enum as_status st = kv_check(call, scope, key);
	struct json_object *copy, *args;

	if (st != AS_OK || (st = kv_value(call, value, &copy)) != AS_OK)
		return st;
	args = jobj();
	jput(args, "value", copy);
	jput_int(args, "ttl_ms", ttl_ms > 0 ? ttl_ms : 0);
	return kv_send(call, SERVE_KV_PUT, scope, key, args);
}

enum as_status
host_kv_swap(struct as_call *call, enum as_kv_scope scope, const char *key,
    const struct as_json *expected, const struct as_json *value, int64_t ttl_ms)
{
	enum as_status st = kv_check(call, scope, key);
	struct json_object *was, *copy, *args;

	if (st != AS_OK || (st = kv_value(call, expected, &was)) != AS_OK)
		return st;
	if ((st = kv_value(call, value, &copy)) != AS_OK) {
		json_object_put(was);
		return st;
	}
	args = jobj();
	jput(args, "expected", was);
	jput(args, "value", copy);
	jput_int(args, "ttl_ms", ttl_ms > 0 ? ttl_ms : 0);
	return kv_send(call, SERVE_KV_SWAP, scope, key, args);
}
