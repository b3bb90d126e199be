/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/wire.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/text.h"

/* See wire.h. */

#define FLAG_LOOK 1
#define LEN_MAX (64 * 1024 * 1024)

static const char magic[4] = { 'A', 'S', 'B', 1 };

static void
add_number(struct buf *b, uint64_t n, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--)
		buf_add_char(b, (char)(n >> (8 * i)));
}

static uint64_t
number(const char *p, int bytes)
{
	uint64_t n = 0;

	for (int i = 0; i < bytes; i++)
		n = n << 8 | (uint8_t)p[i];
	return n;
}

void
wire_write(struct buf *b, struct uuid process, const struct bus_msg *m)
{
	const char rest[4] = { m->look ? FLAG_LOOK : 0 };
	size_t len = m->frame != NULL ? m->frame->len : 0;

	buf_reserve(b, WIRE_HEAD + len);
	buf_add(b, magic, sizeof(magic));
	buf_add(b, rest, sizeof(rest));
	buf_add(b, process.b, sizeof(process.b));
	buf_add(b, m->topic.b, sizeof(m->topic.b));
	buf_add(b, m->run_id.b, sizeof(m->run_id.b));
	buf_add(b, m->message_id.b, sizeof(m->message_id.b));
	add_number(b, (uint64_t)m->seq, 8);
	add_number(b, (uint64_t)m->run_seq, 8);
	add_number(b, (uint64_t)m->offset, 8);
	add_number(b, (uint32_t)m->attempt, 4);
	add_number(b, (uint32_t)m->len, 4);
	add_number(b, (uint32_t)len, 4);
	if (len > 0)
		buf_add(b, m->frame->data, len);
}

static bool
is_frame(const char *p, size_t len)
{
	return len >= 2 && p[0] == '{' && p[len - 1] == '}' &&
	       memchr(p, '\0', len) == NULL && text_is_utf8(p, len);
}

bool
wire_read(const char *p, size_t len, struct uuid *process, struct bus_msg *m)
{
	uint64_t attempt, piece, frame;

	memset(m, 0, sizeof(*m));
	if (len < WIRE_HEAD || memcmp(p, magic, sizeof(magic)) != 0 ||
	    (p[4] & ~FLAG_LOOK) != 0 || number(p + 5, 3) != 0)
		return false;
	m->look = (p[4] & FLAG_LOOK) != 0;
	memcpy(process->b, p + 8, sizeof(process->b));
	memcpy(m->topic.b, p + 24, sizeof(m->topic.b));
	memcpy(m->run_id.b, p + 40, sizeof(m->run_id.b));
	memcpy(m->message_id.b, p + 56, sizeof(m->message_id.b));
	m->seq = (int64_t)number(p + 72, 8);
	m->run_seq = (int64_t)number(p + 80, 8);
	m->offset = (int64_t)number(p + 88, 8);
	attempt = number(p + 96, 4);
	piece = number(p + 100, 4);
	frame = number(p + 104, 4);
	if (m->seq < 0 || m->run_seq < 0 || m->offset < 0 ||
	    m->offset > INT64_MAX - LEN_MAX || attempt > INT32_MAX ||
	    piece > LEN_MAX || frame != len - WIRE_HEAD)
		return false;
	/* An event has a frame, and text is never longer than its JSON. */
	if (frame == 0
		? (m->seq > 0 && !m->look) || piece > 0
		: piece > frame || m->look || !is_frame(p + WIRE_HEAD, frame))
		return false;
#ifdef FUZZ_PLANT
	if (m->look && m->offset > 0xffff)
		abort();
#endif
	m->attempt = (int)attempt;
	m->len = piece;
	if (frame > 0)
		m->frame = rcbuf_new(p + WIRE_HEAD, frame);
	return true;
}
