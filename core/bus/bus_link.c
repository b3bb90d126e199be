/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/bus_link.h"

#include <stdio.h>

#include "core/base/counter.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/bus/sentinel.h"

/*
 * A loop's link to Redis: its two connections, whether they are up, and who is
 * told when they are lost.
 */

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

	link_subscribe_all(l);
	link_changed(l);
}

static void
on_down(void *arg)
{
	link_changed(arg);
}

static void
on_sweep(struct loop_timer *t)
{
	struct bus_link *l = container_of(t, struct bus_link, sweep);

	link_subscribe_look(l);
	link_keep_look(l);
	loop_timer_set(l->loop, t,
	    loop_now_ms(l->loop) + (uint64_t)l->b->look_ms);
}

/* ---- For the node -------------------------------------------------- */

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
		.push = link_on_push
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
