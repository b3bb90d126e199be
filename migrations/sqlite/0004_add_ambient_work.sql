-- SPDX-License-Identifier: Apache-2.0
-- min_compatible: 1
--
-- What agents need that work alone, wait for people and for each other.

-- Inbox -----------------------------------------------------------------

-- Queue -----------------------------------------------------------------

-- JSON: {"kind": "user" | "schedule" | "webhook" | "agent", "id"}: what has
-- started it; NULL: a person's message.
ALTER TABLE runs ADD COLUMN origin TEXT;

-- What was to be started once: a second start finds the first one's run.
ALTER TABLE runs ADD COLUMN dedup TEXT;
CREATE UNIQUE INDEX runs_user_id_agent_id_dedup_key
	ON runs (user_id, agent_id, dedup) WHERE dedup IS NOT NULL;

-- Schedules -------------------------------------------------------------

-- When it is looked at: next_at and what its jitter adds.
ALTER TABLE schedules ADD COLUMN due_at INTEGER;
-- user, or why it has paused itself; NULL while it is not paused.
ALTER TABLE schedules ADD COLUMN paused_reason TEXT;
DROP INDEX schedules_due;
CREATE INDEX schedules_due ON schedules (due_at)
	WHERE NOT paused AND deleted_at IS NULL AND due_at IS NOT NULL;
CREATE INDEX schedules_agent ON schedules (agent_id, id)
	WHERE deleted_at IS NULL;

-- What has become of each time that was due.  A pending one is worked on by its
-- holder until held_until, then by whoever looks; tries above 0 means that its
-- run may be there.
CREATE TABLE schedule_fires (
	schedule_id BLOB NOT NULL REFERENCES schedules (id),
	fire_at INTEGER NOT NULL,
	tenant_id BLOB NOT NULL,
	state TEXT NOT NULL, -- pending, started, skipped, missed, failed
	reason TEXT,
	times INTEGER NOT NULL DEFAULT 1, -- that this row stands for
	run_id BLOB,
	tries INTEGER NOT NULL DEFAULT 0,
	holder BLOB,
	held_until INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	PRIMARY KEY (schedule_id, fire_at)
);
CREATE INDEX schedule_fires_pending ON schedule_fires (held_until)
	WHERE state = 'pending';

-- A note about a schedule that has never run is of no run.  SQLite can only drop
-- a NOT NULL by writing what it keeps as text (its manual, ALTER TABLE).
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(replace(sql,
	'thread_id BLOB NOT NULL REFERENCES', 'thread_id BLOB REFERENCES'),
	'run_id BLOB NOT NULL REFERENCES', 'run_id BLOB REFERENCES')
	WHERE type = 'table' AND name = 'inbox_items';
PRAGMA writable_schema = RESET;

-- Webhooks --------------------------------------------------------------

-- Several words at once -------------------------------------------------

-- Branches and time travel ----------------------------------------------

-- Subagents -------------------------------------------------------------
