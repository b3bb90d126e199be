/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_ARENA_H
#define CORE_BASE_ARENA_H

/*
 * Memory by lifetime.
 *
 * Arenas form a tree: process > connection > request or run.  Freeing one
 * frees its children first, then runs its cleanups in reverse order, then
 * gives back the memory.  There is no current arena: it is a parameter or a
 * member.  One thread at a time.  Built with --enable-arena-debug, each
 * allocation is a malloc of its own so that AddressSanitizer sees its edges.
 */

#include <stdarg.h>
#include <stddef.h>

struct arena;

struct arena *arena_new(struct arena *parent); /* parent may be NULL */
void arena_free(struct arena *a); /* NULL does nothing */

/* Zeroed, aligned for any type, valid until the arena ends. */
void *arena_alloc(struct arena *a, size_t size);
char *arena_strdup(struct arena *a, const char *s); /* NULL gives NULL */
char *arena_strndup(struct arena *a, const char *s, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *a, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

/* Call fn(arg) when the arena ends; last added runs first. */
void arena_cleanup(struct arena *a, void (*fn)(void *), void *arg);

/* Bytes handed out, children included. */
size_t arena_size(const struct arena *a);

#endif
