/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/inbox/internal.h"

/* What is told to who comes too late. */

enum as_status
inbox_too_late(struct json_object *item, struct error *err)
{
	static const char *const winner[] = { "response_type", "responded_by",
		"responded_at" };
	const char *status = jget_str(item, "status", "");
	bool expired = strcmp(status, "expired") == 0 ||
		       strcmp(status, "pending") == 0;
	enum as_status st;

	error_clear(err);
	st = error_set(err, expired ? ERR_EXPIRED : ERR_CONFLICT,
	    expired ? "the time to answer is over" : "the item is %s", status);
	error_member_str(err, "item_id", jget_str(item, "id", ""));
	error_member_str(err, "item_status", expired ? "expired" : status);
	for (size_t i = 0; i < N_ITEMS(winner); i++)
		error_member(err, winner[i],
		    json_object_get(jget(item, winner[i])));
	return st;
}
