/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/api/handlers.h"
#include "core/api/internal.h"
#include "core/base/buf.h"
#include "core/base/counter.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/bus/bus_redis.h"
#include "core/inbox/gauge.h"
#include "core/loop/fiber.h"

/*
 * For those who watch the process: is it alive, can it work, how much does it
 * do.  A loop may only be looked at from its own thread, so each sets its
 * gauges itself, once a second.
 */

#define GAUGE_MS 1000

void
health_live(struct http_req *req)
{
	struct json_object *o = jobj();

	jput_str(o, "status", "ok");
	http_reply_json(req, 200, o);
}

/* Without Redis there are no WebSockets; all the rest goes on. */
static const char *
realtime_of(const struct app *app)
{
	if (app->link == NULL)
		return "in_memory";
	switch (bus_link_state(app->link)) {
	case BUS_LINK_UP:
		return "ok";
	case BUS_LINK_CONNECTING:
		return "connecting";
	default:
		return "down";
	}
}

/* NULL: it is no matter here. */
static const char *
standby_of(const struct app *app)
{
	static const char *const names[] = {
		[STORE_STANDBY_OK] = "ok",
		[STORE_STANDBY_NONE] = "none",
		[STORE_STANDBY_LOST] = "lost",
	};

	return names[store_standby(app->store)];
}

void
health_ready(struct http_req *req)
{
	struct app *app = app_of(req);
	const char *store = store_condition(app->store);
	const char *standby = standby_of(app);
	const char *realtime = realtime_of(app);
	bool up = strcmp(store, "ok") == 0;
	struct json_object *o = jobj(), *checks = jobj();
	const char *status = "ready";

	if (app->leaving)
		status = "draining";
	else if (!up || strcmp(realtime, "down") == 0 ||
		 (standby != NULL && strcmp(standby, "lost") == 0))
		status = "degraded";
	jput_str(o, "status", status);
	jput_str(checks, "store", store);
	if (standby != NULL)
		jput_str(checks, "standby", standby);
	jput_str(checks, "realtime", realtime);
	jput(o, "checks", checks);
	http_reply_json(req, app->leaving || !up ? 503 : 200, o);
}

void
health_metrics(struct http_req *req)
{
	struct buf b = { 0 };

	if (app_of(req)->plug != NULL)
		plug_gauges(app_of(req)->plug);
	counter_expose(&b);
	http_reply(req, 200, "text/plain; version=0.0.4; charset=utf-8",
	    b.data != NULL ? b.data : "", b.len);
	buf_free(&b);
}

/* ---- Gauges -------------------------------------------------------- */

struct api_gauges {
	struct loop_timer timer;
	struct app *app;
	struct counter *fibers, *lag, *store_up;
	struct inbox_gauge *inbox; /* of the first loop, for all */
};

static void
gauges_set(struct loop_timer *t)
{
	struct api_gauges *g = container_of(t, struct api_gauges, timer);
	struct app *app = g->app;

	counter_set(g->fibers, fiber_count(app->loop));
	counter_set(g->lag, loop_lag(app->loop));
	counter_set(g->store_up, store_is_up(app->store) ? 1 : 0);
	loop_timer_set(app->loop, t, loop_now_ms(app->loop) + GAUGE_MS);
}

static struct counter *
gauge_new(const char *name, const char *help, const char *index)
{
	const char *values[] = { index };

	return counter_get(GAUGE, name, help, "loop", values);
}

struct api_gauges *
api_gauges_start(struct app *app, int index)
{
	struct api_gauges *g = xcalloc(1, sizeof(*g));
	char text[16];

	snprintf(text, sizeof(text), "%d", index);
	g->app = app;
	g->timer.fn = gauges_set;
	g->fibers = gauge_new("fibers", "Fibers that run or wait.", text);
	g->lag = gauge_new("loop_lag_seconds",
	    "The longest turn of the last 10 s.", text);
	g->store_up = gauge_new("store_up", "1 if the database answers.", text);
	if (index == 0)
		g->inbox = inbox_gauge_start(app->loop, app->store);
	gauges_set(&g->timer);
	return g;
}

void
api_gauges_stop(struct api_gauges *g)
{
	if (g == NULL)
		return;
	inbox_gauge_stop(g->inbox);
	loop_timer_clear(&g->timer);
	free(g);
}
