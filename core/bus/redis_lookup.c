/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/redis_lookup.h"

#include <netdb.h>
#include <string.h>

#include "core/base/mem.h"

/* See redis_lookup.h. */

#define LOOKUP_MS 10000

struct lookup_job {
	struct pool_job job;
	char *name;
	char address[NI_MAXHOST];
};

struct redis_lookup {
	struct loop *loop;
	struct pool *pool;
	char *name;
	void (*fn)(void *arg, const char *address); /* NULL: nobody waits */
	void *arg;
};

static void
job_run(struct pool_job *j)
{
	struct lookup_job *l = container_of(j, struct lookup_job, job);
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;

	if (getaddrinfo(l->name, NULL, &hints, &found) != 0)
		return;
	if (getnameinfo(found->ai_addr, found->ai_addrlen, l->address,
		sizeof(l->address), NULL, 0, NI_NUMERICHOST) != 0)
		l->address[0] = '\0';
	freeaddrinfo(found);
}

static void
job_free(struct pool_job *j)
{
	struct lookup_job *l = container_of(j, struct lookup_job, job);

	free(l->name);
	free(l);
}

static SUSPENDS void
lookup_main(void *arg)
{
	struct redis_lookup *l = arg;
	struct lookup_job *j = xcalloc(1, sizeof(*j));
	enum as_status st;

	j->name = xstrdup(l->name);
	j->job.fn = job_run;
	j->job.free = job_free;
	fiber_deadline_set(loop_now_ms(l->loop) + LOOKUP_MS);
	st = pool_run(l->pool, &j->job, NULL);
	if (l->fn != NULL)
		l->fn(l->arg,
		    st == AS_OK && j->address[0] != '\0' ? j->address : NULL);
	if (st == AS_OK)
		pool_job_put(&j->job);
	free(l->name);
	free(l);
}

struct redis_lookup *
redis_lookup(struct loop *loop, struct pool *pool, const char *name,
    void (*fn)(void *arg, const char *address), void *arg)
{
	struct redis_lookup *l = xcalloc(1, sizeof(*l));

	l->loop = loop;
	l->pool = pool;
	l->name = xstrdup(name);
	l->fn = fn;
	l->arg = arg;
	if (fiber_spawn(loop, "redis lookup", lookup_main, l).f != NULL)
		return l;
	free(l->name);
	free(l);
	return NULL;
}

void
redis_lookup_leave(struct redis_lookup *l)
{
	if (l != NULL)
		l->fn = NULL;
}
