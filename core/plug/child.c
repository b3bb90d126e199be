/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plug/child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"

/*
 * One process that serves a plugin, watched from the home loop.  Its socket is
 * always read to the end and handed out to the calls, so that a caller who
 * does not read holds up nobody.  While calls are open it is looked at ten
 * times a second: does its loop turn, how much memory has it, how many
 * descriptors?  What goes on too long or too far is killed, and all that
 * follows from a death happens in one place, whoever caused it.
 */

#define TICK_MS 100
#define LEFT_MS 60000 /* calls must end after their callers have left */
#define IDLE_TICKS 20
#define LINE_MAX_BYTES 1000
#define ANSWER_MS 800 /* to a ping; of a process that computes */
#define ANSWER_LONGER 4 /* times that, if it waits or is not let run */
#define GREET_MS (10000 * SLOW)
/* A sanitizer makes everything slow. */
#if defined(FIBER_ASAN) || defined(FIBER_TSAN)
#define SLOW 5
#else
#define SLOW 1
#endif

void
child_ref(struct child *c)
{
	pthread_mutex_lock(&c->lock);
	c->refs++;
	pthread_mutex_unlock(&c->lock);
}

void
child_unref(struct child *c)
{
	bool last;

	pthread_mutex_lock(&c->lock);
	last = --c->refs == 0;
	pthread_mutex_unlock(&c->lock);
	if (!last)
		return;
	MUST(c->dead);
	wire_free(&c->wire);
	buf_free(&c->line);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

bool
child_is_dead(struct child *c)
{
	bool dead;

	pthread_mutex_lock(&c->lock);
	dead = c->dead;
	pthread_mutex_unlock(&c->lock);
	return dead;
}

void
child_kill(struct child *c, const char *fmt, ...)
{
	va_list ap;

	if (c->verdict[0] != '\0' || c->dead)
		return;
	va_start(ap, fmt);
	vsnprintf(c->verdict, sizeof(c->verdict), fmt, ap);
	va_end(ap);
	kill(c->process.pid, SIGKILL);
}

/* ---- Writing ------------------------------------------------------- */

static void
child_stir(struct child *c)
{
	if (c->stirring)
		return;
	c->stirring = true;
	c->refs++;
	loop_post(c->home, &c->stir);
}

void
child_flush(struct child *c)
{
	/* Who finds nobody there learns of it when the death is known. */
	if (c->writes || c->dead || wire_flush(&c->wire) != WIRE_LATER)
		return;
	c->writes = true;
	child_stir(c);
}

void
child_watch_calls(struct child *c)
{
	if (c->ticking)
		return;
	c->ticking = true;
	child_stir(c);
}

static void
child_stirred(struct loop_msg *m)
{
	struct child *c = container_of(m, struct child, stir);
	bool writes, ticks, dead;

	pthread_mutex_lock(&c->lock);
	c->stirring = false;
	writes = c->writes;
	ticks = c->ticking;
	dead = c->dead;
	pthread_mutex_unlock(&c->lock);
	if (!dead && writes)
		loop_watch_set(c->reads, LOOP_READ | LOOP_WRITE);
	if (!dead && ticks && c->tick.at_ms == 0) {
		c->idle_ticks = 0;
		loop_timer_set(c->home, &c->tick,
		    loop_now_ms(c->home) + TICK_MS);
	}
	child_unref(c);
}

/* ---- What it says on standard error -------------------------------- */

/* What the handler of fatal signals says, without the name that all know. */
static void
line_is_fatal(struct child *c, const char *words)
{
	char name[96];

	snprintf(name, sizeof(name), "plugin %s in ", c->unit->name);
	if (strncmp(words, name, strlen(name)) == 0)
		words += strlen(name);
	snprintf(c->fatal, sizeof(c->fatal), "%s", words);
}

static void
line_end(struct child *c)
{
	if (c->line.len == 0)
		return;
	if (strncmp(c->line.data, "fatal: ", 7) == 0)
		line_is_fatal(c, c->line.data + 7);
	unit_log(c->unit, NULL, AS_LOG_WARNING, c->line.data);
	buf_reset(&c->line);
}

static void
child_hear(int fd, int what, void *arg)
{
	struct child *c = arg;
	char bytes[4096];
	ssize_t n, i;
	int rounds;

	(void)what;
	for (rounds = 0; rounds < 16; rounds++) {
		if ((n = read(fd, bytes, sizeof(bytes))) == 0)
			loop_watch_set(c->hears, 0);
		if (n <= 0)
			return;
		for (i = 0; i < n; i++) {
			if (bytes[i] == '\n' || c->line.len >= LINE_MAX_BYTES)
				line_end(c);
			if (bytes[i] != '\n' && bytes[i] != '\0')
				buf_add_char(&c->line, bytes[i]);
		}
	}
}

/* ---- Reading ------------------------------------------------------- */

static void
child_tell(struct child *c)
{
	fiber_wake(c->waiter);
	fiber_wake(c->mourner);
}

/* {refused}: its own word that it cannot serve. */
static void
child_greeted(struct child *c, const char *text, size_t len)
{
	struct json_object *o = NULL, *values;
	const char *conf;

	if (c->greeted || json_parse(text, len, &o, NULL) != AS_OK) {
		child_kill(c, "said what has no meaning");
		return;
	}
	c->greeted = true;
	snprintf(c->refusal, sizeof(c->refusal), "%s",
	    jget_str(o, "refused", ""));
	json_object_put(o);
	values = child_options(c->unit->file, c->unit->conf);
	conf = json_text(values);
	pthread_mutex_lock(&c->lock);
	wire_put(&c->wire, WIRE_CONF, 0, 0, conf, strlen(conf));
	child_flush(c);
	pthread_mutex_unlock(&c->lock);
	json_object_put(values);
}

static void
child_takes(struct child *c, const struct wire_head *head, const char *bytes)
{
	bool heard;

	switch (head->type) {
	case WIRE_HELLO:
		child_greeted(c, bytes, head->len);
		break;
	case WIRE_READY:
		c->ready = true;
		if (head->len > 0)
			snprintf(c->refusal, sizeof(c->refusal), "%.*s",
			    (int)head->len, bytes);
		child_tell(c);
		break;
	case WIRE_PONG:
		if (head->call != c->ping)
			break; /* it has not read what it answers */
		c->waits_for_pong = false;
		c->n_busy = head->extra;
		break;
	case WIRE_MSG:
		pthread_mutex_lock(&c->lock);
		heard = child_call_hears(c, head, bytes);
		pthread_mutex_unlock(&c->lock);
		if (!heard)
			child_last_words(c, bytes, head->len);
		break;
	default:
		child_kill(c, "said what has no meaning");
	}
}

/* Everything that is there.  False: no more will come. */
static bool
child_read(struct child *c)
{
	struct wire_head head;
	enum wire_state st = WIRE_DONE;
	const char *bytes;
	int rounds = 0;

	while (st == WIRE_DONE && rounds++ < 64) {
		if ((st = wire_fill(&c->wire)) == WIRE_BROKEN)
			return false;
		if (st == WIRE_LATER)
			return true;
		while ((st = wire_next(&c->wire, &head, &bytes)) == WIRE_DONE)
			child_takes(c, &head, bytes);
		if (st == WIRE_BROKEN) {
			child_kill(c, "said what has no meaning");
			return false;
		}
		/* Less than there was room for: there is no more yet. */
		if (c->wire.in.len + 1 < c->wire.in.cap)
			return true;
		st = WIRE_DONE;
	}
	return true;
}

static void
child_io(int fd, int what, void *arg)
{
	struct child *c = arg;
	bool writes;

	(void)fd;
	if (what & LOOP_WRITE) {
		pthread_mutex_lock(&c->lock);
		writes = c->writes = wire_flush(&c->wire) == WIRE_LATER;
		pthread_mutex_unlock(&c->lock);
		if (!writes)
			loop_watch_set(c->reads, LOOP_READ);
	}
	/* An end without a death: it has closed the socket. */
	if ((what & LOOP_READ) && !child_read(c)) {
		loop_watch_set(c->reads, 0);
		child_kill(c, "closed its connection and was ended");
	}
}

/* ---- Its end ------------------------------------------------------- */

static void
child_words(struct child *c, int status)
{
	char how[256];

	if (c->verdict[0] != '\0' && WIFSIGNALED(status) &&
	    WTERMSIG(status) == SIGKILL)
		snprintf(how, sizeof(how), "%s", c->verdict);
	else
		child_obituary(status, child_memory(c->unit->plug), how,
		    sizeof(how));
	snprintf(c->why, sizeof(c->why), "%.60s %.100s%s%.80s", c->unit->name,
	    how, c->fatal[0] != '\0' ? ": " : "", c->fatal);
}

static void
child_died(int fd, int what, void *arg)
{
	struct child *c = arg;
	int status = 0;

	(void)fd;
	(void)what;
	if (c->reads != NULL)
		child_read(c);
	child_hear(c->process.errors, 0, c);
	line_end(c);
	if (waitpid(c->process.pid, &status, WNOHANG) == 0)
		return;
	loop_watch_free(c->reads);
	loop_watch_free(c->exits);
	loop_watch_free(c->hears);
	loop_timer_clear(&c->tick);
	close(c->process.pidfd);
	close(c->process.errors);
	child_words(c, status);
	/* Before anybody learns of it: who calls again waits for the next. */
	if (atomic_load(&c->unit->state) == UNIT_SERVING) {
		guard_replaces(c->unit);
		unit_fail(c->unit, UNIT_RETRYING, c->why);
	}
	pthread_mutex_lock(&c->lock);
	close(c->process.fd);
	c->dead = true;
	child_calls_die(c);
	pthread_mutex_unlock(&c->lock);
	child_tell(c);
	child_unref(c); /* the process's own */
}

void
child_end(struct child *c)
{
	struct pollfd end = { .fd = c->process.pidfd, .events = POLLIN };

	if (child_is_dead(c))
		return;
	child_kill(c, "did not end by itself");
	while (poll(&end, 1, -1) < 0 && errno == EINTR)
		continue;
	child_died(end.fd, LOOP_READ, c);
}

void
child_quit(struct child *c)
{
	pthread_mutex_lock(&c->lock);
	if (!c->dead) {
		wire_put(&c->wire, WIRE_QUIT, 0, 0, NULL, 0);
		child_flush(c);
	}
	pthread_mutex_unlock(&c->lock);
}

/* ---- Looking after it ---------------------------------------------- */

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

	limit = (limit > 0 ? limit : ANSWER_MS) * SLOW;
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
child_ticks(struct loop_timer *t)
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
		loop_timer_set(c->home, &c->tick,
		    loop_now_ms(c->home) + TICK_MS);
}

