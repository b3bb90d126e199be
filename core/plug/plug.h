/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PLUG_PLUG_H
#define CORE_PLUG_PLUG_H

/*
 * The plugin host: loads shared objects, keeps what they offer in registries,
 * and makes calls to them.
 *
 * What a caller gets from a call is JSON and plain C that it owns; no pointer
 * of the plugin survives a call.  A call runs on the caller's fiber, on the
 * plugin's home loop or on the blocking pool, as its flags say; the caller
 * only sees that it suspends.  The deadline is the fiber's; cancelling the
 * fiber cancels the call.  A call ends exactly once.
 *
 * plug_new runs before loops do; calls are for any loop's thread that has
 * joined.  While loops run, plugins come, change and go (plug_reload): each
 * version is a generation of its own, and a call ends on the one that it began
 * on.
 */

#include <agentstudio/llm.h>
#include <agentstudio/toolkit.h>
#include <stdbool.h>

#include "core/base/conf.h"
#include "core/base/error.h"
#include "core/base/uuid.h"
#include "core/loop/fiber.h"

struct http_client;
struct json_object;
struct plug; /* all plugins of the process */
struct pool;
struct schema;

/* What the host needs from above; main binds it.  Members may be NULL: then
 * the service answers AS_UNSUPPORTED. */
struct plug_services {
	void *arg;
	struct http_client *(*http)(void *arg, struct loop *loop);
	struct pool *pool;
	struct loop *home; /* of plugins that are not AS_PARALLEL */
	/*
	 * Plugins of this folder run in this process unless conf.d says
	 * otherwise, others in one of their own; NULL: all run here.
	 */
	const char *bundled;
	const char *plugin_host; /* the program for that; NULL: this one */
	unsigned child_uid; /* first user of theirs if we are root; 0: ours */
	int64_t child_memory; /* bytes; 0: 512 MiB */
	/*
	 * Values by (plugin, scope, owner, key); scope is an as_kv_scope, owner
	 * the id of the user, thread or run, "" for the plugin itself.  They
	 * run on the caller's fiber.  NOT_FOUND if there is none; versions
	 * start with 1.
	 */
	SUSPENDS enum as_status (*kv_get)(void *arg, const char *plugin,
	    int scope, const char *owner, const char *key,
	    struct json_object **out, int64_t *version, struct error *err);
	/*
	 * value NULL deletes.  if_version >= 0 is a compare-and-set: 0 wants
	 * that there is none, n > 0 that the version kv_get told is still
	 * there; CONFLICT if not.  -1 always writes.
	 */
	SUSPENDS enum as_status (*kv_put)(void *arg, const char *plugin,
	    int scope, const char *owner, const char *key,
	    struct json_object *value, int64_t ttl_ms, int64_t if_version,
	    struct error *err);
};

/* Who asks, copied into the call.  Text members may be NULL. */
struct plug_caller {
	struct uuid tenant_id, user_id, agent_id, thread_id, run_id;
	const char *idem_key;
	const char *correlation_id;
	const char *traceparent;
	const char *locale;
	int attempt;
};

/*
 * The value of an AS_DELTA_EXTRA, borrowed until the sink returns.  Deltas are
 * whole: valid UTF-8, tool calls with an id and a name, arguments after them.
 */
struct json_object *plug_value(const struct as_json *value);

/* What a call says on its way; both run on the caller's fiber, and a status
 * that is not AS_OK is what the plugin's emit returns.  Must not suspend. */
struct plug_sink {
	void *arg;
	enum as_status (*delta)(void *arg, const struct as_delta *d);
	enum as_status (*progress)(void *arg, double done, const char *what);
};

/*
 * Create the host and load what conf.d enables from the folders (searched in
 * order, files named <name>.so).  Mistakes become problems of conf; AS_INVALID
 * if there was one.  plugin_dirs is NULL-terminated.
 */
enum as_status plug_new(struct conf *conf, const char *const *plugin_dirs,
    const struct plug_services *services, struct plug **out);
/*
 * init and start; on a fiber of the home loop.  A plugin whose init fails is
 * out, with a log line; start is retried with back-off.  Returns after two
 * seconds at most: who is slower to start serves later.
 */
SUSPENDS void plug_start(struct plug *p);
SUSPENDS void plug_stop(struct plug *p); /* waits for open calls */
void plug_free(struct plug *p); /* after the loops have ended */
/*
 * A loop whose fibers use p: before it runs, and before it is freed (after it
 * was drained).  The home loop, too.
 */
void plug_join(struct plug *p, struct loop *loop);
void plug_leave(struct plug *p, struct loop *loop);

/*
 * Every call, service and result is encoded to bytes and decoded again, as it
 * would be for a plugin in another process.  For tests; before the first call.
 */
void plug_loopback(struct plug *p, bool on);

/*
 * ---- What there is -------------------------------------------------
 *
 * Pointers are borrowed until the caller suspends: a reload may put another
 * generation in place then.  Who needs a text for longer copies it, or looks
 * again.  Only on a loop that has joined, or while no loop runs.
 */

struct plug_tool_info {
	const char *toolkit; /* "calculator" */
	const char *name; /* "calculator_evaluate" */
	const char *doc;
	const char *version; /* of the plugin */
	enum as_effect effect; /* of calls not in effects; plug_tool_effect */
	const char *effect_by; /* the argument that decides, or NULL */
	const struct as_effect_case *effects; /* ends with word NULL, or NULL */
	bool needs_approval;
	bool needs_connection;
	bool has_verify;
	bool sequential;
	int64_t timeout_ms; /* 0: it has none of its own */
	int64_t key_valid_ms;
	/* Shared by all loops: a reference would change them, so copy. */
	struct json_object *input_schema;
	struct json_object *output_schema; /* or NULL */
};

