/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "core/base/json.h"
#include "core/plug/call.h"
#include "core/plug/host.h"
#include "core/plug/serve.h"

/*
 * Tables of a plugin's own, as it sees them; what a statement may do is judged
 * on the other side.
 */

/* Takes texts. */
SUSPENDS static enum as_status
db_send(struct as_call *call, enum serve_db_kind kind,
    struct json_object *texts, const struct as_json *params, struct answer *a)
{
	struct json_object *copy = NULL;
	struct msg m = { .kind = SERVE_DB, .n = kind, .value = jobj() };
	enum as_status st = AS_OK;

	jput(m.value, "texts", texts);
	if (params != NULL)
		st = value_copy(call, params, &copy);
	if (st == AS_OK && copy != NULL &&
	    !json_object_is_type(copy, json_type_array))
		st = call_fail(call, AS_INVALID,
		    "the parameters of a statement are an array");
	jput(m.value, "params", copy);
	if (st == AS_OK)
		st = call_serve(call, &m, a);
	json_object_put(m.value);
	return st;
}

static void
text_add(struct as_call *call, struct json_object *texts, const char *sql)
{
	json_object_array_add(texts,
	    json_object_new_string(call_text(call, sql)));
}

SUSPENDS static enum as_status
db_migrate(struct as_call *call, const char *const *steps)
{
	struct json_object *texts = jarr();
	struct answer a;
	enum as_status st;

	for (; steps != NULL && *steps != NULL; steps++)
		text_add(call, texts, *steps);
	st = db_send(call, SERVE_DB_MIGRATE, texts, NULL, &a);
	if (st == AS_OK)
		answer_clear(&a);
	return st;
}

SUSPENDS static enum as_status
db_one(struct as_call *call, enum serve_db_kind kind, const char *sql,
    const struct as_json *params, struct answer *a)
{
	struct json_object *texts;

	if (sql == NULL)
		return call_fail(call, AS_INVALID, "no statement");
	texts = jarr();
	text_add(call, texts, sql);
	return db_send(call, kind, texts, params, a);
}

SUSPENDS static enum as_status
db_exec(struct as_call *call, const char *sql, const struct as_json *params,
    int64_t *changed)
{
	struct answer a;
	enum as_status st = db_one(call, SERVE_DB_EXEC, sql, params, &a);

	if (changed != NULL)
		*changed = st == AS_OK ? a.n : 0;
	if (st == AS_OK)
		answer_clear(&a);
	return st;
}

SUSPENDS static enum as_status
db_query(struct as_call *call, const char *sql, const struct as_json *params,
    const struct as_json **rows)
{
	struct answer a;
	enum as_status st = db_one(call, SERVE_DB_QUERY, sql, params, &a);

	*rows = NULL;
	if (st != AS_OK)
		return st;
	*rows = value_to(call_own(call, a.value));
	free(a.bytes);
	return AS_OK;
}

const struct as_db_host host_db_table = {
	.size = sizeof(host_db_table),
	.migrate = db_migrate,
	.exec = db_exec,
	.query = db_query,
};
