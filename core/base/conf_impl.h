/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_CONF_IMPL_H
#define CORE_BASE_CONF_IMPL_H

/* Shared by the conf_*.c and field.c files; for nobody else. */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/conf.h"

enum node_type {
	NODE_GROUP = 1,
	NODE_INT,
	NODE_NUM,
	NODE_BOOL,
	NODE_STR,
	NODE_LIST, /* members without names */
	NODE_TEXT /* of --set: the option's type decides */
};

struct conf_node {
	struct conf_node *parent, *next, *children, **tail;
	enum node_type type;
	const char *name; /* "" in a list */
	char *text; /* NODE_STR, NODE_TEXT */
	int64_t integer; /* NODE_INT, NODE_BOOL */
	double num;
	const char *file;
	int line;
	bool is_private; /* its file is not for everybody */
	bool is_read; /* a group that conf_section or conf_ignore has seen */
};

/* A setting that was read, for conf_show. */
struct conf_seen {
	struct conf_seen *next;
	const char *path, *value, *origin;
};

/* A group that somebody knows, be it in a file or not. */
struct conf_known {
	struct conf_known *next;
	const char *path;
};

struct conf {
	struct arena *arena;
	struct conf_node *root;
	struct conf_problem *problems;
	size_t n_problems;
	struct conf_seen *seen, **seen_tail;
	struct conf_known *known;
};

/* ---- conf.c */
struct conf_node *conf_child(const struct conf_node *of, const char *name);
struct conf_node *conf_find(const struct conf *c, const char *path);
struct conf_node *conf_add(struct conf *c, struct conf_node *to,
    const char *name, enum node_type type);
const char *conf_path(struct conf *c, const struct conf_node *node);
/* "server" and "port" to "server.port"; no dot at the top. */
const char *conf_join(struct conf *c, const char *path, const char *name);
void conf_problem_add(struct conf *c, const char *file, int line,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Has somebody read, or would read, a section at this path? */
bool conf_is_section(const struct conf *c, const char *path);
/* "8080", "'text'", "a group": what stands there, for a message. */
const char *conf_describe(struct conf *c, const struct conf_node *node);

/* ---- conf_scan.c */
struct conf_fault {
	int line;
	char text[160];
};
/* Is this text safe to give to libconfig? */
bool conf_scan(const char *text, size_t len, struct conf_fault *fault);

/* ---- conf_field.c */
struct conf_reader {
	struct conf *conf;
	const char *path; /* of the section */
	char *out;
	bool ok;
};
/* Into out, at the row's place; a problem, and not ok, if it does not fit. */
void conf_read_field(struct conf_reader *r, const struct as_field *f,
    struct conf_node *node);
const char *conf_text_of(const struct conf_node *node); /* NULL: it is none */
void conf_secret_wipe(void *secret); /* and freed */

/* ---- conf_secret.c */
/*
 * Resolve "file:", "env:", "cred:" or inline text.  *out is malloc()ed, to be
 * wiped; false: why says what is wrong, without the secret.
 */
bool conf_secret(const char *spec, bool inline_allowed, char **out, char *why,
    size_t why_size);

/* ---- field.c */
/* The i-th row, whatever the size of rows on the table's side is. */
struct as_field field_at(const struct as_field *fields, size_t stride,
    size_t i);
size_t field_count(const struct as_field *fields, size_t stride);
void field_default(const struct as_field *f, void *out, struct arena *arena);
bool field_has_range(const struct as_field *f);
bool field_in_range(const struct as_field *f, double value);
/* "1 to 65535", "1s to 1h", as people write it. */
void field_range_text(const struct as_field *f, char *out, size_t size);
/* A word of a choice, copied; NULL if it is none. */
const char *field_choice(const struct as_field *f, const char *word,
    struct arena *arena);
/* A number of the field's type as text: "20ms", "64k", "8080". */
void field_number_text(const struct as_field *f, double n, char *out,
    size_t size);

#endif
