/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fault/check.h"

/*
 * What is forgotten after a time is not there any more, and bytes are counted
 * by those who have them.  Most is forgotten when the next of its kind is
 * written, so the newest row says what should be gone; the rest by a process
 * that has been there for long enough.
 */

#define SLACK "1000000" /* between the deletion and the row that caused it */
#define HOUR "3600000000"
#define WEEK "604800000000"
#define MONTH "2592000000000" /* webhooks.keep, as it is by default */
/* HISTORY_US of core/sched/fire_claim.c */
#define HISTORY "7776000000000"

/* A statement that counts what should not be there. */
static void
check_none(struct check *c, const char *what, const char *sql)
{
	struct rows *r = check_query(c, sql, NULL, 0);

	if (rows_int(r, 0, 0) != 0)
		check_broken(c, "I19", "%lld %s", (long long)rows_int(r, 0, 0),
		    what);
	rows_free(r);
}

static void
check_old(struct check *c)
{
	check_none(c, "keys of requests are out of date",
	    "SELECT count(*) FROM idempotency_keys a WHERE EXISTS (SELECT 1"
	    " FROM idempotency_keys b WHERE b.created_at > a.expires_at"
	    " + " SLACK ")");
	check_none(c, "sessions have ended long ago",
	    "SELECT count(*) FROM sessions a WHERE EXISTS (SELECT 1"
	    " FROM sessions b WHERE b.created_at > a.expires_at + " WEEK
	    " + " SLACK ")");
	check_none(c, "times of schedules are long past",
	    "SELECT count(*) FROM schedule_fires a WHERE a.state <> 'pending'"
	    " AND EXISTS (SELECT 1 FROM schedule_fires b WHERE b.schedule_id ="
	    " a.schedule_id AND b.created_at > a.fire_at + " HISTORY " + " SLACK
	    ")");
	check_none(c, "changes of the inbox are below its floor",
	    "SELECT count(*) FROM inbox_changes WHERE seq <= (SELECT floor"
	    " FROM inbox_head)");
	check_none(c, "deliveries of webhooks are older than they are kept",
	    "SELECT count(*) FROM webhook_deliveries d WHERE"
	    " d.status <> 'pending' AND EXISTS (SELECT 1 FROM nodes n WHERE"
	    " n.beat_at - n.started_at > " HOUR " AND n.beat_at >"
	    " d.updated_at + " MONTH " + " HOUR ")");
	check_none(c, "messages are for webhooks that are gone",
	    "SELECT count(*) FROM outbox o WHERE o.kind = 'webhook' AND"
	    " NOT EXISTS (SELECT 1 FROM webhooks w WHERE w.id ="
	    " o.webhook_id)");
}

static void
check_bytes(struct check *c)
{
	check_none(c, "pieces are of no file and of no draft",
	    "SELECT count(*) FROM file_pieces p WHERE NOT EXISTS (SELECT 1"
	    " FROM files f WHERE f.id = p.file_id) AND NOT EXISTS (SELECT 1"
	    " FROM file_drafts d WHERE d.file_id = p.file_id)");
	check_none(c, "files are drafts as well",
	    "SELECT count(*) FROM files f JOIN file_drafts d ON d.file_id ="
	    " f.id");
	check_none(c, "files have not the bytes that they should have",
	    "SELECT count(*) FROM files f WHERE f.length <> (SELECT"
	    " COALESCE(sum(length(p.bytes)), 0) FROM file_pieces p WHERE"
	    " p.file_id = f.id)");
	check_none(c, "drafts were left behind",
	    "SELECT count(*) FROM file_drafts d WHERE EXISTS (SELECT 1 FROM"
	    " files f WHERE f.call_key IS NOT NULL AND f.created_at >"
	    " d.created_at + " HOUR " + " SLACK ")");
	check_none(c, "notes are of calls that are gone",
	    "SELECT count(*) FROM call_notes n WHERE NOT EXISTS (SELECT 1"
	    " FROM tool_invocations i WHERE i.id = n.invocation_id)");
}

void
check_gc(struct check *c)
{
	check_old(c);
	check_bytes(c);
}
