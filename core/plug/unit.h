/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PLUG_UNIT_H
#define CORE_PLUG_UNIT_H

/*
 * Inside core/plug: a loaded file, a plugin that conf.d names, its generations,
 * and what all plugins offer together.
 *
 * A struct plugin is a name; it stays.  A struct unit is one generation of it:
 * a file, its options and its tools, which never change once it is in a
 * registry.  The registry is what callers look at: a snapshot of all units that
 * are offered, replaced as a whole by the home loop (registry.c).  An old one
 * goes when every loop that reads has been through a turn, so what is found in
 * it is good until the finder suspends; who needs a unit for longer holds it.
 *
 * Except for atomics and what is said to be under the lock of struct plug,
 * everything is written by the home loop alone, or before loops run.
 */

#include <agentstudio/auth.h>
#include <agentstudio/llm.h>
#include <agentstudio/toolkit.h>
#include <agentstudio/vector.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/base/hash.h"
#include "core/loop/loop.h"
#include "core/plug/latency.h"
#include "core/plug/plug.h"

struct counter;
struct guard;
struct histogram;

/* A file that is mapped, and its description in this host's own sizes. */
struct plug_file {
	struct plug_file *list; /* every one that is mapped, for the debugger */
	void *handle;
	int64_t memory; /* bytes that it takes where it is mapped */
	char *path;
	struct as_plugin about;
	struct as_toolkit toolkit;
	struct as_llm llm;
	struct as_vector vector;
	struct as_auth auth;
	struct as_tool *tools; /* n_tools */
	size_t n_tools;
	/* Of one that runs isolated: nothing is mapped; handle is NULL. */
	int image; /* its bytes; -1: mapped here */
	struct arena *arena; /* its description */
};

/*
 * Map a private copy and read the description.  *sentence says why not: what
 * is wrong with the file, both versions and the remedy; the caller frees it.
 */
struct plug_file *file_open(const char *path, const struct as_host *host,
    char **sentence);
/* The same of an image that has been checked; path is for the sentences. */
struct plug_file *file_open_image(const char *path, const char *image,
    const struct as_host *host, char **sentence);
/* Is this a description that a host can work with?  NULL, or a sentence. */
char *file_refuse(const char *path, const struct plug_file *f);
#define FILE_TOOLS_MAX 256
/*
 * Unmapped if nothing of it has run or if it says that it may go.  True: it
 * stays mapped for ever.
 */
bool file_close(struct plug_file *f, bool has_run);
/* Is it in another folder than ours: does it run in a process of its own? */
bool file_is_foreign(const struct plug *p, const char *path);
/* Does it take a place in this process until it is closed, or for ever? */
bool file_is_mapped(const struct plug_file *f);
/* Of the member that a field of this type fills; 0: there is no such type. */
size_t field_width(uint32_t type);

enum unit_state {
	UNIT_LOADED = 1,
	UNIT_SERVING,
	UNIT_RETRYING, /* start has failed and is tried again */
	UNIT_FAILED, /* init has failed */
	UNIT_DISABLED, /* conf.d says so, or what it needs is not there */
	UNIT_DRAINING, /* not offered any more; calls go on to their ends */
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

/*
 * Never changes once it is in a registry; one with tools that were offered has
 * references: its unit's and its registries'.
 */
struct toolkit {
	struct plug_toolkit_info info;
	struct unit *unit;
	struct arena *arena; /* NULL: it is the unit's own */
	atomic_uint refs;
	size_t n_shared; /* the first tools are the unit's */
	struct tool *tools;
	size_t n_all; /* info.n_tools without those that conf.d bars */
};

#define UNIT_COUNTS_MAX 32
#define UNIT_COUNT_NAME 48

/* Names of numbers that a plugin counts; under the lock of struct plug. */
struct unit_counts {
	char names[UNIT_COUNTS_MAX][UNIT_COUNT_NAME];
	size_t n;
};

/* Lines that a process of its own has said lately; under the same lock. */
struct unit_lines {
	int64_t since_ms;
	unsigned said, dropped;
};

/* A secret of the admin, by name; the value lives as long as the conf. */
struct unit_secret {
	const char *name, *value;
};

/* A reading of conf.d; options of units point into it. */
struct plug_conf {
	struct conf *conf;
	bool owned; /* by its last unit; else by who called plug_new */
	unsigned refs;
};

/* A section of conf.d, whatever it says today. */
struct plugin {
	struct plug *plug;
	char *name; /* of the section */
	unsigned number; /* of its uid, if it is isolated */
	unsigned generation; /* the newest one's number */
	_Atomic uint64_t failures; /* of all generations */
	struct latency latency; /* and how many calls there were */

