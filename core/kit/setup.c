/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/arena.h"
#include "core/base/conf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/schema.h"
#include "core/kit/impl.h"

/*
 * A plugin on its own: its file, its options from a configuration or from the
 * script, and the calls that begin and end its life.
 */

static const char *const words_of_host[] = { "plugin", "enabled", "isolation",
	"grants", "effects", NULL };

static bool
load_conf(struct kit *k, const char *path)
{
	struct unit *u = k->unit;
	const struct as_plugin *about = &u->file->about;
	const char *from = k->request->conf;
	struct stat sb;
	bool ok;

	k->conf = conf_new();
	if (stat(from, &sb) == 0 && S_ISDIR(sb.st_mode))
		conf_load_dir(k->conf, from, true);
	else
		conf_load_file(k->conf, from);
	ok = conf_section(k->conf, path, about->options, about->field_size,
		 u->conf, words_of_host) &&
	     conf_problem_count(k->conf) == 0;
	if (!ok && conf_problem_count(k->conf) > 0)
		finding(k, RULE_conf, "%s:%d: %s",
		    conf_problem(k->conf, 0)->file != NULL
			? conf_problem(k->conf, 0)->file
			: from,
		    conf_problem(k->conf, 0)->line,
		    conf_problem(k->conf, 0)->text);
	return ok;
}

/* As JSON says them, checked like the arguments of a tool. */
static bool
load_options(struct kit *k)
{
	struct unit *u = k->unit;
	const struct as_plugin *about = &u->file->about;
	struct json_object *values = jget(k->script, "options"), *shape;
	struct schema *schema = NULL;
	struct error err = { 0 };
	bool ok;

	/* Texts stay where they are: in the values. */
	values = values != NULL ? json_object_get(values) : jobj();
	k->options = values;
	shape = field_schema(about->options, about->field_size);
	ok = schema_compile(json_text(shape), &schema, &err) == AS_OK &&
	     schema_validate(schema, values, &err) == AS_OK &&
	     field_fill(about->options, about->field_size, u->conf, values,
		 u->arena, &err);
	if (!ok)
		finding(k, RULE_conf, "%s%s%s", err.detail,
		    err.extra != NULL ? " " : "",
		    err.extra != NULL ? json_text(err.extra) : "");
	error_clear(&err);
	schema_free(schema);
	json_object_put(shape);
	return ok;
}

static bool
load_settings(struct kit *k)
{
	const struct as_plugin *about = &k->unit->file->about;
	char path[160];

	k->unit->conf = arena_alloc(k->unit->arena, about->conf_size + 1);
	if (about->options == NULL)
		return true;
	snprintf(path, sizeof(path), "plugins.%s", about->name);
	return k->request->conf != NULL ? load_conf(k, path) : load_options(k);
}

bool
setup_load(struct kit *k)
{
	struct error err = { 0 };
	char *sentence = NULL;
	bool ok;

	pthread_mutex_init(&k->plug.lock, NULL);
	k->plug.arena = arena_new(NULL);
	k->kv = jobj();
	k->unit = unit_new(plugin_get(&k->plug, "checked"), NULL);
	k->unit->file = file_open(k->request->file, kit_host(), &sentence);
	if (k->unit->file == NULL) {
		finding(k, RULE_load, "%s", sentence);
		free(sentence);
		return false;
	}
	k->start = k->unit->file->about.start;
	host_setup(k);
	files_setup(k);
	unit_rename(k->unit, k->unit->file->about.name);
	ok = unit_tools(k->unit, &err) == AS_OK;
	if (!ok)
		finding(k,
		    strstr(err.detail, "schema") != NULL ? RULE_schema
							 : RULE_load,
		    "%s", err.detail);
	error_clear(&err);
	return ok && load_settings(k);
}

void
setup_free(struct kit *k)
{
	ops_free(k);
	tables_back(k, false);
	files_free(&k->files);
	if (k->unit != NULL)
		unit_free(k->unit);
	conf_free(k->conf);
	json_object_put(k->kv);
	json_object_put(k->script);
	json_object_put(k->options);
	free(k->model);
	free(k->embedder);
	pthread_mutex_destroy(&k->plug.lock);
	arena_free(k->plug.arena);
}

/* ---- Its life ------------------------------------------------------ */

static enum as_status
live(struct kit *k, enum msg_kind kind, const char *label)
{
	char text[16];
	struct kit_op op = { .label = text,
		.what = KIT_TOOL,
		.op = { .kind = kind } };
	struct world w = { .kit = k, .op = &op };
	struct json_object *failure = NULL;
	enum as_status st;

	snprintf(text, sizeof(text), "%s", label);
	doing(k, "%s", label);
	st = world_run(&w, &failure);
	judge_legal(&w, st, failure);
	if (kind == OP_INIT && w.waits > 0)
		finding(k, RULE_init, "it waited %u times", w.waits);
	if (st != AS_OK)
		note(k, "%s fails with %s: %s", label, status_name(st),
		    jget_str(failure, "message", ""));
	json_object_put(failure);
	world_clear(&w);
	return st;
}

bool
setup_begin(struct kit *k)
{
	if (live(k, OP_INIT, "init") != AS_OK)
		return false;
	if (live(k, OP_START, "start") == AS_OK)
		return true;
	live(k, OP_FINI, "fini");
	return false;
}

void
setup_end(struct kit *k)
{
	live(k, OP_STOP, "stop");
	live(k, OP_FINI, "fini");
}
