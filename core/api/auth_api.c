/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/handlers.h"
#include "core/api/internal.h"
#include "core/base/json.h"
#include "core/base/text.h"

/* Accounts and sessions over HTTP; the cookie is written here only. */

static void
cookie_set(struct http_req *req, const char *value, const char *more)
{
	const char *url = app_of(req)->settings->server.public_url;
	bool secure = url != NULL && text_has_prefix(url, "https:");

	http_set_header(req, "Set-Cookie",
	    arena_printf(http_arena(req),
		AUTH_COOKIE "=%s; HttpOnly; SameSite=Strict; Path=/%s%s", value,
		more, secure ? "; Secure" : ""));
}

static void
session_reply(struct http_req *req, int status, const struct session *s,
    const char *cookie)
{
	if (cookie != NULL)
		cookie_set(req, cookie, "");
	http_set_header(req, "Cache-Control", "no-store");
	http_reply_json(req, status, session_json(s));
}

/* Whoever signs up for somebody else stays who he is. */
static SUSPENDS const struct principal *
signup_by(struct http_req *req)
{
	if (http_header(req, "authorization") == NULL &&
	    http_cookie(req, AUTH_COOKIE) == NULL)
		return NULL;
	/* A credential that is not good any more is no reason to refuse. */
	if (api_authenticate(req, NULL) != AS_OK)
		return NULL;
	return api_who(req);
}

void
auth_signup(struct http_req *req)
{
	const struct principal *by = signup_by(req);
	struct auth_ctx ctx = api_auth_ctx(req);
	struct error err = { 0 };
	struct json_object *body;
	struct session s;
	enum as_status st;

	st = api_body(req, &body, &err);
	if (st == AS_OK)
		st = auth_sign_up(&ctx, by, body, &s, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		session_reply(req, 201, &s, by == NULL ? s.cookie : NULL);
}

void
auth_login(struct http_req *req)
{
	struct auth_ctx ctx = api_auth_ctx(req);
	struct error err = { 0 };
	struct json_object *body;
	struct session s;
	enum as_status st;

	st = api_body(req, &body, &err);
	if (st == AS_OK)
		st = auth_log_in(&ctx, body, &s, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		session_reply(req, 200, &s, s.cookie);
}

void
auth_refresh(struct http_req *req)
{
	const char *cookie = http_cookie(req, AUTH_COOKIE), *token = NULL;
	struct auth_ctx ctx = api_auth_ctx(req);
	struct error err = { 0 };
	struct json_object *body;
	struct session s;
	enum as_status st;

	st = api_body(req, &body, &err);
	if (st == AS_OK)
		token = jget_str(body, "refresh_token", NULL);
	if (st == AS_OK && cookie != NULL)
		st = api_origin_check(req, &err);
	if (st == AS_OK)
		st = auth_renew(&ctx, token, cookie, &s, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		session_reply(req, 200, &s,
		    s.cookie != NULL ? s.cookie : cookie);
}

void
auth_logout(struct http_req *req)
{
	struct auth_ctx ctx = api_auth_ctx(req);
	struct error err = { 0 };

	if (auth_log_out(&ctx, api_who(req), &err) != AS_OK) {
		api_fail(req, &err);
		return;
	}
	cookie_set(req, "", "; Max-Age=0");
	http_reply_json(req, 204, NULL);
}

void
auth_me(struct http_req *req)
{
	struct auth_ctx ctx = api_auth_ctx(req);
	struct error err = { 0 };
	struct user u;

	if (auth_user(&ctx, api_who(req), &u, &err) != AS_OK)
		api_fail(req, &err);
	else
		http_reply_json(req, 200, user_json(&u));
}

void
auth_me_change(struct http_req *req)
{
	struct auth_ctx ctx = api_auth_ctx(req);
	struct error err = { 0 };
	struct json_object *body;
	enum as_status st;
	struct user u;

	st = api_body(req, &body, &err);
	if (st == AS_OK)
		st = auth_user_change(&ctx, api_who(req), body, &u, &err);
	if (st != AS_OK)
		api_fail(req, &err);
	else
		http_reply_json(req, 200, user_json(&u));
}
