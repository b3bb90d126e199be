/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_STORE_KV_H
#define CORE_STORE_KV_H

/*
 * Named JSON values with a version and, if wanted, an end: what plugins keep.
 * A value whose time is over does not exist.
 */

#include "core/store/store.h"

struct json_object;

struct kv_key {
	const char *plugin;
	int scope;
	const char *owner; /* "" for the plugin itself */
	const char *key;
};

/* NOT_FOUND if there is none.  The caller puts *out. */
SUSPENDS enum as_status kv_get(struct store *store, const struct kv_key *key,
    struct json_object **out, int64_t *version, struct error *err);

/*
 * value NULL deletes; ttl_ms 0 keeps for ever.  if_version -1 writes whatever
 * there is; 0 wants that there is none; n > 0 that version.  CONFLICT if not.
 */
SUSPENDS enum as_status kv_put(struct store *store, const struct kv_key *key,
    struct json_object *value, int64_t ttl_ms, int64_t if_version,
    struct error *err);

#endif
