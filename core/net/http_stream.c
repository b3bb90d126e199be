/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_client_impl.h"

#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"

/*
 * What fibers do with a stream: open it, from answer to answer until one does
 * not lead on; wait; read; say why it failed.
 */

#define REDIRECTS_MAX 5

/* ---- How it fails -------------------------------------------------- */

static bool
is_tls_error(CURLcode code)
{
	switch (code) {
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
		return true;
	default:
		return false;
	}
}

static enum as_status
guard_error(const struct http_stream *s, struct error *err)
{
	char where[HOST_PORT_LEN];

	host_port(where, s->host, s->port);
	return error_set(err, ERR_FORBIDDEN,
	    "'%.60s' is at %s, which is not a public address; an admin can "
	    "allow it with \"%.60s\" in %s",
	    s->host, s->refused, where,
	    s->allow_name != NULL ? s->allow_name : "the plugin's allow list");
}

static enum as_status
no_answer(const struct http_stream *s, struct error *err)
{
	switch (s->result) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return error_set(err, ERR_UNAVAILABLE,
		    "no address found for host '%.100s'", s->host);
	case CURLE_COULDNT_CONNECT:
		return error_set(err, ERR_UNAVAILABLE,
		    "cannot connect to '%.100s' at port %ld", s->host, s->port);
	case CURLE_OPERATION_TIMEDOUT:
		return error_set(err, ERR_UNAVAILABLE,
		    "no connection to '%.100s' within %lld ms", s->host,
		    (long long)s->connect_ms);
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
		return error_set(err, ERR_UPSTREAM_UNAVAILABLE,
		    "'%.100s' does not answer in HTTP", s->host);
	case CURLE_ABORTED_BY_CALLBACK: /* on_request, to a second try */
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
		return error_set(err, ERR_UNAVAILABLE,
		    "'%.100s' closed the connection before it answered",
		    s->host);
	default:
		return error_set(err, ERR_UPSTREAM_UNAVAILABLE,
		    "request to '%.60s' failed: %.150s", s->host,
		    s->reason[0] != '\0' ? s->reason
					 : curl_easy_strerror(s->result));
	}
}

static enum as_status
stream_error(const struct http_stream *s, struct error *err)
{
	enum as_status st;

	if (s->refused[0] != '\0')
		return guard_error(s, err);
	if (s->head_too_large)
		st = error_set(err, ERR_UPSTREAM_UNAVAILABLE,
		    "'%.100s' answers with more than %d headers or %u bytes "
		    "of them",
		    s->host, HTTP_CLIENT_HEADERS_MAX, HTTP_CLIENT_HEAD_MAX);
	else if (is_tls_error(s->result))
		st = error_set(err, ERR_UNAVAILABLE,
		    "TLS with '%.60s' failed: %.150s", s->host,
		    s->reason[0] != '\0' ? s->reason
					 : curl_easy_strerror(s->result));
	else if (s->has_head)
		st = error_set(err, ERR_UPSTREAM_UNAVAILABLE,
		    "the answer of '%.100s' broke off", s->host);
	else
		st = no_answer(s, err);
	if (err != NULL)
		snprintf(err->service, sizeof(err->service), "%.63s", s->host);
	return st;
}

/* Why a suspension was the last: cancel, the fiber's deadline, or silence. */
static enum as_status
stream_gave_up(const struct http_stream *s, enum fiber_exit x,
    struct error *err)
{
	uint64_t deadline = fiber_deadline();

	if (x == FIBER_CANCELED ||
	    (deadline != 0 && deadline <= loop_now_ms(s->client->loop)))
		return fiber_exit_status(x, err);
	return error_set(err, ERR_TIMEOUT, "'%.100s' was silent for %lld ms",
	    s->host, (long long)s->idle_ms);
}

/*
 * Wait for the next sign of life.  AS_OK: there was one, or time is not up;
 * look again.
 */
static SUSPENDS enum as_status
stream_wait(struct http_stream *s, struct error *err)
{
	uint64_t idle_at = s->last_ms + (uint64_t)s->idle_ms;
	enum fiber_exit x;

	s->wait = fiber_prepare();
	x = fiber_suspend(idle_at);
	if (x == FIBER_WOKEN || s->ended)
		return AS_OK;
	/* Something came that did not wake us. */
	if (x == FIBER_TIMEOUT && s->last_ms + (uint64_t)s->idle_ms > idle_at &&
	    fiber_time_left() > 0)
		return AS_OK;
	s->failed = true;
	return stream_gave_up(s, x, err);
}

/* ---- What others call ---------------------------------------------- */

static SUSPENDS enum as_status
hop_send(struct http_client *c, const struct http_request *req, struct hop *hop,
    struct http_stream **out, struct error *err)
{
	struct http_stream *s = client_stream_new(c, req, hop);
	enum as_status st = AS_OK;

	client_stream_todo(s);
	while (st == AS_OK && !s->has_head && !s->ended)
		st = stream_wait(s, err);
	s->allow = NULL;
	if (s->has_head) {
		*out = s;
		return AS_OK;
	}
	if (st == AS_OK)
		st = stream_error(s, err);
	hop->sent = hop->sent || s->sent;
	http_close(s);
	return st;
}

