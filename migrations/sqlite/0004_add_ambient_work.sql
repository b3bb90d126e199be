-- SPDX-License-Identifier: Apache-2.0
-- min_compatible: 1
--
-- What agents need that work alone, wait for people and for each other.

-- Inbox -----------------------------------------------------------------

-- JSON: which tools need a person's word; see core/run/approval.h.
ALTER TABLE agents ADD COLUMN approval TEXT NOT NULL DEFAULT
	'{"default":"auto","tools":{},"resume_when":"all","allow":["accept","edit","response","ignore"],"expires_s":null,"on_expire":"reject","questions":null}';
-- Nobody has answered in time, and it was handed to the admins.
ALTER TABLE inbox_items ADD COLUMN escalated_at INTEGER;

-- Queue -----------------------------------------------------------------

-- JSON: {"kind": "user" | "schedule" | "webhook" | "agent", "id"}: what has
-- started it; NULL: a person's message.
ALTER TABLE runs ADD COLUMN origin TEXT;

-- What was to be started once: a second start finds the first one's run.
ALTER TABLE runs ADD COLUMN dedup TEXT;
CREATE UNIQUE INDEX runs_user_id_agent_id_dedup_key
	ON runs (user_id, agent_id, dedup) WHERE dedup IS NOT NULL;

-- A claim walks from tenant to tenant, and counts what each has at work.
DROP INDEX jobs_ready;
CREATE INDEX jobs_ready ON jobs (class, tenant_id, run_at, id)
	WHERE state = 0 AND kind = 'run';
DROP INDEX jobs_leased;
CREATE INDEX jobs_leased ON jobs (owner_epoch, tenant_id) WHERE state = 1;

-- How long a run of an agent uses a slot, a moving average; the nil agent: all.
CREATE TABLE run_times (
	agent_id BLOB NOT NULL,
	class INTEGER NOT NULL,
	est_ms INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	PRIMARY KEY (agent_id, class)
);

-- Schedules -------------------------------------------------------------

-- Webhooks --------------------------------------------------------------

-- Several words at once -------------------------------------------------

-- Branches and time travel ----------------------------------------------

-- Subagents -------------------------------------------------------------
