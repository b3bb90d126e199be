/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/plug/msg.h"

/*
 * Frames: three parts, the first two after their length (32 bits, little
 * endian): small members as JSON, the value as JSON, and raw bytes to the end.
 * Bytes and floats are never text, so that an embedding costs what a copy
 * costs.  A member that is not there is zero.  The other side is not trusted:
 * every length and every type is checked.
 */

static void
value_put(void *value)
{
	json_object_put(value);
}

static void
text_put(struct json_object *head, const char *key, const char *text)
{
	if (text != NULL)
		jput_str(head, key, text);
}

static struct json_object *
head_make(const struct msg *m)
{
	struct json_object *head = jobj();

	jput_int(head, "kind", m->kind);
	if (m->index != 0)
		jput_int(head, "index", m->index);
	if (m->n != 0)
		jput_int(head, "n", m->n);
	if (m->x < 0 || m->x > 0)
		jput_num(head, "x", m->x);
	text_put(head, "name", m->name);
	text_put(head, "id", m->id);
	return head;
}

/* Its length, then its text; nothing for no value at all. */
static void
part_add(struct buf *b, struct json_object *v)
{
	const char *text = v != NULL ? json_text(v) : "";
	size_t len = strlen(text);
	uint32_t size = htole32((uint32_t)len);

	buf_add(b, &size, sizeof(size));
	buf_add(b, text, len);
}

bool
msg_encode(const struct msg *m, struct buf *b)
{
	size_t start = b->len;
	struct json_object *head;

	if (m->len > MSG_MAX)
		return false;
	head = head_make(m);
	part_add(b, head);
	json_object_put(head);
	part_add(b, m->value);
	if (m->len > 0)
		buf_add(b, m->bytes, m->len);
	return b->len - start <= MSG_MAX;
}

/* Takes one part off the front; *out is NULL if it is empty. */
static bool
part_take(const char **at, size_t *len, struct json_object **out,
    struct arena *arena)
{
	uint32_t size;

	*out = NULL;
	if (*len < sizeof(size))
		return false;
	memcpy(&size, *at, sizeof(size));
	size = le32toh(size);
	*at += sizeof(size);
	*len -= sizeof(size);
	if (size > *len)
		return false;
	if (size > 0 && json_parse(*at, size, out, NULL) != AS_OK)
		return false;
	if (*out != NULL)
		arena_cleanup(arena, value_put, *out);
	*at += size;
	*len -= size;
	return true;
}

static const char *
text_get(struct json_object *head, const char *key, struct arena *arena)
{
	return arena_strdup(arena, jget_str(head, key, NULL));
}

static bool
kind_is_known(int64_t kind)
{
	return (kind >= OP_INIT && kind <= OP_LAST_) ||
	       (kind >= EMIT_REPLY && kind <= EMIT_COUNT) ||
	       (kind >= SERVE_HTTP && kind <= SERVE_OTHER) ||
	       (kind >= MSG_ANSWER && kind <= MSG_END);
}

static bool
head_read(struct json_object *head, struct msg *m, struct arena *arena)
{
	int64_t kind = jget_int(head, "kind", 0);
	int64_t index = jget_int(head, "index", 0);
	struct json_object *x = jget(head, "x");

	if (!json_object_is_type(head, json_type_object) ||
	    !kind_is_known(kind) || index < 0 || index > UINT32_MAX)
		return false;
	m->kind = (enum msg_kind)kind;
	m->index = (uint32_t)index;
	m->n = jget_int(head, "n", 0);
	m->x = x != NULL ? json_object_get_double(x) : 0;
	m->name = text_get(head, "name", arena);
	m->id = text_get(head, "id", arena);
#ifdef FUZZ_PLANT
	if (m->n > 2)
		abort();
#endif
	return true;
}

bool
msg_decode(const void *frame, size_t len, struct msg *m, struct arena *arena)
{
	struct json_object *head;
	const char *at = frame;

	memset(m, 0, sizeof(*m));
	if (len > MSG_MAX || !part_take(&at, &len, &head, arena) ||
	    !head_read(head, m, arena) ||
	    !part_take(&at, &len, &m->value, arena))
		return false;
	m->bytes = at;
	m->len = len;
	return true;
}
