/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INTEGRATION_SITE_H
#define TESTS_INTEGRATION_SITE_H

/*
 * A server with a route for each thing that tests of core/net want it to do,
 * and what it has seen.
 */

#include <stdatomic.h>

#include "tests/integration/net_peer.h"

#define HOST "Host: a\r\n"
#define END "\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST END
#define JSON "Content-Type: application/json\r\n"

extern struct peer_host *site; /* that is asked */

/* How often it happened in a handler. */
extern struct site_seen {
	atomic_int canceled; /* of /wait */
	atomic_int finished; /* of /slow */
	atomic_int closed; /* streams of /sse, by their peers */
	atomic_int idem; /* answers that are kept under their key */
	atomic_int refused; /* requests without credentials, unanswered yet */
} site_seen;

/* For a suite. */
int site_open(void);
int site_close(void);
/* The same routes, and every limit by default; for host_stop. */
struct peer_host *site_another(void);

/* The status, and the code in the body, NULL: there is none. */
void site_ask(const char *request, int status, const char *code);
void site_post(const char *path, const char *headers, const char *body,
    int status, const char *code);
/* One of site_seen, soon. */
bool site_becomes(atomic_int *n, int want);

#endif
