/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plug/latency.h"

/* Values below four have a bucket each; v >= 4 is in that of its top three
 * bits. */
static unsigned
bucket_of(uint64_t v)
{
	unsigned top, i;

	if (v < 4)
		return (unsigned)v;
	top = 63 - (unsigned)__builtin_clzll(v);
	i = top * 4 - 4 + (unsigned)(v >> (top - 2) & 3);
	return i < LATENCY_BUCKETS ? i : LATENCY_BUCKETS - 1;
}

/* The largest value of the bucket. */
static double
bucket_end(unsigned i)
{
	uint64_t step;

	if (i < 4)
		return i;
	step = (uint64_t)1 << (i / 4 - 1);
	return (double)((4 + i % 4) * step + step - 1);
}

void
latency_add(struct latency *l, int64_t us)
{
	uint64_t v = us > 0 ? (uint64_t)us : 0;

	atomic_fetch_add_explicit(&l->buckets[bucket_of(v)], 1,
	    memory_order_relaxed);
	atomic_fetch_add_explicit(&l->sum_us, v, memory_order_relaxed);
	atomic_fetch_add_explicit(&l->n, 1, memory_order_relaxed);
}

int64_t
latency_count(const struct latency *l)
{
	return (int64_t)atomic_load_explicit(&l->n, memory_order_relaxed);
}

double
latency_mean(const struct latency *l)
{
	uint64_t n = atomic_load_explicit(&l->n, memory_order_relaxed);
	uint64_t sum = atomic_load_explicit(&l->sum_us, memory_order_relaxed);

	return n > 0 ? (double)sum / (double)n : 0;
}

double
latency_quantile(const struct latency *l, double q)
{
	uint64_t n = atomic_load_explicit(&l->n, memory_order_relaxed);
	uint64_t want = (uint64_t)((double)n * q), seen = 0;
	unsigned i;

	for (i = 0; n > 0 && i < LATENCY_BUCKETS; i++) {
		seen += atomic_load_explicit(&l->buckets[i],
		    memory_order_relaxed);
		if (seen > want || seen >= n)
			return bucket_end(i);
	}
	return 0;
}
