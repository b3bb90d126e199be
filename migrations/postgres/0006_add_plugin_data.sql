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
