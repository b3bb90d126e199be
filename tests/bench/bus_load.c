/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "core/base/mem.h"
#include "core/bus/bus_redis.h"
#include "core/bus/live.h"
#include "core/loop/loop.h"
#include "core/run/event.h"
#include "tests/bench/ws_client.h"

/*
 * Publishes text as a process with runs does, over Redis, and reads it on
 * sockets of a server, which is another process.
 *
 * usage: bus_load REDIS_URL PORT VIEWERS SECONDS
 *	Reads "token thread_id" lines on standard input; each thread gets
 *	VIEWERS sockets and a message whose text never ends.  One thread of
 *	this program publishes, one reads; at most WINDOW pieces are under way,
 *	so nothing has to be dropped.  Prints "ready", then, once the seconds
 *	are over and all text is at its readers, "published N", "delivered N"
 *	(deltas on sockets; fewer than published times viewers, if some were
 *	merged), "frame_bytes N", "seconds S", "publisher_us U" (CPU time of a
 *	piece).
 */

enum {
	WINDOW = 1024, /* pieces */
	PIECE = 48, /* bytes of text */
	TICK_MS = 1,
	SETTLE_MS = 1000, /* who has just subscribed looks at the log */
	DRAIN_S = 20
};

struct room {
	const char *token, *path;
	struct uuid thread_id, run_id;
	_Atomic int64_t seq; /* the thread's head, told by the snapshot */
};

struct viewer {
	struct wsc ws;
	struct room *room;
};

static struct room *rooms;
static int n_rooms, n_viewers, each, port;
static struct viewer *viewers;
static atomic_int n_ready;
static atomic_llong n_delivered, bytes_delivered;
static atomic_bool over;

/* ---- Reading ------------------------------------------------------- */

static void
on_frame(struct wsc *ws, char *json, size_t len)
{
	struct viewer *v = ws->arg;
	const char *p;

	(void)len;
	if (wsc_member_is(json, "type", "message_delta")) {
		p = wsc_member(json, "delta") + 1;
		atomic_fetch_add(&n_delivered, 1);
		atomic_fetch_add(&bytes_delivered, (long long)strcspn(p, "\""));
	} else if (wsc_member_is(json, "type", "snapshot")) {
		p = wsc_member(json, "snapshot_seq");
		atomic_store(&v->room->seq, p != NULL ? atoll(p) : 0);
		atomic_fetch_add(&n_ready, 1);
	} else if (wsc_member_is(json, "type", "error"))
		wsc_fail("refused", json);
}

static void *
read_main(void *arg)
{
	int ep = epoll_create1(0);

	(void)arg;
	for (int i = 0; i < n_viewers; i++) {
		struct room *r = &rooms[i / each];
		struct wsc_target t = { .port = port,
			.token = r->token,
			.path = r->path };

		viewers[i].ws.arg = &viewers[i];
		viewers[i].room = r;
		wsc_open(&viewers[i].ws, ep, &t);
		while (i - n_ready > 64)
			wsc_turn(ep, 1000, on_frame);
	}
	while (!over)
		wsc_turn(ep, 100, on_frame);
	return NULL;
}

/* ---- Publishing ---------------------------------------------------- */

struct publisher {
	struct loop *loop;
	struct bus *bus;
	struct live *live;
	struct bus_link *link;
	struct loop_timer tick;
	bool ready, begun;
	int next;
	uint64_t begin_ns, end_ns;
	double begin_cpu;
	long long n, bytes, frame_bytes;
};

static const char
    text[PIECE + 1] = "and so it goes on, word by word, until it ends. ";

static void
room_begin(struct publisher *p, struct room *r)
{
	struct uuid message_id = uuid_v7();
	char id[UUID_TEXT], body[128];
	struct bus_msg m = { .topic = r->thread_id, .run_id = r->run_id };

	uuid_format(message_id, id);
	snprintf(body, sizeof(body), "{\"message_id\":\"%s\",\"attempt\":1}",
	    id);
	m.seq = atomic_fetch_add(&r->seq, 1) + 1;
	m.run_seq = 1;
	m.frame = event_frame("message_start", m.seq, m.run_seq, r->run_id, 1,
	    body);
	live_begin(p->live, r->thread_id, r->run_id, message_id, 1);
	bus_publish(p->bus, &m);
	rcbuf_unref(m.frame);
}

/* As core/run/answer.c shows what a model has said. */
static void
piece_publish(struct publisher *p, struct room *r)
{
	struct bus_msg m = { 0 };

	MUST(live_append(p->live, r->thread_id, r->run_id, 1, text, PIECE, &m));
	m.frame = event_delta_frame("message_delta", m.run_id, "", m.message_id,
	    m.attempt, m.offset, text, m.len);
	bus_publish(p->bus, &m);
	p->frame_bytes = (long long)m.frame->len;
	rcbuf_unref(m.frame);
	p->n++;
	p->bytes += PIECE;
}

