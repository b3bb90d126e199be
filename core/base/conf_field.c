/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/conf_impl.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * A setting read through its row of a field table.  What does not fit becomes a
 * problem that says what was expected, and the row keeps its default.
 */

static void __attribute__((format(printf, 4, 5)))
problem(struct conf_reader *r, const struct as_field *f,
    const struct conf_node *node, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text[text_utf8_whole(text, strlen(text))] = '\0';
	conf_problem_add(r->conf, node->file, node->line, "%s: %s",
	    conf_join(r->conf, r->path, f->name), text);
	r->ok = false;
}

static void
expected(struct conf_reader *r, const struct as_field *f,
    const struct conf_node *node, const char *what)
{
	problem(r, f, node, "expected %s, got %s", what,
	    f->type == AS_FIELD_SECRET ? "something else"
				       : conf_describe(r->conf, node));
}

const char *
conf_text_of(const struct conf_node *node)
{
	return node->type == NODE_STR || node->type == NODE_TEXT ? node->text
								 : NULL;
}

static void
store(struct conf_reader *r, const struct as_field *f, const void *value,
    size_t size)
{
	MUST(size == f->width);
	memcpy(r->out + f->offset, value, size);
}

static void
read_str(struct conf_reader *r, const struct as_field *f,
    const struct conf_node *node)
{
	const char *text = conf_text_of(node);

	if (text != NULL)
		store(r, f, &text, sizeof(text));
	else
		expected(r, f, node, "text in quotes");
}

static const char *
numeric_example(const struct as_field *f)
{
	switch (f->type) {
	case AS_FIELD_MS:
		return "a duration such as \"20ms\", \"3s\" or \"5m\"";
	case AS_FIELD_SIZE:
		return "a size such as \"64k\" or \"8M\"";
	case AS_FIELD_NUM:
		return "a number";
	default:
		return "an integer";
	}
}

static bool
to_double(const char *text, double *out)
{
	char *end;

	if (strspn(text, "+-.0123456789eE") != strlen(text) || text[0] == '\0')
		return false;
	*out = strtod(text, &end);
	return *end == '\0' && isfinite(*out);
}

/* The integer that a node means to a row of a numeric type. */
static bool
integer_of(const struct as_field *f, const struct conf_node *node, int64_t *out)
{
	const char *text = conf_text_of(node);

	if (node->type == NODE_INT) {
		*out = node->integer;
		return true;
	}
	if (text == NULL)
		return false;
	if (f->type == AS_FIELD_MS)
		return text_to_ms(text, out);
	if (f->type == AS_FIELD_SIZE)
		return text_to_bytes(text, out);
	return node->type == NODE_TEXT &&
	       text_to_int(text, INT64_MIN, INT64_MAX, out);
}

static bool
double_of(const struct conf_node *node, double *out)
{
	if (node->type == NODE_TEXT)
		return to_double(node->text, out);
	*out = node->type == NODE_INT ? (double)node->integer : node->num;
	return node->type == NODE_INT ||
	       (node->type == NODE_NUM && isfinite(node->num));
}

static void
read_numeric(struct conf_reader *r, const struct as_field *f,
    const struct conf_node *node)
{
	char range[100];
	int64_t n = 0;
	double d = 0;
	bool ok;

	if (f->type == AS_FIELD_NUM) {
		ok = double_of(node, &d);
	} else {
		ok = integer_of(f, node, &n);
		d = (double)n;
	}
	if (!ok) {
		expected(r, f, node, numeric_example(f));
	} else if (!field_in_range(f, d)) {
		field_range_text(f, range, sizeof(range));
		expected(r, f, node, range);
	} else if (f->type == AS_FIELD_NUM) {
		store(r, f, &d, sizeof(d));
	} else {
		store(r, f, &n, sizeof(n));
	}
}

