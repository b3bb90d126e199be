/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/arena.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/loop.h"
#include "core/plug/call.h"
#include "core/plug/unit.h"

/*
 * Tools that a plugin knows only when it runs.  Each time that it is asked, its
 * toolkit is made anew: what its file says, and what it offers now.  Registries
 * keep the toolkits that they show, so nobody loses one that he looks at; what
 * is not offered any more is not in the next.
 *
 * All of it is the home loop's; only the wish to be asked comes from anywhere.
 */

#define OFFERS_MAX 256
#define LIST_MS 30000

struct offers_taker {
	struct json_object *list;
	bool too_many;
};

static enum as_status
offers_take(struct exchange *x, const struct msg *m)
{
	struct offers_taker *t = x->taker;

	if (m->kind != EMIT_OFFER)
		return AS_OK;
	if (json_object_array_length(t->list) == OFFERS_MAX) {
		t->too_many = true;
		return AS_LIMIT;
	}
	json_object_array_add(t->list, json_copy(m->value));
	return AS_OK;
}

/* ---- One tool ------------------------------------------------------ */

static const char *
text_of(struct arena *arena, struct json_object *o, const char *key)
{
	return arena_strdup(arena, jget_str(o, key, NULL));
}

static const struct as_effect_case *
effects_of(struct arena *arena, struct json_object *list)
{
	size_t i, n = json_object_is_type(list, json_type_array)
			  ? json_object_array_length(list)
			  : 0;
	struct as_effect_case *cases;
	struct json_object *o;

	if (list == NULL)
		return NULL;
	cases = arena_alloc(arena, (n + 1) * sizeof(*cases));
	for (i = 0; i < n; i++) {
		o = json_object_array_get_idx(list, i);
		cases[i].word = arena_strdup(arena, jget_str(o, "word", ""));
		cases[i].effect = (enum as_effect)jget_int(o, "effect", 0);
	}
	return cases;
}

/* The same row that stands in a file's table; it lives in the arena. */
static void
about_read(struct arena *arena, struct json_object *o, struct as_tool *t)
{
	memset(t, 0, sizeof(*t));
	t->name = arena_strdup(arena, jget_str(o, "name", ""));
	t->doc = text_of(arena, o, "doc");
	t->schema = text_of(arena, o, "schema");
	t->result_schema = text_of(arena, o, "result_schema");
	t->flags = (uint32_t)jget_int(o, "flags", 0);
	t->effect = (enum as_effect)jget_int(o, "effect", 0);
	t->effect_by = text_of(arena, o, "effect_by");
	t->effects = effects_of(arena, jget(o, "effects"));
	t->timeout_ms = (uint32_t)jget_int(o, "timeout_ms", 0);
	t->key_valid_ms = jget_int(o, "key_valid_ms", 0);
}

static bool
effect_is_known(enum as_effect effect)
{
	return (int)effect >= AS_EFFECT_ONCE &&
	       (int)effect <= AS_EFFECT_VERIFIED;
}

static enum as_status
effects_known(const struct as_tool *t, struct error *err)
{
	const struct as_effect_case *c = t->effects;
	bool ok = effect_is_known(t->effect);

	for (; ok && c != NULL && c->word != NULL; c++)
		ok = effect_is_known(c->effect);
	return ok ? AS_OK
		  : error_set(err, ERR_BAD_REQUEST,
			"tool %s has an effect that there is not", t->name);
}

static enum as_status
offer_check(struct toolkit *kit, const struct as_tool *t, struct error *err)
{
	struct unit *u = kit->unit;
	size_t i;

	if (t->schema == NULL)
		return error_set(err, ERR_BAD_REQUEST, "tool %s has no schema",
		    t->name);
	for (i = 0; i < kit->n_all; i++) {
		if (strcmp(kit->tools[i].short_name, t->name) == 0)
			return error_set(err, ERR_CONFLICT,
			    "two tools are called %s", t->name);
	}
	if (tool_is_taken(u, t->name))
		return error_set(err, ERR_CONFLICT,
		    "another plugin has a tool %s_%s", u->slug, t->name);
	return effects_known(t, err);
}

