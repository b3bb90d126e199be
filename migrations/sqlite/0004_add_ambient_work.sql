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
-- What has happened to items, as the live stream of the inbox tells it: a row
-- for each person whom it concerns.  Triggers write it, so whoever changes an
-- item (and its updated_at) need not know of it.  With one writer the order of
-- seq is the order of the commits.
CREATE TABLE inbox_changes (
	seq INTEGER PRIMARY KEY AUTOINCREMENT,
	item_id BLOB NOT NULL,
	tenant_id BLOB NOT NULL,
	-- The thread's owner, the assignee, who was it until now.
	user_id BLOB NOT NULL,
	of_owner INTEGER NOT NULL,
	change TEXT NOT NULL, -- created, read, assigned, changed, or the new status
	created_at INTEGER NOT NULL
);
CREATE INDEX inbox_changes_user ON inbox_changes (user_id, seq);
CREATE INDEX inbox_changes_tenant ON inbox_changes (tenant_id, seq)
	WHERE of_owner = 1;

CREATE TRIGGER inbox_items_created AFTER INSERT ON inbox_items
BEGIN
	INSERT INTO inbox_changes (item_id, tenant_id, user_id, of_owner, change,
	    created_at)
	SELECT NEW.id, NEW.tenant_id, w.id, w.of_owner, 'created',
	    NEW.created_at
	FROM (SELECT NEW.user_id AS id, 1 AS of_owner
	    UNION ALL SELECT NEW.assignee, 0 WHERE NEW.assignee <> NEW.user_id) w;
END;

CREATE TRIGGER inbox_items_changed AFTER UPDATE OF updated_at ON inbox_items
BEGIN
	INSERT INTO inbox_changes (item_id, tenant_id, user_id, of_owner, change,
	    created_at)
	SELECT NEW.id, NEW.tenant_id, w.id, w.of_owner,
	    CASE WHEN NEW.status <> OLD.status THEN NEW.status
	    WHEN NEW.assignee IS NOT OLD.assignee THEN 'assigned'
	    WHEN NEW.read_at IS NOT OLD.read_at THEN 'read'
	    ELSE 'changed' END, NEW.updated_at
	FROM (SELECT NEW.user_id AS id, 1 AS of_owner
	    UNION ALL SELECT NEW.assignee, 0 WHERE NEW.assignee <> NEW.user_id
	    UNION ALL SELECT OLD.assignee, 0 WHERE OLD.assignee <> NEW.user_id
		AND OLD.assignee IS NOT NEW.assignee) w;
END;

-- Who has decided what, and what that changed.  In the transaction of the
-- answer itself; an item is answered once, so its id is the key.
CREATE TRIGGER inbox_items_audited AFTER UPDATE OF updated_at ON inbox_items
WHEN OLD.status = 'pending' AND NEW.response_type IS NOT NULL
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
END;

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

-- Schedules -------------------------------------------------------------

-- Webhooks --------------------------------------------------------------

-- Several words at once -------------------------------------------------

-- block_pos is set exactly while a run is blocked.  Not on status, which
-- every run changes several times.
CREATE UNIQUE INDEX runs_thread_id_block_pos_key ON runs (thread_id, block_pos)
	WHERE block_pos IS NOT NULL;

-- Branches and time travel ----------------------------------------------

-- Subagents -------------------------------------------------------------
