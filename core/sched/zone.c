/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sched/zone.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/sched/zone_impl.h"

/*
 * What a zone says.  Up to rule_from its table does, from there on the rule;
 * entries of the table that do not change the offset are not in it.
 */

/* A rule changes the clock twice a year or never. */
#define RULE_YEAR_S (INT64_C(400) * 86400)

static int32_t
rule_offset(const struct zone_rule *r, int64_t t)
{
	struct zone_rule_change list[ZONE_RULE_CHANGES];
	int n = zone_rule_changes(r, t, list);
	int32_t offset = n > 0 ? list[0].after : r->standard;

	for (int i = 0; i < n && list[i].at <= t; i++)
		offset = list[i].after;
	return offset;
}

/* The first entry of the table after t. */
static size_t
table_after(const struct zone *z, int64_t t)
{
	size_t low = 0, high = z->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (z->table[middle].at <= t)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int32_t
zone_offset(const struct zone *z, int64_t t)
{
	size_t i;

	if (z->has_rule && t >= z->rule_from)
		return rule_offset(&z->rule, t);
	i = table_after(z, t);
	return i > 0 ? z->table[i - 1].after : z->first;
}

/* The changes by the rule next to t; those of the first year are not whole. */
static bool
rule_change(const struct zone *z, int64_t t, bool forward,
    struct zone_change *out)
{
	struct zone_rule_change list[ZONE_RULE_CHANGES];
	int n = z->has_rule ? zone_rule_changes(&z->rule, t, list) : 0;
	bool found = false;

	for (int i = 1; i < n; i++) {
		bool after = list[i].at > t;

		if (list[i].at <= z->rule_from || after != forward ||
		    list[i].at > t + RULE_YEAR_S ||
		    list[i].at < t - RULE_YEAR_S)
			continue;
		out->at = list[i].at;
		out->before = list[i - 1].after;
		out->after = list[i].after;
		found = true;
		if (forward)
			break;
	}
	return found;
}

bool
zone_change_after(const struct zone *z, int64_t t, struct zone_change *out)
{
	size_t i = table_after(z, t);

	if (i < z->n) {
		*out = z->table[i];
		return true;
	}
	return rule_change(z, t > z->rule_from ? t : z->rule_from, true, out);
}

bool
zone_change_before(const struct zone *z, int64_t t, struct zone_change *out)
{
	size_t i;

	if (z->has_rule && t > z->rule_from && rule_change(z, t, false, out))
		return true;
	i = table_after(z, t);
	if (i == 0)
		return false;
	*out = z->table[i - 1];
	return true;
}

void
zone_free(struct zone *z)
{
	if (z == NULL)
		return;
	free(z->table);
	free(z);
}

/* Offsets as the entries have them; `before` and the rule make them changes. */
struct zone *
zone_new(int32_t first, const struct zone_change *table, size_t n,
    const struct zone_rule *rule)
{
	struct zone *z = xcalloc(1, sizeof(*z));
	int32_t offset = first;

	z->first = first;
	z->table = xcalloc(n + 1, sizeof(*z->table));
	z->has_rule = rule != NULL;
	z->rule_from = ZONE_FIRST;
	if (rule != NULL)
		z->rule = *rule;
	if (n > 0)
		z->rule_from = table[n - 1].at;
	for (size_t i = 0; i < n; i++) {
		struct zone_change c = { table[i].at, offset, table[i].after };

		if (i + 1 == n && rule != NULL)
			c.after = rule_offset(rule, c.at);
		offset = c.after;
		if (c.before != c.after)
			z->table[z->n++] = c;
	}
	return z;
}
