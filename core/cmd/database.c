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

static char name[64];

void
database_name(const char *command)
{
	char host[64] = "";

	gethostname(host, sizeof(host) - 1);
	snprintf(name, sizeof(name), "agent-studio %s %.20s %d", command, host,
	    (int)getpid());
}

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
		.name = name[0] != '\0' ? name : NULL,
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
database_open_to_look(const struct settings *s, struct store_db **out,
    struct error *err)
{
	if (s->store.url[0] != '\0' &&
	    strncmp(s->store.url, "sqlite:", 7) != 0 &&
	    open_as(s, false, out, NULL) == AS_OK)
		return AS_OK;
	return open_as(s, true, out, err);
}

enum as_status
database_check_proxy(struct store_db *db, struct error *err)
{
	enum store_proxy proxy;
	enum as_status st = store_db_proxy(db, &proxy, err);

	if (st != AS_OK || proxy != STORE_PROXY_TRANSACTION)
		return st;
	return error_set(err, ERR_VALIDATION_FAILED,
	    "store.url leads to a proxy that lends servers by the transaction, "
	    "which loses the settings and the locks of a session: connect to "
	    "the server itself, or let the proxy lend by the session "
	    "(PgBouncer: pool_mode = session)");
}

enum as_status
database_open_current(const struct settings *s, struct store_db **out,
    struct error *err)
{
	enum as_status st = database_open(s, out, err);
	int applied = 0;

	if (st == AS_OK)
		st = database_check_proxy(*out, err);
	if (st == AS_OK)
		st = store_migrate(*out, !s->store.migrate, &applied, err);
	if (applied > 0)
		log_info("store", "%d migrations applied", applied);
	return st;
}
