/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/bus_redis.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/counter.h"
#include "core/base/mem.h"
#include "core/bus/bus_link.h"
#include "core/bus/wire.h"

/*
 * What is published here, to the channels of other processes; and what all
 * links of a process have in common.
 *
 * Redis knows no databases for channels, so the number is part of the names.
 */

#define LOOK_MS 10000
#define ASK_MS 100
#define LARGE (256 * 1024) /* an event that is looked up rather than carried */

/* ---- Names --------------------------------------------------------- */

struct redis_arg
link_channel_name(const struct bus_redis *b, unsigned slot, char out[LINK_NAME])
{
	static const char digits[] = "0123456789abcdef";
	size_t len = b->channels_len;

	memcpy(out, b->channels, len);
	out[len++] = digits[slot >> 4 & 15];
	out[len++] = digits[slot & 15];
	return (struct redis_arg){ out, len };
}

unsigned
link_slot_of(struct uuid topic)
{
	return topic.b[15];
}

/* ---- Publishing ---------------------------------------------------- */

static void
link_publish(struct bus_link *l, const struct bus_msg *m)
{
	const struct redis_arg publish = REDIS_STR("PUBLISH");
	struct bus_msg small = { .topic = m->topic, .look = true };
	struct redis_arg args[3] = { publish };
	char channel[LINK_NAME];
	struct buf b = { 0 };
	bool sent;

	if (!uuid_is_nil(m->message_id))
		link_keep(l, m);
	if (m->frame != NULL && m->frame->len > LARGE)
		m = &small;
	wire_write(&b, l->b->process, m);
	args[1] = link_channel_name(l->b, link_slot_of(m->topic), channel);
	args[2] = (struct redis_arg){ b.data, b.len };
	sent = redis_send(l->commands, args, N_ITEMS(args), NULL, NULL);
	counter_add(sent ? l->b->published : l->b->unsent, 1);
	buf_free(&b);
}

/* From a thread without a link: the first one takes it. */
struct parcel {
	struct loop_msg post;
	struct bus_redis *b;
	struct bus_msg msg;
};

struct bus_link *
bus_link_here(struct bus_redis *b)
{
	const struct loop *loop = loop_self();
	struct bus_link *found = NULL;

	pthread_rwlock_rdlock(&b->lock);
	for (int i = 0; i < LINKS_MAX && found == NULL; i++)
		if (b->links[i] != NULL && b->links[i]->loop == loop)
			found = b->links[i];
	pthread_rwlock_unlock(&b->lock);
	return loop != NULL ? found : NULL;
}

static void
on_parcel(struct loop_msg *m)
{
	struct parcel *p = container_of(m, struct parcel, post);
	struct bus_link *l = bus_link_here(p->b);

	if (l != NULL)
		link_publish(l, &p->msg);
	rcbuf_unref(p->msg.frame);
	free(p);
}

static void
parcel_post(struct bus_redis *b, const struct bus_msg *m)
{
	struct parcel *p = xcalloc(1, sizeof(*p));

	p->post.fn = on_parcel;
	p->b = b;
	p->msg = *m;
	if (m->frame != NULL)
		p->msg.frame = rcbuf_ref(m->frame);
	pthread_rwlock_rdlock(&b->lock);
	for (int i = 0; i < LINKS_MAX && p != NULL; i++)
		if (b->links[i] != NULL) {
			loop_post(b->links[i]->loop, &p->post);
			p = NULL;
		}
	pthread_rwlock_unlock(&b->lock);
	if (p != NULL) { /* there is no link yet, or none any more */
		rcbuf_unref(p->msg.frame);
		free(p);
	}
}

void
bus_redis_tell(struct bus_redis *b, const struct bus_msg *m)
{
	struct bus_link *l = bus_link_here(b);

	if (l != NULL)
		link_publish(l, m);
	else
		parcel_post(b, m);
}

static void
redis_publish(struct bus_remote *r, const struct bus_msg *m)
{
	bus_redis_tell(container_of(r, struct bus_redis, remote), m);
}

/* ---- For the node -------------------------------------------------- */

static char *
text_copy(const char *s)
{
	return xstrdup(s != NULL ? s : "");
}

struct bus_redis *
bus_redis_new(struct bus *bus, struct live *live,
    const struct bus_redis_config *config)
{
	struct bus_redis *b = xcalloc(1, sizeof(*b));

	MUST(pthread_rwlock_init(&b->lock, NULL) == 0);
	b->remote.publish = redis_publish;
	b->remote.want = link_want;
	b->remote.unread = link_unread;
	b->bus = bus;
	b->live = live;
	b->process = uuid_v7();
	b->url = config->url;
	b->password = xstrdup(config->password);
	b->sentinel_user = text_copy(config->sentinels.user);
	b->sentinel_password = text_copy(config->sentinels.password);
	b->prefix = xstrdup(config->prefix);
	b->channels_len = (size_t)snprintf(b->channels, sizeof(b->channels),
	    "%s:%d:rt:", b->prefix, b->url.db);
	b->pool = config->pool;
	b->grace_ms = config->grace_ms;
	b->ask_ms = config->ask_ms > 0 ? config->ask_ms : ASK_MS;
	b->look_ms = config->look_ms > 0 ? config->look_ms : LOOK_MS;
	b->max_bytes = config->max_bytes;
	b->max_waiting = config->max_waiting;
	b->published = counter_get(COUNTER, "bus_published_total",
	    "Messages given to Redis for other processes.", NULL, NULL);
	b->received = counter_get(COUNTER, "bus_received_total",
	    "Messages of other processes that had readers here.", NULL, NULL);
	b->unsent = counter_get(COUNTER, "bus_unsent_total",
	    "Messages that Redis was not there for, or too slow to take.", NULL,
	    NULL);
	b->refused = counter_get(COUNTER, "bus_refused_total",
	    "What came from Redis and was no message.", NULL, NULL);
	link_counters(b);
	bus_attach(bus, &b->remote);
	return b;
}

void
bus_redis_free(struct bus_redis *b)
{
	if (b == NULL)
		return;
	for (int i = 0; i < LINKS_MAX; i++)
		MUST(b->links[i] == NULL);
	bus_attach(b->bus, NULL);
	pthread_rwlock_destroy(&b->lock);
	free(b->password);
	free(b->sentinel_user);
	free(b->sentinel_password);
	free(b->prefix);
	free(b);
}
