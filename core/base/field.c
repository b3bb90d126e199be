/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/conf.h"
#include "core/base/conf_impl.h"
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/mem.h"

/*
 * Field tables: rows, defaults and ranges, and a struct filled from JSON.  A
 * table may come from a plugin whose rows are longer or shorter than ours, so
 * a row is always copied out by its stride.
 */

struct as_field
field_at(const struct as_field *fields, size_t stride, size_t i)
{
	struct as_field f = { 0 };

	memcpy(&f, (const char *)fields + i * stride,
	    stride < sizeof(f) ? stride : sizeof(f));
	return f;
}

size_t
field_count(const struct as_field *fields, size_t stride)
{
	size_t n = 0;

	while (fields != NULL && field_at(fields, stride, n).name != NULL)
		n++;
	return n;
}

static void
store(void *out, const struct as_field *f, const void *value, size_t size)
{
	MUST(size == f->width);
	memcpy((char *)out + f->offset, value, size);
}

static void
store_text(void *out, const struct as_field *f, const char *text)
{
	store(out, f, &text, sizeof(text));
}

static void
store_int(void *out, const struct as_field *f, int64_t n)
{
	store(out, f, &n, sizeof(n));
}

const char *
field_choice(const struct as_field *f, const char *word, struct arena *arena)
{
	const char *at = f->text;
	size_t len;

	while (*at != '\0') {
		len = strcspn(at, " ");
		if (len > 0 && strlen(word) == len &&
		    memcmp(at, word, len) == 0)
			return arena_strndup(arena, at, len);
		at += len;
		at += strspn(at, " ");
	}
	return NULL;
}

void
field_default(const struct as_field *f, void *out, struct arena *arena)
{
	struct as_list none = { 0 };
	bool yes = f->num != 0;

	switch ((enum as_field_type)f->type) {
	case AS_FIELD_STR:
		store_text(out, f, f->text);
		break;
	case AS_FIELD_CHOICE:
		store_text(out, f,
		    f->flags & AS_REQUIRED
			? NULL
			: arena_strndup(arena, f->text, strcspn(f->text, " ")));
		break;
	case AS_FIELD_INT:
	case AS_FIELD_MS:
	case AS_FIELD_SIZE:
		store_int(out, f, (int64_t)f->num);
		break;
	case AS_FIELD_NUM:
		store(out, f, &f->num, sizeof(f->num));
		break;
	case AS_FIELD_BOOL:
		store(out, f, &yes, sizeof(yes));
		break;
	case AS_FIELD_LIST:
		store(out, f, &none, sizeof(none));
		break;
	case AS_FIELD_JSON:
	case AS_FIELD_SECRET:
		store_text(out, f, NULL);
		break;
	}
}

bool
field_has_range(const struct as_field *f)
{
	return f->min != 0 || f->max != 0;
}

bool
field_in_range(const struct as_field *f, double value)
{
	return !field_has_range(f) || (value >= f->min && value <= f->max);
}

struct unit {
	double factor;
	const char *name;
};

void
field_number_text(const struct as_field *f, double n, char *out, size_t size)
{
	static const struct unit ms[] = { { 86400000, "d" }, { 3600000, "h" },
		{ 60000, "m" }, { 1000, "s" }, { 1, "ms" } };
	static const struct unit bytes[] = { { 1 << 30, "G" }, { 1 << 20, "M" },
		{ 1 << 10, "k" }, { 1, "" } };
	const struct unit *u = ms;
	size_t left = N_ITEMS(ms);

	if (f->type == AS_FIELD_SIZE) {
		u = bytes;
		left = N_ITEMS(bytes);
	} else if (f->type != AS_FIELD_MS) {
		snprintf(out, size, "%.15g", n);
		return;
	}
	if (n == 0) {
		snprintf(out, size, "0");
		return;
	}
	while (left > 1 && fmod(n, u->factor) != 0) {
		u++;
		left--;
	}
	snprintf(out, size, "%.15g%s", n / u->factor, u->name);
}

void
field_range_text(const struct as_field *f, char *out, size_t size)
{
	char min[40], max[40];

	field_number_text(f, f->min, min, sizeof(min));
	field_number_text(f, f->max, max, sizeof(max));
	snprintf(out, size, "%s to %s", min, max);
}

/* ---- from JSON */

