/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/mem.h"
#include "core/run/fold.h"
#include "tests/tap.h"

/* What events add up to, and which rows agree with that. */

#define CP "0190a5c0-0000-7000-8000-00000000000"
#define HASH \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define STATUS(s) "{\"status\":\"running\",\"state\":\"" s "\"}"
#define CHECKPOINT(n, step) \
	"{\"checkpoint_id\":\"" CP n "\",\"ns\":\"\",\"step\":" step \
	",\"state_hash\":\"" HASH "\"}"
#define USAGE(in, out) \
	"{\"usage\":{\"input_tokens\":" in ",\"output_tokens\":" out "}}"

/* A run of one tool call that a second owner has ended. */
static const struct fold_event whole[] = {
	{ 1, 0, 1, 100, "message_created", "{}" },
	{ 2, 0, 1, 100, "run_status", STATUS("running") },
	{ 3, 0, 1, 100, "message_start", "{\"model\":\"a/b\"}" },
	{ 4, 1, 1, 200, "message_end", USAGE("5", "7") },
	{ 5, 1, 1, 200, "tool_call", "{}" },
	{ 6, 1, 1, 200, "checkpoint", CHECKPOINT("1", "1") },
	{ 7, 1, 3, 300, "run_status", STATUS("running") },
	{ 8, 2, 3, 400, "tool_result", "{}" },
	{ 9, 2, 3, 400, "checkpoint", CHECKPOINT("2", "2") },
	{ 10, 3, 3, 500, "message_end", USAGE("11", "13") },
	{ 11, 3, 3, 500, "checkpoint", CHECKPOINT("3", "3") },
	{ 12, 3, 3, 500, "run_status", STATUS("succeeded") },
};
#define N_WHOLE (int)N_ITEMS(whole)

static struct arena *arena;

static enum as_status
fold(const struct fold_event *events, int n, struct fold_run *out)
{
	return fold_events(events, n, arena, out, NULL);
}

static void
test_whole(void)
{
	struct fold_run r;

	arena = arena_new(NULL);
	CU_ASSERT_EQUAL_FATAL(fold(whole, N_WHOLE, &r), AS_OK);
	CU_ASSERT_EQUAL(r.status, RUN_SUCCEEDED);
	CU_ASSERT_EQUAL(r.step, 3);
	CU_ASSERT_EQUAL(r.head_seq, 12);
	CU_ASSERT_EQUAL(r.fence, 3);
	CU_ASSERT_EQUAL(r.usage.input, 16);
	CU_ASSERT_EQUAL(r.usage.output, 20);
	CU_ASSERT_STRING_EQUAL(r.model, "a/b");
	CU_ASSERT_PTR_NULL(r.error);
	CU_ASSERT_EQUAL(r.created_at, 100);
	CU_ASSERT_EQUAL(r.started_at, 100);
	CU_ASSERT_EQUAL(r.completed_at, 500);
	CU_ASSERT_EQUAL(r.checkpoint_id.b[15], 3);
	CU_ASSERT_EQUAL(r.checkpoint_step, 3);
	CU_ASSERT_EQUAL(r.state_hash[0], 0xaa);
	CU_ASSERT_EQUAL(r.state_hash[31], 0xbb);
	/* And on the way. */
	CU_ASSERT_EQUAL_FATAL(fold(whole, 8, &r), AS_OK);
	CU_ASSERT_EQUAL(r.status, RUN_RUNNING);
	CU_ASSERT_EQUAL(r.step, 2);
	CU_ASSERT_EQUAL(r.checkpoint_step, 1);
	CU_ASSERT_EQUAL(r.completed_at, 0);
	arena_free(arena);
}

#define FAILED "{\"state\":\"failed\",\"error\":{\"code\":\"TIMEOUT\"}}"
#define PARKED \
	"{\"state\":\"recoverable_error\",\"error\":{\"code\":\"TIMEOUT\"}," \
	"\"usage\":{\"input_tokens\":5}}"
#define RETRY \
	"{\"state\":\"waiting_timer\",\"error\":{\"code\":\"TIMEOUT\"}," \
	"\"model\":\"a/next\"}"

static void
test_errors(void)
{
	struct fold_event e[] = {
		{ 1, 0, 1, 1, "run_status", STATUS("running") },
		{ 2, 0, 1, 2, "run_status", PARKED },
		{ 3, 0, 2, 3, "message_reset", "{}" },
		{ 4, 0, 2, 4, "run_status", RETRY },
		{ 5, 0, 2, 5, "run_status", FAILED },
	};
	struct fold_run r;

	arena = arena_new(NULL);
	CU_ASSERT_EQUAL(fold(e, 2, &r), AS_OK);
	CU_ASSERT_STRING_EQUAL(r.error_code, "TIMEOUT");
	CU_ASSERT_EQUAL(r.usage.input, 5); /* spent without an answer */
	CU_ASSERT_EQUAL(fold(e, 3, &r), AS_OK);
	CU_ASSERT_PTR_NULL(r.error_code);
	CU_ASSERT_EQUAL(fold(e, 4, &r), AS_OK);
	CU_ASSERT_PTR_NULL(r.error_code); /* it is not in the row */
	CU_ASSERT_STRING_EQUAL(r.model, "a/next");
	CU_ASSERT_EQUAL(fold(e, 5, &r), AS_OK);
	CU_ASSERT_EQUAL(r.status, RUN_FAILED);
	CU_ASSERT_STRING_EQUAL(r.error_code, "TIMEOUT");
	CU_ASSERT_STRING_EQUAL(r.error, "{\"code\":\"TIMEOUT\"}");
	arena_free(arena);
}

