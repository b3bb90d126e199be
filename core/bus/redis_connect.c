/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/bus/redis_impl.h"
#include "core/bus/redis_lookup.h"
#include "core/bus/redis_reader.h"
#include "core/bus/sentinel.h"

/*
 * From the sentinels, or a name, to an address; from there to a server that has
 * taken the password, has the database and answers.
 */

/* ---- The greeting --------------------------------------------------- */

static void
ask(struct redis *r, const char *const *words, size_t n)
{
	struct redis_arg args[3];

	for (size_t i = 0; i < n; i++)
		args[i] = (struct redis_arg){ words[i], strlen(words[i]) };
	redis_ask(r, args, n, NULL, NULL);
}

/* A replica would take subscriptions, and say nothing. */
static void
on_role(const redisReply *reply, void *arg)
{
	if (reply != NULL && reply->type == REDIS_REPLY_ARRAY &&
	    (reply->elements < 1 ||
		reply->element[0]->type != REDIS_REPLY_STRING ||
		strcmp(reply->element[0]->str, "master") != 0))
		redis_drop(arg, "it is not the master");
}

static void
greet(struct redis *r)
{
	const char *auth[3] = { "AUTH" }, *ping[] = { "PING" };
	const struct redis_arg role = REDIS_STR("ROLE");
	const char *db[2] = { "SELECT" };
	char number[16];
	size_t n = 1;

	r->state = REDIS_GREET;
	r->reader = redis_reader_new();
	if (r->c.url.user[0] != '\0')
		auth[n++] = r->c.url.user;
	auth[n++] = r->password;
	if (r->password[0] != '\0')
		ask(r, auth, n);
	snprintf(number, sizeof(number), "%d", r->c.url.db);
	db[1] = number;
	if (r->c.url.db != 0)
		ask(r, db, 2);
	if (r->c.sentinels != NULL)
		redis_ask(r, &role, 1, on_role, r);
	ask(r, ping, 1);
}

static void
on_ready(int fd, int what, void *arg)
{
	struct redis *r = arg;
	int error = 0;
	socklen_t len = sizeof(error);

	if (r->state == REDIS_CONNECT) {
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
			error = errno;
		if (error != 0)
			redis_drop_errno(r, "cannot connect", error);
		else
			greet(r);
		return;
	}
	if (what & LOOP_READ)
		redis_read(r);
	if ((what & LOOP_WRITE) && r->fd == fd)
		redis_write(r);
}

/* ---- The way there -------------------------------------------------- */

static void
on_found(void *arg, const char *address)
{
	struct redis *r = arg;

	r->lookup = NULL;
	if (address != NULL)
		redis_connect(r, address);
	else
		redis_drop(r, "its name is not known");
}

/* False: the sentinels have not said where it is. */
static bool
redis_aim(struct redis *r)
{
	struct redis_host at;

	if (r->c.sentinels == NULL)
		return true;
	if (!sentinels_master(r->c.sentinels, r->failures, &at))
		return false;
	snprintf(r->c.url.host, sizeof(r->c.url.host), "%s", at.host);
	r->c.url.port = at.port;
	return true;
}

void
redis_connect(struct redis *r, const char *address)
{
	struct sockaddr_storage to;
	socklen_t len;
	int one = 1, rc;

	if (address == NULL && !redis_aim(r)) {
		r->state = REDIS_LOOKUP;
		return;
	}
	len = redis_url_address(&r->c.url,
	    address != NULL ? address : r->c.url.host, &to);
	if (len == 0) {
		r->state = REDIS_LOOKUP;
		if (r->c.pool != NULL && address == NULL)
			r->lookup = redis_lookup(r->c.loop, r->c.pool,
			    r->c.url.host, on_found, r);
		if (r->lookup == NULL)
			redis_drop(r, "its name cannot be looked up");
		return;
	}
	r->state = REDIS_CONNECT;
	r->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0);
	if (r->fd < 0) {
		redis_drop_errno(r, "no socket", errno);
		return;
	}
	if (to.ss_family != AF_UNIX)
		setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	rc = connect(r->fd, (struct sockaddr *)&to, len);
	if (rc != 0 && errno != EINPROGRESS) {
		redis_drop_errno(r, "cannot connect", errno);
		return;
	}
	r->watch = loop_watch(r->c.loop, r->fd, LOOP_WRITE, on_ready, r);
}
