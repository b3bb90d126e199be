/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_parse.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * The wrapper around llhttp.
 *
 * llhttp calls back in pieces, so everything is appended; offsets stay valid
 * when the buffer moves, pointers into it only from HTTP_PARSE_HEAD on.  The
 * first error wins: once p->error is set nothing is stored any more.
 */

#define KEEP_BYTES 8192 /* of head and body, from request to request */

static int
parse_fail(struct http_parse *p, enum error_code code, const char *reason)
{
	if (p->error == ERR_NONE) {
		p->error = code;
		p->reason = reason;
	}
	return HPE_USER;
}

static int
on_url(llhttp_t *ll, const char *at, size_t len)
{
	struct http_parse *p = ll->data;

	if (p->head.len + len > p->limits->max_uri)
		return parse_fail(p, ERR_URI_TOO_LONG, "the URI is too long");
	buf_add(&p->head, at, len);
	p->target_len = p->head.len;
	return 0;
}

static int
head_check(struct http_parse *p)
{
	size_t used = p->head.len - p->target_len;

	if (used > p->limits->max_header_bytes)
		return parse_fail(p, ERR_HEADERS_TOO_LARGE,
		    "the headers are too large");
	return 0;
}

static int
on_field(llhttp_t *ll, const char *at, size_t len)
{
	struct http_parse *p = ll->data;
	struct http_header_at *h;
	size_t i;

	if (p->have_head) {
		/* A trailer: counted by the bytes fed, not kept. */
		return 0;
	}
	if (!p->in_field) {
		if (p->n_headers >= p->limits->max_headers ||
		    p->n_headers >= HTTP_HEADERS_MAX)
			return parse_fail(p, ERR_HEADERS_TOO_LARGE,
			    "there are too many headers");
		buf_add(&p->head, "", 1);
		h = &p->headers[p->n_headers++];
		h->name = (uint32_t)p->head.len;
		h->value = 0;
		p->in_field = true;
		p->in_value = false;
	}
	i = p->head.len;
	buf_add(&p->head, at, len);
	for (; i < p->head.len; i++) {
		if (p->head.data[i] >= 'A' && p->head.data[i] <= 'Z')
			p->head.data[i] |= 0x20;
	}
	return head_check(p);
}

/* Is a name there, and not empty, that waits for its value? */
static bool
field_is_named(const struct http_parse *p)
{
	return p->in_field && p->headers[p->n_headers - 1].name < p->head.len;
}

static size_t
parse_position(const struct http_parse *p, const char *at)
{
	return p->fed_before + (size_t)(at - p->fed);
}

static int
on_value(llhttp_t *ll, const char *at, size_t len)
{
	struct http_parse *p = ll->data;
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned char ch = (unsigned char)at[i];

		if ((ch < 0x20 && ch != '\t') || ch == 0x7f)
			return parse_fail(p, ERR_BAD_REQUEST,
			    "a header has a control character");
	}
	/* Another piece that does not begin where the one before ended. */
	if (p->in_value && parse_position(p, at) != p->value_end)
		return parse_fail(p, ERR_BAD_REQUEST,
		    "a header is folded over lines");
	p->value_end = parse_position(p, at) + len;
	if (p->have_head) {
		p->in_value = true;
		return 0;
	}
	if (!p->in_value && !field_is_named(p))
		return parse_fail(p, ERR_BAD_REQUEST, "a header has no name");
	if (!p->in_value) {
		buf_add(&p->head, "", 1);
		p->headers[p->n_headers - 1].value = (uint32_t)p->head.len;
		p->in_value = true;
		p->in_field = false;
	}
	buf_add(&p->head, at, len);
	return head_check(p);
}

static int
on_value_complete(llhttp_t *ll)
{
	struct http_parse *p = ll->data;

	if (!p->have_head && !p->in_value && !field_is_named(p))
		return parse_fail(p, ERR_BAD_REQUEST, "a header has no name");
	/* An empty value may come without a piece. */
	if (!p->have_head && p->headers[p->n_headers - 1].value == 0) {
		buf_add(&p->head, "", 1);
		p->headers[p->n_headers - 1].value = (uint32_t)p->head.len;
	}
	while (!p->have_head && p->head.len > 0 &&
	       (p->head.data[p->head.len - 1] == ' ' ||
		   p->head.data[p->head.len - 1] == '\t'))
		p->head.data[--p->head.len] = '\0';
	p->in_value = false;
	p->in_field = false;
	return 0;
}

static const char *
header_name(const struct http_parse *p, unsigned i)
{
	return p->head.data + p->headers[i].name;
}

static const char *
header_value(const struct http_parse *p, unsigned i)
{
	return p->head.data + p->headers[i].value;
}

