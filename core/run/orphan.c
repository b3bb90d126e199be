/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/run/work.h"

/*
 * Runs that this process holds and that nobody in it works on: the answer to
 * their claim was lost, or their fiber has ended without a word.  A claim may
 * be on its way just now, so one is given back when it was missing in the look
 * before as well.
 */

static bool
is_worked_on(const struct engine *e, struct uuid run_id)
{
	if (e->c.desk != NULL)
		return desk_has(e->c.desk, run_id);
	for (const struct work *w = e->works; w != NULL; w = w->next)
		if (uuid_equal(w->run_id, run_id))
			return true;
	return false;
}

static bool
was_missing(const struct engine *e, struct uuid run_id)
{
	for (int i = 0; i < e->n_missing; i++)
		if (uuid_equal(e->missing[i], run_id))
			return true;
	return false;
}

/* False: it has not been given back, as far as is known. */
static SUSPENDS bool
orphan_release(struct engine *e, const struct run_claim *held)
{
	char id[UUID_TEXT];

	uuid_format(held->run_id, id);
	if (run_store_release(e->c.runs, e->c.epoch, held->thread_id,
		held->run_id, NULL) != AS_OK)
		return false;
	log_warn("run", "nobody works on run %s: given back", id);
	return true;
}

SUSPENDS void
engine_look(struct engine *e)
{
	struct uuid *missing;
	struct run_claim *held;
	int n, n_missing = 0, n_released = 0;

	if (e->draining ||
	    run_store_held(e->c.runs, e->c.epoch, &held, &n, NULL) != AS_OK)
		return;
	missing = xcalloc((size_t)n + 1, sizeof(*missing));
	for (int i = 0; i < n; i++) {
		if (is_worked_on(e, held[i].run_id))
			continue;
		if (was_missing(e, held[i].run_id) &&
		    orphan_release(e, &held[i]))
			n_released++;
		else
			missing[n_missing++] = held[i].run_id;
	}
	free(held);
	free(e->missing);
	e->missing = missing;
	e->n_missing = n_missing;
	if (n_released > 0)
		engine_starve(e);
}
