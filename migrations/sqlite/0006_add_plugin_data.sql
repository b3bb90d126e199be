-- SPDX-License-Identifier: Apache-2.0
-- min_compatible: 1
--
-- What plugins have been given: which steps of their own migrations have run.

CREATE TABLE plugin_migrations (
	plugin TEXT NOT NULL,
	step BIGINT NOT NULL, -- from 1, in the order in which they are declared
	sha256 TEXT NOT NULL, -- of the statement as the plugin wrote it
	applied_at BIGINT NOT NULL,
	PRIMARY KEY (plugin, step)
);

-- Files of threads: uploaded by their person, or written by a tool.  The row is
-- the last thing that is written of a file, so a file is whole or not there.
-- One that a call wrote can be seen as soon as the call has succeeded.
CREATE TABLE files (
	id BLOB PRIMARY KEY,
	tenant_id BLOB NOT NULL,
	thread_id BLOB NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
	run_id BLOB, -- NULL: uploaded
	call_key TEXT, -- idem_key of the call, NULL: none
	name TEXT NOT NULL,
	media_type TEXT NOT NULL,
	length BIGINT NOT NULL,
	sha256 TEXT NOT NULL,
	created_at BIGINT NOT NULL
);
CREATE INDEX files_by_thread ON files (thread_id, id);
CREATE INDEX files_by_call ON files (call_key);

-- Its bytes; at is the offset of the first.
CREATE TABLE file_pieces (
	file_id BLOB NOT NULL,
	at BIGINT NOT NULL,
	bytes BLOB NOT NULL,
	PRIMARY KEY (file_id, at)
);

-- Files that have pieces and no row yet.  What stays here was left by a call
-- that failed, or by a process that died.
CREATE TABLE file_drafts (
	file_id BLOB PRIMARY KEY,
	created_at BIGINT NOT NULL
);
CREATE INDEX file_drafts_by_age ON file_drafts (created_at);
