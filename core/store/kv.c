/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/kv.h"

#include <string.h>

#include "core/base/json.h"

/* One statement an operation; see kv.h. */

/* A time beyond this is no end: 100 years, far from any overflow. */
#define TTL_MAX_MS (INT64_C(100) * 366 * 86400 * 1000)

#define KV_ROW "plugin = $1 AND scope = $2 AND owner = $3 AND key = $4"
#define KV_ALIVE "(expires_at IS NULL OR expires_at > now_us())"
#define KV_INSERT \
	"INSERT INTO plugin_kv (plugin, scope, owner, key, value, expires_at," \
	" updated_at) VALUES ($1, $2, $3, $4, $5, CASE WHEN $6 > 0" \
	" THEN now_us() + $6 ELSE NULL END, now_us())" \
	" ON CONFLICT (plugin, scope, owner, key) DO UPDATE SET" \
	" value = excluded.value, expires_at = excluded.expires_at," \
	" updated_at = excluded.updated_at, version = plugin_kv.version + 1"

SQL(KV_GET,
    "SELECT value, version FROM plugin_kv WHERE " KV_ROW " AND " KV_ALIVE);

/* Whatever is there. */
SQL(KV_SET, KV_INSERT);

/* Only where nothing is, or nothing that is still alive. */
SQL(KV_ADD, KV_INSERT " WHERE plugin_kv.expires_at <= now_us()");

SQL(KV_SWAP,
    "UPDATE plugin_kv SET value = $5, expires_at = CASE WHEN $6 > 0"
    " THEN now_us() + $6 ELSE NULL END, updated_at = now_us(),"
    " version = version + 1 WHERE " KV_ROW " AND version = $7 AND " KV_ALIVE);

SQL(KV_DELETE,
    "DELETE FROM plugin_kv WHERE " KV_ROW " AND ($5 < 0 OR version = $5)");

SUSPENDS enum as_status
kv_get(struct store *store, const struct kv_key *key, struct json_object **out,
    int64_t *version, struct error *err)
{
	struct sql_arg args[] = { SQL_TEXT(key->plugin), SQL_INT(key->scope),
		SQL_TEXT(key->owner), SQL_TEXT(key->key) };
	struct rows *r = NULL;
	const char *text;
	enum as_status st;

	*out = NULL;
	st = store_query(store, &KV_GET, args, 4, &r, err);
	if (st == AS_OK && rows_count(r) == 0)
		st = error_not_found(err, "value", key->key);
	if (st == AS_OK) {
		text = rows_text(r, 0, 0);
		*version = rows_int(r, 0, 1);
		st = json_parse(text, strlen(text), out, err);
	}
	rows_free(r);
	return st;
}

static SUSPENDS enum as_status
kv_exec(struct store *store, struct sql *sql, const struct sql_arg *args, int n,
    bool must_touch, const char *key, struct error *err)
{
	struct rows *r = NULL;
	enum as_status st = store_exec(store, sql, args, n, &r, err);

	if (st == AS_OK && must_touch && rows_affected(r) == 0)
		st = error_set(err, ERR_CONFLICT, "'%s' has changed", key);
	rows_free(r);
	return st;
}

SUSPENDS enum as_status
kv_put(struct store *store, const struct kv_key *key, struct json_object *value,
    int64_t ttl_ms, int64_t if_version, struct error *err)
{
	struct sql_arg args[7] = { SQL_TEXT(key->plugin), SQL_INT(key->scope),
		SQL_TEXT(key->owner), SQL_TEXT(key->key) };

	if (value == NULL) {
		args[4] = SQL_INT(if_version);
		return kv_exec(store, &KV_DELETE, args, 5, if_version > 0,
		    key->key, err);
	}
	args[4] = SQL_TEXT(json_text(value));
	args[5] = SQL_INT(
	    ttl_ms > 0 && ttl_ms <= TTL_MAX_MS ? ttl_ms * 1000 : 0);
	args[6] = SQL_INT(if_version);
	if (if_version < 0)
		return kv_exec(store, &KV_SET, args, 6, false, key->key, err);
	if (if_version == 0)
		return kv_exec(store, &KV_ADD, args, 6, true, key->key, err);
	return kv_exec(store, &KV_SWAP, args, 7, true, key->key, err);
}
