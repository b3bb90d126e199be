/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AS_SDK_AUTH_H
#define AS_SDK_AUTH_H
/* Columns and function tables are set by hand. */
/* clang-format off */

/*
 * Auth backends: who is there.
 *
 * A backend turns what a person brought (a password, a token, an answer from
 * an identity provider) into an identity.  Sessions are the host's affair: it
 * keeps the profile, signs access tokens, rotates refresh tokens, sets
 * cookies, limits guesses.  A backend whose provider has sessions of its own
 * (GoTrue, OIDC) gives them to the host with as_open_session, and implements
 * verify and refresh.
 *
 * Never say which half was wrong: an unknown user and a wrong password are
 * both AS_AUTH with the same text, after the same time.
 */

#include <agentstudio/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

struct as_identity {
	uint32_t size;
	uint32_t reserved;
	const char *subject; /* stable and unique in this backend; required */
	const char *email;
	const char *name;
	const char *avatar_url;
	bool email_verified;
	bool is_admin;
	const struct as_json *claims;
};

/* A provider's own tokens; the host stores them encrypted. */
struct as_session {
	uint32_t size;
	uint32_t reserved;
	const char *access_token;
	const char *refresh_token;
	int64_t expires_ms; /* from now */
};

/*
 * Credentials are an object, as the login form or the API sent it: email,
 * password, display_name, otp, ... whatever .fields says.
 */
struct as_auth {
	uint32_t size;
	uint32_t reserved;

	/* JSON Schema of the credentials; default: email and password. */
	const char *fields;

	AS_SUSPENDS enum as_status (*login)(struct as_call *call,
	    const struct as_json *credentials);
	AS_SUSPENDS enum as_status (*signup)(struct as_call *call,
	    const struct as_json *credentials);

	/*
	 * A token that the host did not sign.  Called once a token and cached
	 * until it expires, so it may be slow; most verify a signature.
	 */
	AS_SUSPENDS enum as_status (*verify)(struct as_call *call,
	    const char *token);
	AS_SUSPENDS enum as_status (*refresh)(struct as_call *call,
	    const char *refresh_token);
	AS_SUSPENDS enum as_status (*logout)(struct as_call *call,
	    const char *access_token);

	/*
	 * Sign-in at the provider's page.  begin answers with as_redirect;
	 * finish gets the parameters that came back.  The host makes and
	 * checks state, nonce and PKCE, and passes {redirect_uri, state,
	 * nonce, code_challenge} and then {code, code_verifier, nonce, ...}.
	 */
	AS_SUSPENDS enum as_status (*begin)(struct as_call *call,
	    const struct as_json *params);
	AS_SUSPENDS enum as_status (*finish)(struct as_call *call,
	    const struct as_json *params);

	/*
	 * Change the password: {subject, current_password, password}.
	 * AS_NOTFOUND: a subject of somebody else's; AS_AUTH: the current one
	 * is not that.
	 */
	AS_SUSPENDS enum as_status (*update)(struct as_call *call,
	    const struct as_json *change);
};

#define AS_AUTH_BACKEND(...)                                                  \
	(&(const struct as_auth){                                             \
	    .size = (uint32_t)sizeof(struct as_auth), __VA_ARGS__ })

struct as_auth_host {
	uint32_t size;
	uint32_t reserved;
	enum as_status (*identify)(struct as_call *,
	    const struct as_identity *);
	enum as_status (*session)(struct as_call *, const struct as_session *);
	enum as_status (*redirect)(struct as_call *, const char *);
	bool (*same)(const char *, const char *);
};

/*
 * This is who it is.  Without it, AS_OK from login and the like is a bug.
 * Fails with AS_CANCELED, AS_INVALID, AS_LIMIT; since 1.0.
 */
static inline enum as_status
as_identify(struct as_call *call, const struct as_identity *identity)
{
	return as_host_table->auth->identify(call, identity);
}

/*
 * Give the provider's own tokens to the host, which keeps them.  Fails with
 * AS_CANCELED; since 1.0.
 */
static inline enum as_status
as_open_session(struct as_call *call, const struct as_session *session)
{
	return as_host_table->auth->session(call, session);
}

/* From begin: send the browser there.  Fails with AS_CANCELED; since 1.0. */
static inline enum as_status
as_redirect(struct as_call *call, const char *url)
{
	return as_host_table->auth->redirect(call, url);
}

/*
 * Compare secrets in a time that does not depend on where they differ.
 * Cannot fail; since 1.0.
 */
static inline bool
as_same_secret(const char *a, const char *b)
{
	return as_host_table->auth->same(a, b);
}

#ifdef __cplusplus
}
#endif

#endif
