/* SPDX-License-Identifier: Apache-2.0 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/bus/redis_impl.h"
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

static void
timer_in(struct redis *r, uint64_t ms)
{
	loop_timer_set(r->c.loop, &r->timer, loop_now_ms(r->c.loop) + ms);
}

/* ---- The end of a connection --------------------------------------- */

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

void
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
	redis_answers_lost(r);
	if (was_up)
		r->ops->down(r->arg);
}

void
redis_drop_errno(struct redis *r, const char *what, int error)
{
	char why[160];

	snprintf(why, sizeof(why), "%s: %s", what, strerror(error));
	redis_drop(r, why);
}

/* ---- Time ---------------------------------------------------------- */

void
redis_greeted(struct redis *r)
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
		redis_tell(r, &ping, 1);
	else
		redis_ask(r, &ping, 1, NULL, NULL);
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
	r->flush.fn = redis_on_flush;
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
	redis_answers_lost(r);
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

struct redis_arg
redis_number(char room[REDIS_NUMBER], uint64_t n)
{
	char *p = room + REDIS_NUMBER;

	do
		*--p = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	return (struct redis_arg){ p, (size_t)(room + REDIS_NUMBER - p) };
}
