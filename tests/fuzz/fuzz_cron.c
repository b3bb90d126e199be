/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/sched/cron.h"
#include "core/sched/zone.h"

/*
 * A cron line, and when it is due in a zone with summer time.  The first two
 * bytes say from when on; the rest is the line.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A file of version 2 that has nothing but a rule. */
static struct zone *
zone_by_rule(const char *rule)
{
	uint8_t file[256] = "TZif2", *p = file;
	const char *why = "";
	struct zone *z;

	for (int i = 0; i < 2; i++) {
		memcpy(p, "TZif2", 5);
		p[39] = 1; /* one type */
		p[43] = 4; /* four characters */
		p += 44 + 6 + 4;
	}
	*p++ = '\n';
	memcpy(p, rule, strlen(rule));
	p += strlen(rule);
	*p++ = '\n';
	z = zone_parse(file, (size_t)(p - file), &why);
	MUST(z != NULL);
	return z;
}

/* Every time is later than the one before, and a minute or a change. */
static void
check_times(const struct cron *c, const struct zone *z, int64_t t)
{
	struct zone_change change;
	int64_t next, local;

	for (int i = 0; i < 8; i++, t = next) {
		next = cron_next(c, z, t);
		MUST(next > t);
		if (next == CRON_NEVER)
			return;
		local = next + zone_offset(z, next);
		if (cron_next_local(c, local, local + 1) == local)
			continue;
		MUST(zone_change_before(z, next, &change));
		MUST(change.at == next && change.after > change.before);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char why[CRON_WHY] = "", *text;
	struct zone *z;
	struct cron c;
	int64_t from;

	if (len < 2)
		return 0;
	from = INT64_C(1700000000) + data[0] * INT64_C(864000) + data[1] * 60;
	text = xstrndup((const char *)data + 2, len - 2);
	if (cron_parse(text, &c, why)) {
		MUST(why[0] == '\0');
		z = zone_by_rule("CET-1CEST,M3.5.0,M10.5.0/3");
		check_times(&c, z, from);
		zone_free(z);
	} else
		MUST(why[0] != '\0' && text_is_utf8(why, strlen(why)));
	free(text);
	return 0;
}
