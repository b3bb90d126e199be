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
#include <agentstudio/vector.h>
#include <stdbool.h>

#include "core/base/conf.h"
#include "core/base/error.h"
#include "core/base/uuid.h"
#include "core/loop/fiber.h"

struct conf;
struct http_client;
struct json_object;
struct plug; /* all plugins of the process */
struct pool;
struct schema;
struct store;

/* What the host needs from above; main binds it.  Members may be NULL: then
 * the service answers AS_UNSUPPORTED. */
struct plug_services {
	void *arg;
	struct http_client *(*http)(void *arg, struct loop *loop);
	struct pool *pool;
	struct loop *home; /* of plugins that are not AS_PARALLEL */
	/* conf.d as it is now, for plug_reload; the host frees it. */
	struct conf *(*conf)(void *arg);
	int64_t generations; /* of one plugin, mapped at once; 0: 16 */
	int64_t grace_ms; /* for calls of a generation that was replaced */
	/*
	 * Plugins of this folder run in this process unless conf.d says
	 * otherwise, others in one of their own; NULL: all run here.
	 */
	const char *bundled;
	const char *plugin_host; /* the program for that; NULL: this one */
	unsigned child_uid; /* first user of theirs if we are root; 0: ours */
	int64_t child_memory; /* bytes; 0: 512 MiB */
	int64_t child_answer_ms; /* that its loop may be silent; 0: 800 */
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
	/*
	 * Statements over the plugin's own tables: one, or the steps of its
	 * migration (kind is an enum serve_db_kind of serve.h).  params is an
	 * array or NULL.  Only a query gives *rows, an array of objects.
	 */
	SUSPENDS enum as_status (*db)(void *arg, const char *plugin, int kind,
	    struct json_object *texts, struct json_object *params,
	    struct json_object **rows, int64_t *changed, struct error *err);
	/* Where files are. */
	struct store *(*store)(void *arg, struct loop *loop);
	int64_t files_max_user; /* bytes of a person's files; 0: 1 GiB */
};

/*
 * What a tool call needs that may ask people (agentstudio/host.h, "Humans").
 * The call is made with what was answered and kept before; if it ends
 * AS_PARKED, `question` says what is asked now, and the same call is to be made
 * again, with the same arguments and the same idem_key, when it is answered.
 */
struct plug_asking {
	/* {key: {"kind": "accept" | "edit" | "response" | "ignore", "value",
	   "text", "user_id"}}; borrowed, or NULL. */
	struct json_object *answers;
	struct json_object *kept; /* {key: value}; borrowed, or NULL */
	void *arg;
	/* Durable when it returns; value is borrowed. */
	SUSPENDS enum as_status (*keep)(void *arg, const char *key,
	    struct json_object *value, struct error *err);
	/*
	 * {"key", "title", "text", "value"?, "schema"?, "allow": [kinds],
	 * "expires_ms"}; the caller puts it.
	 */
	struct json_object *question;
};

