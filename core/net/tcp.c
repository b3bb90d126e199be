/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/loop/loop.h"
#include "core/loop/pool.h"
#include "core/net/http_client.h"
#include "core/net/http_hop.h"
#include "core/net/tcp_impl.h"

/*
 * One connection: resolve on the pool, try each address that the guard lets
 * pass, then bytes.  A fiber waits for its socket; silence has a limit of its
 * own beside the deadline.
 */

#define CONNECT_MS 5000
#define IDLE_MS 30000
#define READ_SIZE 65536

/* ---- Waiting ------------------------------------------------------- */

static void
is_ready(int fd, int what, void *arg)
{
	struct tcp *t = arg;

	(void)fd;
	(void)what;
	loop_watch_set(t->watch, 0);
	if (t->wait.f != NULL)
		fiber_wake(t->wait);
}

enum as_status
tcp_pause(struct tcp *t, int what, int64_t ms, struct error *err)
{
	uint64_t at = loop_now_ms(t->loop) + (uint64_t)ms;
	enum fiber_exit x;

	t->wait = fiber_prepare();
	loop_watch_set(t->watch, what);
	x = fiber_suspend(at);
	t->wait.f = NULL;
	loop_watch_set(t->watch, 0);
	if (x == FIBER_TIMEOUT && fiber_time_left() > 0)
		return error_set(err, ERR_TIMEOUT,
		    "%s says nothing for %lld ms", t->host, (long long)ms);
	return fiber_exit_status(x, err);
}

/* ---- Names --------------------------------------------------------- */

struct resolve {
	struct pool_job job;
	char *host;
	char port[8];
	int flags, rc;
	struct addrinfo *list;
};

static void
resolve_run(struct pool_job *job)
{
	struct resolve *r = container_of(job, struct resolve, job);
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = r->flags };

	r->rc = getaddrinfo(r->host, r->port, &hints, &r->list);
}

static void
resolve_free(struct pool_job *job)
{
	struct resolve *r = container_of(job, struct resolve, job);

	if (r->list != NULL)
		freeaddrinfo(r->list);
	free(r->host);
	free(r);
}

static struct resolve *
resolve_new(const struct tcp_target *target, int flags)
{
	struct resolve *r = xcalloc(1, sizeof(*r));

	r->job.fn = resolve_run;
	r->job.free = resolve_free;
	r->host = xstrdup(target->host);
	r->flags = flags;
	snprintf(r->port, sizeof(r->port), "%u", target->port);
	return r;
}

/* *out is the caller's to put (pool_job_put) or, of a number, to free. */
SUSPENDS static enum as_status
resolve(struct pool *pool, const struct tcp_target *target,
    struct resolve **out, bool *is_job, struct error *err)
{
	struct resolve *r = resolve_new(target, AI_NUMERICHOST);
	enum as_status st;

	resolve_run(&r->job);
	*is_job = false;
	*out = r;
	if (r->rc == 0)
		return AS_OK;
	resolve_free(&r->job);
	*out = NULL;
	if (pool == NULL)
		return error_set(err, ERR_UNSUPPORTED,
		    "names are not resolved here");
	r = resolve_new(target, AI_ADDRCONFIG);
	if ((st = pool_run(pool, &r->job, err)) != AS_OK)
		return st;
	*is_job = true;
	*out = r;
	if (r->rc == 0)
		return AS_OK;
	return error_set(err, ERR_UNAVAILABLE, "cannot resolve %.128s: %s",
	    target->host, gai_strerror(r->rc));
}

/* ---- Connecting ---------------------------------------------------- */

static bool
guard_passes(const struct tcp_target *target, const struct addrinfo *a,
    char address[INET6_ADDRSTRLEN])
{
	if (getnameinfo(a->ai_addr, a->ai_addrlen, address, INET6_ADDRSTRLEN,
		NULL, 0, NI_NUMERICHOST) != 0)
		return false;
	return !http_guard_refuses(a->ai_addr) ||
	       guard_allows(target->allow, target->host, address, target->port);
}

static enum as_status
refused(const struct tcp_target *target, const char *address, struct error *err)
{
	return error_set(err, ERR_FORBIDDEN,
	    "%.100s is at %s, which is not a public address%s%.80s",
	    target->host, address,
	    target->allow_name != NULL ? "; an admin may add it to " : "",
	    target->allow_name != NULL ? target->allow_name : "");
}

static enum as_status
not_connected(struct tcp *t, int why, struct error *err)
{
	return error_set(err, ERR_UNAVAILABLE, "cannot connect to %s: %s",
	    t->host, strerror(why));
}

static void
socket_close(struct tcp *t)
{
	loop_watch_free(t->watch);
	t->watch = NULL;
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}

