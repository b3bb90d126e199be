/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop/switch.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef FIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif

#include "core/base/mem.h"

/*
 * The one place that changes the stack pointer.  The saved frame of a parked
 * fiber is, from its sp upwards: mxcsr and x87 control word, r15, r14, r13,
 * r12, rbx, rbp, the return address.  script/fiber-gdb.py knows it too.
 */

#ifdef FIBER_ASM
void ctx_asm_switch(void **save, void *load);

/* clang-format off */
__asm__(".text\n"
	".globl ctx_asm_switch\n"
	".hidden ctx_asm_switch\n"
	".type ctx_asm_switch,@function\n"
	"ctx_asm_switch:\n"
	"\tpush %rbp\n"
	"\tpush %rbx\n"
	"\tpush %r12\n"
	"\tpush %r13\n"
	"\tpush %r14\n"
	"\tpush %r15\n"
	"\tsub $8,%rsp\n"
	"\tstmxcsr (%rsp)\n"
	"\tfnstcw 4(%rsp)\n"
	"\tmov %rsp,(%rdi)\n"
	"\tmov %rsi,%rsp\n"
	"\tfldcw 4(%rsp)\n"
	"\tldmxcsr (%rsp)\n"
	"\tadd $8,%rsp\n"
	"\tpop %r15\n"
	"\tpop %r14\n"
	"\tpop %r13\n"
	"\tpop %r12\n"
	"\tpop %rbx\n"
	"\tpop %rbp\n"
	"\tret\n"
	".size ctx_asm_switch,.-ctx_asm_switch\n");
/* clang-format on */
#endif

void
ctx_init_thread(struct ctx *c)
{
#ifdef FIBER_ASAN
	pthread_attr_t attr;
	void *lo;

	MUST(pthread_getattr_np(pthread_self(), &attr) == 0);
	pthread_attr_getstack(&attr, &lo, &c->stack_len);
	pthread_attr_destroy(&attr);
	c->stack = lo;
#endif
#ifdef FIBER_TSAN
	c->tsan = __tsan_get_current_fiber();
#endif
	(void)c;
}

void
ctx_init(struct ctx *c, char *stack, void (*entry)(void))
{
#ifdef FIBER_ASM
	uintptr_t *sp = (uintptr_t *)(void *)(stack + STACK_SIZE - 16);

	*--sp = 0; /* where unwinding ends */
	*--sp = (uintptr_t)entry;
	for (int i = 0; i < 6; i++)
		*--sp = 0;
	*--sp = 0x037f00001f80u; /* the control words a process starts with */
	c->sp = sp;
#else
	MUST(getcontext(&c->uc) == 0);
	c->uc.uc_stack.ss_sp = stack;
	c->uc.uc_stack.ss_size = STACK_SIZE;
	c->uc.uc_link = NULL;
	makecontext(&c->uc, entry, 0);
#endif
#ifdef FIBER_ASAN
	c->stack = stack;
	c->stack_len = STACK_SIZE;
#endif
#ifdef FIBER_TSAN
	c->tsan = __tsan_create_fiber(0);
#endif
#ifdef VALGRIND_STACK_REGISTER
	c->valgrind_id = VALGRIND_STACK_REGISTER(stack, stack + STACK_SIZE - 1);
#endif
}

void
ctx_fini(struct ctx *c, char *stack)
{
	(void)c;
	(void)stack;
#ifdef FIBER_ASAN
	__asan_unpoison_memory_region(stack, STACK_SIZE);
#endif
#ifdef FIBER_TSAN
	__tsan_destroy_fiber(c->tsan);
#endif
#ifdef VALGRIND_STACK_DEREGISTER
	VALGRIND_STACK_DEREGISTER(c->valgrind_id);
#endif
}

static inline void
ctx_jump(struct ctx *from, struct ctx *to)
{
#ifdef FIBER_TSAN
	__tsan_switch_to_fiber(to->tsan, 0);
#endif
#ifdef FIBER_ASM
	ctx_asm_switch(&from->sp, to->sp);
#else
	swapcontext(&from->uc, &to->uc);
#endif
}

const void *
ctx_top(const struct ctx *c)
{
#ifdef FIBER_ASM
	return c->sp;
#else
	(void)c;
	return NULL;
#endif
}

void
ctx_switch(struct ctx *from, struct ctx *to)
{
#ifdef FIBER_ASAN
	__sanitizer_start_switch_fiber(&from->fake, to->stack, to->stack_len);
#endif
	ctx_jump(from, to);
#ifdef FIBER_ASAN
	__sanitizer_finish_switch_fiber(from->fake, NULL, NULL);
#endif
}

void
ctx_started(void)
{
#ifdef FIBER_ASAN
	__sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
}

void
ctx_leave(struct ctx *from, struct ctx *to)
{
#ifdef FIBER_ASAN
	__sanitizer_start_switch_fiber(NULL, to->stack, to->stack_len);
#endif
	ctx_jump(from, to);
	abort();
}
