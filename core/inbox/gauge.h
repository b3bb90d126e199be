/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_INBOX_GAUGE_H
#define CORE_INBOX_GAUGE_H

/*
 * agent_studio_inbox_pending: how many items of each kind wait, of all tenants,
 * looked up every GAUGE_MS.  One a process, on its loop's thread.
 */

#include "core/loop/loop.h"
#include "core/store/store.h"

#define INBOX_GAUGE_MS 10000

struct inbox_gauge;

struct inbox_gauge *inbox_gauge_start(struct loop *loop, struct store *store);
void inbox_gauge_stop(struct inbox_gauge *g); /* NULL does nothing */

#endif
