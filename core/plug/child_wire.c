/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plug/child_wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_MIN ((size_t)64 << 10)
#define KEEP_MAX ((size_t)1 << 20) /* of an empty buffer */
/* The longest message, and who calls. */
#define WIRE_MAX (MSG_MAX + ((size_t)64 << 10))

size_t
wire_begin(struct wire *w, enum wire_type type, uint32_t call, uint32_t extra)
{
	struct wire_head head = { .type = type, .call = call, .extra = extra };
	size_t start = w->out.len;

	buf_add(&w->out, &head, sizeof(head));
	return start;
}

void
wire_end(struct wire *w, size_t start)
{
	uint32_t len = (uint32_t)(w->out.len - start -
				  sizeof(struct wire_head));

	memcpy(w->out.data + start, &len, sizeof(len));
}

void
wire_cut(struct wire *w, size_t start)
{
	w->out.len = start;
}

void
wire_put(struct wire *w, enum wire_type type, uint32_t call, uint32_t extra,
    const void *bytes, size_t len)
{
	size_t start = wire_begin(w, type, call, extra);

	if (len > 0)
		buf_add(&w->out, bytes, len);
	wire_end(w, start);
}

size_t
wire_put_msg(struct wire *w, uint32_t call, uint32_t extra, const struct msg *m)
{
	size_t start = wire_begin(w, WIRE_MSG, call, extra);

	if (!msg_encode(m, &w->out)) {
		wire_cut(w, start);
		return 0;
	}
	wire_end(w, start);
	return w->out.len - start - sizeof(struct wire_head);
}

static void
empty(struct buf *b, size_t *at)
{
	*at = 0;
	if (b->cap > KEEP_MAX)
		buf_free(b);
	else if (b->data != NULL)
		buf_reset(b);
}

enum wire_state
wire_flush(struct wire *w)
{
	ssize_t n;

	while (w->sent < w->out.len) {
		n = send(w->fd, w->out.data + w->sent, w->out.len - w->sent,
		    MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? WIRE_LATER : WIRE_BROKEN;
		w->sent += (size_t)n;
	}
	empty(&w->out, &w->sent);
	return WIRE_DONE;
}

enum wire_state
wire_fill(struct wire *w)
{
	ssize_t n;

	if (w->taken == w->in.len)
		empty(&w->in, &w->taken);
	else if (w->taken > w->in.len / 2) {
		buf_drain(&w->in, w->taken);
		w->taken = 0;
	}
	buf_reserve(&w->in, READ_MIN);
	do
		n = read(w->fd, w->in.data + w->in.len,
		    w->in.cap - w->in.len - 1);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? WIRE_LATER : WIRE_BROKEN;
	w->in.len += (size_t)n;
	return n > 0 ? WIRE_DONE : WIRE_BROKEN;
}

enum wire_state
wire_next(struct wire *w, struct wire_head *head, const char **bytes)
{
	size_t left = w->in.len - w->taken;

	if (left < sizeof(*head))
		return WIRE_LATER;
	memcpy(head, w->in.data + w->taken, sizeof(*head));
	if (head->len > WIRE_MAX)
		return WIRE_BROKEN;
	if (left - sizeof(*head) < head->len)
		return WIRE_LATER;
	*bytes = w->in.data + w->taken + sizeof(*head);
	w->taken += sizeof(*head) + head->len;
	return WIRE_DONE;
}

void
wire_free(struct wire *w)
{
	buf_free(&w->in);
	buf_free(&w->out);
}
