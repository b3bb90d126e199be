/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/json.h"
#include "core/plug/call.h"
#include "core/plug/host.h"

/* Files, as a plugin sees them: by id, in pieces. */

/* What one message carries; longer reads and writes are several. */
#define PIECE_MAX ((size_t)256 << 10)

static void
file_fill(struct as_call *call, struct json_object *v,
    const struct as_file **out)
{
	struct as_file *f = arena_alloc(call->arena, sizeof(*f));

	call_own(call, v);
	f->size = sizeof(*f);
	f->id = jget_str(v, "id", "");
	f->name = jget_str(v, "name", "");
	f->media_type = jget_str(v, "media_type", "");
	f->len = jget_int(v, "length", 0);
	*out = f;
}

enum as_status
host_file_stat(struct as_call *call, const char *id,
    const struct as_file **file)
{
	struct msg m = { .kind = SERVE_FILE_STAT };
	struct answer a;
	enum as_status st;

	*file = NULL;
	m.name = call_text(call, id);
	if ((st = call_serve(call, &m, &a)) != AS_OK)
		return st;
	file_fill(call, a.value, file);
	free(a.bytes);
	return AS_OK;
}

enum as_status
host_file_read(struct as_call *call, const char *id, int64_t offset, void *buf,
    size_t n, size_t *got)
{
	struct msg m = { .kind = SERVE_FILE_READ, .n = offset };
	struct answer a;
	enum as_status st;

	*got = 0;
	m.index = (uint32_t)(n < PIECE_MAX ? n : PIECE_MAX);
	m.name = call_text(call, id);
	if ((st = call_serve(call, &m, &a)) != AS_OK)
		return st;
	*got = a.len < n ? a.len : n;
	if (*got > 0)
		memcpy(buf, a.bytes, *got);
	answer_clear(&a);
	return AS_OK;
}

enum as_status
host_file_write(struct as_call *call, const char *name, const char *media_type,
    struct as_bytes bytes, const struct as_file **file)
{
	struct msg m = { .kind = SERVE_FILE_WRITE };
	const char *from = bytes.ptr;
	size_t left = bytes.len;
	const struct as_file *made;
	struct answer a;
	enum as_status st;

	if (file != NULL)
		*file = NULL;
	m.name = call_text(call, name);
	m.id = call_text(call, media_type);
	do {
		m.bytes = from;
		m.len = left < PIECE_MAX ? left : PIECE_MAX;
		if ((st = call_serve(call, &m, &a)) != AS_OK)
			return st;
		free(a.bytes);
		file_fill(call, a.value, &made);
		from += m.len;
		left -= m.len;
	} while (left > 0);
	if (file != NULL)
		*file = made;
	return AS_OK;
}
