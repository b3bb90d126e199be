/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_client_impl.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * One request as libcurl sees it: the options that it gets, and the functions
 * that it calls, all on the loop's own stack.  They store what came and wake
 * the fiber.
 */

#define BODY_MAX (8u * 1024 * 1024)
#define CONNECT_MS 5000
#define IDLE_MS 30000
#define UPLOAD_LONG (64u * 1024)

/* Curl shall stop working on it. */
static bool
stream_is_over(const struct http_stream *s)
{
	return s->closed && !s->is_lingering;
}

/* ---- What curl calls ----------------------------------------------- */

static void
header_add(struct http_stream *s, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len), *value;
	size_t at = s->raw.len;

	if (colon == NULL || colon == line || *line == ' ' || *line == '\t')
		return;
	text_add_clean(&s->raw, line, (size_t)(colon - line));
	for (; at < s->raw.len; at++) {
		if (s->raw.data[at] >= 'A' && s->raw.data[at] <= 'Z')
			s->raw.data[at] |= 32;
	}
	buf_add_char(&s->raw, '\0');
	value = colon + 1;
	len -= (size_t)(value - line);
	while (len > 0 && (*value == ' ' || *value == '\t')) {
		value++;
		len--;
	}
	while (len > 0 && strchr(" \t\r\n", value[len - 1]) != NULL)
		len--;
	text_add_clean(&s->raw, value, len);
	buf_add_char(&s->raw, '\0');
	s->n_headers++;
}

static void
head_end(struct http_stream *s)
{
	const char *p = s->raw.data;
	size_t i;

	s->pairs = xcalloc(2 * s->n_headers + 1, sizeof(*s->pairs));
	for (i = 0; i < 2 * s->n_headers; i++) {
		s->pairs[i] = p;
		p += strlen(p) + 1;
	}
	s->head.headers = s->pairs;
	s->has_head = true;
	client_stream_wake(s);
}

static size_t
on_header(char *line, size_t one, size_t len, void *arg)
{
	struct http_stream *s = arg;
	long status;

	(void)one;
	if (stream_is_over(s))
		return 0;
	if (s->has_head) /* a trailer */
		return len;
	s->last_ms = loop_now_ms(s->client->loop);
	if (len > 5 && memcmp(line, "HTTP/", 5) == 0) {
		FAILPOINT("net.pre_read");
		buf_reset(&s->raw);
		s->n_headers = 0;
		return len;
	}
	if (len > 2 || line[0] != '\r') {
		if (s->raw.len + len > HTTP_CLIENT_HEAD_MAX ||
		    s->n_headers == HTTP_CLIENT_HEADERS_MAX) {
			s->head_too_large = true;
			return 0;
		}
		header_add(s, line, len);
		return len;
	}
	curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
	s->head.status = (int)status;
	if (status >= 200)
		head_end(s);
	return len;
}

