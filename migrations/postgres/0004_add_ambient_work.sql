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

-- event_mask: a bit for each state of a run (run.h) that it wants to hear of.
-- Secrets are sealed (core/auth/seal.h); the one before is good until then.
ALTER TABLE webhooks ADD COLUMN event_mask bigint NOT NULL DEFAULT 0;
ALTER TABLE webhooks ADD COLUMN description text NOT NULL DEFAULT '';
ALTER TABLE webhooks ADD COLUMN secret_before bytea;
ALTER TABLE webhooks ADD COLUMN before_until bigint;
-- user, gone (it answered 410), failing; NULL while it is not paused
ALTER TABLE webhooks ADD COLUMN paused_reason text;

-- Of the kind webhook: whose it is, and the id that every try has.
ALTER TABLE outbox ADD COLUMN webhook_id uuid;
ALTER TABLE outbox ADD COLUMN event_id uuid;
CREATE INDEX outbox_webhook ON outbox (webhook_id)
	WHERE webhook_id IS NOT NULL;

-- What was tried to be delivered, and how it went; the body is that of every
-- try.
CREATE TABLE webhook_deliveries (
	webhook_id uuid NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
	id uuid NOT NULL, -- outbox.event_id
	tenant_id uuid NOT NULL,
	event text NOT NULL,
	run_id uuid,
	body text NOT NULL, -- JSON
	status text NOT NULL, -- pending, delivered, failed
	attempts bigint NOT NULL DEFAULT 0,
	response_status bigint,
	error text,
	duration_ms bigint,
	next_at bigint,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL,
	PRIMARY KEY (webhook_id, id)
);
CREATE INDEX webhook_deliveries_age ON webhook_deliveries (updated_at);

-- What starts an agent from outside.
CREATE TABLE triggers (
	id uuid PRIMARY KEY,
	tenant_id uuid NOT NULL REFERENCES tenants (id),
	user_id uuid NOT NULL REFERENCES users (id),
	agent_id uuid NOT NULL REFERENCES agents (id),
	name text NOT NULL DEFAULT '',
	scheme text NOT NULL, -- standard, github
	task text NOT NULL, -- a template
	class bigint NOT NULL DEFAULT 1,
	paused boolean NOT NULL DEFAULT false,
	secret bytea NOT NULL,
	key_id text NOT NULL,
	secret_before bytea,
	before_until bigint,
	fired bigint NOT NULL DEFAULT 0,
	last_at bigint,
	last_run_id uuid,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL
);
CREATE INDEX triggers_agent ON triggers (agent_id, id);

-- Several words at once -------------------------------------------------

-- Branches and time travel ----------------------------------------------

-- Subagents -------------------------------------------------------------
