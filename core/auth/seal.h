/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_AUTH_SEAL_H
#define CORE_AUTH_SEAL_H

/*
 * Secrets that have to be had back: sealed in the database, with keys that are
 * not in it (XChaCha20-Poly1305).
 *
 * Keys are 64 hex digits each, with blanks or line ends between; the first one
 * seals, all of them open.  They come from the setting auth.sealing_keys, or
 * from the file sealing.key of the data folder, which is made (mode 0600) if
 * there is neither.  Processes that share a database share the keys.  A key is
 * named by its id, the start of its SHA-256 in hex, which stands in the sealed
 * bytes and, where rows are looked for by it, in a column beside them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

struct buf;
struct seal;

#define SEAL_ID_TEXT 17 /* with the NUL */
#define SEAL_KEYS_MAX 8

/*
 * setting: as above, or "".  Without a file and `make`: none is made, and *out
 * is NULL.  Blocks; before loops run.
 */
enum as_status seal_new(const char *data_dir, const char *setting, bool make,
    struct seal **out, struct error *err);
void seal_free(struct seal *s); /* wipes the keys; NULL does nothing */

const char *seal_key_id(const struct seal *s); /* of the one that seals */
/* The i-th id, or NULL. */
const char *seal_key_at(const struct seal *s, int i);

/*
 * Appends the sealed bytes to out.  context is what they belong to, such as
 * "webhook" and a row's id: they open under the same one only.
 */
void seal_close(const struct seal *s, const void *context, size_t context_len,
    const void *p, size_t len, struct buf *out);
/*
 * The bytes again, appended to out; whoever has them wipes them.  False: no
 * such key, another context, or not what was sealed.
 */
bool seal_open(const struct seal *s, const void *context, size_t context_len,
    const void *box, size_t len, struct buf *out);

#endif
