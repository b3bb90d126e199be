/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BUS_WIRE_H
#define CORE_BUS_WIRE_H

/*
 * A message of the bus as bytes, between processes: private to core/bus.
 *
 *	"ASB" 1, flags (1: look), 3 zeros
 *	process, topic, run_id, message_id	16 bytes each
 *	seq, run_seq, offset			8, big endian, as the next
 *	attempt, len, length of the frame	4
 *	the frame
 */

#include <stdbool.h>

#include "core/bus/bus.h"

#define WIRE_HEAD 108

void wire_write(struct buf *b, struct uuid process, const struct bus_msg *m);
/*
 * False: this is no message.  The frame, if there is one, is UTF-8 without
 * U+0000, begins and ends as an object does, and is the caller's reference.
 */
bool wire_read(const char *p, size_t len, struct uuid *process,
    struct bus_msg *m);

#endif
