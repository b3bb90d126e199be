/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CMD_DATABASE_H
#define CORE_CMD_DATABASE_H

#include "core/cmd/settings.h"
#include "core/store/store.h"

/* The command's name, by which the database knows this process. */
void database_name(const char *command);

/*
 * The database that the settings name; the data folder is made if it is not
 * there.  Blocks.
 */
enum as_status database_open(const struct settings *s, struct store_db **out,
    struct error *err);

/*
 * PostgreSQL: refuses a proxy that lends servers by the transaction.  For
 * whoever serves or executes runs.
 */
enum as_status database_check_proxy(struct store_db *db, struct error *err);

/* And brought up to date, or, without store.migrate, seen to be so. */
enum as_status database_open_current(const struct settings *s,
    struct store_db **out, struct error *err);

/* The same for reading only: it must be there, and nothing is made. */
enum as_status database_open_read_only(const struct settings *s,
    struct store_db **out, struct error *err);

/*
 * For somebody who only looks: of several servers the one that takes writes,
 * and if there is none, whichever answers.
 */
enum as_status database_open_to_look(const struct settings *s,
    struct store_db **out, struct error *err);

/* Tells on standard error why there is no database, and what to do. */
void database_failed(const struct settings *s, struct error *err);

#endif
