/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/agent/agent.h"
#include "core/base/text.h"
#include "core/chat/queue.h"
#include "core/chat/send.h"
#include "core/run/wire.h"

/* See send.h. */

enum as_status
chat_text_check(const char *field, const char *s, size_t len, struct error *err)
{
	if (len == 0)
		return error_field(err, field, "must not be empty");
	if (len > CHAT_CONTENT_MAX)
		return error_field(err, field, "is longer than %d KiB",
		    CHAT_CONTENT_MAX / 1024);
	if (memchr(s, 0, len) != NULL)
		return error_field(err, field, "contains U+0000");
	if (!text_is_utf8(s, len))
		return error_field(err, field, "is not valid UTF-8");
	return AS_OK;
}

SUSPENDS enum as_status
chat_agent_load(const struct chat_ctx *ctx, struct uuid agent_id,
    struct uuid user_id, struct arena *arena, struct agent **out,
    char model[CHAT_MODEL_LEN], struct error *err)
{
	enum as_status st = agent_load(ctx->store, agent_id, arena, out, err);
	const struct agent *a;

	if (st != AS_OK)
		return st;
	a = *out;
	if (a->deleted)
		return error_set(err, ERR_AGENT_NOT_READY,
		    "the agent has been deleted");
	if (!a->is_public && !uuid_equal(a->user_id, user_id))
		return error_set(err, ERR_AGENT_NOT_READY,
		    "the agent is not public any more");
	if (strcmp(a->state, "ready") != 0)
		return error_set(err, ERR_AGENT_NOT_READY,
		    "the agent's state is %s", a->state);
	if (!plug_model_resolve(ctx->plug, a->model_name, model,
		CHAT_MODEL_LEN))
		return error_set(err, ERR_AGENT_NOT_READY,
		    "its model '%s' is not available",
		    a->model_name != NULL ? a->model_name : "default");
	return AS_OK;
}

const char *
chat_title_from(struct arena *arena, const char *content)
{
	const char *end = content;
	int n = 0;

	while (*end != '\0' && *end != '\n' && n < CHAT_TITLE_LEN) {
		end++;
		while (((unsigned char)*end & 0xc0) == 0x80)
			end++;
		n++;
	}
	return arena_strndup(arena, content, (size_t)(end - content));
}

void
chat_queued_event(struct event_list *events, const struct queue_place *place)
{
	struct buf b = { 0 };

	if (!place->waits) {
		event_list_add_status(events, RUN_QUEUED, "created", NULL,
		    NULL);
		return;
	}
	event_queued_write(&b, "created", place->position, place->est_wait_ms);
	event_list_add(events, "run_status", &b);
}

void
chat_message_fill(const struct chat_ctx *ctx, struct run_message *m,
    const char *content, int64_t now_us)
{
	struct buf parts = { 0 };

	run_parts_of_text(&parts, content, strlen(content));
	m->role = "user";
	m->content = content;
	m->parts = arena_strndup(ctx->arena, parts.data, parts.len);
	m->state = "final";
	m->created_at = now_us;
	buf_free(&parts);
}
