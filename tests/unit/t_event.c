/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/event.h"

#include <string.h>

#include "core/base/json.h"
#include "core/base/json_write.h"
#include "core/run/work.h"
#include "tests/tap.h"

/*
 * What runs look like from outside: names of states, keys of tool calls,
 * frames and messages.  Others have stored these bytes, so they are spelled
 * out here and must not change.
 */

static const struct uuid run_id = { { 0x01, 0x89, 0, 0, 0, 0, 0x70, 0, 0x80, 0,
    0, 0, 0, 0, 0, 1 } };
static const struct uuid message_id = { { 0x01, 0x89, 0, 0, 0, 0, 0x70, 0, 0x80,
    0, 0, 0, 0, 0, 0, 2 } };
static const struct uuid nil;

#define RUN "01890000-0000-7000-8000-000000000001"
#define MESSAGE "01890000-0000-7000-8000-000000000002"

static void
assert_frame(struct rcbuf *f, const char *want)
{
	struct json_object *o = NULL;

	CU_ASSERT_STRING_EQUAL(f->data, want);
	CU_ASSERT_EQUAL(f->len, strlen(want));
	CU_ASSERT_EQUAL(json_parse(f->data, f->len, &o, NULL), AS_OK);
	json_object_put(o);
	rcbuf_unref(f);
}

static void
test_states(void)
{
	static const char *const names[] = { "blocked", "queued", "running",
		"cancelling", "waiting_human", "waiting_timer", "waiting_child",
		"recoverable_error", "succeeded", "failed", "cancelled",
		"expired", "rolled_back", "dead_lettered" };

	for (int i = 0; i < 14; i++) {
		enum run_status s = (enum run_status)(i + 1);

		CU_ASSERT_STRING_EQUAL(run_status_name(s), names[i]);
		CU_ASSERT_EQUAL(run_status_by_name(names[i]), s);
		CU_ASSERT_EQUAL(run_is_open(s), i < 8);
		CU_ASSERT_EQUAL(run_holds_thread(s), i > 0 && i < 8);
	}
	CU_ASSERT_EQUAL(run_status_by_name("Running"), 0);
	CU_ASSERT_EQUAL(run_status_by_name(""), 0);
	CU_ASSERT_EQUAL(run_status_by_name(NULL), 0);
}

static void
assert_key(struct uuid run, const char *ns, int64_t step, int64_t ordinal,
    int64_t epoch, const char *want)
{
	char key[RUN_IDEM_KEY];

	run_idem_key(run, ns, step, ordinal, epoch, key);
	CU_ASSERT_STRING_EQUAL(key, want);
}

/* A service that was sent one of these before an update must know it after. */
static void
test_keys(void)
{
	assert_key(run_id, "", 1, 0, 0, "as1-viifeug4augktmi2x3bsa36lhjnhiqey");
	assert_key(run_id, "", 1, 1, 0, "as1-cjktj5o4dnrsjppehhp6dmz5m2wz4e7b");
	assert_key(run_id, "", 2, 0, 0, "as1-cwdtiob4qwwsuxnoke3td735iyyryw2p");
	assert_key(run_id, "", 1, 0, 1, "as1-te54hjwh5n7tczvu4t23nlahrf4d367e");
	assert_key(run_id, "a", 1, 0, 0,
	    "as1-v7xrn7t5mpd5rmnwzfrwgtwdiez7wcfg");
	assert_key(message_id, "", 1, 0, 0,
	    "as1-mys5qx3ztw2fqw5pbvr42g4sona2jbdy");
	assert_key(run_id, "", INT64_MAX, 63, 0,
	    "as1-uruvxmerjrtotfeb2w76lhcnmvm7t5n3");
}

static void
test_usage(void)
{
	struct run_usage u = { 1, 2, 3, INT64_MAX }, back;
	struct buf b = { 0 };

	run_usage_write(&b, NULL, &u);
	CU_ASSERT_STRING_EQUAL(b.data,
	    "{\"input_tokens\":1,\"output_tokens\":2,\"cached_tokens\":3,"
	    "\"reasoning_tokens\":9223372036854775807}");
	run_usage_parse(&back, b.data);
	CU_ASSERT_EQUAL(memcmp(&u, &back, sizeof(u)), 0);
	buf_free(&b);
	run_usage_parse(&back, NULL);
	CU_ASSERT_EQUAL(back.input + back.output + back.reasoning, 0);
	run_usage_parse(&back, "{\"input_tokens\":7");
	CU_ASSERT_EQUAL(back.input, 0);
}

static void
test_durable(void)
{
	assert_frame(event_frame("checkpoint", 7, 3, run_id, 1000001,
			 "{\"step\":1}"),
	    "{\"v\":1,\"type\":\"checkpoint\",\"seq\":7,\"run_seq\":3,"
	    "\"run_id\":\"" RUN "\",\"ts\":\"1970-01-01T00:00:01.000001Z\","
	    "\"step\":1}");
	assert_frame(event_frame("x", INT64_MAX, INT64_MAX, run_id, 0, "{}"),
	    "{\"v\":1,\"type\":\"x\",\"seq\":9223372036854775807,"
	    "\"run_seq\":9223372036854775807,\"run_id\":\"" RUN "\","
	    "\"ts\":\"1970-01-01T00:00:00.000000Z\"}");
}

