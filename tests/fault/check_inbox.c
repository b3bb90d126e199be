/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "tests/fault/check.h"

/* What people were asked, what they said, and what was done then. */

#define OF_CALL \
	" FROM inbox_items x JOIN tool_invocations t ON t.run_id = x.run_id" \
	" AND t.step = x.step AND t.ordinal = x.ordinal" \
	" WHERE x.kind IN ('approval', 'question')"

/* It has asked while it worked, and reads itself what is said. */
#define OF_TOOL "(x.kind = 'question' AND t.tool <> 'ask_human')"

#define IS_YES \
	"(x.status IN ('answered', 'expired') AND" \
	" x.response_type IN ('accept', 'edit'))"

static void
check_items(struct check *c)
{
	check_no_row(c, "I10", "an item is open, its run has ended",
	    "SELECT x.id FROM inbox_items x JOIN runs r ON r.id = x.run_id"
	    " WHERE x.kind IN ('approval', 'question') AND"
	    " x.status = 'pending' AND r.status NOT IN ('queued', 'running',"
	    " 'waiting_human', 'waiting_timer', 'waiting_child',"
	    " 'recoverable_error')");
	check_no_row(c, "I10", "a run waits, and nobody is asked",
	    "SELECT r.id FROM runs r WHERE r.status = 'waiting_human' AND NOT"
	    " EXISTS (SELECT 1 FROM inbox_items x WHERE x.run_id = r.id AND"
	    " x.status = 'pending')");
	check_no_row(c, "I10", "a run waits for an answer that is there",
	    "SELECT x.id" OF_CALL " AND t.state IN ('awaiting_approval',"
	    " 'parked') AND x.status <> 'pending' AND EXISTS (SELECT 1 FROM"
	    " runs r WHERE r.id = x.run_id AND r.status = 'waiting_human')"
	    /* A tool may ask again. */
	    " AND NOT EXISTS (SELECT 1 FROM inbox_items o WHERE"
	    " o.run_id = x.run_id AND o.step = x.step AND"
	    " o.ordinal = x.ordinal AND o.status = 'pending')");
	check_no_row(c, "I10", "a call was made without a person's word",
	    "SELECT t.id" OF_CALL " AND (t.state IN ('planned', 'started',"
	    " 'failed', 'unknown') OR (t.state = 'succeeded' AND"
	    " x.kind = 'approval')) AND NOT " IS_YES " AND NOT " OF_TOOL);
	check_no_row(c, "I10", "a call needs approval and has no item",
	    "SELECT t.id FROM tool_invocations t JOIN run_events e ON"
	    " e.run_id = t.run_id AND e.type = 'tool_call' AND e.payload LIKE"
	    " '%' || t.idem_key || '%' AND e.payload LIKE"
	    " '%\"needs_approval\":true%' WHERE t.state NOT IN"
	    " ('awaiting_approval', 'cancelled') AND NOT EXISTS (SELECT 1"
	    " FROM inbox_items x WHERE x.run_id = t.run_id AND"
	    " x.step = t.step AND x.ordinal = t.ordinal)");
}

/* ---- The log ------------------------------------------------------- */

struct said {
	struct uuid item;
	const char *type, *status;
	char text[UUID_TEXT];
	int n;
};

static void
event_compare(struct check *c, struct said *s, const char *text)
{
	struct json_object *body = NULL;
	struct uuid id;

	if (json_parse(text, strlen(text), &body, NULL) != AS_OK)
		return;
	if (jget_uuid(body, "item_id", &id) && uuid_equal(id, s->item)) {
		s->n++;
		if (s->type != NULL &&
		    strcmp(jget_str(body, "response_type", ""), s->type) != 0)
			check_broken(c, "I10",
			    "item %s: the answer is %s, its log says %s",
			    s->text, s->type,
			    jget_str(body, "response_type", "nothing"));
	}
	json_object_put(body);
}

static void
check_said(struct check *c, struct said *s, struct uuid run)
{
	struct sql_arg args[] = { SQL_UUID(run) };
	bool over = strcmp(s->status, "answered") == 0 ||
		    strcmp(s->status, "expired") == 0;
	struct rows *r = check_query(c,
	    "SELECT payload FROM run_events WHERE run_id = $1 AND type ="
	    " 'hitl_resolved'",
	    args, 1);

	for (int i = 0; i < rows_count(r); i++)
		event_compare(c, s, rows_text(r, i, 0));
	rows_free(r);
	if (s->n > 1 || (!over && s->n > 0))
		check_broken(c, "I10",
		    "item %s is %s and was resolved %d times", s->text,
		    s->status, s->n);
}

/* ---- What was done ------------------------------------------------- */

static bool
same_json(const char *a, const char *b)
{
	struct json_object *x = NULL, *y = NULL;
	bool same = json_parse(a, strlen(a), &x, NULL) == AS_OK &&
		    json_parse(b, strlen(b), &y, NULL) == AS_OK &&
		    json_object_equal(x, y);

	json_object_put(x);
	json_object_put(y);
	return same;
}

/* type, response, args, result, state, id of the call */
static void
check_done(struct check *c, const struct rows *r, int i)
{
	const char *type = rows_text(r, i, 0), *response = rows_text(r, i, 1);
	const char *result = rows_text(r, i, 3), *state = rows_text(r, i, 4);
	struct json_object *said = NULL;
	char id[UUID_TEXT];

	uuid_format(rows_uuid(r, i, 5), id);
	if (strcmp(type, "edit") == 0 &&
	    !same_json(response, rows_text(r, i, 2)))
		check_broken(c, "I10", "call %s: approved was %s, it has %s",
		    id, response, rows_text(r, i, 2));
	if (strcmp(type, "response") != 0 || strcmp(state, "cancelled") == 0 ||
	    rows_is_null(r, i, 3) ||
	    json_parse(response, strlen(response), &said, NULL) != AS_OK)
		return;
	if (json_object_is_type(said, json_type_string) &&
	    strcmp(json_object_get_string(said), result) != 0)
		check_broken(c, "I10", "call %s: the answer is %s, it has %s",
		    id, response, result);
	json_object_put(said);
}

void
check_inbox(struct check *c)
{
	struct rows *r;

	check_items(c);
	r = check_query(c,
	    "SELECT x.id, x.run_id, x.status, x.response_type FROM inbox_items"
	    " x WHERE x.kind IN ('approval', 'question')",
	    NULL, 0);
	for (int i = 0; i < rows_count(r); i++) {
		struct said s = { .item = rows_uuid(r, i, 0),
			.status = rows_text(r, i, 2),
			.type = rows_is_null(r, i, 3) ? NULL
						      : rows_text(r, i, 3) };

		uuid_format(s.item, s.text);
		check_said(c, &s, rows_uuid(r, i, 1));
	}
	rows_free(r);
	r = check_query(c,
	    "SELECT x.response_type, x.response, t.args, t.result, t.state,"
	    " t.id" OF_CALL " AND x.status = 'answered' AND x.response IS NOT"
	    " NULL AND NOT " OF_TOOL,
	    NULL, 0);
	for (int i = 0; i < rows_count(r); i++)
		check_done(c, r, i);
	rows_free(r);
}
