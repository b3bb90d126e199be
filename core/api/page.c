/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/page.h"

#include <sodium.h>
#include <string.h>

#include "core/api/internal.h"
#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/* A cursor is base64url of a key (16 bytes) and its tag. */

struct cursor {
	struct uuid key;
	uint8_t tag[AUTH_TAG_LEN];
};

static void
scope_add(struct buf *b, const char *s)
{
	buf_printf(b, "%zu:%s", strlen(s), s);
}

/* The members of the query that choose what is listed. */
static void
scope_add_query(struct buf *b, struct http_req *req)
{
	const struct route *route = http_route(req);
	const struct schema *schema;
	const char *value;

	if (route->query == NULL)
		return;
	schema = schema_by_name(app_of(req)->api->schemas, route->query);
	json_object_object_foreach(jget(schema_json(schema), "properties"),
	    name, unused)
	{
		(void)unused;
		value = http_query(req, name);
		if (value == NULL || strcmp(name, "limit") == 0 ||
		    strcmp(name, "cursor") == 0)
			continue;
		scope_add(b, name);
		scope_add(b, value);
	}
}

static void
cursor_tag(struct http_req *req, struct uuid key, uint8_t tag[AUTH_TAG_LEN])
{
	const struct principal *who = api_who(req);
	const char *path = http_path(req);
	size_t len = strlen(path);
	struct buf b = { 0 };

	while (len > 1 && path[len - 1] == '/')
		len--;
	buf_add_str(&b, "cursor");
	buf_add(&b, key.b, sizeof(key.b));
	if (who != NULL)
		buf_add(&b, who->user_id.b, sizeof(who->user_id.b));
	buf_printf(&b, "%zu:%.*s", len, (int)len, path);
	scope_add_query(&b, req);
	auth_tag(app_of(req)->auth, b.data, b.len, tag);
	buf_free(&b);
}

static bool
cursor_read(struct http_req *req, const char *text, struct uuid *key)
{
	uint8_t tag[AUTH_TAG_LEN];
	struct buf raw = { 0 };
	struct cursor c;
	bool good = false;

	if (text_base64url_decode(&raw, text, strlen(text)) &&
	    raw.len == sizeof(c)) {
		memcpy(&c, raw.data, sizeof(c));
		cursor_tag(req, c.key, tag);
		good = sodium_memcmp(tag, c.tag, sizeof(tag)) == 0;
		*key = c.key;
	}
	buf_free(&raw);
	return good;
}

enum as_status
page_read(struct http_req *req, struct page *out, struct error *err)
{
	const char *cursor = http_query(req, "cursor");
	enum as_status st;

	memset(out, 0, sizeof(*out));
	st = http_query_int(req, "limit", PAGE_DEFAULT, 1, PAGE_MAX,
	    &out->rows.limit, err);
	if (st != AS_OK || cursor == NULL)
		return st;
	if (!cursor_read(req, cursor, &out->rows.after))
		return error_field(err, "cursor",
		    "is not one that this list has given");
	for (int i = 8; i < 16; i++)
		out->after_int = (int64_t)((uint64_t)out->after_int << 8 |
					   out->rows.after.b[i]);
	return AS_OK;
}

const char *
page_cursor(struct http_req *req, struct uuid last)
{
	struct cursor c = { .key = last };
	struct buf text = { 0 };
	const char *s;

	cursor_tag(req, last, c.tag);
	text_base64url(&text, &c, sizeof(c));
	s = arena_strdup(http_arena(req), text.data);
	buf_free(&text);
	return s;
}

const char *
page_cursor_int(struct http_req *req, int64_t last)
{
	struct uuid key = { { 0 } };

	for (int i = 0; i < 8; i++)
		key.b[15 - i] = (uint8_t)((uint64_t)last >> (8 * i));
	return page_cursor(req, key);
}

struct json_object *
page_json(struct json_object *items, const char *cursor)
{
	struct json_object *o = jobj();

	jput(o, "items", items);
	jput_str(o, "next_cursor", cursor);
	return o;
}

void
page_reply(struct http_req *req, struct json_object *items, const char *cursor)
{
	http_reply_json(req, 200, page_json(items, cursor));
}

const char *
page_next(struct http_req *req, const struct page *page)
{
	return page->rows.more ? page_cursor(req, page->rows.last) : NULL;
}
