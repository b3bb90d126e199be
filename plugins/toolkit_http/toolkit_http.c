/* SPDX-License-Identifier: Apache-2.0 */
#include <agentstudio/toolkit.h>

/*
 * One tool: an HTTP request.  The host's guard decides which addresses may be
 * reached; this plugin bounds what comes back and makes text of it.
 */

#define HEADERS_MAX 40
#define VALUE_MAX 500
#define REFUSAL_MAX (64u * 1024) /* what there is of an answer not 2xx */

struct conf {
	struct as_list allow;
	int64_t timeout;
	int64_t max_body;
};

static const struct as_field options[] = {
	AS_LIST(struct conf, allow, 0, 100, AS_RELOAD,
	    "Addresses as \"host:port\" that requests may reach although they "
	    "are private, such as \"127.0.0.1:9999\". All public addresses may "
	    "be reached."),
	AS_MS(struct conf, timeout, 30000, 100, 600000, AS_RELOAD,
	    "Give up when the server is silent for so long."),
	AS_SIZE(struct conf, max_body, 65536, 1024, 4194304, AS_RELOAD,
	    "Cut the answer's body after so many bytes."),
	AS_END
};

struct request {
	const char *method;
	const char *url;
	const struct as_json *headers;
	const struct as_json *body;
};

static const struct as_field request_params[] = {
	AS_CHOICE(struct request, method,
	    "GET HEAD POST PUT PATCH DELETE OPTIONS", 0,
	    "What to do with the resource."),
	AS_STR(struct request, url, NULL, AS_REQUIRED,
	    "The whole address, starting with http:// or https://."),
	AS_ANY(struct request, headers, 0,
	    "Request headers, as an object of names and texts."),
	AS_ANY(struct request, body, 0,
	    "The request's body: a text is sent as it is, anything else as "
	    "JSON."),
	AS_END
};

static bool
is_name(const char *a, const char *lower)
{
	for (; *a != '\0' && *lower != '\0'; a++, lower++) {
		if ((*a >= 'A' && *a <= 'Z' ? *a | 32 : *a) != *lower)
			return false;
	}
	return *a == *lower;
}

/* ---- The request ------------------------------------------------------------ */

static enum as_status
make_headers(struct as_call *call, const struct request *in,
    const char *const **out)
{
	struct as_iter it = as_each(in->headers);
	const char **list, **h;
	bool has_type = false;

	if (as_type(in->headers) > AS_JSON_NULL &&
	    as_type(in->headers) != AS_JSON_OBJECT)
		return as_fail(call, AS_INVALID,
		    "headers: expected an object of names and texts");
	list = as_alloc(call, (as_size(in->headers) + 2) * 2 * sizeof(*list));
	if ((h = list) == NULL)
		return as_fail(call, AS_NOMEM, "no memory for the headers");
	while (as_next(&it)) {
		if (as_str(it.value, NULL) == NULL)
			return as_fail(call, AS_INVALID,
			    "headers: the value of '%.60s' is not a text",
			    it.key);
		has_type |= is_name(it.key, "content-type");
		*h++ = it.key;
		*h++ = as_str(it.value, NULL);
	}
	if (!has_type && as_type(in->body) > AS_JSON_NULL) {
		*h++ = "content-type";
		*h++ = as_type(in->body) == AS_JSON_STR
			   ? "text/plain; charset=utf-8"
			   : "application/json";
	}
	*out = list;
	return AS_OK;
}

static struct as_bytes
make_body(struct as_call *call, const struct as_json *body)
{
	struct as_bytes bytes = { NULL, 0 };

	if (as_type(body) <= AS_JSON_NULL)
		return bytes;
	bytes.ptr = as_str(body, &bytes.len);
	if (bytes.ptr == NULL) {
		bytes.ptr = as_text(call, body);
		bytes.len = strlen(bytes.ptr);
	}
	return bytes;
}

/* ---- The answer --------------------------------------------------------------- */