	/* Under the lock of struct plug. */
	unsigned mapped; /* that have ended and cannot be unmapped */
	int64_t memory; /* bytes of those */
	struct unit *current; /* NULL: conf.d does not name it any more */
	struct unit *draining; /* older ones that have not ended, by `older` */
	struct unit_counts counts;
	struct unit_lines lines;
	char refused[512]; /* why the last reload came to nothing, or "" */

	uint8_t seen[HASH_LEN]; /* plug_watch's own: what was last looked at */
};

/* One generation of a plugin. */
struct unit {
	struct plug *plug;
	struct plugin *of;
	unsigned generation; /* from 1 */
	char *name; /* of the section */
	const char *slug; /* without its kind */
	struct plug_file *file; /* NULL: disabled */
	char *path; /* where the file was found, or NULL */
	struct plug_conf *source; /* NULL: only described */
	void *conf;
	_Atomic(void *) state_of_plugin;
	atomic_int state;
	atomic_uint open; /* calls, and others that hold it: unit_hold */
	atomic_uint listed; /* registries that it is in */
	bool inited; /* init has succeeded, fini has not run */
	bool has_run; /* init has been called: its code may have left traces */
	char error[512]; /* under the lock */
	const struct as_field *program_names; /* by the manifest, or NULL */
	const char **program_paths; /* by the admin, "" if there is none */
	const char **allow; /* addresses that guarded requests may open */
	const char *grants; /* what conf.d leaves; NULL: all that it declares */
	unsigned effects_barred; /* bits 1 << enum as_effect */
	struct unit_secret *secrets; /* that it may have, and that there are */
	size_t n_secrets;
	struct arena *arena; /* what lives as long as the unit */

	/* Labels: plugin, generation; NULL: it has not been in a registry. */
	struct counter *calls_total, *failures_total;
	struct histogram *seconds;

	struct toolkit *own_kit; /* of its file; NULL: it is none */
	/* What it has now; home loop only: others look into a registry. */
	struct toolkit *toolkit;
	bool listing, list_again; /* home loop only */
	atomic_bool is_changed; /* `changed` is under way */
	struct loop_msg changed;
	struct json_object *offers; /* models; home loop only */
	struct fiber_ref keeper; /* starts it, or ends it; home loop only */
	struct guard *guard; /* NULL: it runs in this process */
	struct unit *older; /* in plugin.draining */
};

/* What there is; never changes. */
struct registry {
	struct registry *older; /* of those that nobody looks at any more */
	struct arena *arena;
	struct unit **units; /* in the order of conf.d */
	struct toolkit **kits; /* of each, or NULL */
	size_t n_units;
	struct plug_model_info *models;
	size_t n_models;
};

/* A loop whose fibers read registries, and its part in a round (registry.c). */
struct reader {
	struct reader *next;
	struct loop *loop;
	struct loop_msg msg;
	struct plug *plug;
	bool asked;
};

struct plug {
	struct plug_conf conf0; /* of plug_new */
	struct plug_services services;
	struct arena *arena;
	struct plugin **plugins; /* in the order of conf.d; under the lock */
	size_t n_plugins;
	pthread_mutex_t lock;
	bool loopback;
	char *default_model; /* conf: models.default; "auto" */
	char **dirs; /* where files are looked for */
	_Atomic(struct registry *) registry;

	/* Under the lock: registries on their way out. */
	struct reader *readers, *left; /* left: by plug_leave */
	struct registry *retired; /* since the round began */
	struct registry *leaving; /* when it ends */
	unsigned n_asked; /* readers that have not answered; 0: no round */

	/* Home loop only: reloads are made one after another (reload.c). */
	bool reloading, stopping;
	struct fiber_ref reloader;

