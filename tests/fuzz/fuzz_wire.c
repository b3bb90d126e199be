/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/bus/wire.h"

/*
 * What another process says by Redis.  What can be read is written as it was.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	struct uuid process;
	struct buf b = { 0 };
	struct bus_msg m;

	if (wire_read(p, size, &process, &m)) {
		wire_write(&b, process, &m);
		MUST(b.len == size && memcmp(b.data, p, size) == 0);
		MUST(m.len <= (m.frame != NULL ? m.frame->len : 0));
		rcbuf_unref(m.frame);
	}
	buf_free(&b);
	return 0;
}
