/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CHAT_QUEUE_IMPL_H
#define CORE_CHAT_QUEUE_IMPL_H

/* What queue.c and queue_watch.c share. */

#include "core/bus/topics.h"
#include "core/chat/queue.h"
#include "core/run/run_store.h"

/* Of one tenant and class. */
struct queue_line {
	struct uuid tenant_id;
	int class;
	int64_t waits, works;
};

/* What runs of one agent and class have taken since it was last written. */
struct queue_lesson {
	struct uuid agent_id; /* nil: of all agents */
	int class;
	int64_t ms, n;
};

/* A run that somebody watches. */
struct queue_watched {
	struct topic topic;
	struct queue_watch *first;
};

struct queue {
	struct queue_config c;
	struct queue_line *lines;
	int n_lines, cap_lines;
	int64_t est_ms[RUN_CLASSES]; /* of a run in a slot; -1: unknown */
	int64_t oldest_us[RUN_CLASSES]; /* of what is due and waits */
	uint64_t at_ms; /* of these numbers; 0: never */
	int64_t guessed; /* runs let in since then, counted as if they waited */
	bool reading, writing, telling, stopped;
	struct queue_lesson *lessons;
	int n_lessons;
	struct loop_timer learn, tell;
	struct topics watched; /* of struct queue_watched */
	struct queue_watch *tell_next; /* while those of a run are told */
};

void queue_gauges(const struct queue *q);

#endif