SUSPENDS static enum as_status
connect_one(struct tcp *t, const struct addrinfo *a, int64_t ms,
    struct error *err)
{
	socklen_t len = sizeof(int);
	enum as_status st = AS_OK;
	int why = 0, one = 1;

	t->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);
	if (t->fd < 0)
		return not_connected(t, errno, err);
	setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	t->watch = loop_watch(t->loop, t->fd, 0, is_ready, t);
	if (connect(t->fd, a->ai_addr, a->ai_addrlen) != 0) {
		if (errno != EINPROGRESS)
			st = not_connected(t, errno, err);
		else if ((st = tcp_pause(t, LOOP_WRITE, ms, err)) == AS_OK)
			getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &why, &len);
	}
	if (st == AS_OK && why != 0)
		st = not_connected(t, why, err);
	if (st != AS_OK)
		socket_close(t);
	return st;
}

/* One after the other; the last failure counts. */
SUSPENDS static enum as_status
connect_any(struct tcp *t, const struct tcp_target *target,
    const struct addrinfo *a, struct error *err)
{
	int64_t ms = target->connect_ms > 0 ? target->connect_ms : CONNECT_MS;
	char address[INET6_ADDRSTRLEN] = "an unknown address";
	enum as_status st = AS_UNAVAILABLE;

	for (; a != NULL; a = a->ai_next) {
		error_clear(err);
		if (!guard_passes(target, a, address)) {
			st = refused(target, address, err);
			continue;
		}
		st = connect_one(t, a, ms, err);
		if (st == AS_OK || st == AS_CANCELED || fiber_time_left() == 0)
			return st;
	}
	return st;
}

enum as_status
tcp_open(struct pool *pool, const struct tcp_target *target, struct tcp **out,
    struct error *err)
{
	struct resolve *r = NULL;
	struct tcp *t = xcalloc(1, sizeof(*t));
	struct error local = { 0 };
	enum as_status st;
	bool is_job;

	*out = NULL;
	t->loop = loop_self();
	t->fd = -1;
	t->idle_ms = target->idle_ms > 0 ? target->idle_ms : IDLE_MS;
	t->host = xasprintf("%.200s:%u", target->host, target->port);
	t->server_name = xstrdup(
	    target->server_name != NULL ? target->server_name : target->host);
	st = resolve(pool, target, &r, &is_job, &local);
	if (st == AS_OK)
		st = connect_any(t, target, r->list, &local);
	if (r != NULL && is_job)
		pool_job_put(&r->job);
	else if (r != NULL)
		resolve_free(&r->job);
	if (st == AS_OK && target->tls)
		st = tcp_start_tls(t, &local);
	if (st == AS_OK)
		*out = t;
	else
		tcp_close(t);
	if (err != NULL)
		error_move(err, &local);
	error_clear(&local);
	return st;
}

/* ---- Bytes --------------------------------------------------------- */

static enum as_status
cut(struct tcp *t, int why, struct error *err)
{
	return error_set(err, ERR_UNAVAILABLE,
	    "the connection to %s was cut: %s", t->host, strerror(why));
}

enum as_status
tcp_read(struct tcp *t, char **bytes, size_t *len, struct error *err)
{
	char *room = xmalloc(READ_SIZE);
	enum as_status st = AS_OK;
	ssize_t n = 0;

	*bytes = NULL;
	*len = 0;
	if (t->tls != NULL)
		st = tcp_tls_read(t, room, READ_SIZE, len, err);
	else {
		while (
		    (n = recv(t->fd, room, READ_SIZE, 0)) < 0 && st == AS_OK) {
			if (errno == EAGAIN)
				st = tcp_pause(t, LOOP_READ, t->idle_ms, err);
			else if (errno != EINTR)
				st = cut(t, errno, err);
		}
		*len = st == AS_OK && n > 0 ? (size_t)n : 0;
	}
	if (st == AS_OK && *len > 0)
		*bytes = room;
	else
		free(room);
	return st;
}

enum as_status
tcp_write(struct tcp *t, const void *bytes, size_t len, struct error *err)
{
	const char *from = bytes;
	enum as_status st = AS_OK;
	ssize_t n;

	if (t->tls != NULL)
		return tcp_tls_write(t, bytes, len, err);
	while (st == AS_OK && len > 0) {
		n = send(t->fd, from, len, MSG_NOSIGNAL);
		if (n >= 0) {
			from += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN)
			st = tcp_pause(t, LOOP_WRITE, t->idle_ms, err);
		else if (errno != EINTR)
			st = cut(t, errno, err);
	}
	return st;
}

void
tcp_close(struct tcp *t)
{
	if (t == NULL)
		return;
	tcp_tls_end(t);
	socket_close(t);
	free(t->server_name);
	free(t->host);
	free(t);
}