static size_t
on_body(char *bytes, size_t one, size_t len, void *arg)
{
	struct http_stream *s = arg;

	(void)one;
	if (s->closed)
		return 0;
	if (s->body.len - s->body_off > HTTP_CLIENT_HIGH_WATER) {
		s->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	buf_drain(&s->body, s->body_off);
	s->body_off = 0;
	buf_add(&s->body, bytes, len);
	client_stream_wake(s);
	return len;
}

static int
on_progress(void *arg, curl_off_t dl_total, curl_off_t dl, curl_off_t ul_total,
    curl_off_t ul)
{
	struct http_stream *s = arg;

	(void)dl_total;
	(void)dl;
	(void)ul_total;
	if (ul != s->uploaded)
		s->last_ms = loop_now_ms(s->client->loop);
	s->uploaded = ul;
	return stream_is_over(s);
}

/* True: this stream may talk to that address. */
static bool
guard_passes(struct http_stream *s, const struct sockaddr *sa,
    const char *address)
{
	if (s->trust == HTTP_TRUSTED || !http_guard_refuses(sa) ||
	    guard_allows(s->allow, s->host, address, s->port))
		return true;
	snprintf(s->refused, sizeof(s->refused), "%s", address);
	return false;
}

static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct http_stream *s = arg;
	const struct sockaddr *sa = (const void *)&a->addr;
	char address[INET6_ADDRSTRLEN] = "an unknown address";
	const void *bytes = NULL;

	if (a->family == AF_INET)
		bytes = &((const struct sockaddr_in *)(const void *)sa)
			     ->sin_addr;
	else if (a->family == AF_INET6)
		bytes = &((const struct sockaddr_in6 *)(const void *)sa)
			     ->sin6_addr;
	if (bytes != NULL)
		inet_ntop(a->family, bytes, address, sizeof(address));
	if (s->closed || purpose != CURLSOCKTYPE_IPCXN ||
	    !guard_passes(s, sa, address))
		return CURL_SOCKET_BAD;
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/*
 * A process that was stopped may come here long after it has asked for this,
 * when another one may have asked the service whether it happened.  So not the
 * loop's time, which is of the turn's begin.
 */
static bool
is_too_late(const struct http_stream *s)
{
	return s->until_ms != 0 && (uint64_t)clock_mono_ms() >= s->until_ms;
}

/*
 * Before each request, also on a connection that was there already; and once
 * more if curl wants to repeat the request because that connection was dead.
 */
static int
on_request(void *arg, char *remote, char *local, int remote_port,
    int local_port)
{
	struct http_stream *s = arg;
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in4 = { .sin_family = AF_INET };
	const struct sockaddr *sa;

	(void)local;
	(void)remote_port;
	(void)local_port;
	FAILPOINT("net.pre_write");
	if (inet_pton(AF_INET, remote, &in4.sin_addr) == 1) {
		sa = (const void *)&in4;
	} else {
		/* What does not parse stays ::, which is refused. */
		inet_pton(AF_INET6, remote, &in6.sin6_addr);
		sa = (const void *)&in6;
	}
	if (s->closed || !guard_passes(s, sa, remote))
		return CURL_PREREQFUNC_ABORT;
	if (s->sent && !s->is_safe)
		return CURL_PREREQFUNC_ABORT;
	if (is_too_late(s))
		return CURL_PREREQFUNC_ABORT;
	s->sent = true;
	s->refused[0] = '\0'; /* another address of the host passed */
	s->last_ms = loop_now_ms(s->client->loop);
	return CURL_PREREQFUNC_OK;
}

#ifdef FAILPOINTS
/* The only word that curl gives of a request that has left. */
static int
on_debug(CURL *easy, curl_infotype type, char *bytes, size_t len, void *arg)
{
	(void)easy;
	(void)arg;
	if (type == CURLINFO_HEADER_OUT && len > 3 &&
	    memcmp(bytes + len - 4, "\r\n\r\n", 4) == 0)
		FAILPOINT("net.post_write");
	return 0;
}
#endif

/* ---- How a stream begins ------------------------------------------- */

static void
set_method(CURL *e, const struct hop *hop, const struct http_request *req)
{
	bool posts = hop->with_body || strcmp(hop->method, "POST") == 0 ||
		     strcmp(hop->method, "PUT") == 0 ||
		     strcmp(hop->method, "PATCH") == 0;

	if (posts) {
		curl_easy_setopt(e, CURLOPT_POST, 1L);
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE,
		    hop->with_body ? (curl_off_t)req->body_len : 0);
		/* A copy: an answer may come before all of it has left. */
		curl_easy_setopt(e, CURLOPT_COPYPOSTFIELDS,
		    hop->with_body ? req->body : "");
	}
	if (strcmp(hop->method, "HEAD") == 0)
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	else if (posts || strcmp(hop->method, "GET") != 0)
		curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, hop->method);
}

static void
set_limits(struct http_stream *s)
{
	CURL *e = s->easy;

	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	/* Ten thousand streams may wait for a model at once. */
	curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 8192L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(e, CURLOPT_PROXY, ""); /* not from the environment */
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)s->connect_ms);
	/* Do not wait for a resolver thread when a request is cancelled. */
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
}

static void
set_callbacks(struct http_stream *s)
{
	CURL *e = s->easy;

	curl_easy_setopt(e, CURLOPT_PRIVATE, s);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, s->reason);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, s);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, s);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, s);
	curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_request);
	curl_easy_setopt(e, CURLOPT_PREREQDATA, s);
	curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(e, CURLOPT_XFERINFODATA, s);
#ifdef FAILPOINTS
	curl_easy_setopt(e, CURLOPT_VERBOSE, 1L);
	curl_easy_setopt(e, CURLOPT_DEBUGFUNCTION, on_debug);
#endif
}

struct http_stream *
client_stream_new(struct http_client *c, const struct http_request *req,
    const struct hop *hop)
{
	struct http_stream *s = xcalloc(1, sizeof(*s));

	s->client = c;
	c->n_streams++;
	s->trust = hop->trust;
	s->pool = &c->pools[hop->trust];
	s->host = xstrdup(hop->host);
	s->port = hop->port;
	s->is_safe = hop_is_safe(hop);
	s->allow = req->allow;
	s->allow_name = req->allow_name;
	s->connect_ms = req->connect_ms > 0 ? req->connect_ms : CONNECT_MS;
	s->idle_ms = req->idle_ms > 0 ? req->idle_ms : IDLE_MS;
	s->max_body = req->max_body > 0 ? req->max_body : BODY_MAX;
	s->last_ms = loop_now_ms(c->loop);
	s->until_ms = fiber_deadline();
	MUST((s->easy = curl_easy_init()) != NULL);
	s->headers = hop_headers(hop, req);
	curl_easy_setopt(s->easy, CURLOPT_URL, hop->url);
	curl_easy_setopt(s->easy, CURLOPT_USERAGENT, "agent-studio");
	curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, s->headers);
	set_method(s->easy, hop, req);
	set_limits(s);
	set_callbacks(s);
	/* A long upload is a sign of life, too. */
	curl_easy_setopt(s->easy, CURLOPT_NOPROGRESS,
	    req->body_len > UPLOAD_LONG ? 0L : 1L);
	return s;
}
