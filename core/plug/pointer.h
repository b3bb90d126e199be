/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PLUG_POINTER_H
#define CORE_PLUG_POINTER_H

#include <stdbool.h>

struct json_object;

/*
 * JSON Pointer (RFC 6901), for pointers that begin with a slash.  True: there
 * is a value, and *out is it, borrowed; a value null is NULL.
 */
bool pointer_get(struct json_object *o, const char *pointer,
    struct json_object **out);

#endif
