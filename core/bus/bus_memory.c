/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/base/counter.h"
#include "core/base/mem.h"
#include "core/bus/bus.h"
#include "core/bus/bus_remote.h"
#include "core/bus/topics.h"

/*
 * The bus inside one process; a driver for others may be attached to it.
 *
 * Each loop that joined has a port with its own table of subscriptions, which
 * only its thread touches.  The bus keeps, behind a read-write lock, which
 * ports want a topic: publishing to a topic that nobody wants is one look-up.
 * A letter to another loop goes through its mailbox, one to the own loop onto
 * a list that a turn hook delivers, so fn never runs inside bus_publish.
 *
 * A port outlives bus_leave until its last letter is back.
 */

#define MAX_PORTS 64 /* bits of struct want */
#define MAX_LETTERS 65536
#define MAX_BYTES ((size_t)64 * 1024 * 1024)

struct port {
	struct bus *bus; /* NULL after bus_leave */
	struct loop *loop;
	unsigned slot;
	struct topics topics; /* of struct place */
	atomic_size_t n_letters; /* under way */
	atomic_size_t n_bytes;
	struct letter *own; /* published on this loop, oldest first */
	struct letter **own_tail;
	struct loop_hook hook;
};

struct letter {
	struct loop_msg post;
	struct letter *next;
	struct port *port;
	struct bus_msg msg;
};

/* A topic as a loop sees it. */
struct place {
	struct topic topic;
	struct bus_sub *subs; /* newest first */
	unsigned n_live, n_dead;
	bool busy; /* delivering: what is unsubscribed is freed afterwards */
};

struct bus_sub {
	struct bus_sub *next, **at;
	struct port *port;
	struct place *place;
	bus_fn fn; /* NULL: unsubscribed */
	void *arg;
};

/* A topic as the bus sees it. */
struct want {
	struct topic topic;
	uint64_t ports;
};

struct bus {
	pthread_rwlock_t lock;
	struct topics wants;
	struct port *ports[MAX_PORTS];
	struct bus_remote *remote;
	struct counter *dropped;
};

struct bus *
bus_new_memory(void)
{
	struct bus *bus = xcalloc(1, sizeof(*bus));

	MUST(pthread_rwlock_init(&bus->lock, NULL) == 0);
	bus->dropped = counter_get(COUNTER, "bus_dropped_total",
	    "Messages that a loop was too slow to take.", NULL, NULL);
	return bus;
}

void
bus_free(struct bus *bus)
{
	if (bus == NULL)
		return;
	for (unsigned i = 0; i < MAX_PORTS; i++)
		MUST(bus->ports[i] == NULL);
	topics_fini(&bus->wants);
	pthread_rwlock_destroy(&bus->lock);
	free(bus);
}

/* ---- Letters ------------------------------------------------------- */

static void
port_release(struct port *p)
{
	if (p->bus == NULL && atomic_load(&p->n_letters) == 0)
		free(p);
}

static void
sub_free(struct bus_sub *s)
{
	*s->at = s->next;
	if (s->next != NULL)
		s->next->at = s->at;
	free(s);
}

/* Many may read a topic, and leave it together: nothing here looks for one. */
static void
place_tidy(struct port *p, struct place *pl)
{
	struct bus_sub *s, *next;

	for (s = pl->n_dead > 0 ? pl->subs : NULL; s != NULL; s = next) {
		next = s->next;
		if (s->fn == NULL)
			sub_free(s);
	}
	pl->n_dead = 0;
	if (pl->subs != NULL)
		return;
	topics_remove(&p->topics, &pl->topic);
	free(pl);
}

/* One that fn subscribes goes to the head: it does not get this message. */
static void
port_deliver(struct port *p, const struct bus_msg *m)
{
	struct place *pl = (struct place *)topics_get(&p->topics, m->topic);
	struct bus_sub *s;

	if (pl == NULL)
		return;
	pl->busy = true;
	for (s = pl->subs; s != NULL; s = s->next)
		if (s->fn != NULL)
			s->fn(m, s->arg);
	pl->busy = false;
	place_tidy(p, pl);
}

