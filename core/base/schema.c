/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/schema.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/schema_impl.h"
#include "core/base/text.h"

/* Schemas, and sets of them that name one another. */

struct schema_set {
	struct schema *first, **tail;
};

void
schema_free(struct schema *schema)
{
	if (schema == NULL)
		return;
	json_object_put(schema->json);
	arena_free(schema->arena);
	free(schema);
}

static enum as_status
schema_new(const char *name, const char *json, struct schema **out,
    struct error *err)
{
	struct schema *s = xcalloc(1, sizeof(*s));
	enum as_status st;

	*out = NULL;
	s->arena = arena_new(NULL);
	s->name = arena_strdup(s->arena, name);
	st = json_parse(json, strlen(json), &s->json, err);
	if (st == AS_OK && (s->rule = schema_rule_compile(s, err)) == NULL)
		st = AS_INVALID;
	if (st != AS_OK) {
		schema_free(s);
		return st;
	}
	*out = s;
	return AS_OK;
}

/* "#", "#/$defs/name" in the schema itself, or a name of the set. */
static const struct schema_rule *
find_rule(const struct schema_set *set, const struct schema *schema,
    const char *to)
{
	const struct schema_def *def;
	const struct schema *other;

	if (strcmp(to, "#") == 0)
		return schema->rule;
	if (text_has_prefix(to, "#/$defs/")) {
		for (def = schema->defs; def != NULL; def = def->next)
			if (strcmp(def->name, to + strlen("#/$defs/")) == 0)
				return def->rule;
		return NULL;
	}
	other = set != NULL ? schema_by_name(set, to) : NULL;
	return other != NULL ? other->rule : NULL;
}

static enum as_status
resolve(const struct schema_set *set, struct schema *schema, struct error *err)
{
	struct schema_ref *ref;

	for (ref = schema->refs; ref != NULL; ref = ref->next) {
		ref->rule->ref = find_rule(set, schema, ref->to);
		if (ref->rule->ref == NULL)
			return error_set(err, ERR_BAD_REQUEST,
			    "schema %s: $ref leads nowhere: %.100s",
			    schema->name, ref->to);
	}
	return AS_OK;
}

/* A chain of nothing but $refs that comes back to itself says nothing. */
static enum as_status
refuse_circles(const struct schema *schema, struct error *err)
{
	const struct schema_rule *slow, *fast;
	const struct schema_ref *ref;

	for (ref = schema->refs; ref != NULL; ref = ref->next) {
		slow = fast = ref->rule;
		while (fast != NULL && fast->ref != NULL) {
			slow = slow->ref;
			fast = fast->ref->ref;
			if (slow == fast)
				return error_set(err, ERR_BAD_REQUEST,
				    "schema %s: $ref goes in a circle: %.100s",
				    schema->name, ref->to);
		}
	}
	return AS_OK;
}

enum as_status
schema_compile(const char *json, struct schema **out, struct error *err)
{
	enum as_status st;

	if ((st = schema_new("", json, out, err)) != AS_OK)
		return st;
	if ((st = resolve(NULL, *out, err)) != AS_OK ||
	    (st = refuse_circles(*out, err)) != AS_OK) {
		schema_free(*out);
		*out = NULL;
	}
	return st;
}

struct json_object *
schema_json(const struct schema *schema)
{
	return schema->json;
}

struct schema_set *
schema_set_new(void)
{
	struct schema_set *set = xcalloc(1, sizeof(*set));

	set->tail = &set->first;
	return set;
}

void
schema_set_free(struct schema_set *set)
{
	struct schema *s;

	if (set == NULL)
		return;
	while ((s = set->first) != NULL) {
		set->first = s->next;
		schema_free(s);
	}
	free(set);
}

enum as_status
schema_set_add(struct schema_set *set, const char *name, const char *json,
    struct error *err)
{
	struct schema *s;
	enum as_status st;

	if (schema_by_name(set, name) != NULL)
		return error_set(err, ERR_BAD_REQUEST,
		    "schema %s: there already is one", name);
	if ((st = schema_new(name, json, &s, err)) != AS_OK)
		return st;
	*set->tail = s;
	set->tail = &s->next;
	return AS_OK;
}

enum as_status
schema_set_resolve(struct schema_set *set, struct error *err)
{
	enum as_status st = AS_OK;
	struct schema *s;

	for (s = set->first; s != NULL && st == AS_OK; s = s->next)
		st = resolve(set, s, err);
	for (s = set->first; s != NULL && st == AS_OK; s = s->next)
		st = refuse_circles(s, err);
	return st;
}

const struct schema *
schema_by_name(const struct schema_set *set, const char *name)
{
	const struct schema *s;

	for (s = set->first; s != NULL; s = s->next)
		if (strcmp(s->name, name) == 0)
			return s;
	return NULL;
}
