/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_RUN_STORE_PG_IMPL_H
#define CORE_RUN_RUN_STORE_PG_IMPL_H

/*
 * One data-modifying WITH an operation, over a set of requests: those of many
 * runs that wait together are one statement (see sql.is_set).  `g` are the
 * requests whose guard has found its row, with what that row says; n is their
 * place in the arrays.  All parts see the state before the statement; only what
 * a part returns is new, and that is why everything hangs on `g`.
 *
 * Two requests of a set never have the same thread.  Each part takes the arrays
 * that it needs, for the server copies what it carries along.  Events cross as
 * they are stored, the one message of most commits as parameters, other lists
 * as JSON.
 *
 * $1 to $21 are the same in all statements: see run_pg_args().
 */

#include "core/run/batch.h"
#include "core/run/event.h"
#include "core/run/run_store_pg.h"

#define WITH_REQUESTS(arrays, names) \
	"unnest(" arrays ") WITH ORDINALITY i (" names ", n)"
#define JOIN_REQUESTS(arrays, names) \
	" JOIN " WITH_REQUESTS(arrays, names) " ON i.n = g.n"

#define LOG_COLUMNS \
	"run_id, run_seq, thread_id, seq, n_events, tenant_id, step, ns," \
	" fence, types, payloads, created_at"
#define LOG_VALUES \
	" g.run_id, i.head, g.thread_id, i.seq + i.head - i.run_seq," \
	" i.head - i.run_seq + 1, g.tenant_id, g.step, g.ns, g.fence," \
	" i.types, i.payloads, g.at"
/* head: the run's run_seq when all of its events are written. */
#define LOG_FROM(head, arrays, names) \
	" FROM g" JOIN_REQUESTS("$3::bigint[], $4::bigint[], $6::text[], " \
				"$7::text[], " head "::bigint[]" arrays, \
	    "run_seq, seq, types, payloads, head" names) " WHERE i.head >= " \
							 "i.run_seq"

#define MESSAGES_INTO \
	" INSERT INTO messages (id, tenant_id, thread_id, sequence, run_id," \
	" ns, step, ordinal, role, content, parts, tool_name, tool_call_id," \
	" state, client_message_id, parent_id, usage, model, created_at)"

#define MESSAGE_FROM \
	MESSAGES_INTO \
	" SELECT i.id, g.tenant_id, g.thread_id, i.sequence, g.run_id, g.ns," \
	" i.step, i.ordinal, i.role, i.content, i.parts, i.tool_name," \
	" i.tool_call_id, i.state, i.client_message_id, i.parent_id," \
	" i.usage, i.model, g.at FROM g" JOIN_REQUESTS( \
	    "$8::uuid[], $9::bigint[], $10::bigint[]," \
	    " $11::bigint[], $12::text[], $13::text[], $14::text[]," \
	    " $15::text[], $16::text[], $17::text[], $18::text[]," \
	    " $19::uuid[], $20::text[], $21::text[]", \
	    "id, sequence, step, ordinal, role, content, parts, tool_name," \
	    " tool_call_id, state, client_message_id, parent_id, usage, " \
	    "model") " WHERE i.id IS NOT NULL"

#define RUN_PG_ARGS 21

void run_pg_args(struct sql_arg args[RUN_PG_ARGS], struct uuid thread_id,
    struct uuid run_id, const struct run_heads *heads, int64_t now_us,
    const struct event_texts *events, const struct run_message *m);
/* The statement answers with a row if the guard has found its own. */
SUSPENDS enum as_status run_pg_guarded(struct store *store, struct sql *sql,
    const struct sql_arg *args, int n, struct error *err);
/* The same for the first statement of several. */
SUSPENDS enum as_status run_pg_guarded_batch(struct store *store,
    struct batch *b, struct error *err);

#endif
