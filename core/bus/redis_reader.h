/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BUS_REDIS_READER_H
#define CORE_BUS_REDIS_READER_H

/*
 * The answers of a server, taken apart by hiredis, within bounds: what it says
 * may be large, but not what it makes us allocate by a few bytes.
 */

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>

struct redis_reader;

struct redis_reader *redis_reader_new(void);
void redis_reader_free(struct redis_reader *r); /* NULL does nothing */
/* False: an answer is too large. */
bool redis_reader_feed(struct redis_reader *r, const char *bytes, size_t n);
/*
 * The next answer, to be freed by freeReplyObject; NULL: it is not whole yet.
 * False: that is not the protocol.
 */
bool redis_reader_next(struct redis_reader *r, redisReply **out);

#endif
