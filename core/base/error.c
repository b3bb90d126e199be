/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/error.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * The error table and the one body that is made from it.  Invariant: detail is
 * valid UTF-8 at any time, so that it can go into JSON without a check.
 */

struct row {
	const char *name;
	const char *title;
	int http;
	enum as_status status;
};

static const struct row rows[ERR_MAX_] = {
	[ERR_NONE] = { "NONE", "No error", 200, AS_OK },
#define ERROR(code, http, status, title) \
	[ERR_##code] = { #code, title, http, status },
#include "core/base/error.def"
#undef ERROR
};

static const struct row *
row_of(enum error_code code)
{
	return &rows[code > ERR_NONE && code < ERR_MAX_ ? code : ERR_NONE];
}

/* Copy what fits, as whole characters and valid UTF-8. */
static void
copy_text(char *to, size_t size, const char *from)
{
	struct buf clean = { 0 };
	size_t len = strlen(from);

	if (!text_is_utf8(from, len)) {
		text_add_clean(&clean, from, len);
		from = clean.data;
		len = clean.len;
	}
	if (len >= size)
		len = text_utf8_whole(from, size - 1);
	memmove(to, from, len);
	to[len] = '\0';
	buf_free(&clean);
}

static void __attribute__((format(printf, 2, 0)))
set_detail(struct error *err, const char *fmt, va_list ap)
{
	char text[sizeof(err->detail) + 64];

	if (vsnprintf(text, sizeof(text), fmt, ap) >= (int)sizeof(text))
		text[text_utf8_whole(text, strlen(text))] = '\0';
	copy_text(err->detail, sizeof(err->detail), text);
}

enum as_status
error_set(struct error *err, enum error_code code, const char *fmt, ...)
{
	struct error new = { .code = code };
	va_list ap;

	MUST(code > ERR_NONE && code < ERR_MAX_);
	if (err == NULL)
		return error_status(code);
	/* The arguments may point into err. */
	va_start(ap, fmt);
	set_detail(&new, fmt, ap);
	va_end(ap);
	error_clear(err);
	*err = new;
	return error_status(code);
}

enum as_status
error_not_found(struct error *err, const char *resource, const char *id)
{
	enum as_status st;

	st = error_set(err, ERR_NOT_FOUND, "no %s %s", resource, id);
	error_member_str(err, "resource", resource);
	error_member_str(err, "id", id);
	return st;
}

static struct json_object *
details_of(struct error *err)
{
	struct json_object *details;

	if (err->code != ERR_VALIDATION_FAILED)
		error_set(err, ERR_VALIDATION_FAILED, "%s", "");
	if (err->extra != NULL &&
	    json_object_object_get_ex(err->extra, "details", &details))
		return details;
	details = jobj();
	error_member(err, "details", details);
	return details;
}

enum as_status
error_field(struct error *err, const char *field, const char *fmt, ...)
{
	struct json_object *details, *list;
	struct error text = { 0 };
	char name[128];
	va_list ap;

	if (err == NULL)
		return AS_INVALID;
	va_start(ap, fmt);
	set_detail(&text, fmt, ap);
	va_end(ap);
	copy_text(name, sizeof(name), field);
	details = details_of(err);
	if (err->detail[0] == '\0' && name[0] != '\0')
		snprintf(err->detail, sizeof(err->detail), "%s: %.*s", name,
		    (int)text_utf8_whole(text.detail,
			strlen(text.detail) > 120 ? 120 : strlen(text.detail)),
		    text.detail);
	else if (err->detail[0] == '\0')
		copy_text(err->detail, sizeof(err->detail), text.detail);
	if (!json_object_object_get_ex(details, name, &list)) {
		list = jarr();
		jput(details, name, list);
	}
	json_object_array_add(list, json_object_new_string(text.detail));
	return AS_INVALID;
}

void
error_member(struct error *err, const char *key, struct json_object *value)
{
	if (err == NULL) {
		json_object_put(value);
		return;
	}
	if (err->extra == NULL)
		err->extra = jobj();
	jput(err->extra, key, value);
}

void
error_member_str(struct error *err, const char *key, const char *s)
{
	struct buf clean = { 0 };

	if (err == NULL)
		return;
	text_add_clean(&clean, s, strlen(s));
	error_member(err, key,
	    json_object_new_string_len(clean.data, (int)clean.len));
	buf_free(&clean);
}

static enum error_code
code_of(enum as_status status)
{
	switch (status) {
	case AS_INVALID:
		return ERR_BAD_REQUEST;
	case AS_AUTH:
		return ERR_AUTH_REQUIRED;
	case AS_FORBIDDEN:
		return ERR_FORBIDDEN;
	case AS_NOTFOUND:
		return ERR_NOT_FOUND;
	case AS_CONFLICT:
		return ERR_CONFLICT;
	case AS_LIMIT:
		return ERR_TOO_LARGE;
	case AS_BUSY:
		return ERR_RATE_LIMITED;
	case AS_UPSTREAM:
		return ERR_UPSTREAM_UNAVAILABLE;
	case AS_UNAVAILABLE:
	case AS_NOMEM:
		return ERR_UNAVAILABLE;
	case AS_TIMEOUT:
		return ERR_TIMEOUT;
	case AS_UNSUPPORTED:
		return ERR_UNSUPPORTED;
	case AS_CANCELED:
		return ERR_CANCELED;
	default:
		return ERR_INTERNAL;
	}
}

enum as_status
error_from_status(struct error *err, enum as_status status, const char *detail)
{
	struct error old = { 0 };
	enum as_status st;

	if (err != NULL)
		error_move(&old, err);
	if (detail == NULL)
		detail = "";
	else if (err != NULL && detail == err->detail)
		detail = old.detail;
	st = error_set(err, code_of(status), "%s", detail);
	if (err != NULL) {
		memcpy(err->service, old.service, sizeof(err->service));
		err->retry_after_ms = old.retry_after_ms;
		err->extra = old.extra;
		old.extra = NULL;
	}
	error_clear(&old);
	return st;
}

void
error_move(struct error *to, struct error *from)
{
	if (to != NULL) {
		error_clear(to);
		*to = *from;
		*from = (struct error){ 0 };
	} else {
		error_clear(from);
	}
}

void
error_clear(struct error *err)
{
	if (err == NULL)
		return;
	json_object_put(err->extra);
	*err = (struct error){ 0 };
}

const char *
error_name(enum error_code code)
{
	return row_of(code)->name;
}

const char *
error_title(enum error_code code)
{
	return row_of(code)->title;
}

int
error_http(enum error_code code)
{
	return row_of(code)->http;
}

enum as_status
error_status(enum error_code code)
{
	return row_of(code)->status;
}

enum error_code
error_by_name(const char *name)
{
	int i;

	for (i = ERR_NONE + 1; i < ERR_MAX_; i++)
		if (strcmp(rows[i].name, name) == 0)
			return (enum error_code)i;
	return ERR_NONE;
}

static void
put_type(struct json_object *body, const char *name)
{
	char urn[96] = "urn:agent-studio:error:";
	size_t n = strlen(urn);

	for (; *name != '\0' && n < sizeof(urn) - 1; name++) {
		if (*name == '_')
			urn[n++] = '-';
		else
			urn[n++] = (char)(*name - 'A' + 'a');
	}
	urn[n] = '\0';
	jput_str(body, "type", urn);
}

static const char *
public_detail(const struct error *err, const struct row *row)
{
	if (err->code == ERR_INTERNAL)
		return "the log has more under the correlation id";
	return err->detail[0] != '\0' ? err->detail : row->title;
}

struct json_object *
error_body(const struct error *err, const char *instance,
    const char *correlation_id)
{
	const struct row *row = row_of(err->code);
	struct json_object *body = jobj();

	jput_str(body, "error", row->title);
	jput_str(body, "code", row->name);
	jput_str(body, "title", row->title);
	jput_int(body, "status", row->http);
	jput_str(body, "detail", public_detail(err, row));
	put_type(body, row->name);
	jput_str(body, "instance", instance);
	jput_str(body, "correlation_id", correlation_id);
	if (err->service[0] != '\0')
		jput_str(body, "service", err->service);
	if (err->retry_after_ms > 0)
		jput_int(body, "retry_after",
		    (err->retry_after_ms - 1) / 1000 + 1);
	if (err->extra != NULL) {
		json_object_object_foreach(err->extra, key, value)
		    jput(body, key, json_object_get(value));
	}
	return body;
}
