/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RUN_RUN_LOG_H
#define CORE_RUN_RUN_LOG_H

/*
 * The log of events in SQL.  On SQLite run_events is a table.  On PostgreSQL a
 * row of the table run_log is what one commit tells of one run, and run_events
 * is a view of its events, to be read only: who looks for some of many events
 * names the rows first, by their numbers and by the types that they list.  The
 * row is that of the commit's checkpoint, too; checkpoints is a view as well.
 */

#include "core/store/store.h"

/*
 * A statement that adds one event; columns are all but type and payload, from
 * is what follows the list of values.
 */
#define LOG_ADD(name, columns, values, type, payload, from) \
	SQL_BOTH(name, \
	    "INSERT INTO run_events (" columns ", type, payload)" \
	    " SELECT " values ", " type ", " payload from, \
	    "INSERT INTO run_log (" columns ", n_events, types, payloads)" \
	    " SELECT " values ", 1, '[\"' || " type " || '\"]'," \
	    " '[' || " payload " || ']'" from)

/* Of the row l. */
#define LOG_TELLS_OF(type) "l.types LIKE '%\"" type "\"%'"
#define LOG_TELLS_OF_MESSAGES \
	" AND (" LOG_TELLS_OF("message_start") " OR " LOG_TELLS_OF( \
	    "message_reset") " OR " LOG_TELLS_OF("message_end") ")"

/*
 * The last two rows that tell of a message's begin or end, of those that have
 * an event up to number $2 of the log of $1: two, for that of the last one may
 * be behind $2.
 */
#define LOG_ROWS_OF_MESSAGES(id, at, more) \
	"SELECT l." at " FROM run_log l WHERE l." id " = $1 AND l." at \
	" <= COALESCE((SELECT MIN(b." at ") FROM run_log b WHERE b." id \
	" = $1 AND b." at " >= $2), $2) AND l." at \
	" - l.n_events < $2" more LOG_TELLS_OF_MESSAGES " ORDER BY l." at \
	" DESC LIMIT 2"

#endif
