/* SPDX-License-Identifier: Apache-2.0 */
#include "core/hook/owned.h"

#include <string.h>

#include "core/auth/quota.h"
#include "core/auth/seal.h"
#include "core/base/mem.h"

/* See owned.h. */

/* ---- Rows ------------------------------------------------------------ */

void
put_row_int(struct json_object *o, const char *key, const struct rows *r, int i,
    int col)
{
	if (rows_is_null(r, i, col))
		jput_null(o, key);
	else
		jput_int(o, key, rows_int(r, i, col));
}

void
put_row_id(struct json_object *o, const char *key, const struct rows *r, int i,
    int col)
{
	if (rows_is_null(r, i, col))
		jput_null(o, key);
	else
		jput_uuid(o, key, rows_uuid(r, i, col));
}

struct sql_arg
flag_arg(struct json_object *body, const char *key)
{
	if (jget(body, key) == NULL)
		return SQL_INT(-1);
	return SQL_INT(jget_bool(body, key, false) ? 1 : 0);
}

enum as_status
hook_missing(const char *what, struct uuid id, struct error *err)
{
	char text[UUID_TEXT];

	uuid_format(id, text);
	return error_not_found(err, what, text);
}

/* ---- Statements ------------------------------------------------------- */

struct owned_args {
	struct sql_arg v[OWNED_ARGS_MAX];
	int n;
};

static void
args_add(struct owned_args *a, const struct sql_arg *more, int n)
{
	MUST(a->n + n <= OWNED_ARGS_MAX);
	for (int i = 0; i < n; i++)
		a->v[a->n++] = more[i];
}

static struct owned_args
args_of(const struct owned *kind, const struct hook_ctx *ctx,
    struct sql_arg first)
{
	struct owned_args a = { .n = kind->n_mine };

	a.v[0] = first;
	a.v[1] = SQL_UUID(ctx->who.tenant_id);
	a.v[2] = SQL_UUID(ctx->who.user_id);
	a.v[3] = SQL_UUID(ctx->agent_id);
	return a;
}

SUSPENDS enum as_status
owned_list(const struct owned *kind, const struct hook_ctx *ctx,
    struct row_page *page, struct json_object **items, struct error *err)
{
	struct owned_args a = args_of(kind, ctx, sql_uuid_or_null(page->after));
	struct sql_arg limit = SQL_INT(page->limit + 1);
	struct rows *r = NULL;
	enum as_status st;

	args_add(&a, &limit, 1);
	st = store_query(ctx->store, kind->page, a.v, a.n, &r, err);
	if (st == AS_OK)
		*items = row_page_json(r, page, kind->json);
	rows_free(r);
	return st;
}

/* The one row that a statement has found, or has made; takes r. */
static enum as_status
one(const struct owned *kind, const struct hook_ctx *ctx, enum as_status st,
    struct rows *r, struct json_object **out, struct error *err)
{
	if (st == AS_OK && rows_count(r) == 0)
		st = hook_missing(kind->name, ctx->id, err);
	else if (st == AS_OK)
		*out = kind->json(r, 0);
	rows_free(r);
	return st;
}

SUSPENDS enum as_status
owned_get(const struct owned *kind, const struct hook_ctx *ctx,
    struct json_object **out, struct error *err)
{
	struct owned_args a = args_of(kind, ctx, SQL_UUID(ctx->id));
	struct rows *r = NULL;
	enum as_status st = store_query(ctx->store, kind->get, a.v, a.n, &r,
	    err);

	return one(kind, ctx, st, r, out, err);
}

static SUSPENDS enum as_status
write_one(const struct owned *kind, struct sql *sql, const struct hook_ctx *ctx,
    const struct sql_arg *own, int n_own, struct json_object **out,
    struct error *err)
{
	struct owned_args a = args_of(kind, ctx, SQL_UUID(ctx->id));
	struct rows *r = NULL;
	enum as_status st;

	args_add(&a, own, n_own);
	st = store_exec(ctx->store, sql, a.v, a.n, &r, err);
	return one(kind, ctx, st, r, out, err);
}

SUSPENDS enum as_status
owned_change(const struct owned *kind, const struct hook_ctx *ctx,
    const struct sql_arg *own, int n_own, struct json_object **out,
    struct error *err)
{
	return write_one(kind, kind->change, ctx, own, n_own, out, err);
}

/* ---- Secrets ---------------------------------------------------------- */

struct fresh {
	struct buf text, sealed;
};

static void
fresh_make(struct fresh *f, enum secret_of of, const struct hook_ctx *ctx,
    struct sql_arg args[2])
{
	memset(f, 0, sizeof(*f));
	secret_make(ctx->seal, of, ctx->id, &f->text, &f->sealed);
	args[0] = SQL_BYTES(f->sealed.data, f->sealed.len);
	args[1] = SQL_TEXT(seal_key_id(ctx->seal));
}

/* It is told if the row has it now. */
static void
fresh_end(struct fresh *f, enum as_status st, struct json_object *out)
{
	if (st == AS_OK)
		jput_str(out, "secret", f->text.data);
	secret_wipe(&f->text);
	buf_free(&f->sealed);
}

SUSPENDS enum as_status
owned_insert(const struct owned *kind, enum secret_of of,
    const struct hook_ctx *ctx, const struct sql_arg *own, int n_own,
    struct json_object **out, struct error *err)
{
	struct owned_args a = args_of(kind, ctx, SQL_UUID(ctx->id));
	struct sql_arg last[3] = { [2] = SQL_INT(HOOK_PER_USER) };
	struct sql_call call;
	struct rows *r = NULL;
	struct fresh f;
	enum as_status st;

	fresh_make(&f, of, ctx, last);
	args_add(&a, own, n_own);
	args_add(&a, last, 3);
	call = (struct sql_call){ kind->insert, a.v, a.n };
	st = quota_exec(ctx->store, ctx->who.user_id, &call, &r, err);
	if (st == AS_OK && rows_count(r) == 0)
		st = error_set(err, ERR_CONFLICT, "there are %d %ss already",
		    HOOK_PER_USER, kind->name);
	st = one(kind, ctx, st, r, out, err);
	fresh_end(&f, st, *out);
	return st;
}

SUSPENDS enum as_status
owned_rotate(const struct owned *kind, enum secret_of of,
    const struct hook_ctx *ctx, struct json_object *body,
    struct json_object **out, struct error *err)
{
	int64_t overlap_s = jget_int(body, "overlap_s", HOOK_OVERLAP_S);
	struct sql_arg own[3] = { SQL_INT(overlap_s * 1000000) };
	struct fresh f;
	enum as_status st;

	fresh_make(&f, of, ctx, own + 1);
	st = write_one(kind, kind->rotate, ctx, own, 3, out, err);
	fresh_end(&f, st, *out);
	return st;
}
