/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/plug/child.h"

/*
 * Keeps a process for an isolated plugin: starts one, brings the plugin to
 * serve in it, waits until it has died, and starts the next.  The first death
 * is answered at once, because somebody waits; those that follow soon after
 * each other ever later.  Too many within a minute open a breaker: the plugin
 * has failed, says why, and is tried again after a pause.
 */

#define PAUSE_FIRST_MS 100
#define PAUSE_LAST_MS 60000
#define DEATHS_MAX 5
#define DEATHS_MS 60000
#define START_PAUSE_MS 1000
#define QUIT_MS 2000
#define AWAIT_MS 2000
#define POLL_MS 5

struct keeper {
	struct child *child; /* under the lock of struct plug; NULL: none */
	int64_t deaths[DEATHS_MAX]; /* when, a ring */
	unsigned n_deaths;
	uint64_t pause_ms; /* before the next process */
	atomic_bool replacing; /* it has served, and will soon again */
	bool announced; /* plug_start has been told of the first attempt */
};

struct child *
keeper_child(struct unit *u)
{
	struct child *c;

	pthread_mutex_lock(&u->plug->lock);
	if ((c = u->keeper->child) != NULL)
		child_ref(c);
	pthread_mutex_unlock(&u->plug->lock);
	return c;
}

static void
keeper_set(struct unit *u, struct child *c)
{
	pthread_mutex_lock(&u->plug->lock);
	u->keeper->child = c;
	pthread_mutex_unlock(&u->plug->lock);
}

pid_t
keeper_pid(struct unit *u)
{
	struct child *c = u->keeper != NULL ? keeper_child(u) : NULL;
	pid_t pid = 0;

	if (c == NULL)
		return 0;
	if (!child_is_dead(c))
		pid = c->process.pid;
	child_unref(c);
	return pid;
}

void
keeper_await(struct unit *u)
{
	uint64_t until = loop_now_ms(loop_self()) + AWAIT_MS;

	while (atomic_load(&u->keeper->replacing) &&
	       loop_now_ms(loop_self()) < until &&
	       fiber_sleep(POLL_MS) == FIBER_WOKEN)
		continue;
}

void
keeper_replaces(struct unit *u, bool yes)
{
	atomic_store(&u->keeper->replacing, yes);
}

/* plug_start waits for the first attempt of each. */
static void
keeper_announce(struct unit *u)
{
	if (u->keeper->announced)
		return;
	u->keeper->announced = true;
	u->plug->n_starting--;
	fiber_wake(u->plug->starting);
}

/* How many deaths, this one included, were within a minute? */
static unsigned
deaths_lately(struct keeper *k)
{
	int64_t now = clock_mono_ms();
	unsigned i, n = 0;

	k->deaths[k->n_deaths++ % DEATHS_MAX] = now;
	for (i = 0; i < DEATHS_MAX && i < k->n_deaths; i++)
		n += now - k->deaths[i] < DEATHS_MS;
	return n;
}

static void
keeper_mourn(struct unit *u, const char *why)
{
	struct keeper *k = u->keeper;
	unsigned n = deaths_lately(k);
	char text[256];

	if (n >= DEATHS_MAX) {
		k->pause_ms = PAUSE_LAST_MS;
		keeper_replaces(u, false);
		snprintf(text, sizeof(text),
		    "died %u times within %d s, is tried again after %d s; the "
		    "last time it %.160s",
		    n, DEATHS_MS / 1000, PAUSE_LAST_MS / 1000, why);
		log_err("plugin", "%s: %s", u->name, text);
		unit_fail(u, UNIT_FAILED, text);
		return;
	}
	k->pause_ms = n == 1 ? 0 : (uint64_t)PAUSE_FIRST_MS << (n - 2);
	log_err("plugin", "%s: its process %s: it is started again", u->name,
	    why);
	unit_fail(u, UNIT_RETRYING, why);
}

