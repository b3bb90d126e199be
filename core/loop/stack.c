/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop/stack.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "core/base/mem.h"

/*
 * Slabs of 64 slots, each a guard and above it a stack.  A slab is never
 * unmapped, so its list is only appended to and the fault handler may walk it
 * at any moment.
 *
 * A guard is MADV_GUARD_INSTALL where the kernel has it (6.13): it does not
 * split the mapping.  Elsewhere it is mprotect, two maps a stack, and the
 * number of stacks is kept well below vm.max_map_count: past that, malloc
 * and dlopen fail too.  FIBER_MPROTECT=1 in the environment asks for it.
 */

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define SLAB_SLOTS 64
#define SLOT_SIZE (STACK_GUARD + STACK_SIZE)
#define SLAB_SIZE (SLAB_SLOTS * SLOT_SIZE)
#define RED_ZONE ((size_t)256) /* 128 bytes, says the ABI */
#define TRIM_KEEP ((size_t)32 * 1024)
#define MAPS_RESERVE 4096 /* for everything that is not a stack */
#define TSAN_MAX 4000 /* it dies of 8,128 fibers and threads */

struct slab {
	struct slab *next;
	uintptr_t base;
	unsigned n_used; /* slots handed out at least once */
};

/* A stack that was given back; the list lives outside the stacks. */
struct spare {
	struct spare *next;
	char *stack;
};

static _Atomic(struct slab *) slabs; /* newest first */
static pthread_mutex_t stack_mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t stack_once = PTHREAD_ONCE_INIT;
static struct spare *spares;
static unsigned n_stacks;
static unsigned max_wanted;
static unsigned max_possible;
static bool use_mprotect;

static bool
guard_install(char *p)
{
	if (use_mprotect)
		return mprotect(p, STACK_GUARD, PROT_NONE) == 0;
	return madvise(p, STACK_GUARD, MADV_GUARD_INSTALL) == 0;
}

static bool
guard_is_light(void)
{
	const char *env = getenv("FIBER_MPROTECT");
	char *p;
	int rc;

	if (env != NULL && *env != '\0' && *env != '0')
		return false;
	p = mmap(NULL, STACK_GUARD, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return false;
	rc = madvise(p, STACK_GUARD, MADV_GUARD_INSTALL);
	munmap(p, STACK_GUARD);
	return rc == 0;
}

static unsigned
maps_max(void)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
	unsigned n = 65530;

	if (f != NULL) {
		if (fscanf(f, "%u", &n) != 1)
			n = 65530;
		fclose(f);
	}
	return n;
}

static unsigned
maps_used(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned n = 0;
	int c;

	if (f == NULL)
		return 0;
	while ((c = fgetc(f)) != EOF)
		n += c == '\n';
	fclose(f);
	return n;
}

static void
stack_setup(void)
{
	unsigned max, used;

	use_mprotect = !guard_is_light();
	max_possible = UINT32_MAX;
	if (use_mprotect) {
		max = maps_max();
		used = maps_used() + MAPS_RESERVE;
		max_possible = max > used ? (max - used) / 2 : 0;
		if (max_possible < SLAB_SLOTS)
			max_possible = SLAB_SLOTS;
	}
#ifdef FIBER_TSAN
	if (max_possible > TSAN_MAX)
		max_possible = TSAN_MAX;
#endif
}

void
stack_limit(unsigned max)
{
	pthread_mutex_lock(&stack_mu);
	max_wanted = max;
	pthread_mutex_unlock(&stack_mu);
}

static struct slab *
slab_new(void)
{
	struct slab *s;
	char *p;

	p = mmap(NULL, SLAB_SIZE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	madvise(p, SLAB_SIZE, MADV_NOHUGEPAGE);
#ifdef PR_SET_VMA
	prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p, SLAB_SIZE, "fiber stacks");
#endif
	for (size_t i = 0; i < SLAB_SLOTS; i++)
		if (!guard_install(p + i * SLOT_SIZE)) {
			munmap(p, SLAB_SIZE);
			return NULL;
		}
	s = xcalloc(1, sizeof(*s));
	s->base = (uintptr_t)p;
	s->next = atomic_load(&slabs);
	atomic_store(&slabs, s);
	return s;
}

static char *
stack_new(void)
{
	struct slab *s = atomic_load(&slabs);

	if (n_stacks >= max_possible ||
	    (max_wanted != 0 && n_stacks >= max_wanted))
		return NULL;
	if ((s == NULL || s->n_used == SLAB_SLOTS) && (s = slab_new()) == NULL)
		return NULL;
	n_stacks++;
	return (char *)s->base + s->n_used++ * SLOT_SIZE + STACK_GUARD;
}

char *
stack_get(void)
{
	struct spare *sp;
	char *p;

	pthread_once(&stack_once, stack_setup);
	pthread_mutex_lock(&stack_mu);
	if ((sp = spares) != NULL) {
		spares = sp->next;
		p = sp->stack;
		free(sp);
	} else
		p = stack_new();
	pthread_mutex_unlock(&stack_mu);
	return p;
}

void
stack_put(char *stack)
{
	struct spare *sp = xmalloc(sizeof(*sp));

	madvise(stack, STACK_SIZE, MADV_DONTNEED);
	sp->stack = stack;
	pthread_mutex_lock(&stack_mu);
	sp->next = spares;
	spares = sp;
	pthread_mutex_unlock(&stack_mu);
}

void
stack_trim(char *stack)
{
	madvise(stack, STACK_SIZE - TRIM_KEEP, MADV_DONTNEED);
}

void
stack_trim_below(char *stack, const void *at)
{
	size_t used, free_bytes;

	if (at == NULL)
		return;
	used = (size_t)((const char *)at - stack);
	free_bytes = used > RED_ZONE ? (used - RED_ZONE) & ~(size_t)4095 : 0;
	if (free_bytes > 0)
		madvise(stack, free_bytes, MADV_DONTNEED);
}

bool
stack_is_guard(const void *at)
{
	uintptr_t p = (uintptr_t)at;
	struct slab *s;

	for (s = atomic_load(&slabs); s != NULL; s = s->next)
		if (p >= s->base && p < s->base + SLAB_SIZE)
			return (p - s->base) % SLOT_SIZE < STACK_GUARD;
	return false;
}
