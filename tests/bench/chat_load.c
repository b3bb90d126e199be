/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "tests/bench/ws_client.h"

/*
 * Chats over WebSocket.  Reads "token thread_id" lines on standard input, one
 * a socket; the sockets take the ports, with commas between, in turn.
 *
 * usage: chat_load run PORTS SECONDS AT_ONCE
 *	AT_ONCE sockets have a run at any time; when one ends, the next idle
 *	socket in turn sends a message, so that histories stay short
 * usage: chat_load pace PORTS SECONDS RATE
 *	RATE messages a second, evenly, each on the next idle socket
 *
 * Prints "ready N" when all listen and the first messages are about to leave,
 * then, once the seconds are over, "runs N", "seconds S", what stub_model's
 * first token of a run needed to get here ("first_token_p50_ms",
 * "first_token_p99_ms"), the same of the oldest token of every other delta
 * ("token_p50_ms", "token_p99_ms"; a stamping stub_model only), and lets what
 * still runs end.
 */

enum {
	MAX_LATENCIES = 1 << 20,
	MAX_PORTS = 64
};

struct conn {
	struct wsc ws;
	bool working;
	char *line; /* token, NUL, thread id */
	const char *thread;
	bool saw_token;
};

struct latencies {
	double *ms;
	size_t n;
};

static struct conn *conns;
static int n_conns, n_ready, next_conn;
static int ports[MAX_PORTS], n_ports;
static bool paced, stopping;
static uint64_t n_runs;
static struct latencies first, later;

static void
message_send(struct conn *c)
{
	c->working = true;
	c->saw_token = false;
	wsc_send(&c->ws, "{\"type\":\"message\",\"content\":\"hello\"}");
}

/* The next socket in turn that has no run sends a message. */
static void
turn_start(void)
{
	for (int i = 0; i < n_conns; i++) {
		struct conn *c = &conns[next_conn];

		next_conn = (next_conn + 1) % n_conns;
		if (!c->working) {
			message_send(c);
			return;
		}
	}
	wsc_fail("there are fewer sockets than runs at once", "");
}

/* The first stamp in a delta is of its oldest token. */
static void
latency_add(struct latencies *l, const char *delta)
{
	uint64_t sent = 0;

	while (delta != NULL && sent == 0 && *delta != '\0') {
		delta += strcspn(delta, "t");
		if (*delta != '\0')
			sent = strtoull(++delta, NULL, 10);
	}
	if (sent != 0 && l->n < MAX_LATENCIES)
		l->ms[l->n++] = (double)(wsc_now_ns() - sent) / 1e6;
}

static void
event(struct wsc *ws, char *json, size_t len)
{
	struct conn *c = ws->arg;

	(void)len;
	if (wsc_member_is(json, "type", "message_delta")) {
		latency_add(c->saw_token ? &later : &first,
		    wsc_member(json, "delta"));
		c->saw_token = true;
	} else if (wsc_member_is(json, "type", "run_status")) {
		if (!c->working || !wsc_member_is(json, "status", "end"))
			return;
		if (!wsc_member_is(json, "state", "succeeded"))
			wsc_fail("a run did not succeed", json);
		c->working = false;
		n_runs++;
		if (!stopping && !paced)
			turn_start();
	} else if (wsc_member_is(json, "type", "snapshot")) {
		n_ready++;
	} else if (wsc_member_is(json, "type", "error")) {
		wsc_fail("refused", json);
	}
}

static void
conn_open(struct conn *c, int ep, int i)
{
	char path[128];
	struct wsc_target t = { .port = ports[i % n_ports],
		.token = c->line,
		.path = path };

	snprintf(path, sizeof(path), "/ws/chat/%s/", c->thread);
	c->ws.arg = c;
	wsc_open(&c->ws, ep, &t);
}

static void
lines_read(void)
{
	char line[4096], *space;
	int room = 0;

	while (fgets(line, sizeof(line), stdin) != NULL) {
		struct conn *c;

		line[strcspn(line, "\n")] = '\0';
		if ((space = strchr(line, ' ')) == NULL)
			wsc_fail("expected token and thread", line);
		if (n_conns == room) {
			room = room == 0 ? 64 : 2 * room;
			conns = realloc(conns, (size_t)room * sizeof(*conns));
			if (conns == NULL)
				wsc_fail("realloc", "");
		}
		c = &conns[n_conns++];
		memset(c, 0, sizeof(*c));
		c->line = strdup(line);
		c->line[space - line] = '\0';
		c->thread = c->line + (space - line) + 1;
	}
}

static void
latencies_report(const char *what, struct latencies *l)
{
	if (l->n == 0)
		return;
	printf("%ss %zu\n", what, l->n);
	printf("%s_p50_ms %.3f\n", what, wsc_quantile(l->ms, l->n, 0.5));
	printf("%s_p99_ms %.3f\n", what, wsc_quantile(l->ms, l->n, 0.99));
}

static bool
any_working(void)
{
	for (int i = 0; i < n_conns; i++)
		if (conns[i].working)
			return true;
	return false;
}

/* Until the time has come, messages as they are due. */
static void
run_until(int ep, uint64_t begin, uint64_t end, double rate)
{
	uint64_t n = 0, now;

	while ((now = wsc_now_ns()) < end) {
		for (; paced && (double)n < (double)(now - begin) / 1e9 * rate;
		     n++)
			turn_start();
		wsc_turn(ep, paced ? 1 : 100, event);
	}
}

static void
run(int ep, double seconds, double how_many)
{
	uint64_t begin, last;

	while (n_ready < n_conns)
		wsc_turn(ep, 1000, event);
	printf("ready %d\n", n_ready);
	fflush(stdout);
	begin = wsc_now_ns();
	for (int i = 0; !paced && i < (int)how_many; i++)
		turn_start();
	run_until(ep, begin, begin + (uint64_t)(seconds * 1e9), how_many);
	last = wsc_now_ns();
	stopping = true;
	/* The numbers are those of the time above; then let all runs end. */
	printf("runs %llu\nseconds %.3f\n", (unsigned long long)n_runs,
	    (double)(last - begin) / 1e9);
	latencies_report("first_token", &first);
	latencies_report("token", &later);
	fflush(stdout);
	while (any_working() && wsc_now_ns() < last + 30000000000u)
		wsc_turn(ep, 100, event);
	if (any_working())
		wsc_fail("a run did not end", "within 30 s");
}

int
main(int argc, char **argv)
{
	int ep = epoll_create1(0);

	if (argc != 5)
		wsc_fail("usage",
		    "chat_load run|pace PORTS SECONDS AT_ONCE|RATE");
	wsc_files_raise();
	paced = strcmp(argv[1], "pace") == 0;
	for (char *p = strtok(argv[2], ","); p != NULL && n_ports < MAX_PORTS;
	     p = strtok(NULL, ","))
		ports[n_ports++] = atoi(p);
	first.ms = malloc(MAX_LATENCIES * sizeof(*first.ms));
	later.ms = malloc(MAX_LATENCIES * sizeof(*later.ms));
	lines_read();
	for (int i = 0; i < n_conns; i++) {
		conn_open(&conns[i], ep, i);
		wsc_turn(ep, 0, event);
	}
	run(ep, atof(argv[3]), atof(argv[4]));
	return 0;
}
