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

/* Whoever is told may leave, and so may others of the list. */
static void
run_tell(struct queue *q, struct queue_watched *run,
    const struct queue_place *p)
{
	struct queue_watch *w;

	for (w = run->first; w != NULL; w = q->tell_next) {
		q->tell_next = w->next;
		if (has_changed(w, p)) {
			w->told = value_of(p);
			w->fn(w, p);
		}
	}
}

static struct queue_watched *
run_of(struct queue *q, struct uuid run_id)
{
	return (struct queue_watched *)topics_get(&q->watched, run_id);
}

/* Many may watch one run: it is looked up once. */
static SUSPENDS void
tell_fiber(void *arg)
{
	struct queue *q = arg;
	struct queue_watched *run;
	struct queue_place p;
	struct uuid *ids = xcalloc(q->watched.n + 1, sizeof(*ids));
	size_t n = 0;

	fiber_deadline_set(loop_now_ms(q->c.loop) + QUEUE_TELL_MS);
	for (size_t i = 0; i < q->watched.n_buckets; i++)
		for (struct topic *t = q->watched.buckets[i]; t != NULL;
		     t = t->next)
			ids[n++] = t->id;
	for (size_t i = 0; i < n && !q->stopped; i++) {
		queue_place(q, ids[i], &p);
		if ((run = run_of(q, ids[i])) != NULL)
			run_tell(q, run, &p);
	}
	free(ids);
	q->telling = false;
}

static void
on_tell(struct loop_timer *t)
{
	struct queue *q = container_of(t, struct queue, tell);

	if (q->watched.n == 0)
		return;
	loop_timer_set(q->c.loop, t, loop_now_ms(q->c.loop) + QUEUE_TELL_MS);
	if (q->telling)
		return;
	q->telling = fiber_spawn(q->c.loop, "queue places", tell_fiber, q).f !=
		     NULL;
}

static struct queue_watched *
run_watched(struct queue *q, struct uuid run_id)
{
	struct queue_watched *run = run_of(q, run_id);

	if (run != NULL)
		return run;
	if (q->watched.n == 0) {
		q->tell.fn = on_tell;
		loop_timer_set(q->c.loop, &q->tell,
		    loop_now_ms(q->c.loop) + QUEUE_TELL_MS);
	}
	run = xcalloc(1, sizeof(*run));
	run->topic.id = run_id;
	topics_add(&q->watched, &run->topic);
	return run;
}

void
queue_watch(struct queue *q, struct queue_watch *w, struct uuid run_id,
    int64_t told)
{
	struct queue_watched *run;

	queue_unwatch(w);
	if (q == NULL || q->stopped)
		return;
	run = run_watched(q, run_id);
	w->q = q;
	w->run_id = run_id;
	w->told = told;
	w->prev = NULL;
	w->next = run->first;
	if (run->first != NULL)
		run->first->prev = w;
	run->first = w;
}

void
queue_unwatch(struct queue_watch *w)
{
	struct queue *q = w->q;
	struct queue_watched *run;

	if (q == NULL)
		return;
	run = run_of(q, w->run_id);
	if (q->tell_next == w)
		q->tell_next = w->next;
	if (w->prev != NULL)
		w->prev->next = w->next;
	else
		run->first = w->next;
	if (w->next != NULL)
		w->next->prev = w->prev;
	w->q = NULL;
	if (run->first == NULL) {
		topics_remove(&q->watched, &run->topic);
		free(run);
	}
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
