/* SPDX-License-Identifier: Apache-2.0 */
#include <agentstudio/toolkit.h>
#include <stdint.h>
#include <stdlib.h>

/*
 * A plugin that takes its process with it.  It is built three times, as probe.c
 * is: for the caller's loop, for the home loop and for the pool.
 */

static enum as_status
fault(struct as_call *call, const void *in)
{
	/* Not NULL: a sanitizer would end the process in its own way. */
	static volatile uintptr_t nowhere = 64;

	(void)call;
	(void)in;
	*(int *)nowhere = 1;
	return AS_OK;
}

static enum as_status
give_up(struct as_call *call, const void *in)
{
	(void)call;
	(void)in;
	abort();
}

/* The loop turns no more. */
static enum as_status
hang(struct as_call *call, const void *in)
{
	static volatile int for_ever = 1;

	(void)call;
	(void)in;
	while (for_ever)
		continue;
	return AS_OK;
}

static __attribute__((noinline)) int
dig(volatile char *above, int n)
{
	volatile char room[1024];

	room[0] = (char)n;
	above[1] = room[0];
	return n < 0 ? 0 : dig(room, n + 1) + room[1];
}

static enum as_status
overflow(struct as_call *call, const void *in)
{
	volatile char room[2];

	(void)in;
	return as_reply_text(call, "%d", dig(room, 1));
}

static const struct as_tool tools[] = {
	{ .name = "fault", .doc = "Writes to nowhere.", .run = fault },
	{ .name = "give_up", .doc = "Aborts.", .run = give_up },
	{ .name = "overflow", .doc = "Calls itself.", .run = overflow },
	{ .name = "hang", .doc = "Goes on for ever.", .run = hang },
	{ .name = "again",
	    .doc = "Writes to nowhere, each time it is called.",
	    .effect = AS_EFFECT_NONE,
	    .run = fault },
	AS_END,
};

AS_PLUGIN(.name = CRASH_NAME, .summary = "Crashes.", .version = "1.0.0",
    .flags = CRASH_FLAGS,
    .toolkit = AS_TOOLKIT(.title = "Crash", .tools = tools));