/* Who asks, copied into the call.  Text members may be NULL. */
struct plug_caller {
	struct uuid tenant_id, user_id, agent_id, thread_id, run_id;
	const char *idem_key;
	const char *correlation_id;
	const char *traceparent;
	const char *locale;
	int attempt;
	struct plug_asking *asking; /* NULL: nobody can be asked */
	/*
	 * Bytes of a tool's result; of a longer one, which becomes a file of
	 * the thread, the caller gets the beginning, the end and the file's
	 * name.  0, or if there is no room for the file: all of it.
	 */
	size_t reply_max;
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
SUSPENDS enum as_status plug_new(struct conf *conf,
    const char *const *plugin_dirs, const struct plug_services *services,
    struct plug **out);
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
 * Reads conf.d again and puts a new generation in the place of a plugin, or of
 * all (name NULL): also of one that is new there, and takes out one that is not
 * there any more or disabled.  Nothing has to have changed.  A version that is
 * refused, by the host or by its own init or start, changes nothing:
 * AS_CONFLICT with the sentence, and the generation before goes on.  Calls that are open
 * end on the generation that they began on.
 *
 * From any loop that has joined.  *out may be asked for: [{name, ok, state,
 * generation, error}], one for each plugin that was looked at, also after a
 * failure.  A caller that is cancelled leaves; the reload goes on.
 */
SUSPENDS enum as_status plug_reload(struct plug *p, const char *name,
    struct json_object **out, struct error *err);

/*
 * Looks every half second whether a file or a group of conf.d has changed, and
 * reloads what has; until the fiber is cancelled.  On a fiber of its own, of
 * the home loop.  For development.
 */
SUSPENDS void plug_watch(struct plug *p);

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
 * AS_PARKED: it waits for a person; see struct plug_asking.
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

/* ---- Vectors ------------------------------------------------------- */

struct plug_collection {
	const char *name; /* [a-z0-9_]{1,63} */
	uint32_t dim;
	enum as_metric metric;
};

struct plug_rows {
	uint32_t n;
	const char *const *ids; /* at most 255 bytes each */
	const float *vectors; /* n x dim, row by row; of any length */
	struct json_object *const *metas; /* or NULL: all {} */
};

struct plug_query {
	const float *vector;
	struct json_object *filter; /* agentstudio/vector.h; NULL: all */
	uint32_t limit;
	double min_score;
};

struct plug_hit {
	char *id;
	double score; /* larger is better */
	struct json_object *meta;
};
void plug_hits_free(struct plug_hit *hits, uint32_t n);

/* Short name of the i-th store; NULL beyond the last. */
const char *plug_vector_store(struct plug *p, size_t i);
/*
 * store: a short name, or NULL for the first.  Every call names the collection
 * as it was created.  A put that fails may have stored some of the rows: put
 * them all again.  *hits: best first, of the caller: plug_hits_free.
 */
SUSPENDS enum as_status plug_vector_create(struct plug *p,
    const struct plug_caller *who, const char *store,
    const struct plug_collection *c, struct error *err);
SUSPENDS enum as_status plug_vector_drop(struct plug *p,
    const struct plug_caller *who, const char *store,
    const struct plug_collection *c, struct error *err);
SUSPENDS enum as_status plug_vector_put(struct plug *p,
    const struct plug_caller *who, const char *store,
    const struct plug_collection *c, const struct plug_rows *rows,
    struct error *err);
SUSPENDS enum as_status plug_vector_remove(struct plug *p,
    const struct plug_caller *who, const char *store,
    const struct plug_collection *c, const char *const *ids, uint32_t n,
    struct error *err);
SUSPENDS enum as_status plug_vector_search(struct plug *p,
    const struct plug_caller *who, const char *store,
    const struct plug_collection *c, const struct plug_query *q,
    struct plug_hit **hits, uint32_t *n, struct error *err);

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
 * [{name, plugin, kinds, version, summary, file, state, generation, error,
 * calls, errors, open, latency_us: {mean, p99}, generations_draining,
 * generations_in_memory, memory_bytes, isolation, pid,
 * grants, declared, effects}]; state is one of loaded, serving,
 * retrying, failed, disabled, stopped.  error is why it is in this state, or
 * why its last reload was refused; isolation is none or process, pid that of
 * its process or null; grants is what it may do, declared what it asks for,
 * effects the classes that its tools may have, null: all.  Any thread.
 */
struct json_object *plug_list(struct plug *p);
void plug_gauges(struct plug *p); /* what /metrics has of it; any thread */
/*
 * What the file says of itself: {name, summary, version, abi, flags, grants,
 * kinds, options: [{name, type, required, reload, default, min, max, words,
 * doc}], tools: [{name, doc, effect, effect_by, effects: [{word, effect}],
 * needs_approval, needs_connection, sequential, timeout_ms, input_schema,
 * output_schema}], models}.  Nothing of it runs but its entry point and, with
 * default options, its list of models; of a file that is not bundled in a
 * process of its own (services, of which only that part is looked at).
 */
SUSPENDS enum as_status plug_describe_file(const char *path,
    const struct plug_services *services, struct json_object **out,
    struct error *err);
/* Where <name>.so is: the first of the folders, malloc()ed, or NULL. */
char *plug_find_file(const char *const *plugin_dirs, const char *name);

#endif
