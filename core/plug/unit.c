/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/conf.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/plug/call.h"
#include "core/plug/child.h"
#include "core/plug/grant.h"
#include "core/plug/unit.h"

/*
 * From conf.d to plugins.  Each group under "plugins" is one; what is wrong
 * with it is a problem at its line, and the others are looked at all the same,
 * so that `agent-studio check` finds every mistake at once.
 */

static const char *const words_of_host[] = { "plugin", "enabled", "isolation",
	"grants", "effects", NULL };

#define GENERATIONS 16
#define GRACE_MS 600000

enum wanted {
	WANTED_NO = 1,
	WANTED_YES,
	WANTED_AUTO
};

void
unit_problem(struct unit *u, const char *setting, const char *fmt, ...)
{
	char path[160], text[1024];
	va_list ap;

	snprintf(path, sizeof(path), "plugins.%s%s%s", u->name,
	    setting[0] != '\0' ? "." : "", setting);
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	conf_problem_at(u->source->conf, path, "%s: %s", path, text);
	snprintf(u->error, sizeof(u->error), "%.500s", text);
}

static const char *
setting(struct unit *u, const char *name)
{
	char path[160];

	snprintf(path, sizeof(path), "plugins.%s.%s", u->name, name);
	return conf_peek(u->source->conf, path);
}

static enum wanted
unit_wanted(struct unit *u)
{
	const char *text = setting(u, "enabled");

	if (text == NULL || strcmp(text, "true") == 0)
		return WANTED_YES;
	if (strcmp(text, "auto") == 0)
		return WANTED_AUTO;
	if (strcmp(text, "false") != 0)
		unit_problem(u, "enabled",
		    "expected true, false or \"auto\", got '%.40s'", text);
	return WANTED_NO;
}

bool
file_is_foreign(const struct plug *p, const char *path)
{
	const char *bundled = p->services.bundled;
	size_t len = bundled != NULL ? strlen(bundled) : 0;

	return bundled != NULL &&
	       (strncmp(path, bundled, len) != 0 || path[len] != '/');
}

/* The admin's word, or by the folder that it is in. */
static bool
unit_is_isolated(struct unit *u)
{
	const char *text = setting(u, "isolation");

	if (text == NULL)
		return file_is_foreign(u->plug, u->path);
	if (strcmp(text, "process") == 0)
		return true;
	if (strcmp(text, "none") != 0)
		unit_problem(u, "isolation",
		    "expected \"none\" or \"process\", got '%.40s'", text);
	return false;
}

/* ---- Files --------------------------------------------------------- */

