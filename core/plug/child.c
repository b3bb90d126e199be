/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plug/child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"

/*
 * One process that serves a plugin, from the home loop.  Its socket is always
 * read to the end and handed out to the calls, so that a caller who does not
 * read holds up nobody.  All that follows from a death happens in one place,
 * whoever caused it.
 */

#define LINE_MAX_BYTES 1000
#define GREET_MS (10000 * CHILD_SLOW)

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
	if (!dead && ticks)
		child_watch_begin(c);
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
	c->tick.fn = child_watch_tick;
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
