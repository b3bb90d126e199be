/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_RETRY_H
#define CORE_RUN_RETRY_H

/* When and how soon something that failed is tried again.  Pure functions. */

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"

#define RETRY_BASE_MS 1000
#define RETRY_CAP_MS 120000

/*
 * Was it a failure of the moment?  What the other side says of it itself
 * ("retryable") counts more than its kind.
 */
bool retry_makes_sense(const struct error *why);
/* May the effect have happened although there is no answer? */
bool retry_maybe_done(const struct error *why);
/*
 * Milliseconds before the next try after `failed` of them (from 1): full
 * jitter below a cap that doubles, but not before retry_after_ms.  random(arg,
 * n) is in [0, n).
 */
int64_t retry_delay_ms(int64_t failed, int64_t retry_after_ms,
    uint32_t (*random)(void *arg, uint32_t n), void *arg);

#endif
