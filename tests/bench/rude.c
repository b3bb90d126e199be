/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/ws_client.h"

/*
 * A client that nobody wants, on a few connections at once.
 *
 * usage: rude HOW PORT CONNECTIONS
 *	Reads "token path" lines on standard input up to an empty one; each
 *	attempt takes the next one.  Who is refused tries again at once.
 *	knock	asks, and leaves if it is let in
 *	stay	asks, and listens until it is cut off
 *	deaf	asks for everything again and again, and reads nothing
 *	flood	sends 10,000 frames a second
 *	Prints "ready" when it has begun, or if it stays was cut off; at the end
 *	of its standard input how often each happened, as "code N": the status
 *	of a refusal, the code of a close, 101 for sockets that were opened, 0
 *	for a connection that ended without a word, 1 for frames that were sent.
 */

enum {
	CONNS_MAX = 64,
	CODES = 5000,
	FRAMES = 100, /* at once; such a burst every 10 ms */
	BURST_NS = 10000000,
	DEAF_NS = 20000000, /* between two that are not read */
	IN_MAX = 1 << 17
};

struct conn {
	int fd;
	bool upgraded;
	uint64_t next_ns; /* when more frames are due */
	size_t len;
	char in[IN_MAX + 1];
};

struct line {
	char *token, *path;
};

static enum {
	KNOCK,
	STAY,
	DEAF,
	FLOOD
} how;
static struct conn conns[CONNS_MAX];
static struct line *lines;
static int n_conns, n_lines, next_line, port, ep;
static unsigned long long codes[CODES];
static bool is_ready;

static void
ready(void)
{
	if (is_ready)
		return;
	is_ready = true;
	printf("ready\n");
	fflush(stdout);
}

static void
count(int code)
{
	if (code >= 0 && code < CODES)
		codes[code]++;
	if (code != 101)
		ready();
}

static void
conn_close(struct conn *c)
{
	close(c->fd);
	c->fd = -1;
	c->len = 0;
	c->upgraded = false;
}

static void
ask(struct conn *c)
{
	struct line *l = &lines[next_line];
	char head[4096];
	int n;

	next_line = (next_line + 1) % n_lines;
	n = snprintf(head, sizeof(head),
	    "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
	    "Authorization: Bearer %s\r\nUpgrade: websocket\r\n"
	    "Accept: text/event-stream\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
	    l->path, port, l->token);
	if (send(c->fd, head, (size_t)n, MSG_NOSIGNAL) != n)
		conn_close(c);
}

static void
conn_open(struct conn *c)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
	int on = 1, small = 4096;

	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0)
		wsc_fail("socket", strerror(errno));
	if (how == DEAF)
		setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e) < 0)
		wsc_fail("connect", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	ask(c);
}

/* ---- Frames out ---------------------------------------------------- */

static size_t
frame_make(unsigned char *out, const char *text)
{
	size_t len = strlen(text);

	out[0] = 0x81;
	out[1] = (unsigned char)(0x80 | len);
	memset(out + 2, 0, 4); /* a mask that changes nothing */
	memcpy(out + 6, text, len);
	return 6 + len;
}

