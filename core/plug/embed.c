/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/plug/call.h"
#include "core/plug/unit.h"

/*
 * Embeddings: texts go to the provider in batches of its size, vectors come
 * back in any order; what is handed out has one for each text, all of one
 * dimension.
 */

#define BATCH 64
#define DIM_MAX 16384
#define TEXTS_MAX 65536

struct embed_taker {
	float *vectors; /* n rows of dim, once dim is known */
	bool *has;
	uint32_t n, dim;
	uint32_t first, batch; /* what is asked for now */
	const char *fault;
};

static enum as_status
embed_fault(struct embed_taker *t, const char *fault)
{
	t->fault = fault;
	return AS_UPSTREAM;
}

static enum as_status
embed_take(struct exchange *x, const struct msg *m)
{
	struct embed_taker *t = x->taker;
	size_t dim = m->len / sizeof(float);
	uint32_t row = t->first + m->index;

	if (m->kind != EMIT_VECTOR)
		return AS_OK;
	if (m->index >= t->batch)
		return embed_fault(t, "a vector of no text");
	if (dim == 0 || dim > DIM_MAX || m->len % sizeof(float) != 0)
		return embed_fault(t, "a vector of no usable dimension");
	if (t->dim == 0) {
		t->dim = (uint32_t)dim;
		t->vectors = xcalloc(t->n, dim * sizeof(float));
	}
	if (t->dim != dim)
		return embed_fault(t, "vectors of two dimensions");
	memcpy(t->vectors + (size_t)row * dim, m->bytes, m->len);
	t->has[row] = true;
	return AS_OK;
}

SUSPENDS static enum as_status
embed_batch(struct exchange *x, const char *const *texts, struct error *err)
{
	struct embed_taker *t = x->taker;
	struct json_object *list = jarr();
	enum as_status st;
	uint32_t i;

	for (i = 0; i < t->batch; i++)
		json_object_array_add(list,
		    json_object_new_string(texts[t->first + i]));
	x->op.value = list;
	st = exchange_run(x, err);
	json_object_put(list);
	for (i = 0; st == AS_OK && i < t->batch; i++) {
		if (!t->has[t->first + i])
			st = embed_fault(t, "a text without a vector");
	}
	if (t->fault != NULL && st != AS_CANCELED)
		st = error_set(err, ERR_UPSTREAM_UNAVAILABLE, "%s gave %s",
		    x->unit->slug, t->fault);
	return st;
}

enum as_status
plug_embed(struct plug *p, const struct plug_caller *who, const char *model,
    const char *const *texts, uint32_t n, bool is_query, float **vectors,
    uint32_t *dim, struct error *err)
{
	struct embed_taker t = { .n = n };
	struct exchange x = { .plug = p,
		.who = who,
		.take = embed_take,
		.taker = &t };
	enum as_status st = AS_OK;
	uint32_t batch;

	*vectors = NULL;
	*dim = 0;
	if ((x.unit = unit_of_model(p, model, &x.op.name)) == NULL)
		return error_not_found(err, "model", model);
	if (n == 0 || n > TEXTS_MAX)
		return error_set(err, ERR_TOO_LARGE,
		    "1 to %d texts can be embedded at once", TEXTS_MAX);
	x.op.kind = OP_EMBED;
	x.op.n = is_query;
	batch = x.unit->file->llm.embed_batch;
	batch = batch > 0 ? batch : BATCH;
	t.has = xcalloc(n, sizeof(*t.has));
	unit_hold(x.unit);
	for (; t.first < n && st == AS_OK; t.first += t.batch) {
		t.batch = n - t.first < batch ? n - t.first : batch;
		st = embed_batch(&x, texts, err);
	}
	unit_drop(x.unit);
	free(t.has);
	if (st == AS_OK) {
		*vectors = t.vectors;
		*dim = t.dim;
	} else
		free(t.vectors);
	return st;
}
