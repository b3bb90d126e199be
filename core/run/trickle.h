/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_TRICKLE_H
#define CORE_RUN_TRICKLE_H

/*
 * When text that comes in small pieces is shown.
 *
 * The first piece at once, and any that comes TRICKLE_MS after the last frame
 * or later; what comes sooner waits until then, so nothing is ever late by
 * more than that.  Much text (TRICKLE_BYTES) does not wait, and the end of a
 * line only half as long.  "At once" is the end of the loop's turn, where frames
 * leave anyway: what comes in one read is one frame.
 *
 * On the loop's thread.
 */

#include "core/loop/loop.h"

#define TRICKLE_MS 40
#define TRICKLE_LINE_MS 20
#define TRICKLE_BYTES 512

struct trickle {
	struct loop *loop;
	void (*show)(struct trickle *t); /* all that waits; calls _shown */
	struct loop_hook hook;
	struct loop_timer timer;
	uint64_t shown_ms;
	bool begun; /* false: what comes first is shown at once */
};

void trickle_init(struct trickle *t, struct loop *loop,
    void (*show)(struct trickle *t));
/* A piece has come; that many bytes wait now. */
void trickle_come(struct trickle *t, const char *piece, size_t len,
    size_t waiting);
void trickle_shown(struct trickle *t);
/* Nothing waits any more; what comes next is the first again. */
void trickle_reset(struct trickle *t);

#endif
