/* SPDX-License-Identifier: Apache-2.0 */
#include "openai.h"

/*
 * One chat: send, read the event stream, pass its pieces on.  A try may be
 * repeated only while nothing of its answer has been passed on.  The end is
 * told last, because the token counts come after the reason for the end.
 */

#define SLOTS_MAX 128
#define WHOLE_MAX (8u * 1024 * 1024)

/* A tool call; its place in the array is its index for the host. */
struct slot {
	int64_t index; /* the provider's */
	const char *id;
};

struct answer {
	struct as_call *call;
	const struct names *names;
	struct slot slots[SLOTS_MAX];
	uint32_t n_slots;
	enum as_chat_why why; /* 0: not told yet */
	bool emitted; /* the host has seen something */
	bool is_refused;
	bool is_done; /* [DONE] */
};

static const char *
copy_text(struct as_call *call, const char *text)
{
	return as_printf(call, "%s", text);
}

static enum as_status
emit(struct answer *a, enum as_delta_type type, const struct as_json *text)
{
	size_t len;
	const char *s = as_str(text, &len);

	if (s == NULL || len == 0)
		return AS_OK;
	a->emitted = true;
	return as_chat_delta(a->call, type, 0, s, len);
}

/*
 * The slot of a piece.  Index tells parallel calls apart; some servers give
 * none, or the same one to all, and only a new id tells.
 */
static enum as_status
find_slot(struct answer *a, const struct as_json *piece, int64_t dflt,
    uint32_t *slot)
{
	int64_t index = as_get_int(piece, "index", dflt);
	const char *id = as_get_str(piece, "id", "");
	const char *name = as_get_str(piece, "/function/name", "");
	uint32_t i;

	for (i = a->n_slots; i > 0; i--) {
		if (a->slots[i - 1].index != index)
			continue;
		if (*id != '\0' && *name != '\0' &&
		    strcmp(a->slots[i - 1].id, id) != 0)
			break;
		*slot = i - 1;
		return AS_OK;
	}
	if (*name == '\0')
		return as_fail(a->call, AS_UPSTREAM,
		    "a tool call came without a name");
	if (a->n_slots == SLOTS_MAX)
		return as_fail(a->call, AS_LIMIT, "more than %d tool calls",
		    SLOTS_MAX);
	*slot = a->n_slots++;
	a->slots[*slot].index = index;
	a->slots[*slot].id = copy_text(a->call, id);
	a->emitted = true;
	return as_chat_tool(a->call, *slot, *id != '\0' ? id : NULL,
	    names_ours(a->names, name));
}

static enum as_status
on_tool_calls(struct answer *a, const struct as_json *calls)
{
	struct as_iter it = as_each(calls);
	const struct as_json *args;
	const char *text;
	enum as_status st;
	uint32_t slot = 0;

	if (as_type(calls) != AS_JSON_ARRAY)
		return AS_OK;
	for (int64_t i = 0; as_next(&it); i++) {
		if ((st = find_slot(a, it.value, i, &slot)) != AS_OK)
			return st;
		args = as_get(it.value, "/function/arguments");
		text = as_type(args) == AS_JSON_OBJECT ? as_text(a->call, args)
						       : as_str(args, NULL);
		if (text == NULL || *text == '\0')
			continue;
		st = as_chat_args(a->call, slot, text, strlen(text));
		if (st != AS_OK)
			return st;
	}
	return AS_OK;
}

static enum as_status
on_usage(struct as_call *call, const struct as_json *usage)
{
	struct as_usage u = { .size = (uint32_t)sizeof(u) };

	u.input = as_get_int(usage, "prompt_tokens", -1);
	u.output = as_get_int(usage, "completion_tokens", -1);
	u.cached = as_get_int(usage, "/prompt_tokens_details/cached_tokens",
	    -1);
	u.reasoning = as_get_int(usage,
	    "/completion_tokens_details/reasoning_tokens", -1);
	return as_host_table->llm->usage(call, &u);
}

static void
on_finish(struct answer *a, const char *reason)
{
	if (strcmp(reason, "length") == 0)
		a->why = AS_END_LENGTH;
	else if (strcmp(reason, "content_filter") == 0)
		a->why = AS_END_REFUSED;
	else if (a->n_slots > 0)
		a->why = AS_END_TOOLS; /* some servers say "stop" here */
	else
		a->why = a->is_refused ? AS_END_REFUSED : AS_END_TURN;
}

static enum as_status
on_delta(struct answer *a, const struct as_json *delta)
{
	const struct as_json *refusal = as_get(delta, "refusal");
	const struct as_json *reasoning = as_get(delta, "reasoning_content");
	enum as_status st;

	if (reasoning == NULL)
		reasoning = as_get(delta, "reasoning");
	if (as_type(refusal) == AS_JSON_STR)
		a->is_refused = true;
	if ((st = emit(a, AS_DELTA_REASONING, reasoning)) != AS_OK ||
	    (st = emit(a, AS_DELTA_TEXT, as_get(delta, "content"))) != AS_OK ||
	    (st = emit(a, AS_DELTA_TEXT, refusal)) != AS_OK)
		return st;
	return on_tool_calls(a, as_get(delta, "tool_calls"));
}

