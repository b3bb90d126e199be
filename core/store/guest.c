/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/guest.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/store/store_priv.h"

/*
 * A guest's call on its way to the driver: names filled in, parameters typed,
 * the time it may take.  What drivers share is here, too.
 */

/* The hash comes first and has one length, so no prefix begins another. */
void
guest_prefix(const char *name, char out[GUEST_PREFIX])
{
	char hash[HASH_TEXT];
	size_t i, n;

	hash_text(name, strlen(name), hash);
	n = (size_t)snprintf(out, GUEST_PREFIX, "p%.8s_%.24s", hash, name);
	for (i = 0; i < n; i++)
		out[i] = isalnum((unsigned char)out[i])
			     ? (char)tolower((unsigned char)out[i])
			     : '_';
	out[n] = '_';
	out[n + 1] = '\0';
}

void
guest_free(struct guest *g)
{
	int i;

	if (g == NULL)
		return;
	for (i = 0; i < g->n_texts; i++)
		free(g->texts[i]);
	for (i = 0; i < g->n_args; i++)
		if (g->args[i].type == SQL_TYPE_TEXT)
			free((void *)(uintptr_t)g->args[i].v.p);
	json_object_put(g->rows);
	free(g->texts);
	free(g->hashes);
	free(g->args);
	free(g->name);
	free(g);
}

int64_t
guest_ms_left(const struct guest *g)
{
	int64_t ms = (g->give_up_us - clock_mono_us()) / 1000;

	return ms > 1 ? ms : 1;
}

enum as_status
guest_row_add(struct guest *g, struct json_object *row, size_t bytes,
    struct error *err)
{
	g->bytes += bytes;
	if (json_object_array_length(g->rows) < GUEST_ROWS_MAX &&
	    g->bytes <= GUEST_BYTES_MAX) {
		json_object_array_add(g->rows, row);
		return AS_OK;
	}
	json_object_put(row);
	return error_set(err, ERR_TOO_LARGE,
	    "more than %d rows or %zu MiB: ask for less", GUEST_ROWS_MAX,
	    GUEST_BYTES_MAX >> 20);
}

enum as_status
guest_step_check(const struct guest *g, int step, const char *sha256,
    struct error *err)
{
	if (step > g->n_texts)
		return error_set(err, ERR_CONFLICT,
		    "%s: the database is at step %d, this version knows %d: "
		    "install the newer one",
		    g->name, step, g->n_texts);
	if (strcmp(g->hashes[step - 1], sha256) == 0)
		return AS_OK;
	return error_set(err, ERR_CONFLICT,
	    "%s: step %d was edited after it had run: restore it, and add a "
	    "new one",
	    g->name, step);
}

/* ---- A call that has crossed --------------------------------------- */

void
guest_call_of(struct guest_call *call, int kind, const char *name,
    struct json_object *texts, struct json_object *params)
{
	size_t i, n = json_object_array_length(texts);
	const char **list = xcalloc(n + 1, sizeof(*list));

	for (i = 0; i < n; i++)
		list[i] = json_object_get_string(
		    json_object_array_get_idx(texts, i));
	*call = (struct guest_call){ .kind = (enum guest_kind)kind,
		.name = name,
		.texts = list,
		.n_texts = (int)n,
		.params = params };
}

void
guest_call_clear(struct guest_call *call)
{
	free((void *)(uintptr_t)call->texts);
	*call = (struct guest_call){ 0 };
}

/* ---- Making one ---------------------------------------------------- */

static enum as_status
guest_text(struct guest *g, const char *text, struct error *err)
{
	struct buf b = { 0 };
	enum as_status st = guest_sql(text, g->prefix, g->kind == GUEST_MIGRATE,
	    &b, err);

	if (st != AS_OK) {
		buf_free(&b);
		return st;
	}
	hash_text(text, strlen(text), g->hashes[g->n_texts]);
	g->texts[g->n_texts++] = buf_take(&b);
	return AS_OK;
}

static enum as_status
guest_texts(struct guest *g, const struct guest_call *call, struct error *err)
{
	enum as_status st = AS_OK;
	int i;

	if (call->n_texts > GUEST_STEPS_MAX)
		return error_set(err, ERR_TOO_LARGE, "more than %d steps",
		    GUEST_STEPS_MAX);
	g->texts = xcalloc((size_t)call->n_texts + 1, sizeof(*g->texts));
	g->hashes = xcalloc((size_t)call->n_texts + 1, sizeof(*g->hashes));
	for (i = 0; st == AS_OK && i < call->n_texts; i++)
		st = guest_text(g, call->texts[i], err);
	return st;
}

