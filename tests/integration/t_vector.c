/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "tests/integration/plug_env.h"
#include "tests/tap.h"

/* Vector stores through the host, with vector_memory behind it. */

static const struct plug_collection cosine = { .name = "texts",
	.dim = 3,
	.metric = AS_COSINE };

static struct error err;

static bool
has(const char *part)
{
	bool ok = strstr(err.detail, part) != NULL;

	if (!ok)
		tap_note("'%s' is not in '%s'", part, err.detail);
	error_clear(&err);
	return ok;
}

static struct json_object *
json(const char *text)
{
	struct json_object *o = NULL;

	(void)json_parse(text, strlen(text), &o, NULL);
	return o;
}

/* Four rows, none of length 1. */
static enum as_status
put_four(struct plug_env *env, const struct plug_collection *c)
{
	static const char *const ids[] = { "d", "a", "c", "b" };
	static const float vectors[] = { 0, 0, 5, 2, 0, 0, 3, 4, 0, 0, 0.1f,
		0 };
	struct json_object *metas[] = { NULL,
		json("{\"owner\":\"u1\",\"page\":1}"),
		json("{\"owner\":\"u2\",\"page\":5}"),
		json("{\"owner\":\"u1\",\"page\":9}") };
	struct plug_rows rows = { .n = 4,
		.ids = ids,
		.vectors = vectors,
		.metas = metas };
	enum as_status st = plug_vector_put(env->plug, &env->who, NULL, c,
	    &rows, &err);

	for (int i = 0; i < 4; i++)
		json_object_put(metas[i]);
	return st;
}

/* "a 1.00 {...}, c 0.60 {...}" */
static const char *
found(struct plug_env *env, const struct plug_collection *c,
    struct plug_query q, const char *filter)
{
	static char text[400];
	struct plug_hit *hits = NULL;
	uint32_t n = 0;
	size_t len = 0;

	q.filter = filter != NULL ? json(filter) : NULL;
	text[0] = '\0';
	if (plug_vector_search(env->plug, &env->who, NULL, c, &q, &hits, &n,
		&err) != AS_OK)
		snprintf(text, sizeof(text), "%s", error_name(err.code));
	for (uint32_t i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    "%s%s %.2f", i > 0 ? ", " : "", hits[i].id,
		    hits[i].score + 1e-9);
	plug_hits_free(hits, n);
	json_object_put(q.filter);
	return text;
}

static const float along[] = { 10, 0, 0 };

static void
check_search(struct plug_env *env)
{
	struct plug_query q = { .vector = along, .limit = 10 };
	struct plug_hit *hits;
	uint32_t n;

	CU_ASSERT_STRING_EQUAL(found(env, &cosine, q, NULL),
	    "a 1.00, c 0.60, b 0.00, d 0.00");
	q.limit = 2;
	CU_ASSERT_STRING_EQUAL(found(env, &cosine, q, NULL), "a 1.00, c 0.60");
	/* The filter is in the search: two hits are two that pass. */
	CU_ASSERT_STRING_EQUAL(found(env, &cosine, q, "{\"owner\":\"u1\"}"),
	    "a 1.00, b 0.00");
	CU_ASSERT_STRING_EQUAL(found(env, &cosine, q,
				   "{\"page\":{\"gte\":5,\"lt\":9}}"),
	    "c 0.60");
	CU_ASSERT_STRING_EQUAL(found(env, &cosine, q,
				   "{\"owner\":{\"in\":[\"u3\"]}}"),
	    "");
	q.min_score = 0.5;
	q.limit = 4;
	CU_ASSERT_STRING_EQUAL(found(env, &cosine, q, NULL), "a 1.00, c 0.60");
	CU_ASSERT_EQUAL(plug_vector_search(env->plug, NULL, "memory", &cosine,
			    &q, &hits, &n, &err),
	    AS_OK);
	CU_ASSERT_EQUAL_FATAL(n, 2);
	CU_ASSERT_STRING_EQUAL(json_text(hits[0].meta),
	    "{\"owner\":\"u1\",\"page\":1}");
	plug_hits_free(hits, n);
}