struct plug_toolkit_info {
	const char *slug, *name, *description, *version, *service;
	size_t n_tools;
	const struct toolkit *kit; /* core/plug's own */
};

struct plug_model_info {
	const char *id; /* "provider/model" */
	const char *provider, *name, *title, *abilities;
	int64_t window, max_output;
	uint32_t dim;
	bool is_default;
};

/* NULL beyond the last.  A reload may come between two numbers. */
const struct plug_toolkit_info *plug_toolkit(struct plug *p, size_t i);
const struct plug_toolkit_info *plug_toolkit_find(struct plug *p,
    const char *slug);
/* Tools of one toolkit, in the plugin's order; NULL beyond the last. */
const struct plug_tool_info *
plug_toolkit_tool(const struct plug_toolkit_info *kit, size_t i);
const struct plug_tool_info *plug_tool_find(struct plug *p, const char *name);

const struct plug_model_info *plug_model(struct plug *p, size_t i);
/*
 * "provider/model", "model" or NULL (the default) to an enabled provider and a
 * model name.  False: no such provider or model.  A provider without a list
 * takes any name.
 */
bool plug_model_resolve(struct plug *p, const char *id, char *full,
    size_t full_len);
const struct plug_model_info *plug_model_find(struct plug *p,
    const char *full); /* NULL for names that are not listed */

/*
 * What this call does to the world: by the argument that decides, or its
 * default, else the tool's class.  args may be anything; any thread.
 */
enum as_effect plug_tool_effect(const struct plug_tool_info *info,
    struct json_object *args);
const char *plug_effect_name(enum as_effect effect); /* "none", "once" */

/* ---- Calls --------------------------------------------------------- */

/*
 * Run a tool.  The arguments are validated first (VALIDATION_FAILED with
 * details).  *result is JSON (a string for text), owned by the caller.
 * err->extra may have "plugin_code", and "maybe_done": true if nobody knows
 * whether it happened, such as when bytes of an HTTP request had left.
 */
SUSPENDS enum as_status plug_tool_call(struct plug *p,
    const struct plug_caller *who, const char *tool, struct json_object *args,
    const struct plug_sink *sink, struct json_object **result,
    struct error *err);
/* AS_OK: it happened, *result; AS_NOTFOUND: it did not; else unknown. */
SUSPENDS enum as_status plug_tool_verify(struct plug *p,
    const struct plug_caller *who, const char *tool, struct json_object *args,
    struct json_object **result, struct error *err);

struct plug_chat_end {
	enum as_chat_why why;
	int64_t input, output, cached, reasoning; /* tokens, -1 unknown */
};

/*
 * One model request, streamed into sink->delta.  AS_OK only after AS_DELTA_END;
 * a stream that breaks is UPSTREAM_UNAVAILABLE.  usage is filled also after
 * failures, as far as known.
 */
SUSPENDS enum as_status plug_chat(struct plug *p, const struct plug_caller *who,
    const char *model /* full id */, struct json_object *messages,
    struct json_object *tools, struct json_object *settings,
    const struct plug_sink *sink, struct plug_chat_end *end, struct error *err);

/* *vectors: n rows of *dim floats, malloc()ed. */
SUSPENDS enum as_status plug_embed(struct plug *p,
    const struct plug_caller *who, const char *model, const char *const *texts,
    uint32_t n, bool is_query, float **vectors, uint32_t *dim,
    struct error *err);

struct plug_identity {
	char *subject, *email, *name, *avatar_url; /* malloc()ed or NULL */
	bool email_verified, is_admin;
	const char *backend; /* plugin's section name; lives as p does */
};
void plug_identity_clear(struct plug_identity *id);

enum plug_auth_op {
	PLUG_LOGIN = 1,
	PLUG_SIGNUP,
	PLUG_VERIFY,
	PLUG_UPDATE
};
/*
 * credentials: an object, {"email","password","display_name"?} or what the
 * backend's fields say; for PLUG_VERIFY {"token"}, for PLUG_UPDATE (a change of
 * the password) {"subject","current_password","password"}.  Tries the backends
 * in the order of their sections until one knows; AS_AUTH if none.  Codes:
 * INVALID_CREDENTIALS, EMAIL_TAKEN, VALIDATION_FAILED with details, UNSUPPORTED
 * if no backend does this, NOT_FOUND for an unknown subject.
 */
SUSPENDS enum as_status plug_auth(struct plug *p, enum plug_auth_op op,
    const struct plug_caller *who, struct json_object *credentials,
    struct plug_identity *out, struct error *err);

/*
 * "agent-studio plugin-host": this process is that of one isolated plugin, and
 * was started by another of this program.  Returns the exit code.
 */
int plug_child_main(int argc, char **argv);

/* ---- For operators ------------------------------------------------- */

/*
 * [{name, plugin, kinds, version, summary, file, state, error, calls, errors,
 * isolation, pid}]; state is one of loaded, serving, retrying, failed, disabled,
 * isolation is none or process, pid that of its process or null.
 */
struct json_object *plug_list(struct plug *p);
/*
 * What the file says of itself: {name, summary, version, abi, flags, grants,
 * kinds, options: [{name, type, required, reload, default, min, max, words,
 * doc}], tools: [{name, doc, effect, effect_by, effects: [{word, effect}],
 * needs_approval, needs_connection, sequential, timeout_ms, input_schema,
 * output_schema}], models}.  Nothing of it runs but its entry point and, with
 * default options, its list of models.
 */
SUSPENDS enum as_status plug_describe_file(const char *path,
    struct json_object **out, struct error *err);
/* Where <name>.so is: the first of the folders, malloc()ed, or NULL. */
char *plug_find_file(const char *const *plugin_dirs, const char *name);

#endif
