/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/loop/loop.h"
#include "core/plug/serve.h"
#include "core/store/guest.h"
#include "tests/integration/plug_env.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/*
 * The services as a plugin meets them: whether it runs on the caller's fiber,
 * at home, on the pool or behind bytes, the same script gives the same answers.
 */

#define CONF \
	"plugins : { toolkit_services : { }; toolkit_serviceshome : { };\n" \
	"toolkit_servicespool : { }; toolkit_servicesno : { }; };\n"

static struct store *store;

static const char *const places[] = { "services_play", "serviceshome_play",
	"servicespool_play", NULL };

/* ---- Binding ------------------------------------------------------- */

static SUSPENDS enum as_status
bind_db(void *arg, const char *plugin, int kind, struct json_object *texts,
    struct json_object *params, struct json_object **rows, int64_t *changed,
    struct error *err)
{
	const char *list[64];
	struct guest_call call = { .kind = (enum guest_kind)kind,
		.name = plugin,
		.texts = list,
		.params = params };

	(void)arg;
	call.n_texts = (int)json_object_array_length(texts);
	MUST(call.n_texts <= 64);
	for (int i = 0; i < call.n_texts; i++)
		list[i] = json_object_get_string(
		    json_object_array_get_idx(texts, (size_t)i));
	return guest_run(store, &call, rows, changed, err);
}

static void
bind_more(struct plug_services *services, struct loop *loop)
{
	if (services == NULL) {
		store_free(store);
		store = NULL;
		return;
	}
	store = store_new(env.db, loop);
	services->db = bind_db;
}

/* ---- Playing ------------------------------------------------------- */

/* What the script gives there: JSON, or "status: why". */
static SUSPENDS char *
play(struct plug_env *p, const char *tool, const char *steps)
{
	char *args = xasprintf("{\"steps\":[%s]}", steps), *text = NULL;
	struct error err = { 0 };
	enum as_status st = plug_env_tool(p, tool, args, &text, &err);

	if (st != AS_OK)
		text = xasprintf("%d: %s", (int)st, err.detail);
	error_clear(&err);
	free(args);
	return text;
}

/* At each place the same. */
static SUSPENDS void
plays(struct plug_env *p, const char *steps, const char *want)
{
	char *text;
	int i;

	for (i = 0; places[i] != NULL; i++) {
		text = play(p, places[i], steps);
		CU_ASSERT_STRING_EQUAL(text, want);
		if (strcmp(text, want) != 0)
			tap_note("%s: %s", places[i], text);
		free(text);
	}
}

static SUSPENDS void
is_forbidden(struct plug_env *p, const char *step, const char *word)
{
	char *text = play(p, "servicesno_play", step);
	char *want = xasprintf(".grants do not have \\\"%s\\\"", word);

	CU_ASSERT_PTR_NOT_NULL(strstr(text, want));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"st\":3"));
	if (strstr(text, want) == NULL)
		tap_note("%s", text);
	free(want);
	free(text);
}

/* ---- Tables -------------------------------------------------------- */

static SUSPENDS void
body_db(struct plug_env *p)
{
	CU_ASSERT_EQUAL_FATAL(p->loaded, AS_OK);
	plays(p,
	    "{\"op\":\"migrate\",\"steps\":[\"CREATE TABLE {}t (id BIGINT "
	    "PRIMARY KEY, s TEXT, b BOOLEAN)\"]},"
	    "{\"op\":\"exec\",\"sql\":\"INSERT INTO {}t VALUES ($1, $2, $3)\","
	    "\"params\":[1,\"\\u00e4\",true]},"
	    "{\"op\":\"exec\",\"sql\":\"INSERT INTO {}t VALUES (2, $1, $2)\","
	    "\"params\":[null,false]},"
	    "{\"op\":\"query\",\"sql\":\"SELECT * FROM {}t ORDER BY id\"}",
	    "[{\"st\":0},{\"changed\":1,\"st\":0},"
	    "{\"changed\":1,\"st\":0},{\"rows\":[{\"id\":1,\"s\":\"\xc3\xa4\","
	    "\"b\":true},{\"id\":2,\"s\":null,\"b\":false}],\"st\":0}]");
	/* Now that there are rows, each place sees those of its plugin. */
	plays(p,
	    "{\"op\":\"exec\",\"sql\":\"UPDATE {}t SET s = 'x'\"},"
	    "{\"op\":\"exec\",\"sql\":\"COMMIT\"},"
	    "{\"op\":\"exec\",\"sql\":\"DELETE FROM {}t\"},"
	    "{\"op\":\"query\",\"sql\":\"SELECT 1\",\"params\":{}}",
	    "[{\"changed\":2,\"st\":0},"
	    "{\"changed\":0,\"st\":3,\"why\":\"a plugin has no such statement "
	    "in: COMMIT\"},"
	    "{\"changed\":2,\"st\":0},"
	    "{\"st\":1,\"why\":\"the parameters of a statement are an "
	    "array\"}]");
	is_forbidden(p, "{\"op\":\"query\",\"sql\":\"SELECT 1\"}", "db");
}

/* ---- Suites -------------------------------------------------------- */

static void
run_everywhere(void (*body)(struct plug_env *p))
{
	if (!env_ready())
		return;
	plug_env_more = bind_more;
	plug_env_run(CONF, 0, body);
	plug_env_run(CONF, ENV_LOOPBACK, body);
	plug_env_run(CONF, ENV_HOME_ELSEWHERE, body);
	plug_env_more = NULL;
}

static void
test_db(void)
{
	run_everywhere(body_db);
}

static CU_TestInfo tests[] = {
	{ "db", test_db },
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	CU_SuiteInfo suites[] = {
		{ "services on sqlite", env_sqlite_open, env_close, NULL, NULL,
		    tests },
		{ "services on postgres", env_postgres_open, env_close, NULL,
		    NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
