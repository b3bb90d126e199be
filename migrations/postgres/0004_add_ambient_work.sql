-- SPDX-License-Identifier: Apache-2.0
-- min_compatible: 1
--
-- What agents need that work alone, wait for people and for each other.

-- Inbox -----------------------------------------------------------------

-- Queue -----------------------------------------------------------------

-- JSON: {"kind": "user" | "schedule" | "webhook" | "agent", "id"}: what has
-- started it; NULL: a person's message.
ALTER TABLE runs ADD COLUMN origin TEXT;

-- Schedules -------------------------------------------------------------

-- Webhooks --------------------------------------------------------------

-- Several words at once -------------------------------------------------

-- Branches and time travel ----------------------------------------------

-- Subagents -------------------------------------------------------------
