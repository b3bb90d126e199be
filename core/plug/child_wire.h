/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PLUG_CHILD_WIRE_H
#define CORE_PLUG_CHILD_WIRE_H

/*
 * The socket between the host and the process of an isolated plugin: frames of
 * a head and as many bytes as it says, many calls at once by their number.
 * Neither side waits in here.  The other side is not trusted.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/plug/msg.h"

enum wire_type {
	WIRE_HELLO = 1, /* from the child: its description as JSON */
	WIRE_CONF, /* to it: the values of its options as JSON */
	WIRE_READY, /* from it: nothing, or why the values do not fit */
	WIRE_CALL, /* to it: length of the info, the info, the operation */
	WIRE_MSG, /* both ways: a struct msg; extra: number of the service */
	WIRE_CANCEL, /* to it: the caller has left */
	WIRE_ACK, /* to it: extra bytes of the call have been taken in */
	WIRE_SAID, /* to it: extra is what emits are answered from now on */
	WIRE_PING, /* to it; call: any number */
	WIRE_PONG, /* from it, with that number: extra calls are at work */
	WIRE_QUIT /* to it: end, by yourself */
};

struct wire_head {
	uint32_t len; /* of what follows */
	uint32_t type;
	uint32_t call;
	uint32_t extra;
};

struct wire {
	int fd; /* does not block */
	struct buf in, out;
	size_t taken; /* of in */
	size_t sent; /* of out */
};

/* Bytes that wait to be written. */
static inline size_t
wire_waiting(const struct wire *w)
{
	return w->out.len - w->sent;
}

void wire_put(struct wire *w, enum wire_type type, uint32_t call,
    uint32_t extra, const void *bytes, size_t len);
/* A frame of parts: begin, add to w->out, end; cut takes it back. */
size_t wire_begin(struct wire *w, enum wire_type type, uint32_t call,
    uint32_t extra);
void wire_end(struct wire *w, size_t start);
void wire_cut(struct wire *w, size_t start);
/* Bytes of the frame; 0: it would be too long, and is not added. */
size_t wire_put_msg(struct wire *w, uint32_t call, uint32_t extra,
    const struct msg *m);

enum wire_state {
	WIRE_BROKEN = -1, /* nobody is there, or it is no frame */
	WIRE_LATER = 0, /* nothing more at the moment */
	WIRE_DONE = 1
};
enum wire_state wire_flush(struct wire *w); /* DONE: all is written */
enum wire_state wire_fill(struct wire *w); /* DONE: something came */
/* The next whole frame; its bytes are valid until wire_fill. */
enum wire_state wire_next(struct wire *w, struct wire_head *head,
    const char **bytes);
void wire_free(struct wire *w); /* the descriptor is the owner's */

#endif
