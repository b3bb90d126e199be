/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/json.h"
#include "core/plug/call.h"
#include "core/plug/host.h"

/* TCP streams, as a plugin sees them; each frees its last piece itself. */

struct as_stream {
	int64_t number;
	char *piece;
};

static void
stream_drop(void *arg)
{
	free(((struct as_stream *)arg)->piece);
}

SUSPENDS static enum as_status
stream_open(struct as_call *call, const struct as_stream_address *given,
    struct as_stream **stream)
{
	struct as_stream_address q = { 0 };
	struct msg m = { .kind = SERVE_TCP_OPEN };
	struct answer a;
	enum as_status st;

	*stream = NULL;
	memcpy(&q, given, given->size < sizeof(q) ? given->size : sizeof(q));
	if (q.host == NULL)
		return call_fail(call, AS_INVALID, "a stream without a host");
	m.value = jobj();
	jput_str(m.value, "host", call_text(call, q.host));
	if (q.server_name != NULL)
		jput_str(m.value, "server_name",
		    call_text(call, q.server_name));
	jput_int(m.value, "port", q.port);
	jput_bool(m.value, "tls", q.tls);
	jput_int(m.value, "idle_ms", q.idle_ms);
	st = call_serve(call, &m, &a);
	json_object_put(m.value);
	if (st != AS_OK)
		return st;
	*stream = arena_alloc(call->arena, sizeof(**stream));
	(*stream)->number = a.n;
	arena_cleanup(call->arena, stream_drop, *stream);
	answer_clear(&a);
	return AS_OK;
}

SUSPENDS static enum as_status
stream_serve(struct as_call *call, struct as_stream *stream, struct msg *m,
    struct answer *a)
{
	if (stream == NULL)
		return call_fail(call, AS_INVALID, "no stream");
	m->n = stream->number;
	return call_serve(call, m, a);
}

SUSPENDS static enum as_status
stream_start_tls(struct as_call *call, struct as_stream *stream)
{
	struct msg m = { .kind = SERVE_TCP_TLS };
	struct answer a;
	enum as_status st = stream_serve(call, stream, &m, &a);

	if (st == AS_OK)
		answer_clear(&a);
	return st;
}

SUSPENDS static enum as_status
stream_read(struct as_call *call, struct as_stream *stream,
    struct as_bytes *piece)
{
	struct msg m = { .kind = SERVE_TCP_READ };
	struct answer a;
	enum as_status st = stream_serve(call, stream, &m, &a);

	piece->ptr = NULL;
	piece->len = 0;
	if (st != AS_OK)
		return st;
	free(stream->piece);
	stream->piece = a.bytes;
	json_object_put(a.value);
	piece->ptr = a.bytes;
	piece->len = a.len;
	return a.len > 0 ? AS_OK : AS_EOF;
}

SUSPENDS static enum as_status
stream_write(struct as_call *call, struct as_stream *stream,
    struct as_bytes bytes)
{
	struct msg m = { .kind = SERVE_TCP_WRITE,
		.bytes = bytes.ptr,
		.len = bytes.len };
	struct answer a;
	enum as_status st = stream_serve(call, stream, &m, &a);

	if (st == AS_OK)
		answer_clear(&a);
	return st;
}

const struct as_stream_host host_stream_table = {
	.size = sizeof(host_stream_table),
	.open = stream_open,
	.start_tls = stream_start_tls,
	.read = stream_read,
	.write = stream_write,
};
