/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/breaker.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

/*
 * A list: services are few, and of those that only others have spoken of no
 * more than a few hundred are kept, whatever comes by the bus.  The window is
 * six slots of five seconds.
 */

#define SLOTS 6
#define SLOT_MS 5000
#define CALLS_MIN 20
#define TIMEOUTS_MAX 5
#define OPEN_MS 15000
#define OPEN_MAX_MS 300000
#define PROBES 3
#define BLUR_MS 1000 /* by which clocks of processes may differ */
#define HEARSAY_MAX 256

struct slot {
	uint64_t number; /* of five seconds since the clock's start */
	unsigned calls, failures;
};

struct breaker {
	struct breaker *next;
	char *scope;
	enum breaker_state state;
	unsigned turn; /* how often the state has changed */
	struct slot slots[SLOTS];
	unsigned timeouts; /* in a row */
	unsigned probes; /* successes while half open */
	bool probing; /* one call is under way */
	bool is_news; /* it has opened or closed, and nobody was told */
	bool is_hearsay; /* nobody here has called it; it is open */
	uint64_t open_ms; /* how long this time */
	uint64_t until_ms; /* open: from then on half open */
};

struct breakers {
	pthread_mutex_t lock;
	struct breaker *list;
	const struct breaker_peers *peers; /* NULL: none is told at once */
};

struct breakers *
breakers_new(void)
{
	struct breakers *b = xcalloc(1, sizeof(*b));

	MUST(pthread_mutex_init(&b->lock, NULL) == 0);
	return b;
}

const char *
breaker_state_name(enum breaker_state s)
{
	static const char *const names[] = { "closed", "open", "half_open" };

	return names[s];
}

static void
breaker_turn(struct breaker *one, enum breaker_state state)
{
	one->state = state;
	one->turn++;
}

static struct breaker *
breaker_find(struct breakers *b, const char *scope)
{
	struct breaker *one = b->list;

	while (one != NULL && strcmp(one->scope, scope) != 0)
		one = one->next;
	return one;
}

static struct breaker *
breaker_new(struct breakers *b, const char *scope)
{
	struct breaker *one = xcalloc(1, sizeof(*one));

	one->scope = xstrdup(scope);
	one->next = b->list;
	b->list = one;
	return one;
}

static void
breaker_drop(struct breakers *b, struct breaker *one)
{
	struct breaker **p = &b->list;

	while (*p != one)
		p = &(*p)->next;
	*p = one->next;
	free(one->scope);
	free(one);
}

