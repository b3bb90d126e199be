/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store_pg.h"

#include <endian.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"

/*
 * Values on their way to and from PostgreSQL.
 *
 * Parameters go as text, bytes as binary.  Their types are said when a
 * statement is prepared, so that they do not depend on inference.  Answers come
 * in binary; texts and bytes stay in the PGresult.
 */

#define OID_BOOL 16
#define OID_BYTEA 17
#define OID_INT8 20
#define OID_INT2 21
#define OID_INT4 23
#define OID_TEXT 25
#define OID_OID 26
#define OID_FLOAT4 700
#define OID_FLOAT8 701
#define OID_NUMERIC 1700
#define OID_UUID 2950
#define OID_INFER 0

Oid
pg_type(const struct sql_arg *a)
{
	switch (a->type == SQL_TYPE_NULL ? (enum sql_type)a->len : a->type) {
	case SQL_TYPE_INT:
		return OID_INT8;
	case SQL_TYPE_NUM:
		return OID_FLOAT8;
	case SQL_TYPE_BOOL:
		return OID_BOOL;
	case SQL_TYPE_BYTES:
		return OID_BYTEA;
	case SQL_TYPE_UUID:
		return OID_UUID;
	case SQL_TYPE_TEXT:
		return OID_TEXT;
	case SQL_TYPE_NULL:
		break;
	}
	return OID_INFER;
}

static void
param_set(struct pg_params *p, int i, const struct sql_arg *a)
{
	bool null = a->type == SQL_TYPE_NULL;

	p->types[i] = pg_type(a);
	p->formats[i] = 0;
	p->lengths[i] = 0;
	p->values[i] = null ? NULL : p->text[i];
	switch (a->type) {
	case SQL_TYPE_NULL:
		break;
	case SQL_TYPE_INT:
		snprintf(p->text[i], sizeof(p->text[i]), "%lld",
		    (long long)a->v.i);
		break;
	case SQL_TYPE_NUM:
		snprintf(p->text[i], sizeof(p->text[i]), "%.17g", a->v.n);
		break;
	case SQL_TYPE_BOOL:
		p->values[i] = a->v.i != 0 ? "t" : "f";
		break;
	case SQL_TYPE_TEXT:
		p->values[i] = a->v.p; /* NUL-terminated in a request's copy */
		break;
	case SQL_TYPE_BYTES:
		p->values[i] = a->len == 0 ? "" : a->v.p;
		p->lengths[i] = (int)a->len;
		p->formats[i] = 1;
		break;
	case SQL_TYPE_UUID:
		uuid_format(a->v.u, p->text[i]);
		break;
	}
}

void
pg_params_set(struct pg_params *p, const struct sql_arg *args, int n)
{
	p->n = n;
	for (int i = 0; i < n; i++)
		param_set(p, i, &args[i]);
}

/* ---- Results ------------------------------------------------------- */

static uint16_t
get16(const char *p)
{
	uint16_t x;

	memcpy(&x, p, sizeof(x));
	return be16toh(x);
}

static uint32_t
get32(const char *p)
{
	uint32_t x;

	memcpy(&x, p, sizeof(x));
	return be32toh(x);
}

static uint64_t
get64(const char *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof(x));
	return be64toh(x);
}

/*
 * Sums and averages of bigint are numeric: digits of base 10,000, the first of
 * which weighs 10,000 to the power of `weight`.
 */
static void
add_numeric(struct rows *r, const char *p, int len)
{
	int n = len < 8 ? 0 : (int16_t)get16(p);
	int weight = len < 8 ? 0 : (int16_t)get16(p + 2);
	bool neg = len >= 8 && get16(p + 4) == 0x4000;
	bool whole = len >= 8 && get16(p + 6) == 0 && weight < 4;
	int64_t i = 0;
	double x = 0;

	if (len >= 8 && get16(p + 4) == 0xc000) {
		rows_add_num(r, NAN);
		return;
	}
	for (int d = 0; d < n && 8 + 2 * d + 2 <= len; d++)
		x += get16(p + 8 + 2 * d) * pow(10000, weight - d);
	if (!whole) {
		rows_add_num(r, neg ? -x : x);
		return;
	}
	for (int d = 0; d <= weight; d++)
		i = i * 10000 + (d < n ? get16(p + 8 + 2 * d) : 0);
	rows_add_int(r, neg ? -i : i);
}

