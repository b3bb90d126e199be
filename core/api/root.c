/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/handlers.h"
#include "core/api/internal.h"
#include "core/net/static.h"
#include "core/net/ws.h"

/* What is there for people and for conformance suites: no API. */

void
root_redirect(struct http_req *req)
{
	http_set_header(req, "Location", "/demo/");
	http_reply(req, 302, NULL, NULL, 0);
}

void
root_demo(struct http_req *req)
{
	static_serve(req, app_of(req)->settings->server.demo_dir,
	    http_param(req, "path"), NULL);
}

void
root_ws_echo(struct http_req *req)
{
	struct error err = { 0 };

	if (app_of(req)->settings->server.ws_echo) {
		ws_echo(req);
		return;
	}
	error_not_found(&err, "path", http_path(req));
	api_fail(req, &err);
}