void
breakers_free(struct breakers *b)
{
	if (b == NULL)
		return;
	while (b->list != NULL)
		breaker_drop(b, b->list);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

/* Of a service that is called here. */
static struct breaker *
breaker_get(struct breakers *b, const char *scope)
{
	struct breaker *one = breaker_find(b, scope);

	if (one == NULL)
		one = breaker_new(b, scope);
	one->is_hearsay = false;
	return one;
}

/* The lock is held. */
static bool
allow_here(struct breaker *one, uint64_t now_ms, uint64_t *wait_ms)
{
	if (one->state == BREAKER_OPEN && now_ms >= one->until_ms) {
		breaker_turn(one, BREAKER_HALF_OPEN);
		one->probes = 0;
		one->probing = false;
	}
	if (one->state == BREAKER_OPEN) {
		*wait_ms = one->until_ms - now_ms;
		return false;
	}
	if (one->state == BREAKER_HALF_OPEN && one->probing) {
		*wait_ms = 1000;
		return false;
	}
	one->probing = one->state == BREAKER_HALF_OPEN;
	return true;
}

/* It was to try, and does not. */
static void
probe_leave(struct breakers *b, struct breaker *one, unsigned turn)
{
	pthread_mutex_lock(&b->lock);
	if (one->turn == turn)
		one->probing = false;
	pthread_mutex_unlock(&b->lock);
}

SUSPENDS bool
breaker_allow(struct breakers *b, const char *scope, uint64_t now_ms,
    unsigned *turn, uint64_t *wait_ms)
{
	struct breaker *one;
	bool allowed, probes;

	*wait_ms = 0;
	pthread_mutex_lock(&b->lock);
	one = breaker_get(b, scope);
	allowed = allow_here(one, now_ms, wait_ms);
	probes = allowed && one->probing;
	*turn = one->turn;
	pthread_mutex_unlock(&b->lock);
	if (!probes || b->peers == NULL ||
	    b->peers->probe(b->peers->arg, scope, wait_ms))
		return allowed;
	probe_leave(b, one, *turn);
	return false;
}

static void
breaker_open(struct breaker *one, uint64_t now_ms)
{
	one->open_ms = one->open_ms == 0 ? OPEN_MS : one->open_ms * 2;
	if (one->open_ms > OPEN_MAX_MS)
		one->open_ms = OPEN_MAX_MS;
	breaker_turn(one, BREAKER_OPEN);
	one->is_news = true;
	one->until_ms = now_ms + one->open_ms;
	one->timeouts = 0;
	memset(one->slots, 0, sizeof(one->slots));
}

static void
window_add(struct breaker *one, uint64_t now_ms, bool failed)
{
	uint64_t number = now_ms / SLOT_MS;
	struct slot *s = &one->slots[number % SLOTS];

	if (s->number != number)
		*s = (struct slot){ .number = number };
	s->calls++;
	s->failures += failed ? 1 : 0;
}

static bool
window_is_bad(const struct breaker *one, uint64_t now_ms)
{
	uint64_t number = now_ms / SLOT_MS;
	unsigned calls = 0, failures = 0;

	for (int i = 0; i < SLOTS; i++)
		if (one->slots[i].number + SLOTS > number) {
			calls += one->slots[i].calls;
			failures += one->slots[i].failures;
		}
	return calls >= CALLS_MIN && failures * 2 >= calls;
}

static void
report_probe(struct breaker *one, uint64_t now_ms, enum breaker_outcome outcome)
{
	one->probing = false;
	if (outcome == BREAKER_FAILED || outcome == BREAKER_TIMED_OUT)
		breaker_open(one, now_ms);
	else if (outcome == BREAKER_OK && ++one->probes >= PROBES) {
		breaker_turn(one, BREAKER_CLOSED);
		one->is_news = true;
		one->open_ms = 0;
	}
}

static void
report_closed(struct breaker *one, uint64_t now_ms,
    enum breaker_outcome outcome)
{
	one->timeouts = outcome == BREAKER_TIMED_OUT ? one->timeouts + 1 : 0;
	window_add(one, now_ms, outcome != BREAKER_OK);
	if (one->timeouts >= TIMEOUTS_MAX || window_is_bad(one, now_ms))
		breaker_open(one, now_ms);
}

bool
breaker_report(struct breakers *b, const char *scope, unsigned turn,
    uint64_t now_ms, enum breaker_outcome outcome, enum breaker_state *now)
{
	enum breaker_state before;
	uint64_t opened_ms = 0;
	struct breaker *one;
	bool counts;

	pthread_mutex_lock(&b->lock);
	one = breaker_get(b, scope);
	before = one->state;
	counts = turn == one->turn && before != BREAKER_OPEN &&
		 (before == BREAKER_HALF_OPEN || outcome != BREAKER_NO_FAULT);
	if (counts && before == BREAKER_HALF_OPEN)
		report_probe(one, now_ms, outcome);
	else if (counts)
		report_closed(one, now_ms, outcome);
	*now = one->state;
	if (*now == BREAKER_OPEN)
		opened_ms = one->open_ms;
	pthread_mutex_unlock(&b->lock);
	if (counts && b->peers != NULL)
		b->peers->report(b->peers->arg, scope, outcome, opened_ms);
	return *now != before;
}

/* ---- Other processes ----------------------------------------------- */

bool
breaker_news(struct breakers *b, uint64_t now_ms, struct breaker_note *out)
{
	struct breaker *one;

	pthread_mutex_lock(&b->lock);
	for (one = b->list; one != NULL && !one->is_news; one = one->next)
		continue;
	if (one != NULL) {
		one->is_news = false;
		snprintf(out->scope, sizeof(out->scope), "%s", one->scope);
		out->open = one->state == BREAKER_OPEN;
		out->left_ms = out->open && one->until_ms > now_ms
				   ? one->until_ms - now_ms
				   : 0;
		out->open_ms = one->open_ms;
	}
	pthread_mutex_unlock(&b->lock);
	return one != NULL;
}

static uint64_t
at_most(uint64_t ms)
{
	return ms < OPEN_MAX_MS ? ms : OPEN_MAX_MS;
}

static void
learn_open(struct breaker *one, const struct breaker_note *note,
    uint64_t now_ms)
{
	uint64_t until_ms = now_ms + at_most(note->left_ms);

	/* What they say may be what was known here when it was time to try. */
	if (one->state == BREAKER_HALF_OPEN && note->left_ms < BLUR_MS)
		return;
	if (one->state != BREAKER_OPEN)
		breaker_turn(one, BREAKER_OPEN);
	else if (until_ms <= one->until_ms)
		return;
	one->open_ms = at_most(note->open_ms);
	one->until_ms = until_ms;
}

static void
learn_closed(struct breakers *b, struct breaker *one)
{
	if (one->is_hearsay) {
		breaker_drop(b, one);
		return;
	}
	if (one->state == BREAKER_CLOSED)
		return;
	breaker_turn(one, BREAKER_CLOSED);
	one->open_ms = 0;
	one->timeouts = 0;
	memset(one->slots, 0, sizeof(one->slots));
}

/* What is open for the shortest time makes way. */
static struct breaker *
hearsay_new(struct breakers *b, const char *scope)
{
	struct breaker *first = NULL, *one;
	int n = 0;

	for (one = b->list; one != NULL; one = one->next)
		if (one->is_hearsay) {
			n++;
			if (first == NULL || one->until_ms < first->until_ms)
				first = one;
		}
	if (n >= HEARSAY_MAX)
		breaker_drop(b, first);
	one = breaker_new(b, scope);
	one->is_hearsay = true;
	return one;
}

void
breaker_learn(struct breakers *b, const struct breaker_note *note,
    uint64_t now_ms)
{
	struct breaker *one;

	pthread_mutex_lock(&b->lock);
	one = breaker_find(b, note->scope);
	if (one == NULL && note->open)
		one = hearsay_new(b, note->scope);
	if (note->open)
		learn_open(one, note, now_ms);
	else if (one != NULL)
		learn_closed(b, one);
	pthread_mutex_unlock(&b->lock);
}

void
breakers_share(struct breakers *b, const struct breaker_peers *peers)
{
	b->peers = peers;
}
