/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_HOOK_SENDER_IMPL_H
#define CORE_HOOK_SENDER_IMPL_H

/* What sender.c (when and what) and message.c (how) share. */

#include "core/hook/outbox.h"
#include "core/hook/sender.h"
#include "core/hook/signature.h"

#define SENDER_DONE_MAX 200

struct counter;

struct hook_sender {
	struct hook_sender_config c;
	struct loop_timer tick;
	int n_flying;
	bool looking, removing, stopping;
	int64_t done[SENDER_DONE_MAX]; /* rows to be removed */
	int n_done;
	uint64_t depth_at_ms, prune_at_ms;
	struct counter *depth;
};

/* One message on its way; belongs to its fiber. */
struct message {
	struct hook_sender *s;
	struct arena *arena;
	struct outbox_row row;
	const char *url, *body;
	bool paused;
	struct uuid run_id;
	struct signature_key keys[2];
	int n_keys;
	struct outbox_try result;
	int64_t retry_after_ms;
};

SUSPENDS void sender_message(void *message);
void sender_message_free(struct message *m);
/* Its row is over. */
void sender_done(struct hook_sender *s, int64_t id);

#endif
