/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_COUNTER_H
#define CORE_BASE_COUNTER_H

/*
 * Numbers for /metrics, in the Prometheus text exposition format 0.0.4.
 *
 * A family has a name, a help text and label names; a series is one set of
 * label values.  Names are given without "agent_studio_", which every exposed
 * one begins with.  Handles are looked up once and kept; adding is atomic and
 * lock-free.  Series live until the process ends, but for those that are
 * dropped; a family holds at most 2,000 of them, the rest is counted in a
 * series whose labels are "other".
 */

#include <stdint.h>

struct buf;
struct counter;
struct histogram;

enum counter_type {
	COUNTER = 1,
	GAUGE
};

/* label_names such as "route,status" or NULL; values in the same order. */
struct counter *counter_get(enum counter_type type, const char *name,
    const char *help, const char *label_names, const char *const *values);
void counter_add(struct counter *c, double n);
void counter_set(struct counter *c, double n);
double counter_value(const struct counter *c);

/* Seconds; buckets from 0.5 ms to 60 s. */
struct histogram *histogram_get(const char *name, const char *help,
    const char *label_names, const char *const *values);
void histogram_observe(struct histogram *h, double seconds);

/*
 * Ends a series whose labels nobody will use again.  No other handle of it may
 * be left.  NULL does nothing.
 */
void counter_drop(struct counter *c);
void histogram_drop(struct histogram *h);

/* Called before each exposition, to set gauges. */
void counter_on_scrape(void (*fn)(void *), void *arg);
void counter_expose(struct buf *b);

#endif
