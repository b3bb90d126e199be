/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/http_target.h"

#include <string.h>
#include <strings.h>

#include "core/base/text.h"

/*
 * Decoding happens here and nowhere else: what leaves is text without
 * controls, and a '/' in it always was a '/' on the wire.
 */

static bool
text_is_plain(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return false;
	}
	return text_is_utf8(s, len);
}

static bool
has_escaped_slash(const char *s)
{
	for (; (s = strchr(s, '%')) != NULL; s++) {
		if ((s[1] == '2' && (s[2] == 'f' || s[2] == 'F')) ||
		    (s[1] == '5' && (s[2] == 'c' || s[2] == 'C')))
			return true;
	}
	return false;
}

static bool
has_dot_segment(const char *path)
{
	const char *s = path;

	while ((s = strstr(s, "/.")) != NULL) {
		const char *e = s + 2;

		if (*e == '.')
			e++;
		if (*e == '/' || *e == '\0')
			return true;
		s += 2;
	}
	return false;
}

static enum error_code
path_decode(char *path, const char **why)
{
	long n;

	if (has_escaped_slash(path)) {
		*why = "the path has an escaped slash";
		return ERR_BAD_REQUEST;
	}
	n = text_percent_decode(path, strlen(path), false);
	if (n < 0) {
		*why = "the path has a bad percent escape";
		return ERR_BAD_REQUEST;
	}
	if (!text_is_plain(path, (size_t)n)) {
		*why = "the path has a control character or is not UTF-8";
		return ERR_BAD_REQUEST;
	}
	path[n] = '\0';
	if (has_dot_segment(path)) {
		*why = "the path has a dot segment";
		return ERR_BAD_REQUEST;
	}
	return ERR_NONE;
}

static bool
part_decode(char *s)
{
	long n = text_percent_decode(s, strlen(s), true);

	if (n < 0 || memchr(s, '\0', (size_t)n) != NULL ||
	    !text_is_utf8(s, (size_t)n))
		return false;
	s[n] = '\0';
	return true;
}

static enum error_code
query_add(struct http_target *t, char *part, const char **why)
{
	char *value = strchr(part, '=');

	if (value != NULL)
		*value++ = '\0';
	else
		value = part + strlen(part);
	if (!part_decode(part)) {
		*why = "";
		return ERR_VALIDATION_FAILED;
	}
	*why = part;
	if (!part_decode(value) || http_target_query(t, part) != NULL ||
	    t->n_query == HTTP_QUERY_MAX)
		return ERR_VALIDATION_FAILED;
	t->query[t->n_query].name = part;
	t->query[t->n_query].value = value;
	t->n_query++;
	return ERR_NONE;
}

static enum error_code
query_parse(struct http_target *t, char *s, const char **why)
{
	while (s != NULL && *s != '\0') {
		char *next = strchr(s, '&');
		enum error_code code;

		if (next != NULL)
			*next++ = '\0';
		if (*s != '\0' && (code = query_add(t, s, why)) != ERR_NONE)
			return code;
		s = next;
	}
	return ERR_NONE;
}

/* "http://host/path": cut the authority off; an absent path is "/". */
static char *
absolute_cut(char *text, struct http_target *t)
{
	char *host = strchr(text, ':') + 3;
	size_t n = strcspn(host, "/?");

	if (n == 0)
		return NULL;
	/* Move the authority one to the left to make room for its NUL. */
	memmove(host - 1, host, n);
	host[n - 1] = '\0';
	t->authority = host - 1;
	host += n;
	if (*host == '/')
		return host;
	/* No path: "?a=b" or nothing.  The byte before is the NUL above. */
	return host;
}

enum error_code
http_target_parse(char *text, struct http_target *t, const char **why)
{
	char *path = text, *query;
	enum error_code code;

	memset(t, 0, sizeof(*t));
	*why = "the request target is not a path";
	if (strcmp(text, "*") == 0) {
		t->path = text;
		return ERR_NONE;
	}
	if (strncasecmp(text, "http://", 7) == 0 ||
	    strncasecmp(text, "https://", 8) == 0)
		path = absolute_cut(text, t);
	if (path == NULL || (path[0] != '/' && t->authority == NULL) ||
	    strchr(path, '#') != NULL)
		return ERR_BAD_REQUEST;
	query = strchr(path, '?');
	if (query != NULL)
		*query++ = '\0';
	if ((code = path_decode(path, why)) != ERR_NONE)
		return code;
	t->path = path[0] != '\0' ? path : "/";
	return query_parse(t, query, why);
}

const char *
http_target_query(const struct http_target *t, const char *name)
{
	unsigned i;

	for (i = 0; i < t->n_query; i++) {
		if (strcmp(t->query[i].name, name) == 0)
			return t->query[i].value;
	}
	return NULL;
}
