/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AS_SDK_HOST_H
#define AS_SDK_HOST_H
/* Columns and function tables are set by hand. */
/* clang-format off */

/*
 * What the host does for a plugin.
 *
 * Everything happens inside a call.  The host calls the plugin with a
 * struct as_call, the plugin hands it back to every service it uses, and when
 * the plugin's function returns the call is over.
 *
 * Three rules hold for every function of the SDK and are not repeated:
 *
 *   Memory   What you give to the host is copied before the function returns.
 *            What the host gives you lives until the call ends, and you free
 *            nothing.  To keep a thing longer, copy it or use as_kv_put.
 *   Threads  Use a call only in the function it was given to, and on the
 *            thread that function runs on.
 *   Waiting  Functions marked AS_SUSPENDS may let other calls of the same
 *            plugin run before they return; nothing else does.  They return
 *            AS_CANCELED or AS_TIMEOUT when the call is over early: then clean
 *            up and return that status.  Hold no lock across them.
 *
 * Each function says what else it fails with, and since which version of the
 * SDK it is there; members of structs are there since 1.0 if they do not say.
 *
 * Text is UTF-8, ends with a NUL and contains no other; the host refuses
 * U+0000 at its doors.  Where text comes in pieces it has a pointer and a
 * length; bytes always do.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <agentstudio/error.h>
#include <agentstudio/version.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define AS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define AS_LOCAL __attribute__((visibility("hidden")))
#define AS_EXPORT __attribute__((visibility("default")))
#else
#define AS_PRINTF(fmt, args)
#define AS_LOCAL
#define AS_EXPORT
#endif

/* A mark for readers and for script/lint. */
#define AS_SUSPENDS

struct as_auth_host;
struct as_call;
struct as_db_host;
struct as_http_stream;
struct as_json;
struct as_json_host;
struct as_llm_host;
struct as_process_host;
struct as_stream_host;
struct as_toolkit_host;
struct as_vector_host;

struct as_bytes {
	const void *ptr;
	size_t len;
};

/*
 * Who asks for what, and for how long.  No member is NULL; what does not apply
 * is "".  Pass traceparent on to services that understand it.
 */
struct as_call_info {
	uint32_t size;
	uint32_t attempt;          /* 1 for the first */
	int64_t deadline_ms;       /* what was left when the call began */
	const char *idem_key;      /* the same in every attempt */
	const char *correlation_id;
	const char *traceparent;   /* W3C trace context */
	const char *tenant_id;
	const char *user_id;
	const char *agent_id;
	const char *thread_id;
	const char *run_id;
	const char *plugin;        /* the name under plugins in conf.d */
	const char *locale;        /* BCP 47, such as "de-CH" */
};

enum as_log_level {
	AS_LOG_DEBUG = 1,
	AS_LOG_INFO = 2,
	AS_LOG_WARNING = 3,
	AS_LOG_ERROR = 4,
	AS_LOG_WIDTH_ = 0x7fffffff
};

/*
 * An outgoing HTTP request.  Only url is required.  The host resolves, guards
 * against private addresses, pools, retries nothing, follows no redirect to
 * another host, and stops at the deadline of the call.
 */
struct as_http_request {
	uint32_t size;
	const char *method;         /* default: GET, or POST with a body */
	const char *url;            /* https, or what the admin allows */
	const char *const *headers; /* name, value, name, value, NULL */
	struct as_bytes body;
	const struct as_json *json; /* the body, as JSON */
	bool as_user;               /* add the connection's credential */
	int64_t idle_ms;            /* give up after silence; default 30 s */
};

struct as_http_response {
	uint32_t size;
	uint32_t status;
	const char *const *headers; /* lower-case name, value, ..., NULL */
	struct as_bytes body;       /* empty if it is still to be read */
	const struct as_json *json; /* the body, if it is JSON, else NULL */
	struct as_http_stream *stream; /* of as_http_open only */
};

/* One server-sent event. */
struct as_event {
	uint32_t size;
	const char *name; /* "message" if the sender gave none */
	const char *id;
	const char *data;
	const struct as_json *json; /* data, if it is JSON, else NULL */
};

