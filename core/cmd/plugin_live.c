/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/plugin_live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/cmd/control.h"
#include "core/cmd/settings.h"

struct outcome {
	bool failed;
};

/* The result; NULL: what went wrong was told. */
static struct json_object *
result_of(struct outcome *o, pid_t pid, struct json_object *answer,
    const struct error *err)
{
	const char *words = answer != NULL
				? jget_str(jget(answer, "error"), "message", "")
				: err->detail;

	if (answer != NULL && jget_bool(answer, "ok", false))
		return jget(answer, "result");
	fprintf(stderr, "agent-studio: process %d: %s\n", (int)pid, words);
	o->failed = true;
	return NULL;
}

/* ---- list ---------------------------------------------------------- */

static const char *
size_text(int64_t bytes, char *out, size_t size)
{
	if (bytes <= 0)
		snprintf(out, size, "-");
	else if (bytes < 1 << 20)
		snprintf(out, size, "%lldK", (long long)(bytes + 1023) / 1024);
	else
		snprintf(out, size, "%.1fM", (double)bytes / (1 << 20));
	return out;
}

static const char *
time_text(double us, char *out, size_t size)
{
	if (us <= 0)
		snprintf(out, size, "-");
	else if (us < 1000)
		snprintf(out, size, "%.0fus", us);
	else if (us < 1e6)
		snprintf(out, size, "%.1fms", us / 1e3);
	else
		snprintf(out, size, "%.1fs", us / 1e6);
	return out;
}

static double
number(struct json_object *o, const char *key)
{
	return json_object_get_double(jget(o, key));
}

/* "process (system_calls, limits, files, user)" */
static const char *
isolation_text(struct json_object *o, char *out, size_t size)
{
	struct json_object *held = jget(o, "held_by");
	size_t i, len;

	len = (size_t)snprintf(out, size, "%s", jget_str(o, "isolation", ""));
	for (i = 0;
	     held != NULL && i < json_object_array_length(held) && len < size;
	     i++)
		len += (size_t)snprintf(out + len, size - len, "%s%s",
		    i == 0 ? " (" : ", ",
		    json_object_get_string(json_object_array_get_idx(held, i)));
	if (i > 0 && len < size)
		snprintf(out + len, size - len, ")");
	return out;
}

static void
print_plugin(struct json_object *o)
{
	struct json_object *latency = jget(o, "latency_us");
	const char *why = jget_str(o, "error", NULL);
	char mean[24], p99[24], memory[24], held[96];

	printf("%-22s %-9s %3lld %-9s %8lld %7lld %7s %7s %4lld %6lld %7s  "
	       "%s\n",
	    jget_str(o, "name", ""), jget_str(o, "version", "-"),
	    (long long)jget_int(o, "generation", 0), jget_str(o, "state", ""),
	    (long long)jget_int(o, "calls", 0),
	    (long long)jget_int(o, "errors", 0),
	    time_text(number(latency, "mean"), mean, sizeof(mean)),
	    time_text(number(latency, "p99"), p99, sizeof(p99)),
	    (long long)jget_int(o, "open", 0),
	    (long long)jget_int(o, "generations_in_memory", 0),
	    size_text(jget_int(o, "memory_bytes", 0), memory, sizeof(memory)),
	    why != NULL ? why : isolation_text(o, held, sizeof(held)));
}

static void
on_list(void *arg, pid_t pid, struct json_object *answer,
    const struct error *err)
{
	struct json_object *list = result_of(arg, pid, answer, err);
	size_t i, n = list != NULL ? json_object_array_length(list) : 0;

	if (list == NULL)
		return;
	printf("process %d\n", (int)pid);
	printf("%-22s %-9s %3s %-9s %8s %7s %7s %7s %4s %6s %7s  %s\n", "NAME",
	    "VERSION", "GEN", "STATE", "CALLS", "ERRORS", "MEAN", "P99", "OPEN",
	    "IN-MEM", "MEMORY", "ISOLATION");
	for (i = 0; i < n; i++)
		print_plugin(json_object_array_get_idx(list, i));
}

bool
plugin_list_live(const struct settings *s, int *status)
{
	struct json_object *request = jobj();
	struct outcome o = { 0 };
	unsigned n;

	jput_str(request, "command", "plugin.list");
	n = control_ask_all(s->data_dir, request, on_list, &o);
	json_object_put(request);
	*status = o.failed ? EXIT_FAILURE : EXIT_SUCCESS;
	return n > 0;
}

/* ---- reload -------------------------------------------------------- */

static void
print_outcome(pid_t pid, struct json_object *o)
{
	const char *name = jget_str(o, "name", "");

	if (!jget_bool(o, "ok", false))
		fprintf(stderr, "process %d: %s: refused: %s\n", (int)pid, name,
		    jget_str(o, "error", ""));
	else if (jget(o, "generation") == NULL)
		printf("process %d: %s: taken out\n", (int)pid, name);
	else
		printf("process %d: %s: generation %lld is %s\n", (int)pid,
		    name, (long long)jget_int(o, "generation", 0),
		    jget_str(o, "state", ""));
}

/* A failure has a list, too, if some of them were looked at. */
static void
on_reloaded(void *arg, pid_t pid, struct json_object *answer,
    const struct error *err)
{
	struct json_object *list = jget(answer, "result");
	struct outcome *o = arg;
	size_t i, n = list != NULL ? json_object_array_length(list) : 0;

	if (n == 0)
		result_of(o, pid, answer, err);
	else if (!jget_bool(answer, "ok", false))
		o->failed = true;
	for (i = 0; i < n; i++)
		print_outcome(pid, json_object_array_get_idx(list, i));
}

int
plugin_reload(const struct settings *s, const char *name)
{
	struct json_object *request = jobj();
	struct outcome o = { 0 };
	unsigned n;

	jput_str(request, "command", "plugin.reload");
	if (name != NULL)
		jput_str(request, "name", name);
	n = control_ask_all(s->data_dir, request, on_reloaded, &o);
	json_object_put(request);
	if (n == 0)
		fprintf(stderr,
		    "agent-studio: no agent-studio is running with the data "
		    "folder %s: start one, or name its folder with --data\n",
		    s->data_dir);
	return n > 0 && !o.failed ? EXIT_SUCCESS : EXIT_FAILURE;
}
