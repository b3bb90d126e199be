/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/redis.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/bus/redis_lookup.h"
#include "core/bus/redis_reader.h"
#include "core/bus/sentinel.h"

/*
 * Of hiredis only the reader of answers is used: its own connections look
 * names up on the loop, queue without a bound, and end the process when a
 * server says what they do not expect.
 *
 * One timer: in a pause, when to connect; until it is up, when to give up;
 * then, when to ask whether the server is still there.
 */

#define CONNECT_MS 2000
#define PAUSE_MIN_MS 50u
#define PAUSE_MAX_MS 2000u
#define PAUSE_HURRY_MS 100u
#define PING_MS 400
#define MISSES_MAX 3 /* pings in a row without a byte */
#define OUT_MAX ((size_t)8 * 1024 * 1024)
#define WAITING_MAX 65536
#define READ_SIZE 65536

enum redis_state {
	REDIS_PAUSE, /* until the next try */
	REDIS_LOOKUP, /* of its name, or until sentinels say where it is */
	REDIS_CONNECT,
	REDIS_GREET, /* password, database, ping */
	REDIS_UP
};

struct waiting {
	struct waiting *next;
	redis_fn fn;
	void *arg;
};

struct redis {
	struct redis_config c;
	char *password, *name;
	const struct redis_ops *ops;
	void *arg;
	enum redis_state state;
	int fd;
	struct loop_watch *watch;
	struct redis_reader *reader;
	bool reading;
	struct buf out;
	size_t out_off;
	struct loop_hook flush;
	struct waiting *first, **tail;
	unsigned n_waiting;
	struct loop_timer timer;
	struct redis_lookup *lookup;
	unsigned failures, misses;
	bool heard; /* since the last ping */
	uint64_t gone_ms; /* when it was there for the last time */
	char why[160];
};

static void redis_connect(struct redis *r, const char *address);

static void
timer_in(struct redis *r, uint64_t ms)
{
	loop_timer_set(r->c.loop, &r->timer, loop_now_ms(r->c.loop) + ms);
}

/* ---- The end of a connection --------------------------------------- */

static void
waiting_end(struct redis *r)
{
	struct waiting *w = r->first, *next;

	r->first = NULL;
	r->tail = &r->first;
	r->n_waiting = 0;
	for (; w != NULL; w = next) {
		next = w->next;
		if (w->fn != NULL)
			w->fn(NULL, w->arg);
		free(w);
	}
}

static void
redis_close(struct redis *r)
{
	loop_watch_free(r->watch);
	r->watch = NULL;
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	if (!r->reading)
		redis_reader_free(r->reader);
	r->reader = NULL; /* who reads just now frees it */
	buf_reset(&r->out);
	r->out_off = 0;
	loop_hook_clear(r->c.loop, &r->flush);
	redis_lookup_leave(r->lookup);
	r->lookup = NULL;
}

/*
 * The whole pause is left to chance: many come back at once.  A restart that
 * nobody is to be told of is not slept through.
 */
static uint64_t
pause_ms(const struct redis *r)
{
	int64_t gone = (int64_t)(loop_now_ms(r->c.loop) - r->gone_ms);
	unsigned max = gone < r->c.hurry_ms ? PAUSE_HURRY_MS : PAUSE_MAX_MS;
	unsigned most = r->failures < 6 ? PAUSE_MIN_MS << r->failures : max;

	return 1 + randombytes_uniform(most < max ? most : max);
}

static void
redis_drop(struct redis *r, const char *why)
{
	bool was_up = r->state == REDIS_UP;

	if (was_up) /* who hung was away for longer than that is known */
		r->gone_ms = loop_now_ms(r->c.loop) - r->misses * PING_MS;
	if (was_up || strcmp(why, r->why) != 0)
		log_warn("bus", "%s: %s", r->name, why);
	snprintf(r->why, sizeof(r->why), "%s", why);
	r->state = REDIS_PAUSE;
	redis_close(r);
	timer_in(r, pause_ms(r));
	r->failures++;
	waiting_end(r);
	if (was_up)
		r->ops->down(r->arg);
}

static void
redis_drop_errno(struct redis *r, const char *what, int error)
{
	char why[160];

	snprintf(why, sizeof(why), "%s: %s", what, strerror(error));
	redis_drop(r, why);
}

/* ---- Sending ------------------------------------------------------- */

static void
redis_write(struct redis *r)
{
	ssize_t n;

	while (r->out_off < r->out.len) {
		n = send(r->fd, r->out.data + r->out_off,
		    r->out.len - r->out_off, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0) {
			redis_drop_errno(r, "cannot write", errno);
			return;
		}
		r->out_off += (size_t)n;
	}
	if (r->out_off == r->out.len) {
		buf_reset(&r->out);
		r->out_off = 0;
		loop_watch_set(r->watch, LOOP_READ);
		return;
	}
	if (r->out_off > r->out.len / 2) {
		buf_drain(&r->out, r->out_off);
		r->out_off = 0;
	}
	loop_watch_set(r->watch, LOOP_READ | LOOP_WRITE);
}

