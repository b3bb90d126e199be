/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chat/queue.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/chat/queue_impl.h"
#include "core/loop/fiber.h"
#include "core/run/run.h"

/* See queue.h.  What it counts is read by one statement for everybody. */

#define FRESH_MS 1000
#define FULL_MS 20 /* the same, near a limit */
#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS 60000

struct queue *
queue_new(const struct queue_config *config)
{
	struct queue *q = xcalloc(1, sizeof(*q));

	q->c = *config;
	for (int i = 0; i < RUN_CLASSES; i++)
		q->est_ms[i] = -1;
	return q;
}

void
queue_stop(struct queue *q)
{
	if (q == NULL)
		return;
	q->stopped = true;
	loop_timer_clear(&q->learn);
	loop_timer_clear(&q->tell);
}

void
queue_free(struct queue *q)
{
	if (q == NULL)
		return;
	queue_stop(q);
	topics_fini(&q->watched);
	free(q->lines);
	free(q->lessons);
	free(q);
}

/* ---- Counting ------------------------------------------------------ */

SQL(LINES,
    "SELECT tenant_id, class, SUM(CASE WHEN state = 0 THEN 1 ELSE 0 END),"
    " SUM(CASE WHEN state = 1 THEN 1 ELSE 0 END), MIN(CASE WHEN state = 0"
    " AND run_at <= now_us() THEN run_at END), now_us() FROM jobs"
    " WHERE kind = 'run' GROUP BY tenant_id, class");
SQL(TIMES, "SELECT class, est_ms FROM run_times WHERE agent_id = $1");

static void
lines_read(struct queue *q, const struct rows *r)
{
	struct queue_line *l;
	int64_t age;

	free(q->lines);
	q->n_lines = q->cap_lines = rows_count(r);
	q->lines = xcalloc((size_t)q->n_lines + 1, sizeof(*q->lines));
	memset(q->oldest_us, 0, sizeof(q->oldest_us));
	for (int i = 0; i < q->n_lines; i++) {
		l = &q->lines[i];
		l->tenant_id = rows_uuid(r, i, 0);
		l->class = (int)rows_int(r, i, 1);
		l->waits = rows_int(r, i, 2);
		l->works = rows_int(r, i, 3);
		age = rows_is_null(r, i, 4)
			  ? 0
			  : rows_int(r, i, 5) - rows_int(r, i, 4);
		if (l->class >= 0 && l->class < RUN_CLASSES &&
		    age > q->oldest_us[l->class])
			q->oldest_us[l->class] = age;
	}
}

static void
times_read(struct queue *q, const struct rows *r)
{
	for (int i = 0; i < rows_count(r); i++) {
		int64_t class = rows_int(r, i, 0);

		if (class >= 0 && class < RUN_CLASSES)
			q->est_ms[class] = rows_int(r, i, 1);
	}
}

SUSPENDS void
queue_refresh(struct queue *q, uint64_t max_age_ms)
{
	struct sql_arg nobody[] = { SQL_UUID(((struct uuid){ { 0 } })) };
	uint64_t now = loop_now_ms(q->c.loop);
	struct rows *lines = NULL, *times = NULL;

	if (q->reading || (q->at_ms != 0 && now - q->at_ms < max_age_ms))
		return;
	q->reading = true;
	if (store_query(q->c.store, &LINES, NULL, 0, &lines, NULL) == AS_OK) {
		lines_read(q, lines);
		q->at_ms = now;
		q->guessed = 0;
	}
	if (store_query(q->c.store, &TIMES, nobody, 1, &times, NULL) == AS_OK)
		times_read(q, times);
	rows_free(lines);
	rows_free(times);
	q->reading = false;
	queue_gauges(q);
}

/* ---- Admission ----------------------------------------------------- */

static struct queue_line *
line_of(struct queue *q, struct uuid tenant_id, int class)
{
	struct queue_line *l;

	for (int i = 0; i < q->n_lines; i++) {
		l = &q->lines[i];
		if (l->class == class && uuid_equal(l->tenant_id, tenant_id))
			return l;
	}
	if (q->n_lines == q->cap_lines) {
		q->cap_lines = q->cap_lines * 2 + 4;
		q->lines = xrealloc(q->lines,
		    (size_t)q->cap_lines * sizeof(*q->lines));
	}
	l = &q->lines[q->n_lines++];
	*l = (struct queue_line){ .tenant_id = tenant_id, .class = class };
	return l;
}

struct sums {
	int64_t all, tenant; /* that wait */
	int64_t before; /* of the class, a place behind `rank` of the tenant */
	int64_t slots; /* that the class has */
};

