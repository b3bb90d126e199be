/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/sched/cron.h"
#include "core/sched/zone.h"

/*
 * A zone file: what is accepted has changes in order, whose offsets are those
 * of the moments around them, and cron lines come to an end in it.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
check_changes(const struct zone *z, int64_t t)
{
	struct zone_change c, back;

	for (int i = 0; i < 50 && zone_change_after(z, t, &c); i++) {
		MUST(c.at > t && c.before != c.after);
		MUST(zone_offset(z, c.at) == c.after);
		MUST(zone_offset(z, c.at - 1) == c.before);
		MUST(zone_change_before(z, c.at, &back) && back.at == c.at);
		t = c.at;
	}
}

static void
check_cron(const struct zone *z, int64_t t)
{
	char why[CRON_WHY];
	struct cron c;
	int64_t next;

	MUST(cron_parse("30 2 * * *", &c, why));
	for (int i = 0; i < 4; i++, t = next) {
		next = cron_next(&c, z, t);
		MUST(next > t);
		if (next == CRON_NEVER)
			break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const int64_t times[] = { INT64_C(-5000000000), 0,
		INT64_C(1000000000), INT64_C(1790000000), INT64_C(4000000000) };
	uint8_t *copy = xmalloc(len);
	const char *why = NULL;
	struct zone *z;

	/* Of exactly this size, so that what lies behind it is noticed. */
	if (len > 0)
		memcpy(copy, data, len);
	z = zone_parse(copy, len, &why);
	free(copy);
	MUST((z == NULL) == (why != NULL));
	for (size_t i = 0; z != NULL && i < N_ITEMS(times); i++) {
		check_changes(z, times[i]);
		check_cron(z, times[i]);
	}
	zone_free(z);
	return 0;
}
