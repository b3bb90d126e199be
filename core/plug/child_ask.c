/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/loop/stack.h"
#include "core/plug/child.h"

/*
 * Asks a process for the description of its file, and ends it.  It takes as
 * long as mapping a file, or, if the file has other plans, until our patience
 * ends.  A fiber suspends meanwhile; before loops run, it blocks.
 */

#ifdef FIBER_ASAN
#define DESCRIBE_MS 15000
#else
#define DESCRIBE_MS 3000
#endif

struct asking {
	struct child_process process;
	struct wire wire;
	struct buf errors;
	struct json_object *said;
	bool over; /* it has said it, or never will */
	bool unwanted; /* who asks was cancelled */
};

static void
asking_hears(struct asking *a)
{
	char bytes[4096];
	ssize_t n;
	int rounds;

	/* No more than a pipe holds: it may never stop. */
	for (rounds = 0; rounds < 16; rounds++) {
		n = read(a->process.errors, bytes, sizeof(bytes));
		if (n > 0 && a->errors.len < 4096)
			buf_add(&a->errors, bytes, (size_t)n);
		if (n <= 0)
			return;
	}
}

static void
asking_reads(struct asking *a)
{
	enum wire_state st = wire_fill(&a->wire);
	struct wire_head head;
	const char *bytes;

	if (st == WIRE_DONE &&
	    (st = wire_next(&a->wire, &head, &bytes)) == WIRE_DONE) {
		a->over = true;
		if (head.type == WIRE_HELLO)
			json_parse(bytes, head.len, &a->said, NULL);
	}
	if (st == WIRE_BROKEN)
		a->over = true;
}

static void
on_readable(int fd, int what, void *arg)
{
	const struct fiber_wait *wait = arg;

	(void)fd, (void)what;
	fiber_wake(*wait);
}

/* Until there is something to read, or it is late. */
SUSPENDS static void
asking_waits(struct asking *a, int fd, int64_t left_ms)
{
	struct pollfd blocking = { .fd = fd, .events = POLLIN };
	struct loop_watch *watch;
	struct fiber_wait wait;

	if (fiber_self() == NULL) {
		poll(&blocking, 1, (int)left_ms);
		return;
	}
	wait = fiber_prepare();
	watch = loop_watch(loop_self(), fd, LOOP_READ, on_readable, &wait);
	a->unwanted = fiber_suspend(loop_now_ms(loop_self()) +
				    (uint64_t)left_ms) == FIBER_CANCELED;
	loop_watch_free(watch);
}

/* It has no further use; *status is its end. */
SUSPENDS static void
asking_ends(struct asking *a, int *status)
{
	/* What dies by itself shall say of what. */
	if (a->said == NULL && !a->unwanted)
		asking_waits(a, a->process.pidfd, 100);
	kill(a->process.pid, SIGKILL);
	while (waitpid(a->process.pid, status, 0) < 0 && errno == EINTR)
		continue;
	asking_hears(a);
	close(a->process.pidfd);
	close(a->process.fd);
	close(a->process.errors);
}

static char *
asking_failed(const struct asking *a, const struct unit *u, const char *path,
    int status, bool late)
{
	char how[160];

	if (a->unwanted)
		return xasprintf("%s: nobody waits any more for what it says "
				 "of "
				 "itself",
		    path);
	child_obituary(status, child_memory(u->plug), how, sizeof(how));
	if (late)
		snprintf(how, sizeof(how),
		    "did not describe itself within %d s", DESCRIBE_MS / 1000);
	return xasprintf("%s: %s when it was loaded in a process of its own"
			 "%s%.200s: ask its author",
	    path, how, a->errors.len > 0 ? ": " : "",
	    a->errors.len > 0 ? a->errors.data : "");
}

char *
child_ask(struct unit *u, const char *path, int image,
    struct json_object **said)
{
	struct child_start how = { .plug = u->plug,
		.name = u->name,
		.path = path,
		.image = image,
		.number = u->of->number };
	int64_t until = clock_mono_ms() + DESCRIBE_MS, left;
	struct asking a = { 0 };
	char *sentence;
	int status = 0;

	if ((sentence = child_process_start(&how, &a.process)) != NULL)
		return sentence;
	a.wire.fd = a.process.fd;
	while (!a.over && !a.unwanted && (left = until - clock_mono_ms()) > 0) {
		asking_waits(&a, a.wire.fd, left);
		asking_hears(&a);
		asking_reads(&a);
	}
	asking_ends(&a, &status);
	if (jget_str(a.said, "refused", NULL) != NULL)
		sentence = xstrdup(jget_str(a.said, "refused", NULL));
	else if (a.said == NULL)
		sentence = asking_failed(&a, u, path, status, !a.over);
	*said = json_object_get(a.said);
	json_object_put(a.said);
	wire_free(&a.wire);
	buf_free(&a.errors);
	return sentence;
}
