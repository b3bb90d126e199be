/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/run/engine.h"
#include "core/run/rebuild.h"
#include "tests/integration/run_env.h"
#include "tests/tap.h"

/*
 * The rows that the engine leaves agree with its log, whatever has happened;
 * one that was corrupted is told apart, and written back from the log.
 */

static struct rebuild looked;

static int
look(void)
{
	struct error err = { 0 };
	enum as_status st;

	st = rebuild_look(env.db, bed.run_id, bed.arena, &looked, &err);
	CU_ASSERT_EQUAL_FATAL(st, AS_OK);
	error_clear(&err);
	return looked.n_differences;
}

static void
agrees(const char *status)
{
	CU_ASSERT_TRUE(et_status_is(status));
	CU_ASSERT_EQUAL(look(), 0);
	for (int i = 0; i < looked.n_differences; i++)
		tap_note("%s: %s in the log, %s in the row",
		    looked.differences[i].column, looked.differences[i].log,
		    looked.differences[i].row);
}

/* ---- What the engine leaves ---------------------------------------- */

static void
succeeds(void)
{
	et_say("go");
	agrees("succeeded");
}

static void
fails(void)
{
	et_say("go");
	agrees("failed");
}

static void
parks(void)
{
	et_say("go");
	agrees("recoverable_error");
	et_resume(NULL);
	agrees("succeeded");
}

static void
stopped(void)
{
	MUST(bed_send("go") == AS_OK);
	agrees("running");
	bed_until_text("half");
	agrees("running");
	bed_cancel(false);
	bed_wait_end();
	agrees("cancelled");
}

static void
rolled_back(void)
{
	MUST(bed_send("go") == AS_OK);
	bed_until_text("half");
	bed_cancel(true);
	bed_wait_end();
	agrees("rolled_back");
}

static void
taken_over(void)
{
	fake.tool_hangs = true;
	bed_send_hanging(2);
	agrees("running");
	bed_restart(true);
	agrees("running");
	bed_wait_end();
	agrees("recoverable_error"); /* nobody knows about the one with U */
	MUST(bed_send("never mind") == AS_OK);
	et_cancel_last(false);
	agrees("cancelled");
}

static void
test_agrees(void)
{
	const struct fake_turn ok[] = { { .text = "let me see",
					    .calls = { "t_P {}", "t_U {}" } },
		{ .text = "done" } };
	const struct fake_turn bad[] = { { .calls = { "t_P {}" } },
		{ .text = "half", .fail = ERR_INTERNAL } };
	const struct fake_turn later[] = {
		{ .text = "half", .fail = ERR_UPSTREAM_UNAVAILABLE },
		{ .text = "whole" }
	};
	const struct fake_turn slow[] = { { .text = "half", .hang = true } };

	bed_run(succeeds, ok, 2);
	bed_run(fails, bad, 2);
	bed_run(parks, later, 2);
	bed_run(stopped, slow, 1);
	bed_run(rolled_back, slow, 1);
	bed_run(taken_over, ok, 2);
}

/* ---- Rows that were corrupted -------------------------------------- */

/* The row as text, but for what counts and times its writing. */
static const char *
row_text(void)
{
	struct sql_arg args[] = { SQL_UUID(bed.run_id) };
	struct buf b = { 0 };
	struct rows *r = NULL;
	const char *s;

	MUST(store_db_run(env.db,
		 "SELECT status || '|' || step || '|' || head_seq || '|' ||"
		 " fence || '|' || COALESCE(usage, '-') || '|' || used_tokens "
		 "|| '|' ||"
		 " COALESCE(error_code, '-') || '|' || COALESCE(error, '-') ||"
		 " '|' || COALESCE(model, '-') || '|' || COALESCE(started_at, "
		 "0) || '|' ||"
		 " COALESCE(completed_at, 0) || '|' ||"
		 " CAST(holds_thread AS integer) || '|' ||"
		 " COALESCE(owner_epoch, 0), checkpoint_id FROM runs"
		 " WHERE id = $1",
		 args, 1, &r, NULL) == AS_OK);
	buf_add_str(&b, rows_text(r, 0, 0));
	for (size_t i = 0; i < 16; i++)
		buf_printf(&b, "%02x", rows_uuid(r, 0, 1).b[i]);
	s = arena_strdup(bed.arena, b.data);
	buf_free(&b);
	rows_free(r);
	return s;
}

