/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/row_page.h"

#include "core/base/json.h"

/* See row_page.h. */

struct json_object *
row_page_json(const struct rows *r, struct row_page *page,
    struct json_object *(*json)(const struct rows *r, int i))
{
	struct json_object *items = jarr();
	int n = rows_count(r);

	page->more = n > page->limit;
	for (int i = 0; i < n && i < page->limit; i++) {
		json_object_array_add(items, json(r, i));
		page->last = rows_uuid(r, i, 0);
	}
	return items;
}
