/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_JSON_WRITE_H
#define CORE_BASE_JSON_WRITE_H

/*
 * JSON text written front to back, without a tree of values.
 *
 *	struct buf b = { 0 };
 *
 *	jw_open(&b, NULL);
 *	jw_str(&b, "role", "user");
 *	jw_close(&b);
 *
 * key is NULL for what stands alone or in a list.  Commas come by themselves.
 * Strings must be valid UTF-8; a NULL one is written as null.  The bytes are
 * those that json_text() makes of the same values.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/uuid.h"

void jw_open(struct buf *b, const char *key); /* { */
void jw_close(struct buf *b); /* } */
void jw_open_list(struct buf *b, const char *key);
void jw_close_list(struct buf *b);
void jw_str(struct buf *b, const char *key, const char *s);
void jw_strn(struct buf *b, const char *key, const char *s, size_t len);
void jw_int(struct buf *b, const char *key, int64_t i);
void jw_bool(struct buf *b, const char *key, bool yes);
void jw_null(struct buf *b, const char *key);
void jw_uuid(struct buf *b, const char *key, struct uuid id); /* nil: null */
void jw_time(struct buf *b, const char *key, int64_t us); /* 0: null */
/* text is JSON already; NULL is null. */
void jw_raw(struct buf *b, const char *key, const char *text);

#endif
