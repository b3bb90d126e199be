/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop/fiber.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/net/http_parse.h"

/*
 * What fibers cost.  Prints "name value" lines for script/bench:
 *
 *	switch_ns       one suspend and resume, 64 fibers in a ring
 *	clock_ns        one clock_gettime(CLOCK_MONOTONIC)
 *	park_bytes      memory of one of 10,000 waiting fibers
 *	handler_ratio   CPU time of a request whose handler is a fiber, by that
 *	                of the same handler on callbacks; a median of pairs
 *
 * The handler parses a request, asks for something that is ready at the end of
 * the loop's turn, as a flushed query is, and answers.
 */

enum {
	RING = 64,
	RING_TURNS = 20000,
	CLOCKS = 2000000,
	PARKED = 10000,
	CLIENTS = 32,
	ROUNDS = 10,
	ROUND_REQUESTS = 60000
};

static const char REQUEST[] = "GET /api/agents/ HTTP/1.1\r\nHost: bench\r\n"
			      "Accept: application/json\r\n\r\n";
static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Type: "
			     "application/json\r\nContent-Length: 13\r\n\r\n"
			     "{\"answer\":42}";

static uint64_t
now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- switching ----------------------------------------------------- */

struct ring {
	struct loop *loop;
	struct fiber_wait wait[RING];
	unsigned turns[RING];
	unsigned ended;
	uint64_t started, took;
};

struct ring_arg {
	struct ring *ring;
	unsigned i;
};

/* Each wakes the one before it and waits for the next: all run every turn. */
SUSPENDS static void
ring_fiber(void *p)
{
	struct ring_arg *a = p;
	struct ring *r = a->ring;
	unsigned other = (a->i + RING - 1) % RING;

	while (r->turns[a->i]++ < RING_TURNS) {
		r->wait[a->i] = fiber_prepare();
		if (r->wait[other].f != NULL)
			fiber_wake(r->wait[other]);
		if (r->turns[a->i] == 1 && a->i == 0)
			r->started = now_ns(CLOCK_THREAD_CPUTIME_ID);
		fiber_suspend(loop_now_ms(r->loop) + 100);
	}
	fiber_wake(r->wait[other]);
	if (++r->ended == RING) {
		r->took = now_ns(CLOCK_THREAD_CPUTIME_ID) - r->started;
		loop_stop(r->loop);
	}
}

static double
switch_ns(void)
{
	struct ring *r = xmalloc(sizeof(*r));
	struct ring_arg args[RING];
	double ns;

	memset(r, 0, sizeof(*r));
	r->loop = loop_new();
	for (unsigned i = 0; i < RING; i++) {
		args[i] = (struct ring_arg){ r, i };
		fiber_spawn(r->loop, "ring", ring_fiber, &args[i]);
	}
	loop_run(r->loop);
	ns = (double)r->took / ((double)RING * RING_TURNS);
	loop_free(r->loop);
	free(r);
	return ns;
}

static double
clock_ns(void)
{
	uint64_t start = now_ns(CLOCK_THREAD_CPUTIME_ID);
	struct timespec ts;

	for (int i = 0; i < CLOCKS; i++)
		clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)(now_ns(CLOCK_THREAD_CPUTIME_ID) - start) / CLOCKS;
}

/* ---- parking ------------------------------------------------------- */

static long
resident_bytes(void)
{
	long total, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f == NULL || fscanf(f, "%ld %ld", &total, &resident) != 2)
		exit(1);
	fclose(f);
	return resident * sysconf(_SC_PAGESIZE);
}

struct park {
	struct loop *loop;
	unsigned waiting;
	long before, after;
	bool go;
};

SUSPENDS static void
park_fiber(void *p)
{
	struct park *park = p;

	if (++park->waiting == PARKED) {
		park->after = resident_bytes();
		loop_stop(park->loop);
	}
	fiber_prepare();
	fiber_suspend(0);
}

static double
park_bytes(void)
{
	struct park park = { .loop = loop_new() };

	fiber_limit(PARKED + 1);
	park.before = resident_bytes();
	for (unsigned i = 0; i < PARKED; i++)
		fiber_spawn(park.loop, "park", park_fiber, &park);
	loop_run(park.loop);
	loop_free(park.loop);
	return (double)(park.after - park.before) / PARKED;
}

/* ---- handlers ------------------------------------------------------ */

struct server {
	struct loop *loop;
	struct conn *due; /* their results are ready at the end of the turn */
	struct loop_hook hook;
	bool on_fibers;
	unsigned left;
	uint64_t started, took;
};

struct conn {
	struct server *s;
	struct conn *next_due;
	struct loop_watch *watch;
	struct http_parse parse;
	int fd;
	bool ready;
	struct fiber_wait wait;
};

static void
conn_answer(struct conn *c)
{
	struct server *s = c->s;

	if (s->left == 0) /* the round has ended */
		return;
	if (write(c->fd, ANSWER, sizeof(ANSWER) - 1) < 0)
		exit(1);
	if (s->left-- == ROUND_REQUESTS)
		s->started = now_ns(CLOCK_THREAD_CPUTIME_ID);
	if (s->left == 0) {
		s->took = now_ns(CLOCK_THREAD_CPUTIME_ID) - s->started;
		loop_stop(s->loop);
	}
}

