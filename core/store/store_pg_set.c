/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_pg.h"

#include <endian.h>
#include <string.h>

#include "core/base/mem.h"

/*
 * Requests of one statement become one execution of it (see sql.is_set).  What
 * a small write costs the server is mostly the start of its plan, not its rows.
 *
 * Parameters are arrays of one dimension in the server's binary format
 * (array_recv): dimensions, a flag for NULLs, the elements' type, length and
 * lower bound, then each element as its length and its bytes.
 */

/* ---- Who goes together --------------------------------------------- */

/* Is no request of its thread before it?  That one must have its turn first. */
static bool
is_first_of_key(const struct store_req *group, const struct store_req *r)
{
	for (; group != r; group = group->next)
		if (group->key == r->key)
			return false;
	return true;
}

void
pg_set_gather(struct store_req *group, struct store_req *r)
{
	struct store_req **tail = &r->peer;

	if (!r->calls[0].sql->is_set || r->n_calls > 1 || r->key == 0)
		return;
	for (struct store_req *q = r->next; q != NULL; q = q->next)
		if (q->calls[0].id == r->calls[0].id && q->n_calls == 1 &&
		    q->key != 0 && is_first_of_key(group, q)) {
			q->is_peer = true;
			*tail = q;
			tail = &q->peer;
		}
}

/* ---- Parameters ---------------------------------------------------- */

static void
add32(struct buf *b, uint32_t x)
{
	x = htobe32(x);
	buf_add(b, &x, sizeof(x));
}

static void
add64(struct buf *b, uint64_t x)
{
	add32(b, sizeof(x));
	x = htobe64(x);
	buf_add(b, &x, sizeof(x));
}

static void
add_bytes(struct buf *b, const void *p, size_t len)
{
	add32(b, (uint32_t)len);
	if (len > 0)
		buf_add(b, p, len);
}

static void
add_element(struct buf *b, const struct sql_arg *a)
{
	uint64_t bits;
	char flag;

	switch (a->type) {
	case SQL_TYPE_NULL:
		add32(b, UINT32_MAX);
		break;
	case SQL_TYPE_INT:
		add64(b, (uint64_t)a->v.i);
		break;
	case SQL_TYPE_NUM:
		memcpy(&bits, &a->v.n, sizeof(bits));
		add64(b, bits);
		break;
	case SQL_TYPE_BOOL:
		flag = a->v.i != 0;
		add_bytes(b, &flag, 1);
		break;
	case SQL_TYPE_TEXT:
	case SQL_TYPE_BYTES:
		add_bytes(b, a->v.p, a->len);
		break;
	case SQL_TYPE_UUID:
		add_bytes(b, a->v.u.b, sizeof(a->v.u.b));
		break;
	}
}

/* The type of an array of these, as pg_type has them. */
static Oid
array_type(const struct sql_arg *a)
{
	static const Oid types[SQL_TYPE_UUID + 1] = {
		[SQL_TYPE_INT] = 1016,
		[SQL_TYPE_NUM] = 1022,
		[SQL_TYPE_BOOL] = 1000,
		[SQL_TYPE_TEXT] = 1009,
		[SQL_TYPE_BYTES] = 1001,
		[SQL_TYPE_UUID] = 2951,
	};

	return types[a->type == SQL_TYPE_NULL ? a->len : a->type];
}

static uint32_t
set_size(const struct store_req *r)
{
	uint32_t n = 0;

	for (; r != NULL; r = r->peer)
		n++;
	return n;
}

static void
add_array(struct buf *b, const struct store_req *r, int call, int arg)
{
	Oid type = pg_type(&r->calls[call].args[arg]);

	MUST(type != 0);
	add32(b, 1); /* dimensions */
	add32(b, 1); /* there may be NULLs */
	add32(b, type);
	add32(b, set_size(r));
	add32(b, 1); /* the lower bound */
	for (; r != NULL; r = r->peer)
		add_element(b, &r->calls[call].args[arg]);
}

void
pg_set_params(struct pg_params *p, struct buf *mem, const struct store_req *r,
    int call)
{
	size_t at[STORE_ARGS_MAX + 1];

	p->n = r->calls[call].n_args;
	for (int i = 0; i < p->n; i++) {
		at[i] = mem->len;
		add_array(mem, r, call, i);
	}
	at[p->n] = mem->len;
	for (int i = 0; i < p->n; i++) {
		p->types[i] = array_type(&r->calls[call].args[i]);
		p->formats[i] = 1;
		p->values[i] = mem->data + at[i];
		p->lengths[i] = (int)(at[i + 1] - at[i]);
	}
}

/* ---- Answers ------------------------------------------------------- */

static struct rows *
answer_of(bool done)
{
	struct rows *rows = rows_new(1);

	if (done)
		rows_add_int(rows, 1);
	rows_end(rows, done);
	return rows;
}

void
pg_set_answer(struct store_req *r, PGresult *res)
{
	int64_t size = set_size(r), n;
	struct rows *all = pg_rows(res);
	bool *done = xcalloc((size_t)size, sizeof(*done));

	for (int i = 0; i < rows_count(all); i++) {
		n = rows_int(all, i, 0);
		MUST(n > 0 && n <= size);
		done[n - 1] = true;
	}
	for (n = 0; r != NULL; r = r->peer)
		r->rows[0] = answer_of(done[n++]);
	free(done);
	rows_free(all);
}
