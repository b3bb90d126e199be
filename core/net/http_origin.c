/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <strings.h>

#include "core/net/http_impl.h"

/*
 * Origins: which page may act here, and what other origins may read (CORS).
 * An origin of the allow-list may do both, with cookies.  "*" in the list lets
 * anybody read without cookies, and nobody act.
 */

static bool
origin_is_listed(const struct http_server *s, const char *origin)
{
	const char *const *list = s->config.allowed_origins;

	for (; *list != NULL; list++) {
		if (strcasecmp(*list, origin) == 0)
			return true;
	}
	return false;
}

static bool
list_has_star(const struct http_server *s)
{
	return origin_is_listed(s, "*");
}

/* "https://host" of a URL with a path, compared with a bare origin. */
static bool
origin_is_of_url(const char *origin, const char *url)
{
	const char *host = strstr(url, "://");
	size_t n;

	if (host == NULL)
		return false;
	n = (size_t)(host + 3 - url) + strcspn(host + 3, "/?#");
	return strlen(origin) == n && strncasecmp(origin, url, n) == 0;
}

static bool
origin_is_own(struct http_req *req, const char *origin)
{
	const char *host = http_parse_header(&req->parse, "host");
	const char *at = strstr(origin, "://");

	if (req->server->config.public_url != NULL &&
	    origin_is_of_url(origin, req->server->config.public_url))
		return true;
	return host != NULL && at != NULL && strcasecmp(at + 3, host) == 0;
}

bool
http_origin_allowed(struct http_req *req)
{
	const char *origin = http_parse_header(&req->parse, "origin");
	const char *site = http_parse_header(&req->parse, "sec-fetch-site");

	if (origin != NULL && strcmp(origin, "*") != 0 &&
	    origin_is_listed(req->server, origin))
		return true;
	if (site != NULL && strcmp(site, "same-origin") != 0 &&
	    strcmp(site, "none") != 0 &&
	    (origin == NULL || strcmp(site, "same-site") != 0))
		return false;
	return origin == NULL || origin_is_own(req, origin);
}

static void
cors_origin(struct http_req *req, struct buf *head, const char *origin)
{
	if (origin_is_listed(req->server, origin)) {
		buf_add_str(head, "Access-Control-Allow-Origin: ");
		buf_add_str(head, origin);
		buf_add_str(head,
		    "\r\nAccess-Control-Allow-Credentials: true\r\n");
	} else
		buf_add_str(head, "Access-Control-Allow-Origin: *\r\n");
}

/* Head lines that every answer gets. */
void
cors_add(struct http_req *req, struct buf *head)
{
	struct http_server *s = req->server;
	const char *origin;

	if (s->config.allowed_origins[0] == NULL)
		return;
	buf_add_str(head, "Vary: Origin\r\n");
	origin = http_parse_header(&req->parse, "origin");
	if (origin == NULL ||
	    (!origin_is_listed(s, origin) && !list_has_star(s)))
		return;
	cors_origin(req, head, origin);
	if (!req->preflight)
		buf_add_str(head,
		    "Access-Control-Expose-Headers: ETag, Location, "
		    "Retry-After, X-Correlation-Id\r\n");
}

/* OPTIONS of a known path, or of "*". */
void
cors_preflight(struct http_req *req)
{
	struct http_parse *p = &req->parse;
	const char *origin = http_parse_header(p, "origin");
	const char *allow = req->match.allow;

	http_set_header(req, "Allow", allow);
	if (origin != NULL &&
	    http_parse_header(p, "access-control-request-method") != NULL &&
	    (origin_is_listed(req->server, origin) ||
		list_has_star(req->server))) {
		http_set_header(req, "Access-Control-Allow-Methods", allow);
		http_set_header(req, "Access-Control-Allow-Headers",
		    "Authorization, Content-Type, Idempotency-Key, If-Match, "
		    "If-None-Match, Last-Event-ID, X-Correlation-Id, "
		    "traceparent");
		http_set_header(req, "Access-Control-Max-Age", "600");
	}
	http_reply(req, 204, NULL, NULL, 0);
}
