/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PLUG_CALL_H
#define CORE_PLUG_CALL_H

/*
 * A call, seen from both sides of the border.
 *
 * struct as_call is the plugin's side: memory, options, the failure, and a
 * link that carries what the plugin says and asks for to the other side.
 * struct exchange is the host's side: who asks, where results go, and the
 * services.  Between them are only struct msg, so the sides may be on one
 * fiber, on two threads, or (as tests do it) divided by bytes.
 */

#include <agentstudio/host.h>

#include "core/base/error.h"
#include "core/plug/msg.h"
#include "core/plug/plug.h"

struct arena;
struct buf;
struct exchange;
struct json_object;
struct relay;
struct unit;

/* What a service gave.  value and bytes are the receiver's. */
struct answer {
	enum as_status status;
	int64_t n;
	struct json_object *value; /* or the failure */
	char *bytes; /* malloc()ed */
	size_t len;
};
void answer_clear(struct answer *a);
struct msg answer_msg(const struct answer *a); /* as it crosses; borrowed */
/* A failure in the form in which it crosses: {message, ...}. */
struct json_object *failure_new(const char *message);
struct json_object *failure_of(const struct error *err);

/* What becomes of the value of a reply. */
enum link_values {
	LINK_KEEPS = 0, /* the other side may keep it: it gets a copy */
	LINK_READS, /* it has been read when emit returns */
	LINK_BORROWS /* it is kept, and the last reply is the one that counts */
};

/* How the plugin's side reaches the other. */
struct link {
	enum link_values values;
	enum as_status (*emit)(struct as_call *call, const struct msg *m);
	SUSPENDS void (*serve)(struct as_call *call, const struct msg *m,
	    struct answer *out);
	/* Wait that long; 0: only look whether the call is over. */
	SUSPENDS enum as_status (*sleep)(struct as_call *call, int64_t ms);
};

struct as_call {
	struct unit *unit;
	const struct link *link;
	void *far; /* the link's own */
	struct arena *arena;
	size_t used; /* of the arena, by the plugin */
	const struct as_call_info *given; /* valid until the call has ended */
	struct as_call_info info; /* call_info */
	struct as_error error;
	bool failed;
	struct as_http_stream *streams;
	struct json_object *kept; /* the call puts it when it ends; or NULL */
	struct json_object *lent; /* the reply, if it is the call's own tree */
};

/* ---- The plugin's side (call.c, op.c, host_*.c) -------------------- */

/*
 * Run one operation to its end.  *failure is what it left behind, or NULL.
 * Returns a status that a plugin may return.
 */
SUSPENDS enum as_status call_run(struct unit *u, const struct msg *op,
    const struct as_call_info *info, const struct link *link, void *far,
    struct json_object **failure);

/* Who calls, with texts that are UTF-8. */
const struct as_call_info *call_info(struct as_call *call);
enum as_status call_fail(struct as_call *call, enum as_status status,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));
enum as_status call_fail_json(struct as_call *call, enum as_status status,
    struct json_object *failure);
/* NULL beyond what one call may have. */
void *call_alloc(struct as_call *call, size_t n);
/* In the call's memory; what is not UTF-8 is replaced.  NULL gives NULL. */
const char *call_text(struct as_call *call, const char *s);
/* The call puts it when it ends. */
struct json_object *call_own(struct as_call *call, struct json_object *v);
SUSPENDS enum as_status call_serve(struct as_call *call, const struct msg *m,
    struct answer *out);

SUSPENDS enum as_status op_run(struct as_call *call, const struct msg *op);
void streams_close(struct as_call *call);

/*
 * as_call_info as bytes of this machine, for the other side.  What is decoded
 * borrows them; false: they are not that.
 */
void info_encode(const struct as_call_info *info, struct buf *b);
bool info_decode(const void *bytes, size_t len, struct as_call_info *info);

/* ---- Values (host_json.c, lend.c) ---------------------------------- */

