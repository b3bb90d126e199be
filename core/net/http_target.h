/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_NET_HTTP_TARGET_H
#define CORE_NET_HTTP_TARGET_H

/*
 * The request target: path and query, percent-decoded once, in place.  Pure.
 *
 * Refused: bad escapes, %00, %2F and other controls, what is not UTF-8, dot
 * segments (also when written as %2e), a fragment, the same query member
 * twice, more than HTTP_QUERY_MAX of them.
 */

#include <stdbool.h>
#include <stddef.h>

#include "core/base/error.h"

#define HTTP_QUERY_MAX 32

struct http_pair {
	const char *name;
	const char *value;
};

struct http_target {
	const char *path; /* "*" for OPTIONS * */
	const char *authority; /* of an absolute URI, else NULL */
	struct http_pair query[HTTP_QUERY_MAX];
	unsigned n_query;
};

/*
 * text is changed; *out points into it.  ERR_NONE, or BAD_REQUEST (the target)
 * or VALIDATION_FAILED (the query member *why names) with the reason.
 */
enum error_code http_target_parse(char *text, struct http_target *out,
    const char **why);
const char *http_target_query(const struct http_target *t, const char *name);

#endif
