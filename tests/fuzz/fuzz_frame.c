/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/plug/msg.h"

/*
 * Frames from the other side of a plugin's border.  What can be decoded can be
 * encoded, and means the same then.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(NULL);
	struct buf again = { 0 };
	struct msg m, n;

	if (msg_decode(data, size, &m, arena)) {
		MUST(msg_encode(&m, &again));
		MUST(msg_decode(again.data, again.len, &n, arena));
		MUST(n.kind == m.kind && n.n == m.n && n.index == m.index);
		MUST(n.len == m.len && memcmp(n.bytes, m.bytes, m.len) == 0);
		MUST((n.name == NULL) == (m.name == NULL));
	}
	buf_free(&again);
	arena_free(arena);
	return 0;
}
