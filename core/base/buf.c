/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"

/*
 * Invariant of a struct buf: data is NULL and cap 0, or data has cap bytes,
 * len < cap and data[len] is NUL.
 */

void
buf_grow(struct buf *b, size_t more)
{
	size_t need, cap;

	MUST(more < SIZE_MAX / 4 && b->len < SIZE_MAX / 4);
	need = b->len + more + 1;
	cap = b->cap < 64 ? 64 : b->cap;
	while (cap < need)
		cap += cap;
	b->data = xrealloc(b->data, cap);
	b->cap = cap;
}

void
buf_add(struct buf *b, const void *p, size_t len)
{
	buf_reserve(b, len);
	if (len > 0)
		memcpy(b->data + b->len, p, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void
buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_add_int(struct buf *b, int64_t i)
{
	uint64_t u = i < 0 ? -(uint64_t)i : (uint64_t)i;
	char text[20];
	size_t at = sizeof(text);

	do
		text[--at] = (char)('0' + u % 10);
	while ((u /= 10) != 0);
	if (i < 0)
		text[--at] = '-';
	buf_add(b, text + at, sizeof(text) - at);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void
buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	size_t room;
	int len;

	buf_reserve(b, 0);
	room = b->cap - b->len;
	va_copy(again, ap);
	len = vsnprintf(b->data + b->len, room, fmt, again);
	va_end(again);
	MUST(len >= 0);
	if ((size_t)len >= room) {
		buf_reserve(b, (size_t)len);
		vsnprintf(b->data + b->len, (size_t)len + 1, fmt, ap);
	}
	b->len += (size_t)len;
}

void
buf_drain(struct buf *b, size_t len)
{
	MUST(len <= b->len);
	if (len == 0)
		return;
	memmove(b->data, b->data + len, b->len - len + 1);
	b->len -= len;
}

void
buf_reset(struct buf *b)
{
	b->len = 0;
	if (b->data != NULL)
		b->data[0] = '\0';
}

char *
buf_take(struct buf *b)
{
	char *data = b->data != NULL ? b->data : xcalloc(1, 1);

	*b = (struct buf){ 0 };
	return data;
}

void
buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ 0 };
}

/* The letter after the backslash, 'u' for \u00xx, 0 for none. */
static char
escape_of(unsigned char c)
{
	switch (c) {
	case '"':
	case '\\':
		return (char)c;
	case '\b':
		return 'b';
	case '\f':
		return 'f';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	}
	return c < 0x20 ? 'u' : '\0';
}

/* How many bytes from the start need no escape. */
static size_t
plain_span(const char *s, size_t len)
{
	size_t i = 0;

	while (i < len && s[i] != '"' && s[i] != '\\' &&
	       (unsigned char)s[i] >= 0x20)
		i++;
	return i;
}

void
buf_add_json_str(struct buf *b, const char *s, size_t len)
{
	size_t n;
	char esc;

	buf_reserve(b, len + 2);
	buf_add_char(b, '"');
	for (;; s++, len--) {
		n = plain_span(s, len);
		buf_add(b, s, n);
		s += n;
		len -= n;
		if (len == 0)
			break;
		if ((esc = escape_of((unsigned char)*s)) == 'u') {
			buf_printf(b, "\\u%04x", (unsigned)*s);
		} else {
			buf_add_char(b, '\\');
			buf_add_char(b, esc);
		}
	}
	buf_add_char(b, '"');
}

struct rcbuf *
rcbuf_new(const void *p, size_t len)
{
	struct rcbuf *r;

	MUST(len < SIZE_MAX / 4);
	r = xmalloc(sizeof(*r) + len + 1);
	atomic_init(&r->refs, 1);
	r->len = len;
	if (len > 0)
		memcpy(r->data, p, len);
	r->data[len] = '\0';
	return r;
}

struct rcbuf *
rcbuf_ref(struct rcbuf *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

void
rcbuf_unref(struct rcbuf *r)
{
	if (r == NULL)
		return;
	if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1)
		free(r);
}
