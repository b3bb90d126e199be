/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/net/sse_parser.h"

/*
 * The first byte says how the rest is cut; the events must not depend on it,
 * and what comes out must be clean.
 */

#define MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static enum as_status
note(const struct sse_event *ev, void *arg)
{
	struct buf *out = arg;

	MUST(strlen(ev->data) == ev->data_len);
	MUST(text_is_utf8(ev->data, ev->data_len));
	MUST(text_is_utf8(ev->name, strlen(ev->name)));
	MUST(text_is_utf8(ev->id, strlen(ev->id)));
	buf_printf(out, "%s|%s|%s\n", ev->name, ev->id, ev->data);
	return AS_OK;
}

static enum as_status
parse(const char *s, size_t len, size_t step, struct buf *out)
{
	enum as_status st = AS_OK;
	struct sse_parser p;
	size_t n;

	sse_parser_init(&p, MAX);
	for (; len > 0 && st == AS_OK; s += n, len -= n) {
		n = step < len ? step : len;
		st = sse_parser_feed(&p, s, n, note, out);
	}
	sse_parser_free(&p);
	return st;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const char *s = (const char *)bytes;
	struct buf whole = { 0 }, cut = { 0 };
	size_t step;

	if (len == 0)
		return 0;
	step = 1 + bytes[0] % 16;
	/* Where the limit strikes may depend on the cut; nothing else may. */
	if (parse(s + 1, len - 1, len, &whole) == AS_OK &&
	    parse(s + 1, len - 1, step, &cut) == AS_OK) {
		MUST(whole.len == cut.len);
		MUST(whole.len == 0 ||
		     memcmp(whole.data, cut.data, whole.len) == 0);
	}
	buf_free(&whole);
	buf_free(&cut);
	return 0;
}
