/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_ERROR_H
#define CORE_BASE_ERROR_H

/*
 * Expected failures, from where they happen to where they are told.
 *
 * A function that can fail returns an as_status and fills the struct error
 * that its caller gave it (NULL: nobody wants to know).  A struct error starts
 * as {0} and ends with error_clear.  The shape on the wire is RFC 9457 plus
 * the members of the original system; docs/architecture.md shows it.
 * Logged once, where it stops travelling.  One thread at a time.
 */

#include <agentstudio/error.h>
#include <stdint.h>

struct json_object;

enum error_code {
	ERR_NONE = 0,
#define ERROR(code, http, status, title) ERR_##code,
#include "error.def"
#undef ERROR
	ERR_MAX_
};

struct error {
	enum error_code code;
	char detail[256]; /* lower case, no full stop, names thing and value */
	char service[64]; /* who failed, or "" */
	int64_t retry_after_ms; /* 0: not said */
	struct json_object *extra; /* further members of the body; owned */
};

/*
 * Set the error and return the code's status: `return error_set(err, ...)`.
 * Replaces what was there.  err may be NULL.
 */
enum as_status error_set(struct error *err, enum error_code code,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* 404 with the members resource and id. */
enum as_status error_not_found(struct error *err, const char *resource,
    const char *id);

/*
 * Note that a field is wrong: VALIDATION_FAILED with
 * details {field: [message, ...]}.  Nested fields are JSON Pointers, the whole
 * body is "".  May be called many times.  Returns AS_INVALID.
 */
enum as_status error_field(struct error *err, const char *field,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* A further member of the body. */
void error_member(struct error *err, const char *key,
    struct json_object *value); /* takes value */
void error_member_str(struct error *err, const char *key, const char *s);

/*
 * What a plugin or a lower layer reported, as a public error: AS_BUSY is 429
 * with its retry_after, AS_UPSTREAM 502, ...  Never passes on AS_OK.  The service,
 * the retry hint and the further members that err already has are kept.
 */
enum as_status error_from_status(struct error *err, enum as_status status,
    const char *detail);

void error_move(struct error *to, struct error *from); /* from is cleared */
void error_clear(struct error *err);

const char *error_name(enum error_code code); /* "THREAD_BUSY" */
const char *error_title(enum error_code code);
int error_http(enum error_code code);
enum as_status error_status(enum error_code code);
enum error_code error_by_name(const char *name); /* ERR_NONE if unknown */

/*
 * The body of an answer; the caller puts it.  instance (the path) and
 * correlation_id may be NULL.  INTERNAL never shows its detail.
 */
struct json_object *error_body(const struct error *err, const char *instance,
    const char *correlation_id);

#endif
