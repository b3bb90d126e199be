/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_API_PAGE_H
#define CORE_API_PAGE_H

/*
 * Lists by pages: ?limit= (1 to 200, default 50) and ?cursor=.
 *
 * A cursor is the key of the last item shown, with a tag that only this
 * installation can make over the key, the user, the path and all other
 * members of the query.  So a cursor of another list, of another filter, of
 * somebody else or made by hand is refused with 400.
 *
 *	page_read(req, &page, &err);
 *	items = ... WHERE ($1 IS NULL OR id < $1) ORDER BY id DESC LIMIT limit+1
 *	page_reply(req, items, page_next(req, &page));
 */

#include "core/base/error.h"
#include "core/store/row_page.h"

#define PAGE_DEFAULT 50
#define PAGE_MAX 200

struct http_req;
struct json_object;

struct page {
	struct row_page rows;
	int64_t after_int; /* rows.after, where the key is a number */
};

enum as_status page_read(struct http_req *req, struct page *out,
    struct error *err);

/* Text in the request's arena. */
const char *page_cursor(struct http_req *req, struct uuid last);
const char *page_cursor_int(struct http_req *req, int64_t last);
/* The one behind page->rows; NULL: that is the last page. */
const char *page_next(struct http_req *req, const struct page *page);

/* {"items", "next_cursor"}; takes items, cursor NULL says it was the last. */
struct json_object *page_json(struct json_object *items, const char *cursor);
void page_reply(struct http_req *req, struct json_object *items,
    const char *cursor);

#endif
