/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/plug/child.h"

/*
 * While calls of a process are open it is looked at ten times a second: does its
 * loop turn, how much memory has it, how many descriptors?  What goes on too
 * long or too far is killed.
 */

#define TICK_MS 100
#define LEFT_MS 60000 /* calls must end after their callers have left */
#define IDLE_TICKS 20
#define ANSWER_MS 800 /* to a ping; of a process that computes */
#define ANSWER_LONGER 4 /* times that, if it waits or is not let run */

static int64_t
child_cpu_ms(const struct child *c)
{
	struct timespec ts;
	clockid_t clock;

	if (clock_getcpuclockid(c->process.pid, &clock) != 0 ||
	    clock_gettime(clock, &ts) != 0)
		return 0;
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
look_at_answer(struct child *c)
{
	int64_t now = clock_mono_ms(), waited = now - c->pinged_ms;
	int64_t limit = c->unit->plug->services.child_answer_ms;

	limit = (limit > 0 ? limit : ANSWER_MS) * CHILD_SLOW;
	if (c->waits_for_pong) {
		if (waited > limit * ANSWER_LONGER ||
		    (waited > limit &&
			child_cpu_ms(c) - c->cpu_at_ping_ms > limit / 2))
			child_kill(c,
			    "did not answer for %lld ms and was "
			    "ended (an endless loop?)",
			    (long long)waited);
		return;
	}
	c->waits_for_pong = true;
	c->pinged_ms = now;
	c->cpu_at_ping_ms = child_cpu_ms(c);
	c->ping = randombytes_random();
	pthread_mutex_lock(&c->lock);
	wire_put(&c->wire, WIRE_PING, c->ping, 0, NULL, 0);
	child_flush(c);
	pthread_mutex_unlock(&c->lock);
}

static void
look_at_memory(struct child *c)
{
	int64_t limit = child_memory(c->unit->plug);
	char path[64], text[128] = "";
	long long pages = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)c->process.pid);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n > 0 && sscanf(text, "%*s %lld", &pages) == 1 &&
	    pages * sysconf(_SC_PAGESIZE) > limit)
		child_kill(c,
		    "used more memory than its limit of %lld MiB "
		    "and was ended",
		    (long long)(limit >> 20));
}

/* Its own files, and a few to spare: then nothing works in it any more. */
static void
look_at_files(struct child *c)
{
	char path[64];
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)c->process.pid);
	if ((dir = opendir(path)) == NULL)
		return;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	if (n >= CHILD_FILES_MAX)
		child_kill(c,
		    "held all of its %d descriptors open and was "
		    "ended",
		    CHILD_FILES_MAX);
}

/* Calls that go on and on although nobody wants them: threads that are stuck. */
static void
look_at_overdue(struct child *c, unsigned n_calls, int64_t left_since)
{
	int64_t now = clock_mono_ms();

	if (c->n_busy <= n_calls)
		c->overdue_ms = 0;
	else if (c->overdue_ms == 0)
		c->overdue_ms = now;
	if ((left_since > 0 && now - left_since > LEFT_MS) ||
	    (c->overdue_ms > 0 && now - c->overdue_ms > LEFT_MS))
		child_kill(c,
		    "went on with a call for %d s after it was "
		    "cancelled and was ended",
		    LEFT_MS / 1000);
}

static void
watch_again(struct child *c)
{
	loop_timer_set(c->home, &c->tick, loop_now_ms(c->home) + TICK_MS);
}

void
child_watch_tick(struct loop_timer *t)
{
	struct child *c = container_of(t, struct child, tick);
	int64_t left_since;
	unsigned n_calls;
	bool idle;

	pthread_mutex_lock(&c->lock);
	n_calls = c->n_calls;
	left_since = child_left_since(c);
	idle = n_calls == 0 && c->n_busy == 0;
	c->idle_ticks = idle ? c->idle_ticks + 1 : 0;
	c->ticking = c->idle_ticks < IDLE_TICKS;
	idle = !c->ticking;
	pthread_mutex_unlock(&c->lock);
	look_at_answer(c);
	look_at_memory(c);
	look_at_files(c);
	look_at_overdue(c, n_calls, left_since);
	if (!idle)
		watch_again(c);
}

void
child_watch_begin(struct child *c)
{
	if (c->tick.at_ms != 0)
		return;
	c->idle_ticks = 0;
	watch_again(c);
}
