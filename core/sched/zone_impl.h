/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SCHED_ZONE_IMPL_H
#define CORE_SCHED_ZONE_IMPL_H

/* Between zone.c, what a zone says, and zone_file.c, how it is read. */

#include "core/sched/zone.h"
#include "core/sched/zone_rule.h"

/* Times further away than this are not times of day (4 million years). */
#define ZONE_LAST (INT64_C(1) << 47)
#define ZONE_FIRST (-ZONE_LAST)

struct zone {
	int32_t first; /* before the table */
	struct zone_change *table;
	size_t n;
	struct zone_rule rule;
	bool has_rule;
	int64_t rule_from; /* without a table: ZONE_FIRST */
};

/* Copies the table; of its entries `at` and `after` are read. */
struct zone *zone_new(int32_t first, const struct zone_change *table, size_t n,
    const struct zone_rule *rule);

#endif
