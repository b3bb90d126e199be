/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/plug/child.h"

/*
 * Keeps a process for an isolated plugin.  The life of a plugin is the same as
 * in the host (life.c); before init a process is started, and after fini it is
 * ended.  Once the plugin serves, a fiber waits for the death of the process
 * and starts the next.  The first death is answered at once, because somebody
 * waits; those that follow soon after each other ever later.  Too many within a
 * minute open a breaker: the plugin has failed, says why, and is tried again
 * after a pause.
 */

#define PAUSE_FIRST_MS 100
#define PAUSE_LAST_MS 60000
#define START_PAUSE_MS 1000
#define DEATHS_MAX 5
#define DEATHS_MS 60000
#define QUIT_MS 2000
#define AWAIT_MS 2000
#define POLL_MS 5

struct guard {
	struct child *child; /* under the lock of struct plug; NULL: none */
	struct fiber_ref fiber;
	int64_t deaths[DEATHS_MAX]; /* when, a ring */
	unsigned n_deaths;
	uint64_t pause_ms; /* before the next process */
	atomic_bool replacing; /* it has served, and will soon again */
};

/* ---- The process of the moment ------------------------------------- */

struct child *
guard_child(struct unit *u)
{
	struct child *c;

	pthread_mutex_lock(&u->plug->lock);
	if ((c = u->guard->child) != NULL)
		child_ref(c);
	pthread_mutex_unlock(&u->plug->lock);
	return c;
}

static void
guard_set(struct unit *u, struct child *c)
{
	struct child *old;

	pthread_mutex_lock(&u->plug->lock);
	old = u->guard->child;
	u->guard->child = c;
	pthread_mutex_unlock(&u->plug->lock);
	if (old != NULL)
		child_unref(old);
}

static bool
guard_has_process(struct unit *u)
{
	return u->guard->child != NULL && !child_is_dead(u->guard->child);
}

pid_t
guard_pid(const struct unit *u)
{
	struct child *c = u->guard != NULL ? u->guard->child : NULL;

	return c != NULL && !child_is_dead(c) ? c->process.pid : 0;
}

void
guard_replaces(struct unit *u)
{
	atomic_store(&u->guard->replacing, true);
}

void
guard_await(struct unit *u)
{
	uint64_t until = loop_now_ms(loop_self()) + AWAIT_MS;

	while (atomic_load(&u->guard->replacing) &&
	       loop_now_ms(loop_self()) < until &&
	       fiber_sleep(POLL_MS) == FIBER_WOKEN)
		continue;
}

/* A process that has its options. */
SUSPENDS static enum as_status
guard_raise(struct unit *u, struct error *err)
{
	char *sentence = NULL;
	struct child *c = child_new(u, &sentence);
	enum as_status st;

	if (c == NULL) {
		st = error_set(err, ERR_UNAVAILABLE, "%s", sentence);
		free(sentence);
		return st;
	}
	guard_set(u, c);
	return child_greet(c, err);
}

/* ---- After a death ------------------------------------------------- */

/* How many deaths, this one included, were within a minute? */
static unsigned
deaths_lately(struct guard *g)
{
	int64_t now = clock_mono_ms();
	unsigned i, n = 0;

	g->deaths[g->n_deaths++ % DEATHS_MAX] = now;
	for (i = 0; i < DEATHS_MAX && i < g->n_deaths; i++)
		n += now - g->deaths[i] < DEATHS_MS;
	return n;
}

