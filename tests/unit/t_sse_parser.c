/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/mem.h"
#include "core/net/sse_parser.h"
#include "tests/tap.h"

/*
 * Each sample is fed whole, cut in two at every byte, and byte by byte: the
 * events must be the same.  Events are compared as one text, a line each:
 * name|id|data, with LF in data shown as '/'.
 */

struct sample {
	const char *what;
	const char *stream;
	size_t len;
	const char *events;
};

#define SAMPLE(what, stream, events) \
	{ \
		what, stream, sizeof(stream) - 1, events \
	}

static const struct sample samples[] = {
	SAMPLE("one", "data: a\n\n", "message||a\n"),
	SAMPLE("crlf", "data: a\r\n\r\ndata: b\r\n\r\n",
	    "message||a\nmessage||b\n"),
	SAMPLE("cr", "data: a\r\rdata: b\r\r", "message||a\nmessage||b\n"),
	SAMPLE("mixed ends", "data: a\r\n\ndata: b\n\r\ndata: c\r\r\n",
	    "message||a\nmessage||b\nmessage||c\n"),
	SAMPLE("bom",
	    "\xef\xbb\xbf"
	    "data: a\n\n",
	    "message||a\n"),
	SAMPLE("bom later",
	    "data: a\n\n\xef\xbb\xbf"
	    "data: b\n\n",
	    "message||a\n"),
	SAMPLE("comment", ": hi\ndata: a\n:\n\n:x\n\n", "message||a\n"),
	SAMPLE("lines", "data: a\ndata:b\ndata:  c\n\n", "message||a/b/ c\n"),
	SAMPLE("empty data", "data\n\ndata:\ndata:\n\n",
	    "message||\nmessage||/\n"),
	SAMPLE("no data", "event: x\n\ndata: a\n\n", "message||a\n"),
	SAMPLE("names", "event: ping\ndata: 1\n\nevent\ndata: 2\n\n",
	    "ping||1\nmessage||2\n"),
	SAMPLE("id stays", "id: 7\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
	    "message|7|a\nmessage|7|b\nmessage||c\n"),
	SAMPLE("id with NUL", "id: 1\nid: 2\0\ndata: a\n\n", "message|1|a\n"),
	SAMPLE("unknown fields", "retry: 10\nfoo: bar\ndata: a\ndatax: b\n\n",
	    "message||a\n"),
	SAMPLE("colons", "data: a: b:\ndata::c\n\n", "message||a: b:/:c\n"),
	SAMPLE("cut at the end", "data: a\n\ndata: b\n", "message||a\n"),
	SAMPLE("utf-8", "data: \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n\n",
	    "message||\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n"),
	SAMPLE("not utf-8",
	    "data: a\xff"
	    "b\0c\n\n",
	    "message||a\xef\xbf\xbd"
	    "b\xef\xbf\xbd"
	    "c\n"),
	SAMPLE("a model's",
	    "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n"
	    ": keep-alive\n\n"
	    "data: [DONE]\n\n",
	    "message||{\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n"
	    "message||[DONE]\n"),
};

static enum as_status
note(const struct sse_event *ev, void *arg)
{
	struct buf *out = arg;
	size_t from;

	CU_ASSERT_EQUAL(strlen(ev->data), ev->data_len);
	buf_printf(out, "%s|%s|", ev->name, ev->id);
	from = out->len;
	buf_add(out, ev->data, ev->data_len);
	for (char *c = out->data + from; *c != '\0'; c++)
		*c = *c == '\n' ? '/' : *c;
	buf_add_char(out, '\n');
	return AS_OK;
}

/* Pieces of `step` bytes after a first one of `first`. */
static void
check(const struct sample *s, size_t first, size_t step)
{
	struct sse_parser p;
	struct buf got = { 0 };
	size_t at = 0, n = first;

	sse_parser_init(&p, 1000);
	while (at < s->len) {
		char *piece;

		n = n < s->len - at ? n : s->len - at;
		/* Memory of its own: reading beyond it is seen. */
		piece = xmalloc(n);
		memcpy(piece, s->stream + at, n);
		CU_ASSERT_EQUAL(sse_parser_feed(&p, piece, n, note, &got),
		    AS_OK);
		free(piece);
		at += n;
		n = step;
	}
	if (strcmp(got.data != NULL ? got.data : "", s->events) != 0) {
		tap_note("%s, cut at %zu: %s", s->what, first, got.data);
		CU_FAIL("other events");
	}
	buf_free(&got);
	sse_parser_free(&p);
}

static void
test_samples(void)
{
	for (size_t i = 0; i < N_ITEMS(samples); i++) {
		for (size_t cut = 0; cut <= samples[i].len; cut++)
			check(&samples[i], cut, samples[i].len);
		check(&samples[i], 1, 1);
	}
}

static void
test_limit(void)
{
	struct sse_parser p;
	struct buf got = { 0 };

	sse_parser_init(&p, 10);
	CU_ASSERT_EQUAL(sse_parser_feed(&p, "data: 3456", 10, note, &got),
	    AS_OK);
	CU_ASSERT_EQUAL(sse_parser_feed(&p, "\n\n", 2, note, &got), AS_OK);
	CU_ASSERT_EQUAL(sse_parser_feed(&p, "data: 34567", 11, note, &got),
	    AS_LIMIT);
	sse_parser_free(&p);

	/* Many short lines of one event, and comments, which do not add up. */
	sse_parser_init(&p, 10);
	for (int i = 0; i < 100; i++)
		CU_ASSERT_EQUAL(sse_parser_feed(&p, ":23456\n", 7, note, &got),
		    AS_OK);
	CU_ASSERT_EQUAL(sse_parser_feed(&p, "data:6789\n", 10, note, &got),
	    AS_OK);
	CU_ASSERT_EQUAL(sse_parser_feed(&p, "data:6789\n", 10, note, &got),
	    AS_LIMIT);
	CU_ASSERT_STRING_EQUAL(got.data, "message||3456\n");
	sse_parser_free(&p);
	buf_free(&got);
}

static enum as_status
stop(const struct sse_event *ev, void *arg)
{
	++*(int *)arg;
	return strcmp(ev->data, "b") == 0 ? AS_CANCELED : AS_OK;
}

static void
test_stop(void)
{
	static const char text[] = "data: a\n\ndata: b\n\ndata: c\n\n";
	struct sse_parser p;
	int n = 0;

	sse_parser_init(&p, 100);
	CU_ASSERT_EQUAL(sse_parser_feed(&p, text, sizeof(text) - 1, stop, &n),
	    AS_CANCELED);
	CU_ASSERT_EQUAL(n, 2);
	sse_parser_free(&p);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "samples, cut everywhere", test_samples },
		{ "limit", test_limit },
		{ "the receiver stops it", test_stop },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "sse_parser", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
