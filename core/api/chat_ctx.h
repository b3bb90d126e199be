/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_API_CHAT_CTX_H
#define CORE_API_CHAT_CTX_H

/* What the handlers of threads, runs and streams share. */

#include "core/api/api.h"
#include "core/chat/stream.h"

/* Valid as long as the request. */
struct chat_ctx chat_ctx_of(struct http_req *req);
/* Everything but thread, run and cursor; the context outlives the request:
 * its texts are left out. */
struct stream_config stream_config_of(struct app *app,
    const struct principal *who);
/* Its context alone. */
struct chat_ctx stream_ctx_of(struct app *app, const struct principal *who);
/* The notify_cancel of every chat_ctx; arg is a struct app. */
void cancel_notify_all(void *arg, struct uuid run_id);
/* Only the loops of this process. */
void cancel_notify_here(struct app *app, struct uuid run_id);
/* ?agent_id= and the like: nil when absent, VALIDATION_FAILED when broken. */
enum as_status query_uuid(struct http_req *req, const char *name,
    struct uuid *out, struct error *err);

/*
 * Serve a log: JSON pages with ?after= &limit= &wait=, or, if the client
 * accepts text/event-stream, the stream.
 */
SUSPENDS void events_serve(struct http_req *req, enum log_of of, struct uuid id,
    struct uuid thread_id);
/* The SSE stream alone, as the answer to this request. */
void events_stream(struct http_req *req, const struct stream_config *config);

/* What feeds a stream of server-sent events, until either is over. */
struct feed_ops {
	/* Frames go to ops and arg; NULL: no fiber. */
	void *(
	    *open)(const void *config, const struct stream_ops *ops, void *arg);
	void (*drained)(void *feed);
	void (*close)(void *feed);
};
/* May this person open one more?  RATE_LIMITED. */
enum as_status events_room(struct http_req *req, struct error *err);
/* The answer to this request is what open(config) sends. */
void events_feed(struct http_req *req, const struct feed_ops *feed,
    const void *config);
/* ?limit= and ?wait=; *until_ms: when the wait is over, on the loop's clock. */
enum as_status events_query(struct http_req *req, int64_t *limit, int64_t *wait,
    uint64_t *until_ms, struct error *err);
/* Last-Event-ID or ?after=, else `absent`. */
enum as_status events_cursor(struct http_req *req, int64_t absent,
    int64_t *after, struct error *err);

#endif