/* The length of the character at s, 0 if it is none, -1 if it is cut off. */
static int
utf8_len(const unsigned char *s, size_t len)
{
	unsigned c = s[0], low = 0x80, high = 0xbf;
	int n = c < 0x80   ? 1
		: c < 0xc2 ? 0
		: c < 0xe0 ? 2
		: c < 0xf0 ? 3
		: c < 0xf5 ? 4
			   : 0;

	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;
	for (int i = 1; i < n; i++) {
		if ((size_t)i >= len)
			return -1;
		if (s[i] < low || s[i] > high)
			return 0;
		low = 0x80;
		high = 0xbf;
	}
	return n;
}

/*
 * Valid text: what is no character becomes U+FFFD; one that the cut has taken
 * apart goes.  NULL if these bytes are not text at all.
 */
static const char *
make_text(struct as_call *call, const unsigned char *s, size_t len, bool cut,
    size_t *out_len)
{
	static const char unknown[] = { '\xef', '\xbf', '\xbd' };
	char *text = as_alloc(call, len * 3 + 1);
	size_t bad = 0, n = 0;
	int one;

	if (text == NULL || (len > 0 && memchr(s, '\0', len) != NULL))
		return NULL;
	for (size_t i = 0; i < len; i += (size_t)one) {
		one = utf8_len(s + i, len - i);
		if (one < 0 && cut)
			break;
		if (one > 0) {
			memcpy(text + n, s + i, (size_t)one);
			n += (size_t)one;
			continue;
		}
		memcpy(text + n, unknown, sizeof(unknown));
		n += sizeof(unknown);
		bad++;
		one = 1;
	}
	*out_len = n;
	return bad > 16 && bad > len / 8 ? NULL : text;
}

/* The start of a text, without half a character at its end. */
static const char *
cut_text(struct as_call *call, const char *text, size_t max)
{
	size_t len = strlen(text);

	if (len <= max)
		return text;
	for (len = max; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80;)
		len--;
	return as_printf(call, "%.*s...", (int)len, text);
}

static void
put_headers(struct as_call *call, struct as_json *result,
    const struct as_http_response *res)
{
	struct as_json *headers = as_put_object(result, "headers");
	const char *const *h = res->headers;
	const char *value, *before;

	for (int n = 0; h != NULL && h[0] != NULL && n < HEADERS_MAX; n++) {
		value = cut_text(call, h[1], VALUE_MAX);
		before = as_get_str(headers, h[0], NULL);
		if (before != NULL)
			value = as_printf(call, "%s, %s", before, value);
		/* A session is not for a transcript. */
		if (strcmp(h[0], "set-cookie") != 0)
			as_put_str(headers, h[0], value);
		h += 2;
	}
}

static void
put_body(struct as_call *call, struct as_json *result,
    const struct as_http_response *res, const unsigned char *s, size_t len,
    bool cut)
{
	const char *type = as_http_header(res, "content-type"), *text;
	size_t n = 0;

	as_put_bool(result, "truncated", cut);
	if ((text = make_text(call, s, len, cut, &n)) != NULL) {
		as_put_text(result, "body", text, n);
		if (cut)
			as_put_str(result, "note",
			    as_printf(call,
				"only the first %zu bytes are shown", len));
		return;
	}
	as_put_str(result, "body", NULL);
	as_put_str(result, "note",
	    as_printf(call,
		"the body is not text (%s, %s%zu bytes) and is not shown",
		type != NULL ? cut_text(call, type, 80) : "no content-type",
		cut ? "more than " : "", len));
}

/*
 * At most max bytes; *cut: there are more.  An answer that is not 2xx has the
 * start of its body with it.
 */
