/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_client_impl.h"

#include <pthread.h>

#include "core/base/failpoint.h"
#include "core/base/mem.h"

/*
 * libcurl is driven from the loop's own stack only: by its descriptors, its
 * timer, and client_work at the end of a turn.  A fiber never calls what may
 * call back; it puts its stream on the client's list and waits.  Callbacks
 * store what came and wake the fiber.
 *
 * A stream belongs to its fiber until http_close, then to client_work, which
 * frees it in the same turn; or a moment later if only the end of its answer
 * is missing, so that its connection can be used again.  HTTP/1.1 only: a
 * cancelled request closes its socket, and a paused one is held back by TCP
 * instead of curl's buffers.
 */

#define IDLE_CONNECTIONS_MAX 64L
#define LINGER_MS 200

void
client_stream_todo(struct http_stream *s)
{
	if (s->is_todo)
		return;
	s->is_todo = true;
	s->next_todo = s->client->todo;
	s->client->todo = s;
	loop_at_turn_end(s->client->loop, &s->client->work);
}

void
client_stream_wake(struct http_stream *s)
{
	s->last_ms = loop_now_ms(s->client->loop);
	if (s->wait.f != NULL)
		fiber_wake(s->wait);
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
		FAILPOINT("net.post_read");
		client_stream_wake(s);
		if (s->closed)
			client_stream_todo(s);
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
	client_stream_todo(container_of(t, struct http_stream, linger));
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

void
client_stream_closed(struct http_stream *s)
{
	if (stream_may_linger(s))
		stream_linger(s);
	else
		client_stream_todo(s);
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
	client_stream_wake(s);
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
		client_stream_todo(s);
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
