/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_NET_TCP_H
#define CORE_NET_TCP_H

/*
 * TCP connections that go out, plain or TLS, for what is not HTTP.
 *
 * The same guard as that of the HTTP client looks at each address before a
 * socket is opened to it, and what was looked at is what is connected to.
 * Certificates are verified against those of the system (SSL_CERT_FILE and
 * SSL_CERT_DIR, as libcurl here does); there is no way around it.
 *
 * All functions on the loop's thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/loop/fiber.h"

struct pool;
struct tcp;

struct tcp_target {
	const char *host;
	uint16_t port;
	bool tls;
	const char *server_name; /* of the certificate; NULL: host */
	const char *const *allow; /* host:port that the guard lets pass */
	const char *allow_name; /* the setting that has it, or NULL */
	int64_t connect_ms; /* 0: 5,000, for each address */
	int64_t idle_ms; /* silence; 0: 30,000 */
};

/*
 * FORBIDDEN: the guard said no; UNAVAILABLE: no such host, no connection;
 * UPSTREAM: no TLS, or not with that name.  pool: names are resolved there.
 */
SUSPENDS enum as_status tcp_open(struct pool *pool,
    const struct tcp_target *target, struct tcp **out, struct error *err);
SUSPENDS enum as_status tcp_start_tls(struct tcp *t, struct error *err);
/* What is there, malloc()ed, at least one byte; *len 0 at the end. */
SUSPENDS enum as_status tcp_read(struct tcp *t, char **bytes, size_t *len,
    struct error *err);
SUSPENDS enum as_status tcp_write(struct tcp *t, const void *bytes, size_t len,
    struct error *err); /* all of it */
void tcp_close(struct tcp *t); /* never suspends; NULL is fine */

#endif
