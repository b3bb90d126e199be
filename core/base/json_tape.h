/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_JSON_TAPE_H
#define CORE_BASE_JSON_TAPE_H

/*
 * JSON to read and throw away: the values of a text in one array, in the order
 * in which the text has them, and a copy of the text, in which strings are
 * decoded in place.  Reading costs no allocation for each value.
 *
 * A struct json_tape starts as {0} and ends with json_tape_free.  Its nodes
 * are valid until it is parsed into again, or freed; they are never written
 * to, so many threads may read them.
 */

#include <stddef.h>
#include <stdint.h>

#include "core/base/json.h"

/* A value.  The members of a container are the nodes behind it. */
struct json_node {
	const char *key; /* of a member, NUL-terminated; else NULL */
	union {
		int64_t i; /* of an integer or a boolean */
		/* of a string, NUL-terminated; the digits of a double, not */
		const char *text;
	};
	uint32_t key_len;
	uint32_t len; /* bytes of text; members of a container */
	uint32_t span; /* nodes, this one and all below it */
	enum json_type type;
};

struct json_tape {
	struct json_node *nodes; /* the first is the whole value */
	char *text;
	size_t n, n_max, text_max;
	uint32_t widest; /* members of the largest container */
};

/*
 * As json_parse, into a tape that may have been used before; its memory is
 * used again.  After a failure there is nothing to read in it.
 */
enum as_status json_tape_parse(struct json_tape *t, const char *text,
    size_t len, struct error *err);
void json_tape_free(struct json_tape *t);

/*
 * Walk the len members of a container: from the first, each next one is behind
 * the one before.
 */
static inline const struct json_node *
json_node_first(const struct json_node *container)
{
	return container + 1;
}

static inline const struct json_node *
json_node_next(const struct json_node *n)
{
	return n + n->span;
}

/* These walk, too.  NULL: not there, or n is no such container. */
const struct json_node *json_node_get(const struct json_node *n,
    const char *key);
const struct json_node *json_node_at(const struct json_node *n, size_t i);

/* Of a number; 0 of anything else. */
double json_node_num(const struct json_node *n);

/* A value that has nothing to do with the tape any more; null is NULL. */
struct json_object *json_node_object(const struct json_node *n);

#endif
