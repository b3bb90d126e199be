/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/run.h"

#include <string.h>

#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/json_write.h"
#include "core/base/mem.h"

/* Names of states and the identity of a tool call: pure functions. */

static const char *const status_names[] = {
	[RUN_BLOCKED] = "blocked",
	[RUN_QUEUED] = "queued",
	[RUN_RUNNING] = "running",
	[RUN_CANCELLING] = "cancelling",
	[RUN_WAITING_HUMAN] = "waiting_human",
	[RUN_WAITING_TIMER] = "waiting_timer",
	[RUN_WAITING_CHILD] = "waiting_child",
	[RUN_RECOVERABLE_ERROR] = "recoverable_error",
	[RUN_SUCCEEDED] = "succeeded",
	[RUN_FAILED] = "failed",
	[RUN_CANCELLED] = "cancelled",
	[RUN_EXPIRED] = "expired",
	[RUN_ROLLED_BACK] = "rolled_back",
	[RUN_DEAD_LETTERED] = "dead_lettered",
};

const char *
run_status_name(enum run_status s)
{
	return status_names[s];
}

enum run_status
run_status_by_name(const char *name)
{
	for (size_t i = 1;
	     name != NULL && i < sizeof(status_names) / sizeof(status_names[0]);
	     i++)
		if (strcmp(status_names[i], name) == 0)
			return (enum run_status)i;
	return 0;
}

static const char *const multitask_names[] = {
	[RUN_REJECT] = "reject",
	[RUN_ENQUEUE] = "enqueue",
	[RUN_INTERRUPT] = "interrupt",
	[RUN_ROLLBACK] = "rollback",
	[RUN_STEER] = "steer",
};

const char *
run_multitask_name(enum run_multitask m)
{
	return multitask_names[m];
}

enum run_multitask
run_multitask_by_name(const char *name)
{
	for (size_t i = 1; name != NULL && i < sizeof(multitask_names) /
						   sizeof(multitask_names[0]);
	     i++)
		if (strcmp(multitask_names[i], name) == 0)
			return (enum run_multitask)i;
	return 0;
}

static const char *const classes[] = { "priority", "standard", "bulk" };

const char *
run_class_name(int class)
{
	return classes[class];
}

int
run_class_by_name(const char *name)
{
	for (int i = 0; i < (int)N_ITEMS(classes); i++)
		if (strcmp(classes[i], name) == 0)
			return i;
	return -1;
}

bool
run_is_open(enum run_status s)
{
	return s < RUN_SUCCEEDED;
}

bool
run_holds_thread(enum run_status s)
{
	return run_is_open(s) && s != RUN_BLOCKED;
}

bool
run_has_owner(enum run_status s)
{
	return s == RUN_RUNNING || s == RUN_CANCELLING;
}

const char *
run_thread_status(enum run_status s)
{
	if (!run_holds_thread(s))
		return "idle";
	if (s == RUN_RECOVERABLE_ERROR)
		return "error";
	return s == RUN_WAITING_HUMAN ? "waiting" : "busy";
}

void
run_usage_write(struct buf *b, const char *key, const struct run_usage *u)
{
	jw_open(b, key);
	jw_int(b, "input_tokens", u->input);
	jw_int(b, "output_tokens", u->output);
	jw_int(b, "cached_tokens", u->cached);
	jw_int(b, "reasoning_tokens", u->reasoning);
	jw_close(b);
}

void
run_actions_write(struct buf *b, enum error_code code)
{
	static const char *const sets[][3] = {
		{ "retry", "switch_model", "cancel" },
		{ "extend", "cancel", NULL },
		{ "resolve", "cancel", NULL },
		{ "requeue", NULL, NULL },
	};
	int k = 0;

	if (code == ERR_LIMIT_REACHED || code == ERR_LOOP_DETECTED)
		k = 1;
	else if (code == ERR_OUTCOME_UNKNOWN)
		k = 2;
	else if (code == ERR_CRASHED)
		k = 3;
	jw_open_list(b, "actions");
	for (int i = 0; i < 3 && sets[k][i] != NULL; i++)
		jw_str(b, NULL, sets[k][i]);
	jw_close_list(b);
}

void
run_error_write(struct buf *b, const char *key, const struct error *why,
    enum run_status state)
{
	jw_open(b, key);
	jw_str(b, "code", error_name(why->code));
	jw_str(b, "message",
	    why->detail[0] != '\0' ? why->detail : error_title(why->code));
	jw_str(b, "service", why->service[0] != '\0' ? why->service : NULL);
	if (why->retry_after_ms > 0)
		jw_int(b, "retry_after", (why->retry_after_ms + 999) / 1000);
	else
		jw_null(b, "retry_after");
	if (state == RUN_RECOVERABLE_ERROR)
		run_actions_write(b, why->code);
	else {
		jw_open_list(b, "actions");
		jw_close_list(b);
	}
	jw_close(b);
}

void
run_usage_parse(struct run_usage *u, const char *json)
{
	struct json_object *o = NULL;

	memset(u, 0, sizeof(*u));
	if (json == NULL || json_parse(json, strlen(json), &o, NULL) != AS_OK)
		return;
	u->input = jget_int(o, "input_tokens", 0);
	u->output = jget_int(o, "output_tokens", 0);
	u->cached = jget_int(o, "cached_tokens", 0);
	u->reasoning = jget_int(o, "reasoning_tokens", 0);
	json_object_put(o);
}

void
run_idem_key(struct uuid run_id, const char *ns, int64_t step, int64_t ordinal,
    int64_t epoch, char out[RUN_IDEM_KEY])
{
	uint8_t sum[HASH_LEN];
	char id[UUID_TEXT];
	struct hash h;

	uuid_format(run_id, id);
	hash_init(&h);
	hash_field_str(&h, "v1");
	hash_field_str(&h, id);
	hash_field_str(&h, ns);
	hash_field_int(&h, step);
	hash_field_int(&h, ordinal);
	hash_field_int(&h, epoch);
	hash_end(&h, sum);
	memcpy(out, "as1-", 4);
	hash_base32(sum, sizeof(sum), out + 4, 32);
	out[36] = '\0';
}
