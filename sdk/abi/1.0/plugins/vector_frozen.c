#include <stdlib.h>

#include <agentstudio/vector.h>

/*
 * A store that keeps its rows in memory and looks at each of them.  All calls
 * of this plugin run on one thread and none of them waits, so there is no lock.
 */

struct row {
	struct row *next;
	char *collection;
	char *id;
	char *meta; /* JSON text */
	float *vector;
};

struct store {
	struct row *rows;
};

static void
row_free(struct row *row)
{
	free(row->collection);
	free(row->id);
	free(row->meta);
	free(row->vector);
	free(row);
}

static char *
copy(const char *text)
{
	size_t n = strlen(text) + 1;
	char *to = malloc(n);

	return to != NULL ? memcpy(to, text, n) : NULL;
}

static struct row *
row_new(const struct as_collection *in, const char *id, const char *meta,
    const float *vector)
{
	struct row *row = calloc(1, sizeof(*row));

	if (row == NULL)
		return NULL;
	row->collection = copy(in->name);
	row->id = copy(id);
	row->meta = copy(meta);
	row->vector = malloc(in->dim * sizeof(*vector));
	if (row->collection != NULL && row->id != NULL && row->meta != NULL &&
	    row->vector != NULL) {
		memcpy(row->vector, vector, in->dim * sizeof(*vector));
		return row;
	}
	row_free(row);
	return NULL;
}

/* Drops a row of the collection, or with id NULL all of them. */
static void
forget(struct store *store, const char *collection, const char *id)
{
	struct row **at = &store->rows, *row;

	while ((row = *at) != NULL) {
		if (strcmp(row->collection, collection) != 0 ||
		    (id != NULL && strcmp(row->id, id) != 0)) {
			at = &row->next;
			continue;
		}
		*at = row->next;
		row_free(row);
	}
}

static enum as_status
create(struct as_call *call, const struct as_collection *in)
{
	(void)call, (void)in;
	return AS_OK; /* a collection is there when it has rows */
}

static enum as_status
drop(struct as_call *call, const struct as_collection *in)
{
	forget(as_state(call), in->name, NULL);
	return AS_OK;
}

static enum as_status
put(struct as_call *call, const struct as_collection *in,
    const struct as_rows *rows)
{
	struct store *store = as_state(call);
	struct row *row;

	for (uint32_t i = 0; i < rows->n; i++) {
		row = row_new(in, rows->ids[i], as_text(call, rows->metas[i]),
		    rows->vectors + (size_t)i * in->dim);
		if (row == NULL)
			return as_fail(call, AS_NOMEM, "no memory for a row");
		forget(store, in->name, rows->ids[i]);
		row->next = store->rows;
		store->rows = row;
	}
	return AS_OK;
}

static enum as_status
discard(struct as_call *call, const struct as_collection *in,
    const char *const *ids, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		forget(as_state(call), in->name, ids[i]);
	return AS_OK;
}

/* Larger is better, whatever the metric. */
static double
score(const struct as_collection *in, const float *a, const float *b)
{
	double sum = 0;

	for (uint32_t i = 0; i < in->dim; i++) {
		if (in->metric == AS_EUCLID)
			sum -= (a[i] - b[i]) * (double)(a[i] - b[i]);
		else
			sum += a[i] * (double)b[i];
	}
	return sum;
}

struct hit {
	double score;
	const struct row *row;
};

static int
by_score(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;

	return (x->score < y->score) - (x->score > y->score);
}

static enum as_status
search(struct as_call *call, const struct as_collection *in,
    const struct as_query *query)
{
	const struct store *store = as_state(call);
	enum as_status st = AS_OK;
	const struct row *row;
	size_t n = 0, i;
	struct hit *hits;

	for (row = store->rows; row != NULL; row = row->next)
		n++;
	if ((hits = as_alloc(call, (n + 1) * sizeof(*hits))) == NULL)
		return as_fail(call, AS_NOMEM, "no memory for the search");
	for (n = 0, row = store->rows; row != NULL; row = row->next) {
		if (strcmp(row->collection, in->name) != 0 ||
		    !as_passes(query->filter, as_parse(call, row->meta)))
			continue;
		hits[n].row = row;
		hits[n].score = score(in, row->vector, query->vector);
		n += hits[n].score >= query->min_score;
	}
	qsort(hits, n, sizeof(*hits), by_score);
	for (i = 0; i < n && i < query->limit && st == AS_OK; i++)
		st = as_hit(call, hits[i].row->id, hits[i].score,
		    as_parse(call, hits[i].row->meta));
	return st;
}

static enum as_status
init(struct as_call *call)
{
	as_set_state(call, calloc(1, sizeof(struct store)));
	return as_state(call) != NULL ? AS_OK : AS_NOMEM;
}

static void
fini(struct as_call *call)
{
	struct store *store = as_state(call);
	struct row *row;

	while ((row = store->rows) != NULL) {
		store->rows = row->next;
		row_free(row);
	}
	free(store);
}

AS_PLUGIN(.name = "vector_frozen", .summary = "Keeps vectors in memory.",
    .version = "0.1.0", .init = init, .fini = fini,
    .vector = AS_VECTOR(.create = create, .drop = drop, .put = put,
	.remove = discard, .search = search));
