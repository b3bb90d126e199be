/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/json_tape.h"
#include "core/base/json_write.h"
#include "core/base/mem.h"
#include "core/base/uuid.h"
#include "tests/tap.h"

/*
 * The strict parser, readers and writers, merge patch, canonical text.
 */

static struct json_object *
parse(const char *text)
{
	struct json_object *v = NULL;

	CU_ASSERT_EQUAL(json_parse(text, strlen(text), &v, NULL), AS_OK);
	return v;
}

/* The text that parsing and printing makes of a text. */
static void
same(const char *text, const char *want)
{
	struct json_object *v = parse(text);

	CU_ASSERT_STRING_EQUAL(json_text(v), want);
	json_object_put(v);
}

static void
test_good(void)
{
	same(" null ", "null");
	same("[true,false]", "[true,false]");
	same("{\"a\":{\"b\":[]},\"c\":{}}", "{\"a\":{\"b\":[]},\"c\":{}}");
	same("\t\r\n[ 1 , 2 ]\n", "[1,2]");
	same("9223372036854775807", "9223372036854775807");
	same("-9223372036854775808", "-9223372036854775808");
	same("-0", "0");
	same("1.50", "1.50");
	same("123456789012345678901", "123456789012345678901");
	same("1e3", "1e3");
	same("\"\\u00e9\\ud83d\\ude00\\/\"", "\"\xc3\xa9\xf0\x9f\x98\x80/\"");
	same("\"\\b\\f\\n\\r\\t\\\"\\\\\"", "\"\\b\\f\\n\\r\\t\\\"\\\\\"");
	same("\"\\u0000\"", "\"\\u0000\"");
	same("\"\x7f\"", "\"\x7f\"");
}

static const struct {
	const char *text;
	size_t at; /* byte that is to blame */
} bad[] = {
	{ "", 0 },
	{ " ", 1 },
	{ "{", 1 },
	{ "[", 1 },
	{ "[1", 2 },
	{ "[1,]", 3 },
	{ "[,1]", 1 },
	{ "[1 2]", 3 },
	{ "{\"a\"}", 4 },
	{ "{\"a\":}", 5 },
	{ "{\"a\":1,}", 7 },
	{ "{a:1}", 1 },
	{ "{'a':1}", 1 },
	{ "{\"a\":1,\"a\":2}", 7 },
	{ "{\"a\":1,\"\\u0061\":2}", 7 },
	{ "{\"a\\u0000b\":1}", 1 },
	{ "[1]x", 3 },
	{ "[1]/**/", 3 },
	{ "[1]//", 3 },
	{ "01", 1 },
	{ "-", 1 },
	{ "+1", 0 },
	{ ".5", 0 },
	{ "1.", 2 },
	{ "1e", 2 },
	{ "1e+", 3 },
	{ "0x10", 1 },
	{ "1e999", 0 },
	{ "-1e999", 0 },
	{ "NaN", 0 },
	{ "Infinity", 0 },
	{ "nul", 0 },
	{ "True", 0 },
	{ "\"", 1 },
	{ "\"a\nb\"", 2 },
	{ "\"\\x41\"", 1 },
	{ "\"\\u12g4\"", 5 },
	{ "\"\\ud800\"", 1 },
	{ "\"\\ud800\\u0041\"", 1 },
	{ "\"\\udc00\"", 1 },
	{ "\"\\", 1 },
	{ "\"\xff\"", 1 },
	{ "\"\xc0\x80\"", 1 },
	{ "\"\xed\xa0\x80\"", 1 },
	{ "\xef\xbb\xbf{}", 0 },
};

static void
test_bad(void)
{
	struct error err = { 0 };
	struct json_object *v;
	const char *at;
	size_t i;

	for (i = 0; i < N_ITEMS(bad); i++) {
		CU_ASSERT_EQUAL(json_parse(bad[i].text, strlen(bad[i].text), &v,
				    &err),
		    AS_INVALID);
		CU_ASSERT_PTR_NULL(v);
		CU_ASSERT_EQUAL(err.code, ERR_MALFORMED_JSON);
		at = strrchr(err.detail, ' ');
		if (at == NULL || (size_t)atoi(at) != bad[i].at) {
			tap_note("%s: %s", bad[i].text, err.detail);
			CU_FAIL("wrong place");
		}
	}
	CU_ASSERT_EQUAL(json_parse("[1\0]", 4, &v, &err), AS_INVALID);
	error_clear(&err);
}

