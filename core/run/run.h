/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_RUN_H
#define CORE_RUN_RUN_H

/*
 * A run: one piece of work of an agent in a thread, and its states.
 *
 * open:          not terminal.
 * holds_thread:  open, except blocked; at most one such run a thread.
 * runnable:      queued or running.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/base/uuid.h"

struct buf;

enum run_status {
	RUN_BLOCKED = 1,
	RUN_QUEUED,
	RUN_RUNNING,
	RUN_CANCELLING,
	RUN_WAITING_HUMAN,
	RUN_WAITING_TIMER,
	RUN_WAITING_CHILD,
	RUN_RECOVERABLE_ERROR,
	RUN_SUCCEEDED,
	RUN_FAILED,
	RUN_CANCELLED,
	RUN_EXPIRED,
	RUN_ROLLED_BACK,
	RUN_DEAD_LETTERED
};

const char *run_status_name(enum run_status s);
enum run_status run_status_by_name(const char *name); /* 0 if unknown */
bool run_is_open(enum run_status s);
bool run_holds_thread(enum run_status s);
bool run_has_owner(enum run_status s); /* running or cancelling */
/* priority standard bulk: see run_create.class. */
const char *run_class_name(int class);
int run_class_by_name(const char *name); /* -1 if unknown */
/* What the thread is while it has such a run: idle busy waiting error. */
const char *run_thread_status(enum run_status s);

/*
 * What becomes of a message while another run holds the thread: it is refused,
 * waits for its turn, ends that run (keeping or voiding what it has said), or
 * is told to it at its next step.
 */
enum run_multitask {
	RUN_REJECT = 1,
	RUN_ENQUEUE,
	RUN_INTERRUPT,
	RUN_ROLLBACK,
	RUN_STEER
};

const char *run_multitask_name(enum run_multitask m);
enum run_multitask run_multitask_by_name(const char *name); /* 0 if unknown */

struct run_usage {
	int64_t input, output, cached, reasoning;
};

/* Objects as every wire shows them, written under key; see json_write.h. */
void run_usage_write(struct buf *b, const char *key, const struct run_usage *u);
/* With what a person can do about it, if the run waits for that (in state). */
void run_error_write(struct buf *b, const char *key, const struct error *why,
    enum run_status state);
/* The member "actions": what helps a run that is parked for this. */
void run_actions_write(struct buf *b, enum error_code code);
void run_usage_parse(struct run_usage *u, const char *json);

/*
 * "as1-" and 32 characters: what makes a repeated call to a service the same
 * call.  Never contains an attempt, a fence, a time or a node.
 */
#define RUN_IDEM_KEY 37
void run_idem_key(struct uuid run_id, const char *ns, int64_t step,
    int64_t ordinal, int64_t epoch, char out[RUN_IDEM_KEY]);

#endif
