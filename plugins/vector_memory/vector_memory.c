/* SPDX-License-Identifier: Apache-2.0 */
#include <agentstudio/vector.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

/*
 * A vector store in memory, exact and small: rows of a collection are sorted by
 * id, and a search looks at all of them.  Searching takes its time, so it runs
 * on the pool, and a lock is between the threads; nothing waits while it is
 * held.
 */

struct conf {
	int64_t max_rows;
};

static const struct as_field options[] = {
	AS_INT(struct conf, max_rows, 10000, 1, 1000000, 0,
	    "Rows that all collections together may have."),
	AS_END,
};

struct row {
	char *id;
	char *meta; /* JSON */
	float *vector;
};

struct collection {
	struct collection *next;
	char *name;
	uint32_t dim;
	size_t n, room;
	struct row *rows; /* by id */
};

struct store {
	pthread_mutex_t lock;
	struct collection *first;
	size_t n_rows;
};

/* ---- Rows ---------------------------------------------------------- */

static char *
copy_text(const char *s)
{
	size_t n = strlen(s) + 1;
	char *to = malloc(n);

	return to != NULL ? memcpy(to, s, n) : NULL;
}

static void
row_clear(struct row *r)
{
	free(r->id);
	free(r->meta);
	free(r->vector);
}

/* Where the id is, or would be. */
static size_t
row_place(const struct collection *c, const char *id, bool *found)
{
	size_t low = 0, high = c->n, mid;
	int order;

	*found = false;
	while (low < high) {
		mid = low + (high - low) / 2;
		order = strcmp(c->rows[mid].id, id);
		*found = order == 0;
		if (*found)
			return mid;
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool
row_fill(struct row *r, const char *id, const char *meta, const float *vector,
    uint32_t dim)
{
	r->id = copy_text(id);
	r->meta = copy_text(meta);
	r->vector = malloc(dim * sizeof(float));
	if (r->id == NULL || r->meta == NULL || r->vector == NULL) {
		row_clear(r);
		return false;
	}
	memcpy(r->vector, vector, dim * sizeof(float));
	return true;
}

static bool
rows_grow(struct collection *c)
{
	size_t room = c->room > 0 ? c->room * 2 : 16;
	struct row *rows;

	if (c->n < c->room)
		return true;
	rows = realloc(c->rows, room * sizeof(*rows));
	if (rows == NULL)
		return false;
	c->rows = rows;
	c->room = room;
	return true;
}

/* AS_LIMIT: the store is full. */
static enum as_status
row_put(struct store *s, struct collection *c, struct row *row, size_t max)
{
	bool found;
	size_t at = row_place(c, row->id, &found);

	if (found) {
		row_clear(&c->rows[at]);
		c->rows[at] = *row;
		return AS_OK;
	}
	if (s->n_rows >= max)
		return AS_LIMIT;
	if (!rows_grow(c))
		return AS_NOMEM;
	memmove(&c->rows[at + 1], &c->rows[at], (c->n - at) * sizeof(*c->rows));
	c->rows[at] = *row;
	c->n++;
	s->n_rows++;
	return AS_OK;
}

static void
row_remove(struct store *s, struct collection *c, const char *id)
{
	bool found;
	size_t at = row_place(c, id, &found);

	if (!found)
		return;
	row_clear(&c->rows[at]);
	c->n--;
	s->n_rows--;
	memmove(&c->rows[at], &c->rows[at + 1], (c->n - at) * sizeof(*c->rows));
}

/* ---- Collections --------------------------------------------------- */

static void
collection_free(struct collection *c)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		row_clear(&c->rows[i]);
	free(c->rows);
	free(c->name);
	free(c);
}

static struct collection **
collection_find(struct store *s, const char *name)
{
	struct collection **at = &s->first;

	while (*at != NULL && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

/* With the lock held.  NULL with the failure in the call. */
static struct collection *
collection_of(struct as_call *call, const struct as_collection *in,
    enum as_status *st)
{
	struct collection *c = *collection_find(as_state(call), in->name);

	if (c == NULL)
		*st = as_fail(call, AS_NOTFOUND, "no collection %s", in->name);
	else if (c->dim != in->dim)
		*st = as_fail(call, AS_CONFLICT,
		    "%s has vectors of %u components, not %u", in->name, c->dim,
		    in->dim);
	else
		*st = AS_OK;
	return *st == AS_OK ? c : NULL;
}

static enum as_status
create(struct as_call *call, const struct as_collection *in)
{
	struct store *s = as_state(call);
	enum as_status st = AS_OK;
	struct collection *c;

	pthread_mutex_lock(&s->lock);
	if (*collection_find(s, in->name) != NULL) {
		collection_of(call, in, &st);
	} else if ((c = calloc(1, sizeof(*c))) == NULL ||
		   (c->name = copy_text(in->name)) == NULL) {
		free(c);
		st = as_fail(call, AS_NOMEM, "no memory for a collection");
	} else {
		c->dim = in->dim;
		c->next = s->first;
		s->first = c;
	}
	pthread_mutex_unlock(&s->lock);
	return st;
}

static enum as_status
drop(struct as_call *call, const struct as_collection *in)
{
	struct store *s = as_state(call);
	struct collection **at, *c;

	pthread_mutex_lock(&s->lock);
	at = collection_find(s, in->name);
	if ((c = *at) != NULL) {
		*at = c->next;
		s->n_rows -= c->n;
		collection_free(c);
	}
	pthread_mutex_unlock(&s->lock);
	return AS_OK;
}

static enum as_status
put(struct as_call *call, const struct as_collection *in,
    const struct as_rows *rows)
{
	const struct conf *conf = as_conf(call);
	struct store *s = as_state(call);
	enum as_status st;
	struct collection *c;
	struct row row;
	uint32_t i;

	pthread_mutex_lock(&s->lock);
	c = collection_of(call, in, &st);
	for (i = 0; st == AS_OK && i < rows->n; i++) {
		if (!row_fill(&row, rows->ids[i], as_text(call, rows->metas[i]),
			rows->vectors + (size_t)i * in->dim, in->dim)) {
			st = AS_NOMEM;
			break;
		}
		st = row_put(s, c, &row, (size_t)conf->max_rows);
		if (st != AS_OK)
			row_clear(&row);
	}
	pthread_mutex_unlock(&s->lock);
	if (st == AS_LIMIT)
		return as_fail(call, AS_LIMIT,
		    "the store is full: max_rows = %lld",
		    (long long)conf->max_rows);
	return st == AS_NOMEM ? as_fail(call, st, "no memory for a row") : st;
}

static enum as_status
drop_rows(struct as_call *call, const struct as_collection *in,
    const char *const *ids, uint32_t n)
{
	struct store *s = as_state(call);
	struct collection *c;
	enum as_status st;
	uint32_t i;

	pthread_mutex_lock(&s->lock);
	c = collection_of(call, in, &st);
	for (i = 0; st == AS_OK && i < n; i++)
		row_remove(s, c, ids[i]);
	pthread_mutex_unlock(&s->lock);
	return st;
}

/* ---- Search -------------------------------------------------------- */

/* Larger is better, so a distance counts from zero down. */
static double
score_of(enum as_metric metric, const float *a, const float *b, uint32_t dim)
{
	double sum = 0, d;
	uint32_t i;

	if (metric == AS_EUCLID) {
		for (i = 0; i < dim; i++) {
			d = (double)a[i] - (double)b[i];
			sum += d * d;
		}
		return -sqrt(sum);
	}
	for (i = 0; i < dim; i++)
		sum += (double)a[i] * (double)b[i];
	return sum;
}

struct found {
	const char *id;
	const struct as_json *meta;
	double score;
};

/* Among the best so far, best first; the worst of too many falls out. */
static void
found_add(struct found *best, uint32_t *n, uint32_t limit, struct found one)
{
	uint32_t i;

	if (*n == limit && one.score <= best[*n - 1].score)
		return;
	i = *n < limit ? (*n)++ : *n - 1;
	for (; i > 0 && best[i - 1].score < one.score; i--)
		best[i] = best[i - 1];
	best[i] = one;
}

/* Ids and metadata become the call's: the rows may be gone when it is told. */
static enum as_status
scan(struct as_call *call, const struct as_collection *in,
    const struct collection *c, const struct as_query *q, struct found *best,
    uint32_t *n)
{
	const struct as_json *meta = NULL;
	struct found one;
	uint32_t k;
	size_t i;

	for (i = 0; i < c->n; i++) {
		one.score = score_of(in->metric, c->rows[i].vector, q->vector,
		    c->dim);
		one.id = c->rows[i].id;
		one.meta = NULL;
		if (one.score < q->min_score)
			continue;
		if (q->filter != NULL) {
			meta = as_parse(call, c->rows[i].meta);
			if (!as_passes(q->filter, meta))
				continue;
		}
		found_add(best, n, q->limit, one);
	}
	for (k = 0; k < *n; k++) {
		bool there;
		const struct row
		    *r = &c->rows[row_place(c, best[k].id, &there)];

		best[k].id = as_printf(call, "%s", r->id);
		best[k].meta = as_parse(call, r->meta);
	}
	return AS_OK;
}

static enum as_status
search(struct as_call *call, const struct as_collection *in,
    const struct as_query *q)
{
	struct found *best = as_alloc(call, q->limit * sizeof(*best));
	struct store *s = as_state(call);
	struct collection *c;
	enum as_status st;
	uint32_t n = 0, i;

	if (best == NULL)
		return as_fail(call, AS_NOMEM, "no memory for %u hits",
		    q->limit);
	pthread_mutex_lock(&s->lock);
	c = collection_of(call, in, &st);
	if (st == AS_OK)
		st = scan(call, in, c, q, best, &n);
	pthread_mutex_unlock(&s->lock);
	for (i = 0; st == AS_OK && i < n; i++)
		st = as_hit(call, best[i].id, best[i].score, best[i].meta);
	return st;
}

/* ---- Life ---------------------------------------------------------- */

static enum as_status
init(struct as_call *call)
{
	struct store *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return as_fail(call, AS_NOMEM, "no memory for the store");
	pthread_mutex_init(&s->lock, NULL);
	as_set_state(call, s);
	return AS_OK;
}

static void
fini(struct as_call *call)
{
	struct store *s = as_state(call);
	struct collection *c;

	while ((c = s->first) != NULL) {
		s->first = c->next;
		collection_free(c);
	}
	pthread_mutex_destroy(&s->lock);
	free(s);
	as_set_state(call, NULL);
}

AS_PLUGIN(.name = "vector_memory", .summary = "Keeps vectors in memory.",
    .version = "1.0.0", .flags = AS_BLOCKING | AS_UNLOADABLE,
    AS_OPTIONS(struct conf, options),
    .vector = AS_VECTOR(.create = create, .drop = drop, .put = put,
	.remove = drop_rows, .search = search),
    .init = init, .fini = fini);
