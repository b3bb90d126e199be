/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/loop.h"
#include "core/loop/stack.h"
#include "core/plug/unit.h"
#include "tests/integration/plug_env.h"
#include "tests/tap.h"

/*
 * What a reload leaves behind: nothing.  Resident memory says little of that,
 * because an allocator keeps what it gets back.  So what is looked at is what
 * is in use: bytes, descriptors, copies of the file, processes, generations and
 * readings of conf.d.
 */

#define CONF(more) "plugins : { toolkit_turn : { " more " }; };\n"
#define WARM_UP 8
#define ROUNDS 40

/*
 * Of all rounds together.  The allocators of sanitizers count to the byte, and
 * less than the smallest allocation a round is left for free lists; to that of
 * libc what its threads keep for themselves is in use, too.
 */
#if defined(FIBER_ASAN) || defined(FIBER_TSAN)
#define BYTES_MAX (24 * ROUNDS)
/* gcc has no header for it. */
size_t __sanitizer_get_current_allocated_bytes(void);
#else
#define BYTES_MAX (64 << 10)
#endif

static char dir[] = "/tmp/t_reload_memory.XXXXXX";

/* ---- What is in use ------------------------------------------------ */

struct in_use {
	long bytes, files, mappings;
};

static long
bytes_in_use(void)
{
#if defined(FIBER_ASAN) || defined(FIBER_TSAN)
	return (long)__sanitizer_get_current_allocated_bytes();
#else
	struct mallinfo2 m = mallinfo2();

	return (long)(m.uordblks + m.hblkhd);
#endif
}

static long
files_in_use(void)
{
	DIR *files = opendir("/proc/self/fd");
	long n = 0;

	MUST(files != NULL);
	while (readdir(files) != NULL)
		n++;
	closedir(files);
	return n;
}

/* Of plugins; those of the heap are the allocator's affair. */
static long
mappings_in_use(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	long n = 0;

	MUST(maps != NULL);
	while (fgets(line, sizeof(line), maps) != NULL)
		n += strstr(line, "agent-studio-plugin") != NULL;
	fclose(maps);
	return n;
}

static struct in_use
weigh(void)
{
	return (struct in_use){ .bytes = bytes_in_use(),
		.files = files_in_use(),
		.mappings = mappings_in_use() };
}

static int64_t
listed(struct plug_env *env, const char *key)
{
	struct json_object *list = plug_list(env->plug);
	int64_t n = jget_int(json_object_array_get_idx(list, 0), key, -1);

	json_object_put(list);
	return n;
}

/* ---- One round ----------------------------------------------------- */

struct caller {
	struct plug_env *env;
	bool started;
	enum as_status st;
};

static void
caller_fiber(void *arg)
{
	struct caller *c = arg;
	struct error err = { 0 };
	char *text = NULL;

	c->started = true;
	c->st = plug_env_tool(c->env, "turn_wait", "{\"ms\":20}", &text, &err);
	if (c->st != AS_OK)
		tap_note("%s", err.detail);
	error_clear(&err);
	free(text);
}

static enum as_status
reload(struct plug_env *env, const char *text)
{
	struct error err = { 0 };
	enum as_status st;

	env->text = text;
	st = plug_reload(env->plug, "toolkit_turn", NULL, &err);
	error_clear(&err);
	return st;
}

static void
drained(struct plug_env *env)
{
	while (listed(env, "generations_draining") > 0 &&
	       fiber_sleep(1) == FIBER_WOKEN)
		continue;
}

/* One after another, so that each round has as many fibers as the others. */
static enum as_status
reload_alone(struct plug_env *env, const char *text)
{
	enum as_status st = reload(env, text);

	drained(env);
	return st;
}

/* A call is open when its generation is replaced, and ends on it. */
static void
round_good(struct plug_env *env)
{
	struct caller c = { .env = env };
	struct fiber_ref f = fiber_spawn(loop_self(), "caller", caller_fiber,
	    &c);

	while (!c.started)
		fiber_yield();
	CU_ASSERT_EQUAL(reload(env, CONF("")), AS_OK);
	fiber_join(f, 0);
	CU_ASSERT_EQUAL(c.st, AS_OK);
	drained(env);
}

/* By conf.d, by its options, by init, by start: each goes less far back. */
static void
round_refused(struct plug_env *env)
{
	CU_ASSERT_EQUAL(reload_alone(env, CONF("limit = ;")), AS_CONFLICT);
	CU_ASSERT_EQUAL(reload_alone(env, CONF("limit = 11;")), AS_CONFLICT);
	CU_ASSERT_EQUAL(reload_alone(env, CONF("fail_init = true;")),
	    AS_CONFLICT);
	CU_ASSERT_EQUAL(reload_alone(env, CONF("fail_start = true;")),
	    AS_CONFLICT);
}

static void
round_out_and_in(struct plug_env *env)
{
	CU_ASSERT_EQUAL(reload_alone(env, CONF("enabled = false;")), AS_OK);
	CU_ASSERT_EQUAL(reload_alone(env, CONF("")), AS_OK);
}

/* ---- Many ---------------------------------------------------------- */

static void
many(struct plug_env *env, void (*round)(struct plug_env *env),
    const char *what)
{
	struct plugin *of = env->plug->plugins[0];
	struct in_use before, after;
	int i;

	for (i = 0; i < WARM_UP; i++)
		round(env);
	before = weigh();
	for (i = 0; i < ROUNDS; i++)
		round(env);
	after = weigh();
	tap_note("%d times %s: %+ld bytes, %+ld files, %+ld mappings", ROUNDS,
	    what, after.bytes - before.bytes, after.files - before.files,
	    after.mappings - before.mappings);
	CU_ASSERT(after.bytes - before.bytes <= BYTES_MAX);
	CU_ASSERT_EQUAL(after.files, before.files);
	CU_ASSERT_EQUAL(after.mappings, before.mappings);
	CU_ASSERT_PTR_NULL(of->draining);
	CU_ASSERT_EQUAL(of->current->source->refs, 1);
	CU_ASSERT_EQUAL(atomic_load(&of->current->listed), 1);
	CU_ASSERT_EQUAL(atomic_load(&of->current->open), 0);
	CU_ASSERT_PTR_NULL(env->plug->retired);
	CU_ASSERT_PTR_NULL(env->plug->leaving);
}

static void
body(struct plug_env *env)
{
	CU_ASSERT_EQUAL_FATAL(env->loaded, AS_OK);
	many(env, round_good, "replaced");
	many(env, round_refused, "refused");
	many(env, round_out_and_in, "out and in");
}

static void
test_here(void)
{
	plug_env_run(CONF(""), 0, body);
}

static void
test_isolated(void)
{
	plug_env_run(CONF(""), ENV_ISOLATED, body);
	/* None that runs, and none that nobody has waited for. */
	CU_ASSERT_EQUAL(waitpid(-1, NULL, WNOHANG), -1);
	CU_ASSERT_EQUAL(errno, ECHILD);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "in this process", test_here },
		{ "in processes of their own", test_isolated },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "reload memory", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};
	char *file;
	int rc;

	log_configure("error,plugin=error");
	MUST(mkdtemp(dir) != NULL);
	/* The version that may be unmapped. */
	file = xasprintf("%s/toolkit_turn.so", dir);
	MUST(symlink(BUILD_DIR "/tests/integration/plug/.libs/turn3.so",
		 file) == 0);
	plug_env_limits.dir = dir;
	rc = tap_run(suites);
	unlink(file);
	free(file);
	rmdir(dir);
	return rc;
}
