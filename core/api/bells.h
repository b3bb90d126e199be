/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_API_BELLS_H
#define CORE_API_BELLS_H

/*
 * Bells that processes ring at each other (bus_redis_tell).  They may be lost:
 * whoever listens looks by himself, too, only later.
 */

#include "core/base/uuid.h"

extern const struct uuid bell_work_topic; /* something is ready */
extern const struct uuid bell_cancel_topic; /* run_id is to be cancelled */

#endif
