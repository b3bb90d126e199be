/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/api/chat_ctx.h"
#include "core/api/handlers.h"
#include "core/api/page.h"
#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/store/file.h"

/* /api/threads/{id}/files and /api/files/{id}: files of my threads. */

static struct file_scope
scope_of(struct http_req *req)
{
	const struct principal *who = api_who(req);

	return (struct file_scope){ .tenant_id = who->tenant_id,
		.user_id = who->user_id };
}

/* NOT_FOUND: it is not mine. */
SUSPENDS static enum as_status
thread_check(struct http_req *req, struct file_scope *scope, struct error *err)
{
	struct chat_ctx ctx = chat_ctx_of(req);
	struct json_object *thread = NULL;
	enum as_status st;

	*scope = scope_of(req);
	scope->thread_id = http_param_uuid(req, "id");
	st = thread_get(&ctx, scope->thread_id, &thread, err);
	json_object_put(thread);
	return st;
}

void
thread_files_list(struct http_req *req)
{
	struct json_object *items = NULL;
	struct error err = { 0 };
	struct file_scope scope;
	struct uuid last;
	struct page page;
	bool more = false;
	enum as_status st = page_read(req, &page, &err);

	if (st == AS_OK)
		st = thread_check(req, &scope, &err);
	if (st == AS_OK)
		st = file_list(app_of(req)->store, &scope, page.rows.after,
		    page.rows.limit + 1, &items, &err);
	if (st != AS_OK) {
		json_object_put(items);
		api_fail(req, &err);
		return;
	}
	if (json_object_array_length(items) > (size_t)page.rows.limit) {
		json_object_array_del_idx(items, (size_t)page.rows.limit, 1);
		more = jget_uuid(json_object_array_get_idx(items,
				     (size_t)page.rows.limit - 1),
		    "id", &last);
	}
	page_reply(req, items, more ? page_cursor(req, last) : NULL);
}

/* ---- Up ------------------------------------------------------------ */

void
thread_file_upload(struct http_req *req)
{
	struct store *store = app_of(req)->store;
	struct file_writer w = { 0 };
	struct file_scope scope;
	struct json_object *file = NULL;
	struct error err = { 0 };
	size_t len;
	const char *body = http_body(req, &len);
	enum as_status st = thread_check(req, &scope, &err);

	if (st == AS_OK)
		st = file_begin(&w, http_query(req, "name"),
		    http_header(req, "content-type"), &err);
	if (st == AS_OK)
		st = file_add(store, &w, body, len, &err);
	if (st == AS_OK)
		st = files_keep(store, &scope, &w, &err);
	if (st == AS_OK)
		st = file_stat(store, &scope, w.id, &file, &err);
	file_writer_clear(&w);
	if (st != AS_OK) {
		api_fail(req, &err);
		return;
	}
	http_set_header(req, "Location",
	    arena_printf(http_arena(req), "/api/files/%s",
		jget_str(file, "id", "")));
	http_reply_json(req, 201, file);
}

/* ---- Down ---------------------------------------------------------- */

/* One range of bytes; what is none is as if nothing had been asked. */
static bool
range_of(struct http_req *req, int64_t length, int64_t *from, int64_t *to)
{
	const char *text = http_header(req, "range");
	long long a = -1, b = -1;
	int n = 0;

	*from = 0;
	*to = length;
	if (text == NULL || sscanf(text, "bytes=%lld-%n", &a, &n) != 1 ||
	    n == 0 || a < 0 || a >= length)
		return false;
	if (text[n] != '\0' && (sscanf(text + n, "%lld%n", &b, &n) != 1 ||
				   b < a || strchr(text, ',') != NULL))
		return false;
	*from = a;
	if (b >= 0 && b < length)
		*to = b + 1;
	return true;
}

SUSPENDS static enum as_status
bytes_read(struct store *store, struct uuid id, int64_t from, int64_t to,
    struct buf *b, struct error *err)
{
	enum as_status st = AS_OK;
	char *piece;
	size_t n;

	for (; st == AS_OK && from < to; from += (int64_t)n) {
		st = file_read(store, id, from, (size_t)(to - from), &piece, &n,
		    err);
		if (st == AS_OK && n == 0)
			st = error_set(err, ERR_INTERNAL,
			    "a file without all of its bytes");
		if (st == AS_OK)
			buf_add(b, piece, n);
		free(piece);
	}
	return st;
}

/* Never shown in place: a file is what somebody, or a model, has made. */
static void
headers_set(struct http_req *req, struct json_object *file)
{
	const char *name = jget_str(file, "name", "");
	struct buf b = { 0 };

	buf_add_str(&b, "attachment; filename*=UTF-8''");
	text_percent_encode(&b, name, strlen(name));
	http_set_header(req, "Content-Disposition", b.data);
	http_set_header(req, "Accept-Ranges", "bytes");
	buf_free(&b);
}

void
file_download(struct http_req *req)
{
	struct store *store = app_of(req)->store;
	struct file_scope scope = scope_of(req);
	struct uuid id = http_param_uuid(req, "id");
	struct json_object *file = NULL;
	struct error err = { 0 };
	struct buf b = { 0 };
	int64_t from = 0, to = 0, length;
	bool is_part = false;
	enum as_status st = file_stat(store, &scope, id, &file, &err);

	if (st == AS_OK) {
		length = jget_int(file, "length", 0);
		is_part = range_of(req, length, &from, &to);
		st = bytes_read(store, id, from, to, &b, &err);
	}
	if (st != AS_OK) {
		api_fail(req, &err);
	} else {
		headers_set(req, file);
		if (is_part)
			http_set_header(req, "Content-Range",
			    arena_printf(http_arena(req),
				"bytes %lld-%lld/%lld", (long long)from,
				(long long)to - 1, (long long)length));
		http_reply(req, is_part ? 206 : 200,
		    jget_str(file, "media_type", ""), b.data, b.len);
	}
	json_object_put(file);
	buf_free(&b);
}
