/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/net/http_hop.h"

/*
 * libcurl is driven from the loop's own stack only: by its descriptors, its
 * timer, and client_work at the end of a turn.  A fiber never calls what may
 * call back; it puts its stream on the client's list and waits.  Callbacks
 * store what came and wake the fiber.
 *
 * A stream belongs to its fiber until http_close, then to client_work, which
 * frees it in the same turn; or a moment later if only the end of its answer
 * is missing, so that its connection can be used again.  HTTP/1.1 only: a cancelled request closes its
 * socket, and a paused one is held back by TCP instead of curl's buffers.
 */

#define HIGH_WATER (64u * 1024)
#define HEAD_MAX (64u * 1024)
#define HEADERS_MAX 200
#define BODY_MAX (8u * 1024 * 1024)
#define REDIRECTS_MAX 5
#define CONNECT_MS 5000
#define IDLE_MS 30000
#define IDLE_CONNECTIONS_MAX 64L
#define LINGER_MS 200
#define UPLOAD_LONG (64u * 1024)

/* One trust class: its connections are never used by the other. */
struct curl_pool {
	struct http_client *client;
	CURLM *multi;
	struct loop_timer timer;
};

struct http_client {
	struct loop *loop;
	struct curl_pool pools[HTTP_TRUSTED + 1];
	struct loop_hook work;
	struct http_stream *todo;
	struct http_stream *lingering;
	unsigned n_streams;
	bool is_dead;
};

struct http_stream {
	struct http_client *client;
	struct http_stream *next_todo;
	struct http_stream *next_lingering, **prev_lingering;
	struct loop_timer linger;
	struct curl_pool *pool;
	CURL *easy;
	struct curl_slist *headers;
	char *host;
	long port;
	const char *const *allow; /* the caller's, until the head is there */
	const char *allow_name;
	enum http_trust trust;
	struct fiber_wait wait;

	struct buf raw; /* name NUL value NUL ... */
	const char **pairs; /* into raw, once the head is complete */
	struct http_response_head head;
	size_t n_headers;

	struct buf body;
	size_t body_off; /* taken already */
	size_t max_body;

	int64_t connect_ms, idle_ms;
	uint64_t last_ms; /* of the latest sign of life */
	curl_off_t uploaded;
	CURLcode result;
	char refused[INET6_ADDRSTRLEN]; /* the address that the guard refused */
	char reason[CURL_ERROR_SIZE];

	bool is_todo, added, has_head, ended, paused, failed;
	bool closed; /* by its fiber; nothing is stored any more */
	bool is_lingering;
	bool sent, is_safe, head_too_large;
};

static void
stream_todo(struct http_stream *s)
{
	if (s->is_todo)
		return;
	s->is_todo = true;
	s->next_todo = s->client->todo;
	s->client->todo = s;
	loop_at_turn_end(s->client->loop, &s->client->work);
}

static void
stream_wake(struct http_stream *s)
{
	s->last_ms = loop_now_ms(s->client->loop);
	if (s->wait.f != NULL)
		fiber_wake(s->wait);
}

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
	stream_wake(s);
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
		buf_reset(&s->raw);
		s->n_headers = 0;
		return len;
	}
	if (len > 2 || line[0] != '\r') {
		if (s->raw.len + len > HEAD_MAX ||
		    s->n_headers == HEADERS_MAX) {
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
	if (s->body.len - s->body_off > HIGH_WATER) {
		s->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	buf_drain(&s->body, s->body_off);
	s->body_off = 0;
	buf_add(&s->body, bytes, len);
	stream_wake(s);
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
	s->sent = true;
	s->refused[0] = '\0'; /* another address of the host passed */
	s->last_ms = loop_now_ms(s->client->loop);
	return CURL_PREREQFUNC_OK;
}

/* ---- Between curl and the loop ------------------------------------- */

static void
pool_collect(struct curl_pool *p)
{
	struct http_stream *s;
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(p->multi, &left)) != NULL) {
		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE,
		    (char **)&s);
		s->ended = true;
		s->result = m->data.result;
		stream_wake(s);
		if (s->closed)
			stream_todo(s);
	}
}

