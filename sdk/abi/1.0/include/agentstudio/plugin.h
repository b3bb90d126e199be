/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AS_SDK_PLUGIN_H
#define AS_SDK_PLUGIN_H
/* Columns and function tables are set by hand. */
/* clang-format off */

/*
 * A plugin: one shared object, one exported function, one description.
 *
 *	AS_PLUGIN(
 *		.name = "toolkit_clock",
 *		.summary = "Tells the time.",
 *		.version = "1.0.0",
 *		.toolkit = AS_TOOLKIT(.tools = tools));
 *
 * The host reads the description, refuses it with a sentence or takes it,
 * fills the options from conf.d, and calls:
 *
 *	init    make state.  Does not wait.  A failure disables the plugin.
 *	start   may wait: connect, fetch a catalogue.  Retried if it fails.
 *	...     the functions of the kinds it provides, many at a time
 *	stop    finish or give up; no new calls come.  May wait.
 *	fini    free the state.  No other call is open, none will come; only
 *	        if init returned AS_OK.
 *
 * A reload runs init and start of the new generation, sends new calls to it,
 * and runs stop and fini of the old one after its last call.  With isolation
 * the same happens in a child process; the plugin cannot tell and need not.
 *
 * A plugin must not: block (unless it says AS_BLOCKING), open sockets, start
 * threads that outlive stop, fork, exit, abort on bad input, touch signals,
 * locale, umask, environment, working directory or standard streams, register
 * atexit handlers or thread-specific destructors, keep a pointer that a call
 * gave it, or use a call after returning from it.
 */

#include <agentstudio/error.h>
#include <agentstudio/host.h>
#include <agentstudio/json.h>
#include <agentstudio/option.h>
#include <agentstudio/version.h>

#ifdef __cplusplus
extern "C" {
#endif

struct as_auth;
struct as_llm;
struct as_toolkit;
struct as_vector;

/*
 * How its functions may be called.  Zero, the default, is the easy life: all
 * on one thread, and one runs until it returns or meets an AS_SUSPENDS.
 */
enum as_plugin_flags {
	/* From several threads at once.  For plugins without mutable state. */
	AS_PARALLEL = 1u << 0,
	/* They block or compute for long: use a pool thread, not the loop. */
	AS_BLOCKING = 1u << 1,
	/* Safe to unmap after fini: no threads, no thread-local destructors. */
	AS_UNLOADABLE = 1u << 2,
	/* Its models are the default only if no other plugin has any. */
	AS_FALLBACK = 1u << 3
};

/* Everything but the head and name is optional. */
struct as_plugin {
	uint32_t magic;
	uint16_t abi_major;
	uint16_t abi_minor;
	uint32_t size;
	uint32_t field_size; /* of one struct as_field */

	const char *name;    /* kind_name, as in conf.d */
	const char *summary; /* one sentence */
	const char *version; /* of the plugin; semantic */
	uint32_t flags;
	uint32_t conf_size;
	const struct as_field *options;

	/*
	 * What it may do, separated by blanks; the admin can narrow it, and
	 * what is not listed is refused with AS_FORBIDDEN: "net:api.x.com"
	 * "net:*.x.com" "net:user" (any public address: a user, a model or an
	 * answer gives it) "secret:NAME" "credential" "kv" "files" "db"
	 * "process:NAME".  An address in the plugin's own options needs no
	 * grant: the admin has put it there.
	 */
	const char *grants;

	/* What it is; one plugin may be several things. */
	const struct as_toolkit *toolkit;
	const struct as_llm *llm;
	const struct as_vector *vector;
	const struct as_auth *auth;

	enum as_status (*init)(struct as_call *call);
	AS_SUSPENDS enum as_status (*start)(struct as_call *call);
	AS_SUSPENDS void (*stop)(struct as_call *call);
	void (*fini)(struct as_call *call);

	/* Tables for as_extension's counterpart in the host; NULL if none. */
	const void *(*extension)(const char *id);
};

/*
 * The one exported symbol.  The host may be NULL, for those who only want to
 * read the description.
 */
typedef const struct as_plugin *as_plugin_entry_fn(const struct as_host *host);
AS_EXPORT const struct as_plugin *as_plugin_entry(const struct as_host *host);

#define AS_PLUGIN_ENTRY(plugin)                                               \
	AS_LOCAL const struct as_host *as_host_table;                         \
	const struct as_plugin *as_plugin_entry(const struct as_host *host)   \
	{                                                                     \
		as_host_table = host;                                         \
		return plugin;                                                \
	}                                                                     \
	typedef int as_plugin_needs_a_semicolon

#define AS_PLUGIN_HEAD                                                        \
	AS_ABI_MAGIC, AS_ABI_MAJOR, AS_TARGET_MINOR,                          \
	    (uint32_t)sizeof(struct as_plugin),                               \
	    (uint32_t)sizeof(struct as_field)

/* Options of type struct T from the table t. */
#define AS_OPTIONS(T, t) .conf_size = (uint32_t)sizeof(T), .options = t

#define AS_PLUGIN(...)                                                        \
	static const struct as_plugin as_this_plugin                          \
	    = { AS_PLUGIN_HEAD, __VA_ARGS__ };                                \
	AS_PLUGIN_ENTRY(&as_this_plugin)

/* A table of the contract by value: AS_TABLE(as_question, .title = "Sure?") */
#define AS_TABLE(T, ...)                                                      \
	(&(const struct T){ .size = (uint32_t)sizeof(struct T), __VA_ARGS__ })

#ifdef __cplusplus
}

/* C++17 has no designated initialisers: make one, then set what you need. */
template <typename T>
inline T
as_make()
{
	T table = {};

	table.size = sizeof(T);
	return table;
}

template <>
inline as_plugin
as_make<as_plugin>()
{
	as_plugin plugin = {};

	plugin.magic = AS_ABI_MAGIC;
	plugin.abi_major = AS_ABI_MAJOR;
	plugin.abi_minor = AS_TARGET_MINOR;
	plugin.size = sizeof(as_plugin);
	plugin.field_size = sizeof(as_field);
	return plugin;
}
#endif

#endif
