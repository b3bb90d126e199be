/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/node.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/api/seats.h"
#include "core/auth/auth.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/bus/live.h"
#include "core/cmd/node_env.h"
#include "core/cmd/options.h"
#include "core/run/engine.h"
#include "core/store/kv.h"

/*
 * Start: every loop runs on its thread and opens its store; the first one
 * takes an epoch, brings back what dead processes held, starts the plugins,
 * and then tells the others to listen.  Stop, in reverse: no new work, runs
 * handed back, epoch given up, sockets closed, loops drained.
 */

#define OTHERS_POLL_MS 10
#define NO_FIBER_MS 100

struct node_loop {
	struct node *node;
	struct app app;
	struct api_gauges *gauges;
	struct loop_msg start, stop;
	pthread_t thread;
	bool failed;
};

struct node {
	struct node_parts p;
	struct node_env env;
	struct plug *plug;
	struct bus *bus;
	struct live *live;
	struct breakers *breakers;
	struct seats *seats;
	struct pool *pool;
	struct node_loop *loops;
	struct app **apps; /* NULL-terminated */
	const char *const *trusted_proxies; /* NULL-terminated, as the next */
	const char *const *allowed_origins;
	struct loop_watch *signals;
	struct loop_timer beat, reap, claim;
	int n_loops;
	atomic_int n_others; /* threads of other loops than the first */
	bool others_stop;
	int64_t epoch;
	uint16_t port;
	int signal_fd;
	struct fiber_ref start;
	bool stopping, started;
	bool left; /* the epoch is given up */
	int exit_code;
};

static struct node_loop *
first(struct node *n)
{
	return &n->loops[0];
}

static void
node_fail(struct node *n, const char *what, struct error *err)
{
	log_err("serve", "%s: %s", what, err->detail);
	fprintf(stderr, "agent-studio: %s: %s\n", what, err->detail);
	error_clear(err);
	n->exit_code = 1;
}

/* ---- Services for plugins ------------------------------------------ */

static struct app *
app_here(struct node *n)
{
	for (int i = 0; i < n->n_loops; i++)
		if (n->loops[i].app.loop == loop_self())
			return &n->loops[i].app;
	return NULL;
}

static struct http_client *
service_http(void *arg, struct loop *loop)
{
	struct node *n = arg;

	for (int i = 0; i < n->n_loops; i++)
		if (n->loops[i].app.loop == loop)
			return n->loops[i].app.http;
	return NULL;
}

static SUSPENDS enum as_status
service_kv_get(void *arg, const char *plugin, int scope, const char *owner,
    const char *key, struct json_object **out, int64_t *version,
    struct error *err)
{
	struct kv_key k = { plugin, scope, owner, key };

	return kv_get(app_here(arg)->store, &k, out, version, err);
}

static SUSPENDS enum as_status
service_kv_put(void *arg, const char *plugin, int scope, const char *owner,
    const char *key, struct json_object *value, int64_t ttl_ms,
    int64_t if_version, struct error *err)
{
	struct kv_key k = { plugin, scope, owner, key };

	return kv_put(app_here(arg)->store, &k, value, ttl_ms, if_version, err);
}

/* ---- Heartbeat, reaper, claims; all from the first loop ------------ */

static int64_t
lease_us(const struct node *n)
{
	return n->p.settings->worker.lease * 1000;
}

static uint64_t
beat_ms(const struct node *n)
{
	return (uint64_t)n->p.settings->worker.beat;
}

static SUSPENDS void
beat_fiber(void *arg)
{
	struct node *n = arg;
	struct app *app = &first(n)->app;
	struct error err = { 0 };

	fiber_deadline_set(
	    loop_now_ms(app->loop) + (uint64_t)lease_us(n) / 1000);
	if (run_store_node_renew(app->runs, n->epoch, lease_us(n), &err) ==
		AS_CONFLICT &&
	    !n->left) {
		/* Others own our runs now; a new process takes a new epoch. */
		log_err("serve", "%s; this process ends", err.detail);
		_exit(1);
	}
	error_clear(&err);
	node_env_tune(&n->env, app->store);
	if (!n->left)
		loop_timer_set(app->loop, &n->beat,
		    loop_now_ms(app->loop) + beat_ms(n));
}

