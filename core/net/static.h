/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_NET_STATIC_H
#define CORE_NET_STATIC_H

/*
 * Files of a folder over HTTP: GET and HEAD, ETag and If-None-Match, one
 * range.  Nothing outside of the folder is reached, whatever the path or the
 * links in it; names that begin with a dot are not served.  A folder is its
 * index.html.
 */

struct http_req;

/*
 * Answers req with dir/rest; a miss is 404.  cache_control may be NULL:
 * "no-cache", which means that a browser asks each time and gets a 304.
 */
void static_serve(struct http_req *req, const char *dir, const char *rest,
    const char *cache_control);

#endif
