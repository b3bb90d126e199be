/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/conf.h"

#include <dirent.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/conf_impl.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * The tree and the list of problems.  Invariant: the names of a group's
 * children are unique, and every node knows the place it came from.
 */

struct conf *
conf_new(void)
{
	struct conf *c = xcalloc(1, sizeof(*c));

	c->arena = arena_new(NULL);
	c->seen_tail = &c->seen;
	c->root = arena_alloc(c->arena, sizeof(*c->root));
	c->root->type = NODE_GROUP;
	c->root->name = "";
	c->root->tail = &c->root->children;
	return c;
}

/* A setting may be a secret even if no table has said so yet. */
static void
wipe(struct conf_node *node)
{
	struct conf_node *child;

	if (node->text != NULL)
		sodium_memzero(node->text, strlen(node->text));
	for (child = node->children; child != NULL; child = child->next)
		wipe(child);
}

void
conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	wipe(c->root);
	free(c->problems);
	arena_free(c->arena);
	free(c);
}

struct conf_node *
conf_child(const struct conf_node *of, const char *name)
{
	struct conf_node *child;

	for (child = of->children; child != NULL; child = child->next)
		if (strcmp(child->name, name) == 0)
			return child;
	return NULL;
}

struct conf_node *
conf_find(const struct conf *c, const char *path)
{
	struct conf_node *node = c->root, *child;
	size_t len;

	while (*path != '\0') {
		len = strcspn(path, ".");
		for (child = node->children; child != NULL; child = child->next)
			if (strncmp(child->name, path, len) == 0 &&
			    child->name[len] == '\0')
				break;
		path += len + (path[len] == '.');
		if ((node = child) == NULL ||
		    (node->type == NODE_LIST && *path != '\0'))
			return NULL;
	}
	return node;
}

struct conf_node *
conf_add(struct conf *c, struct conf_node *to, const char *name,
    enum node_type type)
{
	struct conf_node *node = arena_alloc(c->arena, sizeof(*node));

	node->name = arena_strdup(c->arena, name);
	node->type = type;
	node->parent = to;
	node->tail = &node->children;
	*to->tail = node;
	to->tail = &node->next;
	return node;
}

const char *
conf_join(struct conf *c, const char *path, const char *name)
{
	if (path[0] == '\0')
		return arena_strdup(c->arena, name);
	return arena_printf(c->arena, "%s.%s", path, name);
}

const char *
conf_path(struct conf *c, const struct conf_node *node)
{
	if (node->parent == NULL)
		return "";
	return conf_join(c, conf_path(c, node->parent), node->name);
}

/* What it quotes may be anything; the sentence is valid UTF-8. */
static void __attribute__((format(printf, 4, 0))) add_problem(struct conf *c,
    const char *file, int line, const char *fmt, va_list ap)
{
	struct buf text = { 0 }, clean = { 0 };
	struct conf_problem *p;

	if ((c->n_problems & (c->n_problems + 1)) == 0)
		c->problems = xrealloc(c->problems,
		    (2 * c->n_problems + 1) * sizeof(*c->problems));
	p = &c->problems[c->n_problems++];
	buf_vprintf(&text, fmt, ap);
	text_add_clean(&clean, text.data, text.len);
	p->file = file;
	p->line = line;
	p->text = arena_strndup(c->arena, clean.data, clean.len);
	buf_free(&text);
	buf_free(&clean);
}

void
conf_problem_add(struct conf *c, const char *file, int line, const char *fmt,
    ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_problem(c, file, line, fmt, ap);
	va_end(ap);
}

void
conf_problem_at(struct conf *c, const char *path, const char *fmt, ...)
{
	struct conf_node *node = NULL;
	char *near = xstrdup(path), *dot;
	va_list ap;

	/* The setting itself, or the innermost group that is there. */
	while ((node = conf_find(c, near)) == NULL) {
		if ((dot = strrchr(near, '.')) == NULL)
			dot = near;
		*dot = '\0';
	}
	free(near);
	va_start(ap, fmt);
	add_problem(c, node->file, node->line, fmt, ap);
	va_end(ap);
}

size_t
conf_problem_count(const struct conf *c)
{
	return c->n_problems;
}

