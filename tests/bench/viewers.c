/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/ws_client.h"

/*
 * Many WebSockets that listen, and what they hear.
 *
 * usage: viewers PORT COUNT [SOURCES]
 *	Reads "token thread_id" lines on standard input up to an empty one;
 *	COUNT sockets take them in turn, from SOURCES addresses.  Prints "open
 *	N" when each has its snapshot.  Then it answers each line of standard
 *	input, "count" or "await TYPE", with
 *		"frames N bytes B heard H"
 *	frames and bytes of payload so far, and how many sockets have heard an
 *	event of TYPE since it was named.  It ends with its standard input.
 */

struct viewer {
	struct wsc ws;
	bool heard;
};

static struct viewer *viewers;
static int n_viewers, n_ready, n_heard;
static unsigned long long n_frames, n_bytes;
static char waited_for[64];

static void
on_frame(struct wsc *ws, char *json, size_t len)
{
	struct viewer *v = ws->arg;

	n_frames++;
	n_bytes += len;
	if (wsc_member_is(json, "type", "snapshot"))
		n_ready++;
	else if (wsc_member_is(json, "type", "error"))
		wsc_fail("refused", json);
	else if (!v->heard && waited_for[0] != '\0' &&
		 wsc_member_is(json, "type", waited_for)) {
		v->heard = true;
		n_heard++;
	}
}

struct line {
	char *token, *thread;
};

static struct line *
lines_read(int *n)
{
	static char line[4096];
	struct line *lines = NULL;
	char *space;

	for (*n = 0; fgets(line, sizeof(line), stdin) != NULL; (*n)++) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '\0')
			break;
		if ((space = strchr(line, ' ')) == NULL)
			wsc_fail("expected token and thread", line);
		*space = '\0';
		lines = realloc(lines, ((size_t)*n + 1) * sizeof(*lines));
		lines[*n].token = strdup(line);
		lines[*n].thread = strdup(space + 1);
	}
	return lines;
}

/* A socket is ready before the next few are opened, so none waits long. */
static void
viewers_open(int ep, int port, int sources)
{
	int n_lines;
	struct line *lines = lines_read(&n_lines);
	char path[128];

	for (int i = 0; i < n_viewers; i++) {
		struct wsc_target t = { .port = port,
			.token = lines[i % n_lines].token,
			.path = path,
			.source = i % sources };

		snprintf(path, sizeof(path), "/ws/chat/%s/",
		    lines[i % n_lines].thread);
		viewers[i].ws.arg = &viewers[i];
		wsc_open(&viewers[i].ws, ep, &t);
		while (i - n_ready > 64)
			wsc_turn(ep, 1000, on_frame);
	}
	while (n_ready < n_viewers)
		wsc_turn(ep, 1000, on_frame);
}

static void
answer(char *line)
{
	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, "await ", 6) == 0) {
		snprintf(waited_for, sizeof(waited_for), "%.63s", line + 6);
		n_heard = 0;
		for (int i = 0; i < n_viewers; i++)
			viewers[i].heard = false;
	}
	printf("frames %llu bytes %llu heard %d\n", n_frames, n_bytes, n_heard);
	fflush(stdout);
}

static struct wsc input = { .fd = -1 };

/* Whole lines: whoever asks waits for the answer before asking again. */
static void
listen_on(int ep)
{
	struct epoll_event events[256],
	    e = { .events = EPOLLIN, .data.ptr = &input };
	char line[256];
	ssize_t n;

	epoll_ctl(ep, EPOLL_CTL_ADD, STDIN_FILENO, &e);
	for (;;) {
		int ready = epoll_wait(ep, events, 256, -1);

		for (int i = 0; i < ready; i++) {
			if (events[i].data.ptr != &input) {
				wsc_read(events[i].data.ptr, on_frame);
				continue;
			}
			n = read(STDIN_FILENO, line, sizeof(line) - 1);
			if (n <= 0)
				exit(0);
			line[n] = '\0';
			answer(line);
		}
	}
}

int
main(int argc, char **argv)
{
	int ep = epoll_create1(0);

	if (argc < 3)
		wsc_fail("usage", "viewers PORT COUNT [SOURCES]");
	wsc_files_raise();
	setvbuf(stdin, NULL, _IONBF, 0); /* what follows is read by hand */
	n_viewers = atoi(argv[2]);
	viewers = calloc((size_t)n_viewers, sizeof(*viewers));
	viewers_open(ep, atoi(argv[1]), argc > 3 ? atoi(argv[3]) : 1);
	printf("open %d\n", n_ready);
	fflush(stdout);
	listen_on(ep);
}
