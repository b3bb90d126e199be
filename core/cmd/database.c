/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/database.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"

/* From settings to an open database: SQLite in the data folder by default. */

void
database_failed(const struct settings *s, struct error *err)
{
	const char *remedy = "";

	if (s->store.url[0] == '\0') {
		if (access(s->data_dir, R_OK | W_OK | X_OK) != 0)
			remedy = "; data_dir must be a folder that this user "
				 "may read and write";
	} else if (err->code == ERR_UNAVAILABLE)
		remedy = "; start the database server or correct store.url";
	fprintf(stderr, "agent-studio: %s%s\n", err->detail, remedy);
	error_clear(err);
}

static enum as_status
open_as(const struct settings *s, bool read_only, struct store_db **out,
    struct error *err)
{
	struct store_config c = {
		.migrations_dir = s->store.migrations,
		.readers = (unsigned)s->store.readers,
		.writers = (unsigned)s->store.writers,
		.batch_max = (unsigned)s->store.batch,
		.statement_timeout_ms = s->store.timeout,
		.read_only = read_only,
	};
	enum as_status st;
	char *url;

	url = s->store.url[0] != '\0'
		  ? xstrdup(s->store.url)
		  : xasprintf("sqlite:%s/agent-studio.db", s->data_dir);
	c.url = url;
	st = store_db_open(&c, out, err);
	free(url);
	return st;
}

enum as_status
database_open(const struct settings *s, struct store_db **out,
    struct error *err)
{
	*out = NULL;
	if (mkdir(s->data_dir, 0700) != 0 && errno != EEXIST)
		return error_set(err, ERR_UNAVAILABLE,
		    "cannot make the data folder %s: %s", s->data_dir,
		    strerror(errno));
	return open_as(s, false, out, err);
}

enum as_status
database_open_read_only(const struct settings *s, struct store_db **out,
    struct error *err)
{
	return open_as(s, true, out, err);
}

enum as_status
database_open_current(const struct settings *s, struct store_db **out,
    struct error *err)
{
	enum as_status st = database_open(s, out, err);
	int applied = 0;

	if (st == AS_OK)
		st = store_migrate(*out, !s->store.migrate, &applied, err);
	if (applied > 0)
		log_info("store", "%d migrations applied", applied);
	return st;
}
