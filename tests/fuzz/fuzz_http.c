/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/net/http_parse.h"
#include "core/net/http_target.h"

/*
 * Requests, one behind the other as on a connection.  The first byte is the
 * size of the pieces; the same bytes in one piece must give the same result.
 */

#define REQUESTS_MAX 8

struct seen {
	enum http_parse_result result;
	enum error_code error;
	unsigned n_requests, n_headers;
	size_t body, used;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http_limits limits = { 20, 2048, 512 };

static void
check_head(struct http_parse *p)
{
	char *copy = xstrdup(http_parse_target(p));
	struct http_target t;
	const char *why;
	unsigned i;

	for (i = 0; i < p->n_headers; i++) {
		const char *v = p->head.data + p->headers[i].value;

		MUST(p->headers[i].name < p->headers[i].value);
		MUST(p->headers[i].value <= p->head.len);
		MUST(strpbrk(v, "\r\n") == NULL);
	}
	MUST(p->n_headers <= limits.max_headers);
	if (http_target_parse(copy, &t, &why) == ERR_NONE) {
		MUST(text_is_utf8(t.path, strlen(t.path)));
		MUST(strstr(t.path, "/../") == NULL);
	}
	free(copy);
	http_parse_has_token(p, "connection", "upgrade");
}

static enum http_parse_result
feed(struct http_parse *p, const char *s, size_t len, size_t *used)
{
	char *exact = xmalloc(len);
	enum http_parse_result r;
	size_t n;

	memcpy(exact, s, len);
	*used = 0;
	do {
		r = http_parse_feed(p, exact + *used, len - *used, &n);
		MUST(n <= len - *used);
		*used += n;
		if (r == HTTP_PARSE_HEAD) {
			p->max_body = 300;
			check_head(p);
		}
	} while (r == HTTP_PARSE_HEAD);
	MUST(p->body.len <= 300);
	free(exact);
	return r;
}

static void
run(struct seen *seen, const char *s, size_t len, size_t step)
{
	struct http_parse p;
	size_t n, used;

	memset(seen, 0, sizeof(*seen));
	http_parse_init(&p, &limits);
	while (seen->used < len && seen->n_requests < REQUESTS_MAX) {
		n = len - seen->used < step ? len - seen->used : step;
		seen->result = feed(&p, s + seen->used, n, &used);
		seen->used += used;
		if (seen->result == HTTP_PARSE_ERROR)
			break;
		if (seen->result != HTTP_PARSE_DONE)
			continue;
		seen->n_requests++;
		seen->n_headers += p.n_headers;
		seen->body += p.body.len;
		http_parse_reset(&p);
	}
	seen->error = p.error;
	http_parse_free(&p);
	/* Where in a piece an error was noticed is nobody's business. */
	if (seen->result == HTTP_PARSE_ERROR)
		seen->used = 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *s = (const char *)data;
	struct seen a, b;

	if (size < 2)
		return 0;
	run(&a, s + 1, size - 1, size);
	run(&b, s + 1, size - 1, 1 + data[0]);
	MUST(a.result == b.result);
	MUST(a.n_requests == b.n_requests && a.n_headers == b.n_headers);
	MUST(a.body == b.body && a.used == b.used);
	return 0;
}
