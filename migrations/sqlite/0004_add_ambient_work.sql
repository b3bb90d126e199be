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

-- Subagents -------------------------------------------------------------

-- The call of its parent that a subagent is the answer to.
ALTER TABLE runs ADD COLUMN parent_call_id BLOB;
-- JSON: what the agent has planned, as it has last said.
ALTER TABLE runs ADD COLUMN todos TEXT;
-- JSON: the built-in tools that the agent may use.
ALTER TABLE agents ADD COLUMN builtins TEXT NOT NULL DEFAULT '[]';
