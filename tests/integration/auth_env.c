/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/auth_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/auth/auth.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/plug/plug.h"
#include "tests/integration/store_env.h"

/* See auth_env.h. */

static struct {
	char email[64], password[64];
} people[32];
int accounts_count;

static int
people_find(const char *email)
{
	for (int i = 0; i < accounts_count; i++)
		if (strcmp(people[i].email, email) == 0)
			return i;
	return -1;
}

enum as_status
accounts_add(const char *email, const char *password, struct error *err)
{
	if (people_find(email) >= 0)
		return error_set(err, ERR_EMAIL_TAKEN, "taken");
	snprintf(people[accounts_count].email, 64, "%s", email);
	snprintf(people[accounts_count++].password, 64, "%s", password);
	return AS_OK;
}

enum as_status
plug_auth(struct plug *p, enum plug_auth_op op, const struct plug_caller *who,
    struct json_object *c, struct plug_identity *out, struct error *err)
{
	const char *email = jget_str(c, op == PLUG_UPDATE ? "subject" : "email",
	    "");
	const char *password = jget_str(c, "password", "");
	int i;

	(void)p;
	(void)who;
	if (op == PLUG_SIGNUP && accounts_add(email, password, err) != AS_OK)
		return AS_CONFLICT;
	i = people_find(email);
	if (op == PLUG_UPDATE)
		password = jget_str(c, "current_password", "");
	if (i < 0 || strcmp(people[i].password, password) != 0)
		return error_set(err, ERR_INVALID_CREDENTIALS, "no");
	if (op == PLUG_UPDATE)
		snprintf(people[i].password, 64, "%s",
		    jget_str(c, "password", ""));
	out->subject = xstrdup(email);
	out->email = xstrdup(email);
	out->backend = "test";
	return AS_OK;
}

void
plug_identity_clear(struct plug_identity *id)
{
	free(id->subject);
	free(id->email);
	memset(id, 0, sizeof(*id));
}

/* ---- What each test works with ------------------------------------- */

struct auth *auth;
struct auth_ctx ctx;
struct error auth_err;

void
accounts_make(const char *signup)
{
	struct auth_config config = { .issuer = "https://studio.test",
		.signup = signup,
		.host = "127.0.0.1",
		.access_ms = 900000,
		.refresh_ms = 30 * 86400000LL,
		.attempts = 3,
		.attempts_ms = 60000 };
	char *dir = env_temp_dir();

	auth_free(auth);
	config.data_dir = dir;
	MUST(auth_new(&config, &auth, NULL) == AS_OK);
	env_remove(dir);
	ctx.auth = auth;
}

int
accounts_end(void)
{
	auth_free(auth);
	auth = NULL;
	return env_close();
}

struct json_object *
accounts_body(const char *email, const char *password)
{
	struct json_object *o = jobj();

	jput_str(o, "email", email);
	jput_str(o, "password", password);
	return o;
}

SUSPENDS enum error_code
sign_up(const char *email, struct session *s)
{
	struct json_object *b = accounts_body(email, "password of it");
	enum error_code code;

	error_clear(&auth_err);
	auth_sign_up(&ctx, NULL, b, s, &auth_err);
	code = auth_err.code;
	json_object_put(b);
	return code;
}

SUSPENDS enum error_code
log_in(const char *email, const char *password, struct session *s)
{
	struct json_object *b = accounts_body(email, password);
	enum error_code code;

	error_clear(&auth_err);
	auth_log_in(&ctx, b, s, &auth_err);
	code = auth_err.code;
	json_object_put(b);
	return code;
}

SUSPENDS enum error_code
token(const char *text, struct principal *who)
{
	error_clear(&auth_err);
	auth_by_token(auth, env.store, text, who, &auth_err);
	return auth_err.code;
}

SUSPENDS enum error_code
cookie(const char *text, struct principal *who)
{
	error_clear(&auth_err);
	auth_by_cookie(auth, env.store, text, who, &auth_err);
	return auth_err.code;
}

SUSPENDS enum error_code
renew(const char *refresh, const char *own, struct session *s)
{
	error_clear(&auth_err);
	auth_renew(&ctx, refresh, own, s, &auth_err);
	return auth_err.code;
}

/* Runs fn on a fiber, with an arena of its own. */
void
accounts_run(void (*fn)(void *))
{
	if (!env_ready())
		return;
	if (auth == NULL)
		accounts_make("open");
	ctx = (struct auth_ctx){ .auth = auth,
		.store = env.store,
		.arena = arena_new(NULL),
		.peer = "192.0.2.1" };
	env_run(fn, NULL);
	error_clear(&auth_err);
	arena_free(ctx.arena);
}

void
accounts_clean(void)
{
	static const char *const tables[] = { "audit_log", "users",
		"node_settings", "login_attempts" };
	char text[64];

	accounts_count = 0;
	for (size_t i = 0; i < N_ITEMS(tables); i++) {
		snprintf(text, sizeof(text), "DELETE FROM %s", tables[i]);
		MUST(store_db_run(env.db, text, NULL, 0, NULL, NULL) == AS_OK);
	}
}
