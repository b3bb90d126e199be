#include <agentstudio/auth.h>

/*
 * One person, named in the configuration.  Replace find() to ask a directory,
 * a table or a service instead.
 */

struct conf {
	const char *email;
	const char *password;
	bool is_admin;
};

static const struct as_field options[] = {
	AS_STR(struct conf, email, "me@example.org", 0, "Who may sign in."),
	AS_SECRET(struct conf, password, AS_REQUIRED, "With which password."),
	AS_BOOL(struct conf, is_admin, 0, 0, "Is this person an admin?"), AS_END
};

/* Both are compared whatever comes out, so the time tells nothing. */
static bool
find(const struct conf *conf, const char *email, const char *password)
{
	bool known = as_same_secret(email, conf->email);
	bool right = as_same_secret(password, conf->password);

	return known && right;
}

static enum as_status
login(struct as_call *call, const struct as_json *credentials)
{
	const struct conf *conf = as_conf(call);

	if (!find(conf, as_get_str(credentials, "email", ""),
		as_get_str(credentials, "password", "")))
		return as_fail(call, AS_AUTH, "wrong email or password");
	return as_identify(call,
	    AS_TABLE(as_identity, .subject = conf->email, .email = conf->email,
		.email_verified = true, .is_admin = conf->is_admin));
}

AS_PLUGIN(.name = "auth_frozen",
    .summary = "Lets in the person that the configuration names.",
    .version = "0.1.0",
    .flags = AS_PARALLEL, /* no state: any thread may call */
    AS_OPTIONS(struct conf, options), .auth = AS_AUTH_BACKEND(.login = login));
