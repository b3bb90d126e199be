/* SPDX-License-Identifier: Apache-2.0 */
#include <event2/event.h>
#include <event2/event_struct.h>

#include "core/base/mem.h"
#include "core/loop/impl.h"

/*
 * Descriptors that are watched.  The event is added to the base exactly while
 * `what` is not 0.
 */

struct loop_watch {
	struct event ev;
	struct loop *loop;
	loop_watch_fn fn;
	void *arg;
	int fd;
	int what;
};

static void
watch_ready(evutil_socket_t fd, short what, void *arg)
{
	struct loop_watch *w = arg;

	(void)loop_now_ms(w->loop); /* here the turn begins */
	w->fn(fd,
	    (what & EV_READ ? LOOP_READ : 0) |
		(what & EV_WRITE ? LOOP_WRITE : 0),
	    w->arg);
}

static void
watch_add(struct loop_watch *w)
{
	short what = EV_PERSIST;

	if (w->what == 0)
		return;
	if (w->what & LOOP_READ)
		what |= EV_READ;
	if (w->what & LOOP_WRITE)
		what |= EV_WRITE;
	MUST(event_assign(&w->ev, w->loop->base, w->fd, what, watch_ready, w) ==
	     0);
	MUST(event_add(&w->ev, NULL) == 0);
}

struct loop_watch *
loop_watch(struct loop *l, int fd, int what, loop_watch_fn fn, void *arg)
{
	struct loop_watch *w = xcalloc(1, sizeof(*w));

	loop_check_owner(l);
	w->loop = l;
	w->fd = fd;
	w->fn = fn;
	w->arg = arg;
	w->what = what;
	watch_add(w);
	return w;
}

void
loop_watch_set(struct loop_watch *w, int what)
{
	loop_check_owner(w->loop);
	if (w->what == what)
		return;
	if (w->what != 0)
		event_del(&w->ev);
	w->what = what;
	watch_add(w);
}

void
loop_watch_free(struct loop_watch *w)
{
	if (w == NULL)
		return;
	loop_watch_set(w, 0);
	free(w);
}