static void
test_depth(void)
{
	struct json_object *v;
	char text[140];
	int i;

	for (i = 0; i < 64; i++) {
		text[i] = '[';
		text[64 + i] = ']';
	}
	text[128] = '\0';
	v = parse(text);
	CU_ASSERT_STRING_EQUAL(json_text(v), text);
	json_object_put(v);
	memset(text, '[', 65);
	memset(text + 65, ']', 65);
	CU_ASSERT_EQUAL(json_parse(text, 130, &v, NULL), AS_INVALID);
}

/* ---- The tape ------------------------------------------------------ */

static void same_value(const struct json_node *n, struct json_object *o);

static void
same_members(const struct json_node *n, struct json_object *o)
{
	const struct json_node *m = json_node_first(n);
	uint32_t i;

	CU_ASSERT_EQUAL(json_object_object_length(o), (int)n->len);
	for (i = 0; i < n->len; i++, m = json_node_next(m)) {
		CU_ASSERT_EQUAL(strlen(m->key), m->key_len);
		CU_ASSERT_PTR_EQUAL(json_node_get(n, m->key), m);
		same_value(m, jget(o, m->key));
	}
	CU_ASSERT_PTR_EQUAL(m, n + n->span);
}

static void
same_elements(const struct json_node *n, struct json_object *o)
{
	const struct json_node *m = json_node_first(n);
	uint32_t i;

	CU_ASSERT_EQUAL(json_object_array_length(o), n->len);
	for (i = 0; i < n->len; i++, m = json_node_next(m)) {
		CU_ASSERT_PTR_NULL(m->key);
		CU_ASSERT_PTR_EQUAL(json_node_at(n, i), m);
		same_value(m, json_object_array_get_idx(o, i));
	}
	CU_ASSERT_PTR_EQUAL(m, n + n->span);
	CU_ASSERT_PTR_NULL(json_node_at(n, n->len));
}

/* A node, and the same value as json-c's own parser has it. */
static void
same_value(const struct json_node *n, struct json_object *o)
{
	double d;

	switch (n->type) {
	case json_type_object:
		same_members(n, o);
		break;
	case json_type_array:
		same_elements(n, o);
		break;
	case json_type_string:
		CU_ASSERT_EQUAL_FATAL(json_object_get_string_len(o),
		    (int)n->len);
		/* And its NUL. */
		CU_ASSERT_EQUAL(memcmp(json_object_get_string(o), n->text,
				    n->len + 1),
		    0);
		break;
	case json_type_int:
	case json_type_boolean:
		CU_ASSERT_EQUAL(json_object_get_int64(o), n->i);
		break;
	case json_type_double:
		/* json-c cuts integers that are larger than 64 bits. */
		if (!json_object_is_type(o, json_type_double))
			break;
		d = json_object_get_double(o);
		CU_ASSERT(json_node_num(n) <= d && json_node_num(n) >= d);
		break;
	case json_type_null:
		CU_ASSERT_PTR_NULL(o);
	}
}

static const char *const texts[] = {
	"null",
	" true ",
	"{}",
	"[]",
	"\"\"",
	"[[],{},[[]],{\"\":{}}]",
	"[0,-0,1,-1,9223372036854775807,-9223372036854775808]",
	"[9223372036854775808,-9223372036854775809,123456789012345678901]",
	"[0.5,-1.25e-7,1e3,0.1,1E+2,-0.0]",
	"[true,false,null,\"null\"]",
	"\"12345678\\n12345678\\t1234567\\u00e9\"",
	"\"\\ud83d\\ude00 \\u20ac \\u0041 \\b\\f\\n\\r\\t\\/\\\\\\\"\"",
	"\"a\\u0000b\"",
	"{\"a\\n\":1,\"\\u0062\":[2,{\"c\":null}],\"d\":\"e\"}",
	"{\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":"
	"\" hel\xc3\xa9lo \"},\"finish_reason\":null}],\"usage\":{\"n\":7}}",
};

