/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <time.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/kit/impl.h"

/*
 * The kinds of trouble that an operation meets, each as often as it can.
 */

#define POINTS_MAX 100 /* beyond that every n-th */
#define SERVICES_MAX 16 /* of one call, that fail in turn */
#define LEAK_CALLS 16
#define LEAK_CALLS_SLOW 4 /* if one takes long */
#define LEAK_BYTES 24 /* a call, on the average */
#define LEAK_ROUNDS 3 /* each of them grows, or it is none */
#define LEAK_NS 2000000000LL

/* Notes and tables are as before when it is over, so that each run meets the same. */
static enum as_status
run(struct world *w, struct json_object **failure)
{
	struct json_object *kv = w->kit->kv;
	bool tables = w->kit->db != NULL;
	enum as_status st;

	w->kit->kv = json_copy(kv);
	tables_mark(w->kit);
	*failure = NULL;
	st = world_run(w, failure);
	tables_back(w->kit, tables);
	json_object_put(w->kit->kv);
	w->kit->kv = kv;
	return st;
}

static struct world
world_of(struct kit *k, const struct kit_op *op)
{
	struct world w = { .kit = k, .op = op };

	return w;
}

/* As it is without any trouble: what can be counted. */
static struct world
count(struct kit *k, const struct kit_op *op, enum trouble trouble)
{
	struct world w = world_of(k, op);
	struct json_object *failure;

	w.trouble = trouble;
	run(&w, &failure);
	json_object_put(failure);
	world_clear(&w);
	return w;
}

/* ---- Questions ----------------------------------------------------- */

/* The nth question is asked, and then the call is made again. */
static void
park(struct kit *k, const struct kit_op *op, unsigned at, enum as_status usual)
{
	struct world w = world_of(k, op), again = world_of(k, op);
	struct json_object *failure;
	enum as_status st;

	doing(k, "%s: question %u has no answer yet", op->label, at);
	w.park_at = at;
	st = run(&w, &failure);
	judge_legal(&w, st, failure);
	json_object_put(failure);
	if (w.parked && st == AS_PARKED) {
		doing(k, "%s: made again after question %u", op->label, at);
		again.kept = json_object_get(w.kept);
		st = run(&again, &failure);
		judge_legal(&again, st, failure);
		if (st != usual)
			finding(k, RULE_ask,
			    "made again after question %u it returned %s, not "
			    "%s",
			    at, status_name(st), status_name(usual));
		json_object_put(failure);
		world_clear(&again);
	}
	world_clear(&w);
}

/* Everybody may be ignored: a question that expires is. */
static void
ignore(struct kit *k, const struct kit_op *op)
{
	struct world w = world_of(k, op);
	struct json_object *failure;
	enum as_status st;

	doing(k, "%s: nobody wants to answer", op->label);
	w.ignores = true;
	st = run(&w, &failure);
	judge_legal(&w, st, failure);
	json_object_put(failure);
	world_clear(&w);
}

static void
questions(struct kit *k, const struct kit_op *op, unsigned n,
    enum as_status usual)
{
	unsigned i;

	for (i = 1; i <= n && i <= POINTS_MAX && usual != AS_PARKED; i++)
		park(k, op, i, usual);
	if (n > 0)
		ignore(k, op);
}

static void
case_calls(struct kit *k, const struct kit_op *op)
{
	struct world w = world_of(k, op);
	struct json_object *failure;
	enum as_status st;

	doing(k, "%s", op->label);
	st = run(&w, &failure);
	judge(&w, st, failure);
	judge_expect(&w, st, failure);
	if (secret_is_in(k, w.said.reply != NULL ? json_text(w.said.reply)
						 : w.said.text.data))
		finding(k, RULE_secret, "its result has a secret in it");
	json_object_put(failure);
	world_clear(&w);
	questions(k, op, w.asked, st);
}

/* True: it did what it should. */
static bool
interrupt(struct kit *k, const struct kit_op *op, enum trouble trouble,
    unsigned at, unsigned of)
{
	struct world w = world_of(k, op);
	const char *how = trouble == TROUBLE_CANCEL ? "cancelled"
						    : "out of time";
	enum kit_rule rule = trouble == TROUBLE_CANCEL ? RULE_cancel
						       : RULE_deadline;
	struct json_object *failure;
	enum as_status st;
	bool ok = true;

	doing(k, "%s: %s at suspension %u of %u", op->label, how, at, of);
	w.trouble = trouble;
	w.at = at;
	st = run(&w, &failure);
	if (w.struck && st != world_over(&w) &&
	    !(op->what == KIT_MODELS && trouble == TROUBLE_DEADLINE)) {
		finding(k, rule, "%s at suspension %u of %u it returned %s",
		    how, at, of, status_name(st));
		ok = false;
	} else if (w.struck && w.after > 0) {
		finding(k, rule,
		    "%s at suspension %u of %u it went on %u times", how, at,
		    of, w.after);
		ok = false;
	}
	json_object_put(failure);
	world_clear(&w);
	return ok;
}

