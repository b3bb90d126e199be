/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_hop.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/base/buf.h"
#include "core/base/mem.h"

/*
 * URLs are read by curl's own parser, the one that will connect, and only its
 * normal form is kept: no second parser can see another host in them.
 */

#define URL_MAX 8192
#define HEADERS_MAX 64
#define HEADER_BYTES_MAX (32u * 1024)

static const char token_chars[] = "!#$%&'*+-.^_`|~0123456789"
				  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "abcdefghijklmnopqrstuvwxyz";

/* What frames the request is curl's to say. */
static const char *const framing[] = { "connection", "content-length", "expect",
	"host", "keep-alive", "proxy-authorization", "proxy-connection", "te",
	"trailer", "transfer-encoding", "upgrade" };

/* Any other header may be a credential. */
static const char *const harmless[] = { "accept", "accept-language",
	"cache-control", "content-type", "if-modified-since", "if-none-match",
	"range", "traceparent", "user-agent" };

static bool
is_one_of(const char *name, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcasecmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

static bool
is_token(const char *s)
{
	return *s != '\0' && s[strspn(s, token_chars)] == '\0';
}

static char *
part(CURLU *u, CURLUPart what, unsigned flags)
{
	char *text, *copy;

	if (curl_url_get(u, what, &text, flags) != CURLUE_OK)
		return NULL;
	copy = xstrdup(text);
	curl_free(text);
	return copy;
}

static char *
host_part(CURLU *u)
{
	char *host = part(u, CURLUPART_HOST, 0);
	size_t len = host != NULL ? strlen(host) : 0;

	if (len == 0) {
		free(host);
		return NULL;
	}
	if (host[0] == '[') {
		memmove(host, host + 1, len);
		host[strcspn(host, "]")] = '\0';
	}
	for (char *c = host; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	return host;
}

/* Takes u. */
static enum as_status
set_url(struct hop *h, CURLU *u, const char *text, struct error *err)
{
	char *scheme = part(u, CURLUPART_SCHEME, 0);
	char *port = part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	char *user = part(u, CURLUPART_USER, 0);
	enum as_status st = AS_OK;

	curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
	free(h->url);
	free(h->host);
	h->url = part(u, CURLUPART_URL, 0);
	h->host = host_part(u);
	h->https = scheme != NULL && strcmp(scheme, "https") == 0;
	h->port = port != NULL ? strtol(port, NULL, 10) : 0;
	if (scheme == NULL || (!h->https && strcmp(scheme, "http") != 0))
		st = error_set(err, ERR_BAD_REQUEST,
		    "only http and https are possible, not '%.100s'", text);
	else if (user != NULL)
		st = error_set(err, ERR_BAD_REQUEST,
		    "a URL must not hold a user name or password; "
		    "send an authorization header");
	else if (h->url == NULL || h->host == NULL || h->port == 0)
		st = error_set(err, ERR_BAD_REQUEST, "'%.100s' is not a URL",
		    text);
	free(scheme);
	free(port);
	free(user);
	curl_url_cleanup(u);
	return st;
}

/* Relative to the hop's own URL if it has one. */
static enum as_status
go_to(struct hop *h, const char *text, struct error *err)
{
	CURLU *u;

	if (strlen(text) > URL_MAX)
		return error_set(err, ERR_URI_TOO_LONG,
		    "a URL may have %d bytes", URL_MAX);
	MUST((u = curl_url()) != NULL);
	if ((h->url != NULL &&
		curl_url_set(u, CURLUPART_URL, h->url, 0) != CURLUE_OK) ||
	    curl_url_set(u, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) !=
		CURLUE_OK) {
		curl_url_cleanup(u);
		return error_set(err, ERR_BAD_REQUEST, "'%.100s' is not a URL",
		    text);
	}
	return set_url(h, u, text, err);
}

enum as_status
hop_init(struct hop *h, const struct http_request *req, struct error *err)
{
	const char *method = req->method;

	if (method == NULL)
		method = req->body_len > 0 ? "POST" : "GET";
	if (!is_token(method) || strlen(method) >= sizeof(h->method) ||
	    strcasecmp(method, "CONNECT") == 0 ||
	    strcasecmp(method, "TRACE") == 0)
		return error_set(err, ERR_BAD_REQUEST,
		    "method '%.30s' is not possible", method);
	snprintf(h->method, sizeof(h->method), "%s", method);
	h->with_body = req->body_len > 0;
	h->trust = req->trust;
	return go_to(h, req->url, err);
}

void
hop_clear(struct hop *h)
{
	free(h->url);
	free(h->host);
	*h = (struct hop){ 0 };
}

/* The same host, at the same port or by the step from http to https. */
static bool
is_same_host(const struct hop *a, const struct hop *b)
{
	return strcmp(a->host, b->host) == 0 &&
	       (a->port == b->port ||
		   (!a->https && b->https && a->port == 80 && b->port == 443));
}

bool
hop_follows(const struct hop *h, int status, const char *location,
    bool same_host)
{
	struct hop to = { 0 };
	bool yes;

	if (location == NULL ||
	    (status != 301 && status != 302 && status != 303 && status != 307 &&
		status != 308))
		return false;
	if (!same_host)
		return true;
	to.url = xstrdup(h->url);
	yes = go_to(&to, location, NULL) == AS_OK && to.host != NULL &&
	      is_same_host(h, &to);
	hop_clear(&to);
	return yes;
}

enum as_status
hop_redirect(struct hop *h, int status, const char *location, struct error *err)
{
	struct hop from = { .host = xstrdup(h->host), .port = h->port };
	enum as_status st;

	from.https = h->https;
	if ((st = go_to(h, location, NULL)) != AS_OK) {
		st = error_set(err, ERR_UPSTREAM_UNAVAILABLE,
		    "'%.60s' redirects to '%.80s', which cannot be followed",
		    from.host, location);
	} else if (!is_same_host(&from, h)) {
		h->foreign = true;
		h->trust = HTTP_GUARDED;
	}
	if (strcmp(h->method, "HEAD") != 0 &&
	    (status == 303 ||
		(status < 303 && strcmp(h->method, "POST") == 0))) {
		snprintf(h->method, sizeof(h->method), "GET");
		h->with_body = false;
	}
	hop_clear(&from);
	return st;
}

bool
hop_is_safe(const struct hop *h)
{
	static const char *const safe[] = { "GET", "HEAD", "OPTIONS", "PUT",
		"DELETE" };

	return is_one_of(h->method, safe, N_ITEMS(safe));
}

enum as_status
hop_check_headers(const struct http_request *req, struct error *err)
{
	const char *const *p = req->headers;
	size_t n = 0, bytes = 0;

	for (; p != NULL && p[0] != NULL; p += 2) {
		if (p[1] == NULL || !is_token(p[0]))
			return error_set(err, ERR_BAD_REQUEST,
			    "'%.60s' is not the name of a header", p[0]);
		if (is_one_of(p[0], framing, N_ITEMS(framing)))
			return error_set(err, ERR_BAD_REQUEST,
			    "header '%s' cannot be set", p[0]);
		for (const char *c = p[1]; *c != '\0'; c++) {
			if (((unsigned char)*c < 0x20 && *c != '\t') ||
			    *c == 0x7f)
				return error_set(err, ERR_BAD_REQUEST,
				    "the value of header '%.60s' has a "
				    "control character",
				    p[0]);
		}
		bytes += strlen(p[0]) + strlen(p[1]);
		if (++n > HEADERS_MAX || bytes > HEADER_BYTES_MAX)
			return error_set(err, ERR_HEADERS_TOO_LARGE,
			    "a request may have %d headers of %u bytes in all",
			    HEADERS_MAX, HEADER_BYTES_MAX);
	}
	return AS_OK;
}

static struct curl_slist *
append(struct curl_slist *list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(list, line);

	MUST(longer != NULL);
	return longer;
}

struct curl_slist *
hop_headers(const struct hop *h, const struct http_request *req)
{
	const char *const *p = req->headers;
	struct curl_slist *list = NULL;
	struct buf line = { 0 };
	bool has_type = false;

	for (; p != NULL && p[0] != NULL; p += 2) {
		if (h->foreign && !is_one_of(p[0], harmless, N_ITEMS(harmless)))
			continue;
		if (strcasecmp(p[0], "content-type") == 0) {
			if (!h->with_body)
				continue;
			has_type = true;
		}
		buf_reset(&line);
		buf_add_str(&line, p[0]);
		if (p[1][strspn(p[1], " \t")] == '\0')
			buf_add_char(&line, ';'); /* curl's empty value */
		else
			buf_printf(&line, ": %s", p[1]);
		list = append(list, line.data);
	}
	buf_free(&line);
	/* Not curl's own ideas of these. */
	if (!has_type)
		list = append(list, "Content-Type:");
	return append(list, "Expect:");
}