	/* Of plug_start: first attempts that are still under way. */
	unsigned n_starting;
	struct fiber_wait starting;
};

void plug_conf_unref(struct plug_conf *source); /* NULL does nothing */
/* The entry of a name, made if there is none. */
struct plugin *plugin_get(struct plug *p, const char *name);
/* A mistake at plugins.NAME.setting ("": of the whole group). */
void unit_problem(struct unit *u, const char *setting, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A new generation, not loaded yet; source may be NULL. */
struct unit *unit_new(struct plugin *of, struct plug_conf *source);
/* What its section of its conf says, looking in plug.dirs. */
SUSPENDS void unit_load(struct unit *u);
/* Of all units that are to be offered together: names that clash. */
void units_check(struct unit *const *units, size_t n);
/* programs.c.  False: problems of the configuration. */
bool programs_read(struct unit *u, bool is_used);
const char *program_path(const struct unit *u, const char *name); /* or NULL */
void unit_rename(struct unit *u, const char *name);
void unit_free(struct unit *u); /* nobody holds it, no registry lists it */
/* Keeps a unit that was found in a registry across suspensions. */
struct unit *unit_hold(struct unit *u); /* NULL gives NULL */
void unit_drop(struct unit *u);
/* What operators see of numbers: metrics.c. */
void unit_count_begin(struct unit *u);
void unit_count_call(struct unit *u, bool failed, int64_t us);
void unit_count_end(struct unit *u);
/* Members of o; with the lock held. */
void plugin_numbers(const struct plugin *of, struct json_object *o);
void unit_fail(struct unit *u, enum unit_state state, const char *text);
const char *unit_state_name(enum unit_state state);
/* Builds toolkit and tools of a unit; AS_INVALID with a reason. */
enum as_status unit_tools(struct unit *u, struct error *err);
void unit_tools_free(struct unit *u);
/* One step of its life: OP_INIT, OP_START, ... */
SUSPENDS enum as_status unit_lifecycle(struct unit *u, int kind,
    int64_t timeout_ms, struct error *err);
/* OP_START, its models, and it serves; or it is to be tried again. */
SUSPENDS enum as_status unit_try(struct unit *u);
/* The unit that provides a model; *model is its own name for it. */
struct unit *unit_of_model(struct plug *p, const char *full,
    const char **model);
const char *unit_default_model(const struct unit *u); /* "" if none */
/* tool.c, for tools that are offered; what is allocated lives with the kit. */
enum as_status tool_fill(struct toolkit *kit, struct tool *tool,
    const struct as_tool *t, struct error *err);
void tool_clear(struct tool *tool);
void kit_count(struct toolkit *kit); /* info.n_tools */
/* Does another plugin that is offered have a tool of this full name? */
bool tool_is_taken(const struct unit *u, const char *short_name);
/*
 * offer.c.  Ask a plugin for the tools that it offers; on the home loop.  What
 * is in a registry stays until it is published anew.
 */
SUSPENDS void offers_ask(struct unit *u);
void offers_changed(struct unit *u); /* ask it soon; any thread */
void kit_ref(struct toolkit *kit);
void kit_unref(struct toolkit *kit);
struct tool *tool_find(struct unit *const *units, size_t n, const char *name);
bool unit_is_serving(const struct unit *u);
/* Conf.d wants it, and it has not failed for good. */
bool unit_is_enabled(const struct unit *u);
/*
 * life.c; all on fibers of the home loop.  unit_begin is init and start, once;
 * unit_retire takes a unit that no registry to come will have to its end, on a
 * fiber of its own.
 */
SUSPENDS enum as_status unit_begin(struct unit *u, struct error *err);
SUSPENDS void unit_retire(struct unit *u);
/* Ask for what it offers: tools and models; on the home loop. */
SUSPENDS void models_ask(struct unit *u);
/* Fills in the models of a registry that has its units. */
void models_fill(struct plug *p, struct registry *r);

/*
 * registry.c.  What callers find from now on: the current unit of every
 * plugin, as it is now.  On the home loop, or before loops run.
 */
void registry_publish(struct plug *p);
struct registry *registry_now(struct plug *p); /* until the caller suspends */
void registry_free_all(struct plug *p); /* after the loops */

/* A time that a plugin has said: 0 to a century, so that sums cannot overflow. */
static inline int64_t
span_ms(int64_t ms)
{
	const int64_t most = (int64_t)100 * 366 * 86400 * 1000;

	return ms < 0 ? 0 : ms > most ? most : ms;
}

/* The table that every plugin gets. */
extern const struct as_host host_table;

#endif
