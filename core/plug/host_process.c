/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/json.h"
#include "core/plug/call.h"
#include "core/plug/host.h"

/* Programs, as a plugin sees them; each frees its last piece itself. */

struct as_process {
	int64_t number;
	char *piece;
};

static void
process_drop(void *arg)
{
	free(((struct as_process *)arg)->piece);
}

static struct json_object *
texts(struct as_call *call, const char *const *list)
{
	struct json_object *a = jarr();

	for (; list != NULL && *list != NULL; list++)
		json_object_array_add(a,
		    json_object_new_string(call_text(call, *list)));
	return a;
}

SUSPENDS static enum as_status
process_open(struct as_call *call, const struct as_process_start *given,
    struct as_process **process)
{
	struct as_process_start q = { 0 };
	struct msg m = { .kind = SERVE_PROCESS_OPEN, .value = jobj() };
	struct answer a;
	enum as_status st;

	*process = NULL;
	memcpy(&q, given, given->size < sizeof(q) ? given->size : sizeof(q));
	jput(m.value, "argv", texts(call, q.argv));
	jput(m.value, "env", texts(call, q.env));
	jput_int(m.value, "memory", q.memory);
	jput_int(m.value, "cpu_ms", q.cpu_ms);
	m.bytes = q.input.ptr;
	m.len = q.input.len;
	st = call_serve(call, &m, &a);
	json_object_put(m.value);
	if (st != AS_OK)
		return st;
	*process = arena_alloc(call->arena, sizeof(**process));
	(*process)->number = a.n;
	arena_cleanup(call->arena, process_drop, *process);
	answer_clear(&a);
	return AS_OK;
}

SUSPENDS static enum as_status
process_serve(struct as_call *call, struct as_process *process, struct msg *m,
    struct answer *a)
{
	if (process == NULL)
		return call_fail(call, AS_INVALID, "no program");
	m->n = process->number;
	return call_serve(call, m, a);
}

SUSPENDS static enum as_status
process_read(struct as_call *call, struct as_process *process,
    enum as_process_pipe *pipe, struct as_bytes *piece)
{
	struct msg m = { .kind = SERVE_PROCESS_READ };
	struct answer a;
	enum as_status st = process_serve(call, process, &m, &a);

	piece->ptr = NULL;
	piece->len = 0;
	if (st != AS_OK)
		return st;
	free(process->piece);
	process->piece = a.bytes;
	json_object_put(a.value);
	piece->ptr = a.bytes;
	piece->len = a.len;
	if (pipe != NULL)
		*pipe = a.n == 2 ? AS_PIPE_ERROR : AS_PIPE_OUTPUT;
	return a.len > 0 ? AS_OK : AS_EOF;
}

SUSPENDS static enum as_status
process_write(struct as_call *call, struct as_process *process,
    struct as_bytes bytes)
{
	struct msg m = { .kind = SERVE_PROCESS_WRITE,
		.bytes = bytes.ptr,
		.len = bytes.len };
	struct answer a;
	enum as_status st = process_serve(call, process, &m, &a);

	if (st == AS_OK)
		answer_clear(&a);
	return st;
}

SUSPENDS static enum as_status
process_wait(struct as_call *call, struct as_process *process, int32_t *code)
{
	struct msg m = { .kind = SERVE_PROCESS_WAIT };
	struct answer a;
	enum as_status st = process_serve(call, process, &m, &a);

	*code = st == AS_OK ? (int32_t)a.n : 0;
	if (st == AS_OK)
		answer_clear(&a);
	return st;
}

const struct as_process_host host_process_table = {
	.size = sizeof(host_process_table),
	.open = process_open,
	.read = process_read,
	.write = process_write,
	.wait = process_wait,
};
