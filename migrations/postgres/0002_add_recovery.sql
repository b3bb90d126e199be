-- SPDX-License-Identifier: Apache-2.0
-- min_compatible: 1
--
-- What a run needs to survive more than a crash: other models to ask, and
-- decisions of an operator, which are inbox items of their own kinds.

ALTER TABLE agents ADD COLUMN fallback_models TEXT NOT NULL DEFAULT '[]';

-- question: of the agent; outcome, error, dead_letter: of the engine.
ALTER TABLE inbox_items ADD COLUMN kind TEXT NOT NULL DEFAULT 'question';

CREATE INDEX inbox_items_operator ON inbox_items (tenant_id, id)
	WHERE status = 'pending' AND kind <> 'question';

-- threads.active_run_id alone says which run holds a thread; an index on what
-- each end of a run changes made that update rewrite all of the run's indexes.
DROP INDEX runs_thread_id_key;
ALTER TABLE runs SET (fillfactor = 30);
