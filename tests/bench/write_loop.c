/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/ws_client.h"

/*
 * The yardstick of a fan-out: a loop that writes the same bytes to many
 * sockets, whose other ends another process reads as viewers.c does.
 *
 * usage: write_loop COUNT BYTES ROUNDS PAUSE_MS
 *	Prints "write_us U", the CPU time of a write, of the best half of the
 *	rounds.
 */

enum {
	ROUNDS_MAX = 10000
};

static void
reader_main(int port, int count)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event events[256], e = { .events = EPOLLIN };
	int ep = epoll_create1(0), n;
	static char buffer[1 << 20];

	for (int i = 0; i < count; i++) {
		e.data.fd = socket(AF_INET, SOCK_STREAM, 0);
		if (e.data.fd < 0 ||
		    connect(e.data.fd, (struct sockaddr *)&to, sizeof(to)) < 0)
			wsc_fail("connect", strerror(errno));
		epoll_ctl(ep, EPOLL_CTL_ADD, e.data.fd, &e);
	}
	for (;;) {
		n = epoll_wait(ep, events, 256, -1);
		for (int i = 0; i < n; i++)
			if (recv(events[i].data.fd, buffer, sizeof(buffer),
				MSG_DONTWAIT) == 0)
				_exit(0);
	}
}

static double
round_us(const int *fds, int count, const char *bytes, size_t len)
{
	double begin = wsc_cpu_s();

	for (int i = 0; i < count; i++)
		if (write(fds[i], bytes, len) != (ssize_t)len)
			wsc_fail("write", strerror(errno));
	return (wsc_cpu_s() - begin) / count * 1e6;
}

static double
measure(const int *fds, int count, size_t len, int rounds, int pause_ms)
{
	static double us[ROUNDS_MAX];
	char *bytes = malloc(len);

	memset(bytes, 'x', len);
	for (int i = 0; i < rounds; i++) {
		us[i] = round_us(fds, count, bytes, len);
		usleep((useconds_t)pause_ms * 1000);
	}
	free(bytes);
	return wsc_quantile(us, (size_t)rounds, 0.25);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM, 0), count, *fds, on = 1;
	pid_t reader;

	if (argc != 5 || atoi(argv[3]) < 1 || atoi(argv[3]) > ROUNDS_MAX)
		wsc_fail("usage", "write_loop COUNT BYTES ROUNDS PAUSE_MS");
	count = atoi(argv[1]);
	wsc_files_raise();
	if (bind(listener, (struct sockaddr *)&a, len) < 0 ||
	    listen(listener, 512) < 0 ||
	    getsockname(listener, (struct sockaddr *)&a, &len) < 0)
		wsc_fail("listen", strerror(errno));
	if ((reader = fork()) == 0)
		reader_main(ntohs(a.sin_port), count);
	fds = malloc((size_t)count * sizeof(*fds));
	for (int i = 0; i < count; i++) {
		fds[i] = accept(listener, NULL, NULL);
		if (fds[i] < 0)
			wsc_fail("accept", strerror(errno));
		setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	}
	printf("write_us %.3f\n",
	    measure(fds, count, strtoul(argv[2], NULL, 10), atoi(argv[3]),
		atoi(argv[4])));
	for (int i = 0; i < count; i++)
		close(fds[i]);
	waitpid(reader, NULL, 0);
	return 0;
}
