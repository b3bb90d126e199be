/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_NET_HTTP_IMPL_H
#define CORE_NET_HTTP_IMPL_H

/*
 * Inside of the HTTP server; for core/net only.
 *
 * A connection is a small struct that lives from accept to close and never
 * goes away in the middle of a turn: conn_close makes it CONN_CLOSED, the
 * server's hook at the turn's end calls who must know and frees it.  A request
 * is taken from a pool at its first byte and given back when it is answered
 * and its fiber has ended; req->conn becomes NULL when the peer is gone.
 *
 *	IDLE -> HEAD -> BODY -> BUSY -> FLUSH -> IDLE
 *	                          \-> SSE | WS
 *	any -> LINGER -> CLOSED
 */

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <sys/uio.h>

#include "core/base/buf.h"
#include "core/net/http_parse.h"
#include "core/net/http_server.h"
#include "core/net/http_target.h"
#include "core/net/router.h"

#define CONN_SCRATCH 65536 /* of one read */
#define CONN_STASH_MAX 65536 /* kept unread while a request is answered */
#define CONN_LOW_WATER 16384 /* on_drain of streams and sockets */
#define CONN_OUT_MAX (16u << 20) /* a peer that lets this pile up is dropped */
#define HTTP_CID_MAX 64

struct ws;
struct ws_parser;
struct counter;
struct histogram;

enum conn_state {
	CONN_IDLE = 1, /* no byte of a request yet */
	CONN_HEAD,
	CONN_BODY,
	CONN_BUSY, /* a request is being answered */
	CONN_FLUSH, /* it is; output is on its way */
	CONN_SSE,
	CONN_WS,
	CONN_LINGER, /* our side is shut; the peer reads the last answer */
	CONN_CLOSED
};

/* Each has one length per server, so its queue is sorted by itself. */
enum conn_deadline {
	DL_NONE,
	DL_IDLE,
	DL_HEAD,
	DL_BODY,
	DL_GONE, /* from the peer's FIN until a GET is cancelled */
	DL_WRITE,
	DL_LINGER,
	DL_SSE, /* heartbeat */
	DL_WS, /* ping */
	DL_WS_CLOSE, /* closing handshake */
	DL_N
};

struct http_conn {
	struct http_server *server;
	struct http_conn *next, *prev;
	struct http_conn *dl_next, *dl_prev;
	struct http_conn *dirty_next;
	uint64_t dl_at;
	struct http_req *req;
	struct evbuffer *out; /* NULL: nothing waits */
	struct buf in; /* read, not yet parsed */
	size_t in_off; /* what of it is */
	struct sse *sse;
	struct ws *ws;
	struct event rd, wr;
	struct in6_addr addr;
	size_t linger_left; /* bytes still to be thrown away for the peer */
	int fd;
	enum conn_state state;
	enum conn_deadline dl;
	bool dirty; /* in the list of the turn's end */
	bool rd_on, wr_on;
	bool eof; /* the peer has shut its side */
	bool close_after; /* the output */
	bool high; /* output was above the low-water mark */
};

struct http_req {
	struct http_conn *conn; /* NULL: the peer is gone */
	struct http_server *server;
	struct http_req *next; /* spare */
	struct http_parse parse;
	struct http_target target;
	struct route_match match;
	struct fiber_ref fiber;
	struct arena *arena; /* made when asked for */
	struct json_object *json;
	void *principal;
	struct buf extra; /* head lines of the answer */
	struct buf held; /* the answer's body, until idem_end was called */
	char *held_type;
	struct error refusal; /* known before the body is read */
	int64_t start_us;
	size_t sent;
	int status;
	bool routed; /* target and route are known */
	bool refused; /* answer with refusal once the body is read */
	bool preflight;
	bool running; /* has a fiber */
	bool replied;
	bool hold;
	bool taken; /* SSE or WebSocket took the connection */
	bool keep_alive;
	bool has_cache_control;
	char cid[HTTP_CID_MAX + 1];
	char trace[56];
	char peer[INET6_ADDRSTRLEN];
};

struct dl_queue {
	struct http_conn *first, *last;
	int64_t length_ms;
};

struct route_stat {
	struct histogram *seconds;
	struct {
		int status;
		struct counter *count;
	} by[8];
};

struct cidr {
	uint8_t addr[16];
	unsigned bits;
};

struct http_server {
	struct loop *loop;
	struct http_server_config config; /* its strings are copies */
	struct arena *arena;
	struct http_limits limits;
	const struct route_table *routes;
	struct http_hooks hooks;
	void *app;
	struct event *listener;
	int fd;
	uint16_t port;
	bool announced, draining, stopping, listener_paused;
	uint64_t unlisten_at; /* the second step of closing; 0: none */
	uint64_t drained_ms; /* when that began */

