/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "core/base/text.h"
#include "core/bus/redis.h"

/* Where Redis is, from a setting. */

#define DB_MAX 1000000
#define PORT_DEFAULT 6379
#define PORT_SENTINEL 26379

static enum as_status
refuse(struct error *err)
{
	return error_set(err, ERR_VALIDATION_FAILED,
	    "expected redis://[USER@]HOST[:PORT][/DB], "
	    "unix:///PATH[?db=DB] or "
	    "redis+sentinel://[USER@]HOST[:PORT],.../MASTER[/DB]");
}

static bool
take(char *out, size_t size, const char *from, size_t len)
{
	if (len == 0 || len >= size)
		return false;
	memcpy(out, from, len);
	out[len] = '\0';
	return true;
}

static bool
take_db(const char *s, struct redis_url *out)
{
	int64_t db;

	if (!text_to_int(s, 0, DB_MAX, &db))
		return false;
	out->db = (int)db;
	return true;
}

static bool
parse_unix(const char *s, struct redis_url *out)
{
	size_t len = strcspn(s, "?");

	return s[0] == '/' && take(out->path, sizeof(out->path), s, len) &&
	       (s[len] == '\0' || (strncmp(s + len, "?db=", 4) == 0 &&
				      take_db(s + len + 4, out)));
}

/* HOST, [ADDRESS OF IPv6], each with :PORT */
static bool
parse_host(const char *s, size_t len, int64_t n, struct redis_host *out)
{
	const char *end = s + len, *host = s, *colon;
	char port[8];

	if (len > 0 && s[0] == '[') {
		host = s + 1;
		colon = memchr(s, ']', len);
		if (colon == NULL)
			return false;
		len = (size_t)(colon - host);
		colon++;
		if (colon < end && *colon != ':')
			return false;
	} else {
		colon = memchr(s, ':', len);
		if (colon != NULL)
			len = (size_t)(colon - s);
	}
	if (!take(out->host, sizeof(out->host), host, len))
		return false;
	if (colon != NULL && colon < end &&
	    (!take(port, sizeof(port), colon + 1, (size_t)(end - colon - 1)) ||
		!text_to_int(port, 1, 65535, &n)))
		return false;
	out->port = (uint16_t)n;
	return true;
}

/* USER@: *s and *len are what follows. */
static bool
parse_user(const char **s, size_t *len, struct redis_url *out)
{
	const char *at = memchr(*s, '@', *len);

	if (at == NULL)
		return true;
	/* A password does not belong where everybody reads it. */
	if (memchr(*s, ':', (size_t)(at - *s)) != NULL ||
	    !take(out->user, sizeof(out->user), *s, (size_t)(at - *s)))
		return false;
	*len -= (size_t)(at + 1 - *s);
	*s = at + 1;
	return true;
}

static bool
parse_tcp(const char *s, struct redis_url *out)
{
	size_t len = strcspn(s, "/");
	struct redis_host h;

	if (!parse_user(&s, &len, out) ||
	    !parse_host(s, len, PORT_DEFAULT, &h) ||
	    !take(out->host, sizeof(out->host), h.host, strlen(h.host)))
		return false;
	out->port = h.port;
	return s[len] == '\0' || s[len + 1] == '\0' ||
	       take_db(s + len + 1, out);
}

static bool
parse_sentinels(const char *s, struct redis_url *out)
{
	size_t len = strcspn(s, "/"), n;

	if (!parse_user(&s, &len, out))
		return false;
	for (const char *end = s + len; s <= end; s += n + 1) {
		n = strcspn(s, ",/");
		if (out->n_sentinels == REDIS_SENTINELS ||
		    !parse_host(s, n, PORT_SENTINEL,
			&out->sentinels[out->n_sentinels++]))
			return false;
	}
	/* Behind the slash, if there is one. */
	if (s[-1] != '/')
		return false;
	n = strcspn(s, "/");
	return take(out->master, sizeof(out->master), s, n) &&
	       (s[n] == '\0' || s[n + 1] == '\0' || take_db(s + n + 1, out));
}

enum as_status
redis_url_parse(const char *text, struct redis_url *out, struct error *err)
{
	memset(out, 0, sizeof(*out));
	if (text_has_prefix(text, "redis://"))
		return parse_tcp(text + 8, out) ? AS_OK : refuse(err);
	if (text_has_prefix(text, "redis+sentinel://"))
		return parse_sentinels(text + 17, out) ? AS_OK : refuse(err);
	if (text_has_prefix(text, "unix://"))
		return parse_unix(text + 7, out) ? AS_OK : refuse(err);
	return refuse(err);
}

socklen_t
redis_url_address(const struct redis_url *url, const char *text,
    struct sockaddr_storage *out)
{
	struct sockaddr_un *un = (struct sockaddr_un *)out;
	struct sockaddr_in *in = (struct sockaddr_in *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (url->path[0] != '\0') {
		un->sun_family = AF_UNIX;
		snprintf(un->sun_path, sizeof(un->sun_path), "%s", url->path);
		return sizeof(*un);
	}
	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(url->port);
		return sizeof(*in);
	}
	if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(url->port);
		return sizeof(*in6);
	}
	return 0;
}
