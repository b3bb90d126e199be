/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_HOOK_SENDER_H
#define CORE_HOOK_SENDER_H

/*
 * Sends what the outbox holds, from one loop of a process; every process does.
 *
 * At least once: a message is sent again, under the same webhook-id, until its
 * receiver answers 2xx, with pauses of full jitter that double, or as long as
 * the receiver asks (Retry-After).  410 pauses its webhook at once; after
 * `tries` a message is given up, and its webhook is paused unless another
 * message got through meanwhile.  A redirect is a failure: it was not named by
 * the user.
 */

#include "core/base/buf.h"
#include "core/loop/fiber.h"

struct hook_sender;
struct http_client;
struct seal;
struct store;

struct hook_sender_config {
	struct loop *loop;
	struct store *store;
	struct http_client *http;
	const struct seal *seal;
	const char *const *allow; /* host:port beyond the guard */
	int64_t tries, retry_ms, timeout_ms, poll_ms, keep_ms;
	int parallel; /* messages at once */
	void *arg; /* of the next two */
	int64_t (*wall_us)(void *arg);
	uint32_t (*random)(void *arg, uint32_t n); /* in [0, n) */
};

/* Begins to look; all on the loop's thread. */
struct hook_sender *hook_sender_start(const struct hook_sender_config *config);
/* Takes no more, waits for what is on its way, until_ms at most. */
SUSPENDS void hook_sender_drain(struct hook_sender *s, uint64_t until_ms);
void hook_sender_free(struct hook_sender *s); /* its fibers have ended */

/* ---- Parts that a test looks at ------------------------------------- */

/*
 * Milliseconds before the next try after `failed` of them (from 1): full jitter
 * below a cap that begins at base_ms and doubles up to an hour, and not before
 * retry_after_ms.
 */
int64_t hook_delay_ms(int64_t base_ms, int64_t failed, int64_t retry_after_ms,
    uint32_t (*random)(void *arg, uint32_t n), void *arg);
/* A Retry-After header, seconds or a date; 0: neither.  At most a day. */
int64_t hook_retry_after_ms(const char *header, int64_t now_us);

#endif
