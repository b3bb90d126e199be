/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store.h"

#include <string.h>

/*
 * Arguments that need a look at their value.  A NULL keeps the type that it
 * would have had in len: PostgreSQL infers the types of a statement when it is
 * prepared, which may well happen with a NULL.
 */

static struct sql_arg
sql_null(enum sql_type type)
{
	return (struct sql_arg){ .type = SQL_TYPE_NULL, .len = type };
}

struct sql_arg
sql_text(const char *s)
{
	return sql_textn(s, s == NULL ? 0 : strlen(s));
}

struct sql_arg
sql_textn(const char *s, size_t len)
{
	if (s == NULL)
		return sql_null(SQL_TYPE_TEXT);
	return (struct sql_arg){ .type = SQL_TYPE_TEXT, .len = len, .v.p = s };
}

struct sql_arg
sql_uuid_or_null(struct uuid id)
{
	if (uuid_is_nil(id))
		return sql_null(SQL_TYPE_UUID);
	return SQL_UUID(id);
}

struct sql_arg
sql_time(int64_t us)
{
	if (us == 0)
		return sql_null(SQL_TYPE_INT);
	return SQL_INT(us);
}
