/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BUS_TOPICS_H
#define CORE_BUS_TOPICS_H

/*
 * A hash table by UUID.  The entry is the first member of what is kept, and
 * stays the caller's.  Starts as {0}.  One thread at a time.
 */

#include <stddef.h>

#include "core/base/uuid.h"

struct topic {
	struct topic *next;
	struct uuid id;
};

struct topics {
	struct topic **buckets;
	size_t n_buckets; /* a power of two */
	size_t n;
};

struct topic *topics_get(const struct topics *ts, struct uuid id);
void topics_add(struct topics *ts, struct topic *t); /* not there yet */
void topics_remove(struct topics *ts, struct topic *t);
void topics_fini(struct topics *ts); /* empty by now */

#endif
