-- SPDX-License-Identifier: Apache-2.0
-- min_compatible: 5
--
-- What a commit tells of a run, its events and its checkpoint, is one row:
-- what a row and its index entries cost does not grow with the events.

-- The truth.  A row is n_events events whose last ones are numbered seq and
-- run_seq; seq has no gaps in a thread, run_seq none in a run.  No foreign
-- keys: the log outlives what it tells of.
CREATE TABLE run_log (
	run_id uuid NOT NULL,
	run_seq bigint NOT NULL,
	tenant_id uuid NOT NULL,
	thread_id uuid NOT NULL,
	seq bigint NOT NULL,
	n_events bigint NOT NULL CHECK (n_events > 0),
	step bigint NOT NULL DEFAULT 0,
	fence bigint NOT NULL DEFAULT 0,
	created_at bigint NOT NULL,
	schema_version integer NOT NULL DEFAULT 1,
	task_id uuid,
	ns text NOT NULL DEFAULT '',
	types text NOT NULL, -- JSON: a list of texts
	payloads text NOT NULL, -- JSON: a list of objects
	-- Of the commit's checkpoint, if it has one.
	checkpoint_id uuid,
	parent_id uuid,
	manifest text, -- JSON
	state_hash bytea,
	PRIMARY KEY (run_id, run_seq),
	UNIQUE (thread_id, seq)
) WITH (toast_tuple_target = 8160); -- to compress it costs more than it saves
CREATE UNIQUE INDEX run_log_thread_id_ns_checkpoint_id_key
	ON run_log (thread_id, ns, checkpoint_id)
	WHERE checkpoint_id IS NOT NULL;

INSERT INTO run_log (run_id, run_seq, tenant_id, thread_id, seq, n_events,
	step, fence, created_at, schema_version, task_id, ns, types, payloads)
SELECT run_id, run_seq, tenant_id, thread_id, seq, 1, step, fence, created_at,
	schema_version, task_id, ns, '["' || type || '"]',
	'[' || payload || ']'
FROM run_events;

DROP TABLE run_events;

-- The log, event by event.  row_seq and row_run_seq are of the row that an
-- event stands in: who looks for some of many says between which ones.
CREATE VIEW run_events AS
SELECT l.run_id, l.run_seq - l.n_events + e.n AS run_seq, l.tenant_id,
	l.thread_id, l.seq - l.n_events + e.n AS seq, l.step, l.ns, l.task_id,
	l.types::json ->> (e.n - 1)::integer AS type, l.fence,
	l.schema_version, e.body::text AS payload, l.created_at,
	l.seq AS row_seq, l.run_seq AS row_run_seq
FROM run_log l CROSS JOIN LATERAL
	json_array_elements(l.payloads::json) WITH ORDINALITY e (body, n);

-- Those that no commit of a step has written: forks, and all from before.
ALTER TABLE checkpoints RENAME TO checkpoints_apart;
ALTER INDEX checkpoints_run RENAME TO checkpoints_apart_run;
ALTER INDEX checkpoints_pkey RENAME TO checkpoints_apart_pkey;

CREATE VIEW checkpoints AS
SELECT thread_id, ns, checkpoint_id, tenant_id, parent_id, run_id, step,
	'loop' AS source, NULL::uuid AS graph_version_id, manifest,
	'{}' AS inline, '{}' AS metadata, state_hash, created_at
FROM run_log WHERE checkpoint_id IS NOT NULL
UNION ALL
SELECT thread_id, ns, checkpoint_id, tenant_id, parent_id, run_id, step,
	source, graph_version_id, manifest, inline, metadata, state_hash,
	created_at
FROM checkpoints_apart;

-- As the table had it: see 0001.
DROP FUNCTION run_events_guard();
CREATE FUNCTION run_log_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT 1 FROM node_settings WHERE key = 'gc_open') THEN
		RAISE EXCEPTION 'run_log is append-only'
			USING ERRCODE = 'restrict_violation';
	END IF;
	RETURN coalesce(NEW, OLD);
END
$$;
CREATE TRIGGER run_log_no_change BEFORE UPDATE OR DELETE ON run_log
	FOR EACH ROW EXECUTE FUNCTION run_log_guard();
CREATE TRIGGER run_log_no_truncate BEFORE TRUNCATE ON run_log
	FOR EACH STATEMENT EXECUTE FUNCTION run_log_guard();
