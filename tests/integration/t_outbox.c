/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/hook/outbox.h"
#include "tests/integration/engine_env.h"

/*
 * What is written down of a message's tries, when two senders have had it: the
 * first one was held up for longer than its lease.
 */

static struct outbox_row row;
static struct outbox_try try;

#define OF_DELIVERY(what) \
	"SELECT " what " FROM webhook_deliveries d JOIN webhooks w" \
	" ON w.id = d.webhook_id WHERE d.run_id = $1"

/* A run, a webhook of its user, and a message about it. */
static SUSPENDS void
set_up(void)
{
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
	bed_until("succeeded");
	row = (struct outbox_row){ .id = 1,
		.attempts = 1,
		.tenant_id = bed.ctx.who.tenant_id,
		.webhook_id = uuid_v7(),
		.event_id = uuid_v7(),
		.event = "run.succeeded",
		.ref = "{}" };
	bed_sql("INSERT INTO webhooks (id, tenant_id, user_id, url, created_at,"
		" updated_at) VALUES ($1, $3, $2, 'http://x', 1, 1)",
	    row.webhook_id, bed.ctx.who.user_id);
	try = (struct outbox_try){ .row = &row,
		.run_id = bed.run_id,
		.body = "{}",
		.tries = 1,
		.url = "http://x" };
}

static SUSPENDS void
becomes(enum outbox_result result, int status)
{
	try.result = result;
	try.status = status;
	try.wait_us = result == OUTBOX_AGAIN ? 1000000 : 0;
	CU_ASSERT_EQUAL(outbox_record(env.store, &try, &bed.err), AS_OK);
}

static SUSPENDS void
assert_arrived(void)
{
	CU_ASSERT_STRING_EQUAL(bed_text(OF_DELIVERY("d.status")), "delivered");
	CU_ASSERT_EQUAL(bed_count(OF_DELIVERY("d.response_status")), 204);
	CU_ASSERT_EQUAL(bed_count(OF_DELIVERY("COALESCE(d.next_at, 0)")), 0);
	CU_ASSERT_EQUAL(bed_count(OF_DELIVERY("w.failures")), 0);
	CU_ASSERT_EQUAL(bed_count(OF_DELIVERY("w.last_status")), 204);
	CU_ASSERT_STRING_EQUAL(bed_text(OF_DELIVERY("COALESCE(w.paused_reason,"
						    " 'none')")),
	    "none");
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM inbox_items WHERE"
				  " run_id = $1 AND kind = 'notification'"),
	    0);
}

/* Whatever the slower one has to tell of his try. */
static void
arrived(void)
{
	static const enum outbox_result late[] = { OUTBOX_AGAIN, OUTBOX_FAILED,
		OUTBOX_GONE, OUTBOX_PAUSED };

	set_up();
	becomes(OUTBOX_DELIVERED, 204);
	for (size_t i = 0; i < sizeof(late) / sizeof(late[0]); i++) {
		becomes(late[i], 500);
		assert_arrived();
	}
}

/* The other way round: it has arrived after all. */
static void
arrives(void)
{
	set_up();
	try.tries = 10;
	becomes(OUTBOX_AGAIN, 500);
	CU_ASSERT_STRING_EQUAL(bed_text(OF_DELIVERY("d.status")), "pending");
	CU_ASSERT_TRUE(bed_count(OF_DELIVERY("d.next_at > now_us()")));
	CU_ASSERT_EQUAL(bed_count(OF_DELIVERY("w.failures")), 1);
	becomes(OUTBOX_DELIVERED, 204);
	CU_ASSERT_EQUAL(bed_count(OF_DELIVERY("d.attempts")), 2);
	assert_arrived();
}

/* Who gives up tells its user, and pauses what never works. */
static void
given_up(void)
{
	set_up();
	becomes(OUTBOX_FAILED, 500);
	CU_ASSERT_STRING_EQUAL(bed_text(OF_DELIVERY("d.status")), "failed");
	CU_ASSERT_STRING_EQUAL(bed_text(OF_DELIVERY("w.paused_reason")),
	    "failing");
	CU_ASSERT_EQUAL(bed_count("SELECT count(*) FROM inbox_items WHERE"
				  " run_id = $1 AND kind = 'notification'"),
	    1);
}

static const struct fake_turn turns[] = { { .text = "ok" } };

static void
test_arrived(void)
{
	bed_run(arrived, turns, 1);
}

static void
test_arrives(void)
{
	bed_run(arrives, turns, 1);
}

static void
test_given_up(void)
{
	bed_run(given_up, turns, 1);
}

static CU_TestInfo tests[] = {
	{ "what has arrived stays so", test_arrived },
	{ "what was to be sent again arrives", test_arrives },
	{ "what is given up", test_given_up },
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return env_main("outbox", tests, env_close);
}
