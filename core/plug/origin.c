/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plug/origin.h"

#include <stdio.h>
#include <string.h>

#include "core/base/text.h"
#include "core/plug/unit.h"

/*
 * What is refused here is not connected to; what is allowed still passes the
 * guard of the HTTP client unless its origin is in the configuration.
 */

static void
lower(char *to, const char *from, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		to[i] = from[i] >= 'A' && from[i] <= 'Z'
			    ? (char)(from[i] + ('a' - 'A'))
			    : from[i];
	to[len] = '\0';
}

/* The host with its brackets, and where the port begins, if there is one. */
static size_t
host_len(const char *s, size_t len)
{
	const char *end;

	if (len > 0 && s[0] == '[') {
		end = memchr(s, ']', len);
		return end != NULL ? (size_t)(end - s) + 1 : 0;
	}
	end = memchr(s, ':', len);
	return end != NULL ? (size_t)(end - s) : len;
}

bool
origin_of(const char *url, char out[ORIGIN_LEN])
{
	bool tls = strncasecmp(url, "https://", 8) == 0;
	const char *s = url + (tls ? 8 : 7);
	char host[256], port[8];
	int64_t number = tls ? 443 : 80;
	size_t len, n;

	if (!tls && strncasecmp(url, "http://", 7) != 0)
		return false;
	len = strcspn(s, "/?#");
	/* Where readers of URLs differ about the host, there is none. */
	if (strcspn(s, "@\\ \t\r\n%") < len)
		return false;
	n = host_len(s, len);
	if (n == 0 || n >= sizeof(host))
		return false;
	lower(host, s, n);
	if (n < len) {
		if (s[n] != ':' || len - n - 1 >= sizeof(port))
			return false;
		lower(port, s + n + 1, len - n - 1);
		if (!text_to_int(port, 1, 65535, &number))
			return false;
	}
	snprintf(out, ORIGIN_LEN, "%s://%s:%d", tls ? "https" : "http", host,
	    (int)number);
	return true;
}

void
origin_host(const char *origin, char out[ORIGIN_LEN])
{
	const char *host = strstr(origin, "://") + 3;
	const char *end = strrchr(host, ':');
	size_t len = (size_t)(end - host);

	if (host[0] == '[' && len >= 2) {
		host++;
		len -= 2;
	}
	memcpy(out, host, len);
	out[len] = '\0';
}

bool
origin_is_configured(const struct unit *u, const char *origin)
{
	const struct as_plugin *about = &u->file->about;
	const struct as_field *f = about->options;
	const char *value;
	char own[ORIGIN_LEN];

	if (u->conf == NULL)
		return false;
	for (; f != NULL && f->name != NULL;
	     f = (const struct as_field *)(const void *)((const char *)f +
							 about->field_size)) {
		if (f->type != AS_FIELD_STR)
			continue;
		memcpy(&value, (const char *)u->conf + f->offset,
		    sizeof(value));
		if (value != NULL && origin_of(value, own) &&
		    strcmp(own, origin) == 0)
			return true;
	}
	return false;
}

static bool
word_grants(const char *word, size_t len, const char *host)
{
	size_t n = strlen(host);

	if (len == 4 && memcmp(word, "user", 4) == 0)
		return true;
	if (len > 2 && word[0] == '*' && word[1] == '.')
		return n >= len && strncasecmp(host + n - (len - 1), word + 1,
				       len - 1) == 0;
	return n == len && strncasecmp(host, word, len) == 0;
}

bool
grants_host(const char *grants, const char *host)
{
	const char *at = grants;
	size_t n;

	for (; at != NULL && *at != '\0'; at += n) {
		at += strspn(at, " ");
		n = strcspn(at, " ");
		if (n > 4 && memcmp(at, "net:", 4) == 0 &&
		    word_grants(at + 4, n - 4, host))
			return true;
	}
	return false;
}
