/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/node_impl.h"

#include "core/api/chat_ctx.h"
#include "core/sched/sched.h"

/* Every process looks at the schedules, on its first loop. */

void
node_sched_start(struct node *n)
{
	struct app *app = &node_first(n)->app;
	struct sched_config c = {
		.chat = { .store = app->store,
		    .runs = app->runs,
		    .plug = app->plug,
		    .engine = app->engine,
		    .queue = app->queue,
		    .bus = app->bus,
		    .traceparent = "",
		    .notify_cancel = cancel_notify_all,
		    .notify_arg = app },
		.zoneinfo = n->p.settings->schedules.zoneinfo,
		.poll_ms = n->p.settings->schedules.poll,
	};

	sched_start(n->sched, &c);
}
