/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/conf_impl.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * A section read through its field table.  Each row takes one node
 * (conf_field.c), and what nobody knows is a problem.
 */

/* ---- what conf_show tells */

static void
show_list(const struct as_list *list, struct buf *b)
{
	size_t i;

	buf_add_char(b, '[');
	for (i = 0; i < list->n; i++) {
		if (i > 0)
			buf_add_str(b, ", ");
		buf_add_json_str(b, list->items[i], strlen(list->items[i]));
	}
	buf_add_char(b, ']');
}

static void
show_value(const struct as_field *f, const char *at, struct buf *b)
{
	struct json_object *json;
	struct as_list list;
	const char *text;
	char number[40];
	int64_t n;
	double d;
	bool yes;

	switch ((enum as_field_type)f->type) {
	case AS_FIELD_STR:
	case AS_FIELD_CHOICE:
		memcpy(&text, at, sizeof(text));
		if (text != NULL)
			buf_add_json_str(b, text, strlen(text));
		else
			buf_add_str(b, "(none)");
		return;
	case AS_FIELD_SECRET:
		memcpy(&text, at, sizeof(text));
		buf_add_str(b, text != NULL ? "***" : "(none)");
		return;
	case AS_FIELD_JSON:
		memcpy(&json, at, sizeof(void *));
		buf_add_str(b, json != NULL ? json_text(json) : "(none)");
		return;
	case AS_FIELD_LIST:
		memcpy(&list, at, sizeof(list));
		show_list(&list, b);
		return;
	case AS_FIELD_BOOL:
		memcpy(&yes, at, sizeof(yes));
		buf_add_str(b, yes ? "true" : "false");
		return;
	case AS_FIELD_NUM:
		memcpy(&d, at, sizeof(d));
		break;
	default:
		memcpy(&n, at, sizeof(n));
		d = (double)n;
	}
	field_number_text(f, d, number, sizeof(number));
	buf_add_str(b, number);
}

static void
note_seen(struct conf_reader *r, const struct as_field *f,
    const struct conf_node *node)
{
	struct arena *arena = r->conf->arena;
	struct conf_seen *s = arena_alloc(arena, sizeof(*s));
	struct buf value = { 0 };

	show_value(f, r->out + f->offset, &value);
	s->path = conf_join(r->conf, r->path, f->name);
	s->value = arena_strdup(arena, value.data);
	buf_free(&value);
	if (node == NULL)
		s->origin = "default";
	else if (node->line > 0)
		s->origin = arena_printf(arena, "%s:%d", node->file,
		    node->line);
	else
		s->origin = node->file;
	*r->conf->seen_tail = s;
	r->conf->seen_tail = &s->next;
}

/* ---- the section */

static bool
is_extra(const char *const *extra, const char *name)
{
	for (; extra != NULL && *extra != NULL; extra++)
		if (strcmp(*extra, name) == 0)
			return true;
	return false;
}

static void
check_names(struct conf_reader *r, const struct conf_node *group,
    const struct as_field *fields, size_t stride, const char *const *extra)
{
	size_t n = field_count(fields, stride), n_extra = 0, i;
	const struct conf_node *child;
	const char **names, *hint, *name;

	while (extra != NULL && extra[n_extra] != NULL)
		n_extra++;
	names = xcalloc(n + n_extra, sizeof(*names));
	for (i = 0; i < n; i++)
		names[i] = field_at(fields, stride, i).name;
	for (i = 0; i < n_extra; i++)
		names[n + i] = extra[i];
	for (child = group->children; child != NULL; child = child->next) {
		for (i = 0; i < n + n_extra; i++)
			if (strcmp(names[i], child->name) == 0)
				break;
		if (i < n + n_extra || child->type == NODE_GROUP)
			continue;
		name = conf_join(r->conf, r->path, child->name);
		if (conf_is_section(r->conf, name))
			continue; /* a value there: the section has said so */
		hint = text_nearest(child->name, names, n + n_extra);
		conf_problem_add(r->conf, child->file, child->line,
		    "%s: unknown setting%s%s%s", name,
		    hint != NULL ? "; did you mean '" : "",
		    hint != NULL ? hint : "", hint != NULL ? "'?" : "");
		r->ok = false;
	}
	free(names);
}

