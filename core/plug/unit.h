/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PLUG_UNIT_H
#define CORE_PLUG_UNIT_H

/*
 * Inside core/plug: a loaded file, a plugin that conf.d names, and what all
 * plugins offer together.
 *
 * Everything here is written before the loops run, with three exceptions: the
 * atomics, `error` (under the lock of struct plug), and the catalogue, which is
 * replaced as a whole; an old one stays until plug_free, because callers keep
 * pointers into it.
 */

#include <agentstudio/auth.h>
#include <agentstudio/llm.h>
#include <agentstudio/toolkit.h>
#include <agentstudio/vector.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/plug/plug.h"

struct counter;

/* A file that is mapped, and its description in this host's own sizes. */
struct plug_file {
	void *handle;
	char *path;
	struct as_plugin about;
	struct as_toolkit toolkit;
	struct as_llm llm;
	struct as_vector vector;
	struct as_auth auth;
	struct as_tool *tools; /* n_tools */
	size_t n_tools;
};

/*
 * Map a private copy and read the description.  *sentence says why not: what
 * is wrong with the file, both versions and the remedy; the caller frees it.
 */
struct plug_file *file_open(const char *path, const struct as_host *host,
    char **sentence);
void file_close(struct plug_file *f); /* stays mapped unless it may go */

enum unit_state {
	UNIT_LOADED = 1,
	UNIT_SERVING,
	UNIT_RETRYING, /* start has failed and is tried again */
	UNIT_FAILED, /* init has failed */
	UNIT_DISABLED, /* conf.d says so, or what it needs is not there */
	UNIT_STOPPED
};

/*
 * effect.c.  May effects depend on that argument, and so?  AS_OK, or a sentence
 * in err; schema is of the tool's input.
 */
enum as_status effects_check(const struct as_tool *t,
    struct json_object *schema, struct error *err);

struct tool {
	struct plug_tool_info info;
	struct unit *unit;
	const struct as_tool *about; /* NULL: offered at run time */
	char *short_name; /* what the plugin calls it */
	struct schema *schema;
};

struct toolkit {
	struct plug_toolkit_info info;
	struct unit *unit;
	struct tool *tools; /* info.n_tools */
};

#define UNIT_COUNTS_MAX 32
#define UNIT_COUNT_NAME 48

/* Names of numbers that a plugin counts; under the lock of struct plug. */
struct unit_counts {
	char names[UNIT_COUNTS_MAX][UNIT_COUNT_NAME];
	size_t n;
};

/* One section of conf.d. */
struct unit {
	struct plug *plug;
	char *name; /* of the section */
	const char *slug; /* without its kind */
	struct plug_file *file; /* NULL: disabled */
	char *path; /* where the file was found, or NULL */
	void *conf;
	_Atomic(void *) state_of_plugin;
	atomic_int state;
	atomic_uint open; /* calls */
	bool inited;
	char error[256];
	const struct as_field *program_names; /* by the manifest, or NULL */
	const char **program_paths; /* by the admin, "" if there is none */
	const char **allow; /* addresses that guarded requests may open */
	struct counter *calls, *failures;
	struct unit_counts counts;
	struct arena *arena; /* what lives as long as the unit */

	struct toolkit *toolkit; /* NULL: it is none */
	struct json_object *offers; /* models; home loop only */
	struct fiber_ref starter;
};

/* Every model there is; replaced as a whole. */
struct catalogue {
	struct catalogue *older;
	struct arena *arena;
	struct plug_model_info *models;
	size_t n;
};

struct plug {
	struct conf *conf;
	struct plug_services services;
	struct arena *arena;
	struct unit **units; /* in the order of conf.d */
	size_t n_units;
	pthread_mutex_t lock;
	bool loopback;
	char *default_model; /* conf: models.default; "auto" */
	_Atomic(struct catalogue *) catalogue;

	/* Of plug_start: first attempts that are still under way. */
	unsigned n_starting;
	struct fiber_wait starting;
};

/* programs.c.  False: problems of the configuration. */
bool programs_read(struct unit *u, bool is_used);
const char *program_path(const struct unit *u, const char *name); /* or NULL */

struct unit *unit_new(struct plug *p, const char *name);
void unit_rename(struct unit *u, const char *name);
void unit_free(struct unit *u);
void unit_fail(struct unit *u, enum unit_state state, const char *text);
const char *unit_state_name(enum unit_state state);
/* Builds toolkit and tools of a unit; AS_INVALID with a reason. */
enum as_status unit_tools(struct unit *u, struct error *err);
void unit_tools_free(struct unit *u);
/* The unit that provides a model; *model is its own name for it. */
struct unit *unit_of_model(struct plug *p, const char *full,
    const char **model);
const char *unit_default_model(const struct unit *u); /* "" if none */
struct tool *tool_find(struct plug *p, const char *name);
bool unit_is_serving(const struct unit *u);
/* Conf.d wants it, and it has not failed for good. */
bool unit_is_enabled(const struct unit *u);
/* Ask a provider for its models, and show them; on the home loop. */
SUSPENDS void models_ask(struct unit *u);
void models_publish(struct plug *p);
void models_free(struct plug *p);

/* The table that every plugin gets. */
extern const struct as_host host_table;

#endif
