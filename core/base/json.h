/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_JSON_H
#define CORE_BASE_JSON_H

/*
 * json-c with our limits and short names.
 *
 * Values follow json-c's ownership: what is returned as `struct json_object *`
 * is the caller's to json_object_put unless said otherwise; the jput_*
 * functions take the value they add.  One thread at a time for a value.
 */

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/base/uuid.h"

struct buf;
struct error;

#define JSON_DEPTH_MAX 64

/*
 * Strict RFC 8259: one value, nothing after it, valid UTF-8, depth at most 64,
 * numbers finite, no duplicate member names.  A NULL result with AS_OK status
 * is the value null.  Failure: MALFORMED_JSON with the byte offset.
 */
enum as_status json_parse(const char *text, size_t len,
    struct json_object **out, struct error *err);

/* Compact text; valid while the value is unchanged. */
const char *json_text(struct json_object *v);

/* Readers: a missing member or another type gives the default. */
struct json_object *jget(struct json_object *o, const char *key); /* borrowed */
const char *jget_str(struct json_object *o, const char *key, const char *dflt);
/* Also of a number like 3.0, which JSON Schema counts as an integer. */
int64_t jget_int(struct json_object *o, const char *key, int64_t dflt);
bool jget_bool(struct json_object *o, const char *key, bool dflt);
bool jget_uuid(struct json_object *o, const char *key, struct uuid *out);

/* Writers; NULL text writes null.  They take the object they add. */
struct json_object *jobj(void);
struct json_object *jarr(void);
void jput(struct json_object *o, const char *key, struct json_object *v);
void jput_str(struct json_object *o, const char *key, const char *s);
void jput_strn(struct json_object *o, const char *key, const char *s,
    size_t len);
void jput_int(struct json_object *o, const char *key, int64_t i);
/* The shortest text that reads back as d; not finite is null. */
struct json_object *jnum(double d);
void jput_num(struct json_object *o, const char *key, double d);
void jput_bool(struct json_object *o, const char *key, bool b);
void jput_null(struct json_object *o, const char *key);
void jput_uuid(struct json_object *o, const char *key, struct uuid id);
void jput_time(struct json_object *o, const char *key,
    int64_t us); /* 0: null */
/* text holds JSON (from the database); broken text becomes null. */
void jput_json(struct json_object *o, const char *key, const char *text);

/*
 * A value that can only be written out, as text, which is JSON; takes it.
 * json_text() of what holds it copies the bytes.
 */
struct json_object *json_raw(char *text);

struct json_object *json_copy(struct json_object *v); /* deep */

/* RFC 7396: patch applied to target in place; returns the result (owned). */
struct json_object *json_merge_patch(struct json_object *target,
    struct json_object *patch);

/*
 * Canonical text for hashing: members sorted by their bytes, no blanks,
 * appended to b.
 */
void json_canonical(struct buf *b, struct json_object *v);

#endif
