/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plug/unit.h"

#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/conf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/plug/child.h"

/*
 * A plugin and its generations: how they begin and end, and what state they are
 * in.
 */

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
