/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/net_peer.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"

/*
 * The loop runs on its own thread; everything that touches it goes through its
 * mailbox.
 */

struct peer_host {
	struct loop *loop;
	struct http_server *server;
	struct route_table *routes;
	pthread_t thread;
	pthread_barrier_t done;
	struct loop_msg stop, act;
	void (*fn)(struct http_server *s);
};

static void
on_stop(struct loop_msg *m)
{
	struct peer_host *h = container_of(m, struct peer_host, stop);

	loop_stop(h->loop);
}

static void
on_act(struct loop_msg *m)
{
	struct peer_host *h = container_of(m, struct peer_host, act);

	h->fn(h->server);
	pthread_barrier_wait(&h->done);
}

static void *
host_main(void *arg)
{
	struct peer_host *h = arg;

	loop_run(h->loop);
	return NULL;
}

struct peer_host *
host_start(const struct route *routes, size_t n,
    const struct schema_set *schemas, const struct http_hooks *hooks,
    const struct http_server_config *config)
{
	struct peer_host *h = xcalloc(1, sizeof(*h));
	struct http_server_config none = { .host = "127.0.0.1" };
	struct error err = { 0 };

	log_configure("error");
	h->loop = loop_new();
	h->stop.fn = on_stop;
	h->act.fn = on_act;
	pthread_barrier_init(&h->done, NULL, 2);
	if (route_table_new(routes, n, schemas, &h->routes, &err) != AS_OK ||
	    http_server_new(h->loop, config != NULL ? config : &none, h->routes,
		hooks, NULL, &h->server, &err) != AS_OK) {
		fprintf(stderr, "%s\n", err.detail);
		abort();
	}
	MUST(pthread_create(&h->thread, NULL, host_main, h) == 0);
	return h;
}

void
host_stop(struct peer_host *h)
{
	loop_post(h->loop, &h->stop);
	pthread_join(h->thread, NULL);
	loop_drain(h->loop);
	http_server_free(h->server);
	loop_free(h->loop);
	pthread_barrier_destroy(&h->done);
	route_table_free(h->routes);
	free(h);
}

void
host_do(struct peer_host *h, void (*fn)(struct http_server *s))
{
	h->fn = fn;
	loop_post(h->loop, &h->act);
	pthread_barrier_wait(&h->done);
}

static bool
peer_connect(int fd, struct peer_host *h)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };

	sa.sin_port = htons(http_server_port(h->server));
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0;
}

bool
peer_connects(struct peer_host *h)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool yes = peer_connect(fd, h);

	close(fd);
	return yes;
}

void
peer_open(struct peer *p, struct peer_host *h)
{
	struct timeval tv = { .tv_sec = 5 };

	memset(p, 0, sizeof(*p));
	p->fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	MUST(peer_connect(p->fd, h));
}

void
peer_close(struct peer *p)
{
	close(p->fd);
	buf_free(&p->in);
}

void
peer_send(struct peer *p, const void *s, size_t len)
{
	const char *at = s;

	while (len > 0) {
		ssize_t n = send(p->fd, at, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		at += n;
		len -= (size_t)n;
	}
}

void
peer_say(struct peer *p, const char *s)
{
	peer_send(p, s, strlen(s));
}

static bool
peer_more(struct peer *p)
{
	char b[4096];
	ssize_t n = recv(p->fd, b, sizeof(b), 0);

	if (n <= 0)
		return false;
	buf_add(&p->in, b, (size_t)n);
	return true;
}

bool
peer_need(struct peer *p, size_t n)
{
	while (p->in.len < n) {
		if (!peer_more(p))
			return false;
	}
	return true;
}

long
peer_until(struct peer *p, const char *text)
{
	for (;;) {
		char *at = p->in.len > 0 ? memmem(p->in.data, p->in.len, text,
					       strlen(text))
					 : NULL;

		if (at != NULL)
			return at - p->in.data + (long)strlen(text);
		if (!peer_more(p))
			return -1;
	}
}

void
peer_answer_head(struct peer *p, struct answer *a)
{
	long n = peer_until(p, "\r\n\r\n");

	memset(a, 0, sizeof(*a));
	if (n < 0 || (size_t)n >= sizeof(a->head))
		return;
	memcpy(a->head, p->in.data, (size_t)n);
	buf_drain(&p->in, (size_t)n);
	a->status = atoi(a->head + 9);
}

void
peer_answer(struct peer *p, struct answer *a)
{
	const char *at;
	size_t len;

	peer_answer_head(p, a);
	at = strstr(a->head, "\r\nContent-Length: ");
	if (at == NULL)
		return;
	len = (size_t)atol(at + 18);
	if (!peer_need(p, len)) {
		a->status = 0;
		return;
	}
	buf_add(&a->body, p->in.data, len);
	buf_drain(&p->in, len);
}

bool
peer_is_closed(struct peer *p)
{
	char b[4096];
	ssize_t n;

	while ((n = recv(p->fd, b, sizeof(b), 0)) > 0)
		;
	return n == 0;
}

int
peer_ask(struct peer_host *h, struct answer *a, const char *request)
{
	struct peer p;

	peer_open(&p, h);
	peer_say(&p, request);
	if (strncmp(request, "HEAD", 4) == 0)
		peer_answer_head(&p, a);
	else
		peer_answer(&p, a);
	peer_close(&p);
	return a->status;
}

bool
answer_has(const struct answer *a, const char *line)
{
	char want[512];

	snprintf(want, sizeof(want), "\r\n%s\r\n", line);
	return strstr(a->head, want) != NULL;
}

void
answer_free(struct answer *a)
{
	buf_free(&a->body);
}
