/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_STORE_GUEST_H
#define CORE_STORE_GUEST_H

/*
 * Statements that are not ours: those of a plugin, over its own tables.
 *
 * Two walls stand around them.  The text is scanned before it reaches a
 * database (guest_sql.c): only certain verbs and functions, one statement, no
 * name of a system's table.  Then the database itself refuses what is not the
 * plugin's: an authorizer on SQLite, a role and a schema of its own on
 * PostgreSQL (docs/decisions/0031-what-plugins-keep-and-reach.md).
 *
 * A call is one transaction: a statement, or all steps of a migration.
 */

#include "core/store/store.h"

struct buf;
struct json_object;

#define GUEST_ROWS_MAX 10000
#define GUEST_BYTES_MAX ((size_t)8 << 20) /* of the rows of an answer */
#define GUEST_TEXT_MAX ((size_t)100 * 1000) /* of a statement */
#define GUEST_STEPS_MAX 1000
#define GUEST_PREFIX 40
/* On SQLite nobody else writes meanwhile. */
#define GUEST_WRITE_MS 2000

enum guest_kind {
	GUEST_QUERY = 1, /* rows */
	GUEST_EXEC, /* how many rows it met */
	GUEST_MIGRATE
};

struct guest_call {
	enum guest_kind kind;
	const char *name; /* of the plugin */
	const char *const *texts; /* one statement, or all steps */
	int n_texts;
	struct json_object *params; /* an array, or NULL; of one statement */
};

/*
 * A call as it crosses: texts is an array of strings.  The list of texts is the
 * call's own, until guest_call_clear(); all else is borrowed.
 */
void guest_call_of(struct guest_call *call, int kind, const char *name,
    struct json_object *texts, struct json_object *params);
void guest_call_clear(struct guest_call *call);

/*
 * *rows (of a query) is the caller's; either may be NULL.  INVALID: the
 * statement is wrong; FORBIDDEN: it touches what is not the plugin's; CONFLICT:
 * a constraint, or a step that was edited after it had run; LIMIT: too many
 * rows; TIMEOUT, CANCELED of a write: unknown.
 */
SUSPENDS enum as_status guest_run(struct store *store,
    const struct guest_call *call, struct json_object **rows, int64_t *changed,
    struct error *err);

/*
 * Tables without a database, for checking a plugin: in memory, on SQLite, with
 * the same two walls, and nobody waits.  mark and back: as it was then.
 */
struct guest_memory;
struct guest_memory *guest_memory_new(void); /* NULL: no memory */
enum as_status guest_memory_run(struct guest_memory *m,
    const struct guest_call *call, struct json_object **rows, int64_t *changed,
    struct error *err);
void guest_memory_mark(struct guest_memory *m);
void guest_memory_back(struct guest_memory *m);
void guest_memory_free(struct guest_memory *m); /* NULL does nothing */

/* What "{}" stands for; no prefix begins with another's. */
void guest_prefix(const char *name, char out[GUEST_PREFIX]);

/*
 * The statement with its names filled in, or what is wrong with it.  may_define:
 * a step of a migration, which may create and change tables.
 */
enum as_status guest_sql(const char *text, const char *prefix, bool may_define,
    struct buf *out, struct error *err);
/* May a statement call it?  Lower case. */
bool guest_function_is_known(const char *name);

#endif
