/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/auth/internal.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/plug/plug.h"

/*
 * The person behind a session, as the person sees and changes it.  A backend
 * keeps the password; the rest is a row here.
 */

SQL(user_by_id,
    "SELECT " USER_COLUMNS " FROM users u"
    " JOIN memberships m ON m.tenant_id = u.tenant_id AND m.user_id = u.id"
    " WHERE u.id = $1 AND u.tenant_id = $2");
SQL(user_update, "UPDATE users SET display_name = $2, avatar_url = $3,"
		 " updated_at = now_us() WHERE id = $1 AND tenant_id = $4"
		 " RETURNING updated_at");
SQL(user_subject, "SELECT subject FROM identities WHERE user_id = $1"
		  " ORDER BY created_at, backend LIMIT 1");

void
user_from_row(struct arena *arena, const struct rows *rows, struct user *out)
{
	out->id = rows_uuid(rows, 0, 0);
	out->tenant_id = rows_uuid(rows, 0, 1);
	out->email = arena_strdup(arena, rows_text(rows, 0, 2));
	out->display_name = arena_strdup(arena, rows_text(rows, 0, 3));
	out->avatar_url = arena_strdup(arena, rows_text(rows, 0, 4));
	out->role = role_by_name(rows_text(rows, 0, 5));
	out->created_at = rows_int(rows, 0, 6);
	out->updated_at = rows_int(rows, 0, 7);
}

const char *
user_name(struct arena *arena, const char *given, const char *email)
{
	if (given != NULL && *given != '\0')
		return arena_strdup(arena, given);
	return arena_strndup(arena, email, strcspn(email, "@"));
}

struct json_object *
user_json(const struct user *u)
{
	struct json_object *o = jobj();

	jput_uuid(o, "id", u->id);
	jput_str(o, "email", u->email);
	jput_str(o, "display_name", u->display_name);
	jput_str(o, "avatar_url", u->avatar_url);
	jput_str(o, "role", role_name(u->role));
	jput_time(o, "created_at", u->created_at);
	jput_time(o, "updated_at", u->updated_at);
	return o;
}

enum as_status
user_password_check(struct json_object *body, struct error *err)
{
	struct json_object *v = jget(body, "password");
	size_t len = (size_t)json_object_get_string_len(v);

	if (len < AUTH_PASSWORD_MIN || len > AUTH_PASSWORD_MAX)
		return error_field(err, "password",
		    "must have %d to %d bytes, has %zu", AUTH_PASSWORD_MIN,
		    AUTH_PASSWORD_MAX, len);
	return AS_OK;
}

enum as_status
auth_user(const struct auth_ctx *ctx, const struct principal *who,
    struct user *out, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(who->user_id),
		SQL_UUID(who->tenant_id) };
	struct rows *rows = NULL;
	enum as_status st;

	memset(out, 0, sizeof(*out));
	st = store_query(ctx->store, &user_by_id, args, 2, &rows, err);
	if (st == AS_OK && rows_count(rows) == 0)
		st = error_set(err, ERR_AUTH_REQUIRED, "this account is gone");
	if (st == AS_OK)
		user_from_row(ctx->arena, rows, out);
	rows_free(rows);
	return st;
}

/* Read-only members may come back as they were; updated_at may be older. */
static enum as_status
user_readonly(const struct user *u, struct json_object *body, struct error *err)
{
	static const char *const names[] = { "id", "email", "role",
		"created_at" };
	struct json_object *now = user_json(u);
	const char *text = jget_str(body, "updated_at", NULL);
	enum as_status st = AS_OK;
	int64_t us;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (json_object_object_get_ex(body, names[i], NULL) &&
		    !json_object_equal(jget(body, names[i]),
			jget(now, names[i])))
			st = error_field(err, names[i], "is read-only");
	}
	if (json_object_object_get_ex(body, "updated_at", NULL) &&
	    (text == NULL || !text_time_parse(text, &us) || us > u->updated_at))
		st = error_field(err, "updated_at", "is read-only");
	json_object_put(now);
	return st;
}