/* One event of a good log is changed; then no row can agree with it. */
static void
broken(int i, struct fold_event e)
{
	struct fold_event events[N_ITEMS(whole) + 1];
	struct fold_run r;

	memcpy(events, whole, sizeof(whole));
	events[i] = e;
	CU_ASSERT_NOT_EQUAL(fold(events, i < N_WHOLE ? N_WHOLE : i + 1, &r),
	    AS_OK);
}

static void
test_broken(void)
{
	struct fold_event e;
	struct fold_run r;

	arena = arena_new(NULL);
	e = whole[4];
	e.run_seq = 6;
	broken(4, e); /* a gap */
	e = whole[7];
	e.fence = 2;
	broken(7, e); /* two fences at work */
	e = whole[7];
	e.step = 0;
	broken(7, e);
	e = whole[5];
	e.step = 2;
	broken(5, e); /* a checkpoint of another step */
	e = whole[5];
	e.payload = "{";
	broken(5, e);
	e = whole[6];
	e.payload = STATUS("asleep");
	broken(6, e);
	e = (struct fold_event){ 13, 3, 3, 600, "run_status",
		STATUS("failed") };
	broken(N_WHOLE, e); /* a second end */
	e.payload = "{}";
	e.type = "message_start";
	broken(N_WHOLE, e);
	CU_ASSERT_NOT_EQUAL(fold(whole, 1, &r), AS_OK);
	CU_ASSERT_NOT_EQUAL(fold(whole, 0, &r), AS_OK);
	arena_free(arena);
}

/* The column that is told if a row is like the log but for one thing. */
static const char *
told(const struct fold_run *log, const struct fold_run *row)
{
	static struct fold_difference d[FOLD_COLUMNS];
	int n = fold_compare(log, row, arena, d);

	return n == 0 ? "" : n == 1 ? d[0].column : "many";
}

#define TOLD(member, value, column) \
	do { \
		struct fold_run row_ = log; \
		row_.member = (value); \
		CU_ASSERT_STRING_EQUAL(told(&log, &row_), column); \
	} while (0)

static void
test_compare(void)
{
	struct fold_run log, mended, row;

	arena = arena_new(NULL);
	CU_ASSERT_EQUAL_FATAL(fold(whole, N_WHOLE, &log), AS_OK);
	CU_ASSERT_STRING_EQUAL(told(&log, &log), "");
	TOLD(status, RUN_RUNNING, "status");
	TOLD(status, 0, "status");
	TOLD(step, 2, "step");
	TOLD(head_seq, 13, "head_seq");
	TOLD(fence, 4, "fence");
	TOLD(usage.cached, 1, "usage");
	TOLD(error_code, "TIMEOUT", "error_code");
	TOLD(error, "{}", "error");
	TOLD(model, "a/c", "model");
	TOLD(checkpoint_id.b[15], 2, "checkpoint_id");
	TOLD(checkpoint_step, 2, "checkpoint.step");
	TOLD(state_hash[0], 0, "checkpoint.state_hash");
	TOLD(started_at, 0, "started_at");
	TOLD(started_at, 60000000, "started_at");
	TOLD(completed_at, 501, "completed_at");
	TOLD(started_at, 99, ""); /* claimed before it was said */
	memset(&row, 0, sizeof(row));
	mended = fold_mend(&log, &row);
	CU_ASSERT_STRING_EQUAL(told(&log, &mended), "");
	arena_free(arena);
}

/* While it is open, claims and recoveries leave no event. */
static void
test_compare_open(void)
{
	struct fold_run log, row, mended;

	arena = arena_new(NULL);
	CU_ASSERT_EQUAL_FATAL(fold(whole, 8, &log), AS_OK);
	TOLD(status, RUN_QUEUED, "");
	TOLD(fence, 5, "");
	TOLD(fence, 2, "fence");
	TOLD(status, RUN_CANCELLING, "status");
	row = log;
	row.status = RUN_QUEUED;
	row.fence = 5;
	mended = fold_mend(&log, &row);
	CU_ASSERT_EQUAL(mended.status, RUN_QUEUED);
	CU_ASSERT_EQUAL(mended.fence, 5);
	/* It looked ended: nobody's work on it counts from now on. */
	row.status = RUN_SUCCEEDED;
	row.completed_at = 450;
	mended = fold_mend(&log, &row);
	CU_ASSERT_EQUAL(mended.status, RUN_QUEUED);
	CU_ASSERT_EQUAL(mended.fence, 6);
	CU_ASSERT_EQUAL(mended.completed_at, 0);
	CU_ASSERT_STRING_EQUAL(told(&log, &mended), "");
	arena_free(arena);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "a whole log", test_whole },
		{ "errors come and go", test_errors },
		{ "logs that are broken", test_broken },
		{ "every column of a row", test_compare },
		{ "the row of an open run", test_compare_open },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "fold", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
