/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * Readers and writers of JSON values; json_tape.c makes them of text.
 */

const char *
json_text(struct json_object *v)
{
	return json_object_to_json_string_ext(v,
	    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

struct json_object *
jget(struct json_object *o, const char *key)
{
	struct json_object *v;

	if (!json_object_is_type(o, json_type_object) ||
	    !json_object_object_get_ex(o, key, &v))
		return NULL;
	return v;
}

const char *
jget_str(struct json_object *o, const char *key, const char *dflt)
{
	struct json_object *v = jget(o, key);

	return json_object_is_type(v, json_type_string)
		   ? json_object_get_string(v)
		   : dflt;
}

int64_t
jget_int(struct json_object *o, const char *key, int64_t dflt)
{
	struct json_object *v = jget(o, key);
	double d;

	if (json_object_is_type(v, json_type_int))
		return json_object_get_int64(v);
	if (!json_object_is_type(v, json_type_double))
		return dflt;
	d = json_object_get_double(v);
	return d == floor(d) && fabs(d) <= 9007199254740992.0 ? (int64_t)d
							      : dflt;
}

bool
jget_bool(struct json_object *o, const char *key, bool dflt)
{
	struct json_object *v = jget(o, key);

	return json_object_is_type(v, json_type_boolean)
		   ? json_object_get_boolean(v)
		   : dflt;
}

bool
jget_uuid(struct json_object *o, const char *key, struct uuid *out)
{
	return uuid_parse(jget_str(o, key, NULL), out);
}

struct json_object *
jobj(void)
{
	struct json_object *o = json_object_new_object();

	MUST(o != NULL);
	return o;
}

struct json_object *
jarr(void)
{
	struct json_object *a = json_object_new_array();

	MUST(a != NULL);
	return a;
}

void
jput(struct json_object *o, const char *key, struct json_object *v)
{
	MUST(json_object_object_add(o, key, v) == 0);
}

void
jput_str(struct json_object *o, const char *key, const char *s)
{
	jput(o, key, s != NULL ? json_object_new_string(s) : NULL);
}

void
jput_strn(struct json_object *o, const char *key, const char *s, size_t len)
{
	MUST(len < INT32_MAX);
	jput(o, key,
	    s != NULL ? json_object_new_string_len(s, (int)len) : NULL);
}

void
jput_int(struct json_object *o, const char *key, int64_t i)
{
	jput(o, key, json_object_new_int64(i));
}

/* The shortest text that reads back as d. */
static void
number_text(char *out, size_t size, double d)
{
	int digits;

	if (d == 0)
		d = 0; /* no minus zero */
	for (digits = 15; digits <= 17; digits++) {
		snprintf(out, size, "%.*g", digits, d);
		if (strtod(out, NULL) == d)
			return;
	}
}

struct json_object *
jnum(double d)
{
	char text[40];

	if (!isfinite(d))
		return NULL;
	number_text(text, sizeof(text), d);
	return json_object_new_double_s(d, text);
}

void
jput_num(struct json_object *o, const char *key, double d)
{
	jput(o, key, jnum(d));
}

void
jput_bool(struct json_object *o, const char *key, bool b)
{
	jput(o, key, json_object_new_boolean(b));
}

void
jput_null(struct json_object *o, const char *key)
{
	jput(o, key, NULL);
}

void
jput_uuid(struct json_object *o, const char *key, struct uuid id)
{
	char text[UUID_TEXT];

	uuid_format(id, text);
	jput_strn(o, key, text, UUID_TEXT - 1);
}

void
jput_time(struct json_object *o, const char *key, int64_t us)
{
	char text[TEXT_TIME_LEN];

	if (us == 0) {
		jput_null(o, key);
		return;
	}
	text_time(text, us);
	jput_strn(o, key, text, TEXT_TIME_LEN - 1);
}

void
jput_json(struct json_object *o, const char *key, const char *text)
{
	struct json_object *v = NULL;

	if (text != NULL)
		json_parse(text, strlen(text), &v, NULL);
	jput(o, key, v);
}

struct json_object *
json_raw(char *text)
{
	struct json_object *o = json_object_new_string("");

	MUST(o != NULL);
	json_object_set_serializer(o, json_object_userdata_to_json_string, text,
	    json_object_free_userdata);
	return o;
}

struct json_object *
json_copy(struct json_object *v)
{
	struct json_object *copy = NULL;

	if (v != NULL)
		MUST(json_object_deep_copy(v, &copy, NULL) == 0);
	return copy;
}

struct json_object *
json_merge_patch(struct json_object *target, struct json_object *patch)
{
	struct json_object *old;

	if (!json_object_is_type(patch, json_type_object)) {
		json_object_put(target);
		return json_copy(patch);
	}
	if (!json_object_is_type(target, json_type_object)) {
		json_object_put(target);
		target = jobj();
	}
	json_object_object_foreach(patch, key, value)
	{
		if (value == NULL) {
			json_object_object_del(target, key);
			continue;
		}
		old = json_object_get(jget(target, key));
		jput(target, key, json_merge_patch(old, value));
	}
	return target;
}

static int
compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void
canonical_object(struct buf *b, struct json_object *o)
{
	size_t n = (size_t)json_object_object_length(o), i = 0;
	const char **keys = xcalloc(n, sizeof(*keys));

	json_object_object_foreach(o, key, value)
	{
		(void)value;
		keys[i++] = key;
	}
	qsort(keys, n, sizeof(*keys), compare_keys);
	buf_add_char(b, '{');
	for (i = 0; i < n; i++) {
		if (i > 0)
			buf_add_char(b, ',');
		buf_add_json_str(b, keys[i], strlen(keys[i]));
		buf_add_char(b, ':');
		json_canonical(b, jget(o, keys[i]));
	}
	buf_add_char(b, '}');
	free(keys);
}

void
json_canonical(struct buf *b, struct json_object *v)
{
	char number[40];
	size_t i;

	switch (json_object_get_type(v)) {
	case json_type_object:
		canonical_object(b, v);
		break;
	case json_type_array:
		buf_add_char(b, '[');
		for (i = 0; i < json_object_array_length(v); i++) {
			if (i > 0)
				buf_add_char(b, ',');
			json_canonical(b, json_object_array_get_idx(v, i));
		}
		buf_add_char(b, ']');
		break;
	case json_type_string:
		buf_add_json_str(b, json_object_get_string(v),
		    (size_t)json_object_get_string_len(v));
		break;
	case json_type_double:
		number_text(number, sizeof(number), json_object_get_double(v));
		buf_add_str(b, number);
		break;
	default:
		buf_add_str(b, json_text(v));
	}
}
