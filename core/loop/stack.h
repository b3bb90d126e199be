/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LOOP_STACK_H
#define CORE_LOOP_STACK_H

/*
 * Stacks for fibers: 256 KiB of address space each, committed when touched,
 * with 64 KiB below that cannot be touched.  A frame that is larger than the
 * guard could step over it: frames are kept small and compiled with
 * -fstack-clash-protection.
 *
 * Stacks come from slabs that the whole process shares and that stay mapped.
 * stack_get and stack_put are for any thread.
 */

#include <stdbool.h>
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define FIBER_TSAN 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define FIBER_TSAN 1
#endif
#endif

/* AddressSanitizer puts room around every variable: frames grow. */
#ifdef FIBER_ASAN
#define STACK_SIZE ((size_t)1024 * 1024)
#else
#define STACK_SIZE ((size_t)256 * 1024)
#endif
#define STACK_GUARD ((size_t)64 * 1024)

/* The most stacks of the process; 0: as many as the kernel allows. */
void stack_limit(unsigned max);

/* The lowest address, or NULL at the limit or without address space. */
char *stack_get(void);
void stack_put(char *stack);

/* Give back the memory that a spare stack has touched far down. */
void stack_trim(char *stack);
/* The same of one in use, whose lowest byte in use is at; NULL: not known. */
void stack_trim_below(char *stack, const void *at);

/* Is it in the guard of a stack?  Safe in a signal handler. */
bool stack_is_guard(const void *at);

/*
 * From here on a fault on this thread names what ran (must_where) on standard
 * error before the process dies of it.  fault_leave takes what fault_enter
 * gave: the thread's alternate signal stack, or NULL if it had one before.
 */
void *fault_enter(void);
void fault_leave(void *sigstack);

#endif
