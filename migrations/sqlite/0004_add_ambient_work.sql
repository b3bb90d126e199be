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

-- Webhooks --------------------------------------------------------------

-- Several words at once -------------------------------------------------

-- Branches and time travel ----------------------------------------------

-- threads.active_leaf is NULL as long as a thread has one branch only: then its
-- messages in the order of their sequence are the path.
-- The message at which the path of a run on a branch begins: its question, or
-- what it answers anew; NULL: the thread had no branches then.
ALTER TABLE runs ADD COLUMN branch_leaf BLOB;
-- Where the thread's leaf was before; it is there again after a rollback.
ALTER TABLE runs ADD COLUMN branch_before BLOB;
-- The thread's leaf does not follow this run.
ALTER TABLE runs ADD COLUMN beside INTEGER NOT NULL DEFAULT 0;
-- live, what_if: how a fork treats effects, after what_if the tools that are
-- called all the same; NULL: it is no fork.
ALTER TABLE runs ADD COLUMN fork_mode TEXT;

-- Subagents -------------------------------------------------------------
