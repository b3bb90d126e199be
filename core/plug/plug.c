/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plug/plug.h"

#include <string.h>

#include "core/base/arena.h"
#include "core/base/conf.h"
#include "core/base/mem.h"
#include "core/plug/unit.h"

/*
 * All plugins of a process: they are loaded one after the other, and then held
 * against each other.
 */

#define GENERATIONS 16
#define GRACE_MS 600000

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