static void
test_live(void)
{
	assert_frame(event_frame("ping", 0, 0, nil, 0, NULL),
	    "{\"v\":1,\"type\":\"ping\"}");
	assert_frame(event_frame("ping", 0, 0, run_id, 0, "{\"a\":1}"),
	    "{\"v\":1,\"type\":\"ping\",\"run_id\":\"" RUN "\",\"a\":1}");
	assert_frame(event_delta_frame("message_delta", run_id, "", message_id,
			 2, 5, "a\"\n\xc3\xa9", 5),
	    "{\"v\":1,\"type\":\"message_delta\",\"run_id\":\"" RUN "\","
	    "\"message_id\":\"" MESSAGE "\",\"attempt\":2,\"offset\":5,"
	    "\"delta\":\"a\\\"\\n\xc3\xa9\"}");
}

static void
test_list(void)
{
	struct run_usage u = { 1, 2, 0, 0 };
	struct event_list l = { 0 };
	struct error error = { 0 };
	struct buf b = { 0 };

	error_set(&error, ERR_TIMEOUT, "it is late");
	for (int i = 0; i < 20; i++) { /* beyond what it begins with */
		jw_open(&b, NULL);
		jw_close(&b);
		event_list_add(&l, "checkpoint", &b);
	}
	event_list_add_status(&l, RUN_RUNNING, "started", NULL, NULL);
	event_list_add_status(&l, RUN_FAILED, NULL, &error, &u);
	error_clear(&error);
	CU_ASSERT_EQUAL_FATAL(l.n, 22);
	CU_ASSERT_STRING_EQUAL(l.items[19].body, "{}");
	CU_ASSERT_STRING_EQUAL(l.items[20].type, "run_status");
	CU_ASSERT_STRING_EQUAL(l.items[20].body,
	    "{\"status\":\"running\",\"state\":\"running\","
	    "\"reason\":\"started\"}");
	CU_ASSERT_STRING_EQUAL(l.items[21].body,
	    "{\"status\":\"end\",\"state\":\"failed\",\"reason\":null,"
	    "\"error\":{\"code\":\"TIMEOUT\",\"message\":\"it is late\","
	    "\"service\":null,\"retry_after\":null,\"actions\":[]},"
	    "\"usage\":{\"input_tokens\":1,"
	    "\"output_tokens\":2,\"cached_tokens\":0,"
	    "\"reasoning_tokens\":0}}");
	event_list_clear(&l);
	CU_ASSERT_EQUAL(l.n, 0);
	event_list_clear(&l); /* harmless */
}

static void
test_message(void)
{
	struct run_message m = { .id = message_id,
		.role = "user",
		.content = "hi",
		.parts = "[{\"type\":\"text\",\"text\":\"hi\"}]",
		.state = "final",
		.sequence = 4,
		.created_at = 1000001 };
	struct buf b = { 0 };

	run_message_write(&b, NULL, &m, message_id, run_id);
	CU_ASSERT_STRING_EQUAL(b.data,
	    "{\"id\":\"" MESSAGE "\",\"thread_id\":\"" MESSAGE "\","
	    "\"run_id\":\"" RUN "\",\"sequence\":4,\"role\":\"user\","
	    "\"content\":\"hi\",\"parts\":[{\"type\":\"text\",\"text\":\"hi\"}]"
	    ","
	    "\"tool_name\":null,\"tool_call_id\":null,\"state\":\"final\","
	    "\"client_message_id\":null,\"parent_id\":null,\"usage\":null,"
	    "\"created_at\":\"1970-01-01T00:00:01.000001Z\"}");
	buf_free(&b);
}

/* A model that nobody knows is null, not another event. */
static void
test_begins(void)
{
	struct event_list l = { 0 };

	run_message_started(&l, message_id, 1, "demo/demo");
	run_message_started(&l, message_id, 1, NULL);
	run_message_reset(&l, message_id, 2);
	CU_ASSERT_STRING_EQUAL(l.items[0].type, "message_start");
	CU_ASSERT_STRING_EQUAL(l.items[0].body,
	    "{\"message_id\":\"" MESSAGE "\",\"attempt\":1,"
	    "\"role\":\"assistant\",\"model\":\"demo/demo\"}");
	CU_ASSERT_STRING_EQUAL(l.items[1].type, "message_start");
	CU_ASSERT_PTR_NOT_NULL(strstr(l.items[1].body, "\"model\":null"));
	CU_ASSERT_STRING_EQUAL(l.items[2].type, "message_reset");
	CU_ASSERT_STRING_EQUAL(l.items[2].body,
	    "{\"message_id\":\"" MESSAGE "\",\"attempt\":2}");
	event_list_clear(&l);
}

static void
test_effects(void)
{
	static const char *const words[] = { "U", "once", "P", "none", "N",
		"repeat", "K", "keyed", "V", "verified" };

	for (int i = 0; i < 10; i += 2)
		CU_ASSERT_STRING_EQUAL(run_effect_word(words[i]), words[i + 1]);
	CU_ASSERT_STRING_EQUAL(run_effect_letter(AS_EFFECT_KEYED), "K");
	/* What is not known is treated as what must not happen twice. */
	CU_ASSERT_STRING_EQUAL(run_effect_word("?"), "once");
	CU_ASSERT_STRING_EQUAL(run_effect_word(NULL), "once");
	CU_ASSERT_STRING_EQUAL(run_effect_letter((enum as_effect)99), "U");
}

static CU_TestInfo tests[] = {
	{ "names of states", test_states },
	{ "keys of tool calls", test_keys },
	{ "usage", test_usage },
	{ "a message begins, begins again", test_begins },
	{ "durable frames", test_durable },
	{ "live frames", test_live },
	{ "a list of events", test_list },
	{ "a message", test_message },
	{ "effects", test_effects },
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	CU_SuiteInfo suites[] = {
		{ "event", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