static void
case_interrupt(struct kit *k, const struct kit_op *op, enum trouble trouble)
{
	struct world w = count(k, op, trouble);
	unsigned n = trouble == TROUBLE_CANCEL ? w.points : w.waits;
	unsigned step = n > POINTS_MAX ? (n + POINTS_MAX - 1) / POINTS_MAX : 1;
	unsigned i;

	for (i = 1; i <= n; i += step) {
		if (!interrupt(k, op, trouble, i, n))
			return;
	}
}

/* ---- Services that fail -------------------------------------------- */

static const struct wrong wrongs[] = {
	{ .name = "status 401", .status = 401, .want = AS_AUTH },
	{ .name = "status 403", .status = 403, .want = AS_FORBIDDEN },
	{ .name = "status 404", .status = 404, .want = AS_NOTFOUND },
	{ .name = "status 429 with Retry-After",
	    .status = 429,
	    .want = AS_BUSY },
	{ .name = "status 500", .status = 500, .want = AS_UNAVAILABLE },
	{ .name = "garbage", .garbage = true, .want = AS_UPSTREAM },
	{ .name = "no connection", .lost = true, .want = AS_UNAVAILABLE },
	{ .name = "a connection that is lost half way",
	    .midway = true,
	    .want = AS_UPSTREAM },
};

/*
 * Tools may answer with what a server said; who asks for models may have some
 * to fall back on; and nobody learns why a sign-in failed.
 */
static bool
is_right(const struct kit_op *op, const struct wrong *wrong, enum as_status st)
{
	bool lost = wrong->lost || wrong->midway;

	if (st == wrong->want || op->what == KIT_MODELS)
		return st != AS_INTERNAL;
	if (lost || wrong->garbage)
		return st == AS_UPSTREAM || st == AS_UNAVAILABLE ||
		       (st == AS_OK && !lost && op->what <= KIT_VERIFY);
	if (st == AS_OK)
		return op->what <= KIT_VERIFY;
	/* The credential is the operator's: nothing that a user could mend. */
	if (st == AS_UPSTREAM)
		return wrong->status == 401 || wrong->status == 403;
	return op->what >= KIT_SIGNUP && op->what <= KIT_UPDATE &&
	       st == AS_AUTH && wrong->status < 429;
}

static void
try_wrong(struct kit *k, const struct kit_op *op, unsigned at,
    const struct wrong *wrong)
{
	struct world w = world_of(k, op);
	struct json_object *failure;
	enum as_status st;

	doing(k, "%s: request %u gets %s", op->label, at, wrong->name);
	w.wrong = wrong;
	w.wrong_at = at;
	st = run(&w, &failure);
	if (w.requests < at) {
		/* It took another way, without this request. */
	} else if (!is_right(op, wrong, st))
		finding(k, RULE_errors,
		    "request %u got %s, it returned %s, "
		    "not %s",
		    at, wrong->name, status_name(st), status_name(wrong->want));
	else if (st == AS_BUSY && jget_int(failure, "retry_after_ms", 0) == 0)
		finding(k, RULE_errors,
		    "request %u got %s, and retry_after_ms is not passed on",
		    at, wrong->name);
	if (op->what == KIT_CHAT && w.requests >= at)
		judge(&w, st, failure);
	json_object_put(failure);
	world_clear(&w);
}

/* ---- Others that fail ---------------------------------------------- */

static const struct {
	enum fault fault;
	const char *name;
} faults[] = {
	{ FAULT_GONE, "is not available" },
	{ FAULT_CODE, "ends with exit code 1" },
	{ FAULT_KILLED, "is killed half way" },
	{ FAULT_EARLY, "is ended by its peer half way" },
};

/* Of which there are so many. */
static unsigned
fault_count(const struct world *w, enum fault fault)
{
	return fault == FAULT_GONE    ? w->services
	       : fault == FAULT_EARLY ? w->tcps_open
				      : w->programs_run;
}

/* What programs and peers say is the plugin's to understand. */
static void
try_fault(struct kit *k, const struct kit_op *op, unsigned at, size_t i)
{
	static const struct wrong gone = { .lost = true,
		.want = AS_UNAVAILABLE };
	struct world w = world_of(k, op);
	struct json_object *failure;
	enum as_status st;

	doing(k, "%s: service, program or stream %u %s", op->label, at,
	    faults[i].name);
	w.fault = faults[i].fault;
	w.fault_at = at;
	st = run(&w, &failure);
	judge_legal(&w, st, failure);
	if (w.fault == FAULT_GONE && w.services >= at &&
	    !is_right(op, &gone, st) &&
	    !(st == AS_OK && op->what <= KIT_VERIFY))
		finding(k, RULE_errors,
		    "service %u %s, it returned %s, not AS_UNAVAILABLE", at,
		    faults[i].name, status_name(st));
	json_object_put(failure);
	world_clear(&w);
}

