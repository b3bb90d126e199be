/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/bus_redis.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/counter.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/bus/bus_link.h"
#include "core/bus/bus_remote.h"
#include "core/bus/sentinel.h"
#include "core/bus/wire.h"

/*
 * Topics are spread over 256 channels by their last byte, which is chance; a
 * link subscribes to those that it has readers for.  A channel that nobody
 * reads any more is left some seconds later, at the next look.
 *
 * Redis knows no databases for channels, so the number is part of the names.
 */

#define LOOK_MS 10000
#define ASK_MS 100
#define LARGE (256 * 1024) /* an event that is looked up rather than carried */

/* ---- Names --------------------------------------------------------- */

static struct redis_arg
channel_name(const struct bus_redis *b, unsigned slot, char out[LINK_NAME])
{
	static const char digits[] = "0123456789abcdef";
	size_t len = b->channels_len;

	memcpy(out, b->channels, len);
	out[len++] = digits[slot >> 4 & 15];
	out[len++] = digits[slot & 15];
	return (struct redis_arg){ out, len };
}

static unsigned
slot_of(struct uuid topic)
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

	if (m->frame != NULL && m->frame->len > LARGE)
		m = &small;
	else if (!uuid_is_nil(m->message_id))
		link_keep(l, m);
	wire_write(&b, l->b->process, m);
	args[1] = channel_name(l->b, slot_of(m->topic), channel);
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

/* ---- Subscriptions ------------------------------------------------- */

/* Refused while it is not up: then all are asked for when it is. */
static void
slot_ask(struct bus_link *l, unsigned slot, bool on)
{
	char room[LINK_NAME];
	const struct redis_arg args[] = { REDIS_STR(
					      on ? "SUBSCRIBE" : "UNSUBSCRIBE"),
		channel_name(l->b, slot, room) };

	if (redis_send(l->subscriptions, args, N_ITEMS(args), NULL, NULL))
		l->slots[slot].asked = on;
}

static void
redis_want(struct bus_remote *r, struct uuid topic, bool wanted)
{
	struct bus_redis *b = container_of(r, struct bus_redis, remote);
	struct bus_link *l = bus_link_here(b);
	struct link_slot *s;

	if (l == NULL)
		return;
	s = &l->slots[slot_of(topic)];
	if (!wanted)
		s->n--;
	else if (s->n++ == 0 && !s->asked)
		slot_ask(l, slot_of(topic), true);
}

static void
redis_unread(struct bus_remote *r, struct uuid topic)
{
	live_forget_thread(container_of(r, struct bus_redis, remote)->live,
	    topic);
}

static void
on_sweep(struct loop_timer *t)
{
	struct bus_link *l = container_of(t, struct bus_link, sweep);

	for (unsigned i = 0; i < LINK_SLOTS; i++)
		if ((l->slots[i].n > 0) != l->slots[i].asked)
			slot_ask(l, i, l->slots[i].n > 0);
	link_keep_look(l);
	loop_timer_set(l->loop, t,
	    loop_now_ms(l->loop) + (uint64_t)l->b->look_ms);
}

/* ---- Receiving ----------------------------------------------------- */

static void
mirror(struct bus_link *l, const struct bus_msg *m)
{
	struct json_object *frame = NULL, *delta;

	if (json_parse(m->frame->data, m->frame->len, &frame, NULL) != AS_OK)
		return;
	delta = jget(frame, "delta");
	if (json_object_is_type(delta, json_type_string) &&
	    (size_t)json_object_get_string_len(delta) == m->len)
		live_mirror(l->b->live, m, json_object_get_string(delta),
		    m->len, false);
	json_object_put(frame);
}

/* A message is over; its text is in the log. */
static bool
ends_message(const struct bus_msg *m)
{
	return m->seq > 0 && m->frame != NULL &&
	       (strstr(m->frame->data, "\"type\":\"message_end\"") != NULL ||
		   strstr(m->frame->data, "\"status\":\"end\"") != NULL);
}

/* Of what this process has said itself, most of it, no more is read. */
static void
take_message(struct bus_link *l, const redisReply *data)
{
	struct uuid process, topic;
	struct bus_msg m;

	if (data->type == REDIS_REPLY_STRING &&
	    wire_glance(data->str, data->len, &process, &topic) &&
	    (uuid_equal(process, l->b->process) ||
		!bus_is_wanted(l->b->bus, topic)))
		return;
	if (data->type != REDIS_REPLY_STRING ||
	    !wire_read(data->str, data->len, &process, &m)) {
		counter_add(l->b->refused, 1);
		return;
	}
	counter_add(l->b->received, 1);
	if (m.seq == 0 && !uuid_is_nil(m.message_id) && m.frame != NULL)
		mirror(l, &m);
	bus_deliver(l->b->bus, &m);
	if (ends_message(&m))
		live_forget(l->b->live, m.topic, m.run_id);
	rcbuf_unref(m.frame);
}

/* What was said before the subscription held was not heard here. */
static void
slot_look(struct bus_link *l, const char *channel)
{
	const char *number = strrchr(channel, ':');
	struct bus_msg m = { .look = true };
	struct uuid *topics;
	size_t n;

	if (number == NULL)
		return;
	topics = bus_wanted(l->b->bus, (unsigned)strtoul(number + 1, NULL, 16),
	    &n);
	for (size_t i = 0; i < n; i++) {
		m.topic = topics[i];
		bus_deliver(l->b->bus, &m);
	}
	free(topics);
}

