/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/plug/call.h"
#include "core/plug/unit.h"

/*
 * Which models there are, and which one is meant.
 *
 * The catalogue is made anew whenever a provider comes, goes or says something
 * new, and put in the place of the old one, which readers may still hold.
 */

#define MODELS_MAX 2000 /* of one provider */

static bool
provides_models(const struct unit *u)
{
	return u->file != NULL && u->file->about.llm != NULL &&
	       unit_is_enabled(u);
}

static bool
is_fallback(const struct unit *u)
{
	return u->file->about.flags & AS_FALLBACK;
}

/* The first in the order of conf.d; a fallback only if there is no other. */
static struct unit *
default_provider(struct plug *p)
{
	struct unit *u, *fallback = NULL;
	size_t i;

	for (i = 0; i < p->n_units; i++) {
		u = p->units[i];
		if (!provides_models(u) || unit_default_model(u)[0] == '\0')
			continue;
		if (!is_fallback(u))
			return u;
		if (fallback == NULL)
			fallback = u;
	}
	return fallback;
}

static struct unit *
provider_find(struct plug *p, const char *slug, size_t len)
{
	struct unit *u;
	size_t i;

	for (i = 0; i < p->n_units; i++) {
		u = p->units[i];
		if (provides_models(u) && strlen(u->slug) == len &&
		    memcmp(u->slug, slug, len) == 0)
			return u;
	}
	return NULL;
}

/* Split at the first slash if a provider stands before it. */
static struct unit *
split(struct plug *p, const char *id, const char **model)
{
	size_t len = strcspn(id, "/");
	struct unit *u = NULL;

	if (id[len] == '/')
		u = provider_find(p, id, len);
	*model = u != NULL ? id + len + 1 : id;
	return u != NULL ? u : default_provider(p);
}

struct unit *
unit_of_model(struct plug *p, const char *full, const char **model)
{
	struct unit *u = split(p, full, model);

	return u != NULL && (*model)[0] != '\0' ? u : NULL;
}

/* The provider and model that nobody named. */
static struct unit *
default_model(struct plug *p, const char **model)
{
	struct unit *u;

	if (strcmp(p->default_model, "auto") != 0)
		return unit_of_model(p, p->default_model, model);
	u = default_provider(p);
	*model = u != NULL ? unit_default_model(u) : "";
	return u;
}

/* ---- The catalogue ------------------------------------------------- */

struct builder {
	struct catalogue *c;
	struct unit *preferred;
	const char *preferred_model;
};

static struct plug_model_info *
model_add(struct builder *b, const struct unit *u, const char *name)
{
	struct arena *arena = b->c->arena;
	struct plug_model_info *m = &b->c->models[b->c->n++];

	m->id = arena_printf(arena, "%s/%s", u->slug, name);
	m->provider = u->slug;
	m->name = arena_strdup(arena, name);
	m->title = m->name;
	m->abilities = "";
	m->is_default = u == b->preferred &&
			strcmp(name, b->preferred_model) == 0;
	return m;
}

static size_t
offers_count(const struct unit *u)
{
	return u->offers != NULL ? json_object_array_length(u->offers) : 0;
}

static void
models_add(struct builder *b, const struct unit *u)
{
	const char *own = unit_default_model(u);
	size_t i, n = offers_count(u);
	struct arena *arena = b->c->arena;
	struct plug_model_info *m;
	struct json_object *o;
	bool has_own = own[0] == '\0';

	for (i = 0; i < n; i++) {
		o = json_object_array_get_idx(u->offers, i);
		m = model_add(b, u, jget_str(o, "name", ""));
		m->title = arena_strdup(arena, jget_str(o, "title", m->name));
		m->abilities = arena_strdup(arena,
		    jget_str(o, "abilities", ""));
		m->window = jget_int(o, "window", 0);
		m->max_output = jget_int(o, "max_output", 0);
		m->dim = (uint32_t)jget_int(o, "dim", 0);
		has_own |= strcmp(m->name, own) == 0;
	}
	/* The admin's word counts, whether the provider lists it or not. */
	if (!has_own)
		model_add(b, u, own);
}

