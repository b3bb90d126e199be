/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/plug/unit.h"
#include "tests/integration/plug_env.h"
#include "tests/tap.h"

/*
 * Calls of models: what they say, and what is made of it, wherever the plugin
 * runs.
 */

struct heard {
	char text[256];
	char args[64];
	char id[64];
	int ends;
};

static enum as_status
hear(void *arg, const struct as_delta *d)
{
	struct heard *h = arg;

	if (d->type == AS_DELTA_TEXT)
		strncat(h->text, d->text, d->len);
	else if (d->type == AS_DELTA_ARGS)
		strncat(h->args, d->text, d->len);
	else if (d->type == AS_DELTA_TOOL)
		snprintf(h->id, sizeof(h->id), "%s", d->id);
	else if (d->type == AS_DELTA_END)
		h->ends++;
	return AS_OK;
}

static void
body_chat(struct plug_env *env)
{
	static const char *const models[] = { "probe/x", "home/x", "pool/x" };
	struct json_object *messages = jarr();
	struct plug_chat_end end;
	struct error err = { 0 };
	size_t i;

	for (i = 0; i < 3; i++) {
		struct heard h = { 0 };
		struct plug_sink sink = { .arg = &h, .delta = hear };

		CU_ASSERT_EQUAL(plug_chat(env->plug, &env->who, models[i],
				    messages, NULL, NULL, &sink, &end, &err),
		    AS_OK);
		CU_ASSERT_STRING_EQUAL(h.text,
		    "h\xc3\xa4\xe2\x82\xac!\xef\xbf\xbd");
		CU_ASSERT_STRING_EQUAL(h.args, "{\"a\":1}");
		CU_ASSERT_EQUAL(strncmp(h.id, "call_", 5), 0);
		CU_ASSERT_EQUAL(h.ends, 1);
		CU_ASSERT_EQUAL(end.why, AS_END_TOOLS);
		CU_ASSERT_EQUAL(end.input, 3);
		CU_ASSERT_EQUAL(end.cached, -1);
	}
	CU_ASSERT_EQUAL(plug_chat(env->plug, &env->who, "probe/broken",
			    messages, NULL, NULL, NULL, &end, &err),
	    AS_UPSTREAM);
	CU_ASSERT(tap_has(err.detail, "ended before the answer"));
	CU_ASSERT_EQUAL(plug_chat(env->plug, &env->who, "pool/orphan", messages,
			    NULL, NULL, NULL, &end, &err),
	    AS_UPSTREAM);
	CU_ASSERT(tap_has(err.detail, "arguments of no tool call"));
	error_clear(&err);
	json_object_put(messages);
}

static void
test_chat(void)
{
	plug_env_run(PLUG_ENV_PROBES, 0, body_chat);
	plug_env_run(PLUG_ENV_PROBES, ENV_HOME_ELSEWHERE, body_chat);
	plug_env_run(PLUG_ENV_PROBES, ENV_LOOPBACK, body_chat);
	plug_env_run(PLUG_ENV_PROBES, ENV_ISOLATED, body_chat);
}

static void
body_embed(struct plug_env *env)
{
	static const char *const texts[] = { "a", "bb", "ccc", "dddd", "e" };
	struct error err = { 0 };
	float *v;
	uint32_t dim, i;

	CU_ASSERT_EQUAL_FATAL(plug_embed(env->plug, &env->who, "pool/e", texts,
				  5, true, &v, &dim, &err),
	    AS_OK);
	CU_ASSERT_EQUAL(dim, 3);
	for (i = 0; i < 5; i++) {
		CU_ASSERT_DOUBLE_EQUAL(v[i * 3], strlen(texts[i]), 0);
		CU_ASSERT(v[i * 3 + 1] == 0.1f && v[i * 3 + 2] == 1.0f);
	}
	free(v);
	CU_ASSERT_EQUAL(plug_embed(env->plug, &env->who, "home/e", NULL, 0,
			    false, &v, &dim, &err),
	    AS_LIMIT);
	error_clear(&err);
}

static void
test_embed(void)
{
	plug_env_run(PLUG_ENV_PROBES, 0, body_embed);
	plug_env_run(PLUG_ENV_PROBES, ENV_LOOPBACK, body_embed);
	plug_env_run(PLUG_ENV_PROBES, ENV_ISOLATED, body_embed);
}

static void
body_models(struct plug_env *env)
{
	char full[64];

	CU_ASSERT(plug_model_resolve(env->plug, NULL, full, sizeof(full)));
	CU_ASSERT_STRING_EQUAL(full, "demo/demo");
	CU_ASSERT(plug_model_find(env->plug, full)->is_default);
	CU_ASSERT_EQUAL(plug_model_find(env->plug, full)->window, 8192);
	CU_ASSERT_EQUAL(plug_model_find(env->plug, "demo/demo-embedding")->dim,
	    64);
	CU_ASSERT(plug_model_resolve(env->plug, "demo", full, sizeof(full)));
	CU_ASSERT_STRING_EQUAL(full, "demo/demo");
	/* It names its models, and this is none of them. */
	CU_ASSERT_FALSE(
	    plug_model_resolve(env->plug, "demo/x", full, sizeof(full)));
	/* This one names none, so any goes; slashes belong to the model. */
	CU_ASSERT(
	    plug_model_resolve(env->plug, "probe/a/b", full, sizeof(full)));
	CU_ASSERT_STRING_EQUAL(full, "probe/a/b");
	CU_ASSERT_FALSE(
	    plug_model_resolve(env->plug, "nobody/x", full, sizeof(full)));
	CU_ASSERT_FALSE(plug_model_resolve(env->plug, "demo/demo", full, 5));
}

static void
test_models(void)
{
	plug_env_run(PLUG_ENV_PROBES, 0, body_models);
	plug_env_run(PLUG_ENV_PROBES, ENV_ISOLATED, body_models);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "chat", test_chat },
		{ "embeddings", test_embed },
		{ "models", test_models },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "plug llm", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