static void
report(struct publisher *p, uint64_t now)
{
	printf("published %lld\ndelivered %lld\n", p->n,
	    (long long)atomic_load(&n_delivered));
	printf("frame_bytes %lld\nseconds %.3f\npublisher_us %.3f\n",
	    p->frame_bytes, (double)(now - p->begin_ns) / 1e9,
	    (wsc_cpu_s() - p->begin_cpu) / (double)p->n * 1e6);
	fflush(stdout);
	over = true;
	loop_stop(p->loop);
}

static void
begin(struct publisher *p)
{
	printf("ready %d\n", n_viewers);
	fflush(stdout);
	for (int i = 0; i < n_rooms; i++)
		room_begin(p, &rooms[i]);
	p->begun = true;
	p->begin_ns = wsc_now_ns();
	p->end_ns += p->begin_ns;
	p->begin_cpu = wsc_cpu_s();
}

static bool
has_begun(struct publisher *p)
{
	if (p->ready && !p->begun)
		begin(p);
	if (p->begun || n_ready < n_viewers ||
	    bus_link_state(p->link) != BUS_LINK_UP)
		return p->begun;
	p->ready = true;
	loop_timer_set(p->loop, &p->tick, loop_now_ms(p->loop) + SETTLE_MS);
	return false;
}

static void
on_tick(struct loop_timer *t)
{
	struct publisher *p = container_of(t, struct publisher, tick);
	uint64_t now = wsc_now_ns();
	long long under_way;

	loop_timer_set(p->loop, t, loop_now_ms(p->loop) + TICK_MS);
	if (!has_begun(p))
		return;
	under_way = p->bytes * each - atomic_load(&bytes_delivered);
	if (now >= p->end_ns + DRAIN_S * 1000000000ull)
		wsc_fail("text is missing", "at its readers");
	if (now >= p->end_ns) {
		if (under_way == 0)
			report(p, now);
		return;
	}
	for (long long i = under_way / PIECE / each; i < WINDOW; i++) {
		piece_publish(p, &rooms[p->next]);
		p->next = (p->next + 1) % n_rooms;
	}
}

/* ---- What is asked ------------------------------------------------- */

static void
lines_read(void)
{
	char line[4096], *space;
	struct room *r;

	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if ((space = strchr(line, ' ')) == NULL)
			wsc_fail("expected token and thread", line);
		*space = '\0';
		rooms = xrealloc(rooms, ((size_t)n_rooms + 1) * sizeof(*rooms));
		r = &rooms[n_rooms++];
		memset(r, 0, sizeof(*r));
		r->token = xstrdup(line);
		r->path = xasprintf("/ws/chat/%s/", space + 1);
		r->run_id = uuid_v7();
		if (!uuid_parse(space + 1, &r->thread_id))
			wsc_fail("not an id", space + 1);
	}
}

int
main(int argc, char **argv)
{
	struct bus_redis_config config = { .password = "",
		.prefix = "agent-studio",
		.grace_ms = 1000 };
	struct publisher p = { 0 };
	struct bus_redis *redis;
	pthread_t reader;

	if (argc != 5)
		wsc_fail("usage", "bus_load REDIS_URL PORT VIEWERS SECONDS");
	if (redis_url_parse(argv[1], &config.url, NULL) != AS_OK)
		wsc_fail("not a Redis", argv[1]);
	port = atoi(argv[2]);
	each = atoi(argv[3]);
	p.end_ns = (uint64_t)(atof(argv[4]) * 1e9);
	lines_read();
	n_viewers = n_rooms * each;
	viewers = xcalloc((size_t)n_viewers, sizeof(*viewers));
	wsc_files_raise();
	MUST(pthread_create(&reader, NULL, read_main, NULL) == 0);
	p.loop = loop_new();
	p.bus = bus_new_memory();
	p.live = live_new();
	redis = bus_redis_new(p.bus, p.live, &config);
	bus_join(p.bus, p.loop);
	p.link = bus_link_open(redis, p.loop);
	p.tick.fn = on_tick;
	loop_timer_set(p.loop, &p.tick, 1);
	loop_run(p.loop);
	pthread_join(reader, NULL);
	bus_link_close(p.link);
	bus_leave(p.bus, p.loop);
	bus_redis_free(redis);
	live_free(p.live);
	bus_free(p.bus);
	loop_free(p.loop);
	return 0;
}
