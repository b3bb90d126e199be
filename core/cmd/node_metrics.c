/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/node_impl.h"

#include "core/api/handlers.h"
#include "core/base/log.h"
#include "core/base/mem.h"

/* What a worker may be asked, on a port of its own: how it is. */

static const struct route routes[] = {
	{ .method = "GET",
	    .path = "/healthz",
	    .fn = health_live,
	    .name = "health_live" },
	{ .method = "GET",
	    .path = "/readyz",
	    .fn = health_ready,
	    .name = "health_ready" },
	{ .method = "GET",
	    .path = "/metrics",
	    .fn = health_metrics,
	    .name = "health_metrics" },
};

enum as_status
node_metrics_listen(struct node *n, struct error *err)
{
	static const struct http_hooks none;
	const struct worker_settings *s = &n->p.settings->worker;
	struct app *app = &node_first(n)->app;
	struct http_server_config c = { .host = s->metrics_host,
		.port = (uint16_t)s->metrics_port };
	enum as_status st;

	if (s->metrics_port == 0)
		return AS_OK;
	st = route_table_new(routes, N_ITEMS(routes), NULL, &n->metrics, err);
	if (st == AS_OK)
		st = http_server_new(app->loop, &c, n->metrics, &none, app,
		    &app->server, err);
	if (st == AS_OK)
		log_info("serve", "metrics on port %d", (int)c.port);
	return st;
}

void
node_metrics_free(struct node *n)
{
	route_table_free(n->metrics);
}
