/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CHAT_STREAM_TEXT_H
#define CORE_CHAT_STREAM_TEXT_H

/*
 * The messages that are being written in a thread, one of each run, as far as
 * one reader has them: private to core/chat.  Starts as {0}.
 */

#include "core/base/buf.h"
#include "core/base/uuid.h"
#include "core/store/store.h"

struct open_text {
	struct open_text *next;
	struct uuid run_id, message_id;
	char *ns; /* of the subagent that writes it; "" of the thread's run */
	int64_t pos; /* bytes that the reader has */
	int attempt;
	int missed; /* how often its text was not there to be fetched */
	unsigned asked; /* when it was fetched last, as the reader counts */
	uint64_t rest_ms; /* it is not fetched before that */
};

struct open_texts {
	struct open_text *first;
};

void texts_clear(struct open_texts *ts);
#define TEXT_MISSES 3 /* after these it is fetched once in a while */
#define TEXT_REST_MS 1000

/* What that run wrote before is forgotten. */
struct open_text *texts_begin(struct open_texts *ts, struct uuid run_id,
    const char *ns, struct uuid message_id, int attempt);
struct open_text *texts_of(const struct open_texts *ts, struct uuid message_id);
struct open_text *texts_of_run(const struct open_texts *ts, struct uuid run_id);
/* Follows the events of the log: a message begins, again, or is over. */
void texts_note(struct open_texts *ts, const char *type, struct uuid run_id,
    const struct rcbuf *frame);

/* *from is empty then. */
void texts_move(struct open_texts *to, struct open_texts *from);

/* What a thread's run and its subagents were writing at that seq. */
SUSPENDS enum as_status texts_find(struct store *store, struct uuid thread_id,
    int64_t seq, struct open_texts *ts, struct error *err);
/* The same of one run, at that run_seq. */
SUSPENDS enum as_status texts_find_run(struct store *store, struct uuid run_id,
    int64_t run_seq, struct open_texts *ts, struct error *err);

/* A member of a frame that is known to stand in its head. */
int64_t frame_int(const struct rcbuf *frame, const char *key,
    int64_t otherwise);
/* False: it has none, so it is none of ours, whoever sent it. */
bool frame_type(const struct rcbuf *frame, char *out, size_t size);

#endif