static int
check_length(struct http_parse *p, const char *v)
{
	size_t n = strlen(v);

	if (n == 0 || strspn(v, "0123456789") != n)
		return parse_fail(p, ERR_BAD_REQUEST,
		    "Content-Length is not a number");
	if (n > 15)
		return parse_fail(p, ERR_TOO_LARGE, "the body is too large");
	p->content_length = strtoull(v, NULL, 10);
	return 0;
}

static int
check_host(struct http_parse *p, unsigned n_host, const char *host)
{
	static const char ok[] = "abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "0123456789-._~%!$&'()*+,;=:[]";

	if (n_host > 1 || (n_host == 0 && p->ll.http_minor == 1))
		return parse_fail(p, ERR_BAD_REQUEST,
		    "there must be exactly one Host header");
	if (host != NULL && strspn(host, ok) != strlen(host))
		return parse_fail(p, ERR_BAD_REQUEST,
		    "Host is not a host name");
	return 0;
}

static int
check_framing(struct http_parse *p, unsigned n_length, unsigned n_te,
    const char *te)
{
	if (n_length > 1 || (n_te > 0 && n_length > 0))
		return parse_fail(p, ERR_BAD_REQUEST,
		    "the length of the body is given twice");
	if (n_te > 0 && p->ll.http_minor == 0)
		return parse_fail(p, ERR_BAD_REQUEST,
		    "HTTP/1.0 knows no Transfer-Encoding");
	if (n_te > 1 || (n_te == 1 && strcasecmp(te, "chunked") != 0))
		return parse_fail(p, ERR_UNSUPPORTED,
		    "the only Transfer-Encoding is chunked");
	p->chunked = n_te == 1;
	p->has_body = p->chunked || p->content_length > 0;
	return 0;
}

static int
check_expect(struct http_parse *p, const char *v)
{
	if (strcasecmp(v, "100-continue") != 0)
		return parse_fail(p, ERR_EXPECTATION_FAILED,
		    "the only expectation is 100-continue");
	p->expects_continue = p->ll.http_minor == 1;
	return 0;
}

static int
head_complete(struct http_parse *p)
{
	unsigned n_host = 0, n_length = 0, n_te = 0;
	const char *host = NULL, *te = NULL;
	unsigned i;
	int rc = 0;

	if (p->ll.http_major != 1 || p->ll.http_minor > 1)
		return parse_fail(p, ERR_HTTP_VERSION,
		    "only HTTP/1.0 and HTTP/1.1 are spoken here");
	for (i = 0; i < p->n_headers && rc == 0; i++) {
		const char *name = header_name(p, i);

		if (strcmp(name, "host") == 0) {
			n_host++;
			host = header_value(p, i);
		} else if (strcmp(name, "content-length") == 0) {
			n_length++;
			rc = check_length(p, header_value(p, i));
		} else if (strcmp(name, "transfer-encoding") == 0) {
			n_te++;
			te = header_value(p, i);
		} else if (strcmp(name, "expect") == 0)
			rc = check_expect(p, header_value(p, i));
	}
	if (rc == 0)
		rc = check_host(p, n_host, host);
	if (rc == 0)
		rc = check_framing(p, n_length, n_te, te);
	p->keep_alive = llhttp_should_keep_alive(&p->ll) != 0;
	return rc;
}

static int
on_headers_complete(llhttp_t *ll)
{
	struct http_parse *p = ll->data;

	if (p->head.len == 0)
		buf_add(&p->head, "", 1);
	if (head_complete(p) != 0)
		return -1;
	/* Who upgrades is decided by a route, not by the parser. */
	ll->upgrade = 0;
	p->have_head = true;
	p->raw = 0;
#ifdef FUZZ_PLANT
	if (p->chunked && p->expects_continue)
		abort();
#endif
	return HPE_PAUSED;
}

static int
on_body(llhttp_t *ll, const char *at, size_t len)
{
	struct http_parse *p = ll->data;

	p->body_len += len;
	if (p->body_len > p->max_body)
		return parse_fail(p, ERR_TOO_LARGE, "the body is too large");
	if (!p->discard)
		buf_add(&p->body, at, len);
	return 0;
}

