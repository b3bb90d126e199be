/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INTEGRATION_FAKE_PLUG_H
#define TESTS_INTEGRATION_FAKE_PLUG_H

/*
 * A model and a toolkit that do what a test says, in the place of core/plug.
 * The model takes turns in order; tools are named t_<letter of their effect>,
 * and t_U with {"mode":"read"} only reads.  One with {"ask":["a","b"]} keeps a
 * value, asks these questions one after the other, and only then acts.
 */

#include "core/plug/plug.h"

struct fake_turn {
	const char *reasons; /* before it, all at once */
	const char *text; /* said letter by letter */
	const char *calls[4]; /* "t_P {\"x\":1}" */
	enum error_code fail; /* after the text and its usage */
	bool hopeless; /* it fails with "retryable": false */
	int64_t retry_after_ms; /* of the failure */
	bool hang; /* after the text: until it is cancelled */
	bool bare; /* no usage, no call ids */
};

/* A turn that breaks off. */
#define FAKE_FAILS(code) \
	{ \
		.text = "half", .fail = ERR_##code \
	}

/* One call of a tool; those after the last one do what fake says of all. */
struct fake_call {
	enum error_code fail;
	bool maybe_done; /* it fails, and may have happened all the same */
	int64_t retry_after_ms; /* of the failure */
	bool hang; /* first, until it is released or cancelled */
};

struct fake {
	const struct fake_turn *turns;
	int n_turns;
	const struct fake_call *calls; /* in the order in which they are made */
	int n_calls;
	/* What has been seen. */
	int n_chats, n_tools, n_verifies, n_canceled;
	char *last_messages; /* JSON text of the last request */
	char models[16][32]; /* of each chat */
	uint64_t chats_ms[16]; /* when, on the loop's clock */
	char idem_keys[16][40]; /* of each call */
	char tools[16][8];
	uint64_t tools_ms[16];
	/* Of tools. */
	bool tool_hangs; /* until fake_release or cancel */
	enum error_code tool_fails;
	enum as_status verify; /* AS_OK, AS_NOTFOUND, else unknown */
	int64_t timeout_ms; /* of each; 0: 60,000 */
	int64_t key_valid_ms; /* of t_K */
	size_t result_len; /* so many x instead of the result */
	int n_hanging, n_parallel_max;
	/* Of those that ask. */
	int n_acted, n_kept;
	int64_t expires_ms; /* of each question */
	struct json_object *question_schema; /* of each; borrowed, or NULL */
	enum as_status keep; /* what keeping said last */
};

extern struct fake fake;

void fake_reset(const struct fake_turn *turns, int n);
/* What the calls of tools do; those after the last one: see fake. */
void fake_calls(const struct fake_call *calls, int n);
/* The model has heard this; as JSON, so quotes are escaped. */
bool fake_was_told(const char *text);
bool fake_same_key(int a, int b); /* of these two calls */
void fake_release(void); /* the tools that hang go on */
void fake_release_call(int i); /* this call of a tool, from 0 */

#endif