static void
check_changes(struct plug_env *env)
{
	static const char *const gone[] = { "a", "nobody" };
	static const char *const again[] = { "c" };
	static const float other[] = { 0, 0, 1 };
	struct plug_rows rows = { .n = 1, .ids = again, .vectors = other };
	struct plug_query q = { .vector = along, .limit = 10 };

	CU_ASSERT_EQUAL(plug_vector_remove(env->plug, &env->who, NULL, &cosine,
			    gone, 2, &err),
	    AS_OK);
	CU_ASSERT_EQUAL(plug_vector_put(env->plug, &env->who, NULL, &cosine,
			    &rows, &err),
	    AS_OK);
	CU_ASSERT_STRING_EQUAL(found(env, &cosine, q, NULL),
	    "b 0.00, c 0.00, d 0.00");
	CU_ASSERT_EQUAL(plug_vector_drop(env->plug, &env->who, NULL, &cosine,
			    &err),
	    AS_OK);
	CU_ASSERT_STRING_EQUAL(found(env, &cosine, q, NULL), "NOT_FOUND");
	CU_ASSERT(has("no collection texts"));
}

static void
check_euclid(struct plug_env *env)
{
	struct plug_collection c = { .name = "points",
		.dim = 3,
		.metric = AS_EUCLID };
	struct plug_query q = { .vector = along,
		.limit = 2,
		.min_score = -DBL_MAX };

	CU_ASSERT_EQUAL(plug_vector_create(env->plug, NULL, NULL, &c, &err),
	    AS_OK);
	CU_ASSERT_EQUAL(put_four(env, &c), AS_OK);
	CU_ASSERT_STRING_EQUAL(found(env, &c, q, NULL), "a -8.00, c -8.06");
}

static void
check_dot(struct plug_env *env)
{
	struct plug_collection c = { .name = "dots",
		.dim = 3,
		.metric = AS_DOT };
	struct plug_query q = { .vector = along, .limit = 2 };

	CU_ASSERT_EQUAL(plug_vector_create(env->plug, NULL, NULL, &c, &err),
	    AS_OK);
	CU_ASSERT_EQUAL(put_four(env, &c), AS_OK);
	CU_ASSERT_STRING_EQUAL(found(env, &c, q, NULL), "c 30.00, a 20.00");
}

static void
body_store(struct plug_env *env)
{
	CU_ASSERT_EQUAL_FATAL(env->loaded, AS_OK);
	CU_ASSERT_STRING_EQUAL(plug_vector_store(env->plug, 0), "memory");
	CU_ASSERT_PTR_NULL(plug_vector_store(env->plug, 1));
	CU_ASSERT_EQUAL(plug_vector_create(env->plug, &env->who, NULL, &cosine,
			    &err),
	    AS_OK);
	CU_ASSERT_EQUAL(plug_vector_create(env->plug, &env->who, NULL, &cosine,
			    &err),
	    AS_OK);
	CU_ASSERT_EQUAL(put_four(env, &cosine), AS_OK);
	check_search(env);
	check_changes(env);
	check_euclid(env);
	check_dot(env);
}

static const char
    conf[] = "plugins : { vector_memory : { max_rows = 100; }; };\n";

static void
test_store(void)
{
	plug_env_run(conf, 0, body_store);
	plug_env_run(conf, ENV_LOOPBACK, body_store);
	plug_env_run(conf, ENV_HOME_ELSEWHERE, body_store);
	plug_env_run(conf, ENV_ISOLATED, body_store);
}

