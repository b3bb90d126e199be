/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CHAT_CHAT_H
#define CORE_CHAT_CHAT_H

/*
 * Threads, messages and runs as people see them.
 *
 * Reads with its own SQL, scoped to tenant and user in the query itself: what
 * is not yours does not exist.  Writes through run_store.h.
 */

#include "core/auth/principal.h"
#include "core/base/arena.h"
#include "core/base/error.h"
#include "core/run/engine.h"
#include "core/store/row_page.h"

#define CHAT_CONTENT_MAX (256 * 1024)
#define CHAT_TITLE_LEN 60 /* characters of the first message */

struct json_object;
struct queue;

/* What a chat operation needs of its loop and its request. */
struct chat_ctx {
	struct store *store;
	struct run_store *runs;
	struct plug *plug;
	struct engine *engine;
	struct bus *bus;
	struct queue *queue; /* of this loop, or NULL: without limits */
	struct arena *arena;
	struct principal who;
	const char *correlation_id;
	const char *traceparent; /* "" if none */
	/* Tells the engine of every loop that the run's row says cancelling. */
	void (*notify_cancel)(void *arg, struct uuid run_id);
	void *notify_arg;
};

/* ---- Threads ------------------------------------------------------- */

SUSPENDS enum as_status thread_list(const struct chat_ctx *ctx,
    struct uuid agent_id, struct row_page *page, struct json_object **items,
    struct error *err);
SUSPENDS enum as_status thread_create(const struct chat_ctx *ctx,
    struct uuid agent_id, const char *title, struct json_object **out,
    struct error *err);
SUSPENDS enum as_status thread_get(const struct chat_ctx *ctx, struct uuid id,
    struct json_object **out, struct error *err);

/*
 * Messages before the one with `before` (0: the newest), at most limit and about
 * 4 MiB, oldest first: of the path to leaf, or all of them, of every branch, if
 * it is nil.  *next is the sequence to go on with, 0 at the beginning.
 */
SUSPENDS enum as_status thread_messages(const struct chat_ctx *ctx,
    struct uuid id, struct uuid leaf, int64_t before, int64_t limit,
    struct json_object **items, int64_t *next, struct error *err);

/* ---- Sending ------------------------------------------------------- */

#define CHAT_QUEUE_MAX 16 /* runs that wait for one thread */

struct chat_message {
	const char *content;
	size_t len;
	const char *client_message_id; /* or NULL */
	enum run_multitask multitask; /* 0: enqueue */
};

/* Where in the tree of messages a run begins. */
enum chat_how {
	CHAT_AT_LEAF = 0,
	CHAT_EDIT, /* beside message_id, a question */
	CHAT_AFTER, /* below message_id; nil: a new beginning */
	CHAT_AGAIN, /* without a message: its question, or that before it */
	CHAT_FORK /* without a message, after message_id; see fork.h */
};

struct chat_place {
	enum chat_how how;
	struct uuid message_id;
	bool beside; /* the thread's leaf stays */
	const char *dedup; /* NULL, or what makes a repeat the same run */
	/* Of a fork: */
	const char *fork_mode; /* NULL: it is none */
	struct uuid forked_from, checkpoint_id;
	const struct run_message *like; /* what its message is instead of */
	const struct run_tool *tools; /* that its leaf asks for */
	int n_tools;
};

struct chat_sent {
	struct uuid run_id;
	struct uuid message_id; /* that it answers */
	int64_t seq_before; /* head of the thread before this message */
	bool replayed; /* the client_message_id was known already */
};

/*
 * A person's message and the run that answers it, in one transaction; the run
 * starts on this loop if it has a slot.  If another run holds the thread,
 * multitask says what happens.  THREAD_BUSY with active_run_id,
 * THREAD_WAITING_HUMAN with items, THREAD_QUEUE_FULL, AGENT_NOT_READY,
 * NOT_FOUND, VALIDATION_FAILED.
 */
/* err is not NULL. */
SUSPENDS enum as_status chat_send(const struct chat_ctx *ctx, struct uuid id,
    const struct chat_message *message, struct chat_sent *out,
    struct error *err);
/*
 * The same elsewhere in the tree; content NULL where no message is made.  Only
 * what is said at the leaf waits for another run: THREAD_BUSY.
 */
SUSPENDS enum as_status chat_send_at(const struct chat_ctx *ctx, struct uuid id,
    const struct chat_message *message, const struct chat_place *place,
    struct chat_sent *out, struct error *err);
SUSPENDS enum as_status chat_sent_json(const struct chat_ctx *ctx,
    const struct chat_sent *sent, struct json_object **out, struct error *err);

/* ---- Runs ---------------------------------------------------------- */

struct run_filter {
	struct uuid thread_id, agent_id; /* nil: any */
	enum run_status status; /* 0: any */
};

/* Admins see the runs of their tenant, others their own. */
SUSPENDS enum as_status run_list(const struct chat_ctx *ctx,
    const struct run_filter *filter, struct row_page *page,
    struct json_object **items, struct error *err);
SUSPENDS enum as_status run_read(const struct chat_ctx *ctx, struct uuid id,
    struct json_object **out, struct error *err);
/* May the principal see it, and whose thread is it? */
SUSPENDS enum as_status run_find(const struct chat_ctx *ctx, struct uuid id,
    struct uuid *thread_id, enum run_status *status, int64_t *head,
    struct error *err);

/* The runs that wait for a thread of this person, the next one first. */
SUSPENDS enum as_status run_queue(const struct chat_ctx *ctx,
    struct uuid thread_id, struct json_object **items, struct error *err);

/* Ask for the end.  Harmless when it has ended already. */
SUSPENDS enum as_status chat_cancel(const struct chat_ctx *ctx, struct uuid id,
    bool rollback, const char *reason, struct error *err);
/* The same without asking whose run it is. */
SUSPENDS enum as_status chat_cancel_as(const struct chat_ctx *ctx,
    struct uuid run_id, bool rollback, const struct engine_resume *how,
    struct error *err);
/* All open runs of an agent that is being deleted. */
SUSPENDS enum as_status chat_cancel_agent(const struct chat_ctx *ctx,
    struct uuid agent_id, struct error *err);

/* ---- The log ------------------------------------------------------- */

enum log_of {
	LOG_OF_THREAD = 1,
	LOG_OF_RUN
};

struct log_event {
	int64_t seq, run_seq;
	struct uuid run_id;
	struct rcbuf *frame; /* to be unref'ed */
	char type[24];
};

/*
 * Durable events beyond `after`, oldest first, at most max and about 1 MiB;
 * none only at the end of the log.
 */
SUSPENDS enum as_status log_read(struct store *store, enum log_of of,
    struct uuid id, int64_t after, int max, struct log_event **out, int *n,
    struct error *err);
void log_events_free(struct log_event *events, int n);
/*
 * The head of the log; also tells whether it exists for this person.
 * FORBIDDEN: an admin asks for another person's run.
 */
SUSPENDS enum as_status log_head(const struct chat_ctx *ctx, enum log_of of,
    struct uuid id, int64_t *head, struct error *err);

#endif
