/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/kit/impl.h"
#include "core/kit/script.h"

/*
 * A case: one operation under one kind of trouble.  What is found is written to
 * the parent a line at a time, so that a crash loses nothing.
 */

/* ---- The report ---------------------------------------------------- */

static void
say(struct kit *k, struct json_object *o)
{
	const char *text = json_text(o);

	dprintf(k->report, "%s\n", text);
	json_object_put(o);
}

static void __attribute__((format(printf, 4, 0))) say_text(struct kit *k,
    const char *kind, const char *rule, const char *fmt, va_list ap)
{
	struct json_object *o = jobj();
	struct buf b = { 0 };

	buf_vprintf(&b, fmt, ap);
	jput_str(o, "is", kind);
	jput_str(o, "rule", rule);
	jput_str(o, "label", k->label);
	jput_str(o, "text", b.data);
	buf_free(&b);
	say(k, o);
}

void
finding(struct kit *k, enum kit_rule rule, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say_text(k, "finding", rule_name(rule), fmt, ap);
	va_end(ap);
}

void
note(struct kit *k, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say_text(k, "note", NULL, fmt, ap);
	va_end(ap);
}

void
doing(struct kit *k, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say_text(k, "doing", NULL, fmt, ap);
	va_end(ap);
}

/* ---- The case ------------------------------------------------------ */

static void
say_plugin(struct kit *k)
{
	const struct as_plugin *p = &k->unit->file->about;
	struct json_object *o = jobj(), *list = jarr();
	size_t i;

	for (i = 0; i < k->n_ops; i++)
		json_object_array_add(list,
		    json_object_new_string(k->ops[i].label));
	jput_str(o, "is", "plugin");
	jput_str(o, "name", p->name);
	jput_str(o, "version", p->version);
	jput(o, "ops", list);
	say(k, o);
}

static void
on_file(void *arg, enum kit_rule rule, const char *text)
{
	finding(arg, rule, "%s", text);
}

static void
in_plugin(struct kit *k, const char *name)
{
	const char *slash = strchr(name, '/');
	struct probe *before = probe_take();
	char word[16] = "";
	size_t i;

	doing(k, "loading");
	if (!setup_load(k) || (slash == NULL && (describe_rules(k), false)) ||
	    !setup_begin(k)) {
		probe_free(before);
		return;
	}
	ops_make(k);
	if (slash == NULL) {
		say_plugin(k);
	} else {
		snprintf(word, sizeof(word), "%.*s", (int)(slash - name), name);
		i = (size_t)strtoul(slash + 1, NULL, 10);
		if (i < k->n_ops)
			trouble_run(k, word, &k->ops[i]);
	}
	setup_end(k);
	probe_compare(k, before);
}

int
kit_case(const struct kit_request *r, const char *name, int report)
{
	struct rlimit cpu = { .rlim_cur = (rlim_t)r->seconds,
		.rlim_max = (rlim_t)r->seconds + 1 };
	struct rlimit core = { 0 };
	struct kit k = { .request = r, .report = report, .label = "file" };
	struct json_object *done = jobj();

	setrlimit(RLIMIT_CPU, &cpu);
	setrlimit(RLIMIT_CORE, &core);
	log_configure("error");
	clock_fake(1000000000, 1767225600000000);
	k.script = script_read(r);
	if (strcmp(name, "file") == 0) {
		doing(&k, "file");
		file_rules(r->file, on_file, &k);
		json_object_put(k.script);
	} else {
		k.label = "description";
		in_plugin(&k, name);
		setup_free(&k);
	}
	jput_str(done, "is", "done");
	say(&k, done);
	return 0;
}
