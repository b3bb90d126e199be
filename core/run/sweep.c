/* SPDX-License-Identifier: Apache-2.0 */
#include "core/run/sweep.h"

#include "core/base/mem.h"
#include "core/run/run_store_impl.h"

/* See sweep.h.  Each part may say yes where its statement then finds nothing. */

SQL(SWEEP,
    "SELECT EXISTS (SELECT 1 FROM nodes WHERE node_epoch <> $1"
    " AND lease_expires_at > now_us() AND silence_us > 0"
    " AND beat_at < now_us() - silence_us),"
    " EXISTS (SELECT 1 FROM jobs WHERE kind = 'run' AND state = 1"
    " AND " RUN_HELD_IN_VAIN "),"
    " EXISTS (SELECT 1 FROM jobs j JOIN runs r ON r.id = j.run_id"
    " WHERE j.kind = 'run' AND j.state = 1 AND j.owner_epoch = (SELECT $1)"
    " AND r.status = 'cancelling'),"
    " EXISTS (SELECT 1 FROM breakers WHERE state = 'open'"
    " AND open_until > now_us()),"
    " EXISTS (SELECT 1 FROM inbox_items WHERE status = 'pending'"
    " AND expires_at <= now_us())");

SUSPENDS void
sweep_look(struct store *store, int64_t epoch, int64_t max_age_us,
    struct sweep *out)
{
	struct sql_arg args[] = { SQL_INT(epoch), SQL_INT(max_age_us) };
	bool *all[] = { &out->silent, &out->vain, &out->cancels, &out->breakers,
		&out->overdue };
	struct rows *r = NULL;
	bool known = store_query(store, &SWEEP, args, 2, &r, NULL) == AS_OK;

	for (int i = 0; i < (int)N_ITEMS(all); i++)
		*all[i] = !known || rows_bool(r, 0, i);
	rows_free(r);
}
