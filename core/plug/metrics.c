/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/counter.h"
#include "core/base/json.h"
#include "core/plug/child.h"

/*
 * Numbers of plugins, for /metrics by generation and for lists by plugin.  A
 * generation's series end with it, or a year of reloads would be in every
 * scrape.
 */

#define LABELS "plugin,generation"

struct labels {
	char generation[16];
	const char *values[2];
};

static const char *const *
labels_of(const struct unit *u, struct labels *l)
{
	snprintf(l->generation, sizeof(l->generation), "%u", u->generation);
	l->values[0] = u->of->name;
	l->values[1] = l->generation;
	return l->values;
}

void
unit_count_begin(struct unit *u)
{
	struct labels l;
	const char *const *values = labels_of(u, &l);

	if (u->calls_total != NULL)
		return;
	u->calls_total = counter_get(COUNTER, "plugin_calls_total",
	    "Calls of plugins.", LABELS, values);
	u->failures_total = counter_get(COUNTER, "plugin_failures_total",
	    "Calls of plugins that failed.", LABELS, values);
	u->seconds = histogram_get("plugin_call_seconds",
	    "How long calls of plugins take.", LABELS, values);
}

void
unit_count_call(struct unit *u, bool failed, int64_t us)
{
	struct plugin *of = u->of;

	latency_add(&of->latency, us);
	if (failed)
		atomic_fetch_add_explicit(&of->failures, 1,
		    memory_order_relaxed);
	if (u->calls_total == NULL)
		return;
	counter_add(u->calls_total, 1);
	if (failed)
		counter_add(u->failures_total, 1);
	histogram_observe(u->seconds, (double)us / 1e6);
}

void
unit_count_end(struct unit *u)
{
	counter_drop(u->calls_total);
	counter_drop(u->failures_total);
	histogram_drop(u->seconds);
	u->calls_total = u->failures_total = NULL;
	u->seconds = NULL;
}

/* ---- What it takes ------------------------------------------------- */

struct taken {
	int64_t generations, memory, open, draining;
};

/* What is resident of it; 0: there is none. */
static int64_t
process_memory(pid_t pid)
{
	long pages = 0;
	char path[48];
	FILE *f;

	if (pid == 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	if ((f = fopen(path, "re")) == NULL)
		return 0;
	if (fscanf(f, "%*d %ld", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

static void
unit_add(const struct unit *u, struct taken *t)
{
	t->open += atomic_load(&u->open);
	t->memory += process_memory(guard_pid(u));
	if (!file_is_mapped(u->file))
		return;
	t->generations++;
	t->memory += u->file->memory;
}

static void
plugin_taken(const struct plugin *of, struct taken *t)
{
	const struct unit *u;

	memset(t, 0, sizeof(*t));
	t->generations = of->mapped;
	t->memory = of->memory;
	if (of->current != NULL)
		unit_add(of->current, t);
	for (u = of->draining; u != NULL; u = u->older) {
		unit_add(u, t);
		t->draining++;
	}
}

void
plugin_numbers(const struct plugin *of, struct json_object *o)
{
	struct json_object *latency = jobj();
	struct taken t;

	plugin_taken(of, &t);
	jput_int(o, "calls", latency_count(&of->latency));
	jput_int(o, "errors", (int64_t)atomic_load(&of->failures));
	jput_int(o, "open", t.open);
	jput_num(latency, "mean", latency_mean(&of->latency));
	jput_num(latency, "p99", latency_quantile(&of->latency, 0.99));
	jput(o, "latency_us", latency);
	jput_int(o, "generations_draining", t.draining);
	jput_int(o, "generations_in_memory", t.generations);
	jput_int(o, "memory_bytes", t.memory);
}

static void
gauge(const char *name, const char *help, const char *plugin, int64_t n)
{
	const char *values[] = { plugin };

	counter_set(counter_get(GAUGE, name, help, "plugin", values),
	    (double)n);
}

static void
plugin_gauges(const struct plugin *of)
{
	struct taken t;

	plugin_taken(of, &t);
	gauge("plugin_generation", "The generation that serves; 0: none.",
	    of->name,
	    of->current != NULL && unit_is_serving(of->current)
		? of->current->generation
		: 0);
	gauge("plugin_open_calls", "Calls of plugins that are open.", of->name,
	    t.open);
	gauge("plugin_generations_in_memory",
	    "Copies of a plugin's file that are mapped.", of->name,
	    t.generations);
	gauge("plugin_memory_bytes",
	    "What those copies take, and processes of the plugin.", of->name,
	    t.memory);
}

void
plug_gauges(struct plug *p)
{
	size_t i;

	pthread_mutex_lock(&p->lock);
	for (i = 0; i < p->n_plugins; i++)
		plugin_gauges(p->plugins[i]);
	pthread_mutex_unlock(&p->lock);
}
