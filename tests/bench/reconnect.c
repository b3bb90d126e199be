/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "tests/bench/ws_client.h"

/*
 * A socket that comes back after it has missed much of a thread.
 *
 * usage: reconnect PORT TOKEN THREAD_ID MISSED TIMES
 *	Each time from the connect to the last missed event.  Prints "head N"
 *	(events in the thread), "p50_ms T", "p95_ms T".
 */

enum {
	MAX_TIMES = 100000
};

static long long head, at, n_events;

static void
event(const char *json, long long seq)
{
	if (at != 0 && seq != at + 1)
		wsc_fail("an event is missing before", json);
	at = seq;
	n_events++;
}

static void
on_frame(struct wsc *ws, char *json, size_t len)
{
	const char *seq = wsc_member(json, "seq");

	(void)ws;
	(void)len;
	if (wsc_member_is(json, "type", "error"))
		wsc_fail("refused", json);
	if (wsc_member_is(json, "type", "snapshot"))
		head = atoll(wsc_member(json, "snapshot_seq"));
	else if (seq != NULL)
		event(json, atoll(seq));
}

static double
once_ms(const struct wsc_target *t, int ep, long long until)
{
	struct wsc c = { .fd = -1 };
	uint64_t begin = wsc_now_ns();

	at = 0;
	n_events = 0;
	wsc_open(&c, ep, t);
	while (until > 0 ? at < until : head == 0)
		wsc_turn(ep, 1000, on_frame);
	wsc_close(&c);
	return (double)(wsc_now_ns() - begin) / 1e6;
}

int
main(int argc, char **argv)
{
	static double ms[MAX_TIMES];
	int ep = epoll_create1(0), times = 0;
	char path[160];
	struct wsc_target t = { .path = path };
	long long missed;

	if (argc != 6 || (times = atoi(argv[5])) < 1 || times > MAX_TIMES)
		wsc_fail("usage", "reconnect PORT TOKEN THREAD MISSED TIMES");
	t.port = atoi(argv[1]);
	t.token = argv[2];
	missed = atoll(argv[4]);
	snprintf(path, sizeof(path), "/ws/chat/%s/", argv[3]);
	once_ms(&t, ep, 0);
	if (head < missed)
		wsc_fail("the thread is too short", argv[4]);
	snprintf(path, sizeof(path), "/ws/chat/%s/?after_seq=%lld", argv[3],
	    head - missed);
	for (int i = 0; i < times; i++) {
		ms[i] = once_ms(&t, ep, head);
		if (n_events != missed)
			wsc_fail("not as many events as missed", "");
	}
	printf("head %lld\np50_ms %.3f\np95_ms %.3f\n", head,
	    wsc_quantile(ms, (size_t)times, 0.5),
	    wsc_quantile(ms, (size_t)times, 0.95));
	return 0;
}
