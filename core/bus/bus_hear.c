/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/counter.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/bus/bus_link.h"
#include "core/bus/wire.h"

/*
 * What other processes say.  Topics are spread over 256 channels by their last
 * byte, which is chance; a link subscribes to those that it has readers for.  A
 * channel that nobody reads any more is left some seconds later, at the next
 * look.
 */

/* ---- Subscriptions ------------------------------------------------- */

/* Refused while it is not up: then all are asked for when it is. */
static void
slot_ask(struct bus_link *l, unsigned slot, bool on)
{
	char room[LINK_NAME];
	const struct redis_arg args[] = { REDIS_STR(
					      on ? "SUBSCRIBE" : "UNSUBSCRIBE"),
		link_channel_name(l->b, slot, room) };

	if (redis_send(l->subscriptions, args, N_ITEMS(args), NULL, NULL))
		l->slots[slot].asked = on;
}

void
link_want(struct bus_remote *r, struct uuid topic, bool wanted)
{
	struct bus_redis *b = container_of(r, struct bus_redis, remote);
	struct bus_link *l = bus_link_here(b);
	struct link_slot *s;

	if (l == NULL)
		return;
	s = &l->slots[link_slot_of(topic)];
	if (!wanted)
		s->n--;
	else if (s->n++ == 0 && !s->asked)
		slot_ask(l, link_slot_of(topic), true);
}

void
link_unread(struct bus_remote *r, struct uuid topic)
{
	live_forget_thread(container_of(r, struct bus_redis, remote)->live,
	    topic);
}

void
link_subscribe_all(struct bus_link *l)
{
	for (unsigned i = 0; i < LINK_SLOTS; i++) {
		l->slots[i].asked = false;
		if (l->slots[i].n > 0)
			slot_ask(l, i, true);
	}
}

void
link_subscribe_look(struct bus_link *l)
{
	for (unsigned i = 0; i < LINK_SLOTS; i++)
		if ((l->slots[i].n > 0) != l->slots[i].asked)
			slot_ask(l, i, l->slots[i].n > 0);
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

void
link_on_push(void *arg, const redisReply *r)
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