/* A chunk, or, from a server that does not stream, the whole answer. */
static enum as_status
on_json(struct answer *a, const struct as_json *json)
{
	const struct as_json *error = as_get(json, "error"), *usage;
	const struct as_json *choice, *delta;
	const char *reason;
	enum as_status st;

	if (as_type(error) == AS_JSON_OBJECT || as_type(error) == AS_JSON_STR)
		return openai_error_object(a->call, error);
	choice = as_get(json, "/choices/0");
	delta = as_get(choice, "delta");
	if (delta == NULL)
		delta = as_get(choice, "message");
	if ((st = on_delta(a, delta)) != AS_OK)
		return st;
	usage = as_get(json, "usage");
	if (as_type(usage) == AS_JSON_OBJECT &&
	    (st = on_usage(a->call, usage)) != AS_OK)
		return st;
	reason = as_get_str(choice, "finish_reason", "");
	if (*reason != '\0')
		on_finish(a, reason);
	return AS_OK;
}

AS_SUSPENDS static enum as_status
read_events(struct answer *a, const struct as_http_response *res)
{
	const struct as_event *ev;
	enum as_status st;

	while ((st = as_http_event(a->call, res, &ev)) == AS_OK) {
		if (strcmp(ev->data, "[DONE]") == 0) {
			a->is_done = true;
			return AS_OK;
		}
		if (ev->data[0] == '\0')
			continue;
		if (ev->json == NULL)
			return as_fail(a->call, AS_UPSTREAM,
			    "an event is not JSON: %.100s", ev->data);
		if ((st = on_json(a, ev->json)) != AS_OK)
			return st;
	}
	return st == AS_EOF ? AS_OK : st;
}

/* The body as one JSON value, or NULL. */
AS_SUSPENDS static enum as_status
read_whole(struct as_call *call, const struct as_http_response *res,
    const struct as_json **json)
{
	struct as_bytes piece;
	size_t len = 0, cap = 0;
	char *text = NULL, *more;
	enum as_status st;

	*json = NULL;
	while ((st = as_http_read(call, res, &piece)) == AS_OK) {
		if (piece.len > WHOLE_MAX - len)
			return as_fail(call, AS_LIMIT,
			    "the answer is larger than %u bytes", WHOLE_MAX);
		if (len + piece.len >= cap) {
			cap = 2 * (len + piece.len) + 1;
			if ((more = as_alloc(call, cap)) == NULL)
				return as_fail(call, AS_NOMEM, "no memory");
			if (len > 0)
				memcpy(more, text, len);
			text = more;
		}
		memcpy(text + len, piece.ptr, piece.len);
		len += piece.len;
	}
	if (st != AS_EOF)
		return st;
	*json = as_parse_text(call, len > 0 ? text : "", len);
	return AS_OK;
}

AS_SUSPENDS static enum as_status
read_answer(struct answer *a, const struct as_http_response *res)
{
	const char *type = as_http_header(res, "content-type");
	const struct as_json *json;
	enum as_status st;

	if (res->status < 200 || res->status >= 300)
		return openai_failure(a->call, res, res->json);
	if (type == NULL || strncmp(type, "application/json", 16) != 0)
		return read_events(a, res);
	st = read_whole(a->call, res, &json);
	if (st == AS_OK && json == NULL)
		st = as_fail(a->call, AS_UPSTREAM, "the answer is not JSON");
	return st == AS_OK ? on_json(a, json) : st;
}

AS_SUSPENDS static enum as_status
answer_once(struct answer *a, const struct as_json *body)
{
	const struct conf *conf = as_conf(a->call);
	const struct as_http_response *res;
	enum as_status st;

	st = as_http_open(a->call,
	    AS_TABLE(as_http_request, .method = "POST",
		.url = openai_url(a->call, "/chat/completions"),
		.headers = openai_headers(a->call, "text/event-stream"),
		.json = body, .idle_ms = conf->idle),
	    &res);
	if (st != AS_OK || (st = read_answer(a, res)) != AS_OK)
		return st;
	if (a->why == 0 && a->is_done && a->emitted)
		on_finish(a, "");
	if (a->why == 0)
		return as_fail(a->call, AS_UPSTREAM,
		    "the stream ended before the answer did");
	return as_chat_end(a->call, a->why);
}

enum as_status
openai_chat(struct as_call *call, const struct as_chat *chat)
{
	struct answer *a = as_alloc(call, sizeof(*a));
	struct names names;
	struct as_json *body;
	enum as_status st;

	if (a == NULL)
		return as_fail(call, AS_NOMEM, "no memory for an answer");
	if ((st = names_init(call, &names, chat->tools)) != AS_OK)
		return st;
	a->call = call;
	a->names = &names;
	body = chat_request(call, chat, &names);
	/* Once: a run that has to wait does so where a crash cannot end it. */
	return answer_once(a, body);
}