/* The account that the user connected for this tool (toolkit.h, .service). */
struct as_account {
	uint32_t size;
	const char *id;
	const char *service;  /* "github" */
	const char *account;  /* who that is there: "octocat" */
	const char *scheme;   /* oauth2, api_key, basic, bearer, none */
	const char *scopes;   /* granted, separated by blanks */
	const char *base_url; /* of the account's server, or "" */
};

enum as_kv_scope {
	AS_KV_PLUGIN = 1, /* one for the plugin in this installation */
	AS_KV_USER = 2,
	AS_KV_THREAD = 3,
	AS_KV_RUN = 4,
	AS_KV_WIDTH_ = 0x7fffffff
};

struct as_file {
	uint32_t size;
	const char *id;
	const char *name;
	const char *media_type;
	int64_t len;
};

enum as_answers {
	AS_ACCEPT = 1u << 0,
	AS_EDIT = 1u << 1,
	AS_RESPOND = 1u << 2,
	AS_IGNORE = 1u << 3,
	AS_ANSWERS_WIDTH_ = 0x7fffffff
};

/* A question to a human.  It becomes an inbox item. */
struct as_question {
	uint32_t size;
	uint32_t answers;            /* enum as_answers; 0: accept, ignore */
	const char *title;
	const char *text;            /* Markdown */
	const struct as_json *value; /* what accept takes and edit edits */
	const char *schema;          /* JSON Schema of an edited value */
	int64_t expires_ms;          /* then the answer is ignore; 0: never */
};

struct as_answer {
	uint32_t size;
	enum as_answers kind;
	const struct as_json *value; /* accepted or edited */
	const char *text;            /* responded */
	const char *user_id;         /* who answered */
};

/*
 * The table behind the functions below.  C and C++ writers never touch it;
 * other languages bind to it.  Grows at the end.
 */
struct as_host {
	uint32_t size;
	uint16_t abi_major;
	uint16_t abi_minor;
	const char *version; /* of the program, for logs */

	const struct as_json_host *json;
	const struct as_toolkit_host *toolkit;
	const struct as_llm_host *llm;
	const struct as_vector_host *vector;
	const struct as_auth_host *auth;

	const struct as_call_info *(*info)(struct as_call *);
	const void *(*conf)(struct as_call *);
	void *(*state)(struct as_call *);
	void (*set_state)(struct as_call *, void *);
	void *(*alloc)(struct as_call *, size_t);
	enum as_status (*fail)(struct as_call *, const struct as_error *);
	const struct as_error *(*error)(struct as_call *);
	void (*log)(struct as_call *, enum as_log_level, const char *);
	void (*count)(struct as_call *, const char *, double);
	int64_t (*now)(struct as_call *);
	void (*random)(struct as_call *, void *, size_t);
	enum as_status (*check)(struct as_call *);
	enum as_status (*sleep)(struct as_call *, int64_t);

	enum as_status (*http)(struct as_call *, const struct as_http_request *,
	    bool stream, const struct as_http_response **);
	enum as_status (*http_read)(struct as_call *, struct as_http_stream *,
	    struct as_bytes *);
	enum as_status (*http_event)(struct as_call *, struct as_http_stream *,
	    const struct as_event **);

	const struct as_account *(*connection)(struct as_call *);
	enum as_status (*credential)(struct as_call *, const char *,
	    const char **);
	enum as_status (*secret)(struct as_call *, const char *, const char **);

	enum as_status (*kv_get)(struct as_call *, enum as_kv_scope,
	    const char *, const struct as_json **);
	enum as_status (*kv_put)(struct as_call *, enum as_kv_scope,
	    const char *, const struct as_json *, int64_t);

	enum as_status (*file_stat)(struct as_call *, const char *,
	    const struct as_file **);
	enum as_status (*file_read)(struct as_call *, const char *, int64_t,
	    void *, size_t, size_t *);
	enum as_status (*file_write)(struct as_call *, const char *,
	    const char *, struct as_bytes, const struct as_file **);

	enum as_status (*ask)(struct as_call *, const char *,
	    const struct as_question *, const struct as_answer **);
	enum as_status (*keep)(struct as_call *, const char *,
	    const struct as_json *);
	const struct as_json *(*kept)(struct as_call *, const char *);

	const void *(*extension)(const char *);

	enum as_status (*kv_swap)(struct as_call *, enum as_kv_scope,
	    const char *, const struct as_json *, const struct as_json *,
	    int64_t);

