/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/counter.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/mem.h"

/*
 * Families of series behind one lock; a series is found under it once and then
 * changed with atomics only.  Handles stay valid until the process ends, or
 * until the only one that has it drops it.
 */

#define PREFIX "agent_studio_"
#define SERIES_MAX 2000
#define LABELS_MAX 8

struct series {
	struct family *family;
	struct series *next; /* same hash */
	struct series *newer; /* in order of creation */
	bool is_rest; /* of many: never dropped */
	char *labels; /* {route="x",status="200"} without the braces */
};

/* Doubles are kept as their bits: C11 atomics add integers only. */
struct counter {
	struct series series;
	_Atomic uint64_t bits;
};

static const double bounds[] = { 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
	0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60 };

struct histogram {
	struct series series;
	_Atomic uint64_t buckets[N_ITEMS(bounds) + 1];
	_Atomic uint64_t sum_bits;
};

enum {
	HISTOGRAM = GAUGE + 1
};

#define TABLE 256

struct family {
	struct family *next;
	char *name, *help;
	char *label_names[LABELS_MAX];
	size_t n_labels;
	int type;
	size_t n_series;
	struct series *first, **tail;
	struct series *table[TABLE];
};

struct scrape {
	struct scrape *next;
	void (*fn)(void *);
	void *arg;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct family *families, **families_tail = &families;
static struct scrape *scrapes;

static double
to_double(uint64_t bits)
{
	double d;

	memcpy(&d, &bits, sizeof(d));
	return d;
}

static uint64_t
to_bits(double d)
{
	uint64_t bits;

	memcpy(&bits, &d, sizeof(bits));
	return bits;
}

static void
add(_Atomic uint64_t *bits, double n)
{
	uint64_t old = atomic_load_explicit(bits, memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(bits, &old,
	    to_bits(to_double(old) + n), memory_order_relaxed,
	    memory_order_relaxed))
		continue;
}

/* ---- finding series; all under the lock */

static struct family *
family_get(int type, const char *name, const char *help,
    const char *label_names)
{
	struct family *f;
	char *copy, *rest, *label;

	for (f = families; f != NULL; f = f->next) {
		if (strcmp(f->name + strlen(PREFIX), name) == 0) {
			MUST(f->type == type);
			return f;
		}
	}
	f = xcalloc(1, sizeof(*f));
	f->type = type;
	f->name = xasprintf(PREFIX "%s", name);
	f->help = xstrdup(help);
	f->tail = &f->first;
	rest = copy = xstrdup(label_names != NULL ? label_names : "");
	while ((label = strsep(&rest, ",")) != NULL && label[0] != '\0') {
		MUST(f->n_labels < LABELS_MAX);
		f->label_names[f->n_labels++] = xstrdup(label);
	}
	free(copy);
	*families_tail = f;
	families_tail = &f->next;
	return f;
}

/* Label values and help text: backslash, newline, and quotes in values. */
static void
escape(struct buf *b, const char *s, bool quotes)
{
	for (; *s != '\0'; s++) {
		if (*s == '\n') {
			buf_add_str(b, "\\n");
			continue;
		}
		if (*s == '\\' || (quotes && *s == '"'))
			buf_add_char(b, '\\');
		buf_add_char(b, *s);
	}
}

/* values NULL: the series of the rest. */
static void
label_text(const struct family *f, const char *const *values, struct buf *b)
{
	size_t i;

	buf_add_str(b, "");
	for (i = 0; i < f->n_labels; i++) {
		buf_printf(b, "%s%s=\"", i > 0 ? "," : "", f->label_names[i]);
		escape(b, values != NULL ? values[i] : "other", true);
		buf_add_char(b, '"');
	}
}

static struct series **
bucket_of(struct family *f, const char *labels)
{
	uint32_t h = 2166136261u;

	for (; *labels != '\0'; labels++)
		h = (h ^ (unsigned char)*labels) * 16777619u;
	return &f->table[h % TABLE];
}

static struct series *
series_find(struct family *f, const char *labels)
{
	struct series *s;

	for (s = *bucket_of(f, labels); s != NULL; s = s->next)
		if (strcmp(s->labels, labels) == 0)
			return s;
	return NULL;
}

static struct series *
series_get(struct family *f, const char *const *values)
{
	struct buf labels = { 0 };
	struct series *s, **bucket;
	bool is_rest = false;

	label_text(f, values, &labels);
	s = series_find(f, labels.data);
	if (s == NULL && f->n_series >= SERIES_MAX - 1) {
		buf_reset(&labels);
		label_text(f, NULL, &labels);
		s = series_find(f, labels.data);
		is_rest = true;
	}
	if (s == NULL) {
		s = xcalloc(1, f->type == HISTOGRAM ? sizeof(struct histogram)
						    : sizeof(struct counter));
		s->family = f;
		s->is_rest = is_rest;
		s->labels = buf_take(&labels);
		bucket = bucket_of(f, s->labels);
		s->next = *bucket;
		*bucket = s;
		*f->tail = s;
		f->tail = &s->newer;
		f->n_series++;
	}
	buf_free(&labels);
	return s;
}

static struct series *
get(int type, const char *name, const char *help, const char *label_names,
    const char *const *values)
{
	struct series *s;

	pthread_mutex_lock(&lock);
	s = series_get(family_get(type, name, help, label_names), values);
	pthread_mutex_unlock(&lock);
	return s;
}

/* False: it is shared with others, and stays. */
static bool
series_remove(struct series *s)
{
	struct family *f = s->family;
	struct series **at;

	if (s->is_rest)
		return false;
	pthread_mutex_lock(&lock);
	for (at = bucket_of(f, s->labels); *at != s;)
		at = &(*at)->next;
	*at = s->next;
	for (at = &f->first; *at != s;)
		at = &(*at)->newer;
	*at = s->newer;
	if (*at == NULL)
		f->tail = at;
	f->n_series--;
	pthread_mutex_unlock(&lock);
	free(s->labels);
	return true;
}

void
counter_drop(struct counter *c)
{
	if (c != NULL && series_remove(&c->series))
		free(c);
}

void
histogram_drop(struct histogram *h)
{
	if (h != NULL && series_remove(&h->series))
		free(h);
}

/* ---- counters */

struct counter *
counter_get(enum counter_type type, const char *name, const char *help,
    const char *label_names, const char *const *values)
{
	return container_of(get(type, name, help, label_names, values),
	    struct counter, series);
}

void
counter_add(struct counter *c, double n)
{
	add(&c->bits, n);
}

void
counter_set(struct counter *c, double n)
{
	atomic_store_explicit(&c->bits, to_bits(n), memory_order_relaxed);
}

double
counter_value(const struct counter *c)
{
	return to_double(atomic_load_explicit(&c->bits, memory_order_relaxed));
}

struct histogram *
histogram_get(const char *name, const char *help, const char *label_names,
    const char *const *values)
{
	return container_of(get(HISTOGRAM, name, help, label_names, values),
	    struct histogram, series);
}

void
histogram_observe(struct histogram *h, double seconds)
{
	size_t i = 0;

	while (i < N_ITEMS(bounds) && seconds > bounds[i])
		i++;
	atomic_fetch_add_explicit(&h->buckets[i], 1, memory_order_relaxed);
	add(&h->sum_bits, seconds);
}

/* ---- exposition */

void
counter_on_scrape(void (*fn)(void *), void *arg)
{
	struct scrape *s = xcalloc(1, sizeof(*s));

	s->fn = fn;
	s->arg = arg;
	pthread_mutex_lock(&lock);
	s->next = scrapes;
	scrapes = s;
	pthread_mutex_unlock(&lock);
}

static void
add_number(struct buf *b, double d)
{
	if (isnan(d))
		buf_add_str(b, "NaN");
	else if (isinf(d))
		buf_add_str(b, d > 0 ? "+Inf" : "-Inf");
	else if (d == floor(d) && fabs(d) < 1e15)
		buf_printf(b, "%.0f", d);
	else
		buf_printf(b, "%.15g", d);
}

static void
expose_counter(struct buf *b, const struct family *f, struct series *s)
{
	const struct counter *c = container_of(s, struct counter, series);

	buf_add_str(b, f->name);
	if (s->labels[0] != '\0')
		buf_printf(b, "{%s}", s->labels);
	buf_add_char(b, ' ');
	add_number(b, counter_value(c));
	buf_add_char(b, '\n');
}

static void
expose_bucket(struct buf *b, const struct family *f, const struct series *s,
    double bound, uint64_t n)
{
	buf_printf(b, "%s_bucket{%s%sle=\"", f->name, s->labels,
	    s->labels[0] != '\0' ? "," : "");
	add_number(b, bound);
	buf_printf(b, "\"} %llu\n", (unsigned long long)n);
}

static void
expose_histogram(struct buf *b, const struct family *f, struct series *s)
{
	const struct histogram *h = container_of(s, struct histogram, series);
	const char *open = s->labels[0] != '\0' ? "{" : "";
	const char *close = s->labels[0] != '\0' ? "}" : "";
	uint64_t n = 0;
	size_t i;

	for (i = 0; i <= N_ITEMS(bounds); i++) {
		n += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
		expose_bucket(b, f, s,
		    i < N_ITEMS(bounds) ? bounds[i] : INFINITY, n);
	}
	buf_printf(b, "%s_sum%s%s%s ", f->name, open, s->labels, close);
	add_number(b, to_double(atomic_load_explicit(&h->sum_bits,
			  memory_order_relaxed)));
	buf_printf(b, "\n%s_count%s%s%s %llu\n", f->name, open, s->labels,
	    close, (unsigned long long)n);
}

static void
expose_family(struct buf *b, const struct family *f)
{
	static const char *const types[] = { "", "counter", "gauge",
		"histogram" };
	struct series *s;

	buf_printf(b, "# HELP %s ", f->name);
	escape(b, f->help, false);
	buf_printf(b, "\n# TYPE %s %s\n", f->name, types[f->type]);
	for (s = f->first; s != NULL; s = s->newer) {
		if (f->type == HISTOGRAM)
			expose_histogram(b, f, s);
		else
			expose_counter(b, f, s);
	}
}

void
counter_expose(struct buf *b)
{
	const struct family *f;
	struct scrape *s;

	/* Scrapes may make series, so they run without the lock; the list
	 * only grows at its head. */
	pthread_mutex_lock(&lock);
	s = scrapes;
	pthread_mutex_unlock(&lock);
	for (; s != NULL; s = s->next)
		s->fn(s->arg);
	pthread_mutex_lock(&lock);
	for (f = families; f != NULL; f = f->next)
		expose_family(b, f);
	pthread_mutex_unlock(&lock);
}
