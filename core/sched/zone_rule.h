/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SCHED_ZONE_RULE_H
#define CORE_SCHED_ZONE_RULE_H

/*
 * The footer of a zone file: a rule for all times beyond its table, as POSIX
 * writes it in TZ, such as CET-1CEST,M3.5.0,M10.5.0/3.  Of core/sched/zone.c.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum zone_day_kind {
	ZONE_DAY_JULIAN = 1, /* 1 to 365, February 29 is never counted */
	ZONE_DAY_OF_YEAR, /* 0 to 365 */
	ZONE_DAY_OF_WEEK /* the week-th wday of a month; 5: the last one */
};

struct zone_day {
	enum zone_day_kind kind;
	int n; /* of the first two kinds */
	int month, week, wday;
	int32_t time; /* seconds after that day's midnight, may be below 0 */
};

struct zone_rule {
	int32_t standard, summer; /* offsets */
	bool has_summer;
	struct zone_day start, end; /* of summer time */
};

/* The whole text, which need not end with a NUL. */
bool zone_rule_parse(const char *text, size_t len, struct zone_rule *out);

/* Changes of some years around a time, in order, none of them to the same. */
#define ZONE_RULE_CHANGES 12
struct zone_rule_change {
	int64_t at;
	int32_t after;
};
int zone_rule_changes(const struct zone_rule *r, int64_t around,
    struct zone_rule_change out[ZONE_RULE_CHANGES]);

#endif
