-- SPDX-License-Identifier: Apache-2.0
-- min_compatible: 1
--
-- What agents need that work alone, wait for people and for each other.

-- Inbox -----------------------------------------------------------------

-- JSON: which tools need a person's word; see core/run/approval.h.
ALTER TABLE agents ADD COLUMN approval TEXT NOT NULL DEFAULT
	'{"default":"auto","tools":{},"resume_when":"all","allow":["accept","edit","response","ignore"],"expires_s":null,"on_expire":"reject","questions":null}';
-- Nobody has answered in time, and it was handed to the admins.
ALTER TABLE inbox_items ADD COLUMN escalated_at BIGINT;
-- What has happened to items, as the live stream of the inbox tells it: a row
-- for each person whom it concerns.  Triggers write it, so whoever changes an
-- item (and its updated_at) need not know of it.
CREATE TABLE inbox_changes (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	-- Given when the row can be seen, so a reader never misses one that was
	-- written before and committed after; NULL until then.
	seq bigint UNIQUE,
	item_id uuid NOT NULL,
	tenant_id uuid NOT NULL,
	-- The thread's owner, the assignee, who was it until now.
	user_id uuid NOT NULL,
	of_owner integer NOT NULL,
	change text NOT NULL, -- created, read, assigned, changed, or the new status
	created_at bigint NOT NULL
);
CREATE INDEX inbox_changes_user ON inbox_changes (user_id, seq);
CREATE INDEX inbox_changes_tenant ON inbox_changes (tenant_id, seq)
	WHERE of_owner = 1;
CREATE INDEX inbox_changes_new ON inbox_changes (id) WHERE seq IS NULL;

-- The last number given; who gives numbers holds its row.
CREATE TABLE inbox_head (
	id integer PRIMARY KEY CHECK (id = 1),
	seq bigint NOT NULL,
	floor bigint NOT NULL -- the last number that has been forgotten
);
INSERT INTO inbox_head (id, seq, floor) VALUES (1, 0, 0);

CREATE FUNCTION inbox_items_note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	word text := 'created';
	before uuid;
BEGIN
	IF TG_OP = 'UPDATE' THEN
		word := CASE WHEN NEW.status <> OLD.status THEN NEW.status
		    WHEN NEW.assignee IS DISTINCT FROM OLD.assignee
			THEN 'assigned'
		    WHEN NEW.read_at IS DISTINCT FROM OLD.read_at THEN 'read'
		    ELSE 'changed' END;
		IF OLD.assignee IS DISTINCT FROM NEW.assignee THEN
			before := OLD.assignee;
		END IF;
	END IF;
	INSERT INTO inbox_changes (item_id, tenant_id, user_id, of_owner, change,
	    created_at)
	SELECT NEW.id, NEW.tenant_id, w.id, w.of_owner, word, NEW.updated_at
	FROM (SELECT NEW.user_id AS id, 1 AS of_owner
	    UNION ALL SELECT NEW.assignee, 0 WHERE NEW.assignee <> NEW.user_id
	    UNION ALL SELECT before, 0 WHERE before <> NEW.user_id) w;
	RETURN NULL;
END
$$;
CREATE TRIGGER inbox_items_created AFTER INSERT ON inbox_items
	FOR EACH ROW EXECUTE FUNCTION inbox_items_note();
CREATE TRIGGER inbox_items_changed AFTER UPDATE OF updated_at ON inbox_items
	FOR EACH ROW EXECUTE FUNCTION inbox_items_note();

-- Who has decided what, and what that changed.  In the transaction of the
-- answer itself; an item is answered once, so its id is the key.
CREATE FUNCTION inbox_items_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO audit_log (id, tenant_id, user_id, action, object_kind,
	    object_id, detail, correlation_id, created_at)
	VALUES (NEW.id, NEW.tenant_id, NEW.responded_by,
	    'inbox_' || NEW.response_type, 'inbox_item', NEW.id,
	    '{"status":"' || NEW.status || '","kind":"' || NEW.kind ||
	    '","before":' || coalesce(NEW.action_request, 'null') ||
	    ',"after":' || coalesce(NEW.response, 'null') || '}',
	    NEW.correlation_id, NEW.updated_at)
	ON CONFLICT (id) DO NOTHING;
	RETURN NULL;
