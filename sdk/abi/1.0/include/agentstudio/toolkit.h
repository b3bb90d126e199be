/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AS_SDK_TOOLKIT_H
#define AS_SDK_TOOLKIT_H
/* Columns and function tables are set by hand. */
/* clang-format off */

/*
 * Toolkits: things an agent can do.
 *
 * A tool is a row in a table: a name, a sentence, a description of what it
 * takes, what its use means for the world, and a function.  Arguments are
 * valid when the function sees them.  It answers with as_reply or
 * as_reply_text and returns AS_OK, or fails; a failure is not the end of the
 * run, the model reads the message and goes on.
 *
 *	static enum as_status
 *	roll(struct as_call *call, const void *in)
 *	{
 *		const struct dice *dice = in;
 *		uint32_t r;
 *
 *		as_random(call, &r, sizeof(r));
 *		return as_reply_text(call, "%u", 1 + r % (uint32_t)dice->sides);
 *	}
 */

#include <agentstudio/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What a call does to the world decides what the host does when it cannot
 * know whether the call happened: a crash, a timeout, a lost connection.
 */
enum as_effect {
	AS_EFFECT_ONCE = 0,     /* never sent twice: a human decides */
	AS_EFFECT_NONE = 1,     /* reads only: sent again */
	AS_EFFECT_REPEAT = 2,   /* twice is as once: sent again */
	AS_EFFECT_KEYED = 3,    /* the service honours idem_key: sent again */
	AS_EFFECT_VERIFIED = 4, /* .verify can tell: asked first */
	AS_EFFECT_WIDTH_ = 0x7fffffff
};

enum as_tool_flags {
	AS_APPROVE = 1u << 0,    /* by default a human approves each call */
	AS_SEQUENTIAL = 1u << 1, /* not at once with others of this toolkit */
	AS_OPEN_WORLD = 1u << 2  /* its answers are untrusted text */
};

/*
 * What a call does may depend on an argument: reading is not writing.  A row
 * of as_tool.effects; tables end with AS_END.  It never grows.
 */
struct as_effect_case {
	const char *word;      /* of the argument; ASCII case is ignored */
	enum as_effect effect; /* of a call with it */
};

/*
 * As run: see above.  As verify: AS_OK, it happened and as_reply has the
 * result; AS_NOTFOUND, it did not; anything else, nobody knows.
 */
typedef enum as_status as_tool_fn(struct as_call *call, const void *in);

struct as_tool {
	const char *name; /* letters, digits, '_' */
	const char *doc;  /* for the model: when, and what comes back */

	/*
	 * What it takes.  Either a field table (then `in` is the filled
	 * struct), or a JSON Schema as text (then `in` is a const struct
	 * as_json *), or neither (then `in` is NULL).
	 */
	const struct as_field *params;
	uint32_t params_size;
	uint32_t flags;
	const char *schema;
	const char *result_schema; /* of what as_reply gets; may be NULL */

	enum as_effect effect; /* of all calls that .effects does not list */
	uint32_t timeout_ms;   /* 0: runs.tool_timeout */
	int64_t key_valid_ms;  /* AS_EFFECT_KEYED: how long the key is known */
	AS_SUSPENDS as_tool_fn *run;
	AS_SUSPENDS as_tool_fn *verify;

	/*
	 * The argument, a text, whose value decides about the effect, and the
	 * values that do; both or neither.  One that is left out counts as its
	 * default.  Whatever is not listed has .effect, so let that be the
	 * strictest.
	 *
	 *	.effect = AS_EFFECT_ONCE,
	 *	.effect_by = "method",
	 *	.effects = (const struct as_effect_case[]){
	 *	    { "GET", AS_EFFECT_NONE }, AS_END },
	 */
	const char *effect_by;
	const struct as_effect_case *effects;
};

/* Parameters of type struct T from the table t. */
#define AS_PARAMS(T, t) .params_size = (uint32_t)sizeof(T), .params = t

struct as_toolkit {
	uint32_t size;
	uint32_t tool_size; /* of one struct as_tool */

