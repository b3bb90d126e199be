/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/net/http_impl.h"

/*
 * Answers.  The head is built by hand in a buffer of the server and leaves
 * together with the body in one call.  An answer of a route that honours
 * Idempotency-Key is held until idem_end has kept it.
 */

static const char *
status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} rows[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 206, "Partial Content" },
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 303, "See Other" },
		{ 304, "Not Modified" },
		{ 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 410, "Gone" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" },
		{ 416, "Range Not Satisfiable" },
		{ 417, "Expectation Failed" },
		{ 422, "Unprocessable Content" },
		{ 426, "Upgrade Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 499, "Client Closed Request" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
	};
	size_t i;

	for (i = 0; i < N_ITEMS(rows); i++) {
		if (rows[i].status == status)
			return rows[i].text;
	}
	return "Unknown";
}

static const char *
server_date(struct http_server *s)
{
	time_t now = (time_t)(clock_wall_us() / 1000000);
	struct tm tm;

	if (now == s->date_s && s->date[0] != '\0')
		return s->date;
	s->date_s = now;
	gmtime_r(&now, &tm);
	strftime(s->date, sizeof(s->date),
	    "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
	return s->date;
}

static void
head_number(struct buf *b, int64_t n)
{
	char text[24];
	size_t i = sizeof(text);

	do
		text[--i] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	buf_add(b, text + i, sizeof(text) - i);
}

#define HEAD_ADD(b, literal) buf_add(b, literal, sizeof(literal) - 1)

static void
head_connection(struct http_req *req, struct buf *b)
{
	if (!req->keep_alive || req->server->announced || req->server->draining)
		HEAD_ADD(b, "Connection: close\r\n");
	else if (req->parse.ll.http_minor == 0)
		HEAD_ADD(b, "Connection: keep-alive\r\n");
}

/* All but the empty line at its end. */
static void
head_start(struct http_req *req, int status, const char *type)
{
	struct buf *b = &req->server->head;

	buf_reset(b);
	if (status == 200) {
		HEAD_ADD(b, "HTTP/1.1 200 OK\r\n");
	} else {
		HEAD_ADD(b, "HTTP/1.1 ");
		head_number(b, status);
		buf_add_char(b, ' ');
		buf_add_str(b, status_text(status));
		HEAD_ADD(b, "\r\n");
	}
	buf_add_str(b, server_date(req->server));
	if (type != NULL) {
		HEAD_ADD(b, "Content-Type: ");
		buf_add_str(b, type);
		HEAD_ADD(b, "\r\n");
	}
	HEAD_ADD(b, "X-Content-Type-Options: nosniff\r\n");
	if (!req->has_cache_control)
		HEAD_ADD(b, "Cache-Control: no-store\r\n");
	if (req->cid[0] == '\0')
		uuid_format(uuid_v7(), req->cid);
	HEAD_ADD(b, "X-Correlation-Id: ");
	buf_add_str(b, req->cid);
	HEAD_ADD(b, "\r\n");
	cors_add(req, b);
	if (req->extra.len > 0)
		buf_add(b, req->extra.data, req->extra.len);
}

void
reply_head(struct http_req *req, int status, const char *type, int64_t length)
{
	struct buf *b = &req->server->head;

	head_start(req, status, type);
	if (length >= 0 && status != 204 && status != 304 && status >= 200) {
		HEAD_ADD(b, "Content-Length: ");
		head_number(b, length);
		HEAD_ADD(b, "\r\n");
	}
	if (status != 101)
		head_connection(req, b);
	HEAD_ADD(b, "\r\n");
}

static void
reply_send(struct http_req *req, int status, const char *type, const void *body,
    size_t len)
{
	struct http_conn *c = req->conn;
	struct iovec iov[2];

	req->replied = true;
	req->status = status;
	if (c == NULL || c->state == CONN_CLOSED)
		return;
	reply_head(req, status, type, (int64_t)len);
	iov[0].iov_base = req->server->head.data;
	iov[0].iov_len = req->server->head.len;
	iov[1].iov_base = (void *)(uintptr_t)body;
	iov[1].iov_len = len;
	if (req_is_head(req) || status == 204 || status == 304)
		len = 0;
	conn_writev(c, iov, len > 0 ? 2 : 1);
}

static bool
reply_is_first(struct http_req *req)
{
	if (!req->replied && !req->taken)
		return true;
	log_err("http", "a second answer to %s %s is dropped", http_method(req),
	    http_path(req));
	return false;
}

void
http_reply(struct http_req *req, int status, const char *content_type,
    const void *body, size_t len)
{
	if (!reply_is_first(req))
		return;
	if (!req->hold) {
		reply_send(req, status, content_type, body, len);
		return;
	}
	req->replied = true;
	req->status = status;
	req->held_type = xstrdup(content_type);
	buf_add(&req->held, body, len);
}

void
reply_held(struct http_req *req)
{
	reply_send(req, req->status, req->held_type, req->held.data,
	    req->held.len);
}

/* The connection is not HTTP's any more, or answers without an end. */
void
reply_taken(struct http_req *req, int status)
{
	req->taken = true;
	req->status = status;
}

void
http_reply_json(struct http_req *req, int status, struct json_object *body)
{
	const char *text;

	if (body == NULL) {
		http_reply(req, status, NULL, NULL, 0);
		return;
	}
	text = json_text(body);
	http_reply(req, status, "application/json", text, strlen(text));
	json_object_put(body);
}

void
reply_file(struct http_req *req, int status, const char *type, int fd,
    int64_t at, int64_t len)
{
	struct http_conn *c = req->conn;
	struct buf *head = &req->server->head;

	if (!reply_is_first(req) || c == NULL || c->state == CONN_CLOSED) {
		req->replied = true;
		req->status = status;
		close(fd);
		return;
	}
	req->replied = true;
	req->status = status;
	reply_head(req, status, type, len);
	if (req_is_head(req) || len == 0) {
		struct iovec iov = { head->data, head->len };

		close(fd);
		conn_writev(c, &iov, 1);
		return;
	}
	conn_add(c, head->data, head->len);
	conn_add_file(c, fd, at, len);
	conn_flush(c);
}

static bool
value_is_safe(const char *s)
{
	for (; *s != '\0'; s++) {
		if ((unsigned char)*s < 0x20 && *s != '\t')
			return false;
	}
	return true;
}

void
http_set_header(struct http_req *req, const char *name, const char *value)
{
	if (!value_is_safe(value)) {
		log_err("http", "header %s: a control character is refused",
		    name);
		return;
	}
	if (strcasecmp(name, "Cache-Control") == 0)
		req->has_cache_control = true;
	buf_add_str(&req->extra, name);
	buf_add(&req->extra, ": ", 2);
	buf_add_str(&req->extra, value);
	buf_add(&req->extra, "\r\n", 2);
}

const char *
http_header_set(struct http_req *req, const char *name)
{
	size_t len = strlen(name);
	const char *s = req->extra.data, *end;

	for (; s != NULL && *s != '\0'; s = end + 2) {
		end = strstr(s, "\r\n");
		if (strncasecmp(s, name, len) == 0 && s[len] == ':')
			return arena_strndup(http_arena(req), s + len + 2,
			    (size_t)(end - s) - len - 2);
	}
	return NULL;
}

/* ---- Errors -------------------------------------------------------- */

static void
error_headers(struct http_req *req, const struct error *err, int status)
{
	char text[24];

	if (err->retry_after_ms > 0) {
		snprintf(text, sizeof(text), "%lld",
		    (long long)((err->retry_after_ms + 999) / 1000));
		http_set_header(req, "Retry-After", text);
	}
	if (status == 401)
		http_set_header(req, "WWW-Authenticate",
		    "Bearer realm=\"agent-studio\"");
	if (status == 405)
		http_set_header(req, "Allow", req->match.allow);
}

/* Has this element of a list "q=0"? */
static bool
is_refused(const char *s, size_t len)
{
	const char *end = s + len;

	for (s = memchr(s, ';', len); s != NULL;
	     s = memchr(s, ';', (size_t)(end - s))) {
		s += 1 + strspn(s + 1, " \t");
		if (strncasecmp(s, "q=", 2) == 0)
			return strspn(s + 2, "0.") == strcspn(s + 2, ",; \t");
	}
	return false;
}

bool
http_accepts(struct http_req *req, const char *type)
{
	const char *s = http_parse_header(&req->parse, "accept");
	size_t len = strlen(type), n;

	for (; s != NULL && *s != '\0'; s += n) {
		s += strspn(s, ", \t");
		n = strcspn(s, ",");
		if (n >= len && strncasecmp(s, type, len) == 0 &&
		    strchr(",; \t", s[len]) != NULL)
			return !is_refused(s, n);
	}
	return false;
}

static bool
wants_problem_json(struct http_req *req)
{
	return http_accepts(req, "application/problem+json");
}

void
http_reply_error(struct http_req *req, const struct error *err)
{
	int status = error_http(err->code);
	struct json_object *body;
	const char *text;

	if (!reply_is_first(req))
		return;
	if (req->cid[0] == '\0')
		uuid_format(uuid_v7(), req->cid);
	if (status >= 500)
		log_line(status == 500 ? LOG_ERROR : LOG_WARNING, "http",
		    req->cid, "%s %s: %s: %s",
		    req->routed ? http_method(req) : "-", http_path(req),
		    error_name(err->code), err->detail);
	error_headers(req, err, status);
	body = error_body(err, req->target.path, req->cid);
	text = json_text(body);
	http_reply(req, status,
	    wants_problem_json(req) ? "application/problem+json"
				    : "application/json",
	    text, strlen(text));
	json_object_put(body);
}