static void
add_float4(struct rows *r, const char *p)
{
	uint32_t bits = get32(p);
	float f;

	memcpy(&f, &bits, sizeof(f));
	rows_add_num(r, (double)f);
}

static void
add_float8(struct rows *r, const char *p)
{
	uint64_t bits = get64(p);
	double n;

	memcpy(&n, &bits, sizeof(n));
	rows_add_num(r, n);
}

static void
add_cell(struct rows *r, const PGresult *res, int row, int col)
{
	const char *p = PQgetvalue(res, row, col);
	int len = PQgetlength(res, row, col);

	switch (PQftype(res, col)) {
	case OID_BOOL:
		rows_add_int(r, *p != 0);
		break;
	case OID_INT2:
		rows_add_int(r, (int16_t)get16(p));
		break;
	case OID_INT4:
		rows_add_int(r, (int32_t)get32(p));
		break;
	case OID_OID:
		rows_add_int(r, (int64_t)get32(p));
		break;
	case OID_INT8:
		rows_add_int(r, (int64_t)get64(p));
		break;
	case OID_FLOAT4:
		add_float4(r, p);
		break;
	case OID_FLOAT8:
		add_float8(r, p);
		break;
	case OID_NUMERIC:
		add_numeric(r, p, len);
		break;
	case OID_BYTEA:
	case OID_UUID:
		rows_add_ref(r, SQL_TYPE_BYTES, p, (size_t)len);
		break;
	default:
		rows_add_ref(r, SQL_TYPE_TEXT, p, (size_t)len);
	}
}

static void
result_free(void *res)
{
	PQclear(res);
}

struct rows *
pg_rows(PGresult *res)
{
	int n_rows = PQntuples(res), n_cols = PQnfields(res);
	struct rows *r = rows_new(n_cols);

	for (int i = 0; i < n_rows; i++)
		for (int j = 0; j < n_cols; j++)
			if (PQgetisnull(res, i, j))
				rows_add_null(r);
			else
				add_cell(r, res, i, j);
	rows_end(r, strtoll(PQcmdTuples(res), NULL, 10));
	rows_own(r, res, result_free);
	return r;
}

/* ---- Errors -------------------------------------------------------- */

bool
pg_is_state(const PGresult *res, const char *sqlstate)
{
	const char *s = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	return s != NULL && strncmp(s, sqlstate, strlen(sqlstate)) == 0;
}

static enum as_status
unavailable(struct error *err, const char *msg)
{
	error_set(err, ERR_UNAVAILABLE, "database: %.*s",
	    (int)strcspn(msg, "\n"), msg);
	if (err != NULL)
		err->retry_after_ms = 1000;
	return AS_UNAVAILABLE;
}

enum as_status
pg_error(PGconn *pg, const PGresult *res, struct error *err)
{
	const char *msg = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	const char *name = PQresultErrorField(res, PG_DIAG_CONSTRAINT_NAME);
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	if (state == NULL)
		return unavailable(err, PQerrorMessage(pg));
	if (pg_is_state(res, "23505") || pg_is_state(res, "23503"))
		return store_conflict(err, name == NULL ? "" : name, msg);
	if (pg_is_state(res, "57014"))
		return error_set(err, ERR_TIMEOUT,
		    "the statement took too long");
	if (pg_is_state(res, "55P03"))
		return unavailable(err, "it is busy, a lock was not free");
	/* Connection, resources, operator, serialization, read-only. */
	if (pg_is_state(res, "08") || pg_is_state(res, "53") ||
	    pg_is_state(res, "57P") || pg_is_state(res, "58") ||
	    pg_is_state(res, "40") || pg_is_state(res, "25006"))
		return unavailable(err, msg);
	return error_set(err, ERR_INTERNAL, "database: %s (%s)", msg, state);
}