char *
plug_find_file(const char *const *plugin_dirs, const char *name)
{
	char *path;

	if (strchr(name, '/') != NULL)
		return NULL;
	for (; *plugin_dirs != NULL; plugin_dirs++) {
		path = xasprintf("%s/%s.so", *plugin_dirs, name);
		if (access(path, F_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}

static void
problem_not_found(struct unit *u, const char *name)
{
	char **dirs = u->plug->dirs;
	char where[512] = "";
	size_t n = 0;

	for (; *dirs != NULL && n < sizeof(where); dirs++)
		n += (size_t)snprintf(where + n, sizeof(where) - n, "%s%s",
		    n > 0 ? ", " : "", *dirs);
	unit_problem(u, setting(u, "plugin") != NULL ? "plugin" : "",
	    "no plugin %s.so in %s; install it, correct the name or remove "
	    "this group",
	    name, where[0] != '\0' ? where : "any folder");
}

SUSPENDS static bool
unit_open(struct unit *u, const char *name)
{
	char *sentence = NULL;

	u->path = plug_find_file((const char *const *)u->plug->dirs, name);
	if (u->path == NULL) {
		problem_not_found(u, name);
		return false;
	}
	if (unit_is_isolated(u)) {
		guard_make(u);
		u->file = child_file_open(u, u->path, &sentence);
	} else
		u->file = file_open(u->path, &host_table, &sentence);
	if (u->file == NULL)
		unit_problem(u, "", "%s", sentence);
	else if (strcmp(u->file->about.name, name) != 0)
		unit_problem(u, "", "%s: says that it is %s: rename the file",
		    u->path, u->file->about.name);
	else
		return true;
	free(sentence);
	return false;
}

/* ---- Options ------------------------------------------------------- */

static const struct as_field *
option_at(const struct as_plugin *p, size_t i)
{
	return (
	    const struct as_field *)(const void *)((const char *)p->options +
						   i * p->field_size);
}

static size_t
option_count(const struct as_plugin *p)
{
	size_t n = 0;

	while (p->options != NULL && option_at(p, n)->name != NULL)
		n++;
	return n;
}

/* A plugin that will not run: are its settings known and of their types? */
static void
check_options(struct unit *u, const char *path)
{
	const struct as_plugin *p = &u->file->about;
	size_t i, n = option_count(p), n_extra = N_ITEMS(words_of_host) - 1;
	struct as_field *fields = xcalloc(n + 1, sizeof(*fields));
	const char **extra = xcalloc(n_extra + n + 1, sizeof(*extra));
	void *out = arena_alloc(u->arena, p->conf_size + 1);

	memcpy(extra, words_of_host, n_extra * sizeof(*extra));
	for (i = 0; i < n; i++) {
		fields[i] = *option_at(p, i);
		fields[i].flags &= ~(uint32_t)AS_REQUIRED;
		if (fields[i].type == AS_FIELD_SECRET)
			extra[n_extra++] = fields[i].name;
	}
	conf_section(u->source->conf, path, fields, sizeof(*fields), out,
	    extra);
	free(fields);
	free(extra);
}

static void
read_allow(struct unit *u)
{
	const struct as_plugin *p = &u->file->about;
	const struct as_field *f;
	struct as_list list;
	size_t i, n = option_count(p);

	for (i = 0; i < n; i++) {
		f = option_at(p, i);
		if (f->type != AS_FIELD_LIST || strcmp(f->name, "allow") != 0)
			continue;
		memcpy(&list, (const char *)u->conf + f->offset, sizeof(list));
		u->allow = arena_alloc(u->arena,
		    (list.n + 1) * sizeof(*u->allow));
		if (list.n > 0)
			memcpy(u->allow, list.items,
			    list.n * sizeof(*u->allow));
	}
}

/* True: it shall run, and its options are filled in. */
static bool
read_options(struct unit *u, enum wanted wanted)
{
	const struct as_plugin *p = &u->file->about;
	char path[160];

	snprintf(path, sizeof(path), "plugins.%s", u->name);
	if (wanted == WANTED_AUTO &&
	    !conf_section_ready(u->source->conf, path, p->options,
		p->field_size, u->error, sizeof(u->error)))
		wanted = WANTED_NO;
	if (wanted == WANTED_NO) {
		check_options(u, path);
		programs_read(u, false);
		return false;
	}
	u->conf = arena_alloc(u->arena, p->conf_size + 1);
	if (!conf_section(u->source->conf, path, p->options, p->field_size,
		u->conf, words_of_host) ||
	    !programs_read(u, true))
		return false;
	read_allow(u);
	return true;
}

const char *
unit_default_model(const struct unit *u)
{
	const struct as_plugin *p = &u->file->about;
	size_t i, n = option_count(p);
	const char *value = NULL;

	for (i = 0; i < n && u->conf != NULL; i++) {
		if (strcmp(option_at(p, i)->name, "default_model") == 0 &&
		    (option_at(p, i)->type == AS_FIELD_STR ||
			option_at(p, i)->type == AS_FIELD_CHOICE))
			memcpy(&value,
			    (const char *)u->conf + option_at(p, i)->offset,
			    sizeof(value));
	}
	return value != NULL ? value : "";
}

/* ---- One plugin ---------------------------------------------------- */

/* "llm_demo" is demo: what stands behind the kind. */
static const char *
slug_of(const char *name)
{
	static const char *const kinds[] = { "toolkit_", "llm_", "auth_",
		"vector_" };
	size_t i;

	for (i = 0; i < N_ITEMS(kinds); i++) {
		if (text_has_prefix(name, kinds[i]) &&
		    name[strlen(kinds[i])] != '\0')
			return name + strlen(kinds[i]);
	}
	return name;
}

void
unit_load(struct unit *u)
{
	const char *name = setting(u, "plugin");
	enum wanted wanted = unit_wanted(u);
	struct error err = { 0 };
	char path[160];
	bool ok;

	if (name == NULL)
		name = u->name;
	snprintf(path, sizeof(path), "plugins.%s", u->name);
	if (wanted == WANTED_NO) {
		/* Nothing of it is mapped; its file need not even be there. */
		conf_ignore(u->source->conf, path);
		snprintf(u->error, sizeof(u->error), "enabled = false");
		return;
	}
	if (!unit_open(u, name)) {
		conf_ignore(u->source->conf, path);
		return;
	}
	/* Mistakes in both are told, so both are looked at. */
	ok = unit_narrow(u);
	if (!read_options(u, wanted) || !ok)
		return;
	if (unit_tools(u, &err) != AS_OK)
		unit_problem(u, "", "%s: %s", u->path, err.detail);
	else
		atomic_store(&u->state, UNIT_LOADED);
	error_clear(&err);
}

void
unit_rename(struct unit *u, const char *name)
{
	u->name = arena_strdup(u->arena, name);
	u->slug = slug_of(u->name);
}

struct plugin *
plugin_get(struct plug *p, const char *name)
{
	struct plugin **more, *of;
	size_t i;

	for (i = 0; i < p->n_plugins; i++) {
		if (strcmp(p->plugins[i]->name, name) == 0)
			return p->plugins[i];
	}
	of = arena_alloc(p->arena, sizeof(*of));
	of->plug = p;
	of->name = arena_strdup(p->arena, name);
	of->number = (unsigned)p->n_plugins;
	more = arena_alloc(p->arena, (p->n_plugins + 1) * sizeof(*more));
	pthread_mutex_lock(&p->lock);
	if (p->n_plugins > 0)
		memcpy(more, p->plugins, p->n_plugins * sizeof(*more));
	more[p->n_plugins++] = of;
	p->plugins = more;
	pthread_mutex_unlock(&p->lock);
	return of;
}

struct unit *
unit_new(struct plugin *of, struct plug_conf *source)
{
	struct arena *arena = arena_new(NULL);
	struct unit *u = arena_alloc(arena, sizeof(*u));

	u->plug = of->plug;
	u->of = of;
	u->generation = ++of->generation;
	u->arena = arena;
	u->source = source;
	if (source != NULL)
		source->refs++;
	unit_rename(u, of->name);
	atomic_init(&u->state, UNIT_DISABLED);
	return u;
}

void
plug_conf_unref(struct plug_conf *source)
{
	if (source == NULL || --source->refs > 0 || !source->owned)
		return;
	conf_free(source->conf);
	free(source);
}

void
unit_free(struct unit *u)
{
	int64_t memory;

	if (u == NULL)
		return;
	guard_free(u);
	unit_tools_free(u);
	json_object_put(u->offers);
	unit_count_end(u);
	memory = u->file != NULL ? u->file->memory : 0;
	if (file_close(u->file, u->has_run)) {
		pthread_mutex_lock(&u->plug->lock);
		u->of->mapped++;
		u->of->memory += memory;
		pthread_mutex_unlock(&u->plug->lock);
	}
	plug_conf_unref(u->source);
	free(u->path);
	arena_free(u->arena);
}

bool
unit_is_enabled(const struct unit *u)
{
	int state = atomic_load(&u->state);

	return state == UNIT_LOADED || state == UNIT_SERVING ||
	       state == UNIT_RETRYING;
}

bool
unit_is_serving(const struct unit *u)
{
	return atomic_load(&u->state) == UNIT_SERVING;
}

const char *
unit_state_name(enum unit_state state)
{
	static const char *const names[] = { [UNIT_LOADED] = "loaded",
		[UNIT_SERVING] = "serving",
		[UNIT_RETRYING] = "retrying",
		[UNIT_FAILED] = "failed",
		[UNIT_DISABLED] = "disabled",
		[UNIT_DRAINING] = "draining",
		[UNIT_STOPPED] = "stopped" };

	return names[state];
}

void
unit_fail(struct unit *u, enum unit_state state, const char *text)
{
	pthread_mutex_lock(&u->plug->lock);
	snprintf(u->error, sizeof(u->error), "%s", text);
	pthread_mutex_unlock(&u->plug->lock);
	atomic_store(&u->state, state);
}

/* ---- All of them --------------------------------------------------- */

/* "a" with a tool "b_c" and "a_b" with a tool "c" would both have "a_b_c". */
static void
check_tools(struct unit *const *units, size_t n)
{
	const struct plug_tool_info *info;
	struct toolkit *kit;
	struct tool *first;
	size_t i, k;

	for (i = 0; i < n; i++) {
		kit = units[i]->toolkit;
		for (k = 0; kit != NULL && k < kit->n_all; k++) {
			info = &kit->tools[k].info;
			first = tool_find(units, n, info->name);
			if (first != NULL && first->unit != units[i] &&
			    strcmp(first->unit->slug, kit->info.slug) != 0)
				unit_problem(units[i], "",
				    "its tool %s has the same name as one of "
				    "plugins.%s; rename one of the groups",
				    info->name, first->unit->name);
		}
	}
}

/* Two providers of one name: callers could not tell them apart. */
static void
check_slugs(struct unit *const *units, size_t n)
{
	struct unit *a, *b;
	size_t i, j;

	for (i = 0; i < n; i++) {
		for (j = 0; j < i; j++) {
			a = units[j];
			b = units[i];
			if (a->conf == NULL || b->conf == NULL ||
			    strcmp(a->slug, b->slug) != 0)
				continue;
			if ((a->file->about.toolkit &&
				b->file->about.toolkit) ||
			    (a->file->about.llm && b->file->about.llm))
				unit_problem(b, "",
				    "has the same short name '%s' as "
				    "plugins.%s; rename one of the groups",
				    b->slug, a->name);
		}
	}
}

void
units_check(struct unit *const *units, size_t n)
{
	check_slugs(units, n);
	check_tools(units, n);
}

static void
dirs_keep(struct plug *p, const char *const *dirs)
{
	size_t i, n = 0;

	while (dirs[n] != NULL)
		n++;
	p->dirs = arena_alloc(p->arena, (n + 1) * sizeof(*p->dirs));
	for (i = 0; i < n; i++)
		p->dirs[i] = arena_strdup(p->arena, dirs[i]);
}

SUSPENDS static void
plugins_load(struct plug *p, const char *const *names)
{
	struct unit **units;
	struct plugin *of;
	size_t i, n = 0;

	while (names != NULL && names[n] != NULL)
		n++;
	units = xcalloc(n + 1, sizeof(struct unit *));
	for (i = 0; i < n; i++) {
		of = plugin_get(p, names[i]);
		of->current = units[i] = unit_new(of, &p->conf0);
		unit_load(units[i]);
	}
	units_check(units, n);
	free(units);
}

enum as_status
plug_new(struct conf *conf, const char *const *plugin_dirs,
    const struct plug_services *services, struct plug **out)
{
	size_t problems = conf_problem_count(conf);
	struct plug *p = xcalloc(1, sizeof(*p));
	const char *model;

	p->conf0.conf = conf;
	if (services != NULL)
		p->services = *services;
	if (p->services.generations == 0)
		p->services.generations = GENERATIONS;
	if (p->services.grace_ms == 0)
		p->services.grace_ms = GRACE_MS;
	pthread_mutex_init(&p->lock, NULL);
	p->arena = arena_new(NULL);
	model = conf_peek(conf, "models.default");
	p->default_model = arena_strdup(p->arena,
	    model != NULL ? model : "auto");
	dirs_keep(p, plugin_dirs);
	plugins_load(p, conf_groups(conf, "plugins"));
	conf_ignore(conf, "plugins");
	conf_ignore(conf, "secrets");
	registry_publish(p);
	*out = p;
	return conf_problem_count(conf) > problems ? AS_INVALID : AS_OK;
}

void
plug_free(struct plug *p)
{
	struct unit *u, *older;
	size_t i;

	if (p == NULL)
		return;
	registry_free_all(p);
	for (i = 0; i < p->n_plugins; i++) {
		unit_free(p->plugins[i]->current);
		for (u = p->plugins[i]->draining; u != NULL; u = older) {
			older = u->older;
			unit_free(u);
		}
	}
	pthread_mutex_destroy(&p->lock);
	arena_free(p->arena);
	free(p);
}

void
plug_loopback(struct plug *p, bool on)
{
	p->loopback = on;
}
