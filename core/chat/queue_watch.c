/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/counter.h"
#include "core/base/mem.h"
#include "core/chat/queue_impl.h"
#include "core/loop/fiber.h"
#include "core/run/run.h"

/*
 * What goes on in the queue over time: how long runs take, who is told that
 * their wait has changed, what /metrics shows.
 */

#define LEARN_MS 2000
#define LESSONS_MAX 256 /* agents that end runs in that time */
#define FRESH_MS 1000

/* ---- How long runs take -------------------------------------------- */

/* A moving average, in which each time of a few seconds counts for a fifth. */
SQL(LEARN,
    "INSERT INTO run_times (agent_id, class, est_ms, updated_at)"
    " VALUES ($1, $2, $3, now_us()) ON CONFLICT (agent_id, class)"
    " DO UPDATE SET est_ms = (run_times.est_ms * 4 + excluded.est_ms) / 5,"
    " updated_at = excluded.updated_at");

static SUSPENDS void
learn_fiber(void *arg)
{
	struct queue *q = arg;
	struct queue_lesson *lessons = q->lessons;
	int n = q->n_lessons;

	fiber_deadline_set(loop_now_ms(q->c.loop) + 10000);
	q->lessons = NULL;
	q->n_lessons = 0;
	for (int i = 0; i < n; i++) {
		struct sql_arg args[] = { SQL_UUID(lessons[i].agent_id),
			SQL_INT(lessons[i].class),
			SQL_INT(lessons[i].ms / lessons[i].n) };

		/* One that is lost is learnt again from the next runs. */
		(void)store_exec(q->c.store, &LEARN, args, 3, NULL, NULL);
	}
	free(lessons);
	q->writing = false;
}

static void
on_learn(struct loop_timer *t)
{
	struct queue *q = container_of(t, struct queue, learn);

	if (fiber_spawn(q->c.loop, "run times", learn_fiber, q).f == NULL)
		q->writing = false;
}

static void
lesson_add(struct queue *q, struct uuid agent_id, int class, int64_t ms)
{
	struct queue_lesson *l;
	int i = 0;

	while (i < q->n_lessons &&
	       (q->lessons[i].class != class ||
		   !uuid_equal(q->lessons[i].agent_id, agent_id)))
		i++;
	if (i == LESSONS_MAX)
		return;
	if (i == q->n_lessons) {
		q->lessons = xrealloc(q->lessons,
		    (size_t)(i + 1) * sizeof(*q->lessons));
		q->lessons[i] = (struct queue_lesson){ .agent_id = agent_id,
			.class = class };
		q->n_lessons++;
	}
	l = &q->lessons[i];
	l->ms += ms;
	l->n++;
}

void
queue_learn(struct queue *q, struct uuid agent_id, int class, int64_t ms)
{
	lesson_add(q, (struct uuid){ { 0 } }, class, ms);
	lesson_add(q, agent_id, class, ms);
	if (q->writing || q->stopped)
		return;
	q->writing = true;
	q->learn.fn = on_learn;
	loop_timer_set(q->c.loop, &q->learn, loop_now_ms(q->c.loop) + LEARN_MS);
}

/* ---- Watching ------------------------------------------------------ */

static int64_t
value_of(const struct queue_place *p)
{
	return p->est_wait_ms >= 0 ? p->est_wait_ms : p->position;
}

static bool
has_changed(const struct queue_watch *w, const struct queue_place *p)
{
	int64_t by = value_of(p) - w->told;

	return p->waits && (by < 0 ? -by : by) * 4 >= w->told && by != 0;
}

/* The list may change under it: whoever is told may leave. */
static SUSPENDS void
tell_fiber(void *arg)
{
	struct queue *q = arg;
	struct queue_watch *w;
	struct queue_place p;
	struct uuid *ids;
	int n = 0;

	fiber_deadline_set(loop_now_ms(q->c.loop) + QUEUE_TELL_MS);
	for (w = q->watches; w != NULL; w = w->next)
		n++;
	ids = xcalloc((size_t)n + 1, sizeof(*ids));
	n = 0;
	for (w = q->watches; w != NULL; w = w->next)
		ids[n++] = w->run_id;
	for (int i = 0; i < n && !q->stopped; i++) {
		queue_place(q, ids[i], &p);
		for (w = q->watches; w != NULL; w = w->next)
			if (uuid_equal(w->run_id, ids[i]) &&
			    has_changed(w, &p)) {
				w->told = value_of(&p);
				w->fn(w, &p);
				break;
			}
	}
	free(ids);
	q->telling = false;
}

static void
on_tell(struct loop_timer *t)
{
	struct queue *q = container_of(t, struct queue, tell);

	if (q->watches == NULL)
		return;
	loop_timer_set(q->c.loop, t, loop_now_ms(q->c.loop) + QUEUE_TELL_MS);
	if (q->telling)
		return;
	q->telling = fiber_spawn(q->c.loop, "queue places", tell_fiber, q).f !=
		     NULL;
}

void
queue_watch(struct queue *q, struct queue_watch *w, struct uuid run_id,
    int64_t told)
{
	queue_unwatch(w);
	if (q == NULL || q->stopped)
		return;
	w->q = q;
	w->run_id = run_id;
	w->told = told;
	w->prev = NULL;
	w->next = q->watches;
	if (q->watches != NULL)
		q->watches->prev = w;
	else {
		q->tell.fn = on_tell;
		loop_timer_set(q->c.loop, &q->tell,
		    loop_now_ms(q->c.loop) + QUEUE_TELL_MS);
	}
	q->watches = w;
}

void
queue_unwatch(struct queue_watch *w)
{
	if (w->q == NULL)
		return;
	if (w->prev != NULL)
		w->prev->next = w->next;
	else
		w->q->watches = w->next;
	if (w->next != NULL)
		w->next->prev = w->prev;
	w->q = NULL;
}

/* ---- Gauges -------------------------------------------------------- */

void
queue_gauges(const struct queue *q)
{
	int64_t waits[RUN_CLASSES] = { 0 };

	for (int i = 0; i < q->n_lines; i++)
		if (q->lines[i].class >= 0 && q->lines[i].class < RUN_CLASSES)
			waits[q->lines[i].class] += q->lines[i].waits;
	for (int i = 0; i < RUN_CLASSES; i++) {
		const char *labels[] = { run_class_name(i) };

		counter_set(counter_get(GAUGE, "queue_depth",
				"Runs that wait for a slot or their time.",
				"class", labels),
		    (double)waits[i]);
		counter_set(counter_get(GAUGE, "queue_age_seconds",
				"How long the first of them has been due.",
				"class", labels),
		    (double)q->oldest_us[i] / 1e6);
	}
}
