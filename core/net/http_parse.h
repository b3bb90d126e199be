/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_NET_HTTP_PARSE_H
#define CORE_NET_HTTP_PARSE_H

/*
 * One HTTP/1.x request as bytes arrive: llhttp in strict mode, and the checks
 * that it leaves to its user.  Pure: no sockets, no clock.
 *
 * Refused beyond what llhttp refuses: none or two Host headers, control
 * characters and folded lines in values, Transfer-Encoding other than one
 * "chunked", or together with Content-Length, or in HTTP/1.0, and everything
 * above a limit.  Feeding stops after the head, so that the caller can set
 * max_body, and after the message, so that what follows is not consumed.
 */

#include <llhttp.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/error.h"

#define HTTP_HEADERS_MAX 128 /* however high the setting */

struct http_limits {
	unsigned max_headers;
	size_t max_header_bytes;
	size_t max_uri;
};

enum http_parse_result {
	HTTP_PARSE_MORE = 1, /* everything is consumed */
	HTTP_PARSE_HEAD, /* set max_body and discard, then feed the rest */
	HTTP_PARSE_DONE,
	HTTP_PARSE_ERROR /* see error and reason; the connection is lost */
};

struct http_header_at {
	uint32_t name; /* offsets into head */
	uint32_t value;
};

struct http_parse {
	llhttp_t ll;
	const struct http_limits *limits;
	struct buf head; /* target, names and values, each with a NUL */
	struct buf body;
	struct http_header_at headers[HTTP_HEADERS_MAX];
	unsigned n_headers;
	size_t target_len;
	size_t raw; /* bytes fed in this part of the message */
	size_t max_body;
	size_t body_len; /* also counts what is discarded */
	size_t value_end; /* position in the message; tells folded lines */
	size_t fed_before; /* bytes of earlier feeds */
	const char *fed;
	enum error_code error;
	const char *reason; /* for the error's detail */
	bool in_value, in_field, have_head, done;
	bool discard; /* consume the body, keep nothing */
	bool has_body, chunked, expects_continue, keep_alive;
	uint64_t content_length;
};

void http_parse_init(struct http_parse *p, const struct http_limits *limits);
void http_parse_free(struct http_parse *p);
/* Ready for the next request; keeps its memory if that is not much. */
void http_parse_reset(struct http_parse *p);
/* May be called with len 0 after HTTP_PARSE_HEAD. */
enum http_parse_result http_parse_feed(struct http_parse *p, const char *data,
    size_t len, size_t *used);

/* After HTTP_PARSE_HEAD. */
const char *http_parse_method(const struct http_parse *p);
char *http_parse_target(struct http_parse *p);
/* The first of that (lower-case) name, or NULL. */
const char *http_parse_header(const struct http_parse *p, const char *name);
/* Does a comma-separated list, over all headers of that name, hold token? */
bool http_parse_has_token(const struct http_parse *p, const char *name,
    const char *token);

#endif