/* A run ends at its limit of time; the margin is for its last commit. */
static int64_t
max_age_us(const struct node *n)
{
	return (n->p.settings->runs.max_wall + 120000) * 1000;
}

static SUSPENDS void
reap_fiber(void *arg)
{
	struct node *n = arg;
	struct app *app = &first(n)->app;
	int freed = 0;

	fiber_deadline_set(loop_now_ms(app->loop) + 10000);
	if (run_store_reap(app->runs, n->epoch, false, max_age_us(n), &freed,
		NULL) == AS_OK &&
	    freed > 0)
		log_warn("serve", "%d runs of dead processes are taken over",
		    freed);
	if (!n->stopping)
		loop_timer_set(app->loop, &n->reap,
		    loop_now_ms(app->loop) + beat_ms(n) / 2);
}

static SUSPENDS void
claim_fiber(void *arg)
{
	struct node *n = arg;
	struct app *app = &first(n)->app;

	fiber_deadline_set(loop_now_ms(app->loop) + 10000);
	engine_claim(app->engine);
	if (!n->stopping)
		loop_timer_set(app->loop, &n->claim,
		    loop_now_ms(app->loop) +
			(uint64_t)n->p.settings->worker.poll);
}

/* The fiber sets the timer again; without one the timer tries once more. */
static void
spawn_or_wait(struct node *n, struct loop_timer *t, const char *name,
    fiber_fn fn)
{
	struct loop *loop = first(n)->app.loop;

	if (fiber_spawn(loop, name, fn, n).f != NULL)
		return;
	log_err("serve", "no fiber for %s", name);
	loop_timer_set(loop, t, loop_now_ms(loop) + NO_FIBER_MS);
}

static void
on_beat(struct loop_timer *t)
{
	spawn_or_wait(container_of(t, struct node, beat), t, "heartbeat",
	    beat_fiber);
}

static void
on_reap(struct loop_timer *t)
{
	spawn_or_wait(container_of(t, struct node, reap), t, "reaper",
	    reap_fiber);
}

static void
on_claim(struct loop_timer *t)
{
	spawn_or_wait(container_of(t, struct node, claim), t, "claim",
	    claim_fiber);
}

static void
timers_start(struct node *n)
{
	struct loop *loop = first(n)->app.loop;
	uint64_t now = loop_now_ms(loop);

	n->beat.fn = on_beat;
	n->reap.fn = on_reap;
	n->claim.fn = on_claim;
	loop_timer_set(loop, &n->beat, now + beat_ms(n));
	loop_timer_set(loop, &n->reap, now + beat_ms(n) / 2);
	if (n->p.settings->worker.embedded)
		loop_timer_set(loop, &n->claim, now + 1);
}

/* ---- One loop's own parts ------------------------------------------ */

static void
engine_make(struct node *n, struct app *app)
{
	const struct settings *s = n->p.settings;
	struct engine_config c = {
		.loop = app->loop,
		.runs = app->runs,
		.world = app->world,
		.bus = n->bus,
		.live = n->live,
		.breakers = n->breakers,
		.env = node_env_engine(&n->env),
		.epoch = s->worker.embedded ? n->epoch : 0,
		.limits = {
		    .max_steps = s->runs.max_steps,
		    .max_tokens = s->runs.max_tokens,
		    .max_cost_micros = (int64_t)(s->runs.max_cost * 1e6),
		    .prices = &s->models.prices,
		    .model_tries = s->models.tries,
		    .max_wall_ms = s->runs.max_wall,
		    .call_timeout_ms = s->models.call_timeout,
		    .tool_timeout_ms = s->runs.tool_timeout,
		    .parallel_tools = (int)s->runs.parallel_tools,
		    .max_output = (size_t)s->runs.max_output,
		    .slots = (int)((s->worker.slots + n->n_loops - 1) /
				   n->n_loops),
		},
	};

	app->engine = engine_new(&c);
}