/* An offer that is no good is left out; the others are not its fault. */
static void
offer_add(struct toolkit *kit, struct json_object *o)
{
	struct as_tool *about = arena_alloc(kit->arena, sizeof(*about));
	struct tool *tool = &kit->tools[kit->n_all];
	struct error err = { 0 };

	about_read(kit->arena, o, about);
	tool->unit = kit->unit;
	if (offer_check(kit, about, &err) == AS_OK &&
	    tool_fill(kit, tool, about, &err) == AS_OK) {
		kit->n_all++;
	} else {
		log_warn("plugin", "%s: what it offers is refused: %s",
		    kit->unit->name, err.detail);
		tool_clear(tool);
		memset(tool, 0, sizeof(*tool));
	}
	error_clear(&err);
}

/* ---- A toolkit ----------------------------------------------------- */

static struct toolkit *
kit_make(struct unit *u, struct json_object *offers)
{
	struct arena *arena = arena_new(NULL);
	struct toolkit *kit = arena_alloc(arena, sizeof(*kit));
	const struct toolkit *own = u->own_kit;
	size_t i, n = json_object_array_length(offers);

	kit->info = own->info;
	kit->info.kit = kit;
	kit->unit = u;
	kit->arena = arena;
	atomic_init(&kit->refs, 1);
	kit->n_shared = kit->n_all = own->n_all;
	kit->tools = arena_alloc(arena,
	    (own->n_all + n + 1) * sizeof(*kit->tools));
	memcpy(kit->tools, own->tools, own->n_all * sizeof(*kit->tools));
	for (i = 0; i < n; i++)
		offer_add(kit, json_object_array_get_idx(offers, i));
	kit_count(kit);
	return kit;
}

void
kit_ref(struct toolkit *kit)
{
	if (kit != NULL && kit->arena != NULL)
		atomic_fetch_add(&kit->refs, 1);
}

void
kit_unref(struct toolkit *kit)
{
	if (kit == NULL || kit->arena == NULL ||
	    atomic_fetch_sub(&kit->refs, 1) > 1)
		return;
	for (size_t i = kit->n_shared; i < kit->n_all; i++)
		tool_clear(&kit->tools[i]);
	arena_free(kit->arena);
}

/* ---- Asking -------------------------------------------------------- */

SUSPENDS static void
list_once(struct unit *u)
{
	struct offers_taker taker = { .list = jarr() };
	struct exchange x = { .plug = u->plug,
		.unit = u,
		.lifecycle = true,
		.op = { .kind = OP_LIST },
		.take = offers_take,
		.taker = &taker,
		.timeout_ms = LIST_MS };
	struct toolkit *old = u->toolkit;
	struct error err = { 0 };
	enum as_status st = exchange_run(&x, &err);

	if (taker.too_many)
		log_warn("plugin",
		    "%s: it offers more than %d tools: its "
		    "tools stay as they are",
		    u->name, OFFERS_MAX);
	else if (st == AS_OK) {
		u->toolkit = kit_make(u, taker.list);
		kit_unref(old);
	} else if (st != AS_CANCELED)
		log_warn("plugin",
		    "%s: it cannot list its tools, they stay as they are: %s",
		    u->name, err.detail);
	json_object_put(taker.list);
	error_clear(&err);
}

void
offers_ask(struct unit *u)
{
	if (u->own_kit == NULL || u->file->toolkit.list == NULL)
		return;
	u->list_again = true;
	if (u->listing)
		return; /* whoever is at it does it once more */
	u->listing = true;
	while (u->list_again) {
		u->list_again = false;
		list_once(u);
	}
	u->listing = false;
}

/* ---- Changes ------------------------------------------------------- */

SUSPENDS static void
changed_fiber(void *arg)
{
	struct unit *u = arg;

	if (unit_is_serving(u)) {
		offers_ask(u);
		registry_publish(u->plug);
	}
	unit_drop(u);
}

static void
changed_heard(struct loop_msg *m)
{
	struct unit *u = container_of(m, struct unit, changed);

	atomic_store(&u->is_changed, false);
	if (fiber_spawn(loop_self(), u->name, changed_fiber, u).f == NULL)
		unit_drop(u);
}

void
offers_changed(struct unit *u)
{
	struct loop *home = u->plug->services.home;

	if (home == NULL || u->file->toolkit.list == NULL ||
	    atomic_exchange(&u->is_changed, true))
		return;
	unit_hold(u);
	u->changed.fn = changed_heard;
	loop_post(home, &u->changed);
}