static void
on_flush(struct loop_hook *h)
{
	struct redis *r = container_of(h, struct redis, flush);

	if (r->fd >= 0)
		redis_write(r);
}

struct redis_arg
redis_number(char room[REDIS_NUMBER], uint64_t n)
{
	char *p = room + REDIS_NUMBER;

	do
		*--p = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	return (struct redis_arg){ p, (size_t)(room + REDIS_NUMBER - p) };
}

/* Of so many parts, or bytes. */
static void
head_add(struct redis *r, char kind, size_t n)
{
	buf_add_char(&r->out, kind);
	buf_add_int(&r->out, (int64_t)n);
	buf_add(&r->out, "\r\n", 2);
}

static void
command_add(struct redis *r, const struct redis_arg *args, size_t n)
{
	head_add(r, '*', n);
	for (size_t i = 0; i < n; i++) {
		head_add(r, '$', args[i].len);
		buf_add(&r->out, args[i].p, args[i].len);
		buf_add(&r->out, "\r\n", 2);
	}
	loop_at_turn_end(r->c.loop, &r->flush);
}

/* Answers come in the order of the questions. */
static void
command_ask(struct redis *r, const struct redis_arg *args, size_t n,
    redis_fn fn, void *arg)
{
	struct waiting *w = xcalloc(1, sizeof(*w));

	w->fn = fn;
	w->arg = arg;
	*r->tail = w;
	r->tail = &w->next;
	r->n_waiting++;
	command_add(r, args, n);
}

bool
redis_send(struct redis *r, const struct redis_arg *args, size_t n, redis_fn fn,
    void *arg)
{
	size_t bytes = r->out.len - r->out_off;

	for (size_t i = 0; i < n; i++)
		bytes += args[i].len;
	if (r->state != REDIS_UP || bytes > r->c.max_bytes ||
	    r->n_waiting >= r->c.max_waiting)
		return false;
	if (r->c.subscribes)
		command_add(r, args, n);
	else
		command_ask(r, args, n, fn, arg);
	return true;
}

/* ---- Receiving ----------------------------------------------------- */

/* A server that cannot serve: another one may be behind the name by now. */
static bool
is_fatal(const char *error)
{
	static const char *const fatal[] = { "READONLY", "LOADING",
		"MASTERDOWN", "NOAUTH", "WRONGPASS", "NOPERM" };

	for (size_t i = 0; i < N_ITEMS(fatal); i++)
		if (strncmp(error, fatal[i], strlen(fatal[i])) == 0)
			return true;
	return false;
}

static void
greeted(struct redis *r)
{
	if (r->c.sentinels != NULL)
		log_info("bus", "%s: connected to %s, port %u", r->name,
		    r->c.url.host, r->c.url.port);
	else
		log_info("bus", "%s: connected", r->name);
	r->state = REDIS_UP;
	r->failures = 0;
	r->misses = 0;
	r->heard = true;
	r->why[0] = '\0';
	timer_in(r, PING_MS);
	r->ops->up(r->arg);
}

static void
take_answer(struct redis *r, const redisReply *reply)
{
	struct waiting *w = r->first;
	char why[160];

	if (w == NULL) {
		redis_drop(r, "it answers what was not asked");
		return;
	}
	if ((r->first = w->next) == NULL)
		r->tail = &r->first;
	r->n_waiting--;
	if (w->fn != NULL)
		w->fn(reply, w->arg);
	free(w);
	if (r->fd < 0 || reply->type != REDIS_REPLY_ERROR)
		return;
	snprintf(why, sizeof(why), "it refuses: %.*s",
	    (int)(reply->len < 120 ? reply->len : 120), reply->str);
	if (r->state == REDIS_GREET || is_fatal(reply->str))
		redis_drop(r, why);
	else
		log_warn("bus", "%s: %s", r->name, why);
}

static void
take(struct redis *r, const redisReply *reply)
{
	bool pong = reply->type == REDIS_REPLY_STATUS;

	if (r->state != REDIS_UP || !r->c.subscribes) {
		take_answer(r, reply);
		if (r->state == REDIS_GREET && r->first == NULL)
			greeted(r);
	} else if (reply->type == REDIS_REPLY_ARRAY && reply->elements >= 2)
		r->ops->push(r->arg, reply);
	else if (!pong)
		redis_drop(r, "it refuses a subscription");
}

