/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PLUG_LATENCY_H
#define CORE_PLUG_LATENCY_H

/*
 * How long calls take: counts in buckets, four of them from each power of two
 * to the next, so a quantile is at most a fifth too high.  Any thread.
 */

#include <stdatomic.h>
#include <stdint.h>

#define LATENCY_BUCKETS 140 /* up to nine hours */

struct latency {
	_Atomic uint64_t n, sum_us;
	_Atomic uint64_t buckets[LATENCY_BUCKETS];
};

void latency_add(struct latency *l, int64_t us);
int64_t latency_count(const struct latency *l);
double latency_mean(const struct latency *l); /* microseconds; 0 of none */
double latency_quantile(const struct latency *l, double q);

#endif
