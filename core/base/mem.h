/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_MEM_H
#define CORE_BASE_MEM_H

/*
 * Memory that cannot fail, and conditions that must hold.
 *
 * Small allocations abort when there is no memory: no caller could do better.
 * Sizes that a peer controls are bounded before they come here.  MUST() stays
 * on in production; it prints the place and the running fiber, then aborts.
 * Any thread.
 */

#include <stddef.h>
#include <stdlib.h>

#define MUST(cond) ((cond) ? (void)0 : must_failed(#cond, __FILE__, __LINE__))

#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define N_ITEMS(a) (sizeof(a) / sizeof((a)[0]))

/* Owned by the caller, to be free()d.  Sizes of 0 are allowed. */
void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s); /* NULL gives NULL */
char *xstrndup(const char *s, size_t len);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

_Noreturn void must_failed(const char *cond, const char *file, int line);

/* Names what runs just now, for must_failed; set by core/loop. */
extern const char *(*must_where)(void);

#endif