	const struct as_db_host *db;
	const struct as_process_host *process;
	const struct as_stream_host *stream;
};

/* Set by the loader before anything else is called; see AS_PLUGIN. */
extern AS_LOCAL const struct as_host *as_host_table;

/* ---- The call ---------------------------------------------------------- */

/* Who asks for what.  Cannot fail; since 1.0. */
static inline const struct as_call_info *
as_info(struct as_call *call)
{
	return as_host_table->info(call);
}

/*
 * The options, as the table in AS_PLUGIN describes them; NULL without one.
 * Cannot fail; since 1.0.
 */
static inline const void *
as_conf(struct as_call *call)
{
	return as_host_table->conf(call);
}

/*
 * What init kept with as_set_state.  The plugin frees it in fini.
 * Cannot fail; since 1.0.
 */
static inline void *
as_state(struct as_call *call)
{
	return as_host_table->state(call);
}

/*
 * Keep it for all later calls of this plugin; from init.  Cannot fail; since
 * 1.0.
 */
static inline void
as_set_state(struct as_call *call, void *state)
{
	as_host_table->set_state(call, state);
}

/*
 * Zeroed memory that is gone when the call ends; NULL if there is none.
 * Failure: NULL, beyond 64 MiB a call; since 1.0.
 */
static inline void *
as_alloc(struct as_call *call, size_t n)
{
	return as_host_table->alloc(call, n);
}

/*
 * Formatted text in such memory; "" if there is none.
 * Failure: ""; since 1.0.
 */
AS_PRINTF(2, 3)
static inline const char *
as_printf(struct as_call *call, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || (text = (char *)as_alloc(call, (size_t)n + 1)) == NULL)
		return "";
	va_start(ap, fmt);
	vsnprintf(text, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return text;
}

/*
 * Has somebody cancelled?  A loop that computes for more than a millisecond
 * asks now and then, and thereby lets others run.
 * Fails with AS_CANCELED, AS_TIMEOUT; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_check(struct as_call *call)
{
	return as_host_table->check(call);
}

/*
 * Wait that long, or until the call is over.  Fails with AS_CANCELED,
 * AS_TIMEOUT; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_sleep(struct as_call *call, int64_t ms)
{
	return as_host_table->sleep(call, ms);
}

/*
 * Milliseconds since 1970, recorded so that a replay sees the same.
 * Cannot fail; since 1.0.
 */
static inline int64_t
as_now_ms(struct as_call *call)
{
	return as_host_table->now(call);
}

/*
 * Unpredictable bytes, recorded likewise; not for keys.
 * Cannot fail; since 1.0.
 */
static inline void
as_random(struct as_call *call, void *buf, size_t n)
{
	as_host_table->random(call, buf, n);
}

/* ---- Failures, logs, numbers ------------------------------------------- */

/*
 * Keep the details of a failure and return its status.
 * Cannot fail; since 1.0.
 */
static inline enum as_status
as_fail_with(struct as_call *call, const struct as_error *error)
{
	return as_host_table->fail(call, error);
}

/*
 * Fail with a sentence: keep it, and return the status.  Cannot fail; since
 * 1.0.
 */
AS_PRINTF(3, 4)
static inline enum as_status
as_fail(struct as_call *call, enum as_status status, const char *fmt, ...)
{
	struct as_error error;
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	memset(&error, 0, sizeof(error));
	error.size = sizeof(error);
	error.status = status;
	error.message = text;
	return as_fail_with(call, &error);
}

/*
 * The last failure of this call, or NULL: to look at before recovering.
 * Cannot fail; since 1.0.
 */
static inline const struct as_error *
as_last_error(struct as_call *call)
{
	return as_host_table->error(call);
}

/*
 * The host adds plugin, run and correlation id.  Secrets are redacted.
 * Cannot fail; since 1.0.
 */
AS_PRINTF(3, 4)
static inline void
as_log(struct as_call *call, enum as_log_level level, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	as_host_table->log(call, level, text);
}

/*
 * Add to the counter agent_studio_custom_NAME_total{plugin} of /metrics.
 * Failure: it is dropped if that is no name, or less than 0; since 1.0.
 */
static inline void
as_count(struct as_call *call, const char *name, double add)
{
	as_host_table->count(call, name, add);
}

