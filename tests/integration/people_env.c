/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/people_env.h"

#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/chat/operator.h"

/* See people_env.h. */

static const char *policy;

void
people_run(void (*fn)(void), const char *rules, const char *a, const char *b,
    const char *c)
{
	const struct fake_turn turns[] = { { .calls = { a, b, c } },
		{ .text = "ok" }, { .text = "well" } };

	policy = rules;
	bed_run(fn, turns, 3);
}

SUSPENDS void
people_begin(void)
{
	if (policy != NULL)
		bed_sql(arena_printf(bed.arena,
			    "UPDATE agents SET approval = '%s' WHERE id = $1"
			    " AND ($2 IS NOT NULL) AND tenant_id = $3",
			    policy),
		    bed.agent_id, bed.agent_id);
	CU_ASSERT_EQUAL_FATAL(bed_send("go"), AS_OK);
}

SUSPENDS void
people_wait(int n)
{
	bed_until("waiting_human");
	bed_wait_end();
	CU_ASSERT_EQUAL(bed_questions("pending"), n);
	CU_ASSERT_EQUAL(bed_jobs(), 0);
	CU_ASSERT_TRUE(bed_thread_is("waiting"));
}

/* An open one before those that have been answered. */
static SUSPENDS struct uuid
item(int ordinal)
{
	struct sql_arg args[] = { SQL_UUID(bed.run_id), SQL_INT(ordinal) };
	struct rows *r = NULL;
	struct uuid id;

	MUST(store_db_run(env.db,
		 "SELECT id FROM inbox_items WHERE run_id = $1 AND"
		 " ordinal = $2 AND kind IN ('approval', 'question')"
		 " ORDER BY step DESC,"
		 " CASE status WHEN 'pending' THEN 0 ELSE 1 END LIMIT 1",
		 args, 2, &r, NULL) == AS_OK);
	id = rows_uuid(r, 0, 0);
	rows_free(r);
	CU_ASSERT_FALSE(uuid_is_nil(id));
	return id;
}

SUSPENDS struct engine_answer
people_say(int ordinal, const char *type, const char *args)
{
	return (struct engine_answer){ .item_id = item(ordinal),
		.type = type,
		.args = args,
		.key = arena_printf(bed.arena, "%s %s", type,
		    args != NULL ? args : ""),
		.by = bed.ctx.who.user_id };
}

SUSPENDS enum as_status
people_respond(const struct engine_answer *a, int n)
{
	error_clear(&bed.err);
	return engine_respond(bed.engine, bed.run_id, a, n, &bed.err);
}

SUSPENDS enum as_status
people_answer(int ordinal, const char *type, const char *args)
{
	struct engine_answer a = people_say(ordinal, type, args);

	return people_respond(&a, 1);
}

SUSPENDS void
people_wait_unknown(int n)
{
	bed_until("recoverable_error");
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(bed_run_member("error"), "OUTCOME_UNKNOWN"));
	CU_ASSERT_EQUAL(bed_calls("unknown"), n);
	CU_ASSERT_EQUAL(bed_items("outcome", "pending"), n);
}

SUSPENDS enum as_status
people_resolve(int ordinal, const char *outcome, const char *result)
{
	struct operator_filter filter = { .run_id = bed.run_id };
	struct row_page page = { .limit = 100 };
	struct json_object *list, *one, *said = NULL;
	struct uuid id = { { 0 } };
	char key[48];
	enum as_status st;

	snprintf(key, sizeof(key), "c1_%d", ordinal);
	MUST(operator_list(&bed.ctx, &filter, &page, &list, &bed.err) == AS_OK);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		one = json_object_array_get_idx(list, i);
		if (uuid_is_nil(id) && /* the newest */
		    strcmp(jget_str(jget(one, "action_request"), "tool_call_id",
			       ""),
			key) == 0)
			jget_uuid(one, "id", &id);
	}
	json_object_put(list);
	CU_ASSERT_FALSE(uuid_is_nil(id));
	if (result != NULL)
		said = json_object_new_string(result);
	error_clear(&bed.err);
	st = operator_resolve(&bed.ctx, id, outcome, said, &bed.err);
	json_object_put(said);
	return st;
}
