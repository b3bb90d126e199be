/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/rest_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "tests/bench/ws_client.h"

void
rest_open(struct rest *c, int ep, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
	int on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 ||
	    connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e) < 0)
		wsc_fail("connect", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void
rest_ask(struct rest *c, const char *token, const char *path)
{
	char head[4096];
	int n = snprintf(head, sizeof(head),
	    "GET %s HTTP/1.1\r\nHost: bench\r\n"
	    "Authorization: Bearer %s\r\n\r\n",
	    path, token);

	if (send(c->fd, head, (size_t)n, MSG_NOSIGNAL) != n)
		wsc_fail("send", strerror(errno));
}

bool
rest_read(struct rest *c)
{
	ssize_t n = recv(c->fd, c->in + c->len, REST_ANSWER_MAX - 1 - c->len,
	    MSG_DONTWAIT);
	char *end, *length;

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0)
		wsc_fail("recv", n == 0 ? "end" : strerror(errno));
	c->len += (size_t)n;
	c->in[c->len] = '\0';
	if ((end = strstr(c->in, "\r\n\r\n")) == NULL)
		return false;
	length = strcasestr(c->in, "\r\ncontent-length:");
	if (strncmp(c->in, "HTTP/1.1 200", 12) != 0 || length == NULL)
		wsc_fail("not answered", c->in);
	if (c->len < (size_t)(end + 4 - c->in) + strtoul(length + 17, NULL, 10))
		return false;
	c->len = 0;
	return true;
}
