/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/ws_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* See ws_client.h. */

enum {
	BUFFER = 1 << 20,
	EVENTS = 256
};

static char common[BUFFER];

void
wsc_fail(const char *what, const char *detail)
{
	fprintf(stderr, "%s: %.300s\n", what, detail);
	exit(1);
}

static uint64_t
clock_ns(clockid_t which)
{
	struct timespec ts;

	clock_gettime(which, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t
wsc_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

double
wsc_cpu_s(void)
{
	return (double)clock_ns(CLOCK_THREAD_CPUTIME_ID) / 1e9;
}

void
wsc_files_raise(void)
{
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

/* ---- What is said -------------------------------------------------- */

const char *
wsc_member(const char *json, const char *name)
{
	char key[64];
	const char *p;

	snprintf(key, sizeof(key), "\"%s\"", name);
	if ((p = strstr(json, key)) == NULL)
		return NULL;
	p += strlen(key);
	while (*p == ' ' || *p == ':')
		p++;
	return p;
}

bool
wsc_member_is(const char *json, const char *name, const char *value)
{
	const char *p = wsc_member(json, name);
	size_t len = strlen(value);

	return p != NULL && *p == '"' && strncmp(p + 1, value, len) == 0 &&
	       p[1 + len] == '"';
}

static int
double_cmp(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double
wsc_quantile(double *values, size_t n, double p)
{
	if (n == 0)
		wsc_fail("nothing was measured", "");
	qsort(values, n, sizeof(*values), double_cmp);
	return values[(size_t)((double)(n - 1) * p)];
}

/* ---- Frames -------------------------------------------------------- */

static void
frame_send(struct wsc *c, int opcode, const char *text, size_t len)
{
	static const unsigned char mask[4] = { 0x12, 0x34, 0x56, 0x78 };
	unsigned char out[512];
	size_t at = 0;

	if (len > 400)
		wsc_fail("frame too long", text);
	out[at++] = (unsigned char)(0x80 | opcode);
	if (len < 126) {
		out[at++] = (unsigned char)(0x80 | len);
	} else {
		out[at++] = 0x80 | 126;
		out[at++] = (unsigned char)(len >> 8);
		out[at++] = (unsigned char)len;
	}
	memcpy(out + at, mask, 4);
	at += 4;
	for (size_t i = 0; i < len; i++)
		out[at++] = (unsigned char)text[i] ^ mask[i % 4];
	if (send(c->fd, out, at, MSG_NOSIGNAL) != (ssize_t)at)
		wsc_fail("send", strerror(errno));
}

void
wsc_send(struct wsc *c, const char *text)
{
	frame_send(c, 1, text, strlen(text));
}

/* One whole frame at p; its size, or 0. */
static size_t
frame_take(struct wsc *c, char *p, size_t n, wsc_fn fn)
{
	unsigned char *u = (unsigned char *)p;
	size_t head = 2, len;
	char after;

	if (n < 2)
		return 0;
	len = u[1] & 0x7f;
	if (len == 126) {
		head = 4;
		len = n < 4 ? 0 : (size_t)u[2] << 8 | u[3];
	} else if (len == 127) {
		head = 10;
		len = n < 10 ? 0
			     : (size_t)u[6] << 24 | (size_t)u[7] << 16 |
				   (size_t)u[8] << 8 | u[9];
	}
	if (head + len > BUFFER - 1)
		wsc_fail("frame too long", "from the server");
	if (n < head + len)
		return 0;
	if ((u[0] & 0x0f) == 1) {
		after = p[head + len];
		p[head + len] = '\0';
		fn(c, p + head, len);
		p[head + len] = after;
	} else if ((u[0] & 0x0f) == 9) {
		frame_send(c, 10, p + head, len);
	} else if ((u[0] & 0x0f) == 8) {
		p[n] = '\0';
		wsc_fail("closed by the server", len > 2 ? p + head + 2 : "");
	}
	return head + len;
}

static size_t
head_take(struct wsc *c, char *p)
{
	char *end = strstr(p, "\r\n\r\n");

	if (end == NULL)
		return 0;
	if (strncmp(p, "HTTP/1.1 101", 12) != 0)
		wsc_fail("no upgrade", p);
	c->upgraded = true;
	return (size_t)(end + 4 - p);
}

/* What is left of it is kept until more comes. */
static void
rest_keep(struct wsc *c, const char *p, size_t n)
{
	free(c->in);
	c->in = NULL;
	c->len = n;
	if (n == 0)
		return;
	if ((c->in = malloc(n)) == NULL)
		wsc_fail("malloc", "");
	memcpy(c->in, p, n);
}

void
wsc_read(struct wsc *c, wsc_fn fn)
{
	size_t used = 0, n = c->len, one;
	ssize_t got;

	if (n > 0)
		memcpy(common, c->in, n);
	got = recv(c->fd, common + n, BUFFER - 1 - n, MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0)
		wsc_fail("recv", got == 0 ? "end" : strerror(errno));
	n += (size_t)got;
	common[n] = '\0';
	if (!c->upgraded)
		used = head_take(c, common);
	while (c->upgraded && c->fd >= 0 &&
	       (one = frame_take(c, common + used, n - used, fn)) > 0)
		used += one;
	if (c->fd >= 0)
		rest_keep(c, common + used, n - used);
}

int
wsc_turn(int ep, int timeout_ms, wsc_fn fn)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(ep, events, EVENTS, timeout_ms);

	for (int i = 0; i < n; i++)
		wsc_read(events[i].data.ptr, fn);
	return n;
}

/* ---- Sockets ------------------------------------------------------- */

static int
connect_from(const struct wsc_target *t)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)t->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in from = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(
		    INADDR_LOOPBACK + (uint32_t)t->source) };
	int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		wsc_fail("socket", strerror(errno));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		wsc_fail("connect", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

void
wsc_open(struct wsc *c, int ep, const struct wsc_target *t)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
	char head[4096];
	int n;

	c->fd = connect_from(t);
	n = snprintf(head, sizeof(head),
	    "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
	    "Authorization: Bearer %s\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
	    t->path, t->port, t->token);
	if (n >= (int)sizeof(head) || send(c->fd, head, (size_t)n, 0) != n ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e) < 0)
		wsc_fail("open", strerror(errno));
}

void
wsc_close(struct wsc *c)
{
	close(c->fd);
	free(c->in);
	*c = (struct wsc){ .fd = -1, .arg = c->arg };
}
