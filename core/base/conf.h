/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_CONF_H
#define CORE_BASE_CONF_H

/*
 * The configuration tree.
 *
 * Each *.conf file of a folder is parsed alone, in lexical order, and merged
 * here: this tree knows where every setting came from and refuses the same
 * setting twice.  --set section.key=value replaces.  Sections are read into C
 * structs through the same field tables that plugins use for their options
 * (agentstudio/option.h), so parsing, ranges, defaults, `conf show`, samples
 * and manual pages are one mechanism.
 *
 * Nothing stops at the first mistake: problems are collected, each with file,
 * line and what to do.  Not for use across threads.
 */

#include <agentstudio/option.h>
#include <stdbool.h>
#include <stddef.h>

struct arena;
struct buf;
struct conf;
struct json_object;

struct conf_problem {
	const char *file; /* "--set", a path, or NULL */
	int line; /* 0: none */
	const char *text; /* "server.prot: unknown setting; did you mean ..." */
};

struct conf *conf_new(void);
void conf_free(struct conf *c);

/* A folder that is not there is no problem when it was not asked for. */
void conf_load_dir(struct conf *c, const char *dir, bool must_exist);
void conf_load_file(struct conf *c, const char *path);
void conf_load_text(struct conf *c, const char *name, const char *text,
    size_t len);
void conf_set(struct conf *c, const char *assignment); /* "a.b=value" */

/* Names of the groups under a path ("plugins"); NULL-terminated. */
const char *const *conf_groups(struct conf *c, const char *path);
/*
 * The list of texts at a path; items NULL if there is none.  False: something
 * else stands there, and a problem was added.
 */
bool conf_list(struct conf *c, const char *path, struct as_list *out);
/* Likewise a secret, as conf_section has them; *out is NULL if there is none. */
bool conf_secret_at(struct conf *c, const char *path, const char **out);
/* A value as text for deciding early ("plugins.x.plugin"), or NULL. */
const char *conf_peek(struct conf *c, const char *path);

/*
 * All that the files say in a group, as text: two that are equal have the same
 * text.  Secrets are in it as they are written there.
 */
void conf_dump(struct conf *c, const char *path, struct buf *out);

/*
 * Fill the members of `out` that the table describes from the group at path
 * ("" is the top).  stride: sizeof(struct as_field) on the table's side.
 * Strings, lists and JSON values (a struct json_object behind the pointer)
 * live as long as the conf.  Every setting of the group must be in the table
 * or in extra (a NULL-terminated list of further names, or NULL); groups in it
 * are sections of their own.  AS_SECRET values are resolved ("file:", "env:",
 * "cred:", inline), wiped on conf_free and made known to log_redact.  False:
 * problems were added, and out holds defaults in their places.
 */
bool conf_section(struct conf *c, const char *path,
    const struct as_field *fields, size_t stride, void *out,
    const char *const *extra);
/*
 * Are the section's required settings there and its secrets resolvable?
 * For enabled = "auto"; adds no problems.  False: why names the setting.
 */
bool conf_section_ready(struct conf *c, const char *path,
    const struct as_field *fields, size_t stride, char *why, size_t size);

/* This group is known, but nobody reads it: a disabled plugin. */
void conf_ignore(struct conf *c, const char *path);

/*
 * Groups that neither conf_section nor conf_ignore has seen are problems:
 * unknown sections.
 */
void conf_finish(struct conf *c);

/* At the place of a setting (or 0/NULL). */
void conf_problem_at(struct conf *c, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
size_t conf_problem_count(const struct conf *c);
const struct conf_problem *conf_problem(const struct conf *c, size_t i);

/* "server.port = 8080  (default)" for every setting read; secrets as ***. */
void conf_show(const struct conf *c, struct buf *out);
/* file:line, "default" or "--set" of a setting that has been read. */
const char *conf_origin(const struct conf *c, const char *path);

/* ---- Field tables, also for tool arguments ------------------------- */

/* The JSON Schema of a table: an object, additionalProperties false. */
struct json_object *field_schema(const struct as_field *fields, size_t stride);

/*
 * Fill a struct from a JSON object that its schema has accepted; defaults
 * where members are missing.  Strings live in the arena or in values.
 */
struct error;
bool field_fill(const struct as_field *fields, size_t stride, void *out,
    struct json_object *values, struct arena *arena, struct error *err);

/* A commented sample of a section, for conf samples and describe. */
void field_sample(const struct as_field *fields, size_t stride,
    const char *section, struct buf *out);

#endif
