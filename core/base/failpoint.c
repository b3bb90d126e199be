/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/failpoint.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * A table of names behind one lock.  An action is taken after the lock is
 * given back: a process that was stopped goes on with all its threads.
 */

#define POINTS_MAX 128
#define NAME_MAX_ 48

enum action {
	ACT_NONE,
	ACT_KILL,
	ACT_ABORT,
	ACT_STOP,
	ACT_ERROR
};

struct point {
	char name[NAME_MAX_];
	enum action action;
	enum error_code code; /* of ACT_ERROR */
	int64_t nth; /* 0: by probability */
	uint64_t threshold; /* of 2^32 */
	uint64_t random; /* never 0 */
	int64_t hits;
};

struct table {
	struct point points[POINTS_MAX];
	size_t n;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct table table;
static int log_fd = -1;
static _Atomic int64_t clock_ahead_us;

/* Under the lock. */
static struct point *
point_get(struct table *t, const char *name)
{
	struct point *p;

	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->points[i].name, name) == 0)
			return &t->points[i];
	if (t->n == POINTS_MAX || strlen(name) >= NAME_MAX_)
		return NULL;
	p = &t->points[t->n++];
	memset(p, 0, sizeof(*p));
	snprintf(p->name, sizeof(p->name), "%s", name);
	return p;
}

/* ---- The text ------------------------------------------------------ */

static bool
parse_action(struct point *p, const char *word)
{
	static const struct {
		const char *word;
		enum action action;
	} actions[] = {
		{ "kill", ACT_KILL },
		{ "abort", ACT_ABORT },
		{ "stop", ACT_STOP },
	};

	for (size_t i = 0; i < N_ITEMS(actions); i++)
		if (strcmp(word, actions[i].word) == 0) {
			p->action = actions[i].action;
			return true;
		}
	p->action = ACT_ERROR;
	return text_has_prefix(word, "error:") &&
	       (p->code = error_by_name(word + 6)) != ERR_NONE;
}

static bool
parse_option(struct point *p, const char *word)
{
	char *end;
	double chance;
	int64_t seed;

	if (text_has_prefix(word, "nth="))
		return text_to_int(word + 4, 1, INT64_MAX, &p->nth);
	if (text_has_prefix(word, "seed=")) {
		if (!text_to_int(word + 5, 1, INT64_MAX, &seed))
			return false;
		p->random = (uint64_t)seed;
		return true;
	}
	if (!text_has_prefix(word, "prob="))
		return false;
	chance = strtod(word + 5, &end);
	if (end == word + 5 || *end != '\0' || !(chance >= 0 && chance <= 1))
		return false;
	p->nth = 0;
	p->threshold = (uint64_t)(chance * 4294967296.0);
	return true;
}

/* One "name=action,option..."; the text is taken apart. */
static bool
parse_point(struct table *t, char *text)
{
	char *action = strchr(text, '='), *word, *rest;
	struct point *p;

	if (action == NULL || action == text)
		return false;
	*action++ = '\0';
	p = point_get(t, text);
	if (p == NULL)
		return false;
	p->nth = 1;
	p->random = 88172645463325252u;
	p->hits = 0;
	word = strtok_r(action, ",", &rest);
	if (word == NULL || !parse_action(p, word))
		return false;
	while ((word = strtok_r(NULL, ",", &rest)) != NULL)
		if (!parse_option(p, word))
			return false;
	return true;
}

/* Under the lock. */
static enum as_status
table_set(const char *text, struct error *err)
{
	struct table *fresh = xmalloc(sizeof(*fresh));
	char *copy = xstrdup(text), *one, *rest;
	enum as_status st = AS_OK;

	*fresh = table;
	for (one = strtok_r(copy, ";", &rest); one != NULL && st == AS_OK;
	     one = strtok_r(NULL, ";", &rest))
		if (!parse_point(fresh, one))
			st = error_set(err, ERR_BAD_REQUEST,
			    "failpoints: expected "
			    "name=action[,option...][;...], got '%.100s'",
			    text);
	if (st == AS_OK)
		table = *fresh;
	free(copy);
	free(fresh);
	return st;
}