/* ---- HTTP -------------------------------------------------------------- */

/*
 * Send, and wait for the whole answer (at most 8 MiB, else AS_LIMIT).  Any
 * answer is AS_OK; look at its status, or let as_http_ok do it.
 * Fails with AS_INVALID, AS_FORBIDDEN, AS_LIMIT, AS_UPSTREAM, AS_UNAVAILABLE;
 * since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_http(struct as_call *call, const struct as_http_request *request,
    const struct as_http_response **response)
{
	return as_host_table->http(call, request, false, response);
}

/*
 * Send, and wait for the head; then read the body piece by piece.  An answer
 * that is not 2xx comes with its body (at most 64 KiB of it), so as_http_ok can
 * say what the service said; there is nothing to read then.
 * Fails with AS_INVALID, AS_FORBIDDEN, AS_LIMIT, AS_UPSTREAM, AS_UNAVAILABLE;
 * since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_http_open(struct as_call *call, const struct as_http_request *request,
    const struct as_http_response **response)
{
	return as_host_table->http(call, request, true, response);
}

/*
 * The next piece, valid until the next read; AS_EOF after the last.
 * Fails with AS_EOF, AS_INVALID, AS_UPSTREAM; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_http_read(struct as_call *call, const struct as_http_response *response,
    struct as_bytes *piece)
{
	return as_host_table->http_read(call, response->stream, piece);
}

/*
 * The next server-sent event, valid until the next; AS_EOF after the last.
 * Fails with AS_EOF, AS_INVALID, AS_LIMIT, AS_UPSTREAM; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_http_event(struct as_call *call, const struct as_http_response *response,
    const struct as_event **event)
{
	return as_host_table->http_event(call, response->stream, event);
}

/* A header's value by its lower-case name, or NULL.  Cannot fail; since 1.0. */
static inline const char *
as_http_header(const struct as_http_response *response, const char *name)
{
	const char *const *h;

	for (h = response->headers; h != NULL && *h != NULL; h += 2) {
		if (strcmp(h[0], name) == 0)
			return h[1];
	}
	return NULL;
}

/* ---- Accounts and secrets ---------------------------------------------- */

/*
 * The connection this tool call uses, or NULL if the tool names no .service.
 * With as_http_request.as_user the host adds its credential to the request
 * and refreshes it, so most plugins never see a token.
 * Cannot fail; since 1.0.
 */
static inline const struct as_account *
as_connection(struct as_call *call)
{
	return as_host_table->connection(call);
}

/*
 * The credential itself, for services that want it elsewhere: "access_token",
 * "api_key", "username", "password".  Needs .grants "credential"; AS_FORBIDDEN
 * without.  Never log it, never put it into a result.
 * Fails with AS_FORBIDDEN, AS_NOTFOUND, AS_UNAVAILABLE, AS_UNSUPPORTED; since
 * 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_credential(struct as_call *call, const char *name, const char **value)
{
	return as_host_table->credential(call, name, value);
}

/*
 * A secret of the admin, by name; .grants must list it as "secret:NAME".
 * Fails with AS_FORBIDDEN, AS_NOTFOUND, AS_UNSUPPORTED; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_secret(struct as_call *call, const char *name, const char **value)
{
	return as_host_table->secret(call, name, value);
}

/* ---- Durable notes, for plugins with .grants "kv" ---------------------- */

/*
 * AS_NOTFOUND if there is none; that is not logged.
 * Fails with AS_NOTFOUND, AS_FORBIDDEN, AS_INVALID, AS_UNAVAILABLE; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_kv_get(struct as_call *call, enum as_kv_scope scope, const char *key,
    const struct as_json **value)
{
	return as_host_table->kv_get(call, scope, key, value);
}

/*
 * value NULL deletes; ttl_ms 0 keeps for ever.  At most 64 KiB.
 * Fails with AS_FORBIDDEN, AS_INVALID, AS_LIMIT, AS_UNAVAILABLE; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_kv_put(struct as_call *call, enum as_kv_scope scope, const char *key,
    const struct as_json *value, int64_t ttl_ms)
{
	return as_host_table->kv_put(call, scope, key, value, ttl_ms);
}

/*
 * Put the value only if what is kept is still `expected`, as as_kv_get gave it;
 * NULL: only if there is none.  AS_CONFLICT if not: read again and decide
 * again.  Of many who try at once, one wins.
 * Fails with AS_CONFLICT, AS_FORBIDDEN, AS_INVALID, AS_LIMIT, AS_UNAVAILABLE;
 * since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_kv_swap(struct as_call *call, enum as_kv_scope scope, const char *key,
    const struct as_json *expected, const struct as_json *value,
    int64_t ttl_ms)
{
	return as_host_table->kv_swap(call, scope, key, expected, value,
	    ttl_ms);
}

/* ---- Files, for plugins with .grants "files" --------------------------- */

