/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_API_APP_H
#define CORE_API_APP_H

/*
 * What a request handler can reach: one struct app a loop, made by
 * core/cmd/serve.c.  The shared parts (plug, bus, auth, live) are the same
 * for all loops and safe from any of them.
 */

#include "core/bus/bus.h"
#include "core/cmd/settings.h"
#include "core/loop/loop.h"
#include "core/loop/pool.h"
#include "core/net/http_client.h"
#include "core/net/http_server.h"
#include "core/net/router.h"
#include "core/plug/plug.h"
#include "core/store/store.h"

struct access;
struct api;
struct auth;
struct engine;
struct hook_rates;
struct inbox_watch;
struct live;
struct queue;
struct run_store;
struct sched;
struct seal;
struct seats;
struct stream_poll;
struct strikes;
struct world;

struct app {
	struct loop *loop;
	struct store *store;
	struct run_store *runs; /* on that store */
	struct world *world; /* of this loop's engine */
	struct http_client *http;
	struct http_server *server;
	struct auth *auth; /* keys, throttle: shared */
	struct engine *engine; /* runs of this loop */
	struct queue *queue; /* as this loop sees it */
	struct bus *bus; /* shared */
	struct live *live; /* shared */
	struct bus_redis *redis; /* shared; NULL: this process is alone */
	struct bus_link *link; /* of this loop, to it */
	struct stream_poll *poll; /* of this loop's streams, or NULL */
	struct access *access; /* of those who read them */
	struct inbox_watch *inbox; /* of this loop's streams */
	struct app *const *all; /* of all loops, NULL-terminated */
	struct plug *plug; /* shared */
	struct pool *pool; /* shared */
	const struct api *api; /* schemas, OpenAPI text: shared */
	const struct route_table *routes;
	const struct settings *settings;
	struct seats *seats; /* sockets of each person: shared */
	struct strikes *strikes; /* who is refused often: shared */
	struct sched *sched; /* the timer of all schedules: shared */
	const struct seal *seal; /* secrets that are had back: shared */
	struct hook_rates *hook_rates; /* of triggers: shared */
	bool leaving; /* /readyz says so, all else goes on */
	bool draining; /* who waits is answered */
	int64_t started_us;
};

static inline struct app *
app_of(struct http_req *req)
{
	return http_app(req);
}

#endif
