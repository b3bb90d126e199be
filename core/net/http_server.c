/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_server.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/counter.h"
#include "core/base/mem.h"
#include "core/net/http_impl.h"
#include "core/net/ws.h"

/*
 * The server: its deadlines, the work at a turn's end, and its own end.
 *
 * Every kind of deadline has one length, so each queue is in order of time and
 * setting one costs a few pointers; a single loop timer stands at the
 * earliest.
 */

/* ---- Deadlines ----------------------------------------------------- */

static void
dl_remove(struct http_conn *c)
{
	struct dl_queue *q = &c->server->dl[c->dl];

	if (c->dl_prev != NULL)
		c->dl_prev->dl_next = c->dl_next;
	else
		q->first = c->dl_next;
	if (c->dl_next != NULL)
		c->dl_next->dl_prev = c->dl_prev;
	else
		q->last = c->dl_prev;
	c->dl_next = c->dl_prev = NULL;
	c->dl = DL_NONE;
}

void
server_timer_by(struct http_server *s, uint64_t at)
{
	if (s->timer.at_ms == 0 || s->timer.at_ms > at)
		loop_timer_set(s->loop, &s->timer, at);
}

void
conn_deadline(struct http_conn *c, enum conn_deadline which)
{
	struct http_server *s = c->server;
	struct dl_queue *q = &s->dl[which];

	if (c->dl != DL_NONE)
		dl_remove(c);
	if (which == DL_NONE)
		return;
	c->dl = which;
	c->dl_at = loop_now_ms(s->loop) + (uint64_t)q->length_ms;
	c->dl_prev = q->last;
	if (q->last != NULL)
		q->last->dl_next = c;
	else
		q->first = c;
	q->last = c;
	server_timer_by(s, c->dl_at);
}

static void
server_on_timer(struct loop_timer *t)
{
	struct http_server *s = container_of(t, struct http_server, timer);
	uint64_t now = loop_now_ms(s->loop);
	int i;

	listener_on_timer(s, now);
	for (i = DL_IDLE; i < DL_N; i++) {
		struct http_conn *c;

		while ((c = s->dl[i].first) != NULL && c->dl_at <= now) {
			dl_remove(c);
			conn_expired(c, (enum conn_deadline)i);
		}
	}
	for (i = DL_IDLE; i < DL_N; i++) {
		if (s->dl[i].first != NULL)
			server_timer_by(s, s->dl[i].first->dl_at);
	}
}

/* ---- The turn's end ------------------------------------------------ */

void
server_hook(struct http_server *s)
{
	if (!s->stopping)
		loop_at_turn_end(s->loop, &s->hook);
}

/*
 * What is marked meanwhile waits for the next round of hooks, so that a
 * stream whose peer is quick does not keep the turn for itself.
 */
static void
server_turn_end(struct http_server *s)
{
	struct http_conn *c, *list = s->dirty;
	struct sse *orphan;

	s->dirty = NULL;
	while ((c = list) != NULL) {
		list = c->dirty_next;
		c->dirty = false;
		if (c->state == CONN_CLOSED)
			conn_free(c);
		else
			conn_turn_end(c);
	}
	while ((orphan = s->orphans) != NULL) {
		s->orphans = sse_orphan_next(orphan);
		sse_gone(orphan);
	}
	if (s->dirty != NULL)
		server_hook(s);
}

static void
server_on_hook(struct loop_hook *h)
{
	server_turn_end(container_of(h, struct http_server, hook));
}

/* ---- Starting ------------------------------------------------------ */

static const char *const *
list_copy(struct arena *a, const char *const *list)
{
	size_t i, n = 0;
	char **copy;

	while (list != NULL && list[n] != NULL)
		n++;
	copy = arena_alloc(a, (n + 1) * sizeof(*copy));
	for (i = 0; i < n; i++)
		copy[i] = arena_strdup(a, list[i]);
	return (const char *const *)copy;
}

#define USUALLY(member, value) (member) = (member) != 0 ? (member) : (value)

