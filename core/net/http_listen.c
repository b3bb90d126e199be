/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/net/http_impl.h"
#include "core/net/ws.h"

/*
 * The socket that connections come from: bound here, or handed over by who
 * started the process, and then shared with other processes.
 *
 * A socket of our own that is closed resets the connections that it has
 * completed and nobody has accepted yet, with the requests that they carry.  So
 * after http_server_announce it is closed in two steps: it takes part in no new
 * handshake (whoever begins one tries again, and is refused by then), those
 * under way end, and all that is there is accepted.  One that others share
 * stays open: what we do not accept, they do.
 */

#define ACCEPT_ROUNDS 64
#define REFUSED_MAX 64 /* connections above the cap that get a 503 */
#define ACCEPT_PAUSE_MS 100 /* when descriptors run out */
#define HANDSHAKE_MS 30 /* for those under way when the listener closes */
#define FIRST_BYTE_MS 1000 /* of a connection that came last */

static void
listener_set(struct http_server *s, bool on)
{
	s->listener_paused = !on;
	if (on)
		event_add(s->listener, NULL);
	else
		event_del(s->listener);
}

/* ---- Accepting ----------------------------------------------------- */

static void
accepted(struct http_server *s, int fd, const struct sockaddr *sa)
{
	struct http_conn *c;

	if (s->n_conns >= s->config.max_connections + REFUSED_MAX) {
		close(fd);
		return;
	}
	c = conn_new(s, fd, sa);
	if (s->n_conns > s->config.max_connections)
		conn_refuse(c, ERR_UNAVAILABLE, "too many connections");
}

/* True: there may be more. */
static bool
accept_some(struct http_server *s)
{
	int i;

	for (i = 0; i < ACCEPT_ROUNDS; i++) {
		struct sockaddr_storage sa = { 0 };
		socklen_t len = sizeof(sa);
		int fd = accept4(s->fd, (struct sockaddr *)&sa, &len,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			accepted(s, fd, (struct sockaddr *)&sa);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
		    errno == ENOBUFS) {
			log_warn("http", "accept: %s", strerror(errno));
			listener_set(s, false);
			server_timer_by(s,
			    loop_now_ms(s->loop) + ACCEPT_PAUSE_MS);
		}
		if (errno != EINTR && errno != ECONNABORTED)
			return false;
	}
	return true;
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	accept_some(arg);
}

/* ---- Opening ------------------------------------------------------- */

static bool
port_share(int fd)
{
	int one = 1;

	return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0;
}

/* What is accepted inherits them. */
static void
options_set(int fd)
{
	int one = 1;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static int
socket_open(const struct http_server *s, const struct addrinfo *ai)
{
	bool share = s->config.share_port, join = share && s->config.join_port;
	int one = 1;
	int fd = socket(ai->ai_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	options_set(fd);
	/* Set before bind it would let in another process on the port. */
	if ((join && !port_share(fd)) ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 ||
	    (share && !join && !port_share(fd)) || listen(fd, 511) != 0) {
		int e = errno;

		close(fd);
		errno = e;
		return -1;
	}
	return fd;
}

static enum as_status
listener_bind(struct http_server *s, struct error *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *list = NULL, *ai;
	char port[8];
	int rc;

	snprintf(port, sizeof(port), "%u", s->config.port);
	rc = getaddrinfo(s->config.host, port, &hints, &list);
	if (rc != 0)
		return error_set(err, ERR_BAD_REQUEST, "server.host '%s': %s",
		    s->config.host, gai_strerror(rc));
	for (ai = list; ai != NULL && s->fd < 0; ai = ai->ai_next)
		s->fd = socket_open(s, ai);
	freeaddrinfo(list);
	if (s->fd < 0)
		return error_set(err, ERR_UNAVAILABLE,
		    "cannot listen on %s port %u: %s; set server.host or "
		    "server.port, or stop what uses it",
		    s->config.host, s->config.port, strerror(errno));
	return AS_OK;
}

/*
 * O_NONBLOCK is that of all who have the socket, and a manager that hands it to
 * one more may clear it (systemd does, without NonBlocking=yes): an accept of
 * ours must not wait until the next client comes.
 */
static void
accept_is_short(int fd)
{
	struct timeval moment = { .tv_usec = 1000 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &moment, sizeof(moment));
}

/* Its own descriptor: several loops may have the socket. */
static enum as_status
listener_adopt(struct http_server *s, struct error *err)
{
	s->fd = fcntl(s->config.listen_fd, F_DUPFD_CLOEXEC, 0);
	if (s->fd < 0 || evutil_make_socket_nonblocking(s->fd) != 0)
		return error_set(err, ERR_UNAVAILABLE,
		    "the socket that was handed over: %s", strerror(errno));
	options_set(s->fd);
	accept_is_short(s->fd);
	return AS_OK;
}

static uint16_t
port_of(int fd)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} name = { .in6 = { 0 } };
	socklen_t len = sizeof(name);

	getsockname(fd, &name.sa, &len);
	return ntohs(name.sa.sa_family == AF_INET6 ? name.in6.sin6_port
						   : name.in.sin_port);
}

