/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/log.h"
#include "core/run/replay.h"
#include "tests/integration/run_env.h"
#include "tests/tap.h"

/*
 * An engine that puts results in another order, as a mistake in it might: its
 * replay of a run that the right engine has recorded must find the step.
 */

extern bool replay_mutant; /* tools_result.c, in this program only */
bool replay_mutant;

static void
mutant(void)
{
	struct replay_result right, wrong;

	et_say("go");
	CU_ASSERT_TRUE(et_status_is("succeeded"));
	CU_ASSERT_EQUAL(replay_run(env.loop, env.store, bed.run_id, bed.arena,
			    &right, NULL),
	    AS_OK);
	replay_mutant = true;
	CU_ASSERT_EQUAL(replay_run(env.loop, env.store, bed.run_id, bed.arena,
			    &wrong, NULL),
	    AS_OK);
	replay_mutant = false;
	CU_ASSERT_PTR_NULL(right.what);
	CU_ASSERT_EQUAL(right.n_steps, 5);
	CU_ASSERT_PTR_NOT_NULL_FATAL(wrong.what);
	CU_ASSERT_EQUAL(wrong.at, 4); /* one call has no other order */
	CU_ASSERT_EQUAL(wrong.n_steps, 4);
	CU_ASSERT_TRUE(wrong.steps[2].same && !wrong.steps[3].same);
}

static void
test_mutant(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_P {\"x\":0}" } },
		{ .calls = { "t_P {\"x\":1}", "t_P {\"x\":2}" } },
		{ .text = "done" } };

	bed_run(mutant, turns, 3);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "results in another order are noticed", test_mutant },
		CU_TEST_INFO_NULL,
	};

	log_configure("error");
	return env_main("mutant", tests, env_close);
}
