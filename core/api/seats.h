/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_API_SEATS_H
#define CORE_API_SEATS_H

/* How many live streams each person has open, over all loops; any thread. */

#include <stdbool.h>
#include <stdint.h>

#include "core/base/uuid.h"

struct seats;

struct seats *seats_new(void);
void seats_free(struct seats *s); /* all are left; NULL does nothing */
/* False: this person has max already. */
bool seats_take(struct seats *s, struct uuid user_id, int64_t max);
bool seats_have_room(struct seats *s, struct uuid user_id, int64_t max);
void seats_leave(struct seats *s, struct uuid user_id);

#endif
