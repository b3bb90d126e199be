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

-- block_pos is set exactly while a run is blocked.  Not on status, which
-- every run changes several times.
CREATE UNIQUE INDEX runs_thread_id_block_pos_key ON runs (thread_id, block_pos)
	WHERE block_pos IS NOT NULL;

-- Branches and time travel ----------------------------------------------

-- Subagents -------------------------------------------------------------
