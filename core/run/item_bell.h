/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_ITEM_BELL_H
#define CORE_RUN_ITEM_BELL_H

/*
 * A bell on the bus: something may have happened to inbox items of somebody.
 * It carries nothing; who hears it looks in the store.  Any thread.
 */

#include "core/bus/bus.h"

struct event_list;

extern const struct uuid item_bell_topic;

void item_bell_ring(struct bus *bus);
/* If one of these events of a run can mean that. */
void item_bell_events(struct bus *bus, const struct event_list *events);

#endif
