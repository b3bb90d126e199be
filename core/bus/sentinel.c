/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/sentinel.h"

#include <stdio.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/* See sentinel.h. */

#define ASK_MS 500
#define CONNECT_MS 1000

struct sentinel {
	struct sentinels *all;
	struct redis *r;
	struct redis_host says; /* port 0: nothing */
	char name[300];
	bool asked; /* its answer is due */
	bool strange; /* it does not know the master, which was logged */
};

struct sentinels {
	struct loop *loop;
	char master[64];
	void (*moved)(void *arg);
	void *arg;
	struct loop_timer timer;
	struct sentinel each[REDIS_SENTINELS];
	int n;
};

/* ---- What they say ------------------------------------------------- */

static bool
is_at(const struct redis_host *h, const char *host, uint16_t port)
{
	return h->port == port && strcmp(h->host, host) == 0;
}

static int
votes_for(const struct sentinels *s, const struct redis_host *h)
{
	int n = 0;

	for (int i = 0; i < s->n; i++)
		n += is_at(&s->each[i].says, h->host, h->port) ? 1 : 0;
	return n;
}

/* What most say, or NULL. */
static const struct redis_host *
winner(const struct sentinels *s)
{
	for (int i = 0; i < s->n; i++)
		if (s->each[i].says.port != 0 &&
		    votes_for(s, &s->each[i].says) * 2 > s->n)
			return &s->each[i].says;
	return NULL;
}

bool
sentinels_master(const struct sentinels *s, unsigned failures,
    struct redis_host *out)
{
	const struct redis_host *named[REDIS_SENTINELS], *best = winner(s);
	unsigned n = 0;

	for (int i = 0; i < s->n && best == NULL; i++)
		if (s->each[i].says.port != 0)
			named[n++] = &s->each[i].says;
	if (best == NULL && n > 0)
		best = named[failures % n];
	if (best == NULL)
		return false;
	*out = *best;
	return true;
}

bool
sentinels_deny(const struct sentinels *s, const char *host, uint16_t port)
{
	const struct redis_host *best = winner(s);

	return best != NULL && !is_at(best, host, port);
}

/* ---- Asking -------------------------------------------------------- */

/* [host, port] */
static bool
read_host(const redisReply *r, struct redis_host *out)
{
	int64_t port;

	if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 ||
	    r->element[0]->type != REDIS_REPLY_STRING ||
	    r->element[1]->type != REDIS_REPLY_STRING ||
	    r->element[0]->len >= sizeof(out->host) ||
	    !text_to_int(r->element[1]->str, 1, 65535, &port))
		return false;
	snprintf(out->host, sizeof(out->host), "%s", r->element[0]->str);
	out->port = (uint16_t)port;
	return out->host[0] != '\0';
}

static void
on_answer(const redisReply *r, void *arg)
{
	struct sentinel *one = arg;
	struct sentinels *s = one->all;
	struct redis_host now = { 0 };

	one->asked = false;
	if (r == NULL || !read_host(r, &now)) {
		one->says.port = 0;
		if (r != NULL && !one->strange)
			log_warn("bus", "%s does not know %s", one->name,
			    s->master);
		one->strange = r != NULL;
		return;
	}
	one->strange = false;
	if (is_at(&one->says, now.host, now.port))
		return;
	one->says = now;
	log_info("bus", "%s: %s is at %s, port %u", one->name, s->master,
	    now.host, now.port);
	s->moved(s->arg);
}

static void
ask(struct sentinel *one)
{
	const struct redis_arg args[] = { REDIS_STR("SENTINEL"),
		REDIS_STR("get-master-addr-by-name"),
		REDIS_STR(one->all->master) };

	if (!one->asked)
		one->asked = redis_send(one->r, args, N_ITEMS(args), on_answer,
		    one);
}

static void
on_up(void *arg)
{
	ask(arg);
}

static void
on_down(void *arg)
{
	((struct sentinel *)arg)->says.port = 0;
}

static void
on_timer(struct loop_timer *t)
{
	struct sentinels *s = container_of(t, struct sentinels, timer);

	loop_timer_set(s->loop, t, loop_now_ms(s->loop) + ASK_MS);
	for (int i = 0; i < s->n; i++)
		ask(&s->each[i]);
}

/* ---- For the owner ------------------------------------------------- */

struct sentinels *
sentinels_new(struct loop *loop, struct pool *pool, const struct redis_url *url,
    const struct redis_login *login, void (*moved)(void *arg), void *arg)
{
	static const struct redis_ops ops = { .up = on_up, .down = on_down };
	struct redis_config c = { .loop = loop,
		.pool = pool,
		.password = login->password,
		.connect_ms = CONNECT_MS };
	struct sentinels *s = xcalloc(1, sizeof(*s));
	struct sentinel *one;

	snprintf(c.url.user, sizeof(c.url.user), "%s", login->user);
	s->loop = loop;
	snprintf(s->master, sizeof(s->master), "%s", url->master);
	s->moved = moved;
	s->arg = arg;
	s->n = url->n_sentinels;
	for (int i = 0; i < s->n; i++) {
		one = &s->each[i];
		one->all = s;
		snprintf(one->name, sizeof(one->name), "sentinel %s:%u",
		    url->sentinels[i].host, url->sentinels[i].port);
		snprintf(c.url.host, sizeof(c.url.host), "%s",
		    url->sentinels[i].host);
		c.url.port = url->sentinels[i].port;
		c.name = one->name;
		one->r = redis_new(&c, &ops, one);
	}
	s->timer.fn = on_timer;
	loop_timer_set(loop, &s->timer, loop_now_ms(loop) + ASK_MS);
	return s;
}

void
sentinels_free(struct sentinels *s)
{
	if (s == NULL)
		return;
	for (int i = 0; i < s->n; i++)
		redis_free(s->each[i].r);
	loop_timer_clear(&s->timer);
	free(s);
}