AS_SUSPENDS static enum as_status
read_body(struct as_call *call, const struct as_http_response *res, size_t max,
    unsigned char **out, size_t *len, bool *cut)
{
	struct as_bytes piece = res->body;
	enum as_status st = AS_OK;
	size_t n;

	*len = 0;
	*cut = piece.len == REFUSAL_MAX;
	if ((*out = as_alloc(call, max + 1)) == NULL)
		return as_fail(call, AS_NOMEM, "no memory for the answer");
	do {
		n = piece.len < max - *len ? piece.len : max - *len;
		if (n > 0)
			memcpy(*out + *len, piece.ptr, n);
		*len += n;
		if (n < piece.len) {
			*cut = true;
			return AS_OK;
		}
	} while ((st = as_http_read(call, res, &piece)) == AS_OK);
	return st == AS_EOF ? AS_OK : st;
}

AS_SUSPENDS static enum as_status
request(struct as_call *call, const void *arg)
{
	const struct conf *conf = as_conf(call);
	const struct request *in = arg;
	const struct as_http_response *res;
	const char *const *headers = NULL;
	struct as_json *result;
	unsigned char *body;
	enum as_status st;
	size_t len;
	bool cut;

	if ((st = make_headers(call, in, &headers)) != AS_OK)
		return st;
	st = as_http_open(call,
	    AS_TABLE(as_http_request, .method = in->method, .url = in->url,
		.headers = headers, .body = make_body(call, in->body),
		.idle_ms = conf->timeout),
	    &res);
	if (st != AS_OK)
		return st;
	st = read_body(call, res, (size_t)conf->max_body, &body, &len, &cut);
	if (st != AS_OK)
		return st;
	result = as_object(call);
	as_put_int(result, "status", res->status);
	put_headers(call, result, res);
	put_body(call, result, res, body, len, cut);
	return as_reply(call, result);
}

/* As RFC 9110 has it: safe, idempotent, or neither. */
static const struct as_effect_case effects[] = {
	{ "GET", AS_EFFECT_NONE },
	{ "HEAD", AS_EFFECT_NONE },
	{ "OPTIONS", AS_EFFECT_NONE },
	{ "PUT", AS_EFFECT_REPEAT },
	{ "DELETE", AS_EFFECT_REPEAT },
	AS_END,
};

static const struct as_tool tools[] = {
	{
	    .name = "request",
	    .doc = "Make an HTTP request and read the answer. Redirects to "
		   "another host are not followed: the answer's location "
		   "header says where to ask next.",
	    AS_PARAMS(struct request, request_params),
	    .flags = AS_OPEN_WORLD,
	    .result_schema = AS_JSON({
		    "type" : "object",
		    "properties" : {
			    "status" : { "type" : "integer" },
			    "headers" : { "type" : "object" },
			    "body" : { "type" : [ "string", "null" ] },
			    "truncated" : { "type" : "boolean" },
			    "note" : { "type" : "string" }
		    }
	    }),
	    /* POST and PATCH, which nobody may repeat. */
	    .effect = AS_EFFECT_ONCE,
	    .run = request,
	    .effect_by = "method",
	    .effects = effects,
	},
	AS_END
};

/* An entry that no address equals would open nothing, without a word. */
static enum as_status
init(struct as_call *call)
{
	const struct conf *conf = as_conf(call);
	const char *item, *port;
	size_t i;

	for (i = 0; i < conf->allow.n; i++) {
		item = conf->allow.items[i];
		port = strrchr(item, ':');
		if (port == NULL || port == item || port[1] == '\0' ||
		    strspn(port + 1, "0123456789") != strlen(port + 1) ||
		    strstr(item, "//") != NULL)
			return as_fail(call, AS_INVALID,
			    "allow: expected \"host:port\", got '%s'", item);
	}
	return AS_OK;
}

AS_PLUGIN(.name = "toolkit_http",
    .summary = "Makes HTTP requests to public addresses.", .version = "1.0.0",
    .flags = AS_PARALLEL | AS_UNLOADABLE, AS_OPTIONS(struct conf, options),
    .grants = "net:user", .init = init,
    .toolkit = AS_TOOLKIT(.title = "HTTP", .tools = tools));