/* One tape for all: what was read before must not be seen. */
static void
test_tape(void)
{
	struct json_tape t = { 0 };
	struct json_object *o, *own;
	size_t i;

	for (i = 0; i < N_ITEMS(texts); i++) {
		CU_ASSERT_EQUAL_FATAL(json_tape_parse(&t, texts[i],
					  strlen(texts[i]), NULL),
		    AS_OK);
		CU_ASSERT_EQUAL(t.nodes[0].span, t.n);
		o = json_tokener_parse(texts[i]);
		same_value(t.nodes, o);
		json_object_put(o);
		own = json_node_object(t.nodes);
		o = parse(texts[i]);
		CU_ASSERT_STRING_EQUAL(json_text(own), json_text(o));
		json_object_put(own);
		json_object_put(o);
	}
	CU_ASSERT_PTR_NULL(json_node_get(t.nodes, "none"));
	CU_ASSERT_PTR_NULL(json_node_get(t.nodes, ""));
	CU_ASSERT_PTR_NULL(json_node_at(t.nodes, 0));
	CU_ASSERT_PTR_NULL(json_node_get(t.nodes + 1, "id"));
	CU_ASSERT(json_node_num(t.nodes) <= 0);
	json_tape_free(&t);
}

/* Each beginning of a text is refused, or a number that could go on. */
static void
test_cut(void)
{
	const char *text = texts[N_ITEMS(texts) - 1];
	struct json_tape t = { 0 };
	struct json_object *v;
	char *copy;
	size_t i;

	for (i = 0; i < strlen(text); i++) {
		copy = xmalloc(i); /* so that reading beyond it is seen */
		memcpy(copy, text, i);
		CU_ASSERT_EQUAL(json_tape_parse(&t, copy, i, NULL), AS_INVALID);
		CU_ASSERT_EQUAL(json_parse(copy, i, &v, NULL), AS_INVALID);
		free(copy);
	}
	json_tape_free(&t);
}

/* An object of n members, each an object of n members; one name comes twice. */
static void
add_object(struct buf *b, int n, int again, int depth)
{
	int i;

	buf_add_char(b, '{');
	for (i = 0; i < n; i++) {
		buf_printf(b, "%s\"m%d\":", i > 0 ? "," : "", i);
		if (depth > 0)
			add_object(b, n, -1, depth - 1);
		else
			buf_add_int(b, i);
	}
	if (again >= 0)
		buf_printf(b, ",\"m%d\":0", again);
	buf_add_char(b, '}');
}

static void
wide(int n, int again, int depth)
{
	struct json_object *v;
	struct error err = { 0 };
	struct buf b = { 0 };
	enum as_status st;

	add_object(&b, n, again, depth);
	st = json_parse(b.data, b.len, &v, &err);
	if (again < 0) {
		CU_ASSERT_EQUAL(st, AS_OK);
		CU_ASSERT_STRING_EQUAL(json_text(v), b.data);
	} else {
		CU_ASSERT_EQUAL(st, AS_INVALID);
		CU_ASSERT_PTR_NOT_NULL(
		    strstr(err.detail, "duplicate member name at byte "));
	}
	json_object_put(v);
	error_clear(&err);
	buf_free(&b);
}

static void
test_wide(void)
{
	static const int sizes[] = { 1, 31, 32, 33, 34, 300, 5000 };
	size_t i;

	for (i = 0; i < N_ITEMS(sizes); i++) {
		wide(sizes[i], -1, 0);
		wide(sizes[i], 0, 0);
		wide(sizes[i], sizes[i] / 2, 0);
		wide(sizes[i], sizes[i] - 1, 0);
	}
	/* The same names in many objects, some of them open. */
	wide(40, -1, 2);
	wide(40, 39, 2);
}