void
models_publish(struct plug *p)
{
	struct arena *arena = arena_new(NULL);
	struct catalogue *c = arena_alloc(arena, sizeof(*c));
	struct builder b = { .c = c };
	size_t i, n = 0;

	c->arena = arena;
	b.preferred = default_model(p, &b.preferred_model);
	for (i = 0; i < p->n_units; i++)
		n += offers_count(p->units[i]) + 1;
	c->models = arena_alloc(arena, (n + 1) * sizeof(*c->models));
	for (i = 0; i < p->n_units; i++) {
		if (provides_models(p->units[i]))
			models_add(&b, p->units[i]);
	}
	c->older = atomic_load(&p->catalogue);
	atomic_store(&p->catalogue, c);
}

void
models_free(struct plug *p)
{
	struct catalogue *c = atomic_load(&p->catalogue), *older;

	for (; c != NULL; c = older) {
		older = c->older;
		arena_free(c->arena);
	}
}

static enum as_status
models_take(struct exchange *x, const struct msg *m)
{
	struct json_object *list = x->taker;
	const char *name = jget_str(m->value, "name", "");
	int64_t dim = jget_int(m->value, "dim", 0);

	if (m->kind != EMIT_MODEL)
		return AS_OK;
	if (name[0] == '\0' || dim < 0 || dim > UINT32_MAX)
		return AS_INVALID;
	if (json_object_array_length(list) >= MODELS_MAX)
		return AS_LIMIT;
	json_object_array_add(list, json_object_get(m->value));
	return AS_OK;
}

void
models_ask(struct unit *u)
{
	struct exchange x = { .plug = u->plug,
		.unit = u,
		.lifecycle = true,
		.op = { .kind = OP_MODELS },
		.take = models_take,
		.timeout_ms = 10000 };
	struct error err = { 0 };

	if (u->file->about.llm == NULL || u->file->llm.models == NULL)
		return;
	x.taker = jarr();
	if (exchange_run(&x, &err) == AS_OK) {
		json_object_put(u->offers);
		u->offers = x.taker;
	} else {
		log_warn("plugin", "%s: its models are not known: %s", u->name,
		    err.detail);
		json_object_put(x.taker);
	}
	error_clear(&err);
}

size_t
plug_model_count(struct plug *p)
{
	return atomic_load(&p->catalogue)->n;
}

const struct plug_model_info *
plug_model(struct plug *p, size_t i)
{
	struct catalogue *c = atomic_load(&p->catalogue);

	return i < c->n ? &c->models[i] : NULL;
}

const struct plug_model_info *
plug_model_find(struct plug *p, const char *full)
{
	struct catalogue *c = atomic_load(&p->catalogue);
	size_t i;

	for (i = 0; i < c->n; i++) {
		if (strcmp(c->models[i].id, full) == 0)
			return &c->models[i];
	}
	return NULL;
}

/* One that names its models takes no others. */
static bool
is_listed(struct plug *p, const struct unit *u, const char *full)
{
	struct catalogue *c = atomic_load(&p->catalogue);
	const struct plug_model_info *own;
	bool has_list = false;
	size_t i;

	if (plug_model_find(p, full) != NULL)
		return true;
	for (i = 0; i < c->n && !has_list; i++) {
		own = &c->models[i];
		has_list = strcmp(own->provider, u->slug) == 0 &&
			   strcmp(own->name, unit_default_model(u)) != 0;
	}
	return !has_list;
}

bool
plug_model_resolve(struct plug *p, const char *id, char *full, size_t full_len)
{
	const char *model = "";
	struct unit *u = id == NULL || id[0] == '\0'
			     ? default_model(p, &model)
			     : unit_of_model(p, id, &model);
	int n;

	if (u == NULL || model[0] == '\0')
		return false;
	n = snprintf(full, full_len, "%s/%s", u->slug, model);
	return n > 0 && (size_t)n < full_len && is_listed(p, u, full);
}
