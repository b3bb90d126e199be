/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LOOP_CRUMB_H
#define CORE_LOOP_CRUMB_H

/*
 * Breadcrumbs: which piece of work a process was at when it crashed.
 *
 * A file of the process's own, mapped and locked while it lives, has a slot for
 * each thread that works.  A fiber carries an id (fiber_crumb_set); the slot
 * holds it while that fiber runs, at the price of two stores a switch.  A fatal
 * signal marks the slot of the thread that it hit.  Whoever finds the file of
 * a dead process reads what was marked, and nothing else: what other threads
 * were at is innocent.
 */

#include <signal.h>
#include <stdbool.h>

#include "core/base/error.h"
#include "core/base/uuid.h"

struct loop;

struct crumb_slot {
	struct uuid id; /* nil: nothing */
	volatile sig_atomic_t crashed;
	char what[44]; /* set when it crashed */
};

/*
 * Makes this process's file in the folder, which is made if it is not there.
 * Before loops run and pools start.
 */
enum as_status crumb_open(const char *folder, struct error *err);
void crumb_close(void); /* after the last loop is freed; removes the file */

/* A slot for the life of the process; NULL: there is none. */
struct crumb_slot *crumb_take(void);
/* The slot of the calling thread, for the handler of fatal signals. */
void crumb_enter(struct crumb_slot *slot);
/* In a handler: what this thread works for is what the process dies of. */
void crumb_crashed(const char *what);
/* The same for what that loop's thread runs at this moment.  Any thread. */
void loop_crumb_crashed(struct loop *loop);

/* ---- Dead processes ------------------------------------------------ */

struct crumb_dead {
	char *path;
	int fd; /* holds the lock; -1: removed */
	int n_slots;
	struct crumb_slot *slots; /* that were marked */
};

/*
 * The files of processes that are no more, locked against others who look.
 * malloc()ed; n may be 0.
 */
struct crumb_dead *crumb_dead_find(const char *folder, int *n);
/* The i-th slot that was marked in it, or NULL. */
const struct crumb_slot *crumb_dead_slot(const struct crumb_dead *d, int i);
/* Of the array: done with it, and its file is removed. */
void crumb_dead_remove(struct crumb_dead *d);
void crumb_dead_free(struct crumb_dead *list, int n);

#endif
