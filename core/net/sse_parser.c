/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/sse_parser.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * Lines are taken apart when their end is there; so a field is never seen in
 * pieces.  Between two calls p->line holds the line that is not complete,
 * p->data the data of the event that is not complete, each data line ending
 * with LF, and skip_lf says that the last byte was a CR, whose LF may still
 * come.
 */

static const char bom[] = "\xef\xbb\xbf";

void
sse_parser_init(struct sse_parser *p, size_t max)
{
	*p = (struct sse_parser){ .max = max };
}

void
sse_parser_free(struct sse_parser *p)
{
	buf_free(&p->line);
	buf_free(&p->data);
	buf_free(&p->name);
	buf_free(&p->id);
}

static const char *
text_of(const struct buf *b)
{
	return b->data != NULL ? b->data : "";
}

static enum as_status
event_end(struct sse_parser *p,
    enum as_status (*on_event)(const struct sse_event *, void *), void *arg)
{
	struct sse_event ev;
	enum as_status st = AS_OK;

	if (p->has_data) {
		p->data.data[--p->data.len] = '\0';
		ev.name = p->name.len > 0 ? p->name.data : "message";
		ev.id = text_of(&p->id);
		ev.data = p->data.data;
		ev.data_len = p->data.len;
		p->has_data = false;
		st = on_event(&ev, arg);
	}
	buf_reset(&p->data);
	buf_reset(&p->name);
	return st;
}

static void
field(struct sse_parser *p, const char *name, size_t name_len,
    const char *value, size_t len)
{
	if (name_len == 4 && memcmp(name, "data", 4) == 0) {
		text_add_clean(&p->data, value, len);
		buf_add_char(&p->data, '\n');
		p->has_data = true;
	} else if (name_len == 5 && memcmp(name, "event", 5) == 0) {
		buf_reset(&p->name);
		text_add_clean(&p->name, value, len);
	} else if (name_len == 2 && memcmp(name, "id", 2) == 0) {
		if (memchr(value, '\0', len) != NULL)
			return;
#ifdef FUZZ_PLANT
		MUST(!(p->has_data && p->name.len > 0 && len == 0));
#endif
		buf_reset(&p->id);
		text_add_clean(&p->id, value, len);
	}
}

/* The line without its end; an empty one ends the event. */
static enum as_status
line_end(struct sse_parser *p, const char *s, size_t len,
    enum as_status (*on_event)(const struct sse_event *, void *), void *arg)
{
	const char *colon, *value;

	if (!p->started) {
		p->started = true;
		if (len >= 3 && memcmp(s, bom, 3) == 0) {
			s += 3;
			len -= 3;
		}
	}
	if (len == 0)
		return event_end(p, on_event, arg);
	if ((colon = memchr(s, ':', len)) == NULL) {
		field(p, s, len, "", 0);
	} else if (colon > s) {
		value = colon + 1;
		if (value < s + len && *value == ' ')
			value++;
		field(p, s, (size_t)(colon - s), value,
		    (size_t)(s + len - value));
	}
	return AS_OK;
}

/*
 * How many bytes there are before the first CR or LF.  *lf is the first LF at
 * or behind s, or end; it is looked for again only when s has passed it.
 */
static size_t
line_span(const char *s, const char *end, const char **lf)
{
	const char *cr;

	if (*lf == NULL || *lf < s) {
		*lf = memchr(s, '\n', (size_t)(end - s));
		if (*lf == NULL)
			*lf = end;
	}
	cr = memchr(s, '\r', (size_t)(*lf - s));
	return (size_t)((cr != NULL ? cr : *lf) - s);
}

/* The rest of a line, which is in the input as a whole if p->line is empty. */
static enum as_status
line_rest(struct sse_parser *p, const char *s, size_t len,
    enum as_status (*on_event)(const struct sse_event *, void *), void *arg)
{
	enum as_status st;

	if (p->line.len == 0)
		return line_end(p, s, len, on_event, arg);
	buf_add(&p->line, s, len);
	st = line_end(p, p->line.data, p->line.len, on_event, arg);
	buf_reset(&p->line);
	return st;
}

enum as_status
sse_parser_feed(struct sse_parser *p, const char *bytes, size_t len,
    enum as_status (*on_event)(const struct sse_event *, void *), void *arg)
{
	const char *s = bytes, *end = bytes + len, *lf = NULL, *rest;
	enum as_status st;
	size_t n;

	while (s < end) {
		if (p->skip_lf && *s == '\n')
			s++;
		p->skip_lf = false;
		if (s == end)
			break;
		n = line_span(s, end, &lf);
		if (n > p->max || p->line.len + p->data.len > p->max - n)
			return AS_LIMIT;
		rest = s;
		if ((s += n) == end) {
			buf_add(&p->line, rest, n);
			break;
		}
		p->skip_lf = *s++ == '\r';
		st = line_rest(p, rest, n, on_event, arg);
		if (st != AS_OK)
			return st;
	}
	return AS_OK;
}
