/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/*
 * Chats over WebSocket as fast as they end, or many sockets that only listen.
 * Reads "token thread_id" lines on standard input, one a socket.
 *
 * usage: chat_load run PORT SECONDS AT_ONCE
 *	AT_ONCE sockets have a run at any time; when one ends, the next idle
 *	socket in turn sends a message, so that histories stay short;
 *	prints "ready N" when all listen and the first messages are about to
 *	leave, then, once the seconds are over, "runs N", "seconds S", what
 *	stub_model's first token needed to get here ("first_token_p50_ms",
 *	"first_token_p99_ms"), and lets what still runs end
 * usage: chat_load idle PORT
 *	opens all, prints "open N", ends when standard output is closed or it
 *	is killed
 */

enum {
	MAX_LATENCIES = 1 << 20,
	BUFFER = 256 << 10
};

struct conn {
	int fd;
	bool upgraded, ready, working;
	char *in;
	size_t len;
	char *line; /* token, NUL, thread id */
	const char *thread;
	bool saw_token;
};

static struct conn *conns;
static int n_conns, n_ready, at_once, next_conn, port;
static bool running, stopping;
static uint64_t n_runs, started;
static double *latencies;
static size_t n_latencies;

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void
fail(const char *what, const char *detail)
{
	fprintf(stderr, "chat_load: %s: %.300s\n", what, detail);
	exit(1);
}

/* ---- frames -------------------------------------------------------- */

static void
frame_send(struct conn *c, int opcode, const char *text, size_t len)
{
	static const unsigned char mask[4] = { 0x12, 0x34, 0x56, 0x78 };
	unsigned char out[512];
	size_t at = 0;

	if (len > 400)
		fail("frame too long", text);
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
		fail("send", strerror(errno));
}

static void
message_send(struct conn *c)
{
	static const char
	    text[] = "{\"type\":\"message\",\"content\":\"hello\"}";

	c->working = true;
	c->saw_token = false;
	frame_send(c, 1, text, sizeof(text) - 1);
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
	fail("there are fewer sockets than runs at once", "");
}

/* The start of a member's value, or NULL: enough for our own server. */
static const char *
member(const char *json, const char *name)
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

static bool
member_is(const char *json, const char *name, const char *value)
{
	const char *p = member(json, name);
	size_t len = strlen(value);

	return p != NULL && *p == '"' && strncmp(p + 1, value, len) == 0 &&
	       p[1 + len] == '"';
}

static void
first_token(struct conn *c, const char *delta)
{
	uint64_t sent;

	if (delta == NULL || delta[0] != '"' || delta[1] != 't')
		return;
	sent = strtoull(delta + 2, NULL, 10);
	if (sent == 0 || n_latencies == MAX_LATENCIES)
		return;
	c->saw_token = true;
	latencies[n_latencies++] = (double)(now_ns() - sent) / 1e6;
}

static void
event(struct conn *c, const char *json)
{
	if (member_is(json, "type", "message_delta")) {
		if (!c->saw_token)
			first_token(c, member(json, "delta"));
	} else if (member_is(json, "type", "run_status")) {
		if (!c->working || !member_is(json, "status", "end"))
			return;
		if (!member_is(json, "state", "succeeded"))
			fail("a run did not succeed", json);
		c->working = false;
		n_runs++;
		if (!stopping)
			turn_start();
	} else if (member_is(json, "type", "snapshot")) {
		c->ready = true;
		n_ready++;
	} else if (member_is(json, "type", "error")) {
		fail("refused", json);
	}
}

/* One whole frame at the start of the buffer; its size, or 0. */
static size_t
frame_take(struct conn *c)
{
	unsigned char *p = (unsigned char *)c->in;
	size_t head = 2, len;

	if (c->len < 2)
		return 0;
	len = p[1] & 0x7f;
	if (len == 126) {
		head = 4;
		len = (size_t)p[2] << 8 | p[3];
	} else if (len == 127) {
		head = 10;
		len = (size_t)p[6] << 24 | (size_t)p[7] << 16 |
		      (size_t)p[8] << 8 | p[9];
	}
	if (head + len > BUFFER - 1)
		fail("frame too long", "from the server");
	if (c->len < head + len)
		return 0;
	if ((p[0] & 0x0f) == 1) {
		char after = c->in[head + len];

		c->in[head + len] = '\0';
		event(c, c->in + head);
		c->in[head + len] = after;
	} else if ((p[0] & 0x0f) == 9) {
		frame_send(c, 10, c->in + head, len);
	} else if ((p[0] & 0x0f) == 8) {
		fail("closed by the server", c->in + head + 2);
	}
	return head + len;
}

