/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_NET_TCP_IMPL_H
#define CORE_NET_TCP_IMPL_H

#include <openssl/ssl.h>

#include "core/net/tcp.h"

struct loop;
struct loop_watch;

struct tcp {
	struct loop *loop;
	int fd;
	struct loop_watch *watch;
	struct fiber_wait wait;
	char *host; /* with its port, for sentences */
	char *server_name;
	int64_t idle_ms;
	SSL *tls; /* NULL: plain */
};

/* Until the socket can do that; TIMEOUT after ms of nothing. */
SUSPENDS enum as_status tcp_pause(struct tcp *t, int what, int64_t ms,
    struct error *err);

/* tcp_tls.c */
SUSPENDS enum as_status tcp_tls_read(struct tcp *t, void *buf, size_t cap,
    size_t *n, struct error *err);
SUSPENDS enum as_status tcp_tls_write(struct tcp *t, const void *p, size_t len,
    struct error *err);
void tcp_tls_end(struct tcp *t);

#endif