static void
on_fd(int fd, int what, void *arg)
{
	struct curl_pool *p = arg;
	int running, mask = 0;

	if (what & LOOP_READ)
		mask |= CURL_CSELECT_IN;
	if (what & LOOP_WRITE)
		mask |= CURL_CSELECT_OUT;
	curl_multi_socket_action(p->multi, fd, mask, &running);
	pool_collect(p);
}

static void
on_timer(struct loop_timer *t)
{
	struct curl_pool *p = container_of(t, struct curl_pool, timer);
	int running;

	curl_multi_socket_action(p->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	pool_collect(p);
}

static int
set_timer(CURLM *m, long ms, void *arg)
{
	struct curl_pool *p = arg;
	struct loop *loop = p->client->loop;

	(void)m;
	if (ms < 0)
		loop_timer_clear(&p->timer);
	else
		loop_timer_set(loop, &p->timer,
		    loop_now_ms(loop) + (uint64_t)ms);
	return 0;
}

static int
set_fd(CURL *easy, curl_socket_t fd, int what, void *arg, void *mine)
{
	struct curl_pool *p = arg;
	struct loop_watch *w = mine;
	int mask = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		loop_watch_free(w);
		curl_multi_assign(p->multi, fd, NULL);
		return 0;
	}
	if (what & CURL_POLL_IN)
		mask |= LOOP_READ;
	if (what & CURL_POLL_OUT)
		mask |= LOOP_WRITE;
	if (w != NULL) {
		loop_watch_set(w, mask);
		return 0;
	}
	w = loop_watch(p->client->loop, fd, mask, on_fd, p);
	curl_multi_assign(p->multi, fd, w);
	return 0;
}

static void
on_linger(struct loop_timer *t)
{
	stream_todo(container_of(t, struct http_stream, linger));
}

/* The last bytes of its answer were taken; only its end did not come yet. */
static bool
stream_may_linger(const struct http_stream *s)
{
	return s->has_head && !s->ended && !s->failed &&
	       s->body.len == s->body_off && fiber_self() != NULL &&
	       !fiber_is_canceled() && fiber_time_left() > 0;
}

static void
stream_linger(struct http_stream *s)
{
	struct http_client *c = s->client;

	s->is_lingering = true;
	s->next_lingering = c->lingering;
	s->prev_lingering = &c->lingering;
	if (c->lingering != NULL)
		c->lingering->prev_lingering = &s->next_lingering;
	c->lingering = s;
	s->linger.fn = on_linger;
	loop_timer_set(c->loop, &s->linger, loop_now_ms(c->loop) + LINGER_MS);
}

static void
stream_free(struct http_stream *s)
{
	if (s->is_lingering) {
		loop_timer_clear(&s->linger);
		*s->prev_lingering = s->next_lingering;
		if (s->next_lingering != NULL)
			s->next_lingering->prev_lingering = s->prev_lingering;
	}
	if (s->added)
		curl_multi_remove_handle(s->pool->multi, s->easy);
	curl_easy_cleanup(s->easy);
	curl_slist_free_all(s->headers);
	s->client->n_streams--;
	free(s->host);
	free(s->pairs);
	buf_free(&s->raw);
	buf_free(&s->body);
	free(s);
}

static void
stream_start(struct http_stream *s)
{
	s->added = curl_multi_add_handle(s->pool->multi, s->easy) == CURLM_OK;
	if (s->added)
		return;
	s->ended = true;
	s->result = CURLE_OUT_OF_MEMORY;
	stream_wake(s);
}

