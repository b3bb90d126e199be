/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/node_impl.h"

#include "core/api/seats.h"
#include "core/base/clock.h"
#include "core/bus/bus_redis.h"
#include "core/chat/access.h"
#include "core/chat/queue.h"
#include "core/chat/stream_poll.h"
#include "core/hook/sender.h"
#include "core/inbox/watch.h"
#include "core/run/engine.h"

/*
 * What one loop owns: its store, HTTP client, engine and listener.
 */

static const char *const *
list_items(struct arena *a, const struct as_list *list)
{
	const char **out = arena_alloc(a, (list->n + 1) * sizeof(*out));

	for (size_t i = 0; i < list->n; i++)
		out[i] = list->items[i];
	return out;
}

void
node_lists_make(struct node *n)
{
	const struct server_settings *s = &n->p.settings->server;

	n->trusted_proxies = list_items(n->env.arena, &s->trusted_proxies);
	n->allowed_origins = list_items(n->env.arena, &s->allowed_origins);
	n->webhook_allow = list_items(n->env.arena,
	    &n->p.settings->webhooks.allow);
}

static struct queue *
queue_make(struct node *n, struct app *app)
{
	const struct queue_settings *s = &n->p.settings->queue;
	struct queue_config c = { .loop = app->loop,
		.store = app->store,
		.max_tenant = s->max_tenant,
		.max = s->max };

	return queue_new(&c);
}

static void
slot_used(void *arg, struct uuid agent_id, int class, int64_t ms)
{
	queue_learn(arg, agent_id, class, ms);
}

void
node_loop_make(struct node *n, struct node_loop *l)
{
	struct app *app = &l->app;

	l->node = n;
	node_ring_make(l);
	app->loop = loop_new();
	app->store = store_new(n->p.db, app->loop);
	app->runs = run_store_new(app->store);
	app->poll = stream_poll_new(app->loop, app->store);
	app->access = access_new(app->loop, app->store);
	app->queue = queue_make(n, app);
	app->http = http_client_new(app->loop);
	app->auth = n->p.auth;
	app->bus = n->bus;
	app->live = n->live;
	app->seats = n->seats;
	app->strikes = n->strikes;
	app->pool = n->pool;
	app->api = n->p.api;
	app->seal = n->p.seal;
	app->hook_rates = n->hook_rates;
	app->routes = n->p.api != NULL ? n->p.api->routes : NULL;
	app->settings = n->p.settings;
	app->all = n->apps;
	app->started_us = clock_wall_us();
	bus_join(n->bus, app->loop);
	app->inbox = inbox_watch_new(app->loop, app->store, app->bus);
}

static void
engine_make(struct node *n, struct app *app)
{
	const struct settings *s = n->p.settings;
	const struct queue_settings *q = &s->queue;
	int64_t slots = (s->worker.slots + n->n_loops - 1) / n->n_loops;
	struct engine_config c = {
		.loop = app->loop,
		.runs = app->runs,
		.world = app->world,
		.bus = n->bus,
		.live = n->live,
		.breakers = n->breakers,
		.desk = n->desk,
		.env = node_env_engine(&n->env),
		.slot_used = slot_used,
		.slot_arg = app->queue,
		.epoch = n->executes ? n->epoch : 0,
		.limits = {
		    .max_steps = s->runs.max_steps,
		    .max_tokens = s->runs.max_tokens,
		    .max_cost_micros = (int64_t)(s->runs.max_cost * 1e6),
		    .prices = &s->models.prices,
		    .model_tries = s->models.tries,
		    .windows = &s->models.windows,
		    .max_wall_ms = s->runs.max_wall,
		    .ambient_steps = s->runs.ambient_steps,
		    .ambient_wall_ms = s->runs.ambient_wall,
		    .ambient_patience_ms = s->runs.ambient_patience,
		    .call_timeout_ms = s->models.call_timeout,
		    .tool_timeout_ms = s->runs.tool_timeout,
		    .parallel_tools = (int)s->runs.parallel_tools,
		    .subagents = (int)s->runs.subagents,
		    .subagent_depth = (int)s->runs.subagent_depth,
		    .max_output = (size_t)s->runs.max_output,
		    .compact_percent = s->runs.compact_percent,
		    .slots = (int)slots,
		    .reserved = (int)(slots * q->reserved / 100),
		    .weight = { q->weight_priority, q->weight_standard,
			q->weight_bulk },
		    .promote_us = { 0, q->promote_standard * 1000,
			q->promote_bulk * 1000 },
		},
	};

	app->engine = engine_new(&c);
}