static void
take_all(struct redis *r)
{
	struct redis_reader *reader = r->reader;
	redisReply *reply;

	r->reading = true;
	while (r->reader == reader) {
		if (!redis_reader_next(reader, &reply))
			redis_drop(r, "what it says is not the protocol");
		else if (reply == NULL)
			break;
		else {
			take(r, reply);
			freeReplyObject(reply);
		}
	}
	r->reading = false;
	if (r->reader != reader)
		redis_reader_free(reader);
}

static void
redis_read(struct redis *r)
{
	char bytes[READ_SIZE / 16];
	int fd = r->fd;
	ssize_t n = 0;

	for (size_t had = 0; had < READ_SIZE && r->fd == fd; had += (size_t)n) {
		n = recv(fd, bytes, sizeof(bytes), 0);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		else if (n < 0) {
			redis_drop_errno(r, "cannot read", errno);
			return;
		} else if (n == 0) {
			redis_drop(r, "it has closed the connection");
			return;
		}
		r->heard = true;
		if (!redis_reader_feed(r->reader, bytes, (size_t)n)) {
			redis_drop(r, "an answer is too large");
			return;
		}
		take_all(r);
		if (r->reader == NULL || (size_t)n < sizeof(bytes))
			return; /* there was no more */
	}
}

/* ---- Connecting ---------------------------------------------------- */

static void
ask(struct redis *r, const char *const *words, size_t n)
{
	struct redis_arg args[3];

	for (size_t i = 0; i < n; i++)
		args[i] = (struct redis_arg){ words[i], strlen(words[i]) };
	command_ask(r, args, n, NULL, NULL);
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
		command_ask(r, &role, 1, on_role, r);
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

/* address: of the host, if it was looked up. */
static void
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

/* A late timer says that this process slept, not that the server is gone. */
static void
server_look(struct redis *r)
{
	struct redis_arg ping = REDIS_STR("PING");

	r->misses = r->heard ? 0 : r->misses + 1;
	r->heard = false;
	if (r->misses >= MISSES_MAX) {
		redis_drop(r, "it does not answer");
		return;
	}
	if (r->c.subscribes)
		command_add(r, &ping, 1);
	else
		command_ask(r, &ping, 1, NULL, NULL);
	timer_in(r, PING_MS);
}

/* It waits for its sentinels. */
static bool
is_unguided(const struct redis *r)
{
	return r->state == REDIS_LOOKUP && r->lookup == NULL;
}

static void
try_now(struct redis *r)
{
	timer_in(r, (uint64_t)r->c.connect_ms);
	redis_connect(r, NULL);
}

static void
on_timer(struct loop_timer *t)
{
	struct redis *r = container_of(t, struct redis, timer);

	if (r->state == REDIS_UP)
		server_look(r);
	else if (is_unguided(r))
		redis_drop(r, "no sentinel says where it is");
	else if (r->state != REDIS_PAUSE)
		redis_drop(r, "it does not answer in time");
	else
		try_now(r);
}

void
redis_hint(struct redis *r)
{
	if (is_unguided(r))
		try_now(r);
	else if (r->state == REDIS_PAUSE) /* not within the caller */
		timer_in(r, 1);
	else if (sentinels_deny(r->c.sentinels, r->c.url.host, r->c.url.port))
		redis_drop(r, "the sentinels name another master");
}

/* ---- For the owner ------------------------------------------------- */

struct redis *
redis_new(const struct redis_config *config, const struct redis_ops *ops,
    void *arg)
{
	struct redis *r = xcalloc(1, sizeof(*r));

	r->c = *config;
	if (r->c.connect_ms == 0)
		r->c.connect_ms = CONNECT_MS;
	if (r->c.max_bytes == 0)
		r->c.max_bytes = OUT_MAX;
	if (r->c.max_waiting == 0)
		r->c.max_waiting = WAITING_MAX;
	r->password = xstrdup(config->password != NULL ? config->password : "");
	r->name = xstrdup(config->name != NULL ? config->name : "redis");
	r->ops = ops;
	r->arg = arg;
	r->fd = -1;
	r->tail = &r->first;
	r->flush.fn = on_flush;
	r->timer.fn = on_timer;
	timer_in(r, 1);
	return r;
}

void
redis_free(struct redis *r)
{
	if (r == NULL)
		return;
	MUST(!r->reading);
	r->state = REDIS_PAUSE;
	redis_close(r);
	loop_timer_clear(&r->timer);
	waiting_end(r);
	buf_free(&r->out);
	free(r->password);
	free(r->name);
	free(r);
}

bool
redis_is_up(const struct redis *r)
{
	return r->state == REDIS_UP;
}

uint64_t
redis_gone_ms(const struct redis *r)
{
	return r->gone_ms;
}

const char *
redis_why(const struct redis *r)
{
	return r->why;
}
