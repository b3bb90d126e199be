/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AS_SDK_JSON_H
#define AS_SDK_JSON_H
/* Columns and function tables are set by hand. */
/* clang-format off */

/*
 * JSON values.
 *
 * A const struct as_json * is a value to read, a struct as_json * one under
 * construction.  Both belong to a call and end with it.  Neither needs checks
 * along the way:
 *
 *   - reading a value that is missing, or of another type, gives the default
 *     that the caller names, and NULL reads as a missing value;
 *   - writing never fails visibly.  A tree that ran out of memory, grew beyond
 *     the host's limit or was given broken UTF-8 turns bad as a whole, and the
 *     function it is finally given to says so.
 *
 * path is a member's name, or, if it starts with '/', a JSON Pointer:
 *
 *	text = as_get_str(chunk, "/choices/0/delta/content", "");
 */

#include <agentstudio/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/* JSON as source text, written without quotes around it; see toolkit.h. */
#define AS_JSON(...) #__VA_ARGS__

enum as_json_type {
	AS_JSON_NONE = 0, /* no value at all */
	AS_JSON_NULL = 1,
	AS_JSON_BOOL = 2,
	AS_JSON_INT = 3, /* a number that fits int64_t */
	AS_JSON_NUM = 4,
	AS_JSON_STR = 5,
	AS_JSON_ARRAY = 6,
	AS_JSON_OBJECT = 7,
	AS_JSON_WIDTH_ = 0x7fffffff
};

/* Walks the members of an object or an array:
 *
 *	struct as_iter it = as_each(messages);
 *
 *	while (as_next(&it))
 *		use(it.key, it.value);
 */
struct as_iter {
	const char *key; /* NULL in an array */
	const struct as_json *value;
	const struct as_json *of;
	uintptr_t state_[2];
};

struct as_json_host {
	uint32_t size;
	uint32_t reserved;

	enum as_json_type (*type)(const struct as_json *);
	const struct as_json *(*get)(const struct as_json *, const char *);
	const char *(*str)(const struct as_json *, size_t *);
	int64_t (*integer)(const struct as_json *);
	double (*num)(const struct as_json *);
	size_t (*count)(const struct as_json *);
	bool (*next)(struct as_iter *);

	const struct as_json *(*parse)(struct as_call *, const char *, size_t);
	const char *(*text)(struct as_call *, const struct as_json *);

	struct as_json *(*make)(struct as_call *, enum as_json_type);
	void (*put_str)(struct as_json *, const char *, const char *, size_t);
	void (*put_int)(struct as_json *, const char *, int64_t);
	void (*put_num)(struct as_json *, const char *, double);
	void (*put_bool)(struct as_json *, const char *, bool);
	void (*put)(struct as_json *, const char *, const struct as_json *);
	struct as_json *(*put_new)(struct as_json *, const char *,
	    enum as_json_type);
};

/* ---- Reading ----------------------------------------------------------- */

/* The value at path, or NULL.  Cannot fail; since 1.0. */
static inline const struct as_json *
as_get(const struct as_json *value, const char *path)
{
	return as_host_table->json->get(value, path);
}

/* What kind of value it is.  Cannot fail; since 1.0. */
static inline enum as_json_type
as_type(const struct as_json *value)
{
	return as_host_table->json->type(value);
}

/* Text, or dflt if there is no string at path.  Cannot fail; since 1.0. */
static inline const char *
as_get_str(const struct as_json *value, const char *path, const char *dflt)
{
	const char *s;

	s = as_host_table->json->str(as_get(value, path), NULL);
	return s != NULL ? s : dflt;
}

/* A number without a fraction.  Cannot fail; since 1.0. */
static inline int64_t
as_get_int(const struct as_json *value, const char *path, int64_t dflt)
{
	const struct as_json *v = as_get(value, path);

	return as_type(v) == AS_JSON_INT ? as_host_table->json->integer(v)
					 : dflt;
}

/* A number.  Cannot fail; since 1.0. */
static inline double
as_get_num(const struct as_json *value, const char *path, double dflt)
{
	const struct as_json *v = as_get(value, path);
	enum as_json_type type = as_type(v);

	if (type != AS_JSON_INT && type != AS_JSON_NUM)
		return dflt;
	return as_host_table->json->num(v);
}

/* A boolean.  Cannot fail; since 1.0. */
static inline bool
as_get_bool(const struct as_json *value, const char *path, bool dflt)
{
	const struct as_json *v = as_get(value, path);

	return as_type(v) == AS_JSON_BOOL ? as_host_table->json->integer(v) != 0
					  : dflt;
}

/*
 * The text of a string itself, or NULL; *len may be NULL.
 * Cannot fail; since 1.0.
 */
static inline const char *
as_str(const struct as_json *value, size_t *len)
{
	return as_host_table->json->str(value, len);
}

/* How many members.  Cannot fail; since 1.0. */
static inline size_t
as_size(const struct as_json *value)
{
	return as_host_table->json->count(value);
}

/* To walk the members of a value from the first.  Cannot fail; since 1.0. */
static inline struct as_iter
as_each(const struct as_json *value)
{
	struct as_iter it;

	memset(&it, 0, sizeof(it));
	it.of = value;
	return it;
}