static enum as_status
user_check(const struct user *u, struct json_object *body, struct error *err)
{
	const char *avatar = jget_str(body, "avatar_url", NULL);
	enum as_status st = user_readonly(u, body, err);

	if (avatar != NULL && !text_has_prefix(avatar, "https://") &&
	    !text_has_prefix(avatar, "http://"))
		st = error_field(err, "avatar_url",
		    "must be an http or https URL");
	if (jget(body, "password") == NULL)
		return st;
	if (user_password_check(body, err) != AS_OK)
		st = AS_INVALID;
	if (jget(body, "current_password") == NULL)
		st = error_field(err, "current_password",
		    "is needed to change the password");
	return st;
}

static SUSPENDS enum as_status
user_backend_update(const struct auth_ctx *ctx, const struct principal *who,
    struct json_object *body, struct error *err)
{
	struct plug_caller caller = { .tenant_id = who->tenant_id,
		.user_id = who->user_id,
		.correlation_id = ctx->correlation_id };
	struct sql_arg arg = SQL_UUID(who->user_id);
	struct plug_identity identity = { 0 };
	struct json_object *cred = NULL;
	struct rows *rows = NULL;
	enum as_status st;

	st = store_query(ctx->store, &user_subject, &arg, 1, &rows, err);
	if (st == AS_OK && rows_count(rows) == 0)
		st = error_set(err, ERR_UNSUPPORTED,
		    "this account has no password here");
	if (st == AS_OK) {
		cred = jobj();
		jput_str(cred, "subject", rows_text(rows, 0, 0));
		jput(cred, "password", json_object_get(jget(body, "password")));
		jput(cred, "current_password",
		    json_object_get(jget(body, "current_password")));
		st = plug_auth(ctx->plug, PLUG_UPDATE, &caller, cred, &identity,
		    err);
	}
	json_object_put(cred);
	rows_free(rows);
	plug_identity_clear(&identity);
	return st;
}

static SUSPENDS enum as_status
user_password(const struct auth_ctx *ctx, const struct principal *who,
    const struct user *u, struct json_object *body, struct error *err)
{
	struct throttle t = { .account = u->email, .peer = ctx->peer };
	enum as_status st;

	st = throttle_enter(ctx, &t, err);
	if (st != AS_OK)
		return st;
	st = user_backend_update(ctx, who, body, err);
	if (st == AS_AUTH)
		return error_set(err, ERR_INVALID_CREDENTIALS,
		    "the current password is wrong");
	throttle_forget(ctx, &t);
	if (st != AS_OK)
		return st;
	return session_end_others(ctx, who->user_id, who->session_id, err);
}

static SUSPENDS enum as_status
user_profile(const struct auth_ctx *ctx, struct user *u,
    struct json_object *body, struct error *err)
{
	struct rows *rows = NULL;
	struct sql_arg args[4];
	enum as_status st;

	if (json_object_object_get_ex(body, "display_name", NULL))
		u->display_name = user_name(ctx->arena,
		    jget_str(body, "display_name", NULL), u->email);
	if (json_object_object_get_ex(body, "avatar_url", NULL))
		u->avatar_url = arena_strdup(ctx->arena,
		    jget_str(body, "avatar_url", NULL));
	args[0] = SQL_UUID(u->id);
	args[1] = SQL_TEXT(u->display_name);
	args[2] = SQL_TEXT(u->avatar_url);
	args[3] = SQL_UUID(u->tenant_id);
	st = store_exec(ctx->store, &user_update, args, 4, &rows, err);
	if (st == AS_OK)
		u->updated_at = rows_int(rows, 0, 0);
	rows_free(rows);
	return st;
}

enum as_status
auth_user_change(const struct auth_ctx *ctx, const struct principal *who,
    struct json_object *body, struct user *out, struct error *err)
{
	enum as_status st;

	st = auth_user(ctx, who, out, err);
	if (st == AS_OK)
		st = user_check(out, body, err);
	if (st == AS_OK && jget(body, "password") != NULL)
		st = user_password(ctx, who, out, body, err);
	if (st == AS_OK &&
	    (json_object_object_get_ex(body, "display_name", NULL) ||
		json_object_object_get_ex(body, "avatar_url", NULL)))
		st = user_profile(ctx, out, body, err);
	return st;
}
