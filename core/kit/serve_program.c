/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/kit/impl.h"

/*
 * Programs that say what check.json has them say, whatever they hear.
 */

#define PIECE 512 /* bytes of what a read gives */
#define PROGRAMS_MAX 8 /* that a call runs at once, as for the host */

struct kit_program {
	struct kit_program *next;
	int64_t number;
	const char *text[2]; /* of output and errors; the script's */
	size_t left[2];
	int32_t code;
};

/* "git log -1" */
static void
line_of(struct json_object *argv, struct buf *b)
{
	size_t i, n = json_object_is_type(argv, json_type_array)
			  ? json_object_array_length(argv)
			  : 0;

	buf_add_str(b, "");
	for (i = 0; i < n; i++)
		buf_printf(b, "%s%s", i > 0 ? " " : "",
		    json_object_get_string(json_object_array_get_idx(argv, i)));
}

static void
says(struct kit_program *p, int pipe, const char *text, bool half)
{
	p->text[pipe] = text;
	p->left[pipe] = half ? strlen(text) / 2 : strlen(text);
}

static void
program_new(struct world *w, struct json_object *entry, struct answer *out)
{
	bool struck = ++w->programs_run == w->fault_at;
	bool killed = struck && w->fault == FAULT_KILLED;
	struct kit_program *p = xcalloc(1, sizeof(*p));

	says(p, 0, jget_str(entry, "output", ""), killed);
	says(p, 1, jget_str(entry, "errors", ""), killed);
	p->code = killed ? -9 : (int32_t)jget_int(entry, "code", 0);
	if (struck && w->fault == FAULT_CODE) {
		says(p, 0, "", false);
		says(p, 1, "it did not work\n", false);
		p->code = 1;
	}
	p->number = out->n = ++w->last_stream;
	p->next = w->programs;
	w->programs = p;
}

static void
program_open_one(struct world *w, const struct msg *m, struct answer *out)
{
	struct json_object *argv = jget(m->value, "argv"), *entry;
	const struct kit_program *p = w->programs;
	struct buf line = { 0 };
	char word[128];
	int n = 0;

	for (; p != NULL; p = p->next)
		n++;
	line_of(argv, &line);
	snprintf(word, sizeof(word), "process:%.*s",
	    (int)strcspn(line.data, " "), line.data);
	entry = scripted(w, "programs", "argv", line.data);
	if (line.len == 0)
		answer_fail(out, AS_INVALID, "argv[0] is no name of a program");
	else if (n >= PROGRAMS_MAX)
		answer_fail(out, AS_LIMIT, "a call may run %d programs",
		    PROGRAMS_MAX);
	else if (world_grants(w, word, out)) {
		if (entry == NULL && w->unscripted++ == 0)
			note(w->kit, "check.json has no program '%s'",
			    line.data);
		program_new(w, entry, out);
	}
	buf_free(&line);
}

/* Its output first, then its errors. */
static void
program_read_one(struct kit_program *p, struct answer *out)
{
	int pipe = p->left[0] > 0 ? 0 : 1;
	size_t n = p->left[pipe] < PIECE ? p->left[pipe] : PIECE;

	out->n = pipe + 1;
	out->bytes = n > 0 ? xstrndup(p->text[pipe], n) : xstrdup("");
	out->len = n;
	p->text[pipe] += p->text[pipe] != NULL ? n : 0;
	p->left[pipe] -= n;
}

void
world_serve_program(struct world *w, const struct msg *m, struct answer *out)
{
	struct kit_program *p = w->programs;

	if (m->kind == SERVE_PROCESS_OPEN) {
		program_open_one(w, m, out);
		return;
	}
	while (p != NULL && p->number != m->n)
		p = p->next;
	if (p == NULL)
		answer_fail(out, AS_INTERNAL, "no program %lld",
		    (long long)m->n);
	else if (m->kind == SERVE_PROCESS_READ)
		program_read_one(p, out);
	else if (m->kind == SERVE_PROCESS_WAIT)
		out->n = p->code;
}

void
world_programs_free(struct world *w)
{
	struct kit_program *p;

	while ((p = w->programs) != NULL) {
		w->programs = p->next;
		free(p);
	}
}
