/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/run/mutant.h"
#include "core/run/work.h"
#include "tests/sim/sim.h"

/*
 * The test of the simulator: each known mistake, put into the engine or its
 * store, is found within so many seeds.  Built with its own engine.
 */

#define SEEDS 2000

int mutant;

SUSPENDS void
mutant_dispatch(struct work *w, const struct run_tool *calls, int n)
{
	const struct world *world = w->e->c.world;

	for (int i = 0; i < n; i++) {
		struct json_object *args = NULL, *result = NULL;
		struct plug_caller who;

		work_caller(w, &who);
		who.idem_key = calls[i].idem_key;
		if (json_parse(calls[i].args, strlen(calls[i].args), &args,
			NULL) == AS_OK)
			(void)world->call(world->arg, &who, calls[i].tool, args,
			    &result, NULL);
		json_object_put(args);
		json_object_put(result);
	}
}

/* The same length, so that it is still a key. */
const char *
mutant_key(const char *key, int64_t fence)
{
	static char text[RUN_IDEM_KEY];

	snprintf(text, sizeof(text), "%.34s%02u", key, (unsigned)fence % 100);
	return fence > 1 ? text : key;
}

const struct run_asked *
mutant_answer(const struct run_asked *all, int n, int nth)
{
	for (int i = 0; i < n; i++)
		if (strcmp(all[i].status, "pending") != 0 && nth-- == 0)
			return &all[i];
	return NULL;
}

static const struct {
	int mutant;
	const char *breaks; /* by this it must be found, and by nothing else */
	const char *name;
} mutants[] = {
	{ MUTANT_NO_FENCE, "I6", "a commit does not look at its fence" },
	{ MUTANT_REAP_ANY, "I6", "the reaper does not look at leases" },
	{ MUTANT_UNLOCK_LATER, "I13", "the thread is given back later" },
	{ MUTANT_LATE_TWICE, "I8", "a late result is taken twice" },
	{ MUTANT_DISPATCH_EARLY, "I9",
	    "a call is sent before its intent is stored" },
	{ MUTANT_KEY_ATTEMPT, "I9", "the key of a call names its attempt" },
	{ MUTANT_PUBLISH_EARLY, "I12",
	    "an event is shown before it is stored" },
	{ MUTANT_RESEND_UNSAFE, "I7", "an unsafe call is sent again" },
	{ MUTANT_UNASKED, "I10", "a call is made before it is approved" },
	{ MUTANT_BY_POSITION, "I10", "answers go to calls in their order" },
	{ MUTANT_PARK_BLIND, "I10", "a run waits beside an answer" },
	{ MUTANT_JUMP_QUEUE, "FIFO", "the last one that waits is the next" },
};

static int
mutant_run(int number, int which, const char *breaks, const char *name)
{
	struct sim_result r = { .broken = "" };
	uint64_t seed = 1;
	bool found;

	for (; seed <= SEEDS; seed++) {
		struct sim_config c = { .seed = seed, .mutant = which };

		sim_run(&c, &r);
		if (r.broken[0] != '\0')
			break;
	}
	found = strcmp(r.broken, breaks) == 0;
	if (r.broken[0] != '\0')
		printf("# seed %llu, %s: %s\n", (unsigned long long)seed,
		    r.broken, r.how);
	printf("%s %d - %s\n", found ? "ok" : "not ok", number, name);
	return !found;
}

/* Without a mistake the same seeds hold: what is found is the mistake. */
static int
sound_run(void)
{
	struct sim_result r = { .broken = "" };

	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct sim_config c = { .seed = seed };

		sim_run(&c, &r);
		if (r.broken[0] == '\0')
			continue;
		printf("# seed %llu, %s: %s\nnot ok 1 - no mistake\n",
		    (unsigned long long)seed, r.broken, r.how);
		return 1;
	}
	printf("ok 1 - no mistake\n");
	return 0;
}

int
main(void)
{
	int failed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	log_to_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
	failed = sound_run();
	for (size_t i = 0; i < N_ITEMS(mutants); i++)
		failed |= mutant_run((int)i + 2, mutants[i].mutant,
		    mutants[i].breaks, mutants[i].name);
	printf("1..%zu\n", N_ITEMS(mutants) + 1);
	return failed;
}
