/* SPDX-License-Identifier: Apache-2.0 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "core/api/api.h"
#include "core/api/page.h"
#include "core/auth/auth.h"
#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "tests/tap.h"

/*
 * Cursors: one that a list has given is taken by that list only.  The request
 * and what it needs are made here.
 */

struct http_req {
	struct arena *arena;
	struct app *app;
	const struct route *route;
	const char *path, *limit, *cursor, *public;
	struct principal who;
	struct json_object *answer;
};

static struct app app;
static struct api api;
static const struct route route = { .query = "Q" };

void *
http_app(struct http_req *req)
{
	return req->app;
}

struct arena *
http_arena(struct http_req *req)
{
	return req->arena;
}

const struct route *
http_route(struct http_req *req)
{
	return req->route;
}

const char *
http_path(struct http_req *req)
{
	return req->path;
}

const char *
http_query(struct http_req *req, const char *name)
{
	if (strcmp(name, "limit") == 0)
		return req->limit;
	if (strcmp(name, "cursor") == 0)
		return req->cursor;
	return strcmp(name, "public") == 0 ? req->public : NULL;
}

enum as_status
http_query_int(struct http_req *req, const char *name, int64_t dflt,
    int64_t min, int64_t max, int64_t *out, struct error *err)
{
	const char *text = http_query(req, name);

	*out = dflt;
	if (text != NULL && !text_to_int(text, min, max, out))
		return error_field(err, name, "bad");
	return AS_OK;
}

void
http_reply_json(struct http_req *req, int status, struct json_object *body)
{
	(void)status;
	req->answer = body;
}

const struct principal *
api_who(struct http_req *req)
{
	return &req->who;
}

void
auth_tag(const struct auth *auth, const void *p, size_t len,
    uint8_t tag[AUTH_TAG_LEN])
{
	(void)auth;
	crypto_generichash(tag, AUTH_TAG_LEN, p, len, NULL, 0);
}

static int
setup(void)
{
	api.schemas = schema_set_new();
	app.api = &api;
	return schema_set_add(api.schemas, "Q",
		   "{\"type\":\"object\",\"properties\":{\"limit\":{},"
		   "\"cursor\":{},\"public\":{}}}",
		   NULL) != AS_OK ||
	       schema_set_resolve(api.schemas, NULL) != AS_OK;
}

static int
teardown(void)
{
	schema_set_free(api.schemas);
	return 0;
}

static struct http_req
request(void)
{
	struct http_req req = { .arena = arena_new(NULL),
		.app = &app,
		.route = &route,
		.path = "/api/agents/" };

	req.who.user_id.b[0] = 1;
	return req;
}

static enum as_status
read_page(struct http_req *req, struct page *page)
{
	struct error err = { 0 };
	enum as_status st = page_read(req, page, &err);

	if (st != AS_OK)
		CU_ASSERT_EQUAL(err.code, ERR_VALIDATION_FAILED);
	error_clear(&err);
	return st;
}

static void
test_defaults(void)
{
	struct http_req req = request();
	struct page page;

	CU_ASSERT_EQUAL(read_page(&req, &page), AS_OK);
	CU_ASSERT_EQUAL(page.rows.limit, 50);
	CU_ASSERT_EQUAL(page.after_int, 0);
	CU_ASSERT(uuid_is_nil(page.rows.after));
	arena_free(req.arena);
}

static void
test_limit(void)
{
	static const char *const bad[] = { "0", "201", "-1", "x", "" };
	struct http_req req = request();
	struct page page;

	req.limit = "200";
	CU_ASSERT_EQUAL(read_page(&req, &page), AS_OK);
	CU_ASSERT_EQUAL(page.rows.limit, 200);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		req.limit = bad[i];
		CU_ASSERT_EQUAL(read_page(&req, &page), AS_INVALID);
	}
	arena_free(req.arena);
}

static void
test_round_trip(void)
{
	struct http_req req = request();
	struct uuid id = uuid_v7();
	struct page page;

	req.cursor = page_cursor(&req, id);
	CU_ASSERT_EQUAL(read_page(&req, &page), AS_OK);
	CU_ASSERT(uuid_equal(page.rows.after, id));
	/* A slash at the end and the size of the page do not matter. */
	req.path = "/api/agents";
	req.limit = "7";
	CU_ASSERT_EQUAL(read_page(&req, &page), AS_OK);
	arena_free(req.arena);
}

static void
test_numbers(void)
{
	static const int64_t numbers[] = { 0, 1, 255, 256, INT64_MAX };
	struct http_req req = request();
	struct page page;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		req.cursor = page_cursor_int(&req, numbers[i]);
		CU_ASSERT_EQUAL(read_page(&req, &page), AS_OK);
		CU_ASSERT_EQUAL(page.after_int, numbers[i]);
	}
	arena_free(req.arena);
}

static void
test_foreign(void)
{
	struct http_req req = request();
	struct page page;

	req.cursor = page_cursor(&req, uuid_v7());
	req.path = "/api/runs";
	CU_ASSERT_EQUAL(read_page(&req, &page), AS_INVALID);
	req.path = "/api/agents/";
	req.public = "true";
	CU_ASSERT_EQUAL(read_page(&req, &page), AS_INVALID);
	req.public = NULL;
	req.who.user_id.b[0] = 2;
	CU_ASSERT_EQUAL(read_page(&req, &page), AS_INVALID);
	req.who.user_id.b[0] = 1;
	CU_ASSERT_EQUAL(read_page(&req, &page), AS_OK);
	arena_free(req.arena);
}

static void
test_broken(void)
{
	struct http_req req = request();
	struct page page;
	char text[64];
	size_t len;

	snprintf(text, sizeof(text), "%s", page_cursor(&req, uuid_v7()));
	len = strlen(text);
	req.cursor = text;
	for (size_t i = 0; i < len; i++) {
		char was = text[i];

		text[i] = was == 'A' ? 'B' : 'A';
		CU_ASSERT_EQUAL(read_page(&req, &page), AS_INVALID);
		text[i] = '\0';
		CU_ASSERT_EQUAL(read_page(&req, &page), AS_INVALID);
		text[i] = was;
	}
	CU_ASSERT_EQUAL(read_page(&req, &page), AS_OK);
	req.cursor = "not base64!";
	CU_ASSERT_EQUAL(read_page(&req, &page), AS_INVALID);
	arena_free(req.arena);
}

static void
test_reply(void)
{
	struct http_req req = request();

	page_reply(&req, jarr(), NULL);
	CU_ASSERT_STRING_EQUAL(json_text(req.answer),
	    "{\"items\":[],\"next_cursor\":null}");
	json_object_put(req.answer);
	arena_free(req.arena);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "defaults", test_defaults },
		{ "limit", test_limit },
		{ "round trip", test_round_trip },
		{ "numbers", test_numbers },
		{ "foreign cursors", test_foreign },
		{ "broken cursors", test_broken },
		{ "reply", test_reply },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "page", setup, teardown, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