/*
 * A file that this call may see: uploaded to its thread, written by an earlier
 * call of the thread that succeeded, or written by this call.  AS_NOTFOUND for
 * any other; AS_INVALID in a call that belongs to no thread.
 * Fails with AS_NOTFOUND, AS_FORBIDDEN, AS_UNSUPPORTED; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_file_stat(struct as_call *call, const char *id, const struct as_file **file)
{
	return as_host_table->file_stat(call, id, file);
}

/*
 * Read up to n bytes from offset: at least one, perhaps fewer than n; *got is 0
 * at the end.
 * Fails with AS_NOTFOUND, AS_FORBIDDEN, AS_INVALID, AS_UNSUPPORTED; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_file_read(struct as_call *call, const char *id, int64_t offset, void *buf,
    size_t n, size_t *got)
{
	return as_host_table->file_read(call, id, offset, buf, n, got);
}

/*
 * Append bytes to the file of that name; the first write of a call makes it
 * (media_type NULL: application/octet-stream).  It is attached to the result of
 * the call and kept only if the call succeeds.  A name has no slash; a file has
 * at most 16 MiB, a call writes at most 32 files, else AS_LIMIT.  file may be
 * NULL.
 * Fails with AS_FORBIDDEN, AS_INVALID, AS_LIMIT, AS_UNSUPPORTED; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_file_write(struct as_call *call, const char *name, const char *media_type,
    struct as_bytes bytes, const struct as_file **file)
{
	return as_host_table->file_write(call, name, media_type, bytes, file);
}

/* ---- Humans ------------------------------------------------------------ */

/*
 * Ask a human, and wait however long it takes.
 *
 * The first time this returns AS_PARKED: return it.  The host stores the
 * question and forgets the call.  When the human has answered, maybe days and
 * a restart later, the host makes the call again, from the top, with the same
 * arguments and the same idem_key, and now the same as_ask returns the answer.
 * So what comes before it runs twice: either it is harmless, or its outcome is
 * remembered with as_keep.  key tells the questions of one call apart; the
 * first one without an answer is asked.  AS_UNSUPPORTED in a call that no run
 * has made, such as verify or start.
 *
 * AS_EDIT gives the value that the human has made of .value.  It is checked
 * against .schema; without one, if .value are the arguments of the call,
 * against what the tool takes.
 *
 * Fails with AS_PARKED, AS_INVALID, AS_LIMIT, AS_UNSUPPORTED; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_ask(struct as_call *call, const char *key,
    const struct as_question *question, const struct as_answer **answer)
{
	return as_host_table->ask(call, key, question, answer);
}

/*
 * Remember a value for the next time this call is made from the top: after an
 * answer, a failure or a crash.  It is durable on return.  At most 64 keys, of
 * 64 KiB each.
 * Fails with AS_INVALID, AS_LIMIT, AS_UNSUPPORTED; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_keep(struct as_call *call, const char *key, const struct as_json *value)
{
	return as_host_table->keep(call, key, value);
}

/* What as_keep remembered, or NULL.  Cannot fail; since 1.0. */
static inline const struct as_json *
as_kept(struct as_call *call, const char *key)
{
	return as_host_table->kept(call, key);
}

/* ---- Experiments ------------------------------------------------------- */

/*
 * A table that is not part of the contract (yet), by name and revision:
 * "agentstudio.draft.NAME/1" for drafts, "com.example.NAME/1" for a host's own.
 * NULL if this host, or this kind of isolation, has none: that is usual.
 * Cannot fail; since 1.0.
 */
static inline const void *
as_extension(const char *id)
{
	return as_host_table->extension(id);
}

#ifdef __cplusplus
}
#endif

#endif
