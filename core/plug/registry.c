/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/arena.h"
#include "core/base/mem.h"
#include "core/loop/loop.h"
#include "core/plug/unit.h"

/*
 * Replacing what callers look at, while they look.
 *
 * A reader takes the pointer and works with what it finds there, without a
 * lock, until its fiber suspends.  A loop that handles a message is between
 * fibers, so once each loop has answered one that was posted after the new
 * registry was in place, nobody looks at the old one.  Posting to all of them
 * and counting the answers is a round; what retires meanwhile waits for the
 * next.  Whichever loop answers last frees, so nobody has to wait.
 *
 * A unit that is found and then called is counted (unit_hold) before its caller
 * suspends for the first time.  So when no registry lists a unit and nobody
 * holds it, nobody ever will.
 */

struct registry *
registry_now(struct plug *p)
{
	return atomic_load_explicit(&p->registry, memory_order_acquire);
}

struct unit *
unit_hold(struct unit *u)
{
	if (u != NULL)
		atomic_fetch_add(&u->open, 1);
	return u;
}

void
unit_drop(struct unit *u)
{
	if (u != NULL)
		atomic_fetch_sub(&u->open, 1);
}

static struct registry *
registry_make(struct plug *p)
{
	struct arena *arena = arena_new(NULL);
	struct registry *r = arena_alloc(arena, sizeof(*r));
	struct unit *u;
	size_t i;

	r->arena = arena;
	r->units = arena_alloc(arena,
	    (p->n_plugins + 1) * sizeof(struct unit *));
	for (i = 0; i < p->n_plugins; i++) {
		u = p->plugins[i]->current;
		if (u == NULL || atomic_load(&u->state) == UNIT_DISABLED)
			continue;
		atomic_fetch_add(&u->listed, 1);
		r->units[r->n_units++] = u;
	}
	models_fill(p, r);
	return r;
}

static void
registries_free(struct registry *r)
{
	struct registry *older;
	size_t i;

	for (; r != NULL; r = older) {
		older = r->older;
		for (i = 0; i < r->n_units; i++)
			atomic_fetch_sub(&r->units[i]->listed, 1);
		arena_free(r->arena);
	}
}

/* With the lock held.  Gives what may be freed at once. */
static struct registry *
round_begin(struct plug *p)
{
	struct registry *free_now = NULL;
	struct reader *r;

	if (p->n_asked > 0 || p->retired == NULL)
		return NULL;
	p->leaving = p->retired;
	p->retired = NULL;
	for (r = p->readers; r != NULL; r = r->next) {
		r->asked = true;
		p->n_asked++;
		loop_post(r->loop, &r->msg);
	}
	if (p->n_asked == 0) {
		free_now = p->leaving;
		p->leaving = NULL;
	}
	return free_now;
}

/* With the lock held. */
static struct registry *
reader_answers(struct plug *p, struct reader *r)
{
	struct registry *done, *more, *last;

	if (!r->asked)
		return NULL;
	r->asked = false;
	if (--p->n_asked > 0)
		return NULL;
	done = p->leaving;
	p->leaving = NULL;
	/* What has retired since; without readers it can go, too. */
	more = round_begin(p);
	if (more == NULL)
		return done;
	for (last = more; last->older != NULL;)
		last = last->older;
	last->older = done;
	return more;
}

static void
reader_hears(struct loop_msg *m)
{
	struct reader *r = container_of(m, struct reader, msg);
	struct plug *p = r->plug;
	struct registry *done;

	pthread_mutex_lock(&p->lock);
	done = reader_answers(p, r);
	pthread_mutex_unlock(&p->lock);
	registries_free(done);
}

void
registry_publish(struct plug *p)
{
	struct registry *r = registry_make(p), *old, *done = NULL;

	pthread_mutex_lock(&p->lock);
	old = atomic_exchange(&p->registry, r);
	if (old != NULL) {
		old->older = p->retired;
		p->retired = old;
		done = round_begin(p);
	}
	pthread_mutex_unlock(&p->lock);
	registries_free(done);
}

static void
readers_free(struct reader *r)
{
	struct reader *next;

	for (; r != NULL; r = next) {
		next = r->next;
		free(r);
	}
}

void
registry_free_all(struct plug *p)
{
	registries_free(p->leaving);
	registries_free(p->retired);
	registries_free(atomic_load(&p->registry));
	readers_free(p->readers);
	readers_free(p->left);
}

void
plug_join(struct plug *p, struct loop *loop)
{
	struct reader *r = xcalloc(1, sizeof(*r));

	r->plug = p;
	r->loop = loop;
	r->msg.fn = reader_hears;
	pthread_mutex_lock(&p->lock);
	r->next = p->readers;
	p->readers = r;
	pthread_mutex_unlock(&p->lock);
}

void
plug_leave(struct plug *p, struct loop *loop)
{
	struct registry *done = NULL;
	struct reader **at, *r;

	pthread_mutex_lock(&p->lock);
	for (at = &p->readers; *at != NULL && (*at)->loop != loop;)
		at = &(*at)->next;
	if ((r = *at) != NULL) {
		/* Its message may still be on its way, so it stays. */
		*at = r->next;
		r->next = p->left;
		p->left = r;
		done = reader_answers(p, r);
	}
	pthread_mutex_unlock(&p->lock);
	registries_free(done);
}