static void
read_bool(struct conf_reader *r, const struct as_field *f,
    const struct conf_node *node)
{
	bool yes = node->integer != 0, ok = node->type == NODE_BOOL;

	if (node->type == NODE_TEXT) {
		yes = strcmp(node->text, "true") == 0;
		ok = yes || strcmp(node->text, "false") == 0;
	}
	if (ok)
		store(r, f, &yes, sizeof(yes));
	else
		expected(r, f, node, "true or false");
}

/* Words of a choice, with the near one if there is one. */
static void
wrong_choice(struct conf_reader *r, const struct as_field *f,
    const struct conf_node *node)
{
	char *copy = arena_strdup(r->conf->arena, f->text), *word;
	const char *words[64], *near = NULL;
	struct buf list = { 0 };
	size_t n = 0, i;

	while ((word = strsep(&copy, " ")) != NULL && n < N_ITEMS(words))
		if (word[0] != '\0')
			words[n++] = word;
	for (i = 0; i < n; i++)
		buf_printf(&list, "%s%s", i > 0 ? ", " : "one of ", words[i]);
	if (conf_text_of(node) != NULL)
		near = text_nearest(conf_text_of(node), words, n);
	problem(r, f, node, "expected %s, got %s%s%s%s", list.data,
	    conf_describe(r->conf, node),
	    near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
	    near != NULL ? "'?" : "");
	buf_free(&list);
}

static void
read_choice(struct conf_reader *r, const struct as_field *f,
    const struct conf_node *node)
{
	const char *word = conf_text_of(node);

	if (word != NULL)
		word = field_choice(f, word, r->conf->arena);
	if (word != NULL)
		store(r, f, &word, sizeof(word));
	else
		wrong_choice(r, f, node);
}

/* ---- lists */

static bool
json_list(struct conf *c, const char *text, const char ***items, size_t *n)
{
	struct json_object *v, *item;
	bool ok;
	size_t i;

	if (json_parse(text, strlen(text), &v, NULL) != AS_OK)
		return false;
	ok = json_object_is_type(v, json_type_array);
	*n = ok ? json_object_array_length(v) : 0;
	*items = arena_alloc(c->arena, (*n + 1) * sizeof(**items));
	for (i = 0; ok && i < *n; i++) {
		item = json_object_array_get_idx(v, i);
		ok = json_object_is_type(item, json_type_string);
		(*items)[i] = arena_strdup(c->arena,
		    json_object_get_string(item));
	}
	json_object_put(v);
	return ok;
}

/* "a, b" of --set; empty text is the empty list. */
static bool
comma_list(struct conf *c, const char *text, const char ***items, size_t *n)
{
	char *copy = arena_strdup(c->arena, text), *item;
	size_t most = 1, i, len;

	for (i = 0; text[i] != '\0'; i++)
		most += text[i] == ',';
	*items = arena_alloc(c->arena, (most + 1) * sizeof(**items));
	*n = 0;
	if (text[0] == '\0')
		return true;
	while ((item = strsep(&copy, ",")) != NULL) {
		item += strspn(item, " ");
		for (len = strlen(item); len > 0 && item[len - 1] == ' ';)
			item[--len] = '\0';
		if (len == 0)
			return false;
		(*items)[(*n)++] = item;
	}
	return true;
}

static bool
node_list(struct conf *c, const struct conf_node *node, const char ***items,
    size_t *n)
{
	const struct conf_node *child;

	*n = 0;
	for (child = node->children; child != NULL; child = child->next)
		(*n)++;
	*items = arena_alloc(c->arena, (*n + 1) * sizeof(**items));
	*n = 0;
	for (child = node->children; child != NULL; child = child->next) {
		if (child->type != NODE_STR)
			return false;
		(*items)[(*n)++] = child->text;
	}
	return node->type == NODE_LIST;
}

