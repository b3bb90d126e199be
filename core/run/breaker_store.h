/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_BREAKER_STORE_H
#define CORE_RUN_BREAKER_STORE_H

/*
 * Breakers beyond one process: what has opened or closed here is written to the
 * table `breakers`, what others have found open is left alone here, too, also
 * after a restart.  Hints: losing one costs a few calls.
 */

#include "core/bus/breaker.h"
#include "core/store/store.h"

/*
 * now_ms: as for breaker_allow.  Each process, every second or so.  ask: some
 * may be open.
 */
SUSPENDS void breaker_sync(struct store *store, struct breakers *b,
    uint64_t now_ms, bool ask);

#endif