static void
environment_read(void)
{
	const char *text = getenv("AGENT_STUDIO_FAILPOINTS");
	const char *path = getenv("AGENT_STUDIO_FAILPOINT_LOG");
	const char *ahead = getenv("AGENT_STUDIO_CLOCK_AHEAD_US");
	int64_t us = 0;
	struct error err = { 0 };

	if (path != NULL && path[0] != '\0') {
		log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
		    0600);
		MUST(log_fd >= 0);
	}
	if (ahead != NULL &&
	    text_to_int(ahead, INT64_MIN / 2, INT64_MAX / 2, &us))
		atomic_store(&clock_ahead_us, us);
	if (text != NULL && table_set(text, &err) != AS_OK) {
		fprintf(stderr, "agent-studio: %s\n", err.detail);
		_exit(2);
	}
}

/* ---- Hits ---------------------------------------------------------- */

/* One write, so that the lines of several processes do not mix. */
static void
hit_log(const char *name)
{
	char line[NAME_MAX_ + 2];
	int n = snprintf(line, sizeof(line), "%s\n", name);

	if (log_fd >= 0)
		MUST(write(log_fd, line, (size_t)n) == n);
}

/* xorshift64: the same seed gives the same faults. */
static bool
chance_falls(struct point *p)
{
	p->random ^= p->random << 13;
	p->random ^= p->random >> 7;
	p->random ^= p->random << 17;
	return (p->random >> 32) < p->threshold;
}

static enum action
hit(const char *name, enum error_code *code)
{
	enum action action = ACT_NONE;
	struct point *p;
	bool fires;

	pthread_once(&once, environment_read);
	pthread_mutex_lock(&lock);
	p = point_get(&table, name);
	MUST(p != NULL);
	p->hits++;
	hit_log(name);
	fires = p->action != ACT_NONE &&
		(p->nth > 0 ? p->hits == p->nth : chance_falls(p));
	if (fires) {
		action = p->action;
		*code = p->code;
	}
	pthread_mutex_unlock(&lock);
	return action;
}

/* raise: the signal is this thread's own, so no line after it is run. */
static void
act(enum action action)
{
	if (action == ACT_KILL)
		raise(SIGKILL);
	else if (action == ACT_ABORT)
		abort();
	else if (action == ACT_STOP)
		raise(SIGSTOP);
}

void
failpoint_hit(const char *name)
{
	enum error_code code;

	act(hit(name, &code));
}

enum as_status
failpoint_error(const char *name, struct error *err)
{
	enum error_code code = ERR_NONE;
	enum action action = hit(name, &code);

	act(action);
	if (action != ACT_ERROR)
		return AS_OK;
	return error_set(err, code, "failpoint %s", name);
}

/* ---- Control ------------------------------------------------------- */

enum as_status
failpoint_set(const char *text, struct error *err)
{
	enum as_status st;

	pthread_once(&once, environment_read);
	pthread_mutex_lock(&lock);
	st = table_set(text, err);
	pthread_mutex_unlock(&lock);
	return st;
}

void
failpoint_clear(void)
{
	pthread_once(&once, environment_read);
	pthread_mutex_lock(&lock);
	memset(&table, 0, sizeof(table));
	pthread_mutex_unlock(&lock);
}

void
failpoint_hits(struct buf *out)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < table.n; i++)
		if (table.points[i].hits > 0)
			buf_printf(out, "%s %lld\n", table.points[i].name,
			    (long long)table.points[i].hits);
	pthread_mutex_unlock(&lock);
}

int64_t
failpoint_clock_us(void)
{
	pthread_once(&once, environment_read);
	return atomic_load(&clock_ahead_us);
}

void
failpoint_clock_set(int64_t ahead_us)
{
	pthread_once(&once, environment_read);
	atomic_store(&clock_ahead_us, ahead_us);
}