static void
frames_send(struct conn *c, uint64_t now)
{
	static const char *const texts[] = { "{\"type\":\"ping\"}",
		"{\"type\":\"resume\",\"after_seq\":0}",
		"{\"type\":\"resume\",\"after_seq\":-1}",
		"{\"type\":\"what\"}" };
	unsigned char out[FRAMES * 64];
	int n = how == FLOOD ? FRAMES / n_conns : 1;
	size_t len = 0;

	for (int i = 0; i < n; i++)
		len += frame_make(out + len,
		    how == DEAF ? texts[1] : texts[i % 4]);
	c->next_ns = now + (how == FLOOD ? BURST_NS : DEAF_NS);
	if (send(c->fd, out, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
	    errno != EAGAIN)
		conn_close(c);
	else
		codes[1] += (unsigned)n;
}

/* ---- What comes in ------------------------------------------------- */

static void
opened(struct conn *c)
{
	struct epoll_event e = { .events = EPOLLRDHUP, .data.ptr = c };

	count(101);
	c->upgraded = true;
	if (how == DEAF)
		epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
	else if (how != FLOOD)
		return;
	c->next_ns = wsc_now_ns();
}

/* The size of a whole answer, or 0. */
static size_t
answer_take(struct conn *c)
{
	char *end = strstr(c->in, "\r\n\r\n"), *length;
	size_t size;

	if (end == NULL)
		return 0;
	size = (size_t)(end + 4 - c->in);
	if (strncmp(c->in, "HTTP/1.1 101", 12) == 0) {
		opened(c);
		return size;
	}
	length = strcasestr(c->in, "\r\ncontent-length:");
	size += length != NULL ? strtoul(length + 17, NULL, 10) : 0;
	if (c->len < size)
		return 0;
	count(atoi(c->in + 9));
	if (strcasestr(c->in, "\r\nconnection: close") != NULL)
		conn_close(c);
	else
		ask(c);
	return size;
}

/* The same of a frame. */
static size_t
frame_take(struct conn *c)
{
	const unsigned char *u = (const unsigned char *)c->in;
	size_t head = 2, len = c->len < 2 ? 0 : u[1];

	if (len == 126) {
		head = 4;
		len = c->len < 4 ? 0 : (size_t)u[2] << 8 | u[3];
	} else if (len == 127) {
		head = 10;
		len = c->len < 10
			  ? 0
			  : (size_t)u[7] << 16 | (size_t)u[8] << 8 | u[9];
	}
	if (c->len < 2 || c->len < head + len)
		return 0;
	if ((u[0] & 0x0f) == 8) {
		count(len >= 2 ? u[head] << 8 | u[head + 1] : 1005);
		conn_close(c);
	} else if (how == KNOCK && strstr(c->in, "\"snapshot\"") != NULL) {
		conn_close(c); /* let in: that was not the point */
	}
	return head + len;
}

static void
conn_read(struct conn *c)
{
	ssize_t n = recv(c->fd, c->in + c->len, IN_MAX - c->len, MSG_DONTWAIT);
	size_t used;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		count(0);
		conn_close(c);
		return;
	}
	c->len += (size_t)n;
	c->in[c->len] = '\0';
	do {
		used = c->upgraded ? frame_take(c) : answer_take(c);
		if (c->fd < 0)
			return;
		c->len -= used;
		memmove(c->in, c->in + used, c->len + 1);
	} while (used > 0);
}

/* ---- All of it ----------------------------------------------------- */

static void
report(void)
{
	for (int i = 0; i < CODES; i++)
		if (codes[i] > 0)
			printf("%d %llu\n", i, codes[i]);
	exit(0);
}

static void
turn(void)
{
	struct epoll_event events[CONNS_MAX];
	uint64_t now;
	int n = epoll_wait(ep, events, CONNS_MAX, how >= DEAF ? 1 : 100);

	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;

		if (c == NULL)
			report();
		if (how == DEAF && c->upgraded) {
			count(4008); /* the only thing that is said to it */
			conn_close(c);
		} else
			conn_read(c);
	}
	now = wsc_now_ns();
	for (int i = 0; i < n_conns; i++) {
		if (conns[i].fd < 0)
			conn_open(&conns[i]);
		else if (conns[i].upgraded && how >= DEAF &&
			 conns[i].next_ns <= now)
			frames_send(&conns[i], now);
	}
}

static void
lines_read(void)
{
	static char line[4096];
	char *space;

	while (fgets(line, sizeof(line), stdin) != NULL && line[0] != '\n') {
		lines = realloc(lines, ((size_t)n_lines + 1) * sizeof(*lines));
		line[strcspn(line, "\n")] = '\0';
		if ((space = strchr(line, ' ')) == NULL)
			wsc_fail("expected token and path", line);
		*space = '\0';
		lines[n_lines].token = strdup(line);
		lines[n_lines++].path = strdup(space + 1);
	}
}

int
main(int argc, char **argv)
{
	static const char *const names[] = { "knock", "stay", "deaf", "flood" };
	struct epoll_event e = { .events = EPOLLIN };

	if (argc != 4)
		wsc_fail("usage", "rude HOW PORT CONNECTIONS");
	while (strcmp(names[how], argv[1]) != 0)
		if (++how > FLOOD)
			wsc_fail("usage", "knock, stay, deaf or flood");
	setvbuf(stdin, NULL, _IONBF, 0); /* its end is waited for by epoll */
	port = atoi(argv[2]);
	n_conns = atoi(argv[3]);
	ep = epoll_create1(0);
	lines_read();
	for (int i = 0; i < n_conns; i++)
		conns[i].fd = -1;
	epoll_ctl(ep, EPOLL_CTL_ADD, STDIN_FILENO, &e);
	for (;;) {
		turn();
		if (how != STAY)
			ready();
	}
}
