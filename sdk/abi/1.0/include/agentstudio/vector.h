/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AS_SDK_VECTOR_H
#define AS_SDK_VECTOR_H
/* Columns and function tables are set by hand. */
/* clang-format off */

/*
 * Vector stores: the nearest passages to a question.
 *
 * A store keeps rows (id, vector, metadata) in collections.  All vectors of a
 * collection have one dimension.  Rows cross as columns: one array of ids, one
 * matrix, one array of metadata, each n long, so that a row can gain columns
 * and a matrix goes to a SIMD loop or a COPY as it is.
 *
 * With AS_COSINE the host gives unit vectors, in rows and in queries: cosine is
 * then the dot product, and a store needs only that.
 *
 * A filter is a JSON object; every member must hold: {"owner": "u1"} equality,
 * {"page": {"gte": 3, "lt": 9}} ranges, {"tag": {"in": ["a", "b"]}} choice.
 * The host puts tenant and owner into it.  It must be applied inside the
 * search, not to its result: ten hits means ten hits that pass.
 */

#include <agentstudio/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

enum as_metric {
	AS_COSINE = 1,
	AS_DOT = 2,
	AS_EUCLID = 3,
	AS_METRIC_WIDTH_ = 0x7fffffff
};

struct as_collection {
	uint32_t size;
	uint32_t dim;
	const char *name; /* [a-z0-9_]{1,63} */
	enum as_metric metric;
};

struct as_rows {
	uint32_t size;
	uint32_t n;
	const char *const *ids;
	const float *vectors; /* n x dim, row by row */
	const struct as_json *const *metas;
};

struct as_query {
	uint32_t size;
	uint32_t limit;
	const float *vector;
	const struct as_json *filter; /* NULL: everything */
	double min_score;
};

struct as_vector {
	uint32_t size;
	uint32_t reserved;

	/* Make it if it is not there.  AS_CONFLICT: with another dimension. */
	AS_SUSPENDS enum as_status (*create)(struct as_call *call,
	    const struct as_collection *in);
	AS_SUSPENDS enum as_status (*drop)(struct as_call *call,
	    const struct as_collection *in);
	/*
	 * Insert or replace by id; stored and found on return.  A failure may
	 * leave some of the rows behind: the host puts them all again.
	 */
	AS_SUSPENDS enum as_status (*put)(struct as_call *call,
	    const struct as_collection *in, const struct as_rows *rows);
	/* Ids (at most 255 bytes) that are not there are no failure. */
	AS_SUSPENDS enum as_status (*remove)(struct as_call *call,
	    const struct as_collection *in, const char *const *ids, uint32_t n);
	/* Call as_hit for each, best first. */
	AS_SUSPENDS enum as_status (*search)(struct as_call *call,
	    const struct as_collection *in, const struct as_query *query);
};

#define AS_VECTOR(...)                                                        \
	(&(const struct as_vector){                                           \
	    .size = (uint32_t)sizeof(struct as_vector), __VA_ARGS__ })

struct as_vector_host {
	uint32_t size;
	uint32_t reserved;
	enum as_status (*hit)(struct as_call *, const char *, double,
	    const struct as_json *);
	bool (*passes)(const struct as_json *, const struct as_json *);
};

/*
 * A result.  Larger scores are better, whatever the metric.
 * Fails with AS_CANCELED, AS_INVALID, AS_LIMIT; since 1.0.
 */
static inline enum as_status
as_hit(struct as_call *call, const char *id, double score,
    const struct as_json *meta)
{
	return as_host_table->vector->hit(call, id, score, meta);
}

/*
 * Does this metadata pass the filter?  For stores that scan.
 * Cannot fail; since 1.0.
 */
static inline bool
as_passes(const struct as_json *filter, const struct as_json *meta)
{
	return as_host_table->vector->passes(filter, meta);
}

#ifdef __cplusplus
}
#endif

#endif
