/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/loop.h"
#include "core/plug/call.h"
#include "core/plug/child.h"
#include "core/plug/unit.h"

/*
 * From loaded to serving and back.  All of it happens on fibers of the home
 * loop.  A plugin that cannot start is tried again, ever more seldom, while the
 * others serve; one whose init fails is out.
 */

#define RETRY_FIRST_MS 1000
#define RETRY_LAST_MS 60000
#define START_MS 30000 /* one attempt */
#define STOP_MS 5000
#define PATIENCE_MS 2000
#define POLL_MS 10
#define EXPIRE_AGAIN_MS 1000

enum as_status
unit_lifecycle(struct unit *u, int kind, int64_t timeout_ms, struct error *err)
{
	struct exchange x = { .plug = u->plug,
		.unit = u,
		.lifecycle = true,
		.op = { .kind = (enum msg_kind)kind },
		.timeout_ms = timeout_ms };
	enum as_status st;

	if (u->guard == NULL)
		return exchange_run(&x, err);
	if (guard_before(u, kind, &st, err))
		st = exchange_run(&x, err);
	guard_after(u, kind, st);
	return st;
}

SUSPENDS static void
unit_fini(struct unit *u)
{
	struct error err = { 0 };

	if (unit_lifecycle(u, OP_FINI, 0, &err) != AS_OK)
		log_warn("plugin", "%s: fini failed: %s", u->name, err.detail);
	error_clear(&err);
	u->inited = false;
}

SUSPENDS static bool
unit_init(struct unit *u)
{
	struct error err = { 0 };
	bool ok = unit_lifecycle(u, OP_INIT, 0, &err) == AS_OK;

	if (!ok) {
		log_err("plugin", "%s: init failed, it is disabled: %s",
		    u->name, err.detail);
		unit_fail(u, UNIT_FAILED, err.detail);
	}
	u->inited = ok;
	error_clear(&err);
	return ok;
}

enum as_status
unit_try(struct unit *u)
{
	struct error err = { 0 };
	enum as_status st = AS_OK;

	if (u->file->about.start != NULL)
		st = unit_lifecycle(u, OP_START, START_MS, &err);
	if (st == AS_OK) {
		unit_fail(u, UNIT_SERVING, "");
		models_ask(u);
		registry_publish(u->plug);
	} else if (st != AS_CANCELED) {
		log_err("plugin", "%s: start failed, it is tried again: %s",
		    u->name, err.detail);
		unit_fail(u, UNIT_RETRYING, err.detail);
	}
	error_clear(&err);
	return st;
}

SUSPENDS static void
unit_starter(void *arg)
{
	struct unit *u = arg;
	uint64_t pause = RETRY_FIRST_MS;
	enum as_status st = unit_try(u);

	u->plug->n_starting--;
	fiber_wake(u->plug->starting);
	while (st != AS_OK && fiber_sleep(pause) == FIBER_WOKEN) {
		st = unit_try(u);
		pause = pause * 2 > RETRY_LAST_MS ? RETRY_LAST_MS : pause * 2;
	}
}

enum as_status
unit_begin(struct unit *u, struct error *err)
{
	enum as_status st = unit_lifecycle(u, OP_INIT, 0, err);

	if (st != AS_OK)
		return st;
	u->inited = true;
	if (u->file->about.start != NULL)
		st = unit_lifecycle(u, OP_START, START_MS, err);
	if (st != AS_OK) {
		unit_fini(u);
		return st;
	}
	models_ask(u);
	unit_fail(u, UNIT_SERVING, "");
	return AS_OK;
}

static void
starter_spawn(struct unit *u)
{
	u->plug->n_starting++;
	u->keeper = fiber_spawn(loop_self(), u->name, unit_starter, u);
	if (u->keeper.f == NULL) {
		u->plug->n_starting--;
		unit_fail(u, UNIT_FAILED, "no fiber was left");
	}
}

void
plug_start(struct plug *p)
{
	uint64_t patience = loop_now_ms(loop_self()) + PATIENCE_MS;
	struct unit *u;
	bool is_isolated = false;
	size_t i;

	for (i = 0; i < p->n_plugins; i++) {
		u = p->plugins[i]->current;
		is_isolated = is_isolated || u->guard != NULL;
		if (atomic_load(&u->state) == UNIT_LOADED && unit_init(u))
			starter_spawn(u);
	}
	if (is_isolated)
		child_held_say(p);
	/* Who takes longer, such as one that asks a server, comes later. */
	while (p->n_starting > 0) {
		p->starting = fiber_prepare();
		if (fiber_suspend(patience) != FIBER_WOKEN)
			break;
	}
	registry_publish(p);
}

/* Calls that are open end by themselves or with their fibers. */
SUSPENDS static bool
unit_is_idle(struct unit *u)
{
	while (atomic_load(&u->open) > 0 && fiber_sleep(POLL_MS) == FIBER_WOKEN)
		continue;
	return atomic_load(&u->open) == 0;
}

