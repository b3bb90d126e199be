/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/net/ws_frame.h"

/*
 * What a client sends after the handshake.  The first byte is the size of the
 * pieces; the same bytes in one piece must give the same messages.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	uint64_t sum;
	unsigned n;
	int code;
	bool stopped; /* by a close frame */
};

static const struct ws_limits limits = { 1000, 10 };

static bool
on_frame(void *arg, enum ws_opcode op, const char *p, size_t len, int code)
{
	struct seen *seen = arg;
	size_t i;

	MUST(p[len] == '\0');
	MUST(len <= limits.max_message);
	if (op == WS_OP_TEXT)
		MUST(text_is_utf8(p, len));
	if (op >= WS_OP_CLOSE)
		MUST(len <= WS_CONTROL_MAX);
	if (op == WS_OP_CLOSE)
		MUST(code == 1005 || ws_code_is_valid(code));
	seen->n++;
	seen->sum = seen->sum * 31 + op;
	for (i = 0; i < len; i++)
		seen->sum = seen->sum * 31 + (uint8_t)p[i];
	seen->stopped = op == WS_OP_CLOSE;
	return !seen->stopped;
}

static void
run(struct seen *seen, const uint8_t *data, size_t size, size_t step)
{
	struct ws_parser *p = ws_parser_new();

	memset(seen, 0, sizeof(*seen));
	while (size > 0 && seen->code == 0 && !seen->stopped) {
		size_t len = size < step ? size : step;
		char *exact = xmalloc(len);

		memcpy(exact, data, len);
		seen->code = ws_parser_feed(p, &limits, exact, len, on_frame,
		    seen);
		free(exact);
		data += len;
		size -= len;
	}
	ws_parser_free(p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen a, b;

	if (size < 2)
		return 0;
	run(&a, data + 1, size - 1, size);
	run(&b, data + 1, size - 1, 1 + data[0]);
	MUST(a.code == b.code && a.n == b.n && a.sum == b.sum);
	return 0;
}
