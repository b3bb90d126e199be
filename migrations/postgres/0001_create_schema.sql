-- SPDX-License-Identifier: Apache-2.0
-- min_compatible: 1
--
-- The whole schema.  Times are microseconds UTC, JSON is text.  A unique
-- constraint is called <table>_<columns>_key on both databases, so that code
-- can tell which one was violated.
--
-- run_events is kept in one table; were it ever to be partitioned, then by
-- range of run_id, whose UUIDv7 order is the order of time.

-- The database's clock.  Tests replace the body by a constant, so that the
-- real one stays small enough to be inlined into the statements that use it.
CREATE FUNCTION now_us() RETURNS bigint LANGUAGE sql STABLE
AS $$ SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::bigint $$;

CREATE TABLE node_settings (
	key text PRIMARY KEY,
	value text NOT NULL
);

CREATE TABLE nodes (
	node_epoch bigserial PRIMARY KEY,
	name text NOT NULL,
	build text NOT NULL DEFAULT '',
	loops integer NOT NULL DEFAULT 1,
	started_at bigint NOT NULL,
	lease_expires_at bigint NOT NULL,
	draining boolean NOT NULL DEFAULT false
);

-- Identity --------------------------------------------------------------

CREATE TABLE tenants (
	id uuid PRIMARY KEY,
	name text NOT NULL,
	created_at bigint NOT NULL
);

CREATE TABLE users (
	id uuid PRIMARY KEY,
	tenant_id uuid NOT NULL REFERENCES tenants (id),
	email text NOT NULL,
	display_name text NOT NULL DEFAULT '',
	avatar_url text,
	locale text,
	disabled_at bigint,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL
);
CREATE UNIQUE INDEX users_email_key ON users (lower(email));
CREATE INDEX users_tenant ON users (tenant_id, id);