static size_t
letter_size(const struct letter *l)
{
	return sizeof(*l) + (l->msg.frame != NULL ? l->msg.frame->len : 0);
}

/* The port may be gone afterwards. */
static void
letter_end(struct letter *l)
{
	struct port *p = l->port;

	atomic_fetch_sub(&p->n_bytes, letter_size(l));
	atomic_fetch_sub(&p->n_letters, 1);
	rcbuf_unref(l->msg.frame);
	free(l);
	port_release(p);
}

static void
letter_arrived(struct loop_msg *m)
{
	struct letter *l = container_of(m, struct letter, post);

	if (l->port->bus != NULL)
		port_deliver(l->port, &l->msg);
	letter_end(l);
}

static void
port_turn(struct loop_hook *h)
{
	struct port *p = container_of(h, struct port, hook);
	struct letter *l = p->own, *next;

	p->own = NULL;
	p->own_tail = &p->own;
	for (; l != NULL; l = next) {
		next = l->next;
		letter_arrived(&l->post);
	}
}

static void
port_send(struct port *p, const struct bus_msg *m)
{
	struct letter *l = xcalloc(1, sizeof(*l));
	size_t n, bytes;

	l->port = p;
	l->msg = *m;
	l->post.fn = letter_arrived;
	n = atomic_fetch_add(&p->n_letters, 1);
	bytes = atomic_fetch_add(&p->n_bytes, letter_size(l));
	if (n >= MAX_LETTERS || bytes >= MAX_BYTES) {
		atomic_fetch_sub(&p->n_bytes, letter_size(l));
		atomic_fetch_sub(&p->n_letters, 1);
		counter_add(p->bus->dropped, 1);
		free(l);
		return;
	}
	if (m->frame != NULL)
		l->msg.frame = rcbuf_ref(m->frame);
	if (p->loop != loop_self()) {
		loop_post(p->loop, &l->post);
		return;
	}
	*p->own_tail = l;
	p->own_tail = &l->next;
	loop_at_turn_end(p->loop, &p->hook);
}

void
bus_publish(struct bus *bus, const struct bus_msg *m)
{
	struct want *w;
	uint64_t ports;

	pthread_rwlock_rdlock(&bus->lock);
	w = (struct want *)topics_get(&bus->wants, m->topic);
	for (ports = w != NULL ? w->ports : 0; ports != 0; ports &= ports - 1)
		port_send(bus->ports[__builtin_ctzll(ports)], m);
	pthread_rwlock_unlock(&bus->lock);
	if (bus->remote != NULL)
		bus->remote->publish(bus->remote, m);
}

/* ---- Loops and subscriptions --------------------------------------- */

static struct port *
bus_port(struct bus *bus, const struct loop *loop)
{
	struct port *p = NULL;

	pthread_rwlock_rdlock(&bus->lock);
	for (unsigned i = 0; i < MAX_PORTS && p == NULL; i++)
		if (bus->ports[i] != NULL && bus->ports[i]->loop == loop)
			p = bus->ports[i];
	pthread_rwlock_unlock(&bus->lock);
	return p;
}

void
bus_join(struct bus *bus, struct loop *loop)
{
	struct port *p = xcalloc(1, sizeof(*p));

	MUST(loop != NULL && bus_port(bus, loop) == NULL);
	p->bus = bus;
	p->loop = loop;
	p->own_tail = &p->own;
	p->hook.fn = port_turn;
	pthread_rwlock_wrlock(&bus->lock);
	while (bus->ports[p->slot] != NULL)
		MUST(++p->slot < MAX_PORTS);
	bus->ports[p->slot] = p;
	pthread_rwlock_unlock(&bus->lock);
}

void
bus_leave(struct bus *bus, struct loop *loop)
{
	struct port *p = bus_port(bus, loop);
	struct letter *l;

	if (p == NULL)
		return;
	topics_fini(&p->topics); /* all have unsubscribed */
	pthread_rwlock_wrlock(&bus->lock);
	bus->ports[p->slot] = NULL;
	pthread_rwlock_unlock(&bus->lock);
	while ((l = p->own) != NULL) {
		p->own = l->next;
		letter_end(l);
	}
	p->own_tail = &p->own;
	loop_hook_clear(loop, &p->hook);
	p->bus = NULL;
	port_release(p);
}