static void
body_bad(struct plug_env *env)
{
	struct plug_collection c = cosine;
	struct plug_query q = { .vector = along, .limit = 1 };
	const char *const ids[] = { "x" };
	float v[] = { 0, 0, 0 };
	struct plug_rows rows = { .n = 1, .ids = ids, .vectors = v };
	const char *const none[] = { "" };

	CU_ASSERT_EQUAL(plug_vector_create(env->plug, NULL, NULL, &c, &err),
	    AS_OK);
	c.dim = 4;
	CU_ASSERT_EQUAL(plug_vector_create(env->plug, NULL, NULL, &c, &err),
	    AS_CONFLICT);
	CU_ASSERT(has("vectors of 3 components, not 4"));
	c.dim = 0;
	CU_ASSERT_EQUAL(plug_vector_create(env->plug, NULL, NULL, &c, &err),
	    AS_INVALID);
	CU_ASSERT(has("1 to 16384 components"));
	c.dim = 3;
	c.name = "Bad-Name";
	CU_ASSERT_EQUAL(plug_vector_create(env->plug, NULL, NULL, &c, &err),
	    AS_INVALID);
	CU_ASSERT(has("'Bad-Name'"));
	CU_ASSERT_EQUAL(plug_vector_put(env->plug, NULL, NULL, &cosine, &rows,
			    &err),
	    AS_INVALID);
	CU_ASSERT(has("it is zero"));
	v[1] = NAN;
	CU_ASSERT_EQUAL(plug_vector_put(env->plug, NULL, NULL, &cosine, &rows,
			    &err),
	    AS_INVALID);
	CU_ASSERT(has("not finite"));
	v[1] = 1;
	rows.ids = none;
	CU_ASSERT_EQUAL(plug_vector_put(env->plug, NULL, NULL, &cosine, &rows,
			    &err),
	    AS_INVALID);
	CU_ASSERT(has("an id has"));
	q.limit = 0;
	CU_ASSERT_STRING_EQUAL(found(env, &cosine, q, NULL), "BAD_REQUEST");
	error_clear(&err);
	CU_ASSERT_EQUAL(plug_vector_create(env->plug, NULL, "nobody", &cosine,
			    &err),
	    AS_NOTFOUND);
	CU_ASSERT(has("nobody"));
}

static void
test_bad(void)
{
	plug_env_run(conf, 0, body_bad);
}

/* More than one call takes, and more than the store takes. */
static void
body_full(struct plug_env *env)
{
	struct plug_collection c = { .name = "wide",
		.dim = 16384,
		.metric = AS_DOT };
	char names[300][16];
	const char *ids[300];
	float *v = calloc((size_t)300 * c.dim, sizeof(*v));
	struct plug_rows rows = { .n = 300, .ids = ids, .vectors = v };
	struct plug_query q = { .vector = v + (size_t)299 * c.dim,
		.limit = 3,
		.min_score = 0.5 };

	for (int i = 0; i < 300; i++) {
		snprintf(names[i], sizeof(names[i]), "r%d", i);
		ids[i] = names[i];
		v[(size_t)i * c.dim + (size_t)i] = 1;
	}
	CU_ASSERT_EQUAL(plug_vector_create(env->plug, NULL, NULL, &c, &err),
	    AS_OK);
	CU_ASSERT_EQUAL(plug_vector_put(env->plug, NULL, NULL, &c, &rows, &err),
	    AS_OK);
	CU_ASSERT_STRING_EQUAL(found(env, &c, q, NULL), "r299 1.00");
	ids[299] = "one more";
	CU_ASSERT_EQUAL(plug_vector_put(env->plug, NULL, NULL, &c, &rows, &err),
	    AS_LIMIT);
	CU_ASSERT(has("max_rows = 300"));
	free(v);
}

static void
test_full(void)
{
	plug_env_run("plugins : { vector_memory : { max_rows = 300; }; };\n",
	    ENV_LOOPBACK, body_full);
}

static void
body_none(struct plug_env *env)
{
	CU_ASSERT_EQUAL(plug_vector_create(env->plug, NULL, NULL, &cosine,
			    &err),
	    AS_UNSUPPORTED);
	CU_ASSERT(has("no plugin is a vector store"));
}

static void
test_none(void)
{
	plug_env_run("plugins : { llm_demo : { }; };\n", 0, body_none);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "rows, filters, metrics", test_store },
		{ "what is refused", test_bad },
		{ "many rows, and too many", test_full },
		{ "no store", test_none },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "vector", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	log_configure("error,plugin=error");
	return tap_run(suites);
}
