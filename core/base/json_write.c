/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/json_write.h"

#include <string.h>

#include "core/base/text.h"

/*
 * Whether a comma is due shows in the last byte: only an opening bracket or
 * the start of the text needs none, and no value ends with one.
 */

static void
begin(struct buf *b, const char *key)
{
	char last = b->len > 0 ? b->data[b->len - 1] : '{';

	if (last != '{' && last != '[')
		buf_add_char(b, ',');
	if (key == NULL)
		return;
	buf_add_char(b, '"');
	buf_add_str(b, key);
	buf_add(b, "\":", 2);
}

void
jw_open(struct buf *b, const char *key)
{
	begin(b, key);
	buf_add_char(b, '{');
}

void
jw_close(struct buf *b)
{
	buf_add_char(b, '}');
}

void
jw_open_list(struct buf *b, const char *key)
{
	begin(b, key);
	buf_add_char(b, '[');
}

void
jw_close_list(struct buf *b)
{
	buf_add_char(b, ']');
}

void
jw_strn(struct buf *b, const char *key, const char *s, size_t len)
{
	begin(b, key);
	buf_add_json_str(b, s, len);
}

void
jw_str(struct buf *b, const char *key, const char *s)
{
	if (s != NULL)
		jw_strn(b, key, s, strlen(s));
	else
		jw_null(b, key);
}

void
jw_int(struct buf *b, const char *key, int64_t i)
{
	begin(b, key);
	buf_add_int(b, i);
}

void
jw_raw(struct buf *b, const char *key, const char *text)
{
	begin(b, key);
	buf_add_str(b, text != NULL ? text : "null");
}

void
jw_bool(struct buf *b, const char *key, bool yes)
{
	jw_raw(b, key, yes ? "true" : "false");
}

void
jw_null(struct buf *b, const char *key)
{
	jw_raw(b, key, NULL);
}

void
jw_uuid(struct buf *b, const char *key, struct uuid id)
{
	char text[UUID_TEXT];

	if (uuid_is_nil(id)) {
		jw_null(b, key);
		return;
	}
	uuid_format(id, text);
	jw_strn(b, key, text, UUID_TEXT - 1);
}

void
jw_time(struct buf *b, const char *key, int64_t us)
{
	char text[TEXT_TIME_LEN];

	if (us == 0) {
		jw_null(b, key);
		return;
	}
	text_time(text, us);
	jw_strn(b, key, text, TEXT_TIME_LEN - 1);
}
