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
ALTER TABLE webhooks ADD COLUMN event_mask INTEGER NOT NULL DEFAULT 0;
ALTER TABLE webhooks ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE webhooks ADD COLUMN secret_before BLOB;
ALTER TABLE webhooks ADD COLUMN before_until INTEGER;
-- user, gone (it answered 410), failing; NULL while it is not paused
ALTER TABLE webhooks ADD COLUMN paused_reason TEXT;

-- Of the kind webhook: whose it is, and the id that every try has.
ALTER TABLE outbox ADD COLUMN webhook_id BLOB;
ALTER TABLE outbox ADD COLUMN event_id BLOB;
CREATE INDEX outbox_webhook ON outbox (webhook_id)
	WHERE webhook_id IS NOT NULL;

-- What was tried to be delivered, and how it went; the body is that of every
-- try.
CREATE TABLE webhook_deliveries (
	webhook_id BLOB NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
	id BLOB NOT NULL, -- outbox.event_id
	tenant_id BLOB NOT NULL,
	event TEXT NOT NULL,
	run_id BLOB,
	body TEXT NOT NULL, -- JSON
	status TEXT NOT NULL, -- pending, delivered, failed
	attempts INTEGER NOT NULL DEFAULT 0,
	response_status INTEGER,
	error TEXT,
	duration_ms INTEGER,
	next_at INTEGER,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	PRIMARY KEY (webhook_id, id)
) WITHOUT ROWID;
CREATE INDEX webhook_deliveries_age ON webhook_deliveries (updated_at);

-- What starts an agent from outside.
CREATE TABLE triggers (
	id BLOB PRIMARY KEY,
	tenant_id BLOB NOT NULL REFERENCES tenants (id),
	user_id BLOB NOT NULL REFERENCES users (id),
	agent_id BLOB NOT NULL REFERENCES agents (id),
	name TEXT NOT NULL DEFAULT '',
	scheme TEXT NOT NULL, -- standard, github
	task TEXT NOT NULL, -- a template
	class INTEGER NOT NULL DEFAULT 1,
	paused INTEGER NOT NULL DEFAULT 0,
	secret BLOB NOT NULL,
	key_id TEXT NOT NULL,
	secret_before BLOB,
	before_until INTEGER,
	fired INTEGER NOT NULL DEFAULT 0,
	last_at INTEGER,
	last_run_id BLOB,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL
);
CREATE INDEX triggers_agent ON triggers (agent_id, id);

-- Several words at once -------------------------------------------------

-- Branches and time travel ----------------------------------------------

-- Subagents -------------------------------------------------------------
