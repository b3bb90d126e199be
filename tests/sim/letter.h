/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_LETTER_H
#define TESTS_SIM_LETTER_H

/*
 * A message of a person, on its way to a run through a node that serves, as
 * the API does it (core/chat/send.c, core/chat/send_behind.c).
 */

#include "tests/sim/node.h"

struct letter {
	struct sim_node *node;
	int class;
	struct thread_state thread;
	enum run_multitask multitask;
	struct uuid run_id, message_id, answer_id;
	char client_id[32];
};

extern const struct uuid letter_tenant, letter_user, letter_agent;

/*
 * One try over the node.  AS_OK: it is accepted, its run is run_id.  AS_BUSY:
 * another run holds the thread, and this one may not wait for it.
 */
SUSPENDS enum as_status letter_send(struct letter *l, struct uuid thread_id,
    struct uuid tenant_id);

#endif
