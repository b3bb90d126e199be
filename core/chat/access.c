/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chat/access.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/loop/fiber.h"

/*
 * Seats are kept in buckets by session and thread, so that an answer finds its
 * readers whatever came and went while it was waited for; many may have the
 * same two, which are asked about once.  A pass is one fiber that
 * goes through the buckets; the next begins two seconds after it has ended.
 * SQLite is asked about one seat at a time, on the loop, so it is let breathe.
 */

#define BUCKETS 1024
#define ASK_MAX 400
#define ASK_MAX_LITE 50
#define BREATH_MS 5
#define PASS_MS 30000

struct access {
	struct loop *loop;
	struct store *store;
	struct loop_timer timer;
	struct access_seat *buckets[BUCKETS];
	unsigned n; /* seats */
	bool passing;
};

struct question {
	struct uuid session_id, thread_id;
};

struct asking {
	struct access *a;
	struct buf list; /* of struct question */
};

/*
 * What can be lost: $1 and $2 are one seat, or lists of them.  A thread is
 * looked up by its id alone: joined by its owner as well, a server that knows
 * little of the tables goes through all threads of the owner for each seat.
 */
#define STANDING(seats) \
	"SELECT k.session_id, k.thread_id, s.id IS NOT NULL" \
	" AND s.revoked_at IS NULL AND u.disabled_at IS NULL" \
	" AND m.role IS NOT NULL, m.role, COALESCE(t.tenant_id = s.tenant_id" \
	"  AND t.user_id = s.user_id, false)" \
	" FROM " seats " LEFT JOIN sessions s ON s.id = k.session_id" \
	" LEFT JOIN users u ON u.id = s.user_id" \
	" LEFT JOIN memberships m ON m.tenant_id = s.tenant_id" \
	"  AND m.user_id = s.user_id" \
	" LEFT JOIN threads t ON t.id = k.thread_id"
SQL_BOTH(STANDING_OF, STANDING("(SELECT $1 AS session_id, $2 AS thread_id) k"),
    STANDING(
	"unnest(string_to_array($1, ',')::uuid[],"
	" string_to_array($2, ',')::uuid[]) AS k (session_id, thread_id)"));

static struct access_seat **
bucket_of(struct access *a, struct uuid session_id, struct uuid thread_id)
{
	unsigned h, g;

	/* The end of an id is chance. */
	memcpy(&h, session_id.b + sizeof(session_id) - sizeof(h), sizeof(h));
	memcpy(&g, thread_id.b + sizeof(thread_id) - sizeof(g), sizeof(g));
	return &a->buckets[(h ^ g) % BUCKETS];
}

struct standing {
	struct uuid session_id, thread_id;
	bool session, thread;
	enum role role;
};

static bool
seat_lost(const struct access_seat *s, const struct standing *now,
    enum access_lost *why)
{
	if (!now->session)
		*why = ACCESS_SESSION;
	else if (now->role != s->who.role)
		*why = ACCESS_ROLE;
	else if (!now->thread && !uuid_is_nil(s->thread_id))
		*why = ACCESS_THREAD;
	else
		return false;
	return true;
}

static void
standing_found(struct access *a, const struct standing *now)
{
	struct access_seat **bucket = bucket_of(a, now->session_id,
	    now->thread_id);
	struct access_seat *s = *bucket, *next;
	enum access_lost why;

	for (; s != NULL; s = next) {
		next = s->next;
		if (!uuid_equal(s->who.session_id, now->session_id) ||
		    !uuid_equal(s->thread_id, now->thread_id) ||
		    !seat_lost(s, now, &why))
			continue;
		access_leave(s);
		s->lost(s, why);
		next = *bucket; /* others may have left with it */
	}
}

/* ---- Asking -------------------------------------------------------- */

static SUSPENDS void
ask(struct access *a, const struct sql_arg args[2])
{
	struct rows *rows = NULL;

	(void)store_query(a->store, &STANDING_OF, args, 2, &rows, NULL);
	for (int i = 0; i < rows_count(rows); i++) {
		struct standing now = { .session_id = rows_uuid(rows, i, 0),
			.thread_id = rows_uuid(rows, i, 1),
			.session = rows_bool(rows, i, 2),
			.role = role_by_name(rows_text(rows, i, 3)),
			.thread = rows_bool(rows, i, 4) };

		standing_found(a, &now);
	}
	rows_free(rows);
}