/* Small texts are parsed without any memory of their own: the worst ones. */
static void
test_small(void)
{
	struct json_object *v;
	char text[300];
	size_t len, i;

	for (len = 250; len < 260; len++) {
		for (i = 0; i < len; i++)
			text[i] = i == 0         ? '['
				  : i == len - 1 ? ']'
				  : i % 2 == 1   ? '1'
						 : ',';
		CU_ASSERT_EQUAL(json_parse(text, len, &v, NULL),
		    len % 2 == 1 ? AS_OK : AS_INVALID);
		json_object_put(v);
		memset(text + len - 70, '[', 70);
		CU_ASSERT_EQUAL(json_parse(text, len, &v, NULL), AS_INVALID);
		memset(text, '[', len);
		CU_ASSERT_EQUAL(json_parse(text, len, &v, NULL), AS_INVALID);
	}
}

static void
test_readers(void)
{
	struct json_object *v = parse(
	    "{\"s\":\"x\",\"i\":5,\"w\":3.0,\"d\":3.5,"
	    "\"b\":true,\"n\":null,\"u\":"
	    "\"01890a5d-ac96-774b-bcce-b302099a8057\"}");
	struct uuid id;

	CU_ASSERT_STRING_EQUAL(jget_str(v, "s", "-"), "x");
	CU_ASSERT_STRING_EQUAL(jget_str(v, "i", "-"), "-");
	CU_ASSERT_STRING_EQUAL(jget_str(v, "n", "-"), "-");
	CU_ASSERT_STRING_EQUAL(jget_str(NULL, "s", "-"), "-");
	CU_ASSERT_EQUAL(jget_int(v, "i", 0), 5);
	CU_ASSERT_EQUAL(jget_int(v, "w", 0), 3);
	CU_ASSERT_EQUAL(jget_int(v, "d", -1), -1);
	CU_ASSERT_EQUAL(jget_int(v, "s", -1), -1);
	CU_ASSERT_TRUE(jget_bool(v, "b", false));
	CU_ASSERT_TRUE(jget_bool(v, "s", true));
	CU_ASSERT_TRUE(jget_uuid(v, "u", &id));
	CU_ASSERT_FALSE(jget_uuid(v, "s", &id));
	CU_ASSERT_FALSE(jget_uuid(v, "missing", &id));
	json_object_put(v);
}

static void
test_writers(void)
{
	struct json_object *o = jobj();
	struct uuid id = { { 0x01 } };

	jput_str(o, "s", "x");
	jput_str(o, "none", NULL);
	jput_strn(o, "t", "abc", 2);
	jput_int(o, "i", INT64_MIN);
	jput_num(o, "d", 0.1);
	jput_num(o, "nan", NAN);
	jput_bool(o, "b", true);
	jput_uuid(o, "u", id);
	jput_time(o, "z", 0);
	jput_time(o, "at", 1);
	jput_json(o, "j", "{\"a\":[1]}");
	jput_json(o, "broken", "{");
	CU_ASSERT_STRING_EQUAL(json_text(o),
	    "{\"s\":\"x\",\"none\":null,\"t\":\"ab\",\"i\":"
	    "-9223372036854775808,\"d\":0.1,\"nan\":null,\"b\":true,\"u\":"
	    "\"01000000-0000-0000-0000-000000000000\",\"z\":null,\"at\":"
	    "\"1970-01-01T00:00:00.000001Z\",\"j\":{\"a\":[1]},\"broken\":"
	    "null}");
	json_object_put(o);
}

static void
merge(const char *target, const char *patch, const char *want)
{
	struct json_object *p = parse(patch), *r;

	r = json_merge_patch(parse(target), p);
	CU_ASSERT_STRING_EQUAL(json_text(r), want);
	json_object_put(r);
	CU_ASSERT_STRING_EQUAL(json_text(p), patch);
	json_object_put(p);
}

