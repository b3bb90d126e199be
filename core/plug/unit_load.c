/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/conf.h"
#include "core/base/mem.h"
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

/* ---- The unit ------------------------------------------------------ */

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
