-- SPDX-License-Identifier: Apache-2.0
-- min_compatible: 1
--
-- The whole schema.  Ids are UUIDs as BLOB(16), times microseconds UTC, JSON
-- is text.  A unique constraint is called <table>_<columns>_key on both
-- databases, so that code can tell which one was violated.

CREATE TABLE node_settings (
	key TEXT PRIMARY KEY,
	value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE nodes (
	node_epoch INTEGER PRIMARY KEY AUTOINCREMENT,
	name TEXT NOT NULL,
	build TEXT NOT NULL DEFAULT '',
	loops INTEGER NOT NULL DEFAULT 1,
	started_at INTEGER NOT NULL,
	lease_expires_at INTEGER NOT NULL,
	draining INTEGER NOT NULL DEFAULT 0
);

-- Identity --------------------------------------------------------------

CREATE TABLE tenants (
	id BLOB PRIMARY KEY,
	name TEXT NOT NULL,
	created_at INTEGER NOT NULL
);

CREATE TABLE users (
	id BLOB PRIMARY KEY,
	tenant_id BLOB NOT NULL REFERENCES tenants (id),
	email TEXT NOT NULL,
	display_name TEXT NOT NULL DEFAULT '',
	avatar_url TEXT,
	locale TEXT,
	disabled_at INTEGER,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX users_email_key ON users (lower(email));
CREATE INDEX users_tenant ON users (tenant_id, id);

CREATE TABLE memberships (
	tenant_id BLOB NOT NULL REFERENCES tenants (id),
	user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	role TEXT NOT NULL, -- owner, admin, member
	created_at INTEGER NOT NULL,
	PRIMARY KEY (tenant_id, user_id)
) WITHOUT ROWID;
CREATE INDEX memberships_user ON memberships (user_id);

-- Who a backend says someone is; a person may have several.
CREATE TABLE identities (
	backend TEXT NOT NULL,
	subject TEXT NOT NULL,
	user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	created_at INTEGER NOT NULL,
	PRIMARY KEY (backend, subject)
) WITHOUT ROWID;
CREATE INDEX identities_user ON identities (user_id);

CREATE TABLE sessions (
	id BLOB PRIMARY KEY,
	tenant_id BLOB NOT NULL REFERENCES tenants (id),
	user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	cookie_hash BLOB NOT NULL UNIQUE,
	user_agent TEXT NOT NULL DEFAULT '',
	ip TEXT NOT NULL DEFAULT '',
	created_at INTEGER NOT NULL,
	last_seen_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	revoked_at INTEGER
);
CREATE INDEX sessions_user ON sessions (user_id, id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- A used token that comes again ends its session.
CREATE TABLE refresh_tokens (
	token_hash BLOB PRIMARY KEY,
	session_id BLOB NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	used_at INTEGER,
	replaced_by BLOB
) WITHOUT ROWID;
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);

CREATE TABLE api_keys (
	id BLOB PRIMARY KEY,
	tenant_id BLOB NOT NULL REFERENCES tenants (id),
	user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	name TEXT NOT NULL DEFAULT '',
	prefix TEXT NOT NULL UNIQUE,
	key_hash BLOB NOT NULL,
	scopes TEXT NOT NULL DEFAULT '[]', -- JSON
	created_at INTEGER NOT NULL,
	last_used_at INTEGER,
	expires_at INTEGER,
	revoked_at INTEGER
);
CREATE INDEX api_keys_user ON api_keys (user_id, id);

CREATE TABLE login_attempts (
	scope TEXT NOT NULL,
	key TEXT NOT NULL,
	window_start INTEGER NOT NULL,
	count INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (scope, key)
) WITHOUT ROWID;

-- Agents and what they know ---------------------------------------------

CREATE TABLE agents (
	id BLOB PRIMARY KEY,
	tenant_id BLOB NOT NULL REFERENCES tenants (id),
	user_id BLOB NOT NULL REFERENCES users (id),
	name TEXT NOT NULL,
	description TEXT NOT NULL DEFAULT '',
	purpose TEXT NOT NULL DEFAULT '',
	system_prompt TEXT NOT NULL DEFAULT '',
	model_name TEXT,
	memory TEXT NOT NULL DEFAULT '{"enabled":false,"facts":[]}', -- JSON
	agent_state TEXT NOT NULL DEFAULT 'ready', -- draft, ready, paused, error
	toolkits TEXT NOT NULL DEFAULT '[]', -- JSON
	suggested_task_prompts TEXT NOT NULL DEFAULT '[]', -- JSON
	suggested_job_prompts TEXT NOT NULL DEFAULT '[]', -- JSON
	is_public INTEGER NOT NULL DEFAULT 0,
	version INTEGER NOT NULL DEFAULT 1,
	deleted_at INTEGER,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL
);
CREATE INDEX agents_owner ON agents (tenant_id, user_id, id)
	WHERE deleted_at IS NULL;
CREATE INDEX agents_public ON agents (tenant_id, id)
	WHERE is_public AND deleted_at IS NULL;

CREATE TABLE agent_versions (
	agent_id BLOB NOT NULL REFERENCES agents (id),
	version INTEGER NOT NULL,
	definition TEXT NOT NULL, -- JSON
	created_by BLOB,
	created_at INTEGER NOT NULL,
	PRIMARY KEY (agent_id, version)
);

CREATE TABLE agent_knowledge (
	id BLOB PRIMARY KEY,
	tenant_id BLOB NOT NULL REFERENCES tenants (id),
	agent_id BLOB NOT NULL REFERENCES agents (id),
	title TEXT NOT NULL,
	summary TEXT NOT NULL DEFAULT '',
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL
);
CREATE INDEX agent_knowledge_agent ON agent_knowledge (agent_id, id);

CREATE TABLE documents (
	id BLOB PRIMARY KEY,
	tenant_id BLOB NOT NULL REFERENCES tenants (id),
	user_id BLOB NOT NULL REFERENCES users (id),
	agent_id BLOB NOT NULL REFERENCES agents (id),
	knowledge_id BLOB REFERENCES agent_knowledge (id) ON DELETE CASCADE,
	name TEXT NOT NULL,
	media_type TEXT NOT NULL,
	size INTEGER NOT NULL,
	content_sha256 BLOB NOT NULL,
	blob_key TEXT NOT NULL,
	-- uploaded, parsing, chunking, embedding, indexed, failed
	status TEXT NOT NULL,
	progress INTEGER NOT NULL DEFAULT 0,
	attempts INTEGER NOT NULL DEFAULT 0,
	error TEXT, -- JSON
	embedding_model TEXT,
	dim INTEGER,
	metadata TEXT NOT NULL DEFAULT '{}', -- JSON
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	UNIQUE (agent_id, content_sha256)
);

CREATE TABLE chunks (
	id BLOB PRIMARY KEY,
	tenant_id BLOB NOT NULL REFERENCES tenants (id),
	document_id BLOB NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
	ordinal INTEGER NOT NULL,
	start_offset INTEGER NOT NULL, -- bytes of the document's TEXT
	end_offset INTEGER NOT NULL,
	content TEXT NOT NULL,
	metadata TEXT NOT NULL DEFAULT '{}', -- JSON
	UNIQUE (document_id, ordinal)
);

-- An account of a person at a service; the credential is sealed.
CREATE TABLE connections (
	id BLOB PRIMARY KEY,
	tenant_id BLOB NOT NULL REFERENCES tenants (id),
	user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	service TEXT NOT NULL,
	account TEXT NOT NULL DEFAULT '',
	scheme TEXT NOT NULL, -- oauth2, api_key, basic, custom
	scopes TEXT NOT NULL DEFAULT '[]', -- JSON
	-- pending, active, expiring, expired, revoked, error
	status TEXT NOT NULL,
	status_reason TEXT,
	credential BLOB,
	key_id TEXT,
	expires_at INTEGER,
	refresh_at INTEGER,
	version INTEGER NOT NULL DEFAULT 1,
	last_used_at INTEGER,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	UNIQUE (user_id, service, account)
);
CREATE INDEX connections_refresh ON connections (refresh_at)
	WHERE refresh_at IS NOT NULL;

CREATE TABLE toolkits_cache (
	slug TEXT PRIMARY KEY,
	definition TEXT NOT NULL, -- JSON
	fetched_at INTEGER NOT NULL
);

-- Graphs ----------------------------------------------------------------

CREATE TABLE graphs (
	id BLOB PRIMARY KEY,
	tenant_id BLOB NOT NULL REFERENCES tenants (id),
	user_id BLOB NOT NULL REFERENCES users (id),
	name TEXT NOT NULL,
	description TEXT NOT NULL DEFAULT '',
	draft TEXT, -- JSON
	head_version_id BLOB,
	version INTEGER NOT NULL DEFAULT 1,
	deleted_at INTEGER,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL
);
CREATE INDEX graphs_owner ON graphs (tenant_id, user_id, id);

-- Immutable: a run names the exact version that it executes.
CREATE TABLE graph_versions (
	id BLOB PRIMARY KEY,
	graph_id BLOB NOT NULL REFERENCES graphs (id),
	content_sha256 BLOB NOT NULL UNIQUE,
	definition TEXT NOT NULL, -- JSON
	compiled BLOB,
	created_by BLOB,
	created_at INTEGER NOT NULL
);
CREATE INDEX graph_versions_graph ON graph_versions (graph_id, id);

CREATE TABLE schedules (
	id BLOB PRIMARY KEY,
	tenant_id BLOB NOT NULL REFERENCES tenants (id),
	user_id BLOB NOT NULL REFERENCES users (id),
	agent_id BLOB NOT NULL REFERENCES agents (id),
	name TEXT NOT NULL DEFAULT '',
	cron TEXT NOT NULL,
	timezone TEXT NOT NULL DEFAULT 'UTC', -- IANA name
	task TEXT NOT NULL,
	class INTEGER NOT NULL DEFAULT 1,
	overlap TEXT NOT NULL DEFAULT 'skip', -- skip, queue, replace
	jitter_ms INTEGER NOT NULL DEFAULT 0,
	catch_up INTEGER NOT NULL DEFAULT 1,
	paused INTEGER NOT NULL DEFAULT 0,
	next_at INTEGER,
	last_at INTEGER,
	last_run_id BLOB,
	ends_at INTEGER,
	version INTEGER NOT NULL DEFAULT 1,
	deleted_at INTEGER,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL
);
CREATE INDEX schedules_owner ON schedules (tenant_id, user_id, id);
CREATE INDEX schedules_due ON schedules (next_at)
	WHERE NOT paused AND deleted_at IS NULL AND next_at IS NOT NULL;

CREATE TABLE webhooks (
	id BLOB PRIMARY KEY,
	tenant_id BLOB NOT NULL REFERENCES tenants (id),
	user_id BLOB NOT NULL REFERENCES users (id),
	url TEXT NOT NULL,
	events TEXT NOT NULL DEFAULT '[]', -- JSON
	secret BLOB,
	key_id TEXT,
	paused INTEGER NOT NULL DEFAULT 0,
	failures INTEGER NOT NULL DEFAULT 0,
	last_status INTEGER,
	last_at INTEGER,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL
);
CREATE INDEX webhooks_owner ON webhooks (tenant_id, user_id, id);

-- Threads, messages, runs -----------------------------------------------
-- Lock order: threads, then runs.
-- What a step writes has no foreign keys: each statement of it hangs on the
-- rows of its thread and run already, and the checks cost as much as the rows.

CREATE TABLE threads (
	id BLOB PRIMARY KEY,
	tenant_id BLOB NOT NULL REFERENCES tenants (id),
	user_id BLOB NOT NULL REFERENCES users (id),
	agent_id BLOB NOT NULL REFERENCES agents (id),
	title TEXT NOT NULL DEFAULT '',
	status TEXT NOT NULL DEFAULT 'idle', -- idle, busy, waiting, error
	active_run_id BLOB,
	active_leaf BLOB, -- the message that the person looks at
	head_ns TEXT NOT NULL DEFAULT '',
	head_checkpoint_id BLOB,
	head_seq INTEGER NOT NULL DEFAULT 0,
	next_msg_seq INTEGER NOT NULL DEFAULT 1,
	version INTEGER NOT NULL DEFAULT 1,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX threads_owner ON threads (tenant_id, user_id, id);
CREATE INDEX threads_agent ON threads (agent_id, id);

CREATE TABLE runs (
	id BLOB PRIMARY KEY,
	tenant_id BLOB NOT NULL,
	thread_id BLOB NOT NULL,
	agent_id BLOB NOT NULL,
	user_id BLOB NOT NULL, -- the owner of the thread
	graph_version_id BLOB,
	kind TEXT NOT NULL, -- interactive, ambient, subagent, replay
	class INTEGER NOT NULL DEFAULT 1, -- 0 priority, 1 standard, 2 bulk
	status TEXT NOT NULL,
	correlation_id TEXT NOT NULL DEFAULT '',
	traceparent TEXT,
	created_by_user_id BLOB,
	model TEXT,
	parent_run_id BLOB,
	root_run_id BLOB NOT NULL,
	pending_children INTEGER NOT NULL DEFAULT 0,
	forked_from_run BLOB,
	forked_from_checkpoint BLOB,
	checkpoint_ns TEXT NOT NULL DEFAULT '',
	checkpoint_id BLOB,
	step INTEGER NOT NULL DEFAULT 0,
	head_seq INTEGER NOT NULL DEFAULT 0, -- of run_seq
	fence INTEGER NOT NULL DEFAULT 0,
	version INTEGER NOT NULL DEFAULT 1,
	last_commit_id BLOB,
	owner_epoch INTEGER,
	crash_count INTEGER NOT NULL DEFAULT 0,
	crash_step INTEGER,
	attempt INTEGER NOT NULL DEFAULT 0,
	next_attempt_at INTEGER,
	deadline_at INTEGER,
	cancel_mode TEXT, -- keep, discard
	cancel_requested_at INTEGER,
	multitask TEXT,
	block_pos INTEGER,
	holds_thread INTEGER NOT NULL DEFAULT 0,
	budget TEXT, -- JSON
	usage TEXT, -- JSON
	used_tokens INTEGER NOT NULL DEFAULT 0,
	used_cost_micros INTEGER NOT NULL DEFAULT 0,
	error_code TEXT,
	error TEXT, -- JSON
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	started_at INTEGER,
	completed_at INTEGER
) WITHOUT ROWID;
CREATE UNIQUE INDEX runs_thread_id_key ON runs (thread_id)
	WHERE holds_thread AND parent_run_id IS NULL;
CREATE INDEX runs_thread ON runs (thread_id, id);
CREATE INDEX runs_owner ON runs (tenant_id, user_id, id);
CREATE INDEX runs_parent ON runs (parent_run_id)
	WHERE parent_run_id IS NOT NULL;

CREATE TABLE messages (
	id BLOB PRIMARY KEY,
	tenant_id BLOB NOT NULL,
	thread_id BLOB NOT NULL,
	sequence INTEGER NOT NULL,
	run_id BLOB,
	ns TEXT NOT NULL DEFAULT '',
	step INTEGER NOT NULL DEFAULT 0,
	ordinal INTEGER NOT NULL DEFAULT 0,
	parent_id BLOB,
	role TEXT NOT NULL, -- user, assistant, tool, system
	content TEXT NOT NULL DEFAULT '',
	parts TEXT NOT NULL DEFAULT '[]', -- JSON
	tool_name TEXT,
	tool_call_id TEXT,
	-- final, staged, interrupted, rolled_back, superseded
	state TEXT NOT NULL DEFAULT 'final',
	client_message_id TEXT,
	model TEXT,
	usage TEXT, -- JSON
	created_at INTEGER NOT NULL,
	UNIQUE (thread_id, sequence),
	UNIQUE (run_id, ns, step, ordinal)
);
CREATE UNIQUE INDEX messages_thread_id_client_message_id_key
	ON messages (thread_id, client_message_id)
	WHERE client_message_id IS NOT NULL;

-- The truth.  seq has no gaps in a thread, run_seq none in a run.  No foreign
-- keys: the log outlives what it tells of.
CREATE TABLE run_events (
	run_id BLOB NOT NULL,
	run_seq INTEGER NOT NULL,
	tenant_id BLOB NOT NULL,
	thread_id BLOB NOT NULL,
	seq INTEGER NOT NULL,
	step INTEGER NOT NULL DEFAULT 0,
	ns TEXT NOT NULL DEFAULT '',
	task_id BLOB,
	type TEXT NOT NULL,
	fence INTEGER NOT NULL DEFAULT 0,
	schema_version INTEGER NOT NULL DEFAULT 1,
	payload TEXT NOT NULL, -- JSON
	created_at INTEGER NOT NULL,
	PRIMARY KEY (run_id, run_seq),
	UNIQUE (thread_id, seq)
) WITHOUT ROWID;

CREATE TABLE checkpoints (
	thread_id BLOB NOT NULL,
	ns TEXT NOT NULL DEFAULT '',
	checkpoint_id BLOB NOT NULL,
	tenant_id BLOB NOT NULL,
	parent_id BLOB,
	run_id BLOB NOT NULL,
	step INTEGER NOT NULL,
	source TEXT NOT NULL, -- input, loop, update, fork
	graph_version_id BLOB,
	manifest TEXT NOT NULL DEFAULT '{}', -- JSON: channel to version
	inline TEXT NOT NULL DEFAULT '{}', -- JSON
	metadata TEXT NOT NULL DEFAULT '{}', -- JSON
	state_hash BLOB,
	created_at INTEGER NOT NULL,
	PRIMARY KEY (thread_id, ns, checkpoint_id)
) WITHOUT ROWID;
CREATE INDEX checkpoints_run ON checkpoints (run_id, step);

-- Insert or nothing.
CREATE TABLE checkpoint_blobs (
	thread_id BLOB NOT NULL,
	ns TEXT NOT NULL DEFAULT '',
	channel TEXT NOT NULL,
	version INTEGER NOT NULL,
	codec TEXT NOT NULL,
	kind TEXT NOT NULL DEFAULT 'full', -- full, delta
	base_version INTEGER,
	bytes BLOB NOT NULL,
	PRIMARY KEY (thread_id, ns, channel, version)
);

-- idx: from 0 ordinary (insert or nothing); -1 error, -3 interrupt,
-- -(100 + ordinal) resume.
CREATE TABLE checkpoint_writes (
	thread_id BLOB NOT NULL,
	ns TEXT NOT NULL DEFAULT '',
	checkpoint_id BLOB NOT NULL,
	task_id BLOB NOT NULL,
	idx INTEGER NOT NULL,
	channel TEXT NOT NULL,
	codec TEXT NOT NULL,
	bytes BLOB NOT NULL,
	run_id BLOB NOT NULL,
	fence INTEGER NOT NULL,
	PRIMARY KEY (thread_id, ns, checkpoint_id, task_id, idx)
);

-- Finished jobs are deleted in the transaction that finishes them.
CREATE TABLE jobs (
	id INTEGER PRIMARY KEY,
	tenant_id BLOB NOT NULL,
	kind TEXT NOT NULL, -- run, outbox, timer, gc
	class INTEGER NOT NULL DEFAULT 1,
	run_id BLOB,
	run_at INTEGER NOT NULL,
	enqueued_at INTEGER NOT NULL,
	state INTEGER NOT NULL DEFAULT 0, -- 0 ready, 1 leased
	owner_epoch INTEGER,
	leased_at INTEGER,
	progress_at INTEGER,
	attempts INTEGER NOT NULL DEFAULT 0,
	est_ms INTEGER,
	payload TEXT -- JSON
);
CREATE UNIQUE INDEX jobs_run_id_key ON jobs (run_id) WHERE kind = 'run';
CREATE INDEX jobs_ready ON jobs (class, run_at, id) WHERE state = 0;
CREATE INDEX jobs_leased ON jobs (owner_epoch) WHERE state = 1;

CREATE TABLE jobs_dead (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	tenant_id BLOB NOT NULL,
	job_id INTEGER NOT NULL,
	kind TEXT NOT NULL,
	class INTEGER NOT NULL,
	run_id BLOB,
	run_at INTEGER NOT NULL,
	enqueued_at INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	payload TEXT, -- JSON
	run_snapshot TEXT, -- JSON
	reason TEXT NOT NULL,
	errors TEXT NOT NULL DEFAULT '[]', -- JSON: the last 3
	died_at INTEGER NOT NULL,
	resolution TEXT
);
CREATE INDEX jobs_dead_tenant ON jobs_dead (tenant_id, id);

CREATE TABLE tool_invocations (
	id BLOB PRIMARY KEY,
	tenant_id BLOB NOT NULL,
	run_id BLOB NOT NULL REFERENCES runs (id),
	ns TEXT NOT NULL DEFAULT '',
	step INTEGER NOT NULL,
	ordinal INTEGER NOT NULL,
	idem_key TEXT NOT NULL UNIQUE,
	tool TEXT NOT NULL,
	tool_version TEXT NOT NULL DEFAULT '',
	tool_call_id TEXT,
	connection_id BLOB,
	effect TEXT NOT NULL, -- P, K, N, V, U
	args_hash BLOB NOT NULL,
	args TEXT NOT NULL, -- JSON
	-- planned, awaiting_approval, started, parked, succeeded, failed,
	-- unknown, cancelled, skipped
	state TEXT NOT NULL,
	fence INTEGER NOT NULL,
	attempt INTEGER NOT NULL DEFAULT 0,
	started_at INTEGER,
	dispatch_deadline INTEGER,
	key_valid_until INTEGER,
	completed_at INTEGER,
	provider_request_id TEXT,
	result TEXT, -- JSON
	result_sha BLOB,
	error_code TEXT,
	error TEXT, -- JSON
	retry_after INTEGER, -- ms
	resolution TEXT, -- auto, verify, operator
	created_at INTEGER NOT NULL
);
CREATE INDEX tool_invocations_run ON tool_invocations (run_id, step, ordinal);

-- What a call keeps for the time when it is made again.
CREATE TABLE call_notes (
	invocation_id BLOB NOT NULL REFERENCES tool_invocations (id)
		ON DELETE CASCADE,
	key TEXT NOT NULL,
	value TEXT NOT NULL, -- JSON
	PRIMARY KEY (invocation_id, key)
);

CREATE TABLE inbox_items (
	id BLOB PRIMARY KEY,
	tenant_id BLOB NOT NULL,
	user_id BLOB NOT NULL REFERENCES users (id),
	assignee BLOB,
	agent_id BLOB NOT NULL,
	thread_id BLOB NOT NULL REFERENCES threads (id),
	run_id BLOB NOT NULL REFERENCES runs (id),
	correlation_id TEXT NOT NULL DEFAULT '',
	interrupt_id BLOB NOT NULL,
	task_id BLOB,
	step INTEGER NOT NULL DEFAULT 0,
	ordinal INTEGER NOT NULL DEFAULT 0,
	title TEXT NOT NULL DEFAULT '',
	description TEXT NOT NULL DEFAULT '',
	action_request TEXT, -- JSON
	config TEXT, -- JSON
	-- pending, answered, dismissed, expired, superseded
	status TEXT NOT NULL DEFAULT 'pending',
	response_type TEXT,
	response TEXT, -- JSON
	response_key TEXT,
	responded_by BLOB,
	responded_at INTEGER,
	expires_at INTEGER,
	on_expire TEXT,
	read_at INTEGER,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	UNIQUE (run_id, interrupt_id)
);
CREATE INDEX inbox_items_user ON inbox_items (tenant_id, user_id, id);
CREATE INDEX inbox_items_thread ON inbox_items (thread_id, id);
CREATE INDEX inbox_items_expiry ON inbox_items (expires_at)
	WHERE status = 'pending' AND expires_at IS NOT NULL;

-- Effects and their guards ----------------------------------------------

CREATE TABLE idempotency_keys (
	scope TEXT NOT NULL,
	key TEXT NOT NULL,
	request_sha BLOB NOT NULL,
	state TEXT NOT NULL, -- in_progress, done
	status_code INTEGER,
	content_type TEXT,
	location TEXT,
	body BLOB,
	resource_id BLOB,
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);

-- Only effects that nothing else would repair; not a row for each event.
CREATE TABLE outbox (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	tenant_id BLOB NOT NULL,
	kind TEXT NOT NULL, -- webhook, notify, wake, child_done
	dest TEXT NOT NULL,
	ref TEXT NOT NULL, -- JSON
	attempts INTEGER NOT NULL DEFAULT 0,
	next_at INTEGER NOT NULL,
	created_at INTEGER NOT NULL
);
CREATE INDEX outbox_due ON outbox (next_at, id);

CREATE TABLE breakers (
	scope TEXT PRIMARY KEY,
	state TEXT NOT NULL, -- closed, open, half_open
	opened_at INTEGER,
	open_until INTEGER,
	failures INTEGER NOT NULL DEFAULT 0,
	window TEXT NOT NULL DEFAULT '{}' -- JSON
);

CREATE TABLE usage_ledger (
	id BLOB PRIMARY KEY,
	tenant_id BLOB NOT NULL,
	user_id BLOB NOT NULL,
	agent_id BLOB,
	run_id BLOB,
	step INTEGER NOT NULL DEFAULT 0,
	model TEXT NOT NULL,
	input_tokens INTEGER NOT NULL DEFAULT 0,
	output_tokens INTEGER NOT NULL DEFAULT 0,
	cached_tokens INTEGER NOT NULL DEFAULT 0,
	reasoning_tokens INTEGER NOT NULL DEFAULT 0,
	cost_micros INTEGER NOT NULL DEFAULT 0,
	latency_ms INTEGER NOT NULL DEFAULT 0,
	created_at INTEGER NOT NULL
);
CREATE INDEX usage_ledger_tenant ON usage_ledger (tenant_id, created_at);
CREATE INDEX usage_ledger_run ON usage_ledger (run_id);

CREATE TABLE audit_log (
	id BLOB PRIMARY KEY,
	tenant_id BLOB NOT NULL,
	user_id BLOB,
	action TEXT NOT NULL,
	object_kind TEXT NOT NULL DEFAULT '',
	object_id BLOB,
	detail TEXT NOT NULL DEFAULT '{}', -- JSON
	ip TEXT NOT NULL DEFAULT '',
	correlation_id TEXT NOT NULL DEFAULT '',
	created_at INTEGER NOT NULL
);
CREATE INDEX audit_log_tenant ON audit_log (tenant_id, id);
CREATE INDEX audit_log_object ON audit_log (object_id, id)
	WHERE object_id IS NOT NULL;

-- Bytes by content; the key is the SHA-256 in hex.
CREATE TABLE blobs (
	key TEXT PRIMARY KEY,
	bytes BLOB NOT NULL,
	refs INTEGER NOT NULL DEFAULT 0,
	created_at INTEGER NOT NULL
);

CREATE TABLE plugin_kv (
	plugin TEXT NOT NULL,
	scope INTEGER NOT NULL,
	owner TEXT NOT NULL DEFAULT '',
	key TEXT NOT NULL,
	value TEXT NOT NULL, -- JSON
	version INTEGER NOT NULL DEFAULT 1,
	expires_at INTEGER,
	updated_at INTEGER NOT NULL,
	PRIMARY KEY (plugin, scope, owner, key)
);
CREATE INDEX plugin_kv_expiry ON plugin_kv (expires_at)
	WHERE expires_at IS NOT NULL;

-- The log is append-only.  Garbage collection and erasure open it with the
-- row gc_open, in the transaction that also closes it again.
CREATE TRIGGER run_events_no_update BEFORE UPDATE ON run_events
WHEN NOT EXISTS (SELECT 1 FROM node_settings WHERE key = 'gc_open')
BEGIN
	SELECT RAISE(ABORT, 'run_events is append-only');
END;

CREATE TRIGGER run_events_no_delete BEFORE DELETE ON run_events
WHEN NOT EXISTS (SELECT 1 FROM node_settings WHERE key = 'gc_open')
BEGIN
	SELECT RAISE(ABORT, 'run_events is append-only');
END;

INSERT INTO tenants (id, name, created_at)
VALUES (X'00000000000070008000000000000001', 'default', now_us());