/* What it died of, without its name. */
static const char *
words_of(const struct unit *u, const struct child *c)
{
	size_t len = strlen(u->name);

	return strncmp(c->why, u->name, len) == 0 && c->why[len] == ' '
		   ? c->why + len + 1
		   : c->why;
}

/* Init has said no: for good, as it is without isolation. */
static void
keeper_refused(struct unit *u, struct child *c, const struct error *err)
{
	log_err("plugin", "%s: init failed, it is disabled: %s", u->name,
	    err->detail);
	unit_fail(u, UNIT_FAILED, err->detail);
	keeper_replaces(u, false);
	child_quit(c);
}

/*
 * From the first word to serving.  False: there is nothing to look after any
 * more, unless it has died.
 */
SUSPENDS static bool
keeper_raise(struct unit *u, struct child *c)
{
	uint64_t pause = START_PAUSE_MS;
	struct error err = { 0 };
	enum as_status st;

	if ((st = child_greet(c, &err)) == AS_OK)
		st = unit_lifecycle(u, OP_INIT, 0, &err);
	if (st != AS_OK) {
		if (st != AS_CANCELED && !child_is_dead(c))
			keeper_refused(u, c, &err);
		error_clear(&err);
		return false;
	}
	u->inited = true;
	while ((st = unit_try(u)) != AS_OK && !child_is_dead(c)) {
		keeper_announce(u);
		keeper_replaces(u, false);
		if (fiber_sleep(pause) != FIBER_WOKEN)
			return false;
		pause = pause * 2 > PAUSE_LAST_MS ? PAUSE_LAST_MS : pause * 2;
	}
	return st == AS_OK;
}

/* One process, from its start to its end.  False: there will be no other. */
SUSPENDS static bool
keeper_live(struct unit *u)
{
	char *sentence = NULL;
	struct child *c = child_new(u, &sentence);
	bool serves, died;

	if (c == NULL) {
		keeper_mourn(u, sentence);
		free(sentence);
		return true;
	}
	keeper_set(u, c);
	serves = keeper_raise(u, c);
	keeper_announce(u);
	if (serves) {
		keeper_replaces(u, false);
		child_wait_dead(c, 0);
	}
	if ((died = child_is_dead(c))) {
		u->inited = false;
		keeper_set(u, NULL);
		keeper_mourn(u, words_of(u, c));
		child_unref(c);
	}
	return died && !fiber_is_canceled();
}

SUSPENDS static void
keeper_fiber(void *arg)
{
	struct unit *u = arg;
	bool again = true;

	while (again) {
		again = keeper_live(u);
		keeper_announce(u);
		if (!again || u->keeper->pause_ms == 0)
			continue;
		again = fiber_sleep(u->keeper->pause_ms) == FIBER_WOKEN;
		if (again)
			unit_fail(u, UNIT_RETRYING, "its process is starting");
	}
}

void
keeper_start(struct unit *u)
{
	u->plug->n_starting++;
	u->starter = fiber_spawn(loop_self(), u->name, keeper_fiber, u);
	if (u->starter.f != NULL)
		return;
	u->plug->n_starting--;
	unit_fail(u, UNIT_FAILED, "no fiber was left");
}

void
keeper_stop(struct unit *u)
{
	struct child *c = u->keeper->child;

	fiber_reap(u->starter);
	if (c == NULL || (c = u->keeper->child) == NULL)
		return;
	child_quit(c);
	child_wait_dead(c, loop_now_ms(c->home) + QUIT_MS);
	child_end(c);
	keeper_set(u, NULL);
	child_unref(c);
}

void
keeper_free(struct unit *u)
{
	if (u->keeper == NULL)
		return;
	MUST(u->keeper->child == NULL);
	free(u->keeper);
}

void
keeper_make(struct unit *u)
{
	u->keeper = xcalloc(1, sizeof(*u->keeper));
}