const struct conf_problem *
conf_problem(const struct conf *c, size_t i)
{
	return i < c->n_problems ? &c->problems[i] : NULL;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool
is_conf_name(const char *name)
{
	size_t len = strlen(name);

	return name[0] != '.' && len > 5 &&
	       strcmp(name + len - 5, ".conf") == 0;
}

static void
load_entries(struct conf *c, const char *dir, DIR *d)
{
	char **names = NULL, *path;
	struct dirent *entry;
	size_t n = 0, i;

	while ((entry = readdir(d)) != NULL) {
		if (!is_conf_name(entry->d_name))
			continue;
		names = xrealloc(names, (n + 1) * sizeof(*names));
		names[n++] = xstrdup(entry->d_name);
	}
	if (n > 0)
		qsort(names, n, sizeof(*names), compare_names);
	for (i = 0; i < n; i++) {
		path = xasprintf("%s/%s", dir, names[i]);
		conf_load_file(c, path);
		free(path);
		free(names[i]);
	}
	free(names);
}

void
conf_load_dir(struct conf *c, const char *dir, bool must_exist)
{
	DIR *d = opendir(dir);

	if (d != NULL) {
		load_entries(c, dir, d);
		closedir(d);
	} else if (must_exist || errno != ENOENT) {
		conf_problem_add(c, arena_strdup(c->arena, dir), 0,
		    "cannot read this folder: %s", strerror(errno));
	}
}

static bool
is_path(const char *path, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (path[i] == '.' && (i == 0 || path[i - 1] == '.'))
			return false;
		if (path[i] != '.' && path[i] != '_' && path[i] != '-' &&
		    !(path[i] >= '0' && path[i] <= '9') &&
		    !(path[i] >= 'a' && path[i] <= 'z') &&
		    !(path[i] >= 'A' && path[i] <= 'Z'))
			return false;
	}
	return len > 0 && path[len - 1] != '.';
}

/* The node at path, made with its groups; NULL if a value is in the way. */
static struct conf_node *
make_node(struct conf *c, char *path)
{
	struct conf_node *node = c->root, *child;
	char *name;

	while ((name = strsep(&path, ".")) != NULL) {
		child = conf_child(node, name);
		if (child == NULL) {
			child = conf_add(c, node, name,
			    path != NULL ? NODE_GROUP : NODE_TEXT);
			child->file = "--set";
		}
		node = child;
		if ((path != NULL) != (node->type == NODE_GROUP))
			return NULL;
	}
	return node;
}

void
conf_set(struct conf *c, const char *assignment)
{
	const char *equals = strchr(assignment, '=');
	struct conf_node *node;
	char *path;

	if (equals == NULL ||
	    !is_path(assignment, (size_t)(equals - assignment))) {
		conf_problem_add(c, "--set", 0,
		    "expected section.name=value, got '%.80s'", assignment);
		return;
	}
	if (!text_is_utf8(equals, strlen(equals))) {
		conf_problem_add(c, "--set", 0, "%.*s: value is not UTF-8",
		    (int)(equals - assignment), assignment);
		return;
	}
	path = xstrndup(assignment, (size_t)(equals - assignment));
	node = make_node(c, path);
	free(path);
	if (node == NULL) {
		conf_problem_add(c, "--set", 0,
		    "%.*s: a section and a setting cannot have the same name",
		    (int)(equals - assignment), assignment);
		return;
	}
	node->type = NODE_TEXT;
	node->children = NULL;
	node->tail = &node->children;
	node->text = arena_strdup(c->arena, equals + 1);
	node->file = "--set";
	node->line = 0;
	node->is_private = false;
}

const char *const *
conf_groups(struct conf *c, const char *path)
{
	struct conf_node *group = conf_find(c, path), *child;
	const char **names;
	size_t n = 0;

	if (group == NULL)
		return arena_alloc(c->arena, sizeof(*names));
	for (child = group->children; child != NULL; child = child->next)
		n++;
	names = arena_alloc(c->arena, (n + 1) * sizeof(*names));
	n = 0;
	for (child = group->children; child != NULL; child = child->next)
		if (child->type == NODE_GROUP)
			names[n++] = child->name;
	return names;
}

/* A scalar as text, or NULL. */
static const char *
scalar_text(struct conf *c, const struct conf_node *node)
{
	switch (node->type) {
	case NODE_STR:
	case NODE_TEXT:
		return node->text;
	case NODE_BOOL:
		return node->integer ? "true" : "false";
	case NODE_INT:
		return arena_printf(c->arena, "%lld", (long long)node->integer);
	case NODE_NUM:
		return arena_printf(c->arena, "%.15g", node->num);
	default:
		return NULL;
	}
}

const char *
conf_peek(struct conf *c, const char *path)
{
	const struct conf_node *node = conf_find(c, path);

	return node != NULL ? scalar_text(c, node) : NULL;
}