static enum as_status
listen_here(struct node *n, struct app *app, struct error *err)
{
	const struct server_settings *s = &n->p.settings->server;
	struct http_server_config c = {
		.host = n->p.host,
		.listen_fd = n->p.listen_fd,
		.port = n->port != 0 ? n->port : (uint16_t)s->port,
		.share_port = n->n_loops > 1,
		.join_port = app != &node_first(n)->app,
		.max_connections = (unsigned)((s->max_connections + n->n_loops -
						  1) /
					      n->n_loops),
		.max_body = (size_t)s->max_body,
		.header_timeout_ms = s->header_timeout,
		.body_timeout_ms = s->body_timeout,
		.idle_timeout_ms = s->idle_timeout,
		.request_timeout_ms = s->request_timeout,
		.trusted_proxies = n->trusted_proxies,
		.allowed_origins = n->allowed_origins,
		.public_url = s->public_url[0] != '\0' ? s->public_url : NULL,
		.ws_max_message = (size_t)s->ws_max_message,
	};

	return http_server_new(app->loop, &c, app->routes, &api_hooks, app,
	    &app->server, err);
}

static void
sender_make(struct node *n, struct app *app)
{
	const struct webhook_settings *s = &n->p.settings->webhooks;
	struct engine_env env = node_env_engine(&n->env);
	struct hook_sender_config c = {
		.loop = app->loop,
		.store = app->store,
		.http = app->http,
		.seal = n->p.seal,
		.allow = n->webhook_allow,
		.tries = s->tries,
		.retry_ms = s->retry,
		.timeout_ms = s->timeout,
		.poll_ms = s->poll,
		.keep_ms = s->keep,
		.parallel = (int)s->parallel,
		.arg = env.arg,
		.wall_us = env.wall_us,
		.random = env.random,
	};

	n->sender = hook_sender_start(&c);
}

void
node_loop_serve(struct node *n, struct node_loop *l)
{
	struct error err = { 0 };

	l->app.redis = n->redis;
	if (n->redis != NULL)
		l->app.link = bus_link_open(n->redis, l->app.loop);
	engine_make(n, &l->app);
	if (l == node_first(n) && n->p.seal != NULL)
		sender_make(n, &l->app);
	node_pulse_start(l);
	l->gauges = api_gauges_start(&l->app, (int)(l - n->loops));
	if (n->p.api == NULL) {
		if (l == node_first(n) &&
		    node_metrics_listen(n, &err) != AS_OK) {
			node_fail(n, "listener", &err);
			l->failed = true;
		}
		return;
	}
	if (listen_here(n, &l->app, &err) != AS_OK) {
		node_fail(n, "listener", &err);
		l->failed = true;
		return;
	}
	if (l == node_first(n))
		n->port = http_server_port(l->app.server);
}

void
node_loop_unmake(struct node *n, struct node_loop *l)
{
	struct app *app = &l->app;

	loop_drain(app->loop);
	http_server_free(app->server);
	loop_drain(app->loop);
	if (l == node_first(n))
		hook_sender_free(n->sender);
	engine_free(app->engine);
	world_free(app->world);
	http_client_free(app->http);
	inbox_watch_free(app->inbox);
	bus_link_close(app->link);
	bus_leave(n->bus, app->loop);
	if (app->plug != NULL)
		plug_leave(app->plug, app->loop);
	stream_poll_free(app->poll);
	access_free(app->access);
	queue_free(app->queue);
	run_store_free(app->runs);
	store_free(app->store);
	loop_free(app->loop);
}