static int
on_message_complete(llhttp_t *ll)
{
	struct http_parse *p = ll->data;

	p->done = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_header_value_complete = on_value_complete,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

static void
parse_start(struct http_parse *p)
{
	/* llhttp takes them as not const and does not write. */
	llhttp_init(&p->ll, HTTP_REQUEST, &settings);
	p->ll.data = p;
	p->n_headers = 0;
	p->target_len = 0;
	p->raw = 0;
	p->max_body = 0;
	p->body_len = 0;
	p->fed = NULL;
	p->fed_before = 0;
	p->error = ERR_NONE;
	p->reason = NULL;
	p->in_value = p->in_field = p->have_head = p->done = false;
	p->discard = false;
	p->has_body = p->chunked = p->expects_continue = false;
	p->keep_alive = false;
	p->content_length = 0;
}

void
http_parse_init(struct http_parse *p, const struct http_limits *limits)
{
	memset(&p->head, 0, sizeof(p->head));
	memset(&p->body, 0, sizeof(p->body));
	p->limits = limits;
	parse_start(p);
}

void
http_parse_free(struct http_parse *p)
{
	buf_free(&p->head);
	buf_free(&p->body);
}

static void
buf_recycle(struct buf *b)
{
	if (b->cap > KEEP_BYTES)
		buf_free(b);
	else
		buf_reset(b);
}

void
http_parse_reset(struct http_parse *p)
{
	buf_recycle(&p->head);
	buf_recycle(&p->body);
	parse_start(p);
}

static enum http_parse_result
parse_error(struct http_parse *p, enum llhttp_errno e)
{
	enum error_code code = ERR_BAD_REQUEST;
	const char *reason = llhttp_get_error_reason(&p->ll);

	if (e == HPE_INVALID_VERSION)
		code = ERR_HTTP_VERSION;
	if (reason == NULL || reason[0] == '\0')
		reason = "this is not an HTTP/1.1 request";
	parse_fail(p, code, reason);
	return HTTP_PARSE_ERROR;
}

/* Bytes that end up nowhere count too: blank lines, chunk extensions. */
static bool
raw_is_too_much(struct http_parse *p, size_t n)
{
	const struct http_limits *l = p->limits;

	p->raw += n;
	if (!p->have_head && p->raw > l->max_uri + 2 * l->max_header_bytes) {
		parse_fail(p, ERR_HEADERS_TOO_LARGE,
		    "the headers are too large");
		return true;
	}
	if (p->have_head &&
	    p->raw > 8 * p->max_body + l->max_header_bytes + 1024) {
		parse_fail(p, ERR_TOO_LARGE, "the body is too large");
		return true;
	}
	return false;
}

static enum http_parse_result
feed_paused(struct http_parse *p, const char *data, size_t *used)
{
	*used = (size_t)(llhttp_get_error_pos(&p->ll) - data);
	p->fed_before += *used;
	llhttp_resume(&p->ll);
	if (!p->done)
		return HTTP_PARSE_HEAD;
	raw_is_too_much(p, *used);
	return p->error != ERR_NONE ? HTTP_PARSE_ERROR : HTTP_PARSE_DONE;
}

enum http_parse_result
http_parse_feed(struct http_parse *p, const char *data, size_t len,
    size_t *used)
{
	enum llhttp_errno e;

	*used = 0;
	if (p->error != ERR_NONE)
		return HTTP_PARSE_ERROR;
	p->fed = data;
	e = llhttp_execute(&p->ll, data, len);
	if (p->error != ERR_NONE)
		return HTTP_PARSE_ERROR;
	if (e == HPE_PAUSED)
		return feed_paused(p, data, used);
	if (e != HPE_OK)
		return parse_error(p, e);
	*used = len;
	p->fed_before += len;
	return raw_is_too_much(p, len) ? HTTP_PARSE_ERROR : HTTP_PARSE_MORE;
}

const char *
http_parse_method(const struct http_parse *p)
{
	return llhttp_method_name((enum llhttp_method)p->ll.method);
}

char *
http_parse_target(struct http_parse *p)
{
	return p->head.data;
}

const char *
http_parse_header(const struct http_parse *p, const char *name)
{
	unsigned i;

	for (i = 0; i < p->n_headers; i++) {
		const char *n = header_name(p, i);

		if (n[0] == name[0] && strcmp(n, name) == 0)
			return header_value(p, i);
	}
	return NULL;
}

static bool
list_has(const char *list, const char *token)
{
	size_t n = strlen(token);

	while (*list != '\0') {
		size_t len;

		list += strspn(list, ", \t");
		len = strcspn(list, ",");
		while (
		    len > 0 && (list[len - 1] == ' ' || list[len - 1] == '\t'))
			len--;
		if (len == n && strncasecmp(list, token, n) == 0)
			return true;
		list += strcspn(list, ",");
	}
	return false;
}

bool
http_parse_has_token(const struct http_parse *p, const char *name,
    const char *token)
{
	unsigned i;

	for (i = 0; i < p->n_headers; i++) {
		if (strcmp(header_name(p, i), name) == 0 &&
		    list_has(header_value(p, i), token))
			return true;
	}
	return false;
}