	const char *title; /* for people; default: from the plugin's name */
	const struct as_tool *tools;

	/*
	 * The account it works with, or NULL: a service name such as "github",
	 * how to connect ("oauth2 api_key"), and what to ask for.
	 */
	const char *service;
	const char *schemes;
	const char *scopes;
	/* Does this connection work?  Reply with {account}: whose it is. */
	AS_SUSPENDS enum as_status (*connect)(struct as_call *call);

	/*
	 * Tools known only at run time: call as_offer for each.  Runs after
	 * start, after as_offers_changed, and never while itself running.  A
	 * tool that is no good is left out, with a line in the log; if list
	 * fails, the tools stay as they were.
	 */
	AS_SUSPENDS enum as_status (*list)(struct as_call *call);
	/* Runs tools that were offered, and those without a .run. */
	AS_SUSPENDS enum as_status (*run)(struct as_call *call,
	    const char *tool, const struct as_json *args);
};

#define AS_TOOLKIT(...)                                                       \
	(&(const struct as_toolkit){                                          \
	    .size = (uint32_t)sizeof(struct as_toolkit),                      \
	    .tool_size = (uint32_t)sizeof(struct as_tool), __VA_ARGS__ })

struct as_toolkit_host {
	uint32_t size;
	uint32_t reserved;
	enum as_status (*reply)(struct as_call *, const struct as_json *);
	enum as_status (*reply_text)(struct as_call *, const char *, size_t);
	enum as_status (*progress)(struct as_call *, double, const char *);
	enum as_status (*output)(struct as_call *, const char *, size_t);
	enum as_status (*offer)(struct as_call *, const struct as_tool *,
	    size_t);
	void (*offers_changed)(struct as_call *);
};

/*
 * Answer with a value.  The last answer counts.  Too large ones become a file
 * that the agent can read, so there is no need to cut.
 * Fails with AS_CANCELED, AS_INVALID, AS_LIMIT; since 1.0.
 */
static inline enum as_status
as_reply(struct as_call *call, const struct as_json *result)
{
	return as_host_table->toolkit->reply(call, result);
}

/* Answer with text.  Fails with AS_CANCELED, AS_LIMIT; since 1.0. */
AS_PRINTF(2, 3)
static inline enum as_status
as_reply_text(struct as_call *call, const char *fmt, ...)
{
	char text[4096];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text))
		return as_fail(call, AS_LIMIT, "text longer than 4 KiB");
	return as_host_table->toolkit->reply_text(call, text, (size_t)n);
}

/*
 * How far it has come, for people who watch: 0 to 1, or less than 0 if nobody
 * knows.  Never waits; AS_CANCELED says that nobody watches any more.
 * Fails with AS_CANCELED; since 1.0.
 */
static inline enum as_status
as_progress(struct as_call *call, double done, const char *what)
{
	return as_host_table->toolkit->progress(call, done, what);
}

/*
 * Output as it appears, such as that of a program; not part of the answer.
 * Fails with AS_CANCELED, AS_LIMIT; since 1.0.
 */
static inline enum as_status
as_output(struct as_call *call, const char *text, size_t len)
{
	return as_host_table->toolkit->output(call, text, len);
}

/*
 * From list: here is a tool, with a schema; it runs through as_toolkit.run.
 * Fails with AS_CANCELED, AS_INVALID; since 1.0.
 */
static inline enum as_status
as_offer(struct as_call *call, const struct as_tool *tool)
{
	return as_host_table->toolkit->offer(call, tool, sizeof(*tool));
}

/* The list is out of date.  Cannot fail; since 1.0. */
static inline void
as_offers_changed(struct as_call *call)
{
	as_host_table->toolkit->offers_changed(call);
}

#ifdef __cplusplus
}

template <>
inline as_toolkit
as_make<as_toolkit>()
{
	as_toolkit toolkit = {};

	toolkit.size = sizeof(as_toolkit);
	toolkit.tool_size = sizeof(as_tool);
	return toolkit;
}
#endif

#endif
