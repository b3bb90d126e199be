/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/bus/bus_link.h"

/*
 * Text for those who come later: a string for each attempt of a message, so
 * that who has lost the run cannot write into that of who has it now.  Each
 * piece is written where it belongs, so that what comes late or twice, by a
 * connection that is given up, changes nothing; what is missing is zeros, of
 * which text has none.
 *
 * When pieces were dropped, or Redis has lost the string, the whole text is
 * due: some at a time, so that a thousand texts do not fill the queue when
 * Redis is back.  A look every few seconds finds strings that Redis has thrown
 * out, keeps the others from going, and lets go of those that are over.
 */

#define KEEP_SECONDS "600" /* since the last look, if its writer dies */
#define OVER_SECONDS "60" /* of who has asked just before the end */
#define WHOLE_FLIGHT ((size_t)1024 * 1024)
#define REFUSED_MS 1000

/* Two owners: the link, and the answers that are due. */
struct kept {
	struct bus_link *l; /* NULL: it has let go of it */
	struct kept *next, *next_due;
	struct uuid thread_id, message_id;
	int attempt;
	char name[LINK_NAME];
	size_t name_len;
	unsigned answers;
	bool due; /* all of it is to be written */
	size_t flight; /* bytes of the whole that are on their way */
};

void
link_text_name(const struct bus_redis *b, struct uuid message_id, int attempt,
    char out[LINK_NAME])
{
	char id[UUID_TEXT];

	uuid_format(message_id, id);
	snprintf(out, LINK_NAME, "%s:t:%s:%d", b->prefix, id, attempt);
}

static struct redis_arg
kept_name(const struct kept *k)
{
	return (struct redis_arg){ k->name, k->name_len };
}

static bool
kept_send(struct kept *k, const struct redis_arg *args, size_t n, redis_fn fn)
{
	bool sent = redis_send(k->l->commands, args, n, fn, k);

	k->answers += sent ? 1 : 0;
	return sent;
}

/* An answer has come; false: nobody is interested any more. */
static bool
kept_answered(struct kept *k)
{
	k->answers--;
	if (k->l != NULL)
		return true;
	if (k->answers == 0)
		free(k);
	return false;
}

/* ---- The whole text ------------------------------------------------ */

static void
due_add(struct kept *k)
{
	if (k->due)
		return;
	k->due = true;
	k->next_due = NULL;
	*k->l->due_tail = k;
	k->l->due_tail = &k->next_due;
}

static void
due_remove(struct kept *k)
{
	struct kept **p = &k->l->due;

	if (!k->due)
		return;
	k->due = false;
	while (*p != k)
		p = &(*p)->next_due;
	if ((*p = k->next_due) == NULL)
		k->l->due_tail = p;
}

/* Redis takes no more just now: it is not asked again at once. */
static void
keep_rest(struct bus_link *l)
{
	loop_timer_set(l->loop, &l->keep, loop_now_ms(l->loop) + REFUSED_MS);
}

static bool
is_refused(const redisReply *r)
{
	return r != NULL && r->type == REDIS_REPLY_ERROR;
}

static void keep_pump(struct bus_link *l);

static void
on_whole(const redisReply *r, void *arg)
{
	struct kept *k = arg;

	if (!kept_answered(k))
		return;
	k->l->flight -= k->flight;
	k->flight = 0;
	if (is_refused(r)) {
		due_add(k);
		keep_rest(k->l);
	}
	keep_pump(k->l);
}

static bool
whole_send(struct kept *k, const struct buf *text)
{
	const struct redis_arg args[] = { REDIS_STR("SET"), kept_name(k),
		{ text->data, text->len }, REDIS_STR("EX"),
		REDIS_STR(KEEP_SECONDS) };

	if (!kept_send(k, args, N_ITEMS(args), on_whole))
		return false;
	k->flight += text->len;
	k->l->flight += text->len;
	return true;
}

/* False: later. */
static bool
whole_keep(struct kept *k)
{
	struct live_text t;
	bool sent = true;

	if (!live_get(k->l->b->live, k->thread_id, k->message_id, 0, &t))
		return true; /* it is over */
	if (t.attempt == k->attempt && t.text.len <= LIVE_MIRROR_MAX)
		sent = whole_send(k, &t.text);
	buf_free(&t.text);
	return sent;
}

static void
keep_pump(struct bus_link *l)
{
	struct kept *k;

	while ((k = l->due) != NULL && l->flight < WHOLE_FLIGHT &&
	       l->keep.at_ms == 0 && redis_is_up(l->commands)) {
		if (!whole_keep(k)) {
			keep_rest(l);
			return;
		}
		due_remove(k);
	}
}

