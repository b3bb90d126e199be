/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/rest_client.h"
#include "tests/bench/ws_client.h"

/*
 * Well-behaved clients and how long they wait.
 *
 * usage: polite PORT REQUESTS RUNS
 *	Reads "token thread_id path" lines on standard input up to an empty one:
 *	a WebSocket for each.  REQUESTS times a second one GETs its path, RUNS
 *	times a second one says something in its thread.  Prints "ready", then
 *	answers each line of standard input with two lines: "rest" and the
 *	milliseconds from the moment when a request was due to its answer,
 *	"token" and those from the model's first token of a run to its socket;
 *	of all since the line before.  Ends with its standard input.
 */

enum {
	KEPT = 16, /* connections for requests */
	SAMPLES_MAX = 1 << 18
};

struct person {
	struct wsc ws;
	bool working, saw_token;
	char *token, *thread, *path;
};

struct conn {
	struct rest rest; /* first: what the epoll has is one of these */
	uint64_t due_ns; /* of the request that it carries; 0: none */
};

struct samples {
	const char *name;
	double *ms;
	size_t n;
};

static struct person *people;
static int n_people, n_ready, next_person, next_asker, next_conn;
static struct conn conns[KEPT];
static struct samples answers = { .name = "rest" },
		      tokens = { .name = "token" };
static struct wsc input = { .fd = -1 };
static int port, ep;

static void
sample(struct samples *s, uint64_t since_ns)
{
	if (s->n < SAMPLES_MAX)
		s->ms[s->n++] = (double)(wsc_now_ns() - since_ns) / 1e6;
}

/* ---- Chats --------------------------------------------------------- */

static void
on_delta(struct person *p, const char *json)
{
	const char *delta = wsc_member(json, "delta");

	if (p->saw_token || delta == NULL)
		return;
	p->saw_token = true;
	delta += strcspn(delta, "t");
	sample(&tokens, strtoull(delta + 1, NULL, 10));
}

static void
on_frame(struct wsc *ws, char *json, size_t len)
{
	struct person *p = ws->arg;

	(void)len;
	if (wsc_member_is(json, "type", "message_delta"))
		on_delta(p, json);
	else if (wsc_member_is(json, "type", "snapshot"))
		n_ready++;
	else if (wsc_member_is(json, "type", "error"))
		wsc_fail("refused", json);
	else if (wsc_member_is(json, "type", "run_status") &&
		 wsc_member_is(json, "status", "end"))
		p->working = false;
}

static void
say(void)
{
	for (int i = 0; i < n_people; i++) {
		struct person *p = &people[next_person];

		next_person = (next_person + 1) % n_people;
		if (p->working)
			continue;
		p->working = true;
		p->saw_token = false;
		wsc_send(&p->ws,
		    "{\"type\":\"message\",\"content\":\"hello\"}");
		return;
	}
	wsc_fail("all are talking", "the server does not keep up");
}

/* ---- Requests ------------------------------------------------------ */

/* False: none is free; it waits, and its time runs. */
static bool
ask(uint64_t due_ns)
{
	for (int i = 0; i < KEPT; i++) { /* in turn, so that none idles */
		struct conn *c = &conns[next_conn];

		next_conn = (next_conn + 1) % KEPT;
		if (c->due_ns != 0)
			continue;
		rest_ask(&c->rest, people[next_asker].token,
		    people[next_asker].path);
		next_asker = (next_asker + 1) % n_people;
		c->due_ns = due_ns;
		return true;
	}
	return false;
}

static void
answer_read(struct conn *c)
{
	if (!rest_read(&c->rest))
		return;
	sample(&answers, c->due_ns);
	c->due_ns = 0;
}

/* ---- All of it ----------------------------------------------------- */

static void
samples_print(struct samples *s)
{
	fputs(s->name, stdout);
	for (size_t i = 0; i < s->n; i++)
		printf(" %.3f", s->ms[i]);
	putchar('\n');
	s->n = 0;
}

static void
asked(void)
{
	char line[256];

	if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
		exit(0);
	samples_print(&answers);
	samples_print(&tokens);
	fflush(stdout);
}

static void
turn(uint64_t until_ns)
{
	uint64_t now = wsc_now_ns(), ns = until_ns > now ? until_ns - now : 0;
	struct timespec t = { 0, (long)ns };
	struct epoll_event events[64];
	int n = epoll_pwait2(ep, events, 64, &t, NULL);

	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;

		if (c >= conns && c < conns + KEPT)
			answer_read(c);
		else if (events[i].data.ptr == &input)
			asked();
		else
			wsc_read(events[i].data.ptr, on_frame);
	}
}

static void
run(double requests, double runs)
{
	uint64_t now = wsc_now_ns(), ask_at = now, say_at = now;

	for (;; now = wsc_now_ns()) {
		for (; ask_at <= now && ask(ask_at);
		     ask_at += (uint64_t)(1e9 / requests))
			continue;
		for (; say_at <= now; say_at += (uint64_t)(1e9 / runs))
			say();
		if (ask_at <= now) /* all connections wait */
			turn(now + 1000000);
		else
			turn(ask_at < say_at ? ask_at : say_at);
	}
}

static char *
word(const char *s)
{
	if (s == NULL)
		wsc_fail("expected token, thread and path", "less");
	return strdup(s);
}

static void
lines_read(void)
{
	static char line[4096];

	while (fgets(line, sizeof(line), stdin) != NULL && line[0] != '\n') {
		struct person *p;

		people = realloc(people,
		    ((size_t)n_people + 1) * sizeof(*people));
		p = &people[n_people++];
		memset(p, 0, sizeof(*p));
		p->token = word(strtok(line, " \n"));
		p->thread = word(strtok(NULL, " \n"));
		p->path = word(strtok(NULL, " \n"));
	}
}

static void
people_come(void)
{
	char path[128];

	for (int i = 0; i < n_people; i++) {
		struct wsc_target t = { .port = port,
			.token = people[i].token,
			.path = path };

		snprintf(path, sizeof(path), "/ws/chat/%s/", people[i].thread);
		people[i].ws.arg = &people[i];
		wsc_open(&people[i].ws, ep, &t);
	}
	while (n_ready < n_people)
		wsc_turn(ep, 1000, on_frame);
}

int
main(int argc, char **argv)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = &input };

	if (argc != 4)
		wsc_fail("usage", "polite PORT REQUESTS RUNS");
	setvbuf(stdin, NULL, _IONBF, 0); /* what follows is read by hand */
	port = atoi(argv[1]);
	ep = epoll_create1(0);
	answers.ms = malloc(SAMPLES_MAX * sizeof(*answers.ms));
	tokens.ms = malloc(SAMPLES_MAX * sizeof(*tokens.ms));
	lines_read();
	people_come();
	for (int i = 0; i < KEPT; i++)
		rest_open(&conns[i].rest, ep, port);
	epoll_ctl(ep, EPOLL_CTL_ADD, STDIN_FILENO, &e);
	printf("ready\n");
	fflush(stdout);
	run(atof(argv[2]), atof(argv[3]));
}