struct as_json;
struct json_node;
bool value_is_node(const struct as_json *v); /* parsed for a plugin */
/* Borrowed; v is no node. */
struct json_object *value_of(const struct as_json *v);
/* Of any v; the caller puts it. */
struct json_object *value_hold(const struct as_json *v);
const struct as_json *value_to(struct json_object *o);
const struct as_json *value_to_node(const struct json_node *n);
/* A text as the call's own value; NULL: it is not JSON. */
const struct as_json *value_parse(struct as_call *call, const char *text,
    size_t len);
/*
 * A copy without any trace of how it was built; the caller puts it.  AS_LIMIT
 * or AS_INVALID with the failure in the call if the tree is bad.
 */
enum as_status value_copy(struct as_call *call, const struct as_json *v,
    struct json_object **out);
/*
 * lend.c.  The tree itself, borrowed, for a reply that needs no copy.  NULL: it
 * does, because v is no tree that the call has built, or the link says so.
 */
struct json_object *value_lend(struct as_call *call, const struct as_json *v);
/* The last reply that was taken is that tree; NULL: it is something else. */
void value_lent(struct as_call *call, struct json_object *o);
/* What is lent outlives the call. */
void value_give(struct as_call *call);

/* ---- The host's side (exchange.c, serve.c, channel.c) -------------- */

struct file_writer;
struct serve_program;
struct serve_stream;
struct serve_tcp;

struct exchange {
	struct plug *plug;
	struct unit *unit;
	const struct plug_caller *who;
	const struct plug_sink *sink;
	struct msg op;
	int64_t timeout_ms; /* 0: only the fiber's deadline */
	bool lifecycle; /* init, start, stop: no matter which state */
	enum as_status (*take)(struct exchange *x, const struct msg *emit);
	void *taker; /* take's own */
	const struct relay *relay; /* child.h: the host is another process */
	struct serve_stream *streams;
	uint32_t last_stream;
	bool parked; /* it has asked, and there is no answer yet */
	/* It has succeeded; before what it wrote is kept. */
	SUSPENDS void (*succeeded)(struct exchange *x);
	struct file_writer *files; /* that the call writes */
	struct file_writer *spill; /* one of them, which may be left out */
	struct uuid spilled; /* its id, once it is kept */
	struct serve_program *programs;
	struct serve_tcp *tcps;

	/* While it runs on a fiber: one of the calls of its loop. */
	struct exchange *next, **at;
	struct fiber_ref fiber;
	bool expired; /* its generation may not wait longer */
};

/* Makes the call; the failure as a public error. */
SUSPENDS enum as_status exchange_run(struct exchange *x, struct error *err);
/* One service for the plugin; on the caller's fiber. */
SUSPENDS void exchange_serve(struct exchange *x, const struct msg *m,
    struct answer *out);
/* The call, in this process; on whichever thread it belongs to. */
SUSPENDS enum as_status exchange_here(struct exchange *x,
    const struct as_call_info *info, struct json_object **failure);
enum as_status exchange_emit(struct exchange *x, const struct msg *m);
SUSPENDS void exchange_close(struct exchange *x); /* what was left open */
/* serve_account.c: secrets and credentials */
enum as_status serve_account(struct exchange *x, const struct msg *m,
    struct answer *out, struct error *err);
/* serve_ask.c */
SUSPENDS enum as_status serve_ask(struct exchange *x, const struct msg *m,
    struct answer *out, struct error *err);
/* Ends the calls of u that were made on this loop, as its deadline would. */
void exchanges_expire(const struct unit *u);

/* link->sleep of a plugin that runs on a fiber. */
SUSPENDS enum as_status fiber_wait_ms(struct as_call *call, int64_t ms);
/* The plugin runs on another thread: its home loop, or the pool. */
SUSPENDS enum as_status channel_run(struct exchange *x,
    const struct as_call_info *info, struct json_object **failure);

/* Log lines and counters of a plugin; any thread. */
void unit_log(struct unit *u, const char *correlation_id, int64_t level,
    const char *text);
void unit_count(struct unit *u, const char *name, double add);

#endif