static void
on_keep(struct loop_timer *t)
{
	keep_pump(container_of(t, struct bus_link, keep));
}

/* ---- Pieces -------------------------------------------------------- */

static struct kept **
kept_slot(struct bus_link *l, struct uuid message_id)
{
	return &l->kept[message_id.b[15] % LINK_KEPT];
}

/* New ones are due. */
static struct kept *
kept_get(struct bus_link *l, const struct bus_msg *m)
{
	struct kept **p = kept_slot(l, m->message_id), *k;

	for (k = *p; k != NULL; k = k->next)
		if (k->attempt == m->attempt &&
		    uuid_equal(k->message_id, m->message_id))
			return k;
	k = xcalloc(1, sizeof(*k));
	k->l = l;
	k->thread_id = m->topic;
	k->message_id = m->message_id;
	k->attempt = m->attempt;
	link_text_name(l->b, m->message_id, m->attempt, k->name);
	k->name_len = strlen(k->name);
	k->next = *p;
	*p = k;
	due_add(k);
	return k;
}

static void
on_piece(const redisReply *r, void *arg)
{
	struct kept *k = arg;

	if (!kept_answered(k) || !is_refused(r))
		return;
	due_add(k);
	keep_rest(k->l);
}

static bool
piece_send(struct kept *k, int64_t offset, const char *text, size_t len)
{
	char room[REDIS_NUMBER];
	const struct redis_arg args[] = { REDIS_STR("SETRANGE"), kept_name(k),
		redis_number(room, (uint64_t)offset), { text, len } };

	return kept_send(k, args, N_ITEMS(args), on_piece);
}

void
link_keep(struct bus_link *l, const struct bus_msg *m)
{
	struct kept *k = kept_get(l, m);
	struct live_text t;

	if (m->offset + (int64_t)m->len > LIVE_MIRROR_MAX)
		return;
	if (!k->due) {
		if (!live_get(l->b->live, m->topic, m->message_id, m->offset,
			&t))
			return; /* it is over */
		if (!piece_send(k, t.offset, t.text.data, t.text.len))
			due_add(k);
		buf_free(&t.text);
	}
	keep_pump(l);
}

/* ---- Looking after them -------------------------------------------- */

static bool
name_expires(struct kept *k, const char *seconds)
{
	const struct redis_arg args[] = { REDIS_STR("EXPIRE"), kept_name(k),
		REDIS_STR(seconds) };

	return redis_send(k->l->commands, args, N_ITEMS(args), NULL, NULL);
}

/* Of one that was lost, pieces have made another, which nothing ends. */
static void
on_ttl(const redisReply *r, void *arg)
{
	struct kept *k = arg;

	if (!kept_answered(k) || r == NULL || r->type != REDIS_REPLY_INTEGER ||
	    r->integer >= 0)
		return;
	due_add(k);
	keep_pump(k->l);
}

static void
kept_look(struct kept *k)
{
	const struct redis_arg args[] = { REDIS_STR("TTL"), kept_name(k) };

	if (kept_send(k, args, N_ITEMS(args), on_ttl))
		(void)name_expires(k, KEEP_SECONDS);
}

static void
kept_leave(struct kept **p)
{
	struct kept *k = *p;

	*p = k->next;
	due_remove(k);
	k->l->flight -= k->flight;
	k->l = NULL;
	if (k->answers == 0)
		free(k);
}

void
link_keep_look(struct bus_link *l)
{
	for (struct kept **p = l->kept; p < l->kept + LINK_KEPT; p++)
		for (struct kept **at = p, *k; (k = *at) != NULL;) {
			if (live_is_written(l->b->live, k->thread_id,
				k->message_id, k->attempt)) {
				kept_look(k);
				at = &k->next;
			} else {
				(void)name_expires(k, OVER_SECONDS);
				kept_leave(at);
			}
		}
	keep_pump(l);
}

void
link_keep_all(struct bus_link *l)
{
	for (struct kept **p = l->kept; p < l->kept + LINK_KEPT; p++)
		for (struct kept *k = *p; k != NULL; k = k->next)
			due_add(k);
	loop_timer_clear(&l->keep);
	keep_pump(l);
}

void
link_keep_open(struct bus_link *l)
{
	l->keep.fn = on_keep;
	l->due_tail = &l->due;
}

void
link_keep_close(struct bus_link *l)
{
	for (struct kept **p = l->kept; p < l->kept + LINK_KEPT; p++)
		while (*p != NULL)
			kept_leave(p);
	loop_timer_clear(&l->keep);
}
