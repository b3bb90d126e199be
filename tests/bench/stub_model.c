/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/*
 * A model that costs nothing: answers POST .../chat/completions of the usual
 * streaming protocol with some tokens.  The first one, or each one, is "t" and
 * the time at which it was sent (CLOCK_MONOTONIC, ns), so that a client can
 * tell how old it is.  Prints "port N", then runs until it is killed.
 *
 * usage: stub_model [MICROSECONDS between two tokens [TOKENS [stamped]]]
 */

enum {
	MAX_CONNS = 16384,
	MAX_HEAD = 1 << 20
};

struct conn {
	int fd;
	int token; /* next one; -1: waiting for a request */
	int is_get; /* the list of models: there is none */
	uint64_t due_ns;
	char *in;
	size_t len, room;
};

static struct conn conns[MAX_CONNS];
static int n_conns; /* beyond it none was ever used */
static uint64_t pause_ns;
static int stamped, n_tokens = 20;

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void
conn_close(struct conn *c)
{
	close(c->fd);
	free(c->in);
	memset(c, 0, sizeof(*c));
	c->fd = -1;
}

/* One event as one chunk and one write, as a model that is slow sends it. */
static void
conn_event(struct conn *c, const char *json)
{
	char out[1024];
	int len = (int)strlen(json) + 8;
	int n = snprintf(out, sizeof(out), "%x\r\ndata: %s\n\n\r\n", len, json);

	if (send(c->fd, out, (size_t)n, MSG_NOSIGNAL) != n)
		c->token = n_tokens + 1;
}

static void
conn_token(struct conn *c)
{
	char json[512], text[64] = "word ";

	if (c->token == 0 || stamped)
		snprintf(text, sizeof(text), "t%llu ",
		    (unsigned long long)now_ns());
	snprintf(json, sizeof(json),
	    "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,"
	    "\"model\":\"stub\",\"choices\":[{\"index\":0,\"delta\":{%s"
	    "\"content\":\"%s\"},\"finish_reason\":null}]}",
	    c->token == 0 ? "\"role\":\"assistant\"," : "", text);
	conn_event(c, json);
	c->token++;
	c->due_ns = now_ns() + pause_ns;
}

static void
conn_finish(struct conn *c)
{
	static const char end[] = "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";

	conn_event(c,
	    "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,"
	    "\"model\":\"stub\",\"choices\":[{\"index\":0,\"delta\":{},"
	    "\"finish_reason\":\"stop\"}]}");
	conn_event(c,
	    "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,"
	    "\"model\":\"stub\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,"
	    "\"completion_tokens\":20,\"total_tokens\":29}}");
	c->token = -1;
	if (send(c->fd, end, sizeof(end) - 1, MSG_NOSIGNAL) < 0)
		conn_close(c);
}

static void
conn_start(struct conn *c)
{
	static const char none[] = "HTTP/1.1 404 Not Found\r\n"
				   "Content-Length: 0\r\n\r\n";
	static const char
	    head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
		     "Transfer-Encoding: chunked\r\n\r\n";

	if (c->is_get) {
		send(c->fd, none, sizeof(none) - 1, MSG_NOSIGNAL);
		return;
	}
	if (send(c->fd, head, sizeof(head) - 1, MSG_NOSIGNAL) < 0)
		return;
	c->token = 0;
	c->due_ns = now_ns();
}

/* Is a whole request there?  Then it is taken out of the buffer. */
static int
conn_request(struct conn *c)
{
	char *end, *line;
	size_t body = 0, head;

	if (c->len == 0 || (end = strstr(c->in, "\r\n\r\n")) == NULL)
		return 0;
	head = (size_t)(end - c->in) + 4;
	for (line = c->in; line < end; line = strstr(line, "\r\n") + 2)
		if (strncasecmp(line, "content-length:", 15) == 0)
			body = strtoul(line + 15, NULL, 10);
	if (c->len < head + body)
		return 0;
	c->is_get = strncmp(c->in, "GET ", 4) == 0;
	memmove(c->in, c->in + head + body, c->len - head - body + 1);
	c->len -= head + body;
	return 1;
}

static void
conn_read(struct conn *c)
{
	ssize_t n;

	if (c->room - c->len < 65536) {
		c->room += 131072;
		c->in = realloc(c->in, c->room);
		if (c->in == NULL || c->room > MAX_HEAD)
			exit(1);
	}
	n = recv(c->fd, c->in + c->len, c->room - c->len - 1, 0);
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			conn_close(c);
		return;
	}
	c->len += (size_t)n;
	c->in[c->len] = '\0';
	if (c->token < 0 && conn_request(c))
		conn_start(c);
}

/* What is due now; the time until the next thing, for epoll_wait. */
static int
tokens_send(void)
{
	uint64_t now = now_ns(), next = UINT64_MAX;

	for (int i = 0; i < n_conns; i++) {
		struct conn *c = &conns[i];

		while (c->fd >= 0 && c->token >= 0 && c->due_ns <= now) {
			if (c->token < n_tokens)
				conn_token(c);
			else
				conn_finish(c);
			if (pause_ns > 0)
				break;
			now = now_ns();
		}
		if (c->fd >= 0 && c->token >= 0 && c->due_ns < next)
			next = c->due_ns;
	}
	if (next == UINT64_MAX)
		return -1;
	now = now_ns();
	return next <= now ? 0 : (int)((next - now) / 1000000) + 1;
}

static void
conn_accept(int ep, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), on = 1;

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	for (int i = 0; i < MAX_CONNS; i++) {
		struct epoll_event e = { .events = EPOLLIN,
			.data.u32 = (uint32_t)i };

		if (conns[i].fd >= 0)
			continue;
		conns[i].fd = fd;
		conns[i].token = -1;
		if (i >= n_conns)
			n_conns = i + 1;
		epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
		return;
	}
	close(fd);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event events[64];
	struct epoll_event e = { .events = EPOLLIN, .data.u32 = MAX_CONNS };
	socklen_t len = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM, 0), ep = epoll_create1(0);

	if (argc > 1)
		pause_ns = strtoull(argv[1], NULL, 10) * 1000;
	if (argc > 2)
		n_tokens = atoi(argv[2]);
	stamped = argc > 3;
	for (int i = 0; i < MAX_CONNS; i++)
		conns[i].fd = -1;
	if (bind(listener, (struct sockaddr *)&a, len) < 0 ||
	    listen(listener, 512) < 0 ||
	    getsockname(listener, (struct sockaddr *)&a, &len) < 0 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e) < 0) {
		perror("stub_model");
		return 1;
	}
	printf("port %d\n", ntohs(a.sin_port));
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(ep, events, 64, tokens_send());

		for (int i = 0; i < n; i++) {
			if (events[i].data.u32 == MAX_CONNS)
				conn_accept(ep, listener);
			else if (conns[events[i].data.u32].fd >= 0)
				conn_read(&conns[events[i].data.u32]);
		}
	}
}
