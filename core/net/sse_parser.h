/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_NET_SSE_PARSER_H
#define CORE_NET_SSE_PARSER_H

/*
 * Server-sent events as a client reads them (WHATWG HTML, section 9.2):
 * CR, LF and CRLF, a BOM, comments, data over several lines, pieces cut
 * anywhere.  An event above max bytes is AS_LIMIT.
 */

#include <stdbool.h>

#include "core/base/buf.h"
#include "core/base/error.h"

struct sse_event {
	const char *name; /* "message" if none was given */
	const char *id;
	const char *data;
	size_t data_len;
};

struct sse_parser {
	struct buf line, data, name, id;
	size_t max;
	bool skip_lf, started, has_data;
};

void sse_parser_init(struct sse_parser *p, size_t max);
void sse_parser_free(struct sse_parser *p);
/* Feeds bytes; calls on_event for each event that is complete.  Stops early
 * with on_event's status if that is not AS_OK. */
enum as_status sse_parser_feed(struct sse_parser *p, const char *bytes,
    size_t len, enum as_status (*on_event)(const struct sse_event *, void *),
    void *arg);

#endif
