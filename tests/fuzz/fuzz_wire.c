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
	const char *p = (const char *)data, *text;
	struct uuid process;
	struct buf b = { 0 };
	struct bus_msg m;
	int64_t offset;
	size_t len;

	if (wire_read(p, size, &process, &m)) {
		wire_write(&b, process, &m);
		MUST(b.len == size && memcmp(b.data, p, size) == 0);
		MUST(m.len <= (m.frame != NULL ? m.frame->len : 0));
		rcbuf_unref(m.frame);
	}
	buf_reset(&b);
	if (wire_piece_read(p, size, &offset, &text, &len)) {
		wire_piece_write(&b, offset, text, len);
		MUST(b.len == size && memcmp(b.data, p, size) == 0);
	}
	buf_free(&b);
	return 0;
}
