/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/kv.h"

#include "core/base/json.h"
#include "core/base/mem.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/* What plugins keep: versions, conditions, ends; on both databases. */

static const struct kv_key key = { "toolkit_t", 1, "owner", "name" };
static struct error err;

/* Writes the number n; 0 deletes. */
static SUSPENDS enum as_status
put_at(const struct kv_key *k, int64_t n, int64_t ttl_ms, int64_t if_version)
{
	struct json_object *o = n != 0 ? json_object_new_int64(n) : NULL;
	enum as_status st;

	error_clear(&err);
	st = kv_put(env.store, k, o, ttl_ms, if_version, &err);
	json_object_put(o);
	return st;
}

static SUSPENDS enum as_status
put(int64_t n, int64_t if_version)
{
	return put_at(&key, n, 0, if_version);
}

/* The number there and its version; 0 and 0: none. */
static SUSPENDS int64_t
get_at(const struct kv_key *k, int64_t *version)
{
	struct json_object *o = NULL;
	enum as_status st;
	int64_t n;

	*version = 0;
	error_clear(&err);
	st = kv_get(env.store, k, &o, version, &err);
	CU_ASSERT_TRUE(st == AS_OK || st == AS_NOTFOUND);
	n = o != NULL ? json_object_get_int64(o) : 0;
	json_object_put(o);
	return n;
}

static SUSPENDS void
assert_there(int64_t n, int64_t version)
{
	int64_t v;

	CU_ASSERT_EQUAL(get_at(&key, &v), n);
	CU_ASSERT_EQUAL(v, version);
}

static SUSPENDS void
expire(void)
{
	MUST(store_db_run(env.db, "UPDATE plugin_kv SET expires_at = 1", NULL,
		 0, NULL, NULL) == AS_OK);
}

static SUSPENDS void
versions(void *arg)
{
	(void)arg;
	assert_there(0, 0);
	CU_ASSERT_EQUAL(put(1, 3), AS_CONFLICT);
	CU_ASSERT_EQUAL(put(1, 0), AS_OK);
	assert_there(1, 1);
	CU_ASSERT_EQUAL(put(2, 0), AS_CONFLICT);
	CU_ASSERT_EQUAL(put(2, 1), AS_OK);
	CU_ASSERT_EQUAL(put(3, 1), AS_CONFLICT);
	assert_there(2, 2);
	CU_ASSERT_EQUAL(put(4, -1), AS_OK);
	assert_there(4, 3);
	CU_ASSERT_EQUAL(put(0, 1), AS_CONFLICT);
	assert_there(4, 3);
	CU_ASSERT_EQUAL(put(0, 3), AS_OK);
	assert_there(0, 0);
	CU_ASSERT_EQUAL(put(0, -1), AS_OK); /* what is not there is gone */
	CU_ASSERT_EQUAL(put(5, -1), AS_OK);
	assert_there(5, 1);
	CU_ASSERT_EQUAL(put(0, -1), AS_OK);
}

static SUSPENDS void
ends(void *arg)
{
	static const int64_t forever[] = { 0, -1, INT64_MAX };

	(void)arg;
	CU_ASSERT_EQUAL(put_at(&key, 1, 3600000, -1), AS_OK);
	assert_there(1, 1);
	expire();
	assert_there(0, 0);
	CU_ASSERT_EQUAL(put(2, 1), AS_CONFLICT); /* it does not exist */
	CU_ASSERT_EQUAL(put(2, 0), AS_OK);
	assert_there(2, 2);
	for (int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(put_at(&key, 3, forever[i], -1), AS_OK);
		assert_there(3, 3 + i);
	}
	CU_ASSERT_EQUAL(put(0, -1), AS_OK);
}

/* Nothing of one plugin, scope, owner or key is another's. */
static SUSPENDS void
apart(void *arg)
{
	const struct kv_key all[] = { key, { "toolkit_u", 1, "owner", "name" },
		{ "toolkit_t", 2, "owner", "name" },
		{ "toolkit_t", 1, "", "name" },
		{ "toolkit_t", 1, "owner", "Name" } };
	int64_t version;

	(void)arg;
	for (int i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(put_at(&all[i], i + 1, 0, 0), AS_OK);
	for (int i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(get_at(&all[i], &version), i + 1);
	CU_ASSERT_EQUAL(put(0, -1), AS_OK);
	for (int i = 1; i < 5; i++)
		CU_ASSERT_EQUAL(get_at(&all[i], &version), i + 1);
}

static void
test_versions(void)
{
	if (env_ready())
		env_run(versions, NULL);
}

static void
test_ends(void)
{
	if (env_ready())
		env_run(ends, NULL);
}

static void
test_apart(void)
{
	if (env_ready())
		env_run(apart, NULL);
}

static int
close_all(void)
{
	error_clear(&err);
	return env_close();
}

static CU_TestInfo tests[] = {
	{ "versions", test_versions },
	{ "ends", test_ends },
	{ "apart", test_apart },
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return env_main("kv", tests, close_all);
}