enum as_status
listener_open(struct http_server *s, struct error *err)
{
	enum as_status st = s->config.listen_fd > 0 ? listener_adopt(s, err)
						    : listener_bind(s, err);

	if (st != AS_OK)
		return st;
	s->port = port_of(s->fd);
	s->listener = event_new(loop_base(s->loop), s->fd, EV_READ | EV_PERSIST,
	    on_accept, s);
	MUST(s->listener != NULL);
	listener_set(s, true);
	return AS_OK;
}

/* ---- Closing ------------------------------------------------------- */

void
listener_close(struct http_server *s)
{
	if (s->listener != NULL)
		event_free(s->listener);
	s->listener = NULL;
	s->listener_paused = false;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

/* A segment begins with its TCP header: SYN without ACK goes unheard. */
static bool
handshakes_refuse(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TH_SYN | TH_ACK),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TH_SYN, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog prog = { N_ITEMS(code), code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog,
		   sizeof(prog)) == 0;
}

static void
listener_end(struct http_server *s)
{
	if (s->announced && s->config.listen_fd <= 0 && s->fd >= 0 &&
	    handshakes_refuse(s->fd)) {
		s->unlisten_at = loop_now_ms(s->loop) + HANDSHAKE_MS;
		server_timer_by(s, s->unlisten_at);
	} else
		listener_close(s);
}

void
listener_on_timer(struct http_server *s, uint64_t now)
{
	if (s->unlisten_at != 0 && s->unlisten_at <= now) {
		s->unlisten_at = 0;
		while (accept_some(s))
			continue;
		listener_close(s);
	} else if (s->unlisten_at != 0)
		server_timer_by(s, s->unlisten_at);
	if (s->listener_paused)
		listener_set(s, true);
}

/* ---- The end of a server ------------------------------------------- */

void
http_server_announce(struct http_server *s)
{
	s->announced = true;
}

/* Connected, and nothing heard yet: its first request is on its way. */
static bool
is_fresh(const struct http_conn *c)
{
	return c->state == CONN_IDLE && c->dl == DL_HEAD;
}

void
http_server_drain(struct http_server *s)
{
	struct http_conn *c;

	s->draining = true;
	s->drained_ms = loop_now_ms(s->loop);
	listener_end(s);
	for (c = s->conns; c != NULL; c = c->next) {
		if (c->state == CONN_IDLE && c->in.len == c->in_off &&
		    !(s->announced && is_fresh(c)))
			conn_close(c);
		else if (c->state == CONN_WS && c->ws != NULL)
			ws_close(c->ws, WS_GOING_AWAY, "server is stopping");
		else if (c->state == CONN_SSE && c->sse != NULL)
			sse_shut(c->sse);
	}
}

static bool
is_waited_for(const struct http_conn *c, bool patient)
{
	switch (c->state) {
	case CONN_HEAD:
	case CONN_BODY:
	case CONN_BUSY:
	case CONN_FLUSH:
		return true;
	case CONN_IDLE:
		return patient && is_fresh(c);
	case CONN_SSE:
	case CONN_WS:
		return patient;
	default:
		return false;
	}
}

bool
http_server_is_quiet(const struct http_server *s)
{
	bool patient = loop_now_ms(s->loop) < s->drained_ms + FIRST_BYTE_MS;
	struct http_conn *c;

	if (s->unlisten_at != 0)
		return false;
	for (c = s->conns; c != NULL; c = c->next)
		if (is_waited_for(c, patient))
			return false;
	return true;
}