/* ---- Its beginning ------------------------------------------------- */

struct child *
child_new(struct unit *u, char **sentence)
{
	struct child_start how = { .plug = u->plug,
		.name = u->name,
		.path = u->path,
		.image = u->file->image,
		.number = u->of->number };
	struct child_process process;
	struct child *c;

	if ((*sentence = child_process_start(&how, &process)) != NULL)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	c->unit = u;
	c->home = loop_self();
	c->process = process;
	c->refs = 2; /* the caller's, and its own until it dies */
	c->wire.fd = process.fd;
	c->tick.fn = child_ticks;
	c->stir.fn = child_stirred;
	pthread_mutex_init(&c->lock, NULL);
	c->reads = loop_watch(c->home, process.fd, LOOP_READ, child_io, c);
	c->exits = loop_watch(c->home, process.pidfd, LOOP_READ, child_died, c);
	c->hears = loop_watch(c->home, process.errors, LOOP_READ, child_hear,
	    c);
	return c;
}

enum as_status
child_greet(struct child *c, struct error *err)
{
	uint64_t until = loop_now_ms(c->home) + GREET_MS;

	while (!c->ready && !child_is_dead(c)) {
		c->waiter = fiber_prepare();
		if (fiber_suspend(until) == FIBER_CANCELED)
			return AS_CANCELED;
		if (loop_now_ms(c->home) >= until)
			child_kill(c, "did not start within %d s",
			    GREET_MS / 1000);
	}
	if (c->refusal[0] != '\0')
		return error_set(err, ERR_BAD_REQUEST, "%s", c->refusal);
	if (child_is_dead(c))
		return error_set(err, ERR_UNAVAILABLE, "%s", c->why);
	return AS_OK;
}

void
child_wait_dead(struct child *c, uint64_t until_ms)
{
	enum fiber_exit x = FIBER_WOKEN;

	while (!child_is_dead(c) && x == FIBER_WOKEN) {
		c->mourner = fiber_prepare();
		x = fiber_suspend(until_ms);
	}
}
