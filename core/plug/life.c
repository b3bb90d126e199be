/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
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

static void
starter_spawn(struct unit *u)
{
	u->plug->n_starting++;
	u->starter = fiber_spawn(loop_self(), u->name, unit_starter, u);
	if (u->starter.f == NULL) {
		u->plug->n_starting--;
		unit_fail(u, UNIT_FAILED, "no fiber was left");
	}
}

void
plug_start(struct plug *p)
{
	uint64_t patience = loop_now_ms(loop_self()) + PATIENCE_MS;
	struct unit *u;
	size_t i;

	for (i = 0; i < p->n_plugins; i++) {
		u = p->plugins[i]->current;
		if (atomic_load(&u->state) == UNIT_LOADED && unit_init(u))
			starter_spawn(u);
	}
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
	if (unit_lifecycle(u, OP_FINI, 0, &err) != AS_OK)
		log_warn("plugin", "%s: fini failed: %s", u->name, err.detail);
	error_clear(&err);
	u->inited = false;
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

void
plug_stop(struct plug *p)
{
	struct unit *u;
	size_t i;

	for (i = 0; i < p->n_plugins; i++) {
		u = p->plugins[i]->current;
		if (u == NULL)
			continue;
		fiber_cancel(u->starter);
		guard_rest(u);
		if (u->inited)
			atomic_store(&u->state, UNIT_STOPPED);
	}
	for (i = p->n_plugins; i-- > 0;) {
		u = p->plugins[i]->current;
		if (u != NULL && u->inited)
			unit_stop(u);
	}
}
