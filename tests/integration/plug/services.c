/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L

#include <agentstudio/db.h>
#include <agentstudio/toolkit.h>

/*
 * A plugin that uses what the host offers as a script tells it: an array of
 * steps, each an object with "op".  It replies an array with what each gave:
 * its status, the failure if there was one, and whatever there is to show.
 */

#ifndef SERVICES_GRANTS
#define SERVICES_GRANTS "db files"
#endif

#define STEPS_MAX 64
#define READ_MAX 100000

struct script {
	struct as_call *call;
	const struct as_json *step;
	struct as_json *out;
	const struct as_file *files[STEPS_MAX];
	size_t n_files;
};

/* ---- Tables -------------------------------------------------------- */

static enum as_status
op_migrate(struct script *s)
{
	const char *steps[STEPS_MAX + 1] = { NULL };
	struct as_iter it = as_each(as_get(s->step, "steps"));
	size_t n = 0;

	while (n < STEPS_MAX && as_next(&it))
		steps[n++] = as_str(it.value, NULL);
	return as_db_migrate(s->call, steps);
}

static enum as_status
op_exec(struct script *s)
{
	int64_t changed = -1;
	enum as_status st = as_db_exec(s->call, as_get_str(s->step, "sql", ""),
	    as_get(s->step, "params"), &changed);

	as_put_int(s->out, "changed", changed);
	return st;
}

static enum as_status
op_query(struct script *s)
{
	const struct as_json *rows = NULL;
	enum as_status st = as_db_query(s->call, as_get_str(s->step, "sql", ""),
	    as_get(s->step, "params"), &rows);

	if (rows != NULL)
		as_put(s->out, "rows", rows);
	return st;
}

/* ---- Files --------------------------------------------------------- */

/* "@name": the id of a file that this script has written. */
static const char *
file_id(struct script *s)
{
	const char *id = as_get_str(s->step, "id", "");
	size_t i;

	for (i = 0; *id == '@' && i < s->n_files; i++)
		if (strcmp(s->files[i]->name, id + 1) == 0)
			return s->files[i]->id;
	return id;
}

static enum as_status
op_stat(struct script *s)
{
	const struct as_file *f = NULL;
	enum as_status st = as_file_stat(s->call, file_id(s), &f);

	if (f != NULL) {
		as_put_str(s->out, "name", f->name);
		as_put_str(s->out, "type", f->media_type);
		as_put_int(s->out, "len", f->len);
	}
	return st;
}

/* "times" the text; the file's id goes out if "show" says so. */
static enum as_status
op_write(struct script *s)
{
	const char *text = as_get_str(s->step, "text", "");
	struct as_bytes bytes = { text, strlen(text) };
	int64_t i, times = as_get_int(s->step, "times", 1);
	const struct as_file *f = NULL;
	enum as_status st = AS_OK;

	for (i = 0; i < times && st == AS_OK; i++)
		st = as_file_write(s->call, as_get_str(s->step, "name", ""),
		    as_get_str(s->step, "type", NULL), bytes, &f);
	if (st != AS_OK)
		return st;
	as_put_int(s->out, "len", f->len);
	if (as_get_bool(s->step, "show", false))
		as_put_str(s->out, "id", f->id);
	if (s->n_files < STEPS_MAX)
		s->files[s->n_files++] = f;
	return AS_OK;
}

/* From "offset" to the end: how much, and the first bytes. */
static enum as_status
op_read(struct script *s)
{
	int64_t offset = as_get_int(s->step, "offset", 0);
	char *buf = as_alloc(s->call, READ_MAX + 1), head[17] = "";
	int64_t at = offset;
	enum as_status st;
	size_t got = 1;

	for (; got > 0; at += (int64_t)got) {
		st = as_file_read(s->call, file_id(s), at, buf, READ_MAX, &got);
		if (st != AS_OK)
			return st;
		if (at == offset)
			memcpy(head, buf, got < 16 ? got : 16);
	}
	as_put_int(s->out, "len", at - offset);
	as_put_str(s->out, "head", head);
	return AS_OK;
}

static enum as_status
op_fail(struct script *s)
{
	return as_fail(s->call, AS_UPSTREAM, "asked to fail");
}

/* ---- The script ---------------------------------------------------- */

static const struct op {
	const char *name;
	enum as_status (*fn)(struct script *s);
} ops[] = {
	{ "migrate", op_migrate },
	{ "exec", op_exec },
	{ "query", op_query },
	{ "stat", op_stat },
	{ "write", op_write },
	{ "read", op_read },
	{ "fail", op_fail },
};

static enum as_status
step_run(struct script *s)
{
	const char *name = as_get_str(s->step, "op", "");
	size_t i;

	for (i = 0; i < sizeof(ops) / sizeof(*ops); i++)
		if (strcmp(ops[i].name, name) == 0)
			return ops[i].fn(s);
	return as_fail(s->call, AS_INVALID, "no op '%s'", name);
}

static const char any_schema[] = AS_JSON(
    { "type" : "object", "properties" : { "steps" : { "type" : "array" } } });

static enum as_status
play(struct as_call *call, const void *in)
{
	struct as_iter it = as_each(as_get(in, "steps"));
	struct as_json *all = as_array(call);
	struct script s = { .call = call };
	enum as_status st = AS_OK;

	while (st != AS_CANCELED && as_next(&it)) {
		s.step = it.value;
		s.out = as_put_object(all, NULL);
		st = step_run(&s);
		as_put_int(s.out, "st", st);
		if (st != AS_OK && st != AS_EOF && st != AS_CANCELED)
			as_put_str(s.out, "why", as_last_error(call)->message);
		if (st != AS_OK && as_get_bool(s.step, "must", false))
			return st;
	}
	return st == AS_CANCELED ? st : as_reply(call, all);
}

static const struct as_tool tools[] = {
	{ .name = "play",
	    .doc = "Plays a script.",
	    .schema = any_schema,
	    .run = play },
	AS_END,
};

AS_PLUGIN(.name = SERVICES_NAME, .summary = "Uses the host's services.",
    .version = "1.0.0", .flags = SERVICES_FLAGS, .grants = SERVICES_GRANTS,
    .toolkit = AS_TOOLKIT(.title = "Services", .tools = tools));