static void
bus_want(struct port *p, struct uuid id)
{
	struct bus *bus = p->bus;
	struct want *w;

	pthread_rwlock_wrlock(&bus->lock);
	if ((w = (struct want *)topics_get(&bus->wants, id)) == NULL) {
		w = xcalloc(1, sizeof(*w));
		w->topic.id = id;
		topics_add(&bus->wants, &w->topic);
	}
	w->ports |= UINT64_C(1) << p->slot;
	pthread_rwlock_unlock(&bus->lock);
}

static void
bus_unwant(struct port *p, struct uuid id)
{
	struct bus *bus = p->bus;
	struct want *w;

	pthread_rwlock_wrlock(&bus->lock);
	w = (struct want *)topics_get(&bus->wants, id);
	MUST(w != NULL);
	w->ports &= ~(UINT64_C(1) << p->slot);
	if (w->ports == 0) {
		topics_remove(&bus->wants, &w->topic);
		free(w);
		if (bus->remote != NULL)
			bus->remote->unread(bus->remote, id);
	}
	pthread_rwlock_unlock(&bus->lock);
}

struct bus_sub *
bus_subscribe(struct bus *bus, struct uuid topic, bus_fn fn, void *arg)
{
	struct port *p = bus_port(bus, loop_self());
	struct bus_sub *s = xcalloc(1, sizeof(*s));
	struct place *pl;

	MUST(p != NULL && fn != NULL);
	if ((pl = (struct place *)topics_get(&p->topics, topic)) == NULL) {
		pl = xcalloc(1, sizeof(*pl));
		pl->topic.id = topic;
		topics_add(&p->topics, &pl->topic);
	}
	s->port = p;
	s->place = pl;
	s->fn = fn;
	s->arg = arg;
	s->next = pl->subs;
	if (s->next != NULL)
		s->next->at = &s->next;
	s->at = &pl->subs;
	pl->subs = s;
	if (pl->n_live++ == 0) {
		bus_want(p, topic);
		if (bus->remote != NULL)
			bus->remote->want(bus->remote, topic, true);
	}
	return s;
}

void
bus_unsubscribe(struct bus_sub *s)
{
	struct bus *bus;
	struct port *p;
	struct place *pl;

	if (s == NULL)
		return;
	pl = s->place;
	p = s->port;
	MUST(s->fn != NULL);
	s->fn = NULL;
	bus = p->bus;
	if (pl->busy)
		pl->n_dead++;
	else
		sub_free(s);
	if (--pl->n_live > 0)
		return;
	bus_unwant(p, pl->topic.id);
	if (bus->remote != NULL)
		bus->remote->want(bus->remote, pl->topic.id, false);
	if (!pl->busy)
		place_tidy(p, pl);
}

/* ---- For a driver -------------------------------------------------- */

void
bus_attach(struct bus *bus, struct bus_remote *r)
{
	bus->remote = r;
}

bool
bus_is_wanted(struct bus *bus, struct uuid topic)
{
	struct port *p = bus_port(bus, loop_self());

	return p != NULL && topics_get(&p->topics, topic) != NULL;
}

struct uuid *
bus_wanted(struct bus *bus, unsigned last, size_t *n)
{
	struct port *p = bus_port(bus, loop_self());
	struct uuid *ids = NULL;
	struct topic *t;
	size_t cap = 0;

	*n = 0;
	for (size_t i = 0; p != NULL && i < p->topics.n_buckets; i++)
		for (t = p->topics.buckets[i]; t != NULL; t = t->next) {
			if (t->id.b[15] != last)
				continue;
			if (*n == cap) {
				cap = cap != 0 ? 2 * cap : 16;
				ids = xrealloc(ids, cap * sizeof(*ids));
			}
			ids[(*n)++] = t->id;
		}
	return ids;
}

void
bus_deliver(struct bus *bus, const struct bus_msg *m)
{
	struct port *p = bus_port(bus, loop_self());

	if (p != NULL)
		port_deliver(p, m);
}
