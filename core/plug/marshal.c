/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/plug/msg.h"

/*
 * Frames: a head of fixed size, little endian, then the name, the id, the value
 * as JSON, and raw bytes to the end.  A text's length is one more than it has
 * bytes, so that 0 says that there is none.  Bytes and floats are never text,
 * so that an embedding costs what a copy costs.  The other side is not trusted:
 * every length and every text is checked.
 */

struct head {
	uint32_t kind, index;
	uint64_t n, x; /* x: the bits of a double */
	uint32_t name, id, value;
} __attribute__((packed));

static void
value_put(void *value)
{
	json_object_put(value);
}

static uint32_t
text_size(const char *text)
{
	return text != NULL ? htole32((uint32_t)strlen(text) + 1) : 0;
}

static void
text_add(struct buf *b, const char *text)
{
	if (text != NULL)
		buf_add(b, text, strlen(text));
}

bool
msg_encode(const struct msg *m, struct buf *b)
{
	const char *value = m->value != NULL ? json_text(m->value) : NULL;
	struct head h = { .kind = htole32(m->kind),
		.index = htole32(m->index) };
	size_t start = b->len;

	if (m->len > MSG_MAX || (value != NULL && strlen(value) > MSG_MAX))
		return false;
	h.n = htole64((uint64_t)m->n);
	memcpy(&h.x, &m->x, sizeof(h.x));
	h.x = htole64(h.x);
	h.name = text_size(m->name);
	h.id = text_size(m->id);
	h.value = text_size(value);
	buf_add(b, &h, sizeof(h));
	text_add(b, m->name);
	text_add(b, m->id);
	text_add(b, value);
	if (m->len > 0)
		buf_add(b, m->bytes, m->len);
	return b->len - start <= MSG_MAX;
}

/* What is left of a frame. */
struct rest {
	const char *at;
	size_t len;
};

/* Takes a text of that size off the front; false if it is not there. */
static bool
text_take(struct rest *r, uint32_t size, const char **text, size_t *len)
{
	*text = NULL;
	*len = 0;
	if ((size = le32toh(size)) == 0)
		return true;
	if (--size > r->len)
		return false;
	*text = r->at;
	*len = size;
	r->at += size;
	r->len -= size;
	return true;
}

static bool
word_take(struct rest *r, uint32_t size, const char **word, struct arena *arena)
{
	const char *text;
	size_t len;

	if (!text_take(r, size, &text, &len))
		return false;
	if (text != NULL &&
	    (!text_is_utf8(text, len) || memchr(text, '\0', len) != NULL))
		return false;
	*word = text != NULL ? arena_strndup(arena, text, len) : NULL;
	return true;
}

static bool
value_take(struct rest *r, uint32_t size, struct json_object **value,
    struct arena *arena)
{
	const char *text;
	size_t len;

	if (!text_take(r, size, &text, &len))
		return false;
	if (text != NULL && json_parse(text, len, value, NULL) != AS_OK)
		return false;
	if (*value != NULL)
		arena_cleanup(arena, value_put, *value);
	return true;
}

static bool
kind_is_known(uint32_t kind)
{
	return (kind >= OP_INIT && kind <= OP_TOKEN) ||
	       (kind >= EMIT_REPLY && kind <= EMIT_COUNT) ||
	       (kind >= SERVE_HTTP && kind <= SERVE_OTHER) ||
	       (kind >= MSG_ANSWER && kind <= MSG_END);
}

bool
msg_decode(const void *frame, size_t len, struct msg *m, struct arena *arena)
{
	struct rest r = { .at = frame, .len = len };
	struct head h;

	memset(m, 0, sizeof(*m));
	if (len > MSG_MAX || len < sizeof(h))
		return false;
	memcpy(&h, frame, sizeof(h));
	r.at += sizeof(h);
	r.len -= sizeof(h);
	if (!kind_is_known(le32toh(h.kind)))
		return false;
	m->kind = (enum msg_kind)le32toh(h.kind);
	m->index = le32toh(h.index);
	m->n = (int64_t)le64toh(h.n);
	h.x = le64toh(h.x);
	memcpy(&m->x, &h.x, sizeof(m->x));
	if (!word_take(&r, h.name, &m->name, arena) ||
	    !word_take(&r, h.id, &m->id, arena) ||
	    !value_take(&r, h.value, &m->value, arena))
		return false;
#ifdef FUZZ_PLANT
	if (m->n > 2)
		abort();
#endif
	m->bytes = r.at;
	m->len = r.len;
	return true;
}