static void
case_errors(struct kit *k, const struct kit_op *op)
{
	struct world w = count(k, op, TROUBLE_NONE);
	unsigned at;
	size_t i;

	for (at = 1; at <= w.requests && at <= 4; at++) {
		for (i = 0; i < N_ITEMS(wrongs); i++)
			try_wrong(k, op, at, &wrongs[i]);
	}
	for (i = 0; i < N_ITEMS(faults); i++)
		for (at = 1; at <= fault_count(&w, faults[i].fault) &&
			     at <= SERVICES_MAX;
		     at++)
			try_fault(k, op, at, i);
}

/* ---- Memory -------------------------------------------------------- */

/* Whatever it does without memory, it is alive and says something legal. */
static void
case_memory(struct kit *k, const struct kit_op *op)
{
	unsigned i, n = count(k, op, TROUBLE_NONE).allocs;
	struct json_object *failure;
	enum as_status st;
	struct world w;

	for (i = 1; i <= n && i <= POINTS_MAX; i++) {
		doing(k, "%s: as_alloc number %u of %u gives NULL", op->label,
		    i, n);
		w = world_of(k, op);
		w.alloc_at = i;
		st = run(&w, &failure);
		judge_legal(&w, st, failure);
		json_object_put(failure);
		world_clear(&w);
	}
}

static int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static size_t
grown(const struct world *like, unsigned calls, unsigned *descriptors)
{
	size_t before = probe_memory(), after;
	unsigned open = probe_descriptors(), i;
	struct json_object *failure;
	struct world w;

	for (i = 0; i < calls; i++) {
		w = *like;
		run(&w, &failure);
		json_object_put(failure);
		world_clear(&w);
	}
	after = probe_memory();
	*descriptors = probe_descriptors() - open;
	return after > before ? after - before : 0;
}

/* Several times, because the first calls may well fill a cache. */
static bool
leaks(const struct world *like, const char *how)
{
	unsigned calls = LEAK_CALLS, i, open, opened = 0, grew = 0;
	int64_t begin = now_ns();
	size_t left = 0;

	doing(like->kit, "%s: many times%s", like->op->label, how);
	grown(like, 2, &open);
	if (now_ns() - begin > LEAK_NS / 40)
		calls = LEAK_CALLS_SLOW;
	for (i = 0; i < LEAK_ROUNDS; i++) {
		left = grown(like, calls, &open);
		grew += left >= (size_t)calls * LEAK_BYTES;
		opened += open >= calls;
	}
	if (opened == LEAK_ROUNDS)
		finding(like->kit, RULE_descriptor,
		    "each call%s leaves a descriptor open", how);
	else if (grew == LEAK_ROUNDS)
		finding(like->kit, RULE_leak, "%zu bytes a call are left%s",
		    left / calls, how);
	else
		return false;
	return true;
}

static void
case_leak(struct kit *k, const struct kit_op *op)
{
	struct world plain = count(k, op, TROUBLE_CANCEL);
	int64_t end = now_ns() + LEAK_NS;
	struct world w = world_of(k, op);
	unsigned i;

	if (leaks(&w, ""))
		return;
	for (i = 1; i <= plain.allocs && i <= 16 && now_ns() < end; i++) {
		w = world_of(k, op);
		w.alloc_at = i;
		if (leaks(&w, " when as_alloc fails"))
			return;
	}
	for (i = 1; i <= plain.points && i <= 16 && now_ns() < end; i++) {
		w = world_of(k, op);
		w.trouble = TROUBLE_CANCEL;
		w.at = i;
		if (leaks(&w, " when it is cancelled"))
			return;
	}
	for (i = 0; plain.requests > 0 && i < N_ITEMS(wrongs) && now_ns() < end;
	     i++) {
		w = world_of(k, op);
		w.wrong = &wrongs[i];
		w.wrong_at = 1;
		if (leaks(&w, " when a service fails"))
			return;
	}
	for (i = 0; i < N_ITEMS(faults) && now_ns() < end; i++) {
		w = world_of(k, op);
		w.fault = faults[i].fault;
		w.fault_at = 1;
		if (fault_count(&plain, w.fault) > 0 &&
		    leaks(&w, " when a service fails"))
			return;
	}
}

/* ---- All of them --------------------------------------------------- */

void
trouble_run(struct kit *k, const char *name, const struct kit_op *op)
{
	op_prepare(k, op);
	k->label = op->label;
	if (strcmp(name, "calls") == 0)
		case_calls(k, op);
	else if (strcmp(name, "cancel") == 0)
		case_interrupt(k, op, TROUBLE_CANCEL);
	else if (strcmp(name, "deadline") == 0)
		case_interrupt(k, op, TROUBLE_DEADLINE);
	else if (strcmp(name, "errors") == 0)
		case_errors(k, op);
	else if (strcmp(name, "memory") == 0)
		case_memory(k, op);
	else
		case_leak(k, op);
}
