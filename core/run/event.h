/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_EVENT_H
#define CORE_RUN_EVENT_H

/*
 * Events: the rows of the log and the frames on every wire, one vocabulary.
 * A row holds the body, an object of the members beyond the common ones; a
 * frame is the body behind v, type, seq, run_seq, run_id and ts.
 */

#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/uuid.h"
#include "core/run/run.h"

/* A durable event before its numbers are known; body is JSON text, owned. */
struct event {
	const char *type; /* static */
	char *body;
};

struct event_list {
	struct event *items;
	int n, cap;
};

/* body is a whole object; what it holds is taken, it is empty then. */
void event_list_add(struct event_list *l, const char *type, struct buf *body);
void event_list_clear(struct event_list *l);
void event_list_truncate(struct event_list *l, int n); /* keeps the first n */

/*
 * As a row of the log holds them: two JSON lists, of their types and of their
 * bodies, which stay byte for byte as they are.
 */
struct event_texts {
	struct buf types, payloads;
};

void event_texts_write(struct event_texts *t, const struct event_list *l);
void event_texts_free(struct event_texts *t);

#define EVENT_NS ",\"ns\":" /* in the head of a subagent's frames */

/* A frame; seq and run_seq 0: a live one. */
struct rcbuf *event_frame(const char *type, int64_t seq, int64_t run_seq,
    struct uuid run_id, int64_t ts_us, const char *body);

/* The same of a subagent's run: ns is its name space, "" of any other. */
struct rcbuf *event_frame_ns(const char *type, int64_t seq, int64_t run_seq,
    struct uuid run_id, const char *ns, int64_t ts_us, const char *body);

/* run_status with status running|end derived from the state. */
void event_list_add_status(struct event_list *l, enum run_status state,
    const char *reason, const struct error *error,
    const struct run_usage *usage);

/* The members of a run_status `queued`; est_wait_ms -1: nobody knows. */
void event_queued_write(struct buf *b, const char *reason, int64_t position,
    int64_t est_wait_ms);

/*
 * message_delta or reasoning_delta; ns as of event_frame_ns.  The text is whole
 * UTF-8 characters.
 */
struct rcbuf *event_delta_frame(const char *type, struct uuid run_id,
    const char *ns, struct uuid message_id, int64_t attempt, int64_t offset,
    const char *text, size_t len);

#endif
