/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/crumb.h"

/*
 * Threads that take jobs from one bounded queue.  A job's two references, the
 * waiter's and the pool's, are both given up on the waiter's loop: the pool
 * thread only runs fn and then posts the job home, so refs and done need no
 * lock.
 */

#define POOL_STACK ((size_t)8 * 1024 * 1024)

struct pool {
	pthread_mutex_t mu;
	pthread_cond_t work;
	struct pool_job *head;
	struct pool_job **tail;
	unsigned n_queued;
	unsigned max_queue;
	unsigned n_threads;
	bool ending;
	pthread_cond_t home; /* a job has been posted home */
	struct pool_thread {
		pthread_t id;
		struct pool *pool;
		const struct loop *loop; /* of the job that it runs, or NULL */
	} threads[];
};

static void
pool_job_home(struct loop_msg *m)
{
	struct fiber_wake_msg *wake = container_of(m, struct fiber_wake_msg,
	    msg);
	struct pool_job *job = container_of(wake, struct pool_job, wake);

	job->done = true;
	fiber_wake(wake->wait);
	pool_job_put(job);
}

/* The next job, after the last one was posted home; NULL at the end. */
static struct pool_job *
pool_next(struct pool_thread *t)
{
	struct pool *p = t->pool;
	struct pool_job *job;

	pthread_mutex_lock(&p->mu);
	t->loop = NULL;
	pthread_cond_broadcast(&p->home);
	while (p->head == NULL && !p->ending)
		pthread_cond_wait(&p->work, &p->mu);
	if ((job = p->head) != NULL) {
		if ((p->head = job->next) == NULL)
			p->tail = &p->head;
		p->n_queued--;
		t->loop = job->loop;
	}
	pthread_mutex_unlock(&p->mu);
	return job;
}

static void *
pool_main(void *arg)
{
	struct crumb_slot *slot = crumb_take();
	struct pool_job *job;

	crumb_enter(slot);
	while ((job = pool_next(arg)) != NULL) {
		if (slot != NULL)
			slot->id = job->crumb;
		job->fn(job);
		if (slot != NULL)
			slot->id = (struct uuid){ { 0 } };
		loop_post(job->loop, &job->wake.msg);
	}
	return NULL;
}

/* Signals are for the threads of the loops. */
static void
pool_start(struct pool *p, unsigned n)
{
	struct pool_thread *t;
	sigset_t all, old;
	pthread_attr_t attr;
	char name[16];

	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	MUST(pthread_attr_init(&attr) == 0);
	MUST(pthread_attr_setstacksize(&attr, POOL_STACK) == 0);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	for (; p->n_threads < n; p->n_threads++) {
		t = &p->threads[p->n_threads];
		t->pool = p;
		if (pthread_create(&t->id, &attr, pool_main, t) != 0)
			break;
		snprintf(name, sizeof(name), "pool-%u", p->n_threads);
		pthread_setname_np(t->id, name);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	MUST(p->n_threads > 0);
	if (p->n_threads < n)
		log_warn("pool", "only %u of %u threads could start",
		    p->n_threads, n);
}

struct pool *
pool_new(unsigned n_threads, unsigned max_queue)
{
	struct pool *p;

	MUST(n_threads > 0);
	p = xcalloc(1, sizeof(*p) + n_threads * sizeof(struct pool_thread));
	pthread_mutex_init(&p->mu, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->home, NULL);
	p->tail = &p->head;
	p->max_queue = max_queue;
	pool_start(p, n_threads);
	return p;
}

void
pool_free(struct pool *p)
{
	if (p == NULL)
		return;
	pthread_mutex_lock(&p->mu);
	p->ending = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->mu);
	for (unsigned i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i].id, NULL);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->home);
	pthread_mutex_destroy(&p->mu);
	free(p);
}

static bool
pool_has(const struct pool *p, const struct loop *loop)
{
	const struct pool_job *job;

	for (unsigned i = 0; i < p->n_threads; i++)
		if (p->threads[i].loop == loop)
			return true;
	for (job = p->head; job != NULL; job = job->next)
		if (job->loop == loop)
			return true;
	return false;
}

void
pool_settle(struct pool *p, const struct loop *loop)
{
	pthread_mutex_lock(&p->mu);
	while (pool_has(p, loop))
		pthread_cond_wait(&p->home, &p->mu);
	pthread_mutex_unlock(&p->mu);
}

static bool
pool_push(struct pool *p, struct pool_job *job)
{
	bool ok;

	pthread_mutex_lock(&p->mu);
	MUST(!p->ending);
	ok = p->n_queued < p->max_queue;
	if (ok) {
		job->next = NULL;
		*p->tail = job;
		p->tail = &job->next;
		p->n_queued++;
		pthread_cond_signal(&p->work);
	}
	pthread_mutex_unlock(&p->mu);
	return ok;
}

void
pool_job_put(struct pool_job *job)
{
	if (job != NULL && --job->refs == 0)
		job->free(job);
}

enum as_status
pool_run(struct pool *p, struct pool_job *job, struct error *err)
{
	enum fiber_exit x = FIBER_WOKEN;

	job->loop = loop_self();
	job->crumb = fiber_crumb();
	job->wake.msg.fn = pool_job_home;
	job->wake.wait = fiber_prepare();
	job->refs = 2;
	job->done = false;
	if (fiber_is_canceled() || !pool_push(p, job)) {
		job->free(job);
		if (fiber_is_canceled())
			return fiber_exit_status(FIBER_CANCELED, err);
		return error_set(err, ERR_UNAVAILABLE,
		    "too much work is waiting for the pool");
	}
	while (!job->done && x == FIBER_WOKEN)
		x = fiber_suspend(0);
	if (job->done)
		return AS_OK;
	pool_job_put(job);
	return fiber_exit_status(x, err);
}
