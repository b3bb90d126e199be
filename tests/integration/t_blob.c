/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/pool.h"
#include "core/store/blob.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/* Bytes by content, in a folder and in both databases. */

#define OK(x) CU_ASSERT_EQUAL((x), AS_OK)

static void
blob_round_trip(struct blob_store *b)
{
	static const char bytes[] = "a\0b";
	char key[BLOB_KEY], again[BLOB_KEY], *out = NULL;
	size_t len = 0;

	OK(blob_put(b, env.store, bytes, sizeof(bytes), key, NULL));
	OK(blob_put(b, env.store, bytes, sizeof(bytes), again, NULL));
	CU_ASSERT_STRING_EQUAL(key, again);
	OK(blob_get(b, env.store, key, &out, &len, NULL));
	CU_ASSERT_EQUAL(len, sizeof(bytes));
	CU_ASSERT_TRUE(out != NULL && memcmp(out, bytes, len) == 0);
	free(out);
	key[0] = key[0] == 'a' ? 'b' : 'a';
	CU_ASSERT_EQUAL(blob_get(b, env.store, key, &out, &len, NULL),
	    AS_NOTFOUND);
	CU_ASSERT_EQUAL(blob_get(b, env.store, "../../etc/passwd", &out, &len,
			    NULL),
	    AS_NOTFOUND);
}

static void
blobs(void *arg)
{
	struct pool *pool = arg;
	char *dir = env_temp_dir();
	struct blob_store *b = blob_store_new(NULL, NULL);

	blob_round_trip(b);
	blob_store_free(b);
	b = blob_store_new(dir, pool);
	blob_round_trip(b);
	blob_store_free(b);
	env_remove(dir);
}

static void
test_blobs(void)
{
	struct pool *pool;

	if (!env_ready())
		return;
	pool = pool_new(1, 8);
	env_run(blobs, pool);
	pool_free(pool);
}

static void
damage(void *arg)
{
	struct pool *pool = arg;
	char *dir = env_temp_dir(), *path, *out, key[BLOB_KEY];
	struct blob_store *b = blob_store_new(dir, pool);
	size_t len;
	FILE *f;

	OK(blob_put(b, env.store, "precious", 8, key, NULL));
	path = xasprintf("%s/%.2s/%s", dir, key, key);
	f = fopen(path, "w");
	MUST(f != NULL && fputs("precioux", f) >= 0 && fclose(f) == 0);
	CU_ASSERT_EQUAL(blob_get(b, env.store, key, &out, &len, NULL),
	    AS_INTERNAL);
	CU_ASSERT_PTR_NULL(out);
	free(path);
	blob_store_free(b);
	env_remove(dir);
}

static void
test_damage(void)
{
	struct pool *pool;

	if (!env_ready())
		return;
	pool = pool_new(1, 8);
	env_run(damage, pool);
	pool_free(pool);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "put and get", test_blobs },
		{ "damage is found", test_damage },
		CU_TEST_INFO_NULL,
	};

	log_configure("error");
	return env_main("blob", tests, env_close);
}
