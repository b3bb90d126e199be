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
 * The list is part of the registry, which is made anew whenever a provider
 * comes, goes or says something new.
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
default_provider(const struct registry *r)
{
	struct unit *u, *fallback = NULL;
	size_t i;

	for (i = 0; i < r->n_units; i++) {
		u = r->units[i];
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
provider_find(const struct registry *r, const char *slug, size_t len)
{
	struct unit *u;
	size_t i;

	for (i = 0; i < r->n_units; i++) {
		u = r->units[i];
		if (provides_models(u) && strlen(u->slug) == len &&
		    memcmp(u->slug, slug, len) == 0)
			return u;
	}
	return NULL;
}

/* Split at the first slash if a provider stands before it. */
static struct unit *
split(const struct registry *r, const char *id, const char **model)
{
	size_t len = strcspn(id, "/");
	struct unit *u = NULL;

	if (id[len] == '/')
		u = provider_find(r, id, len);
	*model = u != NULL ? id + len + 1 : id;
	return u != NULL ? u : default_provider(r);
}

static struct unit *
provider_of(const struct registry *r, const char *full, const char **model)
{
	struct unit *u = split(r, full, model);

	return u != NULL && (*model)[0] != '\0' ? u : NULL;
}

struct unit *
unit_of_model(struct plug *p, const char *full, const char **model)
{
	return provider_of(registry_now(p), full, model);
}

/* The provider and model that nobody named. */
static struct unit *
default_model(struct plug *p, const struct registry *r, const char **model)
{
	struct unit *u;

	if (strcmp(p->default_model, "auto") != 0)
		return provider_of(r, p->default_model, model);
	u = default_provider(r);
	*model = u != NULL ? unit_default_model(u) : "";
	return u;
}

/* ---- The list ------------------------------------------------------ */

struct builder {
	struct registry *r;
	struct unit *preferred;
	const char *preferred_model;
};

static struct plug_model_info *
model_add(struct builder *b, const struct unit *u, const char *name)
{
	struct arena *arena = b->r->arena;
	struct plug_model_info *m = &b->r->models[b->r->n_models++];

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
	struct arena *arena = b->r->arena;
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
models_fill(struct plug *p, struct registry *r)
{
	struct builder b = { .r = r };
	size_t i, n = 0;

	b.preferred = default_model(p, r, &b.preferred_model);
	for (i = 0; i < r->n_units; i++)
		n += offers_count(r->units[i]) + 1;
	r->models = arena_alloc(r->arena, (n + 1) * sizeof(*r->models));
	for (i = 0; i < r->n_units; i++) {
		if (provides_models(r->units[i]))
			models_add(&b, r->units[i]);
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

const struct plug_model_info *
plug_model(struct plug *p, size_t i)
{
	const struct registry *r = registry_now(p);

	return i < r->n_models ? &r->models[i] : NULL;
}

static const struct plug_model_info *
model_find(const struct registry *r, const char *full)
{
	size_t i;

	for (i = 0; i < r->n_models; i++) {
		if (strcmp(r->models[i].id, full) == 0)
			return &r->models[i];
	}
	return NULL;
}

const struct plug_model_info *
plug_model_find(struct plug *p, const char *full)
{
	return model_find(registry_now(p), full);
}

/* One that names its models takes no others. */
static bool
is_listed(const struct registry *r, const struct unit *u, const char *full)
{
	const struct plug_model_info *own;
	bool has_list = false;
	size_t i;

	if (model_find(r, full) != NULL)
		return true;
	for (i = 0; i < r->n_models && !has_list; i++) {
		own = &r->models[i];
		has_list = strcmp(own->provider, u->slug) == 0 &&
			   strcmp(own->name, unit_default_model(u)) != 0;
	}
	return !has_list;
}

bool
plug_model_resolve(struct plug *p, const char *id, char *full, size_t full_len)
{
	const struct registry *r = registry_now(p);
	const char *model = "";
	struct unit *u = id == NULL || id[0] == '\0'
			     ? default_model(p, r, &model)
			     : provider_of(r, id, &model);
	int n;

	if (u == NULL || model[0] == '\0')
		return false;
	n = snprintf(full, full_len, "%s/%s", u->slug, model);
	return n > 0 && (size_t)n < full_len && is_listed(r, u, full);
}
