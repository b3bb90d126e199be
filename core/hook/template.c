/* SPDX-License-Identifier: Apache-2.0 */
#include "core/hook/template.h"

#include <string.h>

#include "core/base/buf.h"
#include "core/base/text.h"

/* See template.h. */

#define CUT "> [cut here: the rest is left out]\n"

/*
 * From text on: the next {{name}}.  Its first byte, or NULL; *name and *len
 * are what stands between, *end what comes after.
 */
static const char *
next_place(const char *text, const char **name, size_t *len, const char **end)
{
	const char *open = strstr(text, "{{");
	const char *shut = open != NULL ? strstr(open + 2, "}}") : NULL;

	if (shut == NULL)
		return NULL;
	*name = open + 2;
	*len = (size_t)(shut - *name);
	*end = shut + 2;
	return open;
}

static bool
name_is(const char *name, size_t len, const char *what)
{
	return len == strlen(what) && memcmp(name, what, len) == 0;
}

enum as_status
template_check(const char *text, struct error *err)
{
	const char *name, *end;
	int bodies = 0;
	size_t len = strlen(text);

	if (text[strspn(text, " \t\r\n")] == '\0')
		return error_field(err, "task", "must not be empty");
	if (len > TEMPLATE_MAX)
		return error_field(err, "task", "is longer than %d KiB",
		    TEMPLATE_MAX / 1024);
	for (; next_place(text, &name, &len, &end) != NULL; text = end) {
		if (name_is(name, len, "body"))
			bodies++;
		else if (!name_is(name, len, "id"))
			return error_field(err, "task",
			    "there is {{body}} and {{id}}, but no {{%.*s}}",
			    len < 40 ? (int)len : 40, name);
	}
	if (bodies > TEMPLATE_BODIES_MAX)
		return error_field(err, "task", "has {{body}} more than once");
	return AS_OK;
}

/* On lines of its own, whatever stands around it. */
static void
quote(struct buf *out, const char *body, size_t len)
{
	size_t shown = len, n;
	const char *line, *end;
	struct buf clean = { 0 };

	if (len > TEMPLATE_BODY_MAX)
		shown = text_utf8_whole(body, TEMPLATE_BODY_MAX);
	text_add_clean(&clean, body, shown);
	if (out->len > 0 && out->data[out->len - 1] != '\n')
		buf_add_char(out, '\n');
	line = clean.len > 0 ? clean.data : "";
	for (end = line + clean.len; line < end; line += n + 1) {
		n = strcspn(line, "\r\n");
		buf_add_str(out, "> ");
		buf_add(out, line, n);
		buf_add_char(out, '\n');
		if (line[n] == '\r' && line[n + 1] == '\n')
			n++;
	}
	if (shown < len)
		buf_add_str(out, CUT);
	buf_free(&clean);
}

void
template_fill(struct buf *out, const char *text, const char *id,
    const char *body, size_t len)
{
	const char *at, *name, *end;
	size_t n;

	while ((at = next_place(text, &name, &n, &end)) != NULL) {
		buf_add(out, text, (size_t)(at - text));
		if (name_is(name, n, "body"))
			quote(out, body, len);
		else
			text_add_clean(out, id, strlen(id));
		text = end;
	}
	buf_add_str(out, text);
}