/* The end of a generation: nothing calls it any more. */
SUSPENDS static void
unit_end(struct unit *u)
{
	struct error err = { 0 };

	if (u->file->about.stop != NULL &&
	    unit_lifecycle(u, OP_STOP, STOP_MS, &err) != AS_OK)
		log_warn("plugin", "%s: stop failed: %s", u->name, err.detail);
	error_clear(&err);
	unit_fini(u);
}

SUSPENDS static void
unit_stop(struct unit *u)
{
	if (unit_is_idle(u))
		unit_end(u);
	else
		log_warn("plugin",
		    "%s: %u calls are still open: it is not ended", u->name,
		    atomic_load(&u->open));
	if (u->guard != NULL)
		guard_end(u);
}

/* ---- A generation that was replaced -------------------------------- */

/* Goes to a loop and has it end the calls that were made there. */
struct expiry {
	struct loop_msg msg;
	struct unit *unit;
};

static void
expiry_arrives(struct loop_msg *m)
{
	struct expiry *e = container_of(m, struct expiry, msg);

	exchanges_expire(e->unit);
	unit_drop(e->unit);
	free(e);
}

static void
calls_expire(struct unit *u)
{
	struct plug *p = u->plug;
	struct reader *r;
	struct expiry *e;

	pthread_mutex_lock(&p->lock);
	for (r = p->readers; r != NULL; r = r->next) {
		e = xcalloc(1, sizeof(*e));
		e->msg.fn = expiry_arrives;
		e->unit = unit_hold(u);
		loop_post(r->loop, &e->msg);
	}
	pthread_mutex_unlock(&p->lock);
}

static bool
is_in_use(struct unit *u)
{
	return atomic_load(&u->listed) > 0 || atomic_load(&u->open) > 0;
}

/* False: this fiber was cancelled. */
SUSPENDS static bool
unit_drain(struct unit *u)
{
	struct loop *home = loop_self();
	uint64_t until = loop_now_ms(home) + u->plug->services.grace_ms;

	while (is_in_use(u)) {
		if (fiber_sleep(POLL_MS) != FIBER_WOKEN)
			return false;
		if (loop_now_ms(home) < until)
			continue;
		log_warn("plugin",
		    "%s: generation %u still has %u calls, which are ended",
		    u->name, u->generation, atomic_load(&u->open));
		calls_expire(u);
		until = loop_now_ms(home) + EXPIRE_AGAIN_MS;
	}
	return true;
}

static void
draining_remove(struct unit *u)
{
	struct unit **at = &u->of->draining;

	pthread_mutex_lock(&u->plug->lock);
	while (*at != u)
		at = &(*at)->older;
	*at = u->older;
	pthread_mutex_unlock(&u->plug->lock);
}

SUSPENDS static void
unit_keeper(void *arg)
{
	struct unit *u = arg;

	if (!unit_drain(u))
		return; /* plug_stop does the rest */
	if (u->inited) {
		atomic_store(&u->state, UNIT_STOPPED);
		unit_end(u);
		/* Another thread may still be on its way out of stop. */
		if (!unit_drain(u))
			return;
	}
	if (u->guard != NULL)
		guard_end(u);
	log_info("plugin", "%s: generation %u has ended", u->name,
	    u->generation);
	draining_remove(u);
	unit_free(u);
}

void
unit_retire(struct unit *u)
{
	fiber_reap(u->keeper);
	guard_rest(u); /* if its process dies now, nobody needs another */
	atomic_store(&u->state, UNIT_DRAINING);
	pthread_mutex_lock(&u->plug->lock);
	u->older = u->of->draining;
	u->of->draining = u;
	pthread_mutex_unlock(&u->plug->lock);
	u->keeper = fiber_spawn(loop_self(), u->name, unit_keeper, u);
	if (u->keeper.f == NULL)
		log_warn("plugin", "%s: generation %u stays: no fiber was left",
		    u->name, u->generation);
}

/* ---- The end of the host ------------------------------------------- */

/* One that a fiber is taking to its end. */
static struct unit *
draining_kept(struct plug *p)
{
	struct unit *u;
	size_t i;

	for (i = 0; i < p->n_plugins; i++) {
		for (u = p->plugins[i]->draining; u != NULL; u = u->older) {
			if (fiber_is_alive(u->keeper))
				return u;
		}
	}
	return NULL;
}

SUSPENDS static void
unit_halt(struct unit *u)
{
	fiber_cancel(u->keeper);
	guard_rest(u);
	if (u->inited)
		atomic_store(&u->state, UNIT_STOPPED);
}

void
plug_stop(struct plug *p)
{
	struct unit *u;
	size_t i;

	p->stopping = true;
	fiber_reap(p->reloader);
	while ((u = draining_kept(p)) != NULL)
		fiber_reap(u->keeper); /* may free it */
	for (i = 0; i < p->n_plugins; i++) {
		if ((u = p->plugins[i]->current) != NULL)
			unit_halt(u);
		for (u = p->plugins[i]->draining; u != NULL; u = u->older)
			unit_halt(u);
	}
	for (i = p->n_plugins; i-- > 0;) {
		if ((u = p->plugins[i]->current) != NULL && u->inited)
			unit_stop(u);
		for (u = p->plugins[i]->draining; u != NULL; u = u->older) {
			if (u->inited)
				unit_stop(u);
		}
	}
}
