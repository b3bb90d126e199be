/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/conf.h"
#include "core/base/conf_impl.h"
#include "core/base/json.h"
#include "core/base/mem.h"

/*
 * Field tables told to others: as a JSON Schema for models, as a commented
 * sample for people.
 */

static struct json_object *
number(const struct as_field *f, double d)
{
	if (f->type != AS_FIELD_NUM)
		return json_object_new_int64((int64_t)d);
	return jnum(d);
}

static void
schema_numeric(const struct as_field *f, struct json_object *o)
{
	jput_str(o, "type", f->type == AS_FIELD_NUM ? "number" : "integer");
	if (field_has_range(f)) {
		jput(o, "minimum", number(f, f->min));
		jput(o, "maximum", number(f, f->max));
	}
	if (!(f->flags & AS_REQUIRED))
		jput(o, "default", number(f, f->num));
}

static void
schema_choice(const struct as_field *f, struct json_object *o)
{
	struct json_object *words = jarr();
	const char *at = f->text;
	size_t len;

	while (*at != '\0') {
		if ((len = strcspn(at, " ")) > 0)
			json_object_array_add(words,
			    json_object_new_string_len(at, (int)len));
		at += len + (at[len] == ' ');
	}
	jput_str(o, "type", "string");
	jput(o, "enum", words);
	if (!(f->flags & AS_REQUIRED))
		jput(o, "default",
		    json_object_get(json_object_array_get_idx(words, 0)));
}

static void
schema_list(const struct as_field *f, struct json_object *o)
{
	struct json_object *items = jobj();

	jput_str(o, "type", "array");
	jput_str(items, "type", "string");
	jput(o, "items", items);
	if (field_has_range(f)) {
		jput_int(o, "minItems", (int64_t)f->min);
		jput_int(o, "maxItems", (int64_t)f->max);
	}
}

static struct json_object *
schema_of(const struct as_field *f)
{
	struct json_object *o = jobj();

	switch ((enum as_field_type)f->type) {
	case AS_FIELD_STR:
		jput_str(o, "type", "string");
		if (f->text != NULL && !(f->flags & AS_REQUIRED))
			jput_str(o, "default", f->text);
		break;
	case AS_FIELD_SECRET:
		jput_str(o, "type", "string");
		break;
	case AS_FIELD_INT:
	case AS_FIELD_NUM:
	case AS_FIELD_MS:
	case AS_FIELD_SIZE:
		schema_numeric(f, o);
		break;
	case AS_FIELD_BOOL:
		jput_str(o, "type", "boolean");
		if (!(f->flags & AS_REQUIRED))
			jput_bool(o, "default", f->num != 0);
		break;
	case AS_FIELD_CHOICE:
		schema_choice(f, o);
		break;
	case AS_FIELD_LIST:
		schema_list(f, o);
		break;
	case AS_FIELD_JSON:
		break;
	}
	if (f->doc != NULL)
		jput_str(o, "description", f->doc);
	return o;
}

struct json_object *
field_schema(const struct as_field *fields, size_t stride)
{
	struct json_object *schema = jobj(), *properties = jobj();
	struct json_object *required = jarr();
	size_t i, n = field_count(fields, stride);
	struct as_field f;

	for (i = 0; i < n; i++) {
		f = field_at(fields, stride, i);
		jput(properties, f.name, schema_of(&f));
		if (f.flags & AS_REQUIRED)
			json_object_array_add(required,
			    json_object_new_string(f.name));
	}
	jput_str(schema, "type", "object");
	jput(schema, "properties", properties);
	jput(schema, "required", required);
	jput_bool(schema, "additionalProperties", false);
	return schema;
}

/* ---- samples */

static void
indent(struct buf *out, int depth)
{
	while (depth-- > 0)
		buf_add_char(out, '\t');
}

/* A comment, broken between words before column 80. */
static void
sample_doc(struct buf *out, int depth, const char *doc)
{
	size_t room = 78 - 8 * (size_t)depth, used = 0, len;

	for (; *doc != '\0'; doc += len, doc += strspn(doc, " ")) {
		len = strcspn(doc, " ");
		if (used > 0 && used + 1 + len <= room) {
			buf_add_char(out, ' ');
			used++;
		} else {
			if (used > 0)
				buf_add_char(out, '\n');
			indent(out, depth);
			buf_add_str(out, "# ");
			used = 0;
		}
		buf_add(out, doc, len);
		used += len;
	}
	buf_add_char(out, '\n');
}

