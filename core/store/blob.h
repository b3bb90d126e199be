/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_STORE_BLOB_H
#define CORE_STORE_BLOB_H

/*
 * Bytes by content: the key is the lower-case hex SHA-256 of the bytes, so
 * putting twice is harmless and what is read is checked.  Kept in a folder
 * (written to a temporary name, synced, renamed) or in the table blobs.
 */

#include "core/store/store.h"

#define BLOB_KEY 65
#define BLOB_MAX (8 * 1024 * 1024)

struct blob_store;

/* dir NULL: in the database. */
struct blob_store *blob_store_new(const char *dir, struct pool *pool);
void blob_store_free(struct blob_store *b);

SUSPENDS enum as_status blob_put(struct blob_store *b, struct store *store,
    const void *p, size_t len, char key[BLOB_KEY], struct error *err);
/* *out is malloc()ed and NUL-terminated beyond *len. */
SUSPENDS enum as_status blob_get(struct blob_store *b, struct store *store,
    const char *key, char **out, size_t *len, struct error *err);

#endif
