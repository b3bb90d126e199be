/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "tests/integration/twin.h"

/* Epochs, claims, reaping: who may work on what. */

SUSPENDS void
twin_node_joins(void)
{
	int64_t epoch = 0, ttl = 1 + below(30000000);

	/* The number is chance, and the model's is the one after its last. */
	snprintf(what, sizeof(what), "join");
	CU_ASSERT_EQUAL(run_store_node_join(both[1], "n", "1", ttl, &epoch,
			    NULL),
	    AS_OK);
	model->last_epoch = epoch - 1;
	CU_ASSERT_EQUAL(run_store_node_join(both[0], "n", "1", ttl, &epoch,
			    NULL),
	    AS_OK);
}

int64_t
some_epoch(void)
{
	const struct model_node *n = any(&model->nodes);

	return n != NULL && !one_in(20) ? n->epoch : 999;
}

SUSPENDS void
twin_node_changes(void)
{
	int64_t epoch = some_epoch();

	snprintf(what, sizeof(what), "renew or leave %" PRId64, epoch);
	if (one_in(3))
		ON_BOTH(run_store_node_leave(rs, epoch, &err), err);
	else
		ON_BOTH(run_store_node_renew(rs, epoch, 20000000, &err), err);
}

/* Several, so that there is something to be fair about. */
struct uuid
some_tenant(void)
{
	struct uuid id = tenant;

	id.b[14] = (uint8_t)below(N_TENANTS);
	return id;
}

int
claim_order(const void *a, const void *b)
{
	const struct run_claim *x = a, *y = b;

	return uuid_compare(x->run_id, y->run_id);
}

static struct run_claim_ask
some_ask(void)
{
	struct run_claim_ask ask = run_claim_ask(some_epoch(),
	    1 + (int)below(one_in(4) ? 64 : 5));

	if (one_in(3))
		ask.max_other = (int)below((uint32_t)ask.max + 1);
	for (int i = 0; i < RUN_CLASSES; i++) {
		ask.running[i] = below(4);
		ask.weight[i] = 1 + below(RUN_WEIGHT_MAX);
		ask.promote_us[i] = one_in(3) ? 0 : 1 + below(20000000);
	}
	if (one_in(2))
		ask.after = some_tenant();
	return ask;
}

SUSPENDS void
twin_claims(void)
{
	struct run_claim *got[2] = { NULL, NULL };
	struct run_claim_ask ask = some_ask();
	int n[2] = { 0, 0 };

	snprintf(what, sizeof(what), "claim %d for %" PRId64, ask.max,
	    ask.epoch);
	ON_BOTH(run_store_claim(rs, &ask, &got[i_], &n[i_], &err), err);
	same_count(n[0], n[1]);
	for (int i = 0; i < 2 && n[i] > 0; i++)
		qsort(got[i], (size_t)n[i], sizeof(*got[i]), claim_order);
	for (int i = 0; i < n[0] && !parted; i++) {
		CU_ASSERT_TRUE(uuid_equal(got[0][i].run_id, got[1][i].run_id));
		CU_ASSERT_TRUE(
		    uuid_equal(got[0][i].thread_id, got[1][i].thread_id));
		CU_ASSERT_TRUE(
		    uuid_equal(got[0][i].tenant_id, got[1][i].tenant_id));
		CU_ASSERT_EQUAL(got[0][i].class, got[1][i].class);
		CU_ASSERT_EQUAL(got[0][i].lane, got[1][i].lane);
		n_promoted += got[0][i].lane < got[0][i].class ? 1 : 0;
	}
	free(got[0]);
	free(got[1]);
}

SUSPENDS void
twin_reaps(void)
{
	int64_t epoch = some_epoch(), age = 1 + below(60000000);
	bool all = one_in(20);
	int n[2] = { 0, 0 };

	snprintf(what, sizeof(what), "reap for %" PRId64, epoch);
	ON_BOTH(run_store_reap(rs, epoch, all, age, &n[i_], &err), err);
	CU_ASSERT_EQUAL(n[0], n[1]);
}

SUSPENDS void
twin_releases(void)
{
	const struct model_run *r = any(&model->runs);
	int64_t epoch;

	if (r == NULL)
		return;
	epoch = one_in(3) ? some_epoch() : r->owner_epoch;
	snprintf(what, sizeof(what), "release");
	ON_BOTH(run_store_release(rs, epoch, r->thread_id, r->id, &err), err);
}

SUSPENDS void
twin_charges(void)
{
	const struct model_run *r = any(&model->runs);

	if (r == NULL)
		return;
	snprintf(what, sizeof(what), "charge");
	ON_BOTH(run_store_charge(rs, r->id, &err), err);
}

static int
cancelling_order(const void *a, const void *b)
{
	const struct run_cancelling *x = a, *y = b;

	return uuid_compare(x->run_id, y->run_id);
}

SUSPENDS void
twin_reads_node(void)
{
	struct run_cancelling *got[2] = { NULL, NULL };
	int64_t due[2] = { 0, 0 }, epoch = some_epoch();
	int n[2] = { 0, 0 };

	snprintf(what, sizeof(what), "cancelling, next due");
	ON_BOTH(run_store_cancelling(rs, epoch, &got[i_], &n[i_], &err), err);
	same_count(n[0], n[1]);
	for (int i = 0; i < 2 && n[i] > 0; i++)
		qsort(got[i], (size_t)n[i], sizeof(*got[i]), cancelling_order);
	for (int i = 0; i < n[0] && !parted; i++) {
		CU_ASSERT_TRUE(uuid_equal(got[0][i].run_id, got[1][i].run_id));
		CU_ASSERT_EQUAL(got[0][i].age_us, got[1][i].age_us);
	}
	free(got[0]);
	free(got[1]);
	ON_BOTH(run_store_next_due(rs, &due[i_], &err), err);
	CU_ASSERT_EQUAL(due[0], due[1]);
}
