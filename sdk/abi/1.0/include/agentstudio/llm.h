/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AS_SDK_LLM_H
#define AS_SDK_LLM_H
/* Columns and function tables are set by hand. */
/* clang-format off */

/*
 * Model providers: chat, and embeddings.
 *
 * chat turns one request into a stream.  Translate the request, open the
 * connection, read, and pass on each piece as it comes:
 *
 *	if ((st = as_http_open(call, request, &res)) != AS_OK
 *	    || (st = as_http_ok(call, res)) != AS_OK)
 *		return st;
 *	while ((st = as_http_event(call, res, &ev)) == AS_OK) {
 *		text = as_get_str(ev->json, "/choices/0/delta/content", "");
 *		if ((st = as_chat_text(call, text, strlen(text))) != AS_OK)
 *			return st;
 *	}
 *	return st == AS_EOF ? as_chat_end(call, AS_END_TURN) : st;
 *
 * Messages are JSON, not structs: they are what the host stores, they cross
 * into a child process as they are, and they change faster than an ABI may.
 * A message is {"role", "content"}, role one of system, user, assistant, tool,
 * and content an array of parts:
 *
 *	{"type": "text", "text"}
 *	{"type": "file", "file", "name", "media_type"}      see as_file_read
 *	{"type": "reasoning", "text"}
 *	{"type": "tool_call", "id", "name", "args"}         args is an object
 *	{"type": "tool_result", "id", "text", "is_error"}   follows in order
 *	{"type": "extra", "value"}      what as_chat_extra gave, to be sent back
 *
 * Every tool_call has its tool_result in the next message; the host sees to
 * that.  Parts of an unknown type are to be skipped.
 */

#include <agentstudio/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

struct as_chat {
	uint32_t size;
	uint32_t reserved;
	const char *model; /* without the provider's name */
	const struct as_json *messages;
	const struct as_json *tools; /* [{name, description, input_schema}] */
	/*
	 * What is set of: temperature, top_p, max_tokens, stop [..], seed,
	 * tool_choice (auto, none, required, or a name), parallel_tools,
	 * response_schema, reasoning (low, medium, high).  What the provider
	 * cannot do is ignored, except response_schema: AS_UNSUPPORTED.
	 */
	const struct as_json *settings;
};

enum as_chat_why {
	AS_END_TURN = 1,
	AS_END_TOOLS = 2,  /* it wants its tool calls answered */
	AS_END_LENGTH = 3, /* max_tokens, or the window is full */
	AS_END_STOP = 4,   /* a stop sequence */
	AS_END_REFUSED = 5,
	AS_END_WIDTH_ = 0x7fffffff
};

enum as_delta_type {
	AS_DELTA_TEXT = 1,
	AS_DELTA_REASONING = 2,
	AS_DELTA_TOOL = 3, /* a call begins: index, id, name */
	AS_DELTA_ARGS = 4, /* a piece of its arguments' JSON text */
	AS_DELTA_EXTRA = 5,
	AS_DELTA_END = 6,
	AS_DELTA_WIDTH_ = 0x7fffffff
};

struct as_delta {
	uint32_t size;
	enum as_delta_type type;
	uint32_t index;
	enum as_chat_why end;
	const char *id;
	const char *name;
	const char *text;
	size_t len;
	const struct as_json *value;
};

/* Tokens.  -1 where the provider does not say; totals, not increments. */
struct as_usage {
	uint32_t size;
	uint32_t reserved;
	int64_t input;
	int64_t output;
	int64_t cached;    /* of input */
	int64_t reasoning; /* of output */
};

struct as_model {
	uint32_t size;
	uint32_t dim; /* of embeddings; 0: it chats */
	const char *name;
	const char *title;
	int64_t window;     /* tokens; 0: unknown */
	int64_t max_output;
	const char *abilities; /* of "tools vision reasoning json" */
};

/* Texts to embed, all with one model. */
struct as_texts {
	uint32_t size;
	uint32_t n;
	const char *model;
	const char *const *texts;
	bool is_query; /* a question, not a passage */
};

struct as_llm {
	uint32_t size;
	uint32_t reserved;

	/* Stream an answer; ends with as_chat_end.  Required. */
	AS_SUSPENDS enum as_status (*chat)(struct as_call *call,
	    const struct as_chat *chat);
	/* Give one vector a text with as_embedding, in any order. */
	AS_SUSPENDS enum as_status (*embed)(struct as_call *call,
	    const struct as_texts *texts);
	/* Name the models with as_offer_model.  Without it any name goes. */
	AS_SUSPENDS enum as_status (*models)(struct as_call *call);
	uint32_t embed_batch; /* texts a call at most; default 64 */
};

#define AS_LLM(...)                                                           \
	(&(const struct as_llm){                                              \
	    .size = (uint32_t)sizeof(struct as_llm), __VA_ARGS__ })

