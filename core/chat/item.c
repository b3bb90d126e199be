/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chat/item.h"

#include "core/base/json.h"

/* See item.h. */

static void
put_json(struct json_object *o, const char *key, const char *text)
{
	if (text == NULL)
		jput_null(o, key);
	else
		jput_json(o, key, text);
}

static void
put_id(struct json_object *o, const char *key, struct uuid id)
{
	if (uuid_is_nil(id))
		jput_null(o, key);
	else
		jput_uuid(o, key, id);
}

struct json_object *
item_json(const struct rows *r, int i)
{
	return item_json_from(r, i, 0);
}

struct json_object *
item_json_from(const struct rows *r, int i, int from)
{
	struct json_object *o = jobj();
	int c = from;

	jput_uuid(o, "id", rows_uuid(r, i, c++));
	jput_str(o, "kind", rows_text(r, i, c++));
	jput_str(o, "status", rows_text(r, i, c++));
	jput_str(o, "title", rows_text(r, i, c++));
	jput_str(o, "description", rows_text(r, i, c++));
	put_json(o, "action_request", rows_text(r, i, c++));
	put_json(o, "config", rows_text(r, i, c++));
	jput_uuid(o, "user_id", rows_uuid(r, i, c++));
	put_id(o, "assignee", rows_uuid(r, i, c++));
	jput_uuid(o, "agent_id", rows_uuid(r, i, c++));
	put_id(o, "thread_id", rows_uuid(r, i, c++));
	put_id(o, "run_id", rows_uuid(r, i, c++));
	jput_str(o, "correlation_id", rows_text(r, i, c++));
	jput_uuid(o, "interrupt_id", rows_uuid(r, i, c++));
	jput_int(o, "step", rows_int(r, i, c++));
	jput_int(o, "ordinal", rows_int(r, i, c++));
	jput_str(o, "response_type", rows_text(r, i, c++));
	put_json(o, "response", rows_text(r, i, c++));
	put_id(o, "responded_by", rows_uuid(r, i, c++));
	jput_time(o, "responded_at", rows_int(r, i, c++));
	jput_time(o, "expires_at", rows_int(r, i, c++));
	jput_str(o, "on_expire", rows_text(r, i, c++));
	jput_time(o, "read_at", rows_int(r, i, c++));
	jput_time(o, "created_at", rows_int(r, i, c++));
	jput_time(o, "updated_at", rows_int(r, i, c++));
	return o;
}

SQL(OPEN,
    "SELECT id, interrupt_id, kind, run_id, title, action_request, config,"
    " description, expires_at FROM inbox_items WHERE thread_id = $1"
    " AND tenant_id = $2 AND status = 'pending' AND kind NOT IN " ITEM_NOTES
    " ORDER BY id LIMIT $3");

SUSPENDS enum as_status
items_open(const struct chat_ctx *ctx, struct uuid thread_id,
    struct json_object **items, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(thread_id),
		SQL_UUID(ctx->who.tenant_id), SQL_INT(ITEMS_OPEN_MAX) };
	struct json_object *o;
	struct rows *r = NULL;
	enum as_status st = store_query(ctx->store, &OPEN, args, 3, &r, err);

	if (st != AS_OK)
		return st;
	*items = jarr();
	for (int i = 0; i < rows_count(r); i++) {
		o = jobj();
		jput_uuid(o, "item_id", rows_uuid(r, i, 0));
		jput_uuid(o, "interrupt_id", rows_uuid(r, i, 1));
		jput_str(o, "kind", rows_text(r, i, 2));
		jput_uuid(o, "run_id", rows_uuid(r, i, 3));
		jput_str(o, "title", rows_text(r, i, 4));
		put_json(o, "action_request", rows_text(r, i, 5));
		put_json(o, "config", rows_text(r, i, 6));
		jput_str(o, "description", rows_text(r, i, 7));
		jput_time(o, "expires_at", rows_int(r, i, 8));
		json_object_array_add(*items, o);
	}
	rows_free(r);
	return AS_OK;
}