END
$$;
CREATE TRIGGER inbox_items_audited AFTER UPDATE OF updated_at ON inbox_items
	FOR EACH ROW WHEN (OLD.status = 'pending' AND
	    NEW.response_type IS NOT NULL)
	EXECUTE FUNCTION inbox_items_audit();

-- For what waits: the badge, and the inbox of who is asked.
CREATE INDEX inbox_items_open ON inbox_items
	(tenant_id, user_id, kind, read_at)
	WHERE status = 'pending';
CREATE INDEX inbox_items_assignee ON inbox_items (tenant_id, assignee, id)
	WHERE assignee IS NOT NULL;
CREATE INDEX inbox_items_tenant ON inbox_items (tenant_id, id);

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
	agent_id uuid NOT NULL,
	class integer NOT NULL,
	est_ms bigint NOT NULL,
	updated_at bigint NOT NULL,
	PRIMARY KEY (agent_id, class)
);

-- Schedules -------------------------------------------------------------

-- When it is looked at: next_at and what its jitter adds.
ALTER TABLE schedules ADD COLUMN due_at bigint;
-- user, or why it has paused itself; NULL while it is not paused.
ALTER TABLE schedules ADD COLUMN paused_reason text;
DROP INDEX schedules_due;
CREATE INDEX schedules_due ON schedules (due_at)
	WHERE NOT paused AND deleted_at IS NULL AND due_at IS NOT NULL;
CREATE INDEX schedules_agent ON schedules (agent_id, id)
	WHERE deleted_at IS NULL;

-- What has become of each time that was due.  A pending one is worked on by its
-- holder until held_until, then by whoever looks; tries above 0 means that its
-- run may be there.
CREATE TABLE schedule_fires (
	schedule_id uuid NOT NULL REFERENCES schedules (id),
	fire_at bigint NOT NULL,
	tenant_id uuid NOT NULL,
	state text NOT NULL, -- pending, started, skipped, missed, failed
	reason text,
	times bigint NOT NULL DEFAULT 1, -- that this row stands for
	run_id uuid,
	tries bigint NOT NULL DEFAULT 0,
	holder uuid,
	held_until bigint NOT NULL,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL,
	PRIMARY KEY (schedule_id, fire_at)
);
CREATE INDEX schedule_fires_pending ON schedule_fires (held_until)
	WHERE state = 'pending';

-- A note about a schedule that has never run is of no run.
ALTER TABLE inbox_items ALTER COLUMN thread_id DROP NOT NULL;
ALTER TABLE inbox_items ALTER COLUMN run_id DROP NOT NULL;

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

-- block_pos is set exactly while a run is blocked.  Not on status, which
-- every run changes several times.
CREATE UNIQUE INDEX runs_thread_id_block_pos_key ON runs (thread_id, block_pos)
	WHERE block_pos IS NOT NULL;

-- Branches and time travel ----------------------------------------------

-- threads.active_leaf is NULL as long as a thread has one branch only: then its
-- messages in the order of their sequence are the path.
-- The message at which the path of a run on a branch begins: its question, or
-- what it answers anew; NULL: the thread had no branches then.
ALTER TABLE runs ADD COLUMN branch_leaf UUID;
-- Where the thread's leaf was before; it is there again after a rollback.
ALTER TABLE runs ADD COLUMN branch_before UUID;
-- The thread's leaf does not follow this run.
ALTER TABLE runs ADD COLUMN beside BOOLEAN NOT NULL DEFAULT FALSE;
-- live, what_if: how a fork treats effects, after what_if the tools that are
-- called all the same; NULL: it is no fork.
ALTER TABLE runs ADD COLUMN fork_mode TEXT;

-- Subagents -------------------------------------------------------------

-- The call of its parent that a subagent is the answer to.
ALTER TABLE runs ADD COLUMN parent_call_id uuid;
-- JSON: what the agent has planned, as it has last said.
ALTER TABLE runs ADD COLUMN todos TEXT;
-- JSON: the built-in tools that the agent may use.
ALTER TABLE agents ADD COLUMN builtins TEXT NOT NULL DEFAULT '[]';