static enum as_status
listen_here(struct node *n, struct app *app, struct error *err)
{
	const struct server_settings *s = &n->p.settings->server;
	struct http_server_config c = {
		.host = s->host,
		.port = n->port != 0 ? n->port : (uint16_t)s->port,
		.share_port = n->n_loops > 1,
		.join_port = app != &first(n)->app,
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

/* On the loop's thread, once the epoch is known and the plugins run. */
static void
loop_serve(struct node *n, struct node_loop *l)
{
	struct error err = { 0 };

	engine_make(n, &l->app);
	if (listen_here(n, &l->app, &err) != AS_OK) {
		node_fail(n, "listener", &err);
		l->failed = true;
		return;
	}
	l->gauges = api_gauges_start(&l->app, (int)(l - n->loops));
}

static void
on_start_msg(struct loop_msg *m)
{
	struct node_loop *l = container_of(m, struct node_loop, start);

	loop_serve(l->node, l);
	if (l->failed) /* the first loop ends them all */
		kill(getpid(), SIGTERM);
}

static void
loop_make(struct node *n, struct node_loop *l)
{
	struct app *app = &l->app;

	l->node = n;
	app->loop = loop_new();
	app->store = store_new(n->p.db, app->loop);
	app->runs = run_store_new(app->store);
	app->http = http_client_new(app->loop);
	app->auth = n->p.auth;
	app->bus = n->bus;
	app->live = n->live;
	app->seats = n->seats;
	app->pool = n->pool;
	app->api = n->p.api;
	app->routes = n->p.api->routes;
	app->settings = n->p.settings;
	app->all = n->apps;
	app->started_us = clock_wall_us();
	bus_join(n->bus, app->loop);
}

/* ---- Start --------------------------------------------------------- */

static void
print_listening(struct node *n)
{
	const char *host = n->p.settings->server.host;
	bool any = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;

	printf("listening on http://%s:%u\n", any ? "127.0.0.1" : host,
	    n->port);
	fflush(stdout);
}

static void
print_model(struct node *n)
{
	const char *wanted = n->p.settings->models.fallback;
	char model[512];

	if (plug_model_resolve(n->plug, NULL, model, sizeof(model))) {
		printf("model: %s\n", model);
		return;
	}
	printf("model: none\n");
	log_warn("serve",
	    "no model answers agents that name none: models.default is '%s', "
	    "and no enabled plugin has it; see agent-studio plugin list",
	    wanted);
}

static void
print_what_runs(struct node *n)
{
	struct json_object *list = plug_list(n->plug), *o;
	const char *state;

	printf("data folder: %s\n", n->p.settings->data_dir);
	print_model(n);
	printf("plugins:");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		o = json_object_array_get_idx(list, i);
		state = jget_str(o, "state", "");
		if (strcmp(state, "disabled") == 0)
			continue;
		printf(" %s", jget_str(o, "name", ""));
		if (strcmp(state, "serving") != 0)
			printf(" (%s)", state);
	}
	printf("\n");
	json_object_put(list);
}

static SUSPENDS enum as_status
epoch_take(struct node *n, struct error *err)
{
	struct run_store *runs = first(n)->app.runs;
	bool alone = store_db_dialect(n->p.db) == STORE_SQLITE;
	char name[128] = "node";
	int freed = 0;
	enum as_status st;

	gethostname(name, sizeof(name) - 1);
	st = run_store_node_join(runs, name, PACKAGE_VERSION, lease_us(n),
	    &n->epoch, err);
	if (st == AS_OK)
		st = run_store_reap(runs, n->epoch, alone, max_age_us(n),
		    &freed, err);
	if (freed > 0)
		log_info("serve", "%d runs go on", freed);
	return st;
}

static void shutdown_begin(struct node *n);

/* A signal cancels it; what was started by then is stopped in order. */
static SUSPENDS void
start_fiber(void *arg)
{
	struct node *n = arg;
	struct error err = { 0 };

	fiber_deadline_set(loop_now_ms(first(n)->app.loop) + 60000);
	if (epoch_take(n, &err) != AS_OK) {
		if (!n->stopping)
			node_fail(n, "cannot join the database", &err);
		error_clear(&err);
		loop_stop(first(n)->app.loop);
		return;
	}
	node_env_tune(&n->env, first(n)->app.store);
	if (!n->stopping)
		plug_start(n->plug);
	if (!n->stopping)
		loop_serve(n, first(n));
	if (n->stopping || first(n)->failed) {
		shutdown_begin(n);
		return;
	}
	n->port = http_server_port(first(n)->app.server);
	for (int i = 1; i < n->n_loops; i++) {
		n->loops[i].start.fn = on_start_msg;
		loop_post(n->loops[i].app.loop, &n->loops[i].start);
	}
	timers_start(n);
	n->started = true;
	print_what_runs(n);
	print_listening(n);
}

/* ---- Stop ---------------------------------------------------------- */

static SUSPENDS void
loop_finish(struct node *n, struct node_loop *l)
{
	struct app *app = &l->app;
	uint64_t until = loop_now_ms(app->loop) +
			 (uint64_t)n->p.settings->server.drain_timeout;

	app->draining = true;
	if (app->server != NULL)
		http_server_drain(app->server);
	if (app->engine != NULL)
		engine_drain(app->engine, until);
}

static SUSPENDS void
stop_fiber(void *arg)
{
	struct node_loop *l = arg;

	loop_finish(l->node, l);
	loop_stop(l->app.loop);
}

static void
on_stop_msg(struct loop_msg *m)
{
	struct node_loop *l = container_of(m, struct node_loop, stop);

	if (fiber_spawn(l->app.loop, "stop", stop_fiber, l).f == NULL)
		loop_stop(l->app.loop);
}

static void
others_stop(struct node *n)
{
	if (n->others_stop)
		return;
	n->others_stop = true;
	for (int i = 1; i < n->n_loops; i++) {
		n->loops[i].stop.fn = on_stop_msg;
		loop_post(n->loops[i].app.loop, &n->loops[i].stop);
	}
}

/*
 * The others may need this loop until they have ended: it must not block.  The
 * heart beats for as long as runs are being handed back, and a beat under way
 * that comes after the last one finds no lease, which then means nothing.
 */
static SUSPENDS void
shutdown_fiber(void *arg)
{
	struct node *n = arg;
	struct node_loop *l = first(n);

	others_stop(n);
	loop_finish(n, l);
	while (atomic_load(&n->n_others) > 0 &&
	       fiber_sleep(OTHERS_POLL_MS) == FIBER_WOKEN)
		continue;
	loop_timer_clear(&n->reap);
	loop_timer_clear(&n->claim);
	fiber_deadline_set(loop_now_ms(l->app.loop) + 5000);
	plug_stop(n->plug);
	n->left = true;
	loop_timer_clear(&n->beat);
	(void)run_store_node_leave(l->app.runs, n->epoch, NULL);
	loop_stop(l->app.loop);
}

static void
shutdown_begin(struct node *n)
{
	if (fiber_spawn(first(n)->app.loop, "shutdown", shutdown_fiber, n).f ==
	    NULL)
		loop_stop(first(n)->app.loop);
}

static void
on_signal(int fd, int what, void *arg)
{
	struct node *n = arg;
	struct signalfd_siginfo si;

	(void)what;
	if (read(fd, &si, sizeof(si)) != sizeof(si) || n->stopping)
		return;
	n->stopping = true;
	log_info("serve", "signal %u: stopping", si.ssi_signo);
	if (n->started)
		shutdown_begin(n);
	else
		fiber_cancel(n->start);
}

/* When no loop runs any more, and the pool has ended: nobody posts. */
static void
loop_unmake(struct node *n, struct node_loop *l)
{
	struct app *app = &l->app;

	loop_drain(app->loop);
	http_server_free(app->server);
	loop_drain(app->loop);
	engine_free(app->engine);
	world_free(app->world);
	http_client_free(app->http);
	bus_leave(n->bus, app->loop);
	run_store_free(app->runs);
	store_free(app->store);
	loop_free(app->loop);
}

/* ---- The process --------------------------------------------------- */

static void *
loop_thread(void *arg)
{
	struct node_loop *l = arg;

	loop_run(l->app.loop);
	api_gauges_stop(l->gauges);
	loop_drain(l->app.loop);
	atomic_fetch_sub(&l->node->n_others, 1);
	return NULL;
}

static void
others_start(struct node *n)
{
	for (int i = 1; i < n->n_loops; i++) {
		atomic_fetch_add(&n->n_others, 1);
		MUST(pthread_create(&n->loops[i].thread, NULL, loop_thread,
			 &n->loops[i]) == 0);
	}
}

static void
others_join(struct node *n)
{
	others_stop(n);
	for (int i = 1; i < n->n_loops; i++)
		pthread_join(n->loops[i].thread, NULL);
}

static void
signals_block(struct node *n)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	n->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	MUST(n->signal_fd >= 0);
}