static void
read_list(struct conf_reader *r, const struct as_field *f,
    const struct conf_node *node)
{
	const char **items = NULL;
	struct as_list list = { 0 };
	char range[100];
	bool ok;

	if (node->type != NODE_TEXT)
		ok = node_list(r->conf, node, &items, &list.n);
	else if (node->text[0] == '[')
		ok = json_list(r->conf, node->text, &items, &list.n);
	else
		ok = comma_list(r->conf, node->text, &items, &list.n);
	if (!ok) {
		expected(r, f, node, "a list of texts such as [\"a\", \"b\"]");
		return;
	}
	if (!field_in_range(f, (double)list.n)) {
		field_range_text(f, range, sizeof(range));
		problem(r, f, node, "expected %s items, got %zu", range,
		    list.n);
		return;
	}
	list.items = items;
	store(r, f, &list, sizeof(list));
}

/* ---- JSON and secrets */

static struct json_object *
node_json(const struct conf_node *node)
{
	const struct conf_node *child;
	struct json_object *v;

	switch (node->type) {
	case NODE_INT:
		return json_object_new_int64(node->integer);
	case NODE_NUM:
		return jnum(node->num);
	case NODE_BOOL:
		return json_object_new_boolean(node->integer != 0);
	case NODE_STR:
	case NODE_TEXT:
		return json_object_new_string(node->text);
	case NODE_LIST:
		v = jarr();
		for (child = node->children; child != NULL; child = child->next)
			json_object_array_add(v, node_json(child));
		return v;
	case NODE_GROUP:
		break;
	}
	v = jobj();
	for (child = node->children; child != NULL; child = child->next)
		jput(v, child->name, node_json(child));
	return v;
}

static void
put_json(void *v)
{
	json_object_put(v);
}

static void
read_json(struct conf_reader *r, const struct as_field *f,
    struct conf_node *node)
{
	struct error err = { 0 };
	struct json_object *v;

	if (node->type != NODE_TEXT) {
		v = node_json(node);
	} else if (json_parse(node->text, strlen(node->text), &v, &err) !=
		   AS_OK) {
		problem(r, f, node, "expected JSON: %s", err.detail);
		error_clear(&err);
		return;
	}
	arena_cleanup(r->conf->arena, put_json, v);
	store(r, f, &v, sizeof(void *));
}

void
conf_secret_wipe(void *arg)
{
	char *secret = arg;

	sodium_memzero(secret, strlen(secret));
	free(secret);
}

static void
read_secret(struct conf_reader *r, const struct as_field *f,
    const struct conf_node *node)
{
	const char *spec = conf_text_of(node);
	char why[512], *secret;

	if (spec == NULL) {
		expected(r, f, node,
		    "\"file:/path\", \"env:NAME\" or \"cred:NAME\"");
	} else if (!conf_secret(spec, node->is_private, &secret, why,
		       sizeof(why))) {
		problem(r, f, node, "%s", why);
	} else {
		arena_cleanup(r->conf->arena, conf_secret_wipe, secret);
		log_redact(secret);
		store(r, f, &secret, sizeof(secret));
	}
}

/* A group that is the value of a setting holds no sections. */
static void
mark_read(struct conf_node *node)
{
	struct conf_node *child;

	node->is_read = true;
	for (child = node->children; child != NULL; child = child->next)
		mark_read(child);
}

void
conf_read_field(struct conf_reader *r, const struct as_field *f,
    struct conf_node *node)
{
	mark_read(node);
	switch ((enum as_field_type)f->type) {
	case AS_FIELD_STR:
		read_str(r, f, node);
		break;
	case AS_FIELD_INT:
	case AS_FIELD_NUM:
	case AS_FIELD_MS:
	case AS_FIELD_SIZE:
		read_numeric(r, f, node);
		break;
	case AS_FIELD_BOOL:
		read_bool(r, f, node);
		break;
	case AS_FIELD_CHOICE:
		read_choice(r, f, node);
		break;
	case AS_FIELD_LIST:
		read_list(r, f, node);
		break;
	case AS_FIELD_JSON:
		read_json(r, f, node);
		break;
	case AS_FIELD_SECRET:
		read_secret(r, f, node);
		break;
	}
}
