/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/plug/call.h"
#include "core/plug/unit.h"

/*
 * Vector stores.  What goes in is checked here, so a store sees rows of one
 * dimension with finite components; with AS_COSINE they are unit vectors, so it
 * needs only the dot product.  Floats are the bytes of a message, never text.
 */

#define DIM_MAX 16384
#define ID_MAX 255
#define LIMIT_MAX 10000
#define BATCH_BYTES ((size_t)8 << 20) /* of floats in one call */

/* ---- Which store --------------------------------------------------- */

static struct unit *
vector_at(struct plug *p, const char *store, size_t i)
{
	const struct registry *r = registry_now(p);
	size_t k;

	for (k = 0; r != NULL && k < r->n_units; k++) {
		struct unit *u = r->units[k];

		if (u->file->about.vector == NULL ||
		    (store != NULL && strcmp(u->slug, store) != 0))
			continue;
		if (i-- == 0)
			return u;
	}
	return NULL;
}

const char *
plug_vector_store(struct plug *p, size_t i)
{
	struct unit *u = vector_at(p, NULL, i);

	return u != NULL ? u->slug : NULL;
}

/* ---- What goes in -------------------------------------------------- */

static enum as_status
collection_check(const struct plug_collection *c, struct error *err)
{
	size_t n = c->name != NULL
		       ? strspn(c->name, "abcdefghijklmnopqrstuvwxyz"
					 "0123456789_")
		       : 0;

	if (n == 0 || n > 63 || c->name[n] != '\0')
		return error_set(err, ERR_BAD_REQUEST,
		    "a collection cannot be called '%.80s': 1 to 63 of a-z, "
		    "0-9 and '_'",
		    c->name != NULL ? c->name : "");
	if (c->dim == 0 || c->dim > DIM_MAX)
		return error_set(err, ERR_BAD_REQUEST,
		    "vectors have 1 to %d components, not %u", DIM_MAX, c->dim);
	if (c->metric < AS_COSINE || c->metric > AS_EUCLID)
		return error_set(err, ERR_BAD_REQUEST,
		    "no metric has the number %d", (int)c->metric);
	return AS_OK;
}

static enum as_status
id_check(const char *id, struct error *err)
{
	if (id != NULL && *id != '\0' && strlen(id) <= ID_MAX)
		return AS_OK;
	return error_set(err, ERR_BAD_REQUEST, "an id has 1 to %d bytes",
	    ID_MAX);
}

/* A copy as the store shall see it. */
static enum as_status
vectors_copy(const struct plug_collection *c, const float *from, uint32_t n,
    float *to, struct error *err)
{
	uint32_t i, k;

	for (i = 0; i < n; i++, from += c->dim, to += c->dim) {
		double sum = 0;

		for (k = 0; k < c->dim; k++) {
			if (!isfinite(from[k]))
				return error_set(err, ERR_BAD_REQUEST,
				    "vector %u has a component that is not "
				    "finite",
				    i);
			sum += (double)from[k] * (double)from[k];
		}
		if (c->metric == AS_COSINE && !(sum > 0))
			return error_set(err, ERR_BAD_REQUEST,
			    "vector %u has no direction: it is zero", i);
		sum = c->metric == AS_COSINE ? 1 / sqrt(sum) : 1;
		for (k = 0; k < c->dim; k++)
			to[k] = (float)((double)from[k] * sum);
	}
	return AS_OK;
}

/* ---- Calls --------------------------------------------------------- */

struct vector_call {
	struct exchange x;
	const struct plug_collection *c;
};

/* Its unit is held until call_end. */
static enum as_status
vector_begin(struct vector_call *v, struct plug *p,
    const struct plug_caller *who, const char *store,
    const struct plug_collection *c, enum msg_kind kind, struct error *err)
{
	struct unit *u = vector_at(p, store, 0);

	memset(v, 0, sizeof(*v));
	if (u == NULL && store != NULL)
		return error_not_found(err, "vector store", store);
	if (u == NULL)
		return error_set(err, ERR_UNSUPPORTED,
		    "no plugin is a vector store");
	v->c = c;
	v->x.plug = p;
	v->x.who = who;
	v->x.unit = unit_hold(u);
	v->x.op.kind = kind;
	v->x.op.name = c->name;
	v->x.op.index = c->dim;
	v->x.op.n = c->metric;
	return collection_check(c, err);
}

static enum as_status
vector_end(struct vector_call *v, enum as_status st)
{
	unit_drop(v->x.unit);
	return st;
}

enum as_status
plug_vector_create(struct plug *p, const struct plug_caller *who,
    const char *store, const struct plug_collection *c, struct error *err)
{
	struct vector_call v;
	enum as_status st = vector_begin(&v, p, who, store, c, OP_CREATE, err);

	return vector_end(&v, st == AS_OK ? exchange_run(&v.x, err) : st);
}

enum as_status
plug_vector_drop(struct plug *p, const struct plug_caller *who,
    const char *store, const struct plug_collection *c, struct error *err)
{
	struct vector_call v;
	enum as_status st = vector_begin(&v, p, who, store, c, OP_DROP, err);

	return vector_end(&v, st == AS_OK ? exchange_run(&v.x, err) : st);
}