/*
 * The next member, into it->key and it->value; false after the last.  Cannot
 * fail; since 1.0.
 */
static inline bool
as_next(struct as_iter *it)
{
	return as_host_table->json->next(it);
}

/* NULL if the text is not JSON.  Failure: NULL; since 1.0. */
static inline const struct as_json *
as_parse(struct as_call *call, const char *text)
{
	return as_host_table->json->parse(call, text, strlen(text));
}

/* The same of a piece of text.  Failure: NULL; since 1.0. */
static inline const struct as_json *
as_parse_text(struct as_call *call, const char *text, size_t len)
{
	return as_host_table->json->parse(call, text, len);
}

/* Compact text; "null" for NULL.  Cannot fail; since 1.0. */
static inline const char *
as_text(struct as_call *call, const struct as_json *value)
{
	return as_host_table->json->text(call, value);
}

/* ---- Writing: key is NULL when the parent is an array ------------------- */

/* An empty object.  Cannot fail; since 1.0. */
static inline struct as_json *
as_object(struct as_call *call)
{
	return as_host_table->json->make(call, AS_JSON_OBJECT);
}

/* An empty array.  Cannot fail; since 1.0. */
static inline struct as_json *
as_array(struct as_call *call)
{
	return as_host_table->json->make(call, AS_JSON_ARRAY);
}

/* NULL writes null.  Failure: the tree turns bad; since 1.0. */
static inline void
as_put_str(struct as_json *to, const char *key, const char *text)
{
	as_host_table->json->put_str(to, key, text, text ? strlen(text) : 0);
}

/* The same of a piece of text.  Failure: the tree turns bad; since 1.0. */
static inline void
as_put_text(struct as_json *to, const char *key, const char *text, size_t len)
{
	as_host_table->json->put_str(to, key, text, len);
}

/* A number without a fraction.  Cannot fail; since 1.0. */
static inline void
as_put_int(struct as_json *to, const char *key, int64_t n)
{
	as_host_table->json->put_int(to, key, n);
}

/* Not finite writes null.  Cannot fail; since 1.0. */
static inline void
as_put_num(struct as_json *to, const char *key, double n)
{
	as_host_table->json->put_num(to, key, n);
}

/* true or false.  Cannot fail; since 1.0. */
static inline void
as_put_bool(struct as_json *to, const char *key, bool yes)
{
	as_host_table->json->put_bool(to, key, yes);
}

/*
 * A copy of value; NULL writes null.
 * Failure: the tree turns bad; since 1.0.
 */
static inline void
as_put(struct as_json *to, const char *key, const struct as_json *value)
{
	as_host_table->json->put(to, key, value);
}

/* A new member, to be filled.  Cannot fail; since 1.0. */
static inline struct as_json *
as_put_object(struct as_json *to, const char *key)
{
	return as_host_table->json->put_new(to, key, AS_JSON_OBJECT);
}

/* The same for an array.  Cannot fail; since 1.0. */
static inline struct as_json *
as_put_array(struct as_json *to, const char *key)
{
	return as_host_table->json->put_new(to, key, AS_JSON_ARRAY);
}

/* ---- Answers of services ------------------------------------------------ */

/*
 * AS_OK for a 2xx answer.  Otherwise the failure that the answer means: 429 is
 * AS_BUSY with its Retry-After, 401 AS_AUTH, 404 AS_NOTFOUND, 5xx
 * AS_UNAVAILABLE, the rest AS_UPSTREAM; the message is the service's own if it
 * sent JSON in one of the usual shapes.
 * Fails with AS_AUTH, AS_FORBIDDEN, AS_NOTFOUND, AS_CONFLICT, AS_BUSY,
 * AS_UNAVAILABLE, AS_UPSTREAM; since 1.0.
 */
static inline enum as_status
as_http_ok(struct as_call *call, const struct as_http_response *response)
{
	const struct as_json *json = response->json;
	const char *text, *after;
	struct as_error error;

	if (response->status >= 200 && response->status < 300)
		return AS_OK;
	memset(&error, 0, sizeof(error));
	error.size = sizeof(error);
	switch (response->status) {
	case 401:
		error.status = AS_AUTH;
		break;
	case 403:
		error.status = AS_FORBIDDEN;
		break;
	case 404:
		error.status = AS_NOTFOUND;
		break;
	case 409:
		error.status = AS_CONFLICT;
		break;
	case 429:
		error.status = AS_BUSY;
		break;
	default:
		error.status = response->status >= 500 ? AS_UNAVAILABLE
						       : AS_UPSTREAM;
	}
	text = as_get_str(json, "/error/message", NULL);
	if (text == NULL)
		text = as_get_str(json, "message", NULL);
	if (text == NULL)
		text = as_get_str(json, "error", "no reason given");
	error.message = as_printf(call, "HTTP %u: %.300s",
	    (unsigned)response->status, text);
	after = as_http_header(response, "retry-after");
	for (; after != NULL && *after >= '0' && *after <= '9'; after++) {
		if (error.retry_after_ms > 86400000)
			break;
		error.retry_after_ms *= 10;
		error.retry_after_ms += (*after - '0') * 1000;
	}
	return as_fail_with(call, &error);
}

#ifdef __cplusplus
}
#endif

#endif