struct as_llm_host {
	uint32_t size;
	uint32_t reserved;
	enum as_status (*delta)(struct as_call *, const struct as_delta *);
	enum as_status (*usage)(struct as_call *, const struct as_usage *);
	enum as_status (*embedding)(struct as_call *, uint32_t, const float *,
	    uint32_t);
	enum as_status (*offer_model)(struct as_call *,
	    const struct as_model *);
};

/*
 * The pieces of an answer.  None of these waits: a slow reader is the host's
 * affair.  AS_CANCELED means that the user pressed stop; return it, and the
 * provider's connection is closed.  Text may be cut anywhere, even inside a
 * character; the host puts it together.
 * Fails with AS_CANCELED, AS_UPSTREAM, AS_LIMIT; since 1.0.
 */
static inline enum as_status
as_chat_delta(struct as_call *call, enum as_delta_type type, uint32_t index,
    const char *text, size_t len)
{
	struct as_delta d;

	memset(&d, 0, sizeof(d));
	d.size = sizeof(d);
	d.type = type;
	d.index = index;
	d.text = text;
	d.len = len;
	return as_host_table->llm->delta(call, &d);
}

/*
 * A piece of the answer.  Fails with AS_CANCELED, AS_UPSTREAM, AS_LIMIT; since
 * 1.0.
 */
static inline enum as_status
as_chat_text(struct as_call *call, const char *text, size_t len)
{
	return as_chat_delta(call, AS_DELTA_TEXT, 0, text, len);
}

/*
 * A piece of what the model thinks.  Fails with AS_CANCELED, AS_UPSTREAM,
 * AS_LIMIT; since 1.0.
 */
static inline enum as_status
as_chat_reasoning(struct as_call *call, const char *text, size_t len)
{
	return as_chat_delta(call, AS_DELTA_REASONING, 0, text, len);
}

/*
 * A tool call begins.  index tells parallel ones apart; id NULL: make one.
 * Fails with AS_CANCELED, AS_UPSTREAM; since 1.0.
 */
static inline enum as_status
as_chat_tool(struct as_call *call, uint32_t index, const char *id,
    const char *name)
{
	struct as_delta d;

	memset(&d, 0, sizeof(d));
	d.size = sizeof(d);
	d.type = AS_DELTA_TOOL;
	d.index = index;
	d.id = id;
	d.name = name;
	return as_host_table->llm->delta(call, &d);
}

/*
 * More of its arguments, as JSON text.  None at all means {}.
 * Fails with AS_CANCELED, AS_UPSTREAM, AS_LIMIT; since 1.0.
 */
static inline enum as_status
as_chat_args(struct as_call *call, uint32_t index, const char *text,
    size_t len)
{
	return as_chat_delta(call, AS_DELTA_ARGS, index, text, len);
}

/*
 * Something opaque that must be sent back next time, such as a signature.
 * Fails with AS_CANCELED, AS_INVALID, AS_LIMIT; since 1.0.
 */
static inline enum as_status
as_chat_extra(struct as_call *call, const struct as_json *value)
{
	struct as_delta d;

	memset(&d, 0, sizeof(d));
	d.size = sizeof(d);
	d.type = AS_DELTA_EXTRA;
	d.value = value;
	return as_host_table->llm->delta(call, &d);
}

/*
 * The last totals count.  Also after failures: somebody pays for those.
 * Fails with AS_CANCELED; since 1.0.
 */
static inline enum as_status
as_chat_usage(struct as_call *call, int64_t input, int64_t output)
{
	struct as_usage u = { (uint32_t)sizeof(u), 0, input, output, -1, -1 };

	return as_host_table->llm->usage(call, &u);
}

/*
 * The answer is complete.  Without it, AS_OK means a broken stream.
 * Fails with AS_CANCELED, AS_UPSTREAM; since 1.0.
 */
static inline enum as_status
as_chat_end(struct as_call *call, enum as_chat_why why)
{
	struct as_delta d;

	memset(&d, 0, sizeof(d));
	d.size = sizeof(d);
	d.type = AS_DELTA_END;
	d.end = why;
	return as_host_table->llm->delta(call, &d);
}

/*
 * The vector of texts[i].  All have the same dimension and are finite.
 * Fails with AS_CANCELED, AS_UPSTREAM; since 1.0.
 */
static inline enum as_status
as_embedding(struct as_call *call, uint32_t i, const float *v, uint32_t dim)
{
	return as_host_table->llm->embedding(call, i, v, dim);
}

/* From models: there is this one.  Fails with AS_CANCELED; since 1.0. */
static inline enum as_status
as_offer_model(struct as_call *call, const struct as_model *model)
{
	return as_host_table->llm->offer_model(call, model);
}

#ifdef __cplusplus
}
#endif

#endif
