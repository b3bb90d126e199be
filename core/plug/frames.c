/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plug/frames.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/plug/call.h"

struct frame *
frame_copy(const void *bytes, size_t len, uint32_t extra)
{
	struct frame *f = xmalloc(sizeof(*f) + len);

	f->next = NULL;
	f->len = len;
	f->extra = extra;
	if (len > 0)
		memcpy(f->data, bytes, len);
	return f;
}

struct frame *
frame_new(const struct msg *m)
{
	struct frame *f = NULL;
	struct buf b = { 0 };

	if (msg_encode(m, &b))
		f = frame_copy(b.data, b.len, 0);
	buf_free(&b);
	return f;
}

void
frame_answer(struct frame *f, struct answer *out)
{
	struct arena *arena = arena_new(NULL);
	struct msg m;

	if (msg_decode(f->data, f->len, &m, arena)) {
		out->status = (enum as_status)m.index;
		out->n = m.n;
		out->value = json_object_get(m.value);
		out->len = m.len;
		out->bytes = xmalloc(m.len + 1);
		if (m.len > 0)
			memcpy(out->bytes, m.bytes, m.len);
		out->bytes[m.len] = '\0';
	} else
		out->status = AS_INTERNAL;
	arena_free(arena);
	free(f);
}

static size_t
cost(const struct frame *f)
{
	return sizeof(*f) + f->len;
}

void
frames_init(struct frames *q)
{
	q->first = NULL;
	q->last = &q->first;
	q->bytes = 0;
}

void
frames_push(struct frames *q, struct frame *f)
{
	f->next = NULL;
	*q->last = f;
	q->last = &f->next;
	q->bytes += cost(f);
}

struct frame *
frames_pop(struct frames *q)
{
	struct frame *f = q->first;

	if (f == NULL)
		return NULL;
	if ((q->first = f->next) == NULL)
		q->last = &q->first;
	q->bytes -= cost(f);
	return f;
}

void
frames_clear(struct frames *q)
{
	struct frame *f;

	while ((f = frames_pop(q)) != NULL)
		free(f);
}
