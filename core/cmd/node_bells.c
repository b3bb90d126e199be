/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/node_impl.h"

#include <string.h>

#include "core/api/bells.h"
#include "core/api/chat_ctx.h"
#include "core/base/log.h"
#include "core/bus/breaker_redis.h"
#include "core/bus/bus_redis.h"
#include "core/hook/rate.h"

/*
 * Redis, if there is one: the bus to other processes, and the bells that they
 * ring.  Only who executes runs listens to those.
 */

#define QUEUE_BYTES ((size_t)16 * 1024 * 1024)

void
node_redis_make(struct node *n)
{
	const struct redis_settings *s = &n->p.settings->redis;
	struct bus_redis_config c = { .password = s->password,
		.sentinels = { s->sentinel_user, s->sentinel_password },
		.prefix = s->prefix,
		.pool = n->pool,
		.grace_ms = s->lost_after,
		.max_bytes = QUEUE_BYTES };

	if (s->url[0] == '\0') {
		log_info("serve", "realtime: in_memory; what other processes "
				  "do is seen within a second");
		return;
	}
	/* The settings have been checked. */
	(void)redis_url_parse(s->url, &c.url, NULL);
	n->redis = bus_redis_new(n->bus, n->live, &c);
	hook_rates_share(n->hook_rates, n->redis);
	n->breaker_redis = breaker_redis_new(n->redis, n->bus, n->breakers);
}

static void
on_work(const struct bus_msg *m, void *arg)
{
	(void)m;
	node_ring(arg);
}

static void
on_cancel(const struct bus_msg *m, void *arg)
{
	struct node *n = arg;

	if (!m->look)
		cancel_notify_here(&node_first(n)->app, m->run_id);
}

void
node_bells_start(struct node *n)
{
	if (n->redis == NULL || !n->executes)
		return;
	n->work_bell = bus_subscribe(n->bus, bell_work_topic, on_work, n);
	n->cancel_bell = bus_subscribe(n->bus, bell_cancel_topic, on_cancel, n);
	breaker_redis_listen(n->breaker_redis, node_first(n)->app.loop);
}

void
node_bells_stop(struct node *n)
{
	bus_unsubscribe(n->work_bell);
	bus_unsubscribe(n->cancel_bell);
	n->work_bell = n->cancel_bell = NULL;
	if (n->breaker_redis != NULL)
		breaker_redis_deafen(n->breaker_redis);
}

void
node_bells_ring(struct node *n)
{
	struct bus_msg m = { .topic = bell_work_topic };

	if (n->redis != NULL)
		bus_redis_tell(n->redis, &m);
}
