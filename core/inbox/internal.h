/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_INBOX_INTERNAL_H
#define CORE_INBOX_INTERNAL_H

/* What the files of core/inbox share beyond its headers. */

#include "core/inbox/inbox.h"

static inline int
inbox_is_admin(const struct principal *who)
{
	return who->role >= ROLE_ADMIN ? 1 : 0;
}

/* EXPIRED, or CONFLICT that names who was first, with what and when. */
enum as_status inbox_too_late(struct json_object *item, struct error *err);

#endif