const char *
conf_describe(struct conf *c, const struct conf_node *node)
{
	size_t len;

	switch (node->type) {
	case NODE_GROUP:
		return "a group";
	case NODE_LIST:
		return "a list";
	case NODE_STR:
	case NODE_TEXT:
		len = strlen(node->text);
		if (len > 60)
			len = text_utf8_whole(node->text, 60);
		return arena_printf(c->arena, "'%.*s'", (int)len, node->text);
	default:
		return scalar_text(c, node);
	}
}

void
conf_ignore(struct conf *c, const char *path)
{
	struct conf_node *node = conf_find(c, path);
	struct conf_known *known;

	if (node != NULL)
		node->is_read = true;
	known = arena_alloc(c->arena, sizeof(*known));
	known->path = arena_strdup(c->arena, path);
	known->next = c->known;
	c->known = known;
}

bool
conf_is_section(const struct conf *c, const char *path)
{
	const struct conf_known *k;

	for (k = c->known; k != NULL; k = k->next)
		if (strcmp(k->path, path) == 0)
			return true;
	return false;
}

static bool
is_known(const struct conf *c, const struct conf_node *group)
{
	const struct conf_node *child;

	if (group->is_read)
		return true;
	for (child = group->children; child != NULL; child = child->next)
		if (child->type == NODE_GROUP && is_known(c, child))
			return true;
	return false;
}

/* A known group of the same parent with a similar name, or NULL. */
static const char *
similar_group(struct conf *c, const char *parent, const char *name)
{
	size_t len = strlen(parent), n = 0;
	const struct conf_known *k;
	const char **names, *rest;

	for (k = c->known; k != NULL; k = k->next)
		n++;
	names = arena_alloc(c->arena, (n + 1) * sizeof(*names));
	n = 0;
	for (k = c->known; k != NULL; k = k->next) {
		rest = k->path;
		if (len > 0) {
			if (strncmp(rest, parent, len) != 0 || rest[len] != '.')
				continue;
			rest += len + 1;
		}
		names[n++] = arena_strndup(c->arena, rest, strcspn(rest, "."));
	}
	return text_nearest(name, names, n);
}

static void
finish_group(struct conf *c, const struct conf_node *group)
{
	const char *path = conf_path(c, group), *name, *hint;
	const struct conf_node *child;

	for (child = group->children; child != NULL; child = child->next) {
		name = conf_join(c, path, child->name);
		if (child->type != NODE_GROUP) {
			if (!group->is_read && !conf_is_section(c, name))
				conf_problem_add(c, child->file, child->line,
				    "%s: unknown setting; settings stand in "
				    "sections",
				    name);
			continue;
		}
		if (is_known(c, child)) {
			finish_group(c, child);
			continue;
		}
		hint = similar_group(c, path, child->name);
		conf_problem_add(c, child->file, child->line,
		    "%s: unknown section%s%s%s", name,
		    hint != NULL ? "; did you mean '" : "",
		    hint != NULL ? hint : "", hint != NULL ? "'?" : "");
	}
}

void
conf_finish(struct conf *c)
{
	finish_group(c, c->root);
}

void
conf_show(const struct conf *c, struct buf *out)
{
	const struct conf_seen *s;

	for (s = c->seen; s != NULL; s = s->next)
		buf_printf(out, "%s = %s  (%s)\n", s->path, s->value,
		    s->origin);
}

const char *
conf_origin(const struct conf *c, const char *path)
{
	const struct conf_seen *s;

	for (s = c->seen; s != NULL; s = s->next)
		if (strcmp(s->path, path) == 0)
			return s->origin;
	return NULL;
}

/* ---- A group as text ------------------------------------------------ */

static void
node_dump(const struct conf_node *node, struct buf *out)
{
	const struct conf_node *child;

	buf_printf(out, "%d %s=", (int)node->type, node->name);
	switch (node->type) {
	case NODE_GROUP:
	case NODE_LIST:
		buf_add_char(out, '{');
		for (child = node->children; child != NULL; child = child->next)
			node_dump(child, out);
		buf_add_char(out, '}');
		break;
	case NODE_STR:
	case NODE_TEXT:
		buf_printf(out, "%zu:%s", strlen(node->text), node->text);
		break;
	case NODE_NUM:
		buf_printf(out, "%.17g", node->num);
		break;
	default:
		buf_printf(out, "%lld", (long long)node->integer);
	}
	buf_add_char(out, ';');
}

void
conf_dump(struct conf *c, const char *path, struct buf *out)
{
	const struct conf_node *group = conf_find(c, path);

	if (group != NULL)
		node_dump(group, out);
}