static bool
plugins_load(struct node *n)
{
	struct plug_services services = {
		.arg = n,
		.http = service_http,
		.pool = n->pool,
		.home = first(n)->app.loop,
		.kv_get = service_kv_get,
		.kv_put = service_kv_put,
	};
	const char **dirs = settings_plugin_dirs(n->p.settings);
	bool ok = plug_new(n->p.conf, dirs, &services, &n->plug) == AS_OK;

	free(dirs);
	conf_finish(n->p.conf);
	ok = options_problems(n->p.conf) == 0 && ok;
	for (int i = 0; i < n->n_loops; i++) {
		struct app *app = &n->loops[i].app;

		app->plug = n->plug;
		app->world = world_new(n->plug, app->store);
	}
	return ok;
}

static const char *const *
list_items(struct arena *a, const struct as_list *list)
{
	const char **out = arena_alloc(a, (list->n + 1) * sizeof(*out));

	for (size_t i = 0; i < list->n; i++)
		out[i] = list->items[i];
	return out;
}

/* Before there are other threads: an arena is for one. */
static void
lists_make(struct node *n)
{
	const struct server_settings *s = &n->p.settings->server;

	n->trusted_proxies = list_items(n->env.arena, &s->trusted_proxies);
	n->allowed_origins = list_items(n->env.arena, &s->allowed_origins);
}