static struct sums
sums_of(const struct queue *q, struct uuid tenant_id, int class, int64_t rank)
{
	struct sums s = { 0 };
	int64_t works = 0;

	for (int i = 0; i < q->n_lines; i++) {
		const struct queue_line *l = &q->lines[i];
		bool mine = uuid_equal(l->tenant_id, tenant_id);

		s.all += l->waits;
		s.tenant += mine ? l->waits : 0;
		works += l->works;
		if (l->class != class)
			continue;
		s.slots += l->works;
		/* Tenants take turns. */
		if (!mine)
			s.before += l->waits < rank ? l->waits : rank;
	}
	if (s.slots == 0)
		s.slots = works > 0 ? works : 1;
	return s;
}

static bool
is_full(const struct queue *q, const struct sums *s, int64_t tenths)
{
	return (q->c.max_tenant > 0 &&
		   s->tenant >= q->c.max_tenant * tenths / 10) ||
	       (q->c.max > 0 && s->all >= q->c.max * tenths / 10);
}

static void
place_fill(const struct queue *q, int class, int64_t rank, int64_t own_ms,
    const struct sums *s, struct queue_place *out)
{
	int64_t est = q->est_ms[class];

	out->waits = true;
	out->position = 1 + rank + s->before;
	out->est_wait_ms = -1;
	if (own_ms < 0)
		own_ms = est;
	if (own_ms >= 0)
		out->est_wait_ms = ((1 + rank) * own_ms +
				       s->before * (est >= 0 ? est : own_ms)) /
				   s->slots;
}

static enum as_status
refuse(const struct queue *q, const struct sums *s, int class,
    struct error *err)
{
	bool own = q->c.max_tenant > 0 && s->tenant >= q->c.max_tenant;
	enum as_status st = error_set(err, ERR_RATE_LIMITED,
	    own ? "%lld runs of this tenant wait, no more may"
		: "%lld runs wait, no more may",
	    (long long)(own ? s->tenant : s->all));
	int64_t ms = q->est_ms[class] / s->slots;

	if (ms < RETRY_MIN_MS)
		ms = RETRY_MIN_MS;
	if (err != NULL)
		err->retry_after_ms = ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS;
	return st;
}

SUSPENDS enum as_status
queue_admit(struct queue *q, struct uuid tenant_id, int class,
    struct queue_place *out, struct error *err)
{
	struct queue_line *l;
	struct sums s;

	memset(out, 0, sizeof(*out));
	if (q == NULL)
		return AS_OK;
	queue_refresh(q, FRESH_MS);
	s = sums_of(q, tenant_id, class, INT64_MAX);
	if (is_full(q, &s, 9)) {
		/* Who is refused is refused by what is stored. */
		queue_refresh(q,
		    is_full(q, &s, 10) && q->guessed > 0 ? 0 : FULL_MS);
		s = sums_of(q, tenant_id, class, INT64_MAX);
	}
	if (is_full(q, &s, 10))
		return refuse(q, &s, class, err);
	l = line_of(q, tenant_id, class);
	s = sums_of(q, tenant_id, class, l->waits);
	place_fill(q, class, l->waits, -1, &s, out);
	l->waits++;
	q->guessed++;
	return AS_OK;
}

/* ---- One run ------------------------------------------------------- */

SQL(PLACE,
    "SELECT j.class, j.tenant_id, j.run_at - now_us(), (SELECT count(*)"
    " FROM jobs a WHERE a.state = 0 AND a.kind = 'run' AND a.class = j.class"
    " AND a.tenant_id = j.tenant_id AND (a.run_at, a.id) < (j.run_at, j.id)),"
    " (SELECT t.est_ms FROM run_times t WHERE t.agent_id = r.agent_id"
    " AND t.class = j.class) FROM jobs j JOIN runs r ON r.id = j.run_id"
    " WHERE j.kind = 'run' AND j.run_id = $1 AND j.state = 0");

SUSPENDS void
queue_place(struct queue *q, struct uuid run_id, struct queue_place *out)
{
	struct sql_arg args[] = { SQL_UUID(run_id) };
	struct rows *r = NULL;
	struct sums s;
	int64_t rank, due_ms;
	int class;

	memset(out, 0, sizeof(*out));
	if (q == NULL)
		return;
	queue_refresh(q, FRESH_MS);
	if (store_query(q->c.store, &PLACE, args, 1, &r, NULL) == AS_OK &&
	    rows_count(r) == 1) {
		class = (int)rows_int(r, 0, 0);
		rank = rows_int(r, 0, 3);
		due_ms = rows_int(r, 0, 2) / 1000;
		s = sums_of(q, rows_uuid(r, 0, 1), class, rank);
		place_fill(q, class, rank,
		    rows_is_null(r, 0, 4) ? -1 : rows_int(r, 0, 4), &s, out);
		if (due_ms > 0 && out->est_wait_ms < due_ms)
			out->est_wait_ms = due_ms;
	}
	rows_free(r);
}
