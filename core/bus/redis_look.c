/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/redis_look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"

/* See redis_look.h. */

#define PINGS 5
#define PATIENCE_S 3

/* The value of "name:value\r\n" in an answer of INFO; "" if it is not there. */
static void
info_value(redisContext *c, const char *section, const char *name, char *out,
    size_t size)
{
	redisReply *r = redisCommand(c, "INFO %s", section);
	const char *at = r != NULL && r->type != REDIS_REPLY_ERROR ? r->str
								   : NULL;
	size_t len = strlen(name);

	*out = '\0';
	for (; at != NULL; at = strchr(at, '\n'), at += at != NULL)
		if (strncmp(at, name, len) == 0 && at[len] == ':') {
			snprintf(out, size, "%.*s",
			    (int)strcspn(at + len + 1, "\r\n"), at + len + 1);
			break;
		}
	freeReplyObject(r);
}

static int
compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double
ping_ms(redisContext *c)
{
	int64_t took[PINGS], start;

	for (int i = 0; i < PINGS; i++) {
		start = clock_mono_us();
		freeReplyObject(redisCommand(c, "PING"));
		took[i] = clock_mono_us() - start;
	}
	qsort(took, PINGS, sizeof(took[0]), compare);
	return (double)took[PINGS / 2] / 1000;
}

/* Takes the answer. */
static enum as_status
taken(redisContext *c, redisReply *r, struct error *err)
{
	enum as_status st = AS_OK;

	if (r == NULL || r->type == REDIS_REPLY_ERROR)
		st = error_set(err, ERR_UNAVAILABLE, "%s",
		    r != NULL ? r->str : c->errstr);
	freeReplyObject(r);
	return st;
}

static enum as_status
enter(redisContext *c, const struct redis_login *who, int db, struct error *err)
{
	enum as_status st = AS_OK;

	if (c == NULL || c->err != 0)
		return error_set(err, ERR_UNAVAILABLE, "%s",
		    c != NULL ? c->errstr : "no memory");
	if (who->password[0] != '\0' && who->user[0] != '\0')
		st = taken(c,
		    redisCommand(c, "AUTH %s %s", who->user, who->password),
		    err);
	else if (who->password[0] != '\0')
		st = taken(c, redisCommand(c, "AUTH %s", who->password), err);
	if (st == AS_OK && db != 0)
		st = taken(c, redisCommand(c, "SELECT %d", db), err);
	return st == AS_OK ? taken(c, redisCommand(c, "PING"), err) : st;
}

static redisContext *
connect_to(const char *host, uint16_t port)
{
	struct timeval patience = { .tv_sec = PATIENCE_S };
	redisContext *c = redisConnectWithTimeout(host, port, patience);

	if (c != NULL && c->err == 0)
		redisSetTimeout(c, patience);
	return c;
}

/* Where one of the sentinels says that the master is. */
static enum as_status
sentinel_ask(const struct redis_host *of, const struct redis_login *who,
    struct redis_url *url, struct error *err)
{
	redisContext *c = connect_to(of->host, of->port);
	enum as_status st = enter(c, who, 0, err);
	redisReply *r = NULL;

	if (st == AS_OK) {
		r = redisCommand(c, "SENTINEL get-master-addr-by-name %s",
		    url->master);
		if (r == NULL || r->type != REDIS_REPLY_ARRAY ||
		    r->elements != 2 ||
		    r->element[0]->type != REDIS_REPLY_STRING ||
		    r->element[1]->type != REDIS_REPLY_STRING)
			st = error_set(err, ERR_UNAVAILABLE,
			    "sentinel %s:%u knows of no master %s", of->host,
			    of->port, url->master);
	}
	if (st == AS_OK) {
		snprintf(url->host, sizeof(url->host), "%s",
		    r->element[0]->str);
		url->port = (uint16_t)atoi(r->element[1]->str);
	}
	freeReplyObject(r);
	if (c != NULL)
		redisFree(c);
	return st;
}

static redisContext *
connect_unix(const char *path)
{
	struct timeval patience = { .tv_sec = PATIENCE_S };
	redisContext *c = redisConnectUnixWithTimeout(path, patience);

	if (c != NULL && c->err == 0)
		redisSetTimeout(c, patience);
	return c;
}

static void
ask_all(redisContext *c, struct redis_facts *out)
{
	char limit[32];

	info_value(c, "server", "redis_version", out->version_text,
	    sizeof(out->version_text));
	info_value(c, "memory", "maxmemory_policy", out->policy,
	    sizeof(out->policy));
	info_value(c, "memory", "maxmemory", limit, sizeof(limit));
	out->version = atoi(out->version_text);
	out->maxmemory = strtoll(limit, NULL, 10);
	out->ping_ms = ping_ms(c);
}

enum as_status
redis_look(const struct redis_url *url, const char *password,
    const struct redis_login *sentinels, struct redis_facts *out,
    struct error *err)
{
	const struct redis_login login = { url->user, password };
	struct redis_url at = *url;
	enum as_status st = AS_OK;
	redisContext *c;

	memset(out, 0, sizeof(*out));
	for (int i = 0; i < url->n_sentinels; i++) {
		error_clear(err);
		st = sentinel_ask(&url->sentinels[i], sentinels, &at, err);
		if (st == AS_OK)
			break;
	}
	if (st != AS_OK)
		return st;
	c = at.path[0] != '\0' ? connect_unix(at.path)
			       : connect_to(at.host, at.port);
	st = enter(c, &login, at.db, err);
	if (st == AS_OK)
		ask_all(c, out);
	if (c != NULL)
		redisFree(c);
	return st;
}
