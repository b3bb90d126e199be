/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_NET_HTTP_HOP_H
#define CORE_NET_HTTP_HOP_H

/*
 * One request of the HTTP client and where a redirect leads it: private to the
 * client.  A hop is checked when it is made, so what it holds is http or https,
 * names a host and has no credential in its URL.
 */

#include <curl/curl.h>

#include "core/net/http_client.h"

struct hop {
	char *url;
	char *host; /* lower case, without the brackets of IPv6 */
	long port;
	char method[16];
	enum http_trust trust;
	bool https;
	bool with_body;
	bool foreign; /* not the origin that the caller named */
	bool sent; /* something may have left already */
};

/* A hop starts as {0} and ends with hop_clear. */
enum as_status hop_init(struct hop *h, const struct http_request *req,
    struct error *err);
void hop_clear(struct hop *h);

/* Would this answer be followed from here?  same_host: only to its own host. */
bool hop_follows(const struct hop *h, int status, const char *location,
    bool same_host);
/* Go there: what trust and credentials were for the first origin stays there. */
enum as_status hop_redirect(struct hop *h, int status, const char *location,
    struct error *err);

/* May a lost one be sent again without asking? */
bool hop_is_safe(const struct hop *h);

/* Refuse what would break the framing of the request. */
enum as_status hop_check_headers(const struct http_request *req,
    struct error *err);
/* For curl; without those that a foreign origin must not see. */
struct curl_slist *hop_headers(const struct hop *h,
    const struct http_request *req);

#define HOST_PORT_LEN 320
void host_port(char out[HOST_PORT_LEN], const char *host, long port);

/* Does the list have host:port, by its name in the URL or by its address? */
bool guard_allows(const char *const *allow, const char *host,
    const char *address, long port);

#endif
