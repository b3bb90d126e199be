/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PLUG_POINTER_H
#define CORE_PLUG_POINTER_H

#include <stdbool.h>
#include <stddef.h>

/* No name in a pointer is longer than 255 bytes. */
#define POINTER_TOKEN 256

/*
 * JSON Pointer (RFC 6901).  *pointer is at a slash; the token behind it, with
 * ~1 as a slash and ~0 as a tilde, is put into token, and *pointer moved to
 * the next slash or the end.  False: the token is too long.
 */
bool pointer_next(const char **pointer, char token[POINTER_TOKEN]);

/* What the token means in an array: digits without a leading zero. */
bool pointer_index(const char *token, size_t *index);

#endif