	struct http_conn *conns;
	unsigned n_conns, n_reqs;
	struct http_conn *dirty;
	struct sse *orphans; /* opened after the peer had gone */
	struct loop_hook hook;
	struct dl_queue dl[DL_N];
	struct loop_timer timer;

	struct http_req *spare_reqs;
	unsigned n_spare_reqs;
	struct evbuffer *spare_out;
	struct ws_parser *ws_parser;
	struct buf head; /* of the answer being built */
	struct route_stat *stats; /* by route; the last is no route */
	struct counter *gauge_conns;
	struct cidr *proxies;
	size_t n_proxies;
	int64_t date_s;
	char date[48];
	char scratch[CONN_SCRATCH];
};

/* ---- http_server.c ------------------------------------------------- */
void conn_deadline(struct http_conn *c, enum conn_deadline which);
void server_hook(struct http_server *s); /* run it at this turn's end */
void server_timer_by(struct http_server *s, uint64_t at);

/* ---- http_listen.c ------------------------------------------------- */
enum as_status listener_open(struct http_server *s, struct error *err);
void listener_on_timer(struct http_server *s, uint64_t now);
void listener_close(struct http_server *s);

/* ---- http_conn.c --------------------------------------------------- */
struct http_conn *conn_new(struct http_server *s, int fd,
    const struct sockaddr *sa);
void conn_close(struct http_conn *c);
void conn_free(struct http_conn *c); /* by the hook, of a closed one */
void conn_mark(struct http_conn *c); /* look at it at the turn's end */
void conn_turn_end(struct http_conn *c);
void conn_expired(struct http_conn *c, enum conn_deadline which);
void conn_shut(struct http_conn *c); /* after the output is flushed: linger */
void conn_reading(struct http_conn *c, bool on);
/* Answers with an error and closes; takes a request if there is none. */
void conn_refuse(struct http_conn *c, enum error_code code, const char *detail);
/* The request has been answered and nothing runs for it any more. */
void conn_request_end(struct http_req *req);

/* ---- http_write.c -------------------------------------------------- */
void conn_writev(struct http_conn *c, struct iovec *iov, int n); /* now */
void conn_add(struct http_conn *c, const void *p, size_t len);
void conn_add_rcbuf(struct http_conn *c, const struct rcbuf *r);
void conn_add_file(struct http_conn *c, int fd, int64_t at, int64_t len);
void conn_flush(struct http_conn *c);
void conn_tell_drained(struct http_conn *c);
size_t conn_pending(const struct http_conn *c);
void conn_on_write(evutil_socket_t fd, short what, void *arg);

/* ---- http_req.c ---------------------------------------------------- */
struct http_req *req_take(struct http_server *s, struct http_conn *c);
void req_put(struct http_req *req);
bool req_is_safe(const struct http_req *req); /* GET, HEAD */
bool req_is_head(const struct http_req *req);

/* ---- http_run.c ---------------------------------------------------- */
void req_head_done(struct http_req *req); /* route, decide about the body */
bool req_start(struct http_req *req); /* the fiber; false: none left */
void req_account(struct http_req *req); /* metrics and the access log */

/* ---- http_check.c -------------------------------------------------- */
enum as_status req_check_query(struct http_req *req, struct error *err);
enum as_status req_check_body(struct http_req *req, struct error *err);

/* ---- http_reply.c -------------------------------------------------- */
void reply_head(struct http_req *req, int status, const char *type,
    int64_t length); /* into server->head; length < 0: not said */
void reply_file(struct http_req *req, int status, const char *type, int fd,
    int64_t at, int64_t len);
void reply_held(struct http_req *req);
void reply_taken(struct http_req *req, int status);

/* ---- http_origin.c ------------------------------------------------- */
void cors_add(struct http_req *req, struct buf *head);
void cors_preflight(struct http_req *req);

/* ---- http_peer.c --------------------------------------------------- */
bool cidr_parse(const char *s, struct cidr *out);
bool peer_is_proxy(const struct http_server *s, const struct in6_addr *a);
void peer_from_sockaddr(const struct sockaddr *sa, struct in6_addr *out);

/* ---- sse.c, ws.c --------------------------------------------------- */
void sse_gone(struct sse *s); /* calls on_close and frees */
void sse_drained(struct sse *s);
void sse_beat(struct sse *s);
void sse_shut(struct sse *s); /* drain */
struct sse *sse_orphan_next(struct sse *s);
void ws_input(struct ws *ws, const char *p, size_t len);
void ws_gone(struct ws *ws);
void ws_drained(struct ws *ws);
void ws_beat(struct ws *ws);
void ws_parser_free(struct ws_parser *p);

#endif
