/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AS_SDK_STREAM_H
#define AS_SDK_STREAM_H
/* Columns and function tables are set by hand. */
/* clang-format off */

/*
 * TCP connections, plain or TLS, for protocols that are not HTTP.
 *
 * The host resolves the name, checks each address like that of an HTTP request
 * (private ones only if an option "allow" of the plugin has host:port), and
 * verifies certificates; what a call leaves open ends with it.  At most 16 in a
 * call.
 *
 * Needs .grants "net:HOST"; AS_FORBIDDEN without.  AS_UNAVAILABLE: no such host,
 * no connection, or it was cut.  AS_UPSTREAM: no TLS with that name.
 * AS_TIMEOUT: the deadline, or idle_ms of silence.  Each function but the first
 * takes a stream of the same call.
 *
 * Since 1.0.
 */

#include <agentstudio/host.h>

#ifdef __cplusplus
extern "C" {
#endif

struct as_stream; /* ends with the call */

struct as_stream_address {
	uint32_t size;
	uint32_t port;
	const char *host;
	const char *server_name; /* of the certificate; default: host */
	bool tls;
	int64_t idle_ms; /* give up after silence; default 30 s */
};

struct as_stream_host {
	uint32_t size;
	uint32_t reserved;
	enum as_status (*open)(struct as_call *,
	    const struct as_stream_address *, struct as_stream **);
	enum as_status (*start_tls)(struct as_call *, struct as_stream *);
	enum as_status (*read)(struct as_call *, struct as_stream *,
	    struct as_bytes *);
	enum as_status (*write)(struct as_call *, struct as_stream *,
	    struct as_bytes);
};

/*
 * Connect.  Fails with AS_FORBIDDEN, AS_INVALID, AS_LIMIT, AS_UNAVAILABLE,
 * AS_UNSUPPORTED; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_stream_open(struct as_call *call, const struct as_stream_address *address,
    struct as_stream **stream)
{
	return as_host_table->stream->open(call, address, stream);
}

/*
 * From here on TLS, for protocols that begin in the clear.
 * Fails with AS_UPSTREAM, AS_UNSUPPORTED; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_stream_start_tls(struct as_call *call, struct as_stream *stream)
{
	return as_host_table->stream->start_tls(call, stream);
}

/*
 * What is there, at least one byte, valid until the next read; or AS_EOF.
 * Fails with AS_EOF, AS_UPSTREAM, AS_UNSUPPORTED; since 1.0.
 */
AS_SUSPENDS static inline enum as_status
as_stream_read(struct as_call *call, struct as_stream *stream,
    struct as_bytes *piece)
{
	return as_host_table->stream->read(call, stream, piece);
}

/* All of it.  Fails with AS_UPSTREAM, AS_UNSUPPORTED; since 1.0. */
AS_SUSPENDS static inline enum as_status
as_stream_write(struct as_call *call, struct as_stream *stream,
    struct as_bytes bytes)
{
	return as_host_table->stream->write(call, stream, bytes);
}

#ifdef __cplusplus
}
#endif

#endif
