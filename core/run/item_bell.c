/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/item_bell.h"

#include <string.h>

#include "core/run/event.h"

/* A topic that is no thread's and no session's: its version is 0. */
const struct uuid item_bell_topic = { "inbox\0\0\0\0\0\0\0\0\0\0" };

void
item_bell_ring(struct bus *bus)
{
	struct bus_msg m = { .topic = item_bell_topic };

	bus_publish(bus, &m);
}

/* The end of a run closes items without an event of their own. */
void
item_bell_events(struct bus *bus, const struct event_list *events)
{
	const char *type;

	for (int i = 0; i < events->n; i++) {
		type = events->items[i].type;
		if (strncmp(type, "hitl_", 5) == 0 ||
		    strcmp(type, "run_status") == 0) {
			item_bell_ring(bus);
			return;
		}
	}
}