static void
client_work(struct http_client *c)
{
	struct http_stream *s;

	while ((s = c->todo) != NULL) {
		c->todo = s->next_todo;
		s->is_todo = false;
		if (s->closed) {
			stream_free(s);
		} else if (!s->added) {
			stream_start(s);
		} else if (s->paused) {
			s->paused = false;
			curl_easy_pause(s->easy, CURLPAUSE_CONT);
		}
	}
	for (size_t i = 0; i < N_ITEMS(c->pools); i++)
		pool_collect(&c->pools[i]);
}

static void
client_hook(struct loop_hook *hook)
{
	struct http_client *c = container_of(hook, struct http_client, work);

	if (c->is_dead)
		free(c);
	else
		client_work(c);
}

/* ---- The client ---------------------------------------------------- */

static void
global_init(void)
{
	MUST(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

static void
pool_init(struct curl_pool *p, struct http_client *c)
{
	p->client = c;
	p->timer.fn = on_timer;
	MUST((p->multi = curl_multi_init()) != NULL);
	curl_multi_setopt(p->multi, CURLMOPT_SOCKETFUNCTION, set_fd);
	curl_multi_setopt(p->multi, CURLMOPT_SOCKETDATA, p);
	curl_multi_setopt(p->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(p->multi, CURLMOPT_TIMERDATA, p);
	curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS_MAX);
}

struct http_client *
http_client_new(struct loop *loop)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct http_client *c = xcalloc(1, sizeof(*c));

	pthread_once(&once, global_init);
	c->loop = loop;
	c->work.fn = client_hook;
	for (size_t i = 0; i < N_ITEMS(c->pools); i++)
		pool_init(&c->pools[i], c);
	return c;
}

void
http_client_free(struct http_client *c)
{
	if (c == NULL)
		return;
	for (struct http_stream *s = c->lingering; s != NULL;
	     s = s->next_lingering)
		stream_todo(s);
	client_work(c);
	MUST(c->n_streams == 0);
	for (size_t i = 0; i < N_ITEMS(c->pools); i++) {
		curl_multi_cleanup(c->pools[i].multi);
		loop_timer_clear(&c->pools[i].timer);
	}
	c->is_dead = true;
	if (!c->work.queued)
		free(c);
}

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
}

static struct http_stream *
stream_new(struct http_client *c, const struct http_request *req,
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
		    s->host, HEADERS_MAX, HEAD_MAX);
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
	struct http_stream *s = stream_new(c, req, hop);
	enum as_status st = AS_OK;

	stream_todo(s);
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

/* Until there is something of the body; *have = 0: it is over. */
static SUSPENDS enum as_status
body_wait(struct http_stream *s, size_t *have, struct error *err)
{
	enum as_status st;

	s->last_ms = loop_now_ms(s->client->loop);
	while ((*have = s->body.len - s->body_off) == 0) {
		if (s->ended)
			return s->result == CURLE_OK ? AS_OK
						     : stream_error(s, err);
		if (s->paused)
			stream_todo(s);
		if ((st = stream_wait(s, err)) != AS_OK &&
		    s->body.len == s->body_off)
			return st;
	}
	return AS_OK;
}

/* So many bytes of it have been taken. */
static void
body_taken(struct http_stream *s, size_t n)
{
	s->body_off += n;
	if (s->paused && s->body.len - s->body_off < HIGH_WATER / 2)
		stream_todo(s);
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
	char *piece = xmalloc(HIGH_WATER);
	enum as_status st;
	size_t n;

	*out = NULL;
	*len = 0;
	while (
	    (st = http_read(s, piece, HIGH_WATER, &n, err)) == AS_OK && n > 0) {
		if (n > s->max_body - all.len) {
			st = error_set(err, ERR_TOO_LARGE,
			    "the answer of '%.100s' is larger than %zu bytes",
			    s->host, s->max_body);
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
	if (stream_may_linger(s))
		stream_linger(s);
	else
		stream_todo(s);
}