static const char *const corruptions[] = {
	"status = 'running', holds_thread = TRUE",
	"status = 'failed'",
	"step = 7",
	"head_seq = 1",
	"fence = 40",
	"usage = NULL, used_tokens = 0",
	"error_code = 'TIMEOUT', error = '{\"code\":\"TIMEOUT\"}'",
	"model = 'fake/other'",
	"checkpoint_id = id",
	"started_at = NULL",
	"completed_at = NULL",
	"status = 'queued', holds_thread = TRUE, step = 0, head_seq = 0,"
	" fence = 0, usage = NULL, used_tokens = 0, model = NULL,"
	" checkpoint_id = NULL, started_at = NULL, completed_at = NULL",
};

static void
corrupted(void)
{
	const char *before;
	char text[400];

	et_say("go");
	before = row_text();
	for (size_t i = 0; i < N_ITEMS(corruptions); i++) {
		snprintf(text, sizeof(text), "UPDATE runs SET %s WHERE id = $1",
		    corruptions[i]);
		et_sql(text);
		CU_ASSERT_STRING_NOT_EQUAL(row_text(), before);
		CU_ASSERT_TRUE(look() > 0);
		CU_ASSERT_EQUAL(rebuild_write(env.db, &looked, NULL), AS_OK);
		CU_ASSERT_EQUAL(look(), 0);
		CU_ASSERT_STRING_EQUAL(row_text(), before);
	}
	/* What was looked at is not what is there any more. */
	et_sql("UPDATE runs SET step = 7 WHERE id = $1");
	CU_ASSERT_EQUAL(look(), 1);
	et_sql("UPDATE runs SET version = version + 1 WHERE id = $1");
	CU_ASSERT_EQUAL(rebuild_write(env.db, &looked, NULL), AS_CONFLICT);
	CU_ASSERT_EQUAL(look(), 1);
}

static void
test_corrupted(void)
{
	const struct fake_turn turns[] = { { .calls = { "t_P {}", "t_U {}" } },
		{ .text = "done" } };

	bed_run(corrupted, turns, 2);
}

/* A state that is none of the row's: the checkpoint that it names. */
static void
other_hash(void)
{
	et_say("go");
	if (env.dialect == STORE_POSTGRES) {
		et_sql("INSERT INTO node_settings (key, value) SELECT"
		       " 'gc_open', id FROM runs WHERE id = $1");
		et_sql("UPDATE run_log SET state_hash = NULL WHERE run_id = "
		       "$1");
		et_sql("DELETE FROM node_settings WHERE key = 'gc_open'"
		       " AND $1 IS NOT NULL");
	} else
		et_sql("UPDATE checkpoints SET state_hash = NULL"
		       " WHERE run_id = $1");
	CU_ASSERT_EQUAL(look(), 1);
	CU_ASSERT_STRING_EQUAL(looked.differences[0].column,
	    "checkpoint.state_hash");
}

static void
test_other_hash(void)
{
	const struct fake_turn turns[] = { { .text = "done" } };

	bed_run(other_hash, turns, 1);
}

/* ---- A run that is at work ----------------------------------------- */

static void
at_work(void)
{
	MUST(bed_send("go") == AS_OK);
	bed_until_text("half");
	et_sql("UPDATE runs SET status = 'succeeded', holds_thread = FALSE"
	       " WHERE id = $1");
	CU_ASSERT_EQUAL(look(), 1);
	if (env.dialect == STORE_POSTGRES) {
		CU_ASSERT_EQUAL(rebuild_write(env.db, &looked, NULL),
		    AS_CONFLICT);
		et_sql("UPDATE runs SET status = 'running', holds_thread = TRUE"
		       " WHERE id = $1");
	} else {
		/* It goes back to the queue, and its worker has lost it. */
		CU_ASSERT_EQUAL(rebuild_write(env.db, &looked, NULL), AS_OK);
		CU_ASSERT_TRUE(et_status_is("queued"));
	}
	fake_release();
	bed_wait_end();
	engine_claim(bed.engine);
	bed_wait_end();
	agrees("succeeded");
}

static void
test_at_work(void)
{
	const struct fake_turn turns[] = { { .text = "half", .hang = true },
		{ .text = "whole" } };

	bed_run(at_work, turns, 2);
}

static CU_TestInfo tests[] = {
	{ "rows agree with the log", test_agrees },
	{ "a corrupted row is written back", test_corrupted },
	{ "a corrupted checkpoint is told", test_other_hash },
	{ "a run that is at work", test_at_work },
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	log_configure("error");
	return env_main("rebuild", tests, env_close);
}
