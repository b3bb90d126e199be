/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"

/*
 * Bump allocation from a list of blocks, newest first; only the newest has
 * room.  A large allocation gets a block of its own behind the newest, so that
 * it does not waste what is left there.  With ARENA_DEBUG every allocation is
 * such a block.  Invariant: an arena is in its parent's list from arena_new
 * until it ends, and link is where that list points to it.
 */

#define ALIGN _Alignof(max_align_t)
#define FIRST_BLOCK 1008 /* with malloc's own header 1 KiB */
#define LARGEST_BLOCK 32768

struct block {
	struct block *next;
	size_t used;
	size_t cap;
	max_align_t data[];
};

struct cleanup {
	struct cleanup *next;
	void (*fn)(void *);
	void *arg;
};

struct arena {
	struct arena *parent;
	struct arena *children;
	struct arena *next, **link; /* link: what points here */
	struct block *blocks;
	struct cleanup *cleanups;
	size_t size;
};

struct arena *
arena_new(struct arena *parent)
{
	/* glibc's calloc passes its cache of small pieces by. */
	struct arena *a = xmalloc(sizeof(*a));

	*a = (struct arena){ .parent = parent };
	if (parent == NULL)
		return a;
	a->next = parent->children;
	a->link = &parent->children;
	if (a->next != NULL)
		a->next->link = &a->next;
	parent->children = a;
	return a;
}

static void
unlink_arena(struct arena *a)
{
	if (a->link == NULL)
		return;
	*a->link = a->next;
	if (a->next != NULL)
		a->next->link = a->link;
	a->link = NULL;
}

/* The end of an arena that is in no list any more. */
static void
end_arena(struct arena *a)
{
	struct arena *child;
	struct cleanup *c;
	struct block *b;

	while ((child = a->children) != NULL) {
		a->children = child->next;
		if (child->next != NULL)
			child->next->link = &a->children;
		child->link = NULL;
		end_arena(child);
	}
	while ((c = a->cleanups) != NULL) {
		a->cleanups = c->next;
		c->fn(c->arg);
	}
	MUST(a->children == NULL);
	while ((b = a->blocks) != NULL) {
		a->blocks = b->next;
		free(b);
	}
	free(a);
}

void
arena_free(struct arena *a)
{
	if (a == NULL)
		return;
	unlink_arena(a);
	end_arena(a);
}

static struct block *
block_new(size_t cap)
{
	struct block *b = xmalloc(sizeof(*b) + cap);

	b->next = NULL;
	b->used = 0;
	b->cap = cap;
	return b;
}

#ifdef ARENA_DEBUG

static void *
take(struct arena *a, size_t size)
{
	struct block *b = block_new(size);

	b->next = a->blocks;
	a->blocks = b;
	return b->data;
}

#else

/* A block of its own, second in the list. */
static void *
take_large(struct arena *a, size_t size)
{
	struct block *b = block_new(size);

	b->used = size;
	if (a->blocks == NULL) {
		a->blocks = b;
	} else {
		b->next = a->blocks->next;
		a->blocks->next = b;
	}
	return b->data;
}

static void *
take(struct arena *a, size_t size)
{
	struct block *b = a->blocks;
	size_t cap;
	void *p;

	size = (size + ALIGN - 1) / ALIGN * ALIGN;
	if (b == NULL || b->cap - b->used < size) {
		cap = b == NULL ? FIRST_BLOCK - sizeof(*b) : 2 * b->cap;
		if (cap > LARGEST_BLOCK)
			cap = LARGEST_BLOCK;
		if (size > cap / 4)
			return take_large(a, size);
		b = block_new(cap / ALIGN * ALIGN);
		b->next = a->blocks;
		a->blocks = b;
	}
	p = (char *)b->data + b->used;
	b->used += size;
	return p;
}

#endif

void *
arena_alloc(struct arena *a, size_t size)
{
	void *p;

	MUST(size < SIZE_MAX / 2);
	if (size == 0)
		size = 1;
	p = take(a, size);
	a->size += size;
	return memset(p, 0, size);
}

char *
arena_strdup(struct arena *a, const char *s)
{
	return s != NULL ? arena_strndup(a, s, strlen(s)) : NULL;
}

char *
arena_strndup(struct arena *a, const char *s, size_t len)
{
	char *copy = arena_alloc(a, len + 1);

	if (len > 0)
		memcpy(copy, s, len);
	return copy;
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return s;
}

char *
arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
	va_list again;
	char *s;
	int len;

	va_copy(again, ap);
	len = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	MUST(len >= 0);
	s = arena_alloc(a, (size_t)len + 1);
	vsnprintf(s, (size_t)len + 1, fmt, ap);
	return s;
}

void
arena_cleanup(struct arena *a, void (*fn)(void *), void *arg)
{
	struct cleanup *c = arena_alloc(a, sizeof(*c));

	c->fn = fn;
	c->arg = arg;
	c->next = a->cleanups;
	a->cleanups = c;
}

size_t
arena_size(const struct arena *a)
{
	const struct arena *child;
	size_t size = a->size;

	for (child = a->children; child != NULL; child = child->next)
		size += arena_size(child);
	return size;
}
