/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "tests/bench/rest_client.h"
#include "tests/bench/ws_client.h"

/*
 * GET requests at a rate, over connections that are kept, spread evenly over
 * several servers.
 *
 * usage: rest_load PORTS SECONDS RATE CONNECTIONS
 *	Reads "token path" lines on standard input; the requests take them in
 *	turn, and the ports, with commas between, as well.  Prints "ready",
 *	then, once the seconds are over, "requests N", all answered with 200.
 */

enum {
	MAX_PORTS = 64,
	MAX_CONNS = 1024
};

struct conn {
	struct rest rest; /* first: what the epoll has is one of these */
	bool busy;
};

struct target {
	char *token, *path;
};

static struct conn conns[MAX_CONNS];
static struct target *targets;
static int n_conns, n_targets, next_conn, next_target;
static unsigned long long n_answers;

/* False: all are waiting for an answer. */
static bool
request_send(void)
{
	struct target *t = &targets[next_target];

	for (int i = 0; i < n_conns; i++) {
		struct conn *c = &conns[next_conn];

		next_conn = (next_conn + 1) % n_conns;
		if (c->busy)
			continue;
		next_target = (next_target + 1) % n_targets;
		rest_ask(&c->rest, t->token, t->path);
		c->busy = true;
		return true;
	}
	return false;
}

static void
answer_read(struct conn *c)
{
	if (!rest_read(&c->rest))
		return;
	c->busy = false;
	n_answers++;
}

static void
turn(int ep, int64_t timeout_ns)
{
	struct timespec t = { timeout_ns / 1000000000,
		timeout_ns % 1000000000 };
	struct epoll_event events[64];
	int n = epoll_pwait2(ep, events, 64, &t, NULL);

	for (int i = 0; i < n; i++)
		answer_read(events[i].data.ptr);
}

/* One after the other, for those who ask know nothing of each other. */
static void
run(int ep, double seconds, double rate)
{
	uint64_t now = wsc_now_ns(), end = now + (uint64_t)(seconds * 1e9);
	uint64_t step = (uint64_t)(1e9 / rate), due = now;

	for (; now < end; now = wsc_now_ns()) {
		for (; due <= now && request_send(); due += step)
			continue;
		turn(ep, due > now ? (int64_t)(due - now) : 1000000);
	}
}

static void
lines_read(void)
{
	char line[4096], *space;

	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if ((space = strchr(line, ' ')) == NULL)
			wsc_fail("expected token and path", line);
		*space = '\0';
		targets = realloc(targets,
		    ((size_t)n_targets + 1) * sizeof(*targets));
		targets[n_targets].token = strdup(line);
		targets[n_targets++].path = strdup(space + 1);
	}
}

int
main(int argc, char **argv)
{
	int ports[MAX_PORTS], n_ports = 0, ep = epoll_create1(0);
	unsigned long long before;

	if (argc != 5)
		wsc_fail("usage", "rest_load PORTS SECONDS RATE CONNECTIONS");
	for (char *p = strtok(argv[1], ","); p != NULL && n_ports < MAX_PORTS;
	     p = strtok(NULL, ","))
		ports[n_ports++] = atoi(p);
	n_conns = atoi(argv[4]);
	lines_read();
	for (int i = 0; i < n_conns; i++)
		rest_open(&conns[i].rest, ep, ports[i % n_ports]);
	for (int i = 0; i < n_conns; i++) /* what a connection costs once */
		request_send();
	while (n_answers < (unsigned long long)n_conns)
		turn(ep, 100000000);
	printf("ready\n");
	fflush(stdout);
	before = n_answers;
	run(ep, atof(argv[2]), atof(argv[3]));
	printf("requests %llu\n", n_answers - before);
	return 0;
}