bool
conf_section(struct conf *c, const char *path, const struct as_field *fields,
    size_t stride, void *out, const char *const *extra)
{
	struct conf_reader r = { .conf = c,
		.path = path,
		.out = out,
		.ok = true };
	struct conf_node *group = conf_find(c, path), *node;
	size_t i, n = field_count(fields, stride);
	struct as_field f;

	if (group != NULL && group->type != NODE_GROUP) {
		conf_problem_add(c, group->file, group->line,
		    "%s: expected a group in braces, got %s", path,
		    conf_describe(c, group));
		r.ok = false;
		group = NULL;
	}
	conf_ignore(c, path);
	for (i = 0; i < n; i++) {
		f = field_at(fields, stride, i);
		field_default(&f, out, c->arena);
		node = group != NULL ? conf_child(group, f.name) : NULL;
		if (node != NULL && !is_extra(extra, f.name)) {
			conf_read_field(&r, &f, node);
		} else if (node == NULL && (f.flags & AS_REQUIRED)) {
			conf_problem_at(c, conf_join(c, path, f.name),
			    "%s: is required and not set",
			    conf_join(c, path, f.name));
			r.ok = false;
		}
		note_seen(&r, &f, node);
	}
	if (group != NULL)
		check_names(&r, group, fields, stride, extra);
	return r.ok;
}

static bool
secret_is_there(const struct conf_node *node, char *why, size_t size)
{
	char *secret;

	if (conf_text_of(node) == NULL) {
		snprintf(why, size, "is no text");
		return false;
	}
	if (!conf_secret(node->text, node->is_private, &secret, why, size))
		return false;
	conf_secret_wipe(secret);
	return true;
}

bool
conf_section_ready(struct conf *c, const char *path,
    const struct as_field *fields, size_t stride, char *why, size_t size)
{
	struct conf_node *group = conf_find(c, path), *node;
	size_t i, n = field_count(fields, stride);
	struct as_field f;
	char reason[512];

	for (i = 0; i < n; i++) {
		f = field_at(fields, stride, i);
		node = group != NULL ? conf_child(group, f.name) : NULL;
		if (node == NULL && (f.flags & AS_REQUIRED)) {
			snprintf(why, size, "%s is not set", f.name);
			return false;
		}
		if (node == NULL || f.type != AS_FIELD_SECRET)
			continue;
		if (!secret_is_there(node, reason, sizeof(reason))) {
			snprintf(why, size, "%s: %s", f.name, reason);
			return false;
		}
	}
	return true;
}

/* A setting whose section nobody reads as a whole. */
static bool
read_one(struct conf *c, const char *path, enum as_field_type type, void *out,
    size_t size)
{
	struct conf_node *node = conf_find(c, path);
	const char *dot = strrchr(path, '.');
	struct as_field f = { .type = type, .width = (uint32_t)size };
	struct conf_reader r = { .conf = c, .out = out, .ok = true };

	memset(out, 0, size);
	if (node == NULL)
		return true;
	f.name = dot != NULL ? dot + 1 : path;
	r.path = dot != NULL
		     ? arena_strndup(c->arena, path, (size_t)(dot - path))
		     : "";
	conf_read_field(&r, &f, node);
	note_seen(&r, &f, node);
	return r.ok;
}

bool
conf_list(struct conf *c, const char *path, struct as_list *out)
{
	return read_one(c, path, AS_FIELD_LIST, out, sizeof(*out));
}

bool
conf_secret_at(struct conf *c, const char *path, const char **out)
{
	return read_one(c, path, AS_FIELD_SECRET, out, sizeof(*out));
}