/* The examples of RFC 7396, appendix A. */
static void
test_merge(void)
{
	merge("{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}");
	merge("{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}");
	merge("{\"a\":\"b\"}", "{\"a\":null}", "{}");
	merge("{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}");
	merge("{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}");
	merge("{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}",
	    "{\"a\":{\"b\":\"d\"}}");
	merge("{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}");
	merge("[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]");
	merge("{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]");
	merge("{\"a\":\"foo\"}", "null", "null");
	merge("{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}");
	merge("[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}");
	merge("{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}");
}

static void
canonical(const char *text, const char *want)
{
	struct json_object *v = parse(text);
	struct buf b = { 0 };

	json_canonical(&b, v);
	CU_ASSERT_STRING_EQUAL(b.data, want);
	buf_free(&b);
	json_object_put(v);
}

static void
test_canonical(void)
{
	canonical("{ \"b\" : 1, \"a\" : [ 1.0, 2.50, -0.0, 1e2 ] }",
	    "{\"a\":[1,2.5,0,100],\"b\":1}");
	canonical("{\"aa\":1,\"a\":2,\"\xc3\xa9\":3,\"Z\":4}",
	    "{\"Z\":4,\"a\":2,\"aa\":1,\"\xc3\xa9\":3}");
	canonical("[\"\\u0041\\n\",null,true]", "[\"A\\n\",null,true]");
}

static void
test_copy(void)
{
	struct json_object *v = parse("{\"a\":[1,\"x\"]}"), *copy;

	copy = json_copy(v);
	json_object_array_add(jget(v, "a"), NULL);
	CU_ASSERT_STRING_EQUAL(json_text(copy), "{\"a\":[1,\"x\"]}");
	CU_ASSERT_PTR_NULL(json_copy(NULL));
	json_object_put(copy);
	json_object_put(v);
}

/* Both ways to write give the same bytes. */
static void
test_write(void)
{
	static const char text[] = "a\"b\\c/\b\f\n\r\t\x01\x7f\xc3\xa9{[";
	struct uuid nil = { { 0 } }, id = { { 1, 2, 3 } };
	struct json_object *o = jobj(), *list = jarr();
	struct buf b = { 0 };

	jw_open(&b, NULL);
	jw_str(&b, "s", text);
	jw_strn(&b, "n", text, 3);
	jw_str(&b, "none", NULL);
	jw_int(&b, "i", INT64_MIN);
	jw_bool(&b, "yes", true);
	jw_uuid(&b, "id", id);
	jw_uuid(&b, "nil", nil);
	jw_time(&b, "t", 1000001);
	jw_time(&b, "never", 0);
	jw_raw(&b, "raw", "{\"x\":[]}");
	jw_open_list(&b, "l");
	jw_str(&b, NULL, "{");
	jw_open(&b, NULL);
	jw_close(&b);
	jw_int(&b, NULL, 7);
	jw_close_list(&b);
	jw_close(&b);
	jput_str(o, "s", text);
	jput_strn(o, "n", text, 3);
	jput_null(o, "none");
	jput_int(o, "i", INT64_MIN);
	jput_bool(o, "yes", true);
	jput_uuid(o, "id", id);
	jput_null(o, "nil");
	jput_time(o, "t", 1000001);
	jput_time(o, "never", 0);
	jput(o, "raw", json_raw(xstrdup("{\"x\":[]}")));
	jput(o, "l", list);
	json_object_array_add(list, json_object_new_string("{"));
	json_object_array_add(list, jobj());
	json_object_array_add(list, json_object_new_int(7));
	CU_ASSERT_STRING_EQUAL(b.data, json_text(o));
	json_object_put(o);
	buf_free(&b);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "good texts", test_good },
		{ "bad texts name the byte", test_bad },
		{ "depth 64 and no more", test_depth },
		{ "the tape has what json-c has", test_tape },
		{ "texts that are cut", test_cut },
		{ "large objects", test_wide },
		{ "small texts", test_small },
		{ "readers", test_readers },
		{ "writers", test_writers },
		{ "two ways to write", test_write },
		{ "merge patch", test_merge },
		{ "canonical text", test_canonical },
		{ "copies are deep", test_copy },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "json", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