static SUSPENDS void
ask_each(struct access *a, const struct question *q, size_t n)
{
	for (size_t i = 0; i < n && !fiber_is_canceled(); i++) {
		struct sql_arg args[] = { SQL_UUID(q[i].session_id),
			SQL_UUID(q[i].thread_id) };

		ask(a, args);
	}
	(void)fiber_prepare();
	(void)fiber_suspend(loop_now_ms(a->loop) + BREATH_MS);
}

static SUSPENDS void
ask_lists(struct access *a, const struct question *q, size_t n)
{
	struct buf sessions = { 0 }, threads = { 0 };
	char id[UUID_TEXT];
	struct sql_arg args[2];

	for (size_t i = 0; i < n; i++) {
		uuid_format(q[i].session_id, id);
		buf_printf(&sessions, "%s,", id);
		uuid_format(q[i].thread_id, id);
		buf_printf(&threads, "%s,", id);
	}
	args[0] = sql_textn(sessions.data, sessions.len - 1);
	args[1] = sql_textn(threads.data, threads.len - 1);
	ask(a, args);
	buf_free(&sessions);
	buf_free(&threads);
}

static int
question_cmp(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct question));
}

/* Each question once; how many those are. */
static size_t
questions_sort(struct question *q, size_t n)
{
	size_t last = 0;

	qsort(q, n, sizeof(*q), question_cmp);
	for (size_t i = 1; i < n; i++)
		if (question_cmp(&q[last], &q[i]) != 0)
			q[++last] = q[i];
	return last + 1;
}

/* Of the seats that are listed, if they are enough. */
static SUSPENDS void
ask_about(struct asking *x, size_t enough)
{
	struct access *a = x->a;
	size_t n = x->list.len / sizeof(struct question);
	struct question *q = (struct question *)(void *)x->list.data;

	if (n == 0 || n < enough)
		return;
	n = questions_sort(q, n);
	if (store_dialect(a->store) == STORE_POSTGRES)
		ask_lists(a, q, n);
	else
		ask_each(a, q, n);
	buf_reset(&x->list);
}

/* ---- A pass -------------------------------------------------------- */

static void
pass_later(struct access *a)
{
	if (a->n > 0 && !a->passing)
		loop_timer_set(a->loop, &a->timer,
		    loop_now_ms(a->loop) + ACCESS_MS);
}

static SUSPENDS void
pass(void *arg)
{
	struct access *a = arg;
	struct asking x = { .a = a };
	size_t enough = store_dialect(a->store) == STORE_POSTGRES
			    ? ASK_MAX
			    : ASK_MAX_LITE;

	fiber_deadline_set(loop_now_ms(a->loop) + PASS_MS);
	for (int i = 0; i < BUCKETS && !fiber_is_canceled(); i++) {
		for (struct access_seat *s = a->buckets[i]; s != NULL;
		     s = s->next) {
			struct question q = { s->who.session_id, s->thread_id };

			buf_add(&x.list, &q, sizeof(q));
		}
		ask_about(&x, enough);
	}
	if (!fiber_is_canceled())
		ask_about(&x, 1);
	buf_free(&x.list);
	a->passing = false;
	pass_later(a);
}

static void
on_timer(struct loop_timer *t)
{
	struct access *a = container_of(t, struct access, timer);

	a->passing = a->n > 0 &&
		     fiber_spawn(a->loop, "access", pass, a).f != NULL;
	pass_later(a);
}

/* ---- For readers --------------------------------------------------- */

struct access *
access_new(struct loop *loop, struct store *store)
{
	struct access *a = xcalloc(1, sizeof(*a));

	a->loop = loop;
	a->store = store;
	a->timer.fn = on_timer;
	return a;
}

void
access_free(struct access *a)
{
	if (a == NULL)
		return;
	loop_timer_clear(&a->timer);
	free(a);
}

void
access_join(struct access *a, struct access_seat *s)
{
	struct access_seat **bucket;

	if (a == NULL || uuid_is_nil(s->who.session_id))
		return;
	bucket = bucket_of(a, s->who.session_id, s->thread_id);
	s->next = *bucket;
	if (s->next != NULL)
		s->next->at = &s->next;
	s->at = bucket;
	*bucket = s;
	s->n = &a->n;
	if (a->n++ == 0)
		pass_later(a);
}

void
access_leave(struct access_seat *s)
{
	if (s->at == NULL)
		return;
	*s->at = s->next;
	if (s->next != NULL)
		s->next->at = s->at;
	s->at = NULL;
	(*s->n)--;
}