static void
server_flush(struct loop_hook *h)
{
	struct server *s = (struct server *)((char *)h -
					     offsetof(struct server, hook));
	struct conn *c, *next = s->due;

	s->due = NULL;
	while ((c = next) != NULL) {
		next = c->next_due;
		c->ready = true;
		if (s->on_fibers)
			fiber_wake(c->wait);
		else
			conn_answer(c);
	}
}

static void
conn_ask(struct conn *c)
{
	c->ready = false;
	c->next_due = c->s->due;
	c->s->due = c;
	loop_at_turn_end(c->s->loop, &c->s->hook);
}

SUSPENDS static void
conn_fiber(void *p)
{
	struct conn *c = p;

	fiber_deadline_set(loop_now_ms(c->s->loop) + 30000);
	c->wait = fiber_prepare();
	conn_ask(c);
	while (!c->ready) {
		fiber_suspend(0);
		if (!c->ready)
			c->wait = fiber_prepare();
	}
	conn_answer(c);
}

static void
conn_readable(int fd, int what, void *arg)
{
	struct conn *c = arg;
	enum http_parse_result result;
	char data[4096];
	size_t used;
	ssize_t n = read(fd, data, sizeof(data));

	(void)what;
	if (n <= 0)
		return;
	result = http_parse_feed(&c->parse, data, (size_t)n, &used);
	if (result == HTTP_PARSE_HEAD)
		result = http_parse_feed(&c->parse, data + used,
		    (size_t)n - used, &used);
	if (result != HTTP_PARSE_DONE)
		return;
	http_parse_reset(&c->parse);
	if (!c->s->on_fibers)
		conn_ask(c);
	else if (fiber_spawn(c->s->loop, "GET /api/agents/", conn_fiber, c).f ==
		 NULL)
		exit(1);
}

/* Sends the next request as soon as an answer is there. */
static void *
client_main(void *arg)
{
	const int *fds = arg;
	struct epoll_event events[CLIENTS];
	int ep = epoll_create1(0);
	char data[4096];

	for (int i = 0; i < CLIENTS; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.fd = fds[i] };

		epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &e);
		if (write(fds[i], REQUEST, sizeof(REQUEST) - 1) < 0)
			return NULL;
	}
	for (;;) {
		int n = epoll_wait(ep, events, CLIENTS, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (read(fd, data, sizeof(data)) <= 0) {
				close(ep);
				return NULL;
			}
			if (write(fd, REQUEST, sizeof(REQUEST) - 1) < 0 &&
			    errno != EPIPE)
				return NULL;
		}
	}
}

/* A connected pair of TCP sockets: [0] the client's, [1] the server's. */
static void
tcp_pair(int listener, int fds[2])
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	int on = 1;

	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (getsockname(listener, (struct sockaddr *)&a, &len) < 0 ||
	    connect(fds[0], (struct sockaddr *)&a, len) < 0 ||
	    (fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) < 0)
		exit(1);
	setsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fds[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static double
handler_ns(int listener, bool on_fibers)
{
	static const struct http_limits limits = { 100, 16384, 8192 };
	struct server s = { .loop = loop_new(),
		.on_fibers = on_fibers,
		.left = ROUND_REQUESTS,
		.hook.fn = server_flush };
	struct conn *conns = xcalloc(CLIENTS, sizeof(*conns));
	int clients[CLIENTS], pair[2];
	pthread_t client;

	for (int i = 0; i < CLIENTS; i++) {
		tcp_pair(listener, pair);
		clients[i] = pair[0];
		conns[i].s = &s;
		conns[i].fd = pair[1];
		http_parse_init(&conns[i].parse, &limits);
		conns[i].watch = loop_watch(s.loop, pair[1], LOOP_READ,
		    conn_readable, &conns[i]);
	}
	pthread_create(&client, NULL, client_main, clients);
	loop_run(s.loop);
	for (int i = 0; i < CLIENTS; i++) {
		loop_watch_free(conns[i].watch);
		close(conns[i].fd);
		http_parse_free(&conns[i].parse);
	}
	pthread_join(client, NULL);
	for (int i = 0; i < CLIENTS; i++)
		close(clients[i]);
	loop_free(s.loop);
	free(conns);
	return (double)s.took / (ROUND_REQUESTS - 1);
}

static int
double_cmp(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void
print_handlers(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	double ratio[ROUNDS], fiber = 0, callback = 0;
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(listener, (struct sockaddr *)&any, sizeof(any)) < 0 ||
	    listen(listener, CLIENTS) < 0)
		exit(1);
	for (int i = 0; i < ROUNDS; i++) {
		double f, c;

		/* Who is first changes: the machine may be warming up. */
		if (i % 2 == 0) {
			f = handler_ns(listener, true);
			c = handler_ns(listener, false);
		} else {
			c = handler_ns(listener, false);
			f = handler_ns(listener, true);
		}
		ratio[i] = f / c;
		fiber += f / ROUNDS;
		callback += c / ROUNDS;
	}
	close(listener);
	qsort(ratio, ROUNDS, sizeof(*ratio), double_cmp);
	printf("handler_fiber_ns %.0f\n", fiber);
	printf("handler_callback_ns %.0f\n", callback);
	printf("handler_ratio %.3f\n",
	    (ratio[ROUNDS / 2 - 1] + ratio[ROUNDS / 2]) / 2);
}

int
main(void)
{
	printf("switch_ns %.1f\n", switch_ns());
	printf("clock_ns %.1f\n", clock_ns());
	printf("park_bytes %.0f\n", park_bytes());
	fflush(stdout);
	print_handlers();
	return 0;
}
