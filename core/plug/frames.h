/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PLUG_FRAMES_H
#define CORE_PLUG_FRAMES_H

/*
 * Messages as bytes, one after another, on their way from one side of a call to
 * the other.  A queue is under the lock of whoever owns it.
 */

#include <stddef.h>
#include <stdint.h>

struct answer;
struct msg;

struct frame {
	struct frame *next;
	size_t len;
	uint32_t extra; /* child_call.c: number of the service */
	char data[];
};

/* NULL: longer than a frame may be. */
struct frame *frame_new(const struct msg *m);
struct frame *frame_copy(const void *bytes, size_t len, uint32_t extra);
/* Takes f; AS_INTERNAL if it is no answer. */
void frame_answer(struct frame *f, struct answer *out);

struct frames {
	struct frame *first, **last;
	/* That it takes: many small ones must not cost more than they count. */
	size_t bytes;
};

void frames_init(struct frames *q);
void frames_push(struct frames *q, struct frame *f); /* takes f */
struct frame *frames_pop(struct frames *q); /* NULL: it is empty */
void frames_clear(struct frames *q);

#endif
