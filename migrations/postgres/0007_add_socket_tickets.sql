-- SPDX-License-Identifier: Apache-2.0
-- min_compatible: 1
--
-- Tickets: what a page shows to open a WebSocket, instead of its token.  Good for
-- seconds and once.  A used one stays for some minutes, so that a second use
-- is told apart.

CREATE TABLE socket_tickets (
	ticket_hash bytea PRIMARY KEY,
	session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
	thread_id uuid, -- NULL: any of the user's
	origin text NOT NULL, -- of the page that asked for it; '' if none did
	good_until bigint NOT NULL, -- of the credential that it was made by
	created_at bigint NOT NULL,
	expires_at bigint NOT NULL,
	used_at bigint
);
CREATE INDEX socket_tickets_session ON socket_tickets (session_id, expires_at);
CREATE INDEX socket_tickets_expires ON socket_tickets (expires_at);
