/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plug/plug.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/conf.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"

/*
 * What a call of a tool costs, at 150 bytes of JSON in and out.  Prints
 * "name value" lines for script/bench:
 *
 *	tool_direct_us	the tool's work, as a function of this program
 *	tool_plugin_us	through a plugin in this process
 *	tool_process_us	through the same plugin in a process of its own
 *
 * The three take turns; each value is the median of its rounds' means.
 */

enum {
	ROUNDS = 15,
	CALLS = 20000,
	FAR_CALLS = 2000
};

static const char CONF[] = "plugins : {\n"
			   "  toolkit_mirror : { isolation = \"none\"; };\n"
			   "  toolkit_far : { plugin = \"toolkit_mirror\"; "
			   "isolation = \"process\"; };"
			   "\n};\n";
static const char ARGS
    [] = "{\"text\":\"The quick brown fox jumps over the lazy dog, and the dog "
	 "sleeps on, and so does the cat that has seen it all from the "
	 "wall.\",\"n\":42}";

struct bench {
	struct plug *plug;
	struct loop *loop;
	struct json_object *args;
	double direct[ROUNDS], plugin[ROUNDS], process[ROUNDS];
};

static double
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static struct json_object *
back(struct json_object *args)
{
	struct json_object *o = jobj();

	jput_str(o, "text", jget_str(args, "text", ""));
	jput_int(o, "n", jget_int(args, "n", 0));
	return o;
}

static double
direct_us(struct bench *b)
{
	double at = now_us();

	for (int i = 0; i < CALLS; i++)
		json_object_put(back(b->args));
	return (now_us() - at) / CALLS;
}

SUSPENDS static double
tool_us(struct bench *b, const char *tool, int calls)
{
	const struct plug_caller who = { .correlation_id = "bench" };
	struct json_object *result;
	double at = now_us();

	for (int i = 0; i < calls; i++) {
		if (plug_tool_call(b->plug, &who, tool, b->args, NULL, &result,
			NULL) != AS_OK)
			exit(1);
		json_object_put(result);
	}
	return (now_us() - at) / calls;
}

SUSPENDS static void
bench_fiber(void *arg)
{
	struct bench *b = arg;

	plug_start(b->plug);
	fiber_deadline_set(loop_now_ms(b->loop) + 600000);
	tool_us(b, "far_back", FAR_CALLS);
	for (int i = 0; i < ROUNDS; i++) {
		b->direct[i] = direct_us(b);
		b->plugin[i] = tool_us(b, "mirror_back", CALLS);
		b->process[i] = tool_us(b, "far_back", FAR_CALLS);
	}
	plug_stop(b->plug);
	loop_stop(b->loop);
}

static int
double_cmp(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void
print(const char *name, double *rounds)
{
	qsort(rounds, ROUNDS, sizeof(*rounds), double_cmp);
	printf("%s %.2f\n", name, rounds[ROUNDS / 2]);
}

int
main(void)
{
	static const char *const dirs[] = { BUILD_DIR "/tests/bench/.libs",
		NULL };
	struct plug_services services = {
		.plugin_host = BUILD_DIR "/agent-studio",
		.child_uid = 64000,
	};
	struct conf *conf = conf_new();
	struct bench b = { .loop = loop_new() };

	log_configure("error");
	services.home = b.loop;
	conf_load_text(conf, "bench", CONF, strlen(CONF));
	MUST(json_parse(ARGS, strlen(ARGS), &b.args, NULL) == AS_OK);
	if (plug_new(conf, dirs, &services, &b.plug) != AS_OK) {
		fprintf(stderr, "%s\n", conf_problem(conf, 0)->text);
		return 1;
	}
	fiber_spawn(b.loop, "bench", bench_fiber, &b);
	loop_run(b.loop);
	plug_free(b.plug);
	loop_free(b.loop);
	conf_free(conf);
	json_object_put(b.args);
	print("tool_direct_us", b.direct);
	print("tool_plugin_us", b.plugin);
	print("tool_process_us", b.process);
	return 0;
}
