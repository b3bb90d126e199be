/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_BUF_H
#define CORE_BASE_BUF_H

/*
 * Bytes that grow, and bytes that are shared.
 *
 * A struct buf on the stack or in another struct starts as {0}, is always
 * NUL-terminated once something was added, and ends with buf_free.
 * A struct rcbuf is immutable, counted atomically, and may be read
 * from any thread: one event frame, sent to many sockets.
 */

#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *data;
	size_t len;
	size_t cap;
};

void buf_add(struct buf *b, const void *p, size_t len);
void buf_add_str(struct buf *b, const char *s);
void buf_add_int(struct buf *b, int64_t i);
void buf_grow(struct buf *b, size_t more); /* see buf_reserve */
void buf_printf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
void buf_drain(struct buf *b, size_t len); /* drop from the front */
void buf_reset(struct buf *b); /* empty, keeps its memory */
char *buf_take(struct buf *b); /* caller frees; never NULL; b is empty */
void buf_free(struct buf *b);

/* Room for as many bytes. */
static inline void
buf_reserve(struct buf *b, size_t more)
{
	if (more >= b->cap - b->len)
		buf_grow(b, more);
}

static inline void
buf_add_char(struct buf *b, char c)
{
	buf_reserve(b, 1);
	b->data[b->len++] = c;
	b->data[b->len] = '\0';
}

/* s as a JSON string with its quotes; s must be valid UTF-8. */
void buf_add_json_str(struct buf *b, const char *s, size_t len);

struct rcbuf {
	atomic_uint refs;
	size_t len;
	char data[]; /* NUL-terminated beyond len */
};

struct rcbuf *rcbuf_new(const void *p, size_t len); /* refs = 1 */
struct rcbuf *rcbuf_ref(struct rcbuf *r);
void rcbuf_unref(struct rcbuf *r); /* NULL does nothing */

#endif
