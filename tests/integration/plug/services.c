/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L

#include <agentstudio/db.h>
#include <agentstudio/process.h>
#include <agentstudio/stream.h>
#include <agentstudio/toolkit.h>

/*
 * A plugin that uses what the host offers as a script tells it: an array of
 * steps, each an object with "op".  It replies an array with what each gave:
 * its status, the failure if there was one, and whatever there is to show.
 */

#ifndef SERVICES_GRANTS
#define SERVICES_GRANTS \
	"db files process:sh process:cat process:none net:127.0.0.1 " \
	"net:localhost"
#endif

#define STEPS_MAX 64
#define READ_MAX 100000

struct script {
	struct as_call *call;
	const struct as_json *step;
	struct as_json *out;
	const struct as_file *files[STEPS_MAX];
	size_t n_files;
	struct as_process *program; /* the last one */
	struct as_stream *stream; /* the same */
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

/* ---- Programs ------------------------------------------------------ */

/* "argv", "env", "input", "memory", "cpu_ms". */
static enum as_status
op_run(struct script *s)
{
	const char *argv[STEPS_MAX + 1] = { NULL }, *env[] = { NULL, NULL };
	struct as_iter it = as_each(as_get(s->step, "argv"));
	const char *input = as_get_str(s->step, "input", "");
	struct as_bytes bytes = { input, strlen(input) };
	size_t n = 0;

	while (n < STEPS_MAX && as_next(&it))
		argv[n++] = as_str(it.value, NULL);
	env[0] = as_get_str(s->step, "env", NULL);
	return as_process_open(s->call,
	    AS_TABLE(as_process_start, .argv = argv, .env = env, .input = bytes,
		.memory = as_get_int(s->step, "memory", 0),
		.cpu_ms = as_get_int(s->step, "cpu_ms", 0)),
	    &s->program);
}

/* "times" the text, or, without one, the end. */
static enum as_status
op_feed(struct script *s)
{
	const char *text = as_get_str(s->step, "text", "");
	struct as_bytes bytes = { text, strlen(text) };
	int64_t i, times = as_get_int(s->step, "times", 1);
	enum as_status st = AS_OK;

	for (i = 0; i < times && st == AS_OK; i++)
		st = as_process_write(s->call, s->program, bytes);
	return st;
}

/* All that it says: how much, and the first bytes, on each pipe. */
static enum as_status
op_hear(struct script *s)
{
	char head[2][80] = { "", "" };
	int64_t len[2] = { 0, 0 };
	enum as_process_pipe pipe;
	struct as_bytes piece;
	enum as_status st;
	size_t n, i;

	while ((st = as_process_read(s->call, s->program, &pipe, &piece)) ==
	       AS_OK) {
		i = pipe == AS_PIPE_ERROR;
		n = (size_t)len[i] < 79 ? 79 - (size_t)len[i] : 0;
		n = n < piece.len ? n : piece.len;
		memcpy(head[i] + (len[i] < 79 ? len[i] : 79), piece.ptr, n);
		len[i] += (int64_t)piece.len;
	}
	as_put_int(s->out, "len", len[0]);
	as_put_str(s->out, "out", head[0]);
	as_put_str(s->out, "err", head[1]);
	return st;
}

static enum as_status
op_wait(struct script *s)
{
	int32_t code;
	enum as_status st = as_process_wait(s->call, s->program, &code);

	as_put_int(s->out, "code", code);
	return st;
}

/* ---- Streams ------------------------------------------------------- */

static enum as_status
op_connect(struct script *s)
{
	return as_stream_open(s->call,
	    AS_TABLE(as_stream_address, .host = as_get_str(s->step, "host", ""),
		.port = (uint32_t)as_get_int(s->step, "port", 0),
		.server_name = as_get_str(s->step, "name", NULL),
		.tls = as_get_bool(s->step, "tls", false),
		.idle_ms = as_get_int(s->step, "idle_ms", 0)),
	    &s->stream);
}

static enum as_status
op_tls(struct script *s)
{
	return as_stream_start_tls(s->call, s->stream);
}

static enum as_status
op_say(struct script *s)
{
	const char *text = as_get_str(s->step, "text", "");
	struct as_bytes bytes = { text, strlen(text) };
	int64_t i, times = as_get_int(s->step, "times", 1);
	enum as_status st = AS_OK;

	for (i = 0; i < times && st == AS_OK; i++)
		st = as_stream_write(s->call, s->stream, bytes);
	return st;
}

/* Until "n" bytes have come, or the end. */
static enum as_status
op_listen(struct script *s)
{
	int64_t len = 0, want = as_get_int(s->step, "n", 1 << 30);
	struct as_bytes piece;
	enum as_status st = AS_OK;
	char head[41] = "";
	size_t n;

	while (len < want &&
	       (st = as_stream_read(s->call, s->stream, &piece)) == AS_OK) {
		n = len < 40 ? 40 - (size_t)len : 0;
		n = n < piece.len ? n : piece.len;
		memcpy(head + (len < 40 ? len : 40), piece.ptr, n);
		len += (int64_t)piece.len;
	}
	as_put_int(s->out, "len", len);
	as_put_str(s->out, "head", head);
	return st;
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
	{ "run", op_run },
	{ "feed", op_feed },
	{ "hear", op_hear },
	{ "wait", op_wait },
	{ "connect", op_connect },
	{ "tls", op_tls },
	{ "say", op_say },
	{ "listen", op_listen },
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

struct conf {
	struct as_list allow;
};

static const struct as_field options[] = {
	AS_LIST(struct conf, allow, 0, 10, 0, "Addresses."),
	AS_END,
};

static const struct as_tool tools[] = {
	{ .name = "play",
	    .doc = "Plays a script.",
	    .schema = any_schema,
	    .run = play },
	AS_END,
};

AS_PLUGIN(.name = SERVICES_NAME, .summary = "Uses the host's services.",
    .version = "1.0.0", .flags = SERVICES_FLAGS, .grants = SERVICES_GRANTS,
    AS_OPTIONS(struct conf, options),
    .toolkit = AS_TOOLKIT(.title = "Services", .tools = tools));
