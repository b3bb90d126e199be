/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_UUID_H
#define CORE_BASE_UUID_H

/*
 * Identifiers: UUIDv7 (RFC 9562), made by the host, ordered by time.
 * Passed by value; on the wire 36 lower-case characters.
 */

#include <stdbool.h>
#include <stdint.h>

#define UUID_TEXT 37 /* with the NUL */

struct uuid {
	uint8_t b[16];
};

/* Strictly increasing within a thread, also inside one millisecond. */
struct uuid uuid_v7(void);
bool uuid_parse(const char *s, struct uuid *out); /* lower case, 36 long */
void uuid_format(struct uuid id, char out[UUID_TEXT]);
bool uuid_is_nil(struct uuid id);
bool uuid_equal(struct uuid a, struct uuid b);
int uuid_compare(struct uuid a, struct uuid b);
int64_t uuid_time_ms(struct uuid id);

#endif
