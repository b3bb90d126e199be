/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/loop/program.h"
#include "core/plug/grant.h"
#include "core/plug/serve.h"
#include "core/plug/unit.h"

/*
 * Programs that a plugin runs.  The plugin says a name; which file that is, the
 * admin has said.
 */

#define ARGS_MAX 256
#define PROGRAMS_MAX 8 /* that a call runs at once */
#define MEMORY_DFLT ((int64_t)512 << 20)
#define MEMORY_MIN ((int64_t)16 << 20)
#define MEMORY_MAX ((int64_t)4 << 30)
#define CPU_DFLT_MS 60000
#define CPU_MAX_MS 900000

struct serve_program {
	struct serve_program *next;
	uint32_t number;
	struct program *program;
};

static enum as_status
path_of(const struct exchange *x, const char *name, const char **path,
    struct error *err)
{
	char word[128];
	enum as_status st;

	if (name == NULL || *name == '\0' || strlen(name) > 100)
		return error_set(err, ERR_BAD_REQUEST,
		    "argv[0] is no name of a program");
	snprintf(word, sizeof(word), "process:%s", name);
	if ((st = grant_check(x->unit, word, err)) != AS_OK)
		return st;
	if ((*path = program_path(x->unit, name)) != NULL)
		return AS_OK;
	return error_set(err, ERR_FORBIDDEN,
	    "nobody has said which program '%.60s' is: set "
	    "plugins.%.60s.programs.%.60s to its path",
	    name, x->unit->name, name);
}

/* NULL: too many. */
static const char **
texts_of(struct json_object *a)
{
	size_t i, n = json_object_is_type(a, json_type_array)
			  ? json_object_array_length(a)
			  : 0;
	const char **list;

	if (n > ARGS_MAX)
		return NULL;
	list = xcalloc(n + 1, sizeof(*list));
	for (i = 0; i < n; i++)
		list[i] = json_object_get_string(
		    json_object_array_get_idx(a, i));
	return list;
}

static int64_t
between(int64_t n, int64_t dflt, int64_t min, int64_t max)
{
	if (n <= 0)
		return dflt;
	return n < min ? min : n > max ? max : n;
}

SUSPENDS static enum as_status
start_it(struct exchange *x, const struct msg *m, const char *path,
    struct program **out, struct error *err)
{
	const char **argv = texts_of(jget(m->value, "argv"));
	const char **env = texts_of(jget(m->value, "env"));
	struct program_start start = { .path = path,
		.argv = argv,
		.env = env,
		.memory = between(jget_int(m->value, "memory", 0), MEMORY_DFLT,
		    MEMORY_MIN, MEMORY_MAX),
		.cpu_ms = between(jget_int(m->value, "cpu_ms", 0), CPU_DFLT_MS,
		    1, CPU_MAX_MS) };
	enum as_status st;

	if (argv == NULL || env == NULL)
		st = error_set(err, ERR_TOO_LARGE,
		    "more than %d arguments or variables", ARGS_MAX);
	else
		st = program_open(x->plug->services.pool, &start, out, err);
	free(argv);
	free(env);
	return st;
}

SUSPENDS static enum as_status
open_one(struct exchange *x, const struct msg *m, struct answer *out,
    struct error *err)
{
	struct json_object *argv = jget(m->value, "argv");
	struct program *program = NULL;
	struct serve_program *s;
	const char *path = NULL;
	enum as_status st;
	unsigned n = 0;

	for (s = x->programs; s != NULL; s = s->next)
		n++;
	if (n >= PROGRAMS_MAX)
		return error_set(err, ERR_TOO_LARGE,
		    "a call may run %d programs", PROGRAMS_MAX);
	st = path_of(x,
	    json_object_is_type(argv, json_type_array)
		? json_object_get_string(json_object_array_get_idx(argv, 0))
		: NULL,
	    &path, err);
	if (st == AS_OK)
		st = start_it(x, m, path, &program, err);
	if (st != AS_OK)
		return st;
	s = xcalloc(1, sizeof(*s));
	s->program = program;
	s->number = ++x->last_stream;
	s->next = x->programs;
	x->programs = s;
	out->n = s->number;
	return m->len == 0 ? AS_OK
			   : program_write(program, m->bytes, m->len, err);
}

enum as_status
serve_process(struct exchange *x, const struct msg *m, struct answer *out,
    struct error *err)
{
	struct serve_program *s = x->programs;
	enum as_status st;
	int32_t code = 0;
	int from = 0;

	if (fiber_self() == NULL)
		return error_set(err, ERR_UNSUPPORTED,
		    "no programs before the loops run");
	if (m->kind == SERVE_PROCESS_OPEN)
		return open_one(x, m, out, err);
	while (s != NULL && s->number != m->n)
		s = s->next;
	if (s == NULL)
		return error_set(err, ERR_INTERNAL, "no program %lld",
		    (long long)m->n);
	if (m->kind == SERVE_PROCESS_WRITE)
		return program_write(s->program, m->bytes, m->len, err);
	if (m->kind == SERVE_PROCESS_WAIT) {
		st = program_wait(s->program, &code, err);
		out->n = code;
		return st;
	}
	st = program_read(s->program, &from, &out->bytes, &out->len, err);
	out->n = from;
	return st;
}

void
serve_processes_close(struct exchange *x)
{
	struct serve_program *s;

	while ((s = x->programs) != NULL) {
		x->programs = s->next;
		program_close(s->program);
		free(s);
	}
}