CREATE TABLE memberships (
	tenant_id uuid NOT NULL REFERENCES tenants (id),
	user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	role text NOT NULL, -- owner, admin, member
	created_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX memberships_user ON memberships (user_id);

-- Who a backend says someone is; a person may have several.
CREATE TABLE identities (
	backend text NOT NULL,
	subject text NOT NULL,
	user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	created_at bigint NOT NULL,
	PRIMARY KEY (backend, subject)
);
CREATE INDEX identities_user ON identities (user_id);

CREATE TABLE sessions (
	id uuid PRIMARY KEY,
	tenant_id uuid NOT NULL REFERENCES tenants (id),
	user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	cookie_hash bytea NOT NULL UNIQUE,
	user_agent text NOT NULL DEFAULT '',
	ip text NOT NULL DEFAULT '',
	created_at bigint NOT NULL,
	last_seen_at bigint NOT NULL,
	expires_at bigint NOT NULL,
	revoked_at bigint
) WITH (fillfactor = 80);
CREATE INDEX sessions_user ON sessions (user_id, id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- A used token that comes again ends its session.
CREATE TABLE refresh_tokens (
	token_hash bytea PRIMARY KEY,
	session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
	created_at bigint NOT NULL,
	expires_at bigint NOT NULL,
	used_at bigint,
	replaced_by bytea
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);

CREATE TABLE api_keys (
	id uuid PRIMARY KEY,
	tenant_id uuid NOT NULL REFERENCES tenants (id),
	user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	name text NOT NULL DEFAULT '',
	prefix text NOT NULL UNIQUE,
	key_hash bytea NOT NULL,
	scopes text NOT NULL DEFAULT '[]', -- JSON
	created_at bigint NOT NULL,
	last_used_at bigint,
	expires_at bigint,
	revoked_at bigint
);
CREATE INDEX api_keys_user ON api_keys (user_id, id);

CREATE TABLE login_attempts (
	scope text NOT NULL,
	key text NOT NULL,
	window_start bigint NOT NULL,
	count integer NOT NULL DEFAULT 0,
	PRIMARY KEY (scope, key)
);

-- Agents and what they know ---------------------------------------------

CREATE TABLE agents (
	id uuid PRIMARY KEY,
	tenant_id uuid NOT NULL REFERENCES tenants (id),
	user_id uuid NOT NULL REFERENCES users (id),
	name text NOT NULL,
	description text NOT NULL DEFAULT '',
	purpose text NOT NULL DEFAULT '',
	system_prompt text NOT NULL DEFAULT '',
	model_name text,
	memory text NOT NULL DEFAULT '{"enabled":false,"facts":[]}', -- JSON
	agent_state text NOT NULL DEFAULT 'ready', -- draft, ready, paused, error
	toolkits text NOT NULL DEFAULT '[]', -- JSON
	suggested_task_prompts text NOT NULL DEFAULT '[]', -- JSON
	suggested_job_prompts text NOT NULL DEFAULT '[]', -- JSON
	is_public boolean NOT NULL DEFAULT false,
	version bigint NOT NULL DEFAULT 1,
	deleted_at bigint,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL
);
CREATE INDEX agents_owner ON agents (tenant_id, user_id, id)
	WHERE deleted_at IS NULL;
CREATE INDEX agents_public ON agents (tenant_id, id)
	WHERE is_public AND deleted_at IS NULL;

CREATE TABLE agent_versions (
	agent_id uuid NOT NULL REFERENCES agents (id),
	version bigint NOT NULL,
	definition text NOT NULL, -- JSON
	created_by uuid,
	created_at bigint NOT NULL,
	PRIMARY KEY (agent_id, version)
);

CREATE TABLE agent_knowledge (
	id uuid PRIMARY KEY,
	tenant_id uuid NOT NULL REFERENCES tenants (id),
	agent_id uuid NOT NULL REFERENCES agents (id),
	title text NOT NULL,
	summary text NOT NULL DEFAULT '',
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL
);
CREATE INDEX agent_knowledge_agent ON agent_knowledge (agent_id, id);

CREATE TABLE documents (
	id uuid PRIMARY KEY,
	tenant_id uuid NOT NULL REFERENCES tenants (id),
	user_id uuid NOT NULL REFERENCES users (id),
	agent_id uuid NOT NULL REFERENCES agents (id),
	knowledge_id uuid REFERENCES agent_knowledge (id) ON DELETE CASCADE,
	name text NOT NULL,
	media_type text NOT NULL,
	size bigint NOT NULL,
	content_sha256 bytea NOT NULL,
	blob_key text NOT NULL,
	-- uploaded, parsing, chunking, embedding, indexed, failed
	status text NOT NULL,
	progress integer NOT NULL DEFAULT 0,
	attempts integer NOT NULL DEFAULT 0,
	error text, -- JSON
	embedding_model text,
	dim integer,
	metadata text NOT NULL DEFAULT '{}', -- JSON
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL,
	UNIQUE (agent_id, content_sha256)
);

CREATE TABLE chunks (
	id uuid PRIMARY KEY,
	tenant_id uuid NOT NULL REFERENCES tenants (id),
	document_id uuid NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
	ordinal integer NOT NULL,
	start_offset bigint NOT NULL, -- bytes of the document's text
	end_offset bigint NOT NULL,
	content text NOT NULL,
	metadata text NOT NULL DEFAULT '{}', -- JSON
	UNIQUE (document_id, ordinal)
);

-- An account of a person at a service; the credential is sealed.
CREATE TABLE connections (
	id uuid PRIMARY KEY,
	tenant_id uuid NOT NULL REFERENCES tenants (id),
	user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	service text NOT NULL,
	account text NOT NULL DEFAULT '',
	scheme text NOT NULL, -- oauth2, api_key, basic, custom
	scopes text NOT NULL DEFAULT '[]', -- JSON
	-- pending, active, expiring, expired, revoked, error
	status text NOT NULL,
	status_reason text,
	credential bytea,
	key_id text,
	expires_at bigint,
	refresh_at bigint,
	version bigint NOT NULL DEFAULT 1,
	last_used_at bigint,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL,
	UNIQUE (user_id, service, account)
);
CREATE INDEX connections_refresh ON connections (refresh_at)
	WHERE refresh_at IS NOT NULL;

CREATE TABLE toolkits_cache (
	slug text PRIMARY KEY,
	definition text NOT NULL, -- JSON
	fetched_at bigint NOT NULL
);

-- Graphs ----------------------------------------------------------------

CREATE TABLE graphs (
	id uuid PRIMARY KEY,
	tenant_id uuid NOT NULL REFERENCES tenants (id),
	user_id uuid NOT NULL REFERENCES users (id),
	name text NOT NULL,
	description text NOT NULL DEFAULT '',
	draft text, -- JSON
	head_version_id uuid,
	version bigint NOT NULL DEFAULT 1,
	deleted_at bigint,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL
);
CREATE INDEX graphs_owner ON graphs (tenant_id, user_id, id);

-- Immutable: a run names the exact version that it executes.
CREATE TABLE graph_versions (
	id uuid PRIMARY KEY,
	graph_id uuid NOT NULL REFERENCES graphs (id),
	content_sha256 bytea NOT NULL UNIQUE,
	definition text NOT NULL, -- JSON
	compiled bytea,
	created_by uuid,
	created_at bigint NOT NULL
);
CREATE INDEX graph_versions_graph ON graph_versions (graph_id, id);

CREATE TABLE schedules (
	id uuid PRIMARY KEY,
	tenant_id uuid NOT NULL REFERENCES tenants (id),
	user_id uuid NOT NULL REFERENCES users (id),
	agent_id uuid NOT NULL REFERENCES agents (id),
	name text NOT NULL DEFAULT '',
	cron text NOT NULL,
	timezone text NOT NULL DEFAULT 'UTC', -- IANA name
	task text NOT NULL,
	class integer NOT NULL DEFAULT 1,
	overlap text NOT NULL DEFAULT 'skip', -- skip, queue, replace
	jitter_ms bigint NOT NULL DEFAULT 0,
	catch_up integer NOT NULL DEFAULT 1,
	paused boolean NOT NULL DEFAULT false,
	next_at bigint,
	last_at bigint,
	last_run_id uuid,
	ends_at bigint,
	version bigint NOT NULL DEFAULT 1,
	deleted_at bigint,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL
);
CREATE INDEX schedules_owner ON schedules (tenant_id, user_id, id);
CREATE INDEX schedules_due ON schedules (next_at)
	WHERE NOT paused AND deleted_at IS NULL AND next_at IS NOT NULL;

CREATE TABLE webhooks (
	id uuid PRIMARY KEY,
	tenant_id uuid NOT NULL REFERENCES tenants (id),
	user_id uuid NOT NULL REFERENCES users (id),
	url text NOT NULL,
	events text NOT NULL DEFAULT '[]', -- JSON
	secret bytea,
	key_id text,
	paused boolean NOT NULL DEFAULT false,
	failures integer NOT NULL DEFAULT 0,
	last_status integer,
	last_at bigint,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL
);
CREATE INDEX webhooks_owner ON webhooks (tenant_id, user_id, id);

-- Threads, messages, runs -----------------------------------------------
-- Lock order: threads, then runs.
-- What a step writes has no foreign keys: each statement of it hangs on the
-- rows of its thread and run already, and the checks cost as much as the rows.

CREATE TABLE threads (
	id uuid PRIMARY KEY,
	tenant_id uuid NOT NULL REFERENCES tenants (id),
	user_id uuid NOT NULL REFERENCES users (id),
	agent_id uuid NOT NULL REFERENCES agents (id),
	title text NOT NULL DEFAULT '',
	status text NOT NULL DEFAULT 'idle', -- idle, busy, waiting, error
	active_run_id uuid,
	active_leaf uuid, -- the message that the person looks at
	head_ns text NOT NULL DEFAULT '',
	head_checkpoint_id uuid,
	head_seq bigint NOT NULL DEFAULT 0,
	next_msg_seq bigint NOT NULL DEFAULT 1,
	version bigint NOT NULL DEFAULT 1,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX threads_owner ON threads (tenant_id, user_id, id);
CREATE INDEX threads_agent ON threads (agent_id, id);

CREATE TABLE runs (
	id uuid PRIMARY KEY,
	tenant_id uuid NOT NULL,
	thread_id uuid NOT NULL,
	agent_id uuid NOT NULL,
	user_id uuid NOT NULL, -- the owner of the thread
	graph_version_id uuid,
	kind text NOT NULL, -- interactive, ambient, subagent, replay
	class integer NOT NULL DEFAULT 1, -- 0 priority, 1 standard, 2 bulk
	status text NOT NULL,
	correlation_id text NOT NULL DEFAULT '',
	traceparent text,
	created_by_user_id uuid,
	model text,
	parent_run_id uuid,
	root_run_id uuid NOT NULL,
	pending_children integer NOT NULL DEFAULT 0,
	forked_from_run uuid,
	forked_from_checkpoint uuid,
	checkpoint_ns text NOT NULL DEFAULT '',
	checkpoint_id uuid,
	step bigint NOT NULL DEFAULT 0,
	head_seq bigint NOT NULL DEFAULT 0, -- of run_seq
	fence bigint NOT NULL DEFAULT 0,
	version bigint NOT NULL DEFAULT 1,
	last_commit_id uuid,
	owner_epoch bigint,
	crash_count integer NOT NULL DEFAULT 0,
	crash_step bigint,
	attempt integer NOT NULL DEFAULT 0,
	next_attempt_at bigint,
	deadline_at bigint,
	cancel_mode text, -- keep, discard
	cancel_requested_at bigint,
	multitask text,
	block_pos bigint,
	holds_thread boolean NOT NULL DEFAULT false,
	budget text, -- JSON
	usage text, -- JSON
	used_tokens bigint NOT NULL DEFAULT 0,
	used_cost_micros bigint NOT NULL DEFAULT 0,
	error_code text,
	error text, -- JSON
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL,
	started_at bigint,
	completed_at bigint
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX runs_thread_id_key ON runs (thread_id)
	WHERE holds_thread AND parent_run_id IS NULL;
CREATE INDEX runs_thread ON runs (thread_id, id);
CREATE INDEX runs_owner ON runs (tenant_id, user_id, id);
CREATE INDEX runs_parent ON runs (parent_run_id)
	WHERE parent_run_id IS NOT NULL;

CREATE TABLE messages (
	id uuid PRIMARY KEY,
	tenant_id uuid NOT NULL,
	thread_id uuid NOT NULL,
	sequence bigint NOT NULL,
	run_id uuid,
	ns text NOT NULL DEFAULT '',
	step bigint NOT NULL DEFAULT 0,
	ordinal integer NOT NULL DEFAULT 0,
	parent_id uuid,
	role text NOT NULL, -- user, assistant, tool, system
	content text NOT NULL DEFAULT '',
	parts text NOT NULL DEFAULT '[]', -- JSON
	tool_name text,
	tool_call_id text,
	-- final, staged, interrupted, rolled_back, superseded
	state text NOT NULL DEFAULT 'final',
	client_message_id text,
	model text,
	usage text, -- JSON
	created_at bigint NOT NULL,
	UNIQUE (thread_id, sequence),
	UNIQUE (run_id, ns, step, ordinal)
);
CREATE UNIQUE INDEX messages_thread_id_client_message_id_key
	ON messages (thread_id, client_message_id)
	WHERE client_message_id IS NOT NULL;

-- The truth.  seq has no gaps in a thread, run_seq none in a run.  No foreign
-- keys: the log outlives what it tells of.
CREATE TABLE run_events (
	run_id uuid NOT NULL,
	run_seq bigint NOT NULL,
	tenant_id uuid NOT NULL,
	thread_id uuid NOT NULL,
	seq bigint NOT NULL,
	step bigint NOT NULL DEFAULT 0,
	ns text NOT NULL DEFAULT '',
	task_id uuid,
	type text NOT NULL,
	fence bigint NOT NULL DEFAULT 0,
	schema_version integer NOT NULL DEFAULT 1,
	payload text NOT NULL, -- JSON
	created_at bigint NOT NULL,
	PRIMARY KEY (run_id, run_seq),
	UNIQUE (thread_id, seq)
);

CREATE TABLE checkpoints (
	thread_id uuid NOT NULL,
	ns text NOT NULL DEFAULT '',
	checkpoint_id uuid NOT NULL,
	tenant_id uuid NOT NULL,
	parent_id uuid,
	run_id uuid NOT NULL,
	step bigint NOT NULL,
	source text NOT NULL, -- input, loop, update, fork
	graph_version_id uuid,
	manifest text NOT NULL DEFAULT '{}', -- JSON: channel to version
	inline text NOT NULL DEFAULT '{}', -- JSON
	metadata text NOT NULL DEFAULT '{}', -- JSON
	state_hash bytea,
	created_at bigint NOT NULL,
	PRIMARY KEY (thread_id, ns, checkpoint_id)
);
CREATE INDEX checkpoints_run ON checkpoints (run_id, step);

-- Insert or nothing.
CREATE TABLE checkpoint_blobs (
	thread_id uuid NOT NULL,
	ns text NOT NULL DEFAULT '',
	channel text NOT NULL,
	version bigint NOT NULL,
	codec text NOT NULL,
	kind text NOT NULL DEFAULT 'full', -- full, delta
	base_version bigint,
	bytes bytea NOT NULL,
	PRIMARY KEY (thread_id, ns, channel, version)
);

-- idx: from 0 ordinary (insert or nothing); -1 error, -3 interrupt,
-- -(100 + ordinal) resume.
CREATE TABLE checkpoint_writes (
	thread_id uuid NOT NULL,
	ns text NOT NULL DEFAULT '',
	checkpoint_id uuid NOT NULL,
	task_id uuid NOT NULL,
	idx integer NOT NULL,
	channel text NOT NULL,
	codec text NOT NULL,
	bytes bytea NOT NULL,
	run_id uuid NOT NULL,
	fence bigint NOT NULL,
	PRIMARY KEY (thread_id, ns, checkpoint_id, task_id, idx)
);

-- Finished jobs are deleted in the transaction that finishes them.
CREATE TABLE jobs (
	id bigserial PRIMARY KEY,
	tenant_id uuid NOT NULL,
	kind text NOT NULL, -- run, outbox, timer, gc
	class integer NOT NULL DEFAULT 1,
	run_id uuid,
	run_at bigint NOT NULL,
	enqueued_at bigint NOT NULL,
	state integer NOT NULL DEFAULT 0, -- 0 ready, 1 leased
	owner_epoch bigint,
	leased_at bigint,
	progress_at bigint,
	attempts integer NOT NULL DEFAULT 0,
	est_ms bigint,
	payload text -- JSON
) WITH (
	fillfactor = 70,
	autovacuum_vacuum_scale_factor = 0.01,
	autovacuum_analyze_scale_factor = 0.05
);
CREATE UNIQUE INDEX jobs_run_id_key ON jobs (run_id) WHERE kind = 'run';
CREATE INDEX jobs_ready ON jobs (class, run_at, id) WHERE state = 0;
CREATE INDEX jobs_leased ON jobs (owner_epoch) WHERE state = 1;

CREATE TABLE jobs_dead (
	id bigserial PRIMARY KEY,
	tenant_id uuid NOT NULL,
	job_id bigint NOT NULL,
	kind text NOT NULL,
	class integer NOT NULL,
	run_id uuid,
	run_at bigint NOT NULL,
	enqueued_at bigint NOT NULL,
	attempts integer NOT NULL,
	payload text, -- JSON
	run_snapshot text, -- JSON
	reason text NOT NULL,
	errors text NOT NULL DEFAULT '[]', -- JSON: the last 3
	died_at bigint NOT NULL,
	resolution text
);
CREATE INDEX jobs_dead_tenant ON jobs_dead (tenant_id, id);

CREATE TABLE tool_invocations (
	id uuid PRIMARY KEY,
	tenant_id uuid NOT NULL,
	run_id uuid NOT NULL REFERENCES runs (id),
	ns text NOT NULL DEFAULT '',
	step bigint NOT NULL,
	ordinal integer NOT NULL,
	idem_key text NOT NULL UNIQUE,
	tool text NOT NULL,
	tool_version text NOT NULL DEFAULT '',
	tool_call_id text,
	connection_id uuid,
	effect text NOT NULL, -- P, K, N, V, U
	args_hash bytea NOT NULL,
	args text NOT NULL, -- JSON
	-- planned, awaiting_approval, started, parked, succeeded, failed,
	-- unknown, cancelled, skipped
	state text NOT NULL,
	fence bigint NOT NULL,
	attempt integer NOT NULL DEFAULT 0,
	started_at bigint,
	dispatch_deadline bigint,
	key_valid_until bigint,
	completed_at bigint,
	provider_request_id text,
	result text, -- JSON
	result_sha bytea,
	error_code text,
	error text, -- JSON
	retry_after bigint, -- ms
	resolution text, -- auto, verify, operator
	created_at bigint NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX tool_invocations_run ON tool_invocations (run_id, step, ordinal);

-- What a call keeps for the time when it is made again.
CREATE TABLE call_notes (
	invocation_id uuid NOT NULL REFERENCES tool_invocations (id)
		ON DELETE CASCADE,
	key text NOT NULL,
	value text NOT NULL, -- JSON
	PRIMARY KEY (invocation_id, key)
);

CREATE TABLE inbox_items (
	id uuid PRIMARY KEY,
	tenant_id uuid NOT NULL,
	user_id uuid NOT NULL REFERENCES users (id),
	assignee uuid,
	agent_id uuid NOT NULL,
	thread_id uuid NOT NULL REFERENCES threads (id),
	run_id uuid NOT NULL REFERENCES runs (id),
	correlation_id text NOT NULL DEFAULT '',
	interrupt_id uuid NOT NULL,
	task_id uuid,
	step bigint NOT NULL DEFAULT 0,
	ordinal integer NOT NULL DEFAULT 0,
	title text NOT NULL DEFAULT '',
	description text NOT NULL DEFAULT '',
	action_request text, -- JSON
	config text, -- JSON
	-- pending, answered, dismissed, expired, superseded
	status text NOT NULL DEFAULT 'pending',
	response_type text,
	response text, -- JSON
	response_key text,
	responded_by uuid,
	responded_at bigint,
	expires_at bigint,
	on_expire text,
	read_at bigint,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL,
	UNIQUE (run_id, interrupt_id)
);
CREATE INDEX inbox_items_user ON inbox_items (tenant_id, user_id, id);
CREATE INDEX inbox_items_thread ON inbox_items (thread_id, id);
CREATE INDEX inbox_items_expiry ON inbox_items (expires_at)
	WHERE status = 'pending' AND expires_at IS NOT NULL;

-- Effects and their guards ----------------------------------------------

CREATE TABLE idempotency_keys (
	scope text NOT NULL,
	key text NOT NULL,
	request_sha bytea NOT NULL,
	state text NOT NULL, -- in_progress, done
	status_code integer,
	content_type text,
	location text,
	body bytea,
	resource_id uuid,
	created_at bigint NOT NULL,
	expires_at bigint NOT NULL,
	PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);

-- Only effects that nothing else would repair; not a row for each event.
CREATE TABLE outbox (
	id bigserial PRIMARY KEY,
	tenant_id uuid NOT NULL,
	kind text NOT NULL, -- webhook, notify, wake, child_done
	dest text NOT NULL,
	ref text NOT NULL, -- JSON
	attempts integer NOT NULL DEFAULT 0,
	next_at bigint NOT NULL,
	created_at bigint NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX outbox_due ON outbox (next_at, id);

CREATE TABLE breakers (
	scope text PRIMARY KEY,
	state text NOT NULL, -- closed, open, half_open
	opened_at bigint,
	open_until bigint,
	failures integer NOT NULL DEFAULT 0,
	"window" text NOT NULL DEFAULT '{}' -- JSON
);

CREATE TABLE usage_ledger (
	id uuid PRIMARY KEY,
	tenant_id uuid NOT NULL,
	user_id uuid NOT NULL,
	agent_id uuid,
	run_id uuid,
	step bigint NOT NULL DEFAULT 0,
	model text NOT NULL,
	input_tokens bigint NOT NULL DEFAULT 0,
	output_tokens bigint NOT NULL DEFAULT 0,
	cached_tokens bigint NOT NULL DEFAULT 0,
	reasoning_tokens bigint NOT NULL DEFAULT 0,
	cost_micros bigint NOT NULL DEFAULT 0,
	latency_ms bigint NOT NULL DEFAULT 0,
	created_at bigint NOT NULL
);
CREATE INDEX usage_ledger_tenant ON usage_ledger (tenant_id, created_at);
CREATE INDEX usage_ledger_run ON usage_ledger (run_id);

CREATE TABLE audit_log (
	id uuid PRIMARY KEY,
	tenant_id uuid NOT NULL,
	user_id uuid,
	action text NOT NULL,
	object_kind text NOT NULL DEFAULT '',
	object_id uuid,
	detail text NOT NULL DEFAULT '{}', -- JSON
	ip text NOT NULL DEFAULT '',
	correlation_id text NOT NULL DEFAULT '',
	created_at bigint NOT NULL
);
CREATE INDEX audit_log_tenant ON audit_log (tenant_id, id);
CREATE INDEX audit_log_object ON audit_log (object_id, id)
	WHERE object_id IS NOT NULL;

-- Bytes by content; the key is the SHA-256 in hex.
CREATE TABLE blobs (
	key text PRIMARY KEY,
	bytes bytea NOT NULL,
	refs bigint NOT NULL DEFAULT 0,
	created_at bigint NOT NULL
);

CREATE TABLE plugin_kv (
	plugin text NOT NULL,
	scope integer NOT NULL,
	owner text NOT NULL DEFAULT '',
	key text NOT NULL,
	value text NOT NULL, -- JSON
	version bigint NOT NULL DEFAULT 1,
	expires_at bigint,
	updated_at bigint NOT NULL,
	PRIMARY KEY (plugin, scope, owner, key)
);
CREATE INDEX plugin_kv_expiry ON plugin_kv (expires_at)
	WHERE expires_at IS NOT NULL;

-- The log is append-only.  Garbage collection and erasure open it with the
-- row gc_open, in the transaction that also closes it again.  Where the
-- service has a role of its own, grant it INSERT and SELECT only on
-- run_events and run collection under a second role (docs/operations.md).
CREATE FUNCTION run_events_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT 1 FROM node_settings WHERE key = 'gc_open') THEN
		RAISE EXCEPTION 'run_events is append-only'
			USING ERRCODE = 'restrict_violation';
	END IF;
	RETURN coalesce(NEW, OLD);
END
$$;
CREATE TRIGGER run_events_no_change BEFORE UPDATE OR DELETE ON run_events
	FOR EACH ROW EXECUTE FUNCTION run_events_guard();
CREATE TRIGGER run_events_no_truncate BEFORE TRUNCATE ON run_events
	FOR EACH STATEMENT EXECUTE FUNCTION run_events_guard();

INSERT INTO tenants (id, name, created_at)
VALUES ('00000000-0000-7000-8000-000000000001', 'default', now_us());
