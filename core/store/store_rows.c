/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_priv.h"

#include <string.h>

#include "core/base/arena.h"
#include "core/base/mem.h"

/*
 * The answer to one statement, the same for both databases: a table of typed
 * cells.  Text and bytes are at an offset of `data` while it grows and become
 * pointers in rows_end, or point into what `owner` keeps alive.
 */

struct cell {
	enum sql_type type;
	bool is_offset;
	size_t len;
	union {
		int64_t i;
		double n;
		size_t at;
		const char *p;
	} v;
};

struct rows {
	int n_cols;
	int n_rows;
	int64_t affected;
	struct cell *cells;
	size_t n_cells, cap_cells;
	struct buf data;
	void *owner;
	void (*owner_free)(void *);
};

struct rows *
rows_new(int n_cols)
{
	struct rows *r = xcalloc(1, sizeof(*r));

	r->n_cols = n_cols;
	return r;
}

void
rows_own(struct rows *r, void *owner, void (*fn)(void *))
{
	r->owner = owner;
	r->owner_free = fn;
}

static struct cell *
rows_add(struct rows *r, enum sql_type type)
{
	struct cell *c;

	if (r->n_cells == r->cap_cells) {
		r->cap_cells = r->cap_cells == 0 ? (size_t)r->n_cols
						 : r->cap_cells * 2;
		r->cells = xrealloc(r->cells, r->cap_cells * sizeof(*r->cells));
	}
	c = &r->cells[r->n_cells++];
	c->type = type;
	c->is_offset = false;
	c->len = 0;
	c->v.i = 0;
	return c;
}

void
rows_add_null(struct rows *r)
{
	rows_add(r, SQL_TYPE_NULL);
}

void
rows_add_int(struct rows *r, int64_t i)
{
	rows_add(r, SQL_TYPE_INT)->v.i = i;
}

void
rows_add_num(struct rows *r, double n)
{
	rows_add(r, SQL_TYPE_NUM)->v.n = n;
}

void
rows_add_copy(struct rows *r, enum sql_type type, const void *p, size_t len)
{
	struct cell *c = rows_add(r, type);

	c->is_offset = true;
	c->len = len;
	c->v.at = r->data.len;
	if (len > 0)
		buf_add(&r->data, p, len);
	buf_add_char(&r->data, '\0');
}

void
rows_add_ref(struct rows *r, enum sql_type type, const void *p, size_t len)
{
	struct cell *c = rows_add(r, type);

	c->len = len;
	c->v.p = p;
}

void
rows_end(struct rows *r, int64_t affected)
{
	for (size_t i = 0; i < r->n_cells; i++)
		if (r->cells[i].is_offset)
			r->cells[i].v.p = r->data.data + r->cells[i].v.at;
	r->n_rows = r->n_cols == 0 ? 0 : (int)(r->n_cells / (size_t)r->n_cols);
	r->affected = affected;
}

int
rows_count(const struct rows *r)
{
	return r == NULL ? 0 : r->n_rows;
}

int64_t
rows_affected(const struct rows *r)
{
	return r == NULL ? 0 : r->affected;
}

static const struct cell *
rows_cell(const struct rows *r, int row, int col)
{
	MUST(r != NULL && row >= 0 && row < r->n_rows);
	MUST(col >= 0 && col < r->n_cols);
	return &r->cells[(size_t)row * (size_t)r->n_cols + (size_t)col];
}

bool
rows_is_null(const struct rows *r, int row, int col)
{
	return rows_cell(r, row, col)->type == SQL_TYPE_NULL;
}

int64_t
rows_int(const struct rows *r, int row, int col)
{
	const struct cell *c = rows_cell(r, row, col);

	if (c->type == SQL_TYPE_NUM)
		return (int64_t)c->v.n;
	MUST(c->type == SQL_TYPE_NULL || c->type == SQL_TYPE_INT);
	return c->v.i;
}

double
rows_num(const struct rows *r, int row, int col)
{
	const struct cell *c = rows_cell(r, row, col);

	if (c->type == SQL_TYPE_NUM)
		return c->v.n;
	MUST(c->type == SQL_TYPE_NULL || c->type == SQL_TYPE_INT);
	return (double)c->v.i;
}

bool
rows_bool(const struct rows *r, int row, int col)
{
	return rows_int(r, row, col) != 0;
}

const char *
rows_text(const struct rows *r, int row, int col)
{
	return rows_bytes(r, row, col, NULL);
}

const char *
rows_text_in(const struct rows *r, int row, int col, struct arena *arena)
{
	return arena_strdup(arena, rows_text(r, row, col));
}

const void *
rows_bytes(const struct rows *r, int row, int col, size_t *len)
{
	const struct cell *c = rows_cell(r, row, col);

	if (len != NULL)
		*len = c->len;
	if (c->type == SQL_TYPE_NULL)
		return NULL;
	MUST(c->type == SQL_TYPE_TEXT || c->type == SQL_TYPE_BYTES);
	return c->v.p;
}

struct uuid
rows_uuid(const struct rows *r, int row, int col)
{
	const struct cell *c = rows_cell(r, row, col);
	struct uuid id = { { 0 } };

	if (c->type == SQL_TYPE_NULL)
		return id;
	MUST(c->type == SQL_TYPE_BYTES && c->len == sizeof(id.b));
	memcpy(id.b, c->v.p, sizeof(id.b));
	return id;
}

void
rows_free(struct rows *r)
{
	if (r == NULL)
		return;
	if (r->owner != NULL)
		r->owner_free(r->owner);
	buf_free(&r->data);
	free(r->cells);
	free(r);
}
