/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/wire.h"

#include <string.h>

#include "core/base/json_write.h"

/* The shapes of messages and effects on every wire. */

void
run_message_write(struct buf *b, const char *key, const struct run_message *m,
    struct uuid thread_id, struct uuid run_id)
{
	jw_open(b, key);
	jw_uuid(b, "id", m->id);
	jw_uuid(b, "thread_id", thread_id);
	jw_uuid(b, "run_id", run_id);
	if (m->sequence > 0)
		jw_int(b, "sequence", m->sequence);
	else
		jw_null(b, "sequence");
	jw_str(b, "role", m->role);
	jw_str(b, "content", m->content);
	jw_raw(b, "parts", m->parts);
	jw_str(b, "tool_name", m->tool_name);
	jw_str(b, "tool_call_id", m->tool_call_id);
	jw_str(b, "state", m->state);
	jw_str(b, "client_message_id", m->client_message_id);
	jw_uuid(b, "parent_id", m->parent_id);
	jw_raw(b, "usage", m->usage);
	jw_time(b, "created_at", m->created_at);
	jw_close(b);
}

void
run_message_created(struct event_list *events, const struct run_message *m,
    struct uuid thread_id, struct uuid run_id)
{
	struct buf b = { 0 };

	jw_open(&b, NULL);
	run_message_write(&b, "message", m, thread_id, run_id);
	jw_close(&b);
	event_list_add(events, "message_created", &b);
}

static void
message_begins(struct buf *b, struct uuid message_id, int64_t attempt)
{
	jw_open(b, NULL);
	jw_uuid(b, "message_id", message_id);
	jw_int(b, "attempt", attempt);
}

void
run_message_started(struct event_list *events, struct uuid message_id,
    int64_t attempt, const char *model)
{
	struct buf b = { 0 };

	message_begins(&b, message_id, attempt);
	jw_str(&b, "role", "assistant");
	jw_str(&b, "model", model);
	jw_close(&b);
	event_list_add(events, "message_start", &b);
}

void
run_message_reset(struct event_list *events, struct uuid message_id,
    int64_t attempt)
{
	struct buf b = { 0 };

	message_begins(&b, message_id, attempt);
	jw_close(&b);
	event_list_add(events, "message_reset", &b);
}

void
run_tool_intended(struct event_list *events, const struct run_tool *t,
    bool needs_approval)
{
	struct buf b = { 0 };

	jw_open(&b, NULL);
	jw_str(&b, "tool_call_id", t->call_id);
	jw_str(&b, "name", t->tool);
	jw_raw(&b, "args", t->args);
	jw_str(&b, "effect", run_effect_word(t->effect));
	jw_str(&b, "idempotency_key", t->idem_key);
	jw_bool(&b, "needs_approval", needs_approval);
	jw_close(&b);
	event_list_add(events, "tool_call", &b);
}

void
run_part_text(struct buf *parts, const char *type, const char *text, size_t len)
{
	jw_open(parts, NULL);
	jw_str(parts, "type", type);
	jw_strn(parts, "text", text, len);
	jw_close(parts);
}

void
run_parts_of_text(struct buf *parts, const char *text, size_t len)
{
	jw_open_list(parts, NULL);
	run_part_text(parts, "text", text, len);
	jw_close_list(parts);
}

static const struct {
	const char *letter, *word;
	enum as_effect effect;
} effects[] = {
	{ "U", "once", AS_EFFECT_ONCE },
	{ "P", "none", AS_EFFECT_NONE },
	{ "N", "repeat", AS_EFFECT_REPEAT },
	{ "K", "keyed", AS_EFFECT_KEYED },
	{ "V", "verified", AS_EFFECT_VERIFIED },
};

const char *
run_effect_word(const char *letter)
{
	for (size_t i = 0;
	     letter != NULL && i < sizeof(effects) / sizeof(effects[0]); i++)
		if (strcmp(effects[i].letter, letter) == 0)
			return effects[i].word;
	return "once";
}

const char *
run_effect_letter(enum as_effect effect)
{
	for (size_t i = 0; i < sizeof(effects) / sizeof(effects[0]); i++)
		if (effects[i].effect == effect)
			return effects[i].letter;
	return "U";
}
