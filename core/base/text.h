/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_TEXT_H
#define CORE_BASE_TEXT_H

/*
 * Text as it comes from outside: UTF-8, numbers, encodings, near names.
 * Pure functions, any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* Valid UTF-8 (RFC 3629: no surrogates, no overlongs).  U+0000 is valid. */
bool text_is_utf8(const char *s, size_t len);

/* How many bytes at the start of s are valid UTF-8. */
size_t text_utf8_prefix(const char *s, size_t len);

/*
 * How many bytes of s are whole characters: len, or less by the 1 to 3 bytes
 * of a character that is cut at the end.
 */
size_t text_utf8_whole(const char *s, size_t len);

/* Append s to b; what is not UTF-8, and U+0000, becomes U+FFFD. */
void text_add_clean(struct buf *b, const char *s, size_t len);

/* Whole string is a decimal integer within [min, max]. */
bool text_to_int(const char *s, int64_t min, int64_t max, int64_t *out);

/*
 * "20ms" "3s" "5m" "2h" "1d" to milliseconds; "64k" "8M" "1G" to bytes.  A
 * number alone is milliseconds or bytes.
 */
bool text_to_ms(const char *s, int64_t *out);
bool text_to_bytes(const char *s, int64_t *out);

/* Percent-decoding in place of len bytes; returns the new length, or -1. */
long text_percent_decode(char *s, size_t len, bool plus_is_space);
void text_percent_encode(struct buf *b, const char *s, size_t len);

/* base64url without padding (RFC 4648 section 5). */
void text_base64url(struct buf *b, const void *p, size_t len);
bool text_base64url_decode(struct buf *b, const char *s, size_t len);
void text_hex(char *out, const void *p, size_t len); /* 2 * len + 1 bytes */

/* The nearest of n names within edit distance 3, or NULL. */
const char *text_nearest(const char *s, const char *const *names, size_t n);

bool text_has_prefix(const char *s, const char *prefix);
bool text_eq_nocase(const char *a, const char *b); /* ASCII only */

/* RFC 3339 UTC with six decimals from microseconds since 1970. */
#define TEXT_TIME_LEN 28
void text_time(char out[TEXT_TIME_LEN], int64_t us);
bool text_time_parse(const char *s, int64_t *us);

#endif