static void
config_copy(struct http_server *s, const struct http_server_config *from)
{
	struct http_server_config *c = &s->config;

	*c = *from;
	c->host = arena_strdup(s->arena,
	    from->host != NULL ? from->host : "127.0.0.1");
	c->public_url = arena_strdup(s->arena, from->public_url);
	c->trusted_proxies = list_copy(s->arena, from->trusted_proxies);
	c->allowed_origins = list_copy(s->arena, from->allowed_origins);
	USUALLY(c->max_connections, 10000);
	USUALLY(c->max_headers, 100);
	USUALLY(c->max_header_bytes, 16384);
	USUALLY(c->max_uri, 8192);
	USUALLY(c->max_body, 1u << 20);
	USUALLY(c->header_timeout_ms, 10000);
	USUALLY(c->body_timeout_ms, 30000);
	USUALLY(c->idle_timeout_ms, 75000);
	USUALLY(c->request_timeout_ms, 30000);
	USUALLY(c->ws_max_message, 1u << 20);
	USUALLY(c->ws_max_parts, 1024);
	USUALLY(c->ws_ping_ms, 20000);
	s->limits.max_headers = c->max_headers;
	s->limits.max_header_bytes = c->max_header_bytes;
	s->limits.max_uri = c->max_uri;
	s->dl[DL_IDLE].length_ms = c->idle_timeout_ms;
	s->dl[DL_HEAD].length_ms = c->header_timeout_ms;
	s->dl[DL_BODY].length_ms = c->body_timeout_ms;
	s->dl[DL_GONE].length_ms = 1000;
	s->dl[DL_WRITE].length_ms = c->body_timeout_ms;
	s->dl[DL_LINGER].length_ms = 2000;
	s->dl[DL_SSE].length_ms = 15000;
	s->dl[DL_WS].length_ms = c->ws_ping_ms;
	s->dl[DL_WS_CLOSE].length_ms = 5000;
}

static enum as_status
server_proxies(struct http_server *s, struct error *err)
{
	const char *const *list = s->config.trusted_proxies;
	size_t n = 0;

	while (list[n] != NULL)
		n++;
	s->proxies = arena_alloc(s->arena, (n + 1) * sizeof(*s->proxies));
	for (; s->n_proxies < n; s->n_proxies++) {
		if (!cidr_parse(list[s->n_proxies], &s->proxies[s->n_proxies]))
			return error_set(err, ERR_BAD_REQUEST,
			    "server.trusted_proxies: '%s' is not an address "
			    "or address/bits",
			    list[s->n_proxies]);
	}
	return AS_OK;
}

/* A socket that is gone is an error of write, not a signal. */
static void
ignore_sigpipe(void)
{
	struct sigaction sa;

	if (sigaction(SIGPIPE, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
}

enum as_status
http_server_new(struct loop *loop, const struct http_server_config *config,
    const struct route_table *routes, const struct http_hooks *hooks, void *app,
    struct http_server **out, struct error *err)
{
	struct http_server *s = xcalloc(1, sizeof(*s));
	enum as_status st;

	*out = NULL;
	s->loop = loop;
	s->arena = arena_new(NULL);
	s->routes = routes;
	if (hooks != NULL)
		s->hooks = *hooks;
	s->app = app;
	s->fd = -1;
	s->hook.fn = server_on_hook;
	s->timer.fn = server_on_timer;
	config_copy(s, config);
	s->stats = xcalloc(route_count(routes) + 1, sizeof(*s->stats));
	s->gauge_conns = counter_get(GAUGE, "http_connections",
	    "Open client connections.", NULL, NULL);
	ignore_sigpipe();
	st = server_proxies(s, err);
	if (st == AS_OK)
		st = listener_open(s, err);
	if (st == AS_OK)
		*out = s;
	else
		http_server_free(s);
	return st;
}

uint16_t
http_server_port(const struct http_server *s)
{
	return s->port;
}

unsigned
http_server_connections(const struct http_server *s)
{
	return s->n_conns;
}

/* ---- Ending -------------------------------------------------------- */

void
http_server_free(struct http_server *s)
{
	struct http_conn *c;
	struct http_req *req;

	if (s == NULL)
		return;
	s->stopping = true;
	listener_close(s);
	for (c = s->conns; c != NULL; c = c->next)
		conn_close(c);
	while (s->dirty != NULL || s->orphans != NULL)
		server_turn_end(s);
	MUST(s->n_reqs == s->n_spare_reqs);
	while ((req = s->spare_reqs) != NULL) {
		s->spare_reqs = req->next;
		http_parse_free(&req->parse);
		buf_free(&req->extra);
		buf_free(&req->held);
		free(req);
	}
	loop_timer_clear(&s->timer);
	loop_hook_clear(s->loop, &s->hook);
	if (s->spare_out != NULL)
		evbuffer_free(s->spare_out);
	ws_parser_free(s->ws_parser);
	buf_free(&s->head);
	free(s->stats);
	arena_free(s->arena);
	free(s);
}