static int
loops_wanted(const struct settings *s)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (s->server.loops > 0)
		return (int)s->server.loops;
	return cores > 0 ? (int)cores : 1;
}

int
node_run(const struct node_parts *parts)
{
	struct node *n = xcalloc(1, sizeof(*n));
	int rc;

	n->p = *parts;
	node_env_init(&n->env);
	lists_make(n);
	signals_block(n);
	n->n_loops = loops_wanted(parts->settings);
	fiber_limit((unsigned)parts->settings->server.max_fibers);
	n->bus = bus_new_memory();
	n->live = live_new();
	n->breakers = breakers_new();
	n->seats = seats_new();
	n->pool = pool_new(4, 256);
	n->loops = xcalloc((size_t)n->n_loops, sizeof(*n->loops));
	n->apps = xcalloc((size_t)n->n_loops + 1, sizeof(struct app *));
	for (int i = 0; i < n->n_loops; i++) {
		n->apps[i] = &n->loops[i].app;
		loop_make(n, &n->loops[i]);
	}
	if (plugins_load(n)) {
		n->signals = loop_watch(first(n)->app.loop, n->signal_fd,
		    LOOP_READ, on_signal, n);
		others_start(n);
		n->start = fiber_spawn(first(n)->app.loop, "start", start_fiber,
		    n);
		MUST(n->start.f != NULL);
		loop_run(first(n)->app.loop);
		loop_watch_free(n->signals);
		others_join(n);
	} else
		n->exit_code = 1;
	api_gauges_stop(first(n)->gauges);
	loop_drain(first(n)->app.loop);
	pool_free(n->pool);
	for (int i = 0; i < n->n_loops; i++)
		loop_unmake(n, &n->loops[i]);
	plug_free(n->plug);
	live_free(n->live);
	breakers_free(n->breakers);
	seats_free(n->seats);
	bus_free(n->bus);
	node_env_fini(&n->env);
	close(n->signal_fd);
	free(n->loops);
	free(n->apps);
	rc = n->exit_code;
	free(n);
	return rc;
}
