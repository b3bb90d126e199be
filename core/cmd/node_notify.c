/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/node_impl.h"

#include <stdio.h>

#include "core/base/mem.h"
#include "core/cmd/systemd.h"

/*
 * What the service manager is told: that the node is ready, that it stops, and,
 * if he watches it, that every loop still turns.  A node one of whose loops
 * hangs ends itself (node_watch.c); the manager is there for one that hangs as
 * a whole.
 */

#define FRESH_US 1000000
#define ASKS 2 /* so often as the manager wants to hear */

static void
on_watchdog(struct loop_timer *t)
{
	struct node *n = container_of(t, struct node, watchdog);
	struct loop *loop = node_first(n)->app.loop;
	int64_t ms = n->watchdog_ms / ASKS;

	if (node_pulse_missing(n, FRESH_US) < 0)
		systemd_notify("WATCHDOG=1");
	loop_timer_set(loop, t,
	    loop_now_ms(loop) + (uint64_t)(ms > 0 ? ms : 1));
}

void
node_notify_ready(struct node *n)
{
	char text[64];

	snprintf(text, sizeof(text), "READY=1\nSTATUS=node epoch %lld",
	    (long long)n->epoch);
	systemd_notify(text);
	n->watchdog_ms = systemd_watchdog_ms();
	n->watchdog.fn = on_watchdog;
	if (n->watchdog_ms > 0)
		on_watchdog(&n->watchdog);
}

void
node_notify_stopping(void)
{
	systemd_notify("STOPPING=1\nSTATUS=hands back its runs");
}

void
node_notify_end(struct node *n)
{
	loop_timer_clear(&n->watchdog);
}