static void
conn_read(struct conn *c)
{
	size_t used = 0, n_frame;
	ssize_t n;

	if (c->in == NULL && (c->in = malloc(BUFFER)) == NULL)
		fail("malloc", "");
	n = recv(c->fd, c->in + c->len, BUFFER - 1 - c->len, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		fail("recv", n == 0 ? "end" : strerror(errno));
	c->len += (size_t)n;
	c->in[c->len] = '\0';
	if (!c->upgraded) {
		char *end = strstr(c->in, "\r\n\r\n");

		if (end == NULL)
			return;
		if (strncmp(c->in, "HTTP/1.1 101", 12) != 0)
			fail("no upgrade", c->in);
		c->upgraded = true;
		c->len -= (size_t)(end + 4 - c->in);
		memmove(c->in, end + 4, c->len + 1);
	}
	for (;;) {
		char *start = c->in;
		size_t left = c->len;

		c->in += used;
		c->len -= used;
		n_frame = frame_take(c);
		c->in = start;
		c->len = left;
		if (n_frame == 0)
			break;
		used += n_frame;
	}
	c->len -= used;
	memmove(c->in, c->in + used, c->len + 1);
	if (c->len == 0 && !running) { /* thousands of idle ones */
		free(c->in);
		c->in = NULL;
	}
}

/* ---- sockets ------------------------------------------------------- */

static void
conn_open(struct conn *c, int ep, int i)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event e = { .events = EPOLLIN, .data.u32 = (uint32_t)i };
	char head[4096];
	int on = 1, n;

	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		fail("connect", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	n = snprintf(head, sizeof(head),
	    "GET /ws/chat/%s/ HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
	    "Authorization: Bearer %s\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
	    c->thread, port, c->line);
	if (n >= (int)sizeof(head) || send(c->fd, head, (size_t)n, 0) != n ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e) < 0)
		fail("open", strerror(errno));
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
			fail("expected token and thread", line);
		if (n_conns == room) {
			room = room == 0 ? 64 : 2 * room;
			conns = realloc(conns, (size_t)room * sizeof(*conns));
			if (conns == NULL)
				fail("realloc", "");
		}
		c = &conns[n_conns++];
		memset(c, 0, sizeof(*c));
		c->line = strdup(line);
		c->line[space - line] = '\0';
		c->thread = c->line + (space - line) + 1;
	}
}

static int
double_cmp(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void
report(double seconds)
{
	printf("runs %llu\nseconds %.3f\n", (unsigned long long)n_runs,
	    seconds);
	if (n_latencies == 0)
		return;
	qsort(latencies, n_latencies, sizeof(*latencies), double_cmp);
	printf("first_tokens %zu\n", n_latencies);
	printf("first_token_p50_ms %.3f\n", latencies[n_latencies / 2]);
	printf("first_token_p99_ms %.3f\n",
	    latencies[n_latencies - 1 - n_latencies / 100]);
}

static void
turn(int ep, int timeout_ms)
{
	struct epoll_event events[256];
	int n = epoll_wait(ep, events, 256, timeout_ms);

	for (int i = 0; i < n; i++)
		conn_read(&conns[events[i].data.u32]);
}

static bool
any_working(void)
{
	for (int i = 0; i < n_conns; i++)
		if (conns[i].working)
			return true;
	return false;
}

static void
run(int ep, double seconds)
{
	uint64_t end, last;

	while (n_ready < n_conns)
		turn(ep, 1000);
	printf("ready %d\n", n_ready);
	fflush(stdout);
	started = now_ns();
	for (int i = 0; i < at_once; i++)
		turn_start();
	end = started + (uint64_t)(seconds * 1e9);
	while (now_ns() < end)
		turn(ep, 100);
	last = now_ns();
	stopping = true;
	/* The numbers are those of the time above; then let all runs end. */
	report((double)(last - started) / 1e9);
	fflush(stdout);
	while (any_working() && now_ns() < last + 30000000000u)
		turn(ep, 100);
	if (any_working())
		fail("a run did not end", "within 30 s");
}

int
main(int argc, char **argv)
{
	struct rlimit files;
	int ep = epoll_create1(0);

	if (argc < 3 || (argc != 5 && strcmp(argv[1], "run") == 0))
		fail("usage", "chat_load run|idle PORT [SECONDS AT_ONCE]");
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	port = atoi(argv[2]);
	running = strcmp(argv[1], "run") == 0;
	latencies = malloc(MAX_LATENCIES * sizeof(*latencies));
	lines_read();
	for (int i = 0; i < n_conns; i++) {
		conn_open(&conns[i], ep, i);
		turn(ep, 0);
	}
	if (running) {
		at_once = atoi(argv[4]);
		run(ep, atof(argv[3]));
		return 0;
	}
	while (n_ready < n_conns)
		turn(ep, 1000);
	printf("open %d\n", n_ready);
	fflush(stdout);
	for (;;)
		turn(ep, 1000);
}