/* A text in libconfig's quotes. */
static void
sample_string(struct buf *out, const char *s)
{
	buf_add_char(out, '"');
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			buf_add_char(out, '\\');
		if (*s == '\n')
			buf_add_str(out, "\\n");
		else
			buf_add_char(out, *s);
	}
	buf_add_char(out, '"');
}

static void
sample_value(const struct as_field *f, struct buf *out)
{
	char number_text[40];

	switch ((enum as_field_type)f->type) {
	case AS_FIELD_STR:
		sample_string(out, f->text != NULL ? f->text : "");
		break;
	case AS_FIELD_CHOICE:
		buf_printf(out, "\"%.*s\"", (int)strcspn(f->text, " "),
		    f->text);
		break;
	case AS_FIELD_MS:
	case AS_FIELD_SIZE:
		field_number_text(f, f->num, number_text, sizeof(number_text));
		buf_printf(out, "\"%s\"", number_text);
		break;
	case AS_FIELD_NUM:
	case AS_FIELD_INT:
		field_number_text(f, f->num, number_text, sizeof(number_text));
		buf_printf(out, "%s%s", number_text,
		    f->type == AS_FIELD_INT && f->num > INT32_MAX ? "L" : "");
		break;
	case AS_FIELD_BOOL:
		buf_add_str(out, f->num != 0 ? "true" : "false");
		break;
	case AS_FIELD_LIST:
		buf_add_str(out, "[ ]");
		break;
	case AS_FIELD_JSON:
		buf_add_str(out, "{ }");
		break;
	case AS_FIELD_SECRET:
		buf_add_str(out, "\"env:NAME\"");
		break;
	}
}

static void
sample_words(const struct as_field *f, struct buf *out)
{
	const char *at = f->text;
	size_t len;

	buf_add_str(out, " One of ");
	while (*at != '\0') {
		len = strcspn(at, " ");
		buf_printf(out, "%.*s%s", (int)len, at,
		    at[len] == ' ' ? ", " : ".");
		at += len + (at[len] == ' ');
	}
}

/* "From 1 to 65535." and the like: what may stand there. */
static void
sample_limits(const struct as_field *f, struct buf *out)
{
	char range[100];

	field_range_text(f, range, sizeof(range));
	if (f->type == AS_FIELD_CHOICE)
		sample_words(f, out);
	else if (f->type == AS_FIELD_LIST && f->min == 0 && f->max > 0)
		buf_printf(out, " At most %.0f.", f->max);
	else if (f->type != AS_FIELD_BOOL && field_has_range(f))
		buf_printf(out, " From %s.", range);
	if (f->type == AS_FIELD_SECRET)
		buf_add_str(out, " A secret: \"file:/path\", \"env:NAME\" or "
				 "\"cred:NAME\".");
	if (f->flags & AS_REQUIRED)
		buf_add_str(out, " Required.");
}

static void
sample_field(const struct as_field *f, int depth, struct buf *out)
{
	struct buf doc = { 0 };

	buf_add_str(&doc, f->doc != NULL ? f->doc : "");
	sample_limits(f, &doc);
	sample_doc(out, depth, doc.data);
	buf_free(&doc);
	indent(out, depth);
	buf_printf(out, "# %s = ", f->name);
	sample_value(f, out);
	buf_add_str(out, ";\n");
}

/* "plugins : {" and "x : {" for "plugins.x"; how many. */
static int
open_groups(const char *section, struct buf *out)
{
	int depth = 0;
	size_t len;

	for (; *section != '\0'; section += len + (section[len] == '.')) {
		len = strcspn(section, ".");
		indent(out, depth++);
		buf_printf(out, "%.*s : {\n", (int)len, section);
	}
	return depth;
}

void
field_sample(const struct as_field *fields, size_t stride, const char *section,
    struct buf *out)
{
	size_t i, n = field_count(fields, stride);
	int depth = open_groups(section, out);
	struct as_field f;
	bool first = true;

	for (i = 0; i < n; i++) {
		f = field_at(fields, stride, i);
		if (f.flags & AS_HIDDEN_FIELD)
			continue;
		if (!first)
			buf_add_char(out, '\n');
		first = false;
		sample_field(&f, depth, out);
	}
	while (depth-- > 0) {
		indent(out, depth);
		buf_add_str(out, "};\n");
	}
}
