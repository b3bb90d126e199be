/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_STORE_FILE_H
#define CORE_STORE_FILE_H

/*
 * Files of threads, in pieces in the database, so that each node has them.
 *
 * A file is written piece by piece and is there, whole, with its row: files_keep
 * is one transaction for all that a call has written.  Whoever fails before
 * that leaves pieces that nobody sees, and file_sweep removes.
 */

#include "core/base/hash.h"
#include "core/store/store.h"

struct json_object;

#define FILE_MAX ((int64_t)16 << 20) /* of one file */
#define FILE_PIECE ((size_t)256 << 10)
#define FILE_NAME_MAX 200 /* bytes */
#define FILE_THREAD_MAX ((int64_t)256 << 20) /* of all files of a thread */
#define FILE_USER_MAX ((int64_t)1 << 30) /* of a person, if nothing is said */
#define FILE_SWEEP_US ((int64_t)3600 * 1000000)

/* Whose it is, and who looks. */
struct file_scope {
	struct uuid tenant_id, thread_id;
	struct uuid user_id; /* only threads of this person; nil: not asked */
	struct uuid run_id; /* of new files; nil: uploaded */
	const char *call_key; /* the same; or NULL */
	int64_t user_max; /* bytes of all files of a person; 0: the default */
};

/* A file that is being written; from {0} by file_begin. */
struct file_writer {
	struct file_writer *next; /* the owner's */
	struct uuid id;
	char *name, *media_type;
	int64_t len;
	struct hash hash;
	char *tail; /* not written yet */
	size_t n_tail;
};

/* INVALID: not a name, or not a media type. */
enum as_status file_begin(struct file_writer *w, const char *name,
    const char *media_type, struct error *err);
SUSPENDS enum as_status file_add(struct store *store, struct file_writer *w,
    const void *p, size_t len, struct error *err);
/*
 * All of the list, with their rows; what an earlier attempt of the same call
 * has kept makes way.  LIMIT: the thread or its person has too much, and none
 * of the list is kept.  Of many who try at once, all that fit get in.
 */
SUSPENDS enum as_status files_keep(struct store *store,
    const struct file_scope *scope, struct file_writer *list,
    struct error *err);
void file_writer_clear(struct file_writer *w);

/* {id, name, media_type, length, ...}; NOT_FOUND also for what is not theirs. */
SUSPENDS enum as_status file_stat(struct store *store,
    const struct file_scope *scope, struct uuid id, struct json_object **out,
    struct error *err);
/* With its bytes; NOT_FOUND as file_stat. */
SUSPENDS enum as_status file_remove(struct store *store,
    const struct file_scope *scope, struct uuid id, struct error *err);
/* Up to max bytes from offset, malloc()ed; *len 0 at the end. */
SUSPENDS enum as_status file_read(struct store *store, struct uuid id,
    int64_t offset, size_t max, char **out, size_t *len, struct error *err);
/* Those of a thread, newest first, before the id `before` (nil: all). */
SUSPENDS enum as_status file_list(struct store *store,
    const struct file_scope *scope, struct uuid before, int64_t limit,
    struct json_object **out, struct error *err);
struct json_object *file_writer_json(const struct file_writer *w);

SUSPENDS enum as_status file_sweep(struct store *store, int64_t older_us,
    struct error *err);

#endif
