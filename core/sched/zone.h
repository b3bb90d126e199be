/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SCHED_ZONE_H
#define CORE_SCHED_ZONE_H

/*
 * Time zones: what a clock in a place shows at a moment.
 *
 * Read from the system's zone files (TZif, RFC 9636, versions 1 to 4, with the
 * rule in the footer for times beyond the table).  Only offsets from UTC are
 * kept; times are seconds since 1970, offsets seconds east of UTC.  A struct
 * zone does not change: any thread may read it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

#define ZONE_NAME_MAX 64
#define ZONE_FILE_MAX (256 * 1024)
#define ZONE_NO_CHANGE INT64_MAX

struct zone;

/* An IANA name and nothing that leads out of the folder of zones. */
bool zone_name_ok(const char *name);

/*
 * Read the zone of this name from a folder such as /usr/share/zoneinfo; a
 * small file, read here and now.  UTC is there without a file.
 * VALIDATION_FAILED on `field`: there is no such zone, or its file is broken.
 */
enum as_status zone_load(const char *dir, const char *name, const char *field,
    struct zone **out, struct error *err);

/* From the bytes of a file; NULL, and why says what is wrong with them. */
struct zone *zone_parse(const void *bytes, size_t len, const char **why);
void zone_free(struct zone *z); /* NULL does nothing */

int32_t zone_offset(const struct zone *z, int64_t t);

struct zone_change {
	int64_t at; /* the first second with the new offset */
	int32_t before, after; /* never the same */
};

/* The first change after t, the last one at or before t; false: none. */
bool zone_change_after(const struct zone *z, int64_t t,
    struct zone_change *out);
bool zone_change_before(const struct zone *z, int64_t t,
    struct zone_change *out);

#endif