static enum as_status
guest_arg(struct sql_arg *a, struct json_object *v, struct error *err)
{
	const char *text;
	size_t len;

	switch (json_object_get_type(v)) {
	case json_type_null:
		*a = SQL_NULL;
		return AS_OK;
	case json_type_boolean:
		*a = SQL_BOOL(json_object_get_boolean(v));
		return AS_OK;
	case json_type_int:
		*a = SQL_INT(json_object_get_int64(v));
		return AS_OK;
	case json_type_double:
		*a = SQL_NUM(json_object_get_double(v));
		return AS_OK;
	case json_type_string:
		text = json_object_get_string(v);
		len = (size_t)json_object_get_string_len(v);
		if (memchr(text, 0, len) != NULL)
			break;
		*a = sql_textn(xstrndup(text, len), len);
		return AS_OK;
	default:
		break;
	}
	return error_set(err, ERR_BAD_REQUEST,
	    "a parameter is a text without U+0000, a number, a boolean or "
	    "null");
}

static enum as_status
guest_args(struct guest *g, struct json_object *params, struct error *err)
{
	size_t i, n = params != NULL ? json_object_array_length(params) : 0;
	enum as_status st = AS_OK;

	if (n > STORE_ARGS_MAX)
		return error_set(err, ERR_TOO_LARGE, "more than %d parameters",
		    STORE_ARGS_MAX);
	g->args = xcalloc(n + 1, sizeof(*g->args));
	for (i = 0; st == AS_OK && i < n; i++) {
		st = guest_arg(&g->args[i],
		    json_object_array_get_idx(params, i), err);
		g->n_args += st == AS_OK;
	}
	return st;
}

static int64_t
guest_patience_ms(const struct store *store)
{
	uint64_t left = fiber_time_left();
	int64_t ms = store->db->config.statement_timeout_ms;

	return left < (uint64_t)ms ? (int64_t)left : ms;
}

enum as_status
guest_new(const struct guest_call *call, int64_t patience_ms,
    struct guest **out, struct error *err)
{
	struct guest *g = *out = xcalloc(1, sizeof(*g));
	enum as_status st;

	g->kind = call->kind;
	g->name = xstrdup(call->name);
	guest_prefix(call->name, g->prefix);
	g->give_up_us = clock_mono_us() + patience_ms * 1000;
	st = guest_texts(g, call, err);
	if (st == AS_OK)
		st = guest_args(g, call->params, err);
	return st;
}

/* ---- Running it ---------------------------------------------------- */

static struct store_req *
req_of(struct store *store, struct guest *g, bool is_write)
{
	struct store_req *r = xcalloc(1, sizeof(*r));

	r->store = store;
	r->is_write = is_write;
	r->guest = g;
	r->size = sizeof(*r);
	/* The fiber, the driver, and guest_run for the rows. */
	atomic_init(&r->refs, 3);
	atomic_init(&r->dropped, false);
	return r;
}

void
guest_take(struct guest *g, struct json_object **rows, int64_t *changed)
{
	if (changed != NULL)
		*changed = g->changed;
	if (rows != NULL) {
		*rows = g->rows;
		g->rows = NULL;
	}
}

/* SQLite finds out by itself; here it is what an unknown end means. */
static bool
may_write(const struct store *store, const struct guest_call *call)
{
	return call->kind != GUEST_QUERY ||
	       (store_dialect(store) == STORE_POSTGRES &&
		   strncasecmp(call->texts[0], "select", 6) != 0);
}

enum as_status
guest_run(struct store *store, const struct guest_call *call,
    struct json_object **rows, int64_t *changed, struct error *err)
{
	bool is_write = may_write(store, call), again = false;
	struct guest *g = NULL;
	struct store_req *r;
	enum as_status st;

	if (store->db->config.read_only)
		return error_set(err, ERR_FORBIDDEN,
		    "the database was opened for reading only");
	do {
		st = guest_new(call, guest_patience_ms(store), &g, err);
		if (st != AS_OK) {
			guest_free(g);
			return st;
		}
		r = req_of(store, g, is_write || again);
		st = store_req_run(store, r, NULL, err);
		again = st == AS_OK && g->needs_write;
		if (st == AS_OK && !again)
			guest_take(g, rows, changed);
		store_req_unref(r);
	} while (again);
	return st;
}