static void
on_push(void *arg, const redisReply *r)
{
	struct bus_link *l = arg;
	const redisReply *kind = r->element[0];

	if (kind->type != REDIS_REPLY_STRING || r->elements != 3 ||
	    r->element[1]->type != REDIS_REPLY_STRING)
		return;
	if (strcmp(kind->str, "message") == 0)
		take_message(l, r->element[2]);
	else if (strcmp(kind->str, "subscribe") == 0)
		slot_look(l, r->element[1]->str);
}

/* ---- Up and down --------------------------------------------------- */

static bool
link_is_up(const struct bus_link *l)
{
	return redis_is_up(l->commands) && redis_is_up(l->subscriptions);
}

/* Since when one of the two is not there. */
static uint64_t
gone_since(const struct bus_link *l)
{
	const struct redis *gone = redis_is_up(l->commands) ? l->subscriptions
							    : l->commands;
	uint64_t ms = redis_gone_ms(gone);

	return ms != 0 ? ms : loop_now_ms(l->loop);
}

static void
link_changed(struct bus_link *l)
{
	bool up = link_is_up(l);

	counter_set(l->up, up ? 1 : 0);
	if (up) {
		if (l->is_lost)
			log_info("bus", "redis is back");
		l->is_lost = false;
		loop_timer_clear(&l->lost);
	} else if (l->lost.at_ms == 0 && !l->is_lost)
		loop_timer_set(l->loop, &l->lost,
		    gone_since(l) + (uint64_t)l->b->grace_ms);
}

static void
on_lost(struct loop_timer *t)
{
	struct bus_link *l = container_of(t, struct bus_link, lost);
	struct bus_mourner *m;

	l->is_lost = true;
	log_err("bus", "redis is lost: %s",
	    redis_is_up(l->commands) ? redis_why(l->subscriptions)
				     : redis_why(l->commands));
	while ((m = l->mourners) != NULL) {
		bus_link_leave(m);
		m->fn(m);
	}
}

static void
on_commands_up(void *arg)
{
	struct bus_link *l = arg;

	link_keep_all(l);
	link_changed(l);
}

static void
on_subscriptions_up(void *arg)
{
	struct bus_link *l = arg;

	for (unsigned i = 0; i < LINK_SLOTS; i++) {
		l->slots[i].asked = false;
		if (l->slots[i].n > 0)
			slot_ask(l, i, true);
	}
	link_changed(l);
}

static void
on_down(void *arg)
{
	link_changed(arg);
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
	b->remote.want = redis_want;
	b->remote.unread = redis_unread;
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

static struct redis *
connection(struct bus_link *l, const struct redis_ops *ops, bool subscribes)
{
	struct redis_config c = { .loop = l->loop,
		.pool = l->b->pool,
		.url = l->b->url,
		.sentinels = l->sentinels,
		.password = l->b->password,
		.hurry_ms = l->b->grace_ms,
		.max_bytes = l->b->max_bytes,
		.max_waiting = l->b->max_waiting,
		.subscribes = subscribes };

	return redis_new(&c, ops, l);
}

static void
on_moved(void *arg)
{
	struct bus_link *l = arg;

	redis_hint(l->commands);
	redis_hint(l->subscriptions);
}

struct bus_link *
bus_link_open(struct bus_redis *b, struct loop *loop)
{
	static const struct redis_ops commands = { .up = on_commands_up,
		.down = on_down };
	static const struct redis_ops subscriptions = {
		.up = on_subscriptions_up,
		.down = on_down,
		.push = on_push
	};
	const struct redis_login login = { b->sentinel_user,
		b->sentinel_password };
	struct bus_link *l = xcalloc(1, sizeof(*l));
	char index[8];
	const char *labels[] = { index };

	l->b = b;
	l->loop = loop;
	if (b->url.n_sentinels > 0)
		l->sentinels = sentinels_new(loop, b->pool, &b->url, &login,
		    on_moved, l);
	l->commands = connection(l, &commands, false);
	l->subscriptions = connection(l, &subscriptions, true);
	l->lost.fn = on_lost;
	l->sweep.fn = on_sweep;
	link_keep_open(l);
	pthread_rwlock_wrlock(&b->lock);
	while (b->links[l->index] != NULL)
		MUST(++l->index < LINKS_MAX);
	b->links[l->index] = l;
	pthread_rwlock_unlock(&b->lock);
	snprintf(index, sizeof(index), "%d", l->index);
	l->up = counter_get(GAUGE, "redis_up",
	    "1 if this loop's link to Redis is up.", "link", labels);
	link_changed(l);
	loop_timer_set(loop, &l->sweep,
	    loop_now_ms(loop) + (uint64_t)b->look_ms);
	return l;
}

void
bus_link_close(struct bus_link *l)
{
	if (l == NULL)
		return;
	MUST(l->mourners == NULL);
	pthread_rwlock_wrlock(&l->b->lock);
	l->b->links[l->index] = NULL;
	pthread_rwlock_unlock(&l->b->lock);
	link_keep_close(l);
	redis_free(l->commands);
	redis_free(l->subscriptions);
	sentinels_free(l->sentinels);
	loop_timer_clear(&l->lost);
	loop_timer_clear(&l->sweep);
	free(l);
}

enum bus_link_state
bus_link_state(const struct bus_link *l)
{
	if (link_is_up(l))
		return BUS_LINK_UP;
	return l->is_lost ? BUS_LINK_LOST : BUS_LINK_CONNECTING;
}

void
bus_link_mourn(struct bus_link *l, struct bus_mourner *m)
{
	m->next = l->mourners;
	if (m->next != NULL)
		m->next->at = &m->next;
	m->at = &l->mourners;
	l->mourners = m;
}

void
bus_link_leave(struct bus_mourner *m)
{
	if (m->at == NULL)
		return;
	*m->at = m->next;
	if (m->next != NULL)
		m->next->at = m->at;
	m->at = NULL;
}
