/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INTEGRATION_PLUG_ENV_H
#define TESTS_INTEGRATION_PLUG_ENV_H

/*
 * A plugin host for tests: a configuration in text, kept values in memory, a
 * pool, an HTTP client, and a server of a few paths on 127.0.0.1.  The body of
 * a test runs on a fiber of the calling thread's loop; the home loop of the
 * plugins is the same, or another thread's.
 */

#include <stdbool.h>

#include "core/base/json.h"
#include "core/plug/plug.h"

struct conf;

struct plug_env {
	struct conf *conf;
	struct plug *plug;
	struct loop *loop;
	struct plug_caller who;
	enum as_status loaded; /* what plug_new said */
	int port; /* of the server */
	const char *text; /* what a reload reads; the test may change it */
};

/* What few tests ask for; all zero is the default. */
struct plug_env_limits {
	const char *dir; /* searched for plugins before the others */
	int64_t generations, grace_ms;
};
extern struct plug_env_limits plug_env_limits;

/* The probe in each place, again under another name, and a model. */
#define PLUG_ENV_PROBES \
	"plugins : {\n" \
	"  toolkit_probe : { base_url = \"http://127.0.0.1:%d/\"; };\n" \
	"  toolkit_home : { base_url = \"http://127.0.0.1:%d\"; };\n" \
	"  toolkit_pool : { base_url = \"HTTP://127.0.0.1:%d/x\"; };\n" \
	"  toolkit_second : { plugin = \"toolkit_probe\"; number = 9; };\n" \
	"  llm_demo : { enabled = \"auto\"; };\n" \
	"};\n"

#define ENV_HOME_ELSEWHERE 1u
#define ENV_LOOPBACK 2u
#define ENV_ISOLATED 4u /* each plugin in a process of its own */
#define ENV_PATIENT 8u /* which may compute for long */

/* Text of the configuration; "%d" in it is the server's port. */
void plug_env_run(const char *conf, unsigned flags,
    void (*body)(struct plug_env *env));

/*
 * What a test binds besides: called when the loop is there and before plugins
 * are loaded, and again, with NULL, when the loop has ended.
 */
extern void (*plug_env_more)(struct plug_services *services, struct loop *loop);

/* The text of problem i, or "". */
const char *plug_env_problem(struct plug_env *env, size_t i);
/* Calls a tool with arguments as text; *result is text, to be freed. */
enum as_status plug_env_tool(struct plug_env *env, const char *tool,
    const char *args, char **result, struct error *err);

#endif
