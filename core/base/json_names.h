/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_JSON_NAMES_H
#define CORE_BASE_JSON_NAMES_H

/*
 * The names of the objects that are being parsed: is there such a member
 * already?  Starts as {0}; one for all objects of a text.
 */

#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_tape;

struct json_names {
	struct json_name *slots;
	size_t n, n_max; /* n_max is a power of two */
	unsigned char secret[crypto_shorthash_KEYBYTES];
};

/*
 * The object at that index of the tape has len members, and the next node to
 * be added is another one with this key.  False: it has one of that name.
 */
bool json_names_add(struct json_names *names, const struct json_tape *t,
    size_t object, uint32_t len, const char *key, uint32_t key_len);
void json_names_free(struct json_names *names);

#endif
