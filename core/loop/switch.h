/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LOOP_SWITCH_H
#define CORE_LOOP_SWITCH_H

/*
 * Switching stacks: 25 instructions on x86-64, ucontext elsewhere (and with
 * -DFIBER_UCONTEXT), with what sanitizers and valgrind want to be told.
 *
 * What the switch keeps is what the ABI says a call keeps, and the two
 * floating point control words.
 */

#include <stddef.h>

#include "core/loop/stack.h"

/* Under shadow stacks only ucontext knows what to do. */
#if defined(__x86_64__) && !defined(FIBER_UCONTEXT) && \
    !(defined(__CET__) && (__CET__ & 2))
#define FIBER_ASM 1
#else
#include <ucontext.h>
#endif

struct ctx {
#ifdef FIBER_ASM
	void *sp;
#else
	ucontext_t uc;
#endif
#ifdef FIBER_ASAN
	void *fake;
	const void *stack;
	size_t stack_len;
#endif
#ifdef FIBER_TSAN
	void *tsan;
#endif
	unsigned valgrind_id;
};

/* The context of the calling thread's own stack; before the first switch. */
void ctx_init_thread(struct ctx *c);

/* entry runs on the stack at the first switch to c, and never returns. */
void ctx_init(struct ctx *c, char *stack, void (*entry)(void));
void ctx_fini(struct ctx *c, char *stack); /* not while it runs */

/* Where the stack of a context that has left ends; NULL: not known. */
const void *ctx_top(const struct ctx *c);

void ctx_switch(struct ctx *from, struct ctx *to);
/* The first thing that a new context does. */
void ctx_started(void);
/* As ctx_switch; nothing comes back to the context that leaves. */
_Noreturn void ctx_leave(struct ctx *from, struct ctx *to);

#endif
