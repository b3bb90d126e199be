/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_AUTH_KEY_FILE_H
#define CORE_AUTH_KEY_FILE_H

#include <stddef.h>

#include "core/base/error.h"

#define KEY_FILE_LEN 32 /* bytes of a key */

/*
 * A file of one random key, as a line of hex digits, that only its owner can
 * read.  It is complete and durable under its name, or not there at all; of
 * several who make it at once one wins, and for all of them this is AS_OK.
 * Blocks.
 */
enum as_status key_file_make(const char *dir, const char *name,
    struct error *err);
/*
 * Its text, size - 1 bytes at the most; whoever has it wipes it.  A file that
 * others can read is refused.  Blocks.
 */
enum as_status key_file_read(const char *path, char *text, size_t size,
    struct error *err);

#endif