static void
fill_list(const struct as_field *f, void *out, struct json_object *v,
    struct arena *arena)
{
	struct as_list list = { .n = json_object_array_length(v) };
	const char **items;
	size_t i;

	items = arena_alloc(arena, (list.n + 1) * sizeof(*items));
	for (i = 0; i < list.n; i++)
		items[i] = json_object_get_string(
		    json_object_array_get_idx(v, i));
	list.items = items;
	store(out, f, &list, sizeof(list));
}

static bool
is_text_list(struct json_object *v)
{
	size_t i;

	if (!json_object_is_type(v, json_type_array))
		return false;
	for (i = 0; i < json_object_array_length(v); i++)
		if (!json_object_is_type(json_object_array_get_idx(v, i),
			json_type_string))
			return false;
	return true;
}

/* A number without a fraction: 3 and 3.0 are the same to JSON Schema. */
static bool
whole_number(struct json_object *v, int64_t *out)
{
	double d;

	if (json_object_is_type(v, json_type_int)) {
		*out = json_object_get_int64(v);
		return true;
	}
	if (!json_object_is_type(v, json_type_double))
		return false;
	d = json_object_get_double(v);
	if (d != floor(d) || fabs(d) > 9007199254740992.0)
		return false;
	*out = (int64_t)d;
	return true;
}

static bool
fill_textual(const struct as_field *f, void *out, struct json_object *v,
    struct arena *arena)
{
	const char *text;

	if (!json_object_is_type(v, json_type_string))
		return false;
	text = json_object_get_string(v);
	if (strlen(text) != (size_t)json_object_get_string_len(v))
		return false;
	if (f->type == AS_FIELD_CHOICE &&
	    (text = field_choice(f, text, arena)) == NULL)
		return false;
	store_text(out, f, text);
	return true;
}

/* What stands at f in the struct, from v, which is there. */
static bool
fill_one(const struct as_field *f, void *out, struct json_object *v,
    struct arena *arena)
{
	int64_t n;
	double d;
	bool yes;

	switch ((enum as_field_type)f->type) {
	case AS_FIELD_STR:
	case AS_FIELD_SECRET:
	case AS_FIELD_CHOICE:
		return fill_textual(f, out, v, arena);
	case AS_FIELD_INT:
	case AS_FIELD_MS:
	case AS_FIELD_SIZE:
		if (!whole_number(v, &n) || !field_in_range(f, (double)n))
			return false;
		store_int(out, f, n);
		return true;
	case AS_FIELD_NUM:
		d = json_object_get_double(v);
		if ((!json_object_is_type(v, json_type_double) &&
			!json_object_is_type(v, json_type_int)) ||
		    !field_in_range(f, d))
			return false;
		store(out, f, &d, sizeof(d));
		return true;
	case AS_FIELD_BOOL:
		yes = json_object_get_boolean(v);
		if (!json_object_is_type(v, json_type_boolean))
			return false;
		store(out, f, &yes, sizeof(yes));
		return true;
	case AS_FIELD_LIST:
		if (!is_text_list(v) ||
		    !field_in_range(f, (double)json_object_array_length(v)))
			return false;
		fill_list(f, out, v, arena);
		return true;
	case AS_FIELD_JSON:
		store(out, f, &v, sizeof(void *));
		return true;
	}
	return false;
}

/* As field_at; a row that has all that we know of stays where it is. */
static const struct as_field *
field_row(const struct as_field *fields, size_t stride, size_t i,
    struct as_field *room)
{
	if (stride >= sizeof(*room))
		return (const struct as_field *)(const void *)((const char *)
								   fields +
							       i * stride);
	*room = field_at(fields, stride, i);
	return room;
}

bool
field_fill(const struct as_field *fields, size_t stride, void *out,
    struct json_object *values, struct arena *arena, struct error *err)
{
	const struct as_field *f;
	struct json_object *v;
	struct as_field room;
	size_t i;
	bool ok = true;

	for (i = 0; fields != NULL; i++) {
		f = field_row(fields, stride, i, &room);
		if (f->name == NULL)
			break;
		field_default(f, out, arena);
		v = jget(values, f->name);
		if (v == NULL && (f->flags & AS_REQUIRED)) {
			error_field(err, f->name, "is required");
			ok = false;
		} else if (v != NULL && !fill_one(f, out, v, arena)) {
			error_field(err, f->name, "has a wrong value");
			ok = false;
		}
	}
	return ok;
}
