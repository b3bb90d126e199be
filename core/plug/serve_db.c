/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/json.h"
#include "core/plug/grant.h"
#include "core/plug/serve.h"
#include "core/plug/unit.h"

/* Statements of a plugin, on their way to the database. */

/* What an isolated plugin sends has not been checked by anybody. */
static bool
are_texts(struct json_object *a)
{
	size_t i, n;

	if (!json_object_is_type(a, json_type_array))
		return false;
	n = json_object_array_length(a);
	for (i = 0; i < n; i++)
		if (!json_object_is_type(json_object_array_get_idx(a, i),
			json_type_string))
			return false;
	return true;
}

enum as_status
serve_db(struct exchange *x, const struct msg *m, struct answer *out,
    struct error *err)
{
	const struct plug_services *services = &x->plug->services;
	struct json_object *texts = jget(m->value, "texts");
	struct json_object *params = jget(m->value, "params");
	enum as_status st = grant_check(x->unit, "db", err);

	if (st != AS_OK)
		return st;
	if (services->db == NULL)
		return error_set(err, ERR_UNSUPPORTED,
		    "tables of plugins are not available here");
	if (!are_texts(texts) ||
	    (params != NULL && !json_object_is_type(params, json_type_array)) ||
	    m->n < SERVE_DB_QUERY || m->n > SERVE_DB_MIGRATE ||
	    (m->n != SERVE_DB_MIGRATE && json_object_array_length(texts) != 1))
		return error_set(err, ERR_BAD_REQUEST, "not a statement");
	return services->db(services->arg, x->unit->name, (int)m->n, texts,
	    params, &out->value, &out->n, err);
}
