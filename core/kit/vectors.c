/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/kit/impl.h"

/*
 * A vector store: ten rows are put, searched, filtered and removed, for each
 * metric.  What comes back is known, so the judge can be strict.
 */

#define ROWS 10
#define DIM_MAX 4096
#define NEAR 3 /* the row that is asked for */

static uint32_t
dim_of(const struct kit_op *op)
{
	return op->n_texts;
}

static void
vector_fill(const struct kit_op *op, uint32_t row, float *v)
{
	uint32_t i, dim = dim_of(op);
	double sum = 0;

	for (i = 0; i < dim; i++) {
		v[i] = (float)cos(1.0 + row * 0.7 + i * (row + 1) * 0.3);
		sum += (double)v[i] * v[i];
	}
	for (i = 0; i < dim; i++)
		v[i] = (float)(v[i] / sqrt(sum));
}

static void
collection(const struct kit_op *op, struct as_collection *c)
{
	static const char *const names[] = { "", "check_cosine", "check_dot",
		"check_euclid" };

	memset(c, 0, sizeof(*c));
	c->size = sizeof(*c);
	c->dim = dim_of(op);
	c->name = names[op->metric];
	c->metric = (enum as_metric)op->metric;
}

static const struct as_json *
meta(struct as_call *call, uint32_t row)
{
	struct json_object *o = jobj();

	jput_str(o, "owner", row % 2 == 0 ? "a" : "b");
	jput_int(o, "n", row);
	return value_to(call_own(call, o));
}

static enum as_status
put(struct as_call *call, const struct kit_op *op,
    const struct as_collection *c)
{
	uint32_t i, dim = dim_of(op);
	float *vectors = arena_alloc(call->arena,
	    (size_t)ROWS * dim * sizeof(float));
	const struct as_json *metas[ROWS];
	const char *ids[ROWS];
	struct as_rows rows = { .size = sizeof(rows),
		.n = ROWS,
		.ids = ids,
		.vectors = vectors,
		.metas = metas };

	for (i = 0; i < ROWS; i++) {
		ids[i] = arena_printf(call->arena, "row-%u", i);
		metas[i] = meta(call, i);
		vector_fill(op, i, vectors + (size_t)i * dim);
	}
	return call->unit->file->vector.put(call, c, &rows);
}

static enum as_status
search(struct as_call *call, const struct kit_op *op,
    const struct as_collection *c)
{
	bool filter = strcmp(op->stage, "filter") == 0;
	float *v = arena_alloc(call->arena, dim_of(op) * sizeof(*v));
	struct as_query q = { .size = sizeof(q),
		.limit = filter ? 2 * ROWS : 3,
		.vector = v,
		.min_score = -1e9 };
	struct json_object *f;

	vector_fill(op, NEAR, v);
	if (filter) {
		f = jobj();
		jput_str(f, "owner", "a");
		q.filter = value_to(call_own(call, f));
	}
	return call->unit->file->vector.search(call, c, &q);
}

static enum as_status
direct_vector(struct as_call *call, const struct kit_op *op)
{
	static const char *const gone[] = { "row-3", "row-not-there" };
	const struct as_vector *v = &call->unit->file->vector;
	struct as_collection c;

	collection(op, &c);
	if (op->what == KIT_SEARCH)
		return search(call, op, &c);
	if (strcmp(op->stage, "create") == 0)
		return v->create(call, &c);
	if (strcmp(op->stage, "put") == 0)
		return put(call, op, &c);
	if (strcmp(op->stage, "remove") == 0)
		return v->remove(call, &c, gone, 2);
	return v->drop(call, &c);
}

static void
metric_add(struct kit *k, int metric, const char *name, uint32_t dim)
{
	static const char *const stages[] = { "create", "put", "near", "filter",
		"remove", "near, after remove", "drop" };
	struct kit_op *op;
	bool find;
	size_t i;

	for (i = 0; i < N_ITEMS(stages); i++) {
		find = stages[i][0] == 'n' || stages[i][0] == 'f';
		op = op_add(k, find ? KIT_SEARCH : KIT_VECTOR, OP_START,
		    "%s%s (%s)", find ? "search " : "", stages[i], name);
		op->stage = stages[i];
		op->metric = metric;
		op->n_texts = dim;
		op->direct = direct_vector;
	}
}

static bool
is_wanted(struct json_object *list, const char *name)
{
	size_t i;

	if (!json_object_is_type(list, json_type_array))
		return strcmp(name, "cosine") == 0;
	for (i = 0; i < json_object_array_length(list); i++) {
		if (strcmp(json_object_get_string(
			       json_object_array_get_idx(list, i)),
			name) == 0)
			return true;
	}
	return false;
}

void
vectors_add(struct kit *k)
{
	static const char *const names[] = { "", "cosine", "dot", "euclid" };
	struct json_object *says = jget(k->script, "vector");
	int64_t dim = jget_int(says, "dim", 8);
	int metric;

	if (k->unit->file->about.vector == NULL || dim < 1 || dim > DIM_MAX)
		return;
	for (metric = AS_COSINE; metric <= AS_EUCLID; metric++) {
		if (is_wanted(jget(says, "metrics"), names[metric]))
			metric_add(k, metric, names[metric], (uint32_t)dim);
	}
}

/* ---- The judge ----------------------------------------------------- */

static bool
hit_is(struct json_object *hits, size_t i, const char *id)
{
	return strcmp(jget_str(json_object_array_get_idx(hits, i), "id", ""),
		   id) == 0;
}

static void
judge_order(struct kit *k, struct json_object *hits, size_t n)
{
	struct json_object *a, *b;
	size_t i;

	for (i = 1; i < n; i++) {
		a = json_object_array_get_idx(hits, i - 1);
		b = json_object_array_get_idx(hits, i);
		if (json_object_get_double(jget(a, "score")) <
		    json_object_get_double(jget(b, "score"))) {
			finding(k, RULE_hits,
			    "hit %zu has a better score than the one before",
			    i + 1);
			return;
		}
	}
}

void
judge_hits(struct world *w)
{
	bool filter = strcmp(w->op->stage, "filter") == 0;
	bool removed = strchr(w->op->stage, ',') != NULL;
	struct json_object *hits = w->said.hits, *one;
	size_t n = hits != NULL ? json_object_array_length(hits) : 0, i;

	if (n != (filter ? ROWS / 2 : 3))
		finding(w->kit, RULE_hits, "%zu hits instead of %d", n,
		    filter ? ROWS / 2 : 3);
	else if (!filter && !removed && !hit_is(hits, 0, "row-3"))
		finding(w->kit, RULE_hits,
		    "the row itself is not the best hit for its own vector");
	else
		judge_order(w->kit, hits, n);
	for (i = 0; i < n; i++) {
		one = json_object_array_get_idx(hits, i);
		if (removed && hit_is(hits, i, "row-3"))
			finding(w->kit, RULE_hits, "row-3 was removed");
		if (strcmp(jget_str(jget(one, "meta"), "owner", ""), "a") !=
			0 &&
		    filter)
			finding(w->kit, RULE_hits,
			    "%s does not pass the filter",
			    jget_str(one, "id", ""));
	}
}
