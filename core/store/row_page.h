/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_STORE_ROW_PAGE_H
#define CORE_STORE_ROW_PAGE_H

/*
 * One page of a list whose key is the first column: the statement asks for
 * limit + 1 rows beyond `after`, and the one too many says that there is more.
 */

#include "core/store/store.h"

struct json_object;

struct row_page {
	int64_t limit;
	struct uuid after; /* nil: from the start */
	struct uuid last; /* set: key of the last item */
	bool more; /* set */
};

/* The rows of the page as an array, each by json; the caller's. */
struct json_object *row_page_json(const struct rows *r, struct row_page *page,
    struct json_object *(*json)(const struct rows *r, int i));

#endif
