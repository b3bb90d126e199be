/* SPDX-License-Identifier: Apache-2.0 */
#include "core/auth/internal.h"

/*
 * Rows of the audit log.  They are written in the same batch as what they
 * tell, so that neither is there without the other.
 */

SQL(audit_insert,
    "INSERT INTO audit_log (id, tenant_id, user_id, action, object_kind,"
    " object_id, ip, correlation_id, created_at)"
    " VALUES ($1, $2, $3, $4, 'session', $5, $6, $7, now_us())");

struct sql_call
audit_call(const struct auth_ctx *ctx, const char *action, struct uuid user_id,
    struct uuid session_id, struct audit_args *args)
{
	struct sql_arg *a = args->args;

	a[0] = SQL_UUID(uuid_v7());
	a[1] = SQL_UUID(auth_tenant);
	a[2] = sql_uuid_or_null(user_id);
	a[3] = SQL_TEXT(action);
	a[4] = sql_uuid_or_null(session_id);
	a[5] = SQL_TEXT(ctx->peer);
	a[6] = SQL_TEXT(ctx->correlation_id != NULL ? ctx->correlation_id : "");
	return (struct sql_call){ &audit_insert, a, 7 };
}