static void
guard_mourn(struct unit *u, const char *words)
{
	struct guard *g = u->guard;
	unsigned n = deaths_lately(g);
	size_t len = strlen(u->name);
	char why[256], text[400];

	if (strncmp(words, u->name, len) == 0 && words[len] == ' ')
		words += len + 1;
	snprintf(why, sizeof(why), "%s", words);
	if (n >= DEATHS_MAX) {
		g->pause_ms = PAUSE_LAST_MS;
		atomic_store(&g->replacing, false);
		snprintf(text, sizeof(text),
		    "died %u times within %d s, is tried again after %d s; the "
		    "last time it %s",
		    n, DEATHS_MS / 1000, PAUSE_LAST_MS / 1000, why);
		log_err("plugin", "%s: %s", u->name, text);
		unit_fail(u, UNIT_FAILED, text);
		return;
	}
	g->pause_ms = n == 1 ? 0 : (uint64_t)PAUSE_FIRST_MS << (n - 2);
	log_err("plugin", "%s: its process %s: it is started again", u->name,
	    why);
	unit_fail(u, UNIT_RETRYING, why);
}

/* From nothing to serving. */
SUSPENDS static enum as_status
guard_revive(struct unit *u)
{
	struct guard *g = u->guard;
	struct error err = { 0 };
	enum as_status st = AS_OK;

	if (!guard_has_process(u))
		st = unit_lifecycle(u, OP_INIT, 0, &err);
	if (st == AS_OK)
		st = unit_try(u);
	if (st != AS_OK && st != AS_CANCELED) {
		if (guard_has_process(u)) /* it does not want to start */
			g->pause_ms = START_PAUSE_MS;
		else
			guard_mourn(u,
			    err.detail[0] != '\0' ? err.detail : u->error);
	}
	error_clear(&err);
	return st;
}

SUSPENDS static void
guard_fiber(void *arg)
{
	struct unit *u = arg;
	struct guard *g = u->guard;
	struct child *c = guard_child(u);
	enum as_status st = AS_OK;

	while (c != NULL && st == AS_OK && !fiber_is_canceled()) {
		child_wait_dead(c, 0);
		/* One that has not served yet is started by those who try. */
		if (fiber_is_canceled() || !atomic_load(&g->replacing))
			break;
		guard_mourn(u, c->why);
		do {
			if (g->pause_ms > 0 &&
			    fiber_sleep(g->pause_ms) != FIBER_WOKEN)
				break;
			st = guard_revive(u);
		} while (st != AS_OK && st != AS_CANCELED);
		atomic_store(&g->replacing, false);
		child_unref(c);
		c = guard_child(u);
	}
	if (c != NULL)
		child_unref(c);
}

/* ---- Around the steps of a life ------------------------------------ */

/* The end of its process, if it has one. */
void
guard_end(struct unit *u)
{
	struct child *c = u->guard->child;

	if (c == NULL)
		return;
	child_quit(c);
	child_wait_dead(c, loop_now_ms(c->home) + QUIT_MS);
	child_end(c);
	guard_set(u, NULL);
}

void
guard_rest(struct unit *u)
{
	if (u->guard == NULL)
		return;
	fiber_reap(u->guard->fiber);
	atomic_store(&u->guard->replacing, false);
}

bool
guard_before(struct unit *u, int kind, enum as_status *st, struct error *err)
{
	*st = AS_OK;
	if (kind == OP_INIT)
		*st = guard_raise(u, err);
	else if (kind == OP_START && !guard_has_process(u))
		/* It died when it started the last time. */
		*st = unit_lifecycle(u, OP_INIT, 0, err);
	else if ((kind == OP_STOP || kind == OP_FINI) && !guard_has_process(u))
		kind = 0; /* there is nothing to end */
	return *st == AS_OK && kind != 0;
}

void
guard_after(struct unit *u, int kind, enum as_status st)
{
	struct guard *g = u->guard;

	if (kind == OP_FINI)
		guard_rest(u);
	if (kind == OP_FINI || (kind == OP_INIT && st != AS_OK))
		guard_end(u);
	if (kind == OP_INIT && st == AS_OK && !fiber_is_alive(g->fiber))
		g->fiber = fiber_spawn(loop_self(), u->name, guard_fiber, u);
}

void
guard_make(struct unit *u)
{
	u->guard = xcalloc(1, sizeof(*u->guard));
}

void
guard_free(struct unit *u)
{
	if (u->guard == NULL)
		return;
	MUST(u->guard->child == NULL);
	free(u->guard);
}