static const char *
head_value(const struct http_stream *s, const char *name)
{
	for (const char *const *p = s->head.headers; *p != NULL; p += 2) {
		if (strcmp(p[0], name) == 0)
			return p[1];
	}
	return NULL;
}

/* From answer to answer until one does not lead on. */
static SUSPENDS enum as_status
hops_follow(struct http_client *c, const struct http_request *req,
    struct hop *hop, struct http_stream **out, struct error *err)
{
	int left = req->max_redirects != 0 ? req->max_redirects : REDIRECTS_MAX;
	enum as_status st;

	while ((st = hop_send(c, req, hop, out, err)) == AS_OK) {
		struct http_stream *s = *out;
		const char *to;

		MUST(s != NULL);
		to = head_value(s, "location");
		if (req->max_redirects < 0 ||
		    !hop_follows(hop, s->head.status, to, req->same_host))
			return AS_OK;
		*out = NULL;
		if (left-- > 0)
			st = hop_redirect(hop, s->head.status, to, err);
		else
			st = error_set(err, ERR_UPSTREAM_UNAVAILABLE,
			    "'%.100s' redirects too often", s->host);
		http_close(s);
		hop->sent = true;
		if (st != AS_OK)
			return st;
	}
	return st;
}

enum as_status
http_open(struct http_client *c, const struct http_request *req,
    struct http_stream **out, struct error *err)
{
	struct hop hop = { 0 };
	enum as_status st;

	*out = NULL;
	if ((st = hop_check_headers(req, err)) == AS_OK &&
	    (st = hop_init(&hop, req, err)) == AS_OK)
		st = hops_follow(c, req, &hop, out, err);
	if (st != AS_OK && err != NULL)
		error_member(err, "sent", json_object_new_boolean(hop.sent));
	hop_clear(&hop);
	return st;
}

const struct http_response_head *
http_head(const struct http_stream *s)
{
	return &s->head;
}

/* There was an answer, whatever became of the rest of it. */
static void
was_sent(struct error *err)
{
	if (err != NULL)
		error_member(err, "sent", json_object_new_boolean(true));
}

static SUSPENDS enum as_status
body_come(struct http_stream *s, size_t *have, struct error *err)
{
	enum as_status st;

	s->last_ms = loop_now_ms(s->client->loop);
	while ((*have = s->body.len - s->body_off) == 0) {
		if (s->ended)
			return s->result == CURLE_OK ? AS_OK
						     : stream_error(s, err);
		if (s->paused)
			client_stream_todo(s);
		if ((st = stream_wait(s, err)) != AS_OK &&
		    s->body.len == s->body_off)
			return st;
	}
	return AS_OK;
}

/* Until there is something of the body; *have = 0: it is over. */
static SUSPENDS enum as_status
body_wait(struct http_stream *s, size_t *have, struct error *err)
{
	enum as_status st = body_come(s, have, err);

	if (st != AS_OK)
		was_sent(err);
	return st;
}

/* So many bytes of it have been taken. */
static void
body_taken(struct http_stream *s, size_t n)
{
	s->body_off += n;
	if (s->paused && s->body.len - s->body_off < HTTP_CLIENT_HIGH_WATER / 2)
		client_stream_todo(s);
}

enum as_status
http_read(struct http_stream *s, void *buf, size_t cap, size_t *n,
    struct error *err)
{
	enum as_status st;
	size_t have;

	*n = 0;
	if ((st = body_wait(s, &have, err)) != AS_OK)
		return st;
	*n = have < cap ? have : cap;
	if (*n > 0)
		memcpy(buf, s->body.data + s->body_off, *n);
	body_taken(s, *n);
	return AS_OK;
}

enum as_status
http_take(struct http_stream *s, char **out, size_t *n, struct error *err)
{
	enum as_status st;

	*out = NULL;
	if ((st = body_wait(s, n, err)) != AS_OK) {
		*n = 0;
		return st;
	}
	buf_drain(&s->body, s->body_off);
	s->body_off = 0;
	*out = buf_take(&s->body);
	body_taken(s, 0);
	return AS_OK;
}

enum as_status
http_read_all(struct http_stream *s, char **out, size_t *len, struct error *err)
{
	struct buf all = { 0 };
	char *piece = xmalloc(HTTP_CLIENT_HIGH_WATER);
	enum as_status st;
	size_t n;

	*out = NULL;
	*len = 0;
	while ((st = http_read(s, piece, HTTP_CLIENT_HIGH_WATER, &n, err)) ==
		   AS_OK &&
	       n > 0) {
		if (n > s->max_body - all.len) {
			st = error_set(err, ERR_TOO_LARGE,
			    "the answer of '%.100s' is larger than %zu bytes",
			    s->host, s->max_body);
			was_sent(err);
			break;
		}
		buf_add(&all, piece, n);
	}
	free(piece);
	if (st == AS_OK) {
		*len = all.len;
		*out = buf_take(&all);
	}
	buf_free(&all);
	return st;
}

void
http_close(struct http_stream *s)
{
	if (s == NULL)
		return;
	s->closed = true;
	s->wait = (struct fiber_wait){ 0 };
	client_stream_closed(s);
}