SUSPENDS static enum as_status
put_some(struct vector_call *v, const struct plug_rows *rows, uint32_t from,
    uint32_t n, struct error *err)
{
	size_t dim = v->c->dim;
	float *vectors = xcalloc((size_t)n * dim, sizeof(float));
	struct json_object *value = jobj(), *ids = jarr(), *metas = jarr();
	enum as_status st;
	uint32_t i;

	jput(value, "ids", ids);
	jput(value, "metas", metas);
	st = vectors_copy(v->c, rows->vectors + from * dim, n, vectors, err);
	for (i = from; i < from + n && st == AS_OK; i++) {
		st = id_check(rows->ids[i], err);
		if (st != AS_OK)
			break;
		json_object_array_add(ids,
		    json_object_new_string(rows->ids[i]));
		json_object_array_add(metas,
		    rows->metas != NULL && rows->metas[i] != NULL
			? json_copy(rows->metas[i])
			: jobj());
	}
	v->x.op.value = value;
	v->x.op.bytes = vectors;
	v->x.op.len = (size_t)n * dim * sizeof(float);
	if (st == AS_OK)
		st = exchange_run(&v->x, err);
	json_object_put(value);
	free(vectors);
	return st;
}

enum as_status
plug_vector_put(struct plug *p, const struct plug_caller *who,
    const char *store, const struct plug_collection *c,
    const struct plug_rows *rows, struct error *err)
{
	struct vector_call v;
	enum as_status st = vector_begin(&v, p, who, store, c, OP_PUT, err);
	uint32_t from, n, batch = 1;

	if (st == AS_OK)
		batch = (uint32_t)(BATCH_BYTES / (c->dim * sizeof(float)));
	for (from = 0; from < rows->n && st == AS_OK; from += n) {
		n = rows->n - from < batch ? rows->n - from : batch;
		st = put_some(&v, rows, from, n, err);
	}
	return vector_end(&v, st);
}

enum as_status
plug_vector_remove(struct plug *p, const struct plug_caller *who,
    const char *store, const struct plug_collection *c, const char *const *ids,
    uint32_t n, struct error *err)
{
	struct vector_call v;
	struct json_object *list = jarr();
	enum as_status st = vector_begin(&v, p, who, store, c, OP_REMOVE, err);
	uint32_t i;

	for (i = 0; i < n && st == AS_OK; i++) {
		if ((st = id_check(ids[i], err)) == AS_OK)
			json_object_array_add(list,
			    json_object_new_string(ids[i]));
	}
	v.x.op.value = list;
	if (st == AS_OK && n > 0)
		st = exchange_run(&v.x, err);
	json_object_put(list);
	return vector_end(&v, st);
}

/* ---- Search -------------------------------------------------------- */

struct hit_taker {
	const struct plug_query *q;
	struct plug_hit *hits;
	uint32_t n;
	const char *fault;
};

static enum as_status
hit_fault(struct hit_taker *t, const char *fault)
{
	t->fault = fault;
	return AS_UPSTREAM;
}

static enum as_status
hit_take(struct exchange *x, const struct msg *m)
{
	struct hit_taker *t = x->taker;
	struct plug_hit *hit;

	if (m->kind != EMIT_HIT)
		return AS_OK;
	if (m->name == NULL || *m->name == '\0')
		return hit_fault(t, "a hit without an id");
	if (!isfinite(m->x))
		return hit_fault(t, "a hit with a score that is not finite");
	if (t->n > 0 && m->x > t->hits[t->n - 1].score)
		return hit_fault(t, "hits that are not in order");
	if (m->x < t->q->min_score)
		return AS_OK;
	if (t->n == t->q->limit)
		return hit_fault(t, "more hits than were asked for");
	hit = &t->hits[t->n++];
	hit->id = xstrdup(m->name);
	hit->score = m->x;
	hit->meta = json_object_get(m->value);
	return AS_OK;
}

void
plug_hits_free(struct plug_hit *hits, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++) {
		free(hits[i].id);
		json_object_put(hits[i].meta);
	}
	free(hits);
}

static struct json_object *
query_to_json(const struct plug_query *q)
{
	struct json_object *o = jobj();

	jput_int(o, "limit", q->limit);
	jput_num(o, "min_score", q->min_score);
	if (q->filter != NULL)
		jput(o, "filter", json_copy(q->filter));
	return o;
}

enum as_status
plug_vector_search(struct plug *p, const struct plug_caller *who,
    const char *store, const struct plug_collection *c,
    const struct plug_query *q, struct plug_hit **hits, uint32_t *n,
    struct error *err)
{
	struct hit_taker t = { .q = q };
	struct vector_call v;
	enum as_status st = vector_begin(&v, p, who, store, c, OP_SEARCH, err);
	float *vector = NULL;

	*hits = NULL;
	*n = 0;
	if (st == AS_OK && (q->limit == 0 || q->limit > LIMIT_MAX))
		st = error_set(err, ERR_BAD_REQUEST, "1 to %d hits, not %u",
		    LIMIT_MAX, q->limit);
	if (st == AS_OK && !isfinite(q->min_score))
		st = error_set(err, ERR_BAD_REQUEST,
		    "the least score has to be finite");
	if (st == AS_OK) {
		vector = xcalloc(c->dim, sizeof(float));
		st = vectors_copy(c, q->vector, 1, vector, err);
	}
	if (st == AS_OK) {
		t.hits = xcalloc(q->limit, sizeof(*t.hits));
		v.x.take = hit_take;
		v.x.taker = &t;
		v.x.op.value = query_to_json(q);
		v.x.op.bytes = vector;
		v.x.op.len = c->dim * sizeof(float);
		st = exchange_run(&v.x, err);
		json_object_put(v.x.op.value);
		if (t.fault != NULL && st != AS_CANCELED)
			st = error_set(err, ERR_UPSTREAM_UNAVAILABLE,
			    "%s gave %s", v.x.unit->slug, t.fault);
	}
	free(vector);
	if (st == AS_OK) {
		*hits = t.hits;
		*n = t.n;
	} else
		plug_hits_free(t.hits, t.n);
	return vector_end(&v, st);
}
