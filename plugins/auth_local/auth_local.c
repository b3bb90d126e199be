/* SPDX-License-Identifier: Apache-2.0 */
#include <agentstudio/auth.h>
#include <sodium.h>
#include <stdlib.h>

/*
 * Accounts of this installation: an e-mail address and a password.
 *
 * An account is a kept value under its address, {subject, email, name, hash,
 * created_ms}; under its subject stands the address.  Who signs up writes with
 * as_kv_swap, so of two with one address one wins.  A hash is computed for
 * unknown addresses too: the time tells nothing.  Guesses are limited by the
 * host.  Hashing takes long and much memory by intent: hence AS_BLOCKING.
 */

#define EMAIL_MAX 254
#define PASSWORD_MIN 8
#define PASSWORD_MAX 1024
#define NAME_MAX_LEN 200
#define SUM_LEN 32 /* of argon2id, in libsodium's strings */

struct conf {
	int64_t memory;
	int64_t passes;
};

/* The smallest values are libsodium's own; they are for tests. */
static const struct as_field options[] = {
	AS_SIZE(struct conf, memory, 67108864, 8192, 1073741824, 0,
	    "Memory that hashing one password takes."),
	AS_INT(struct conf, passes, 2, 1, 20, 0,
	    "How often that memory is gone through."),
	AS_END,
};

static const char fields[] = AS_JSON({
	"type" : "object",
	"required" : [ "email", "password" ],
	"properties" : {
		"email" : { "type" : "string", "format" : "email" },
		"password" :
		    { "type" : "string", "minLength" : 8, "maxLength" : 1024 },
		"display_name" : { "type" : "string", "maxLength" : 200 }
	}
});

static const char refusal[] = "wrong email or password";

/* ---- What people type ---- */

/* VALIDATION_FAILED with {field: [message]}. */
static enum as_status
refuse(struct as_call *call, const char *field, const char *message)
{
	struct as_json *details = as_object(call);
	struct as_error error;

	as_put_str(as_put_array(details, field), NULL, message);
	memset(&error, 0, sizeof(error));
	error.size = sizeof(error);
	error.status = AS_INVALID;
	error.message = as_printf(call, "%s: %s", field, message);
	error.details = details;
	return as_fail_with(call, &error);
}

/* Lower-cased (ASCII), without blanks around it; NULL if it is none. */
static const char *
email_normal(struct as_call *call, const char *typed)
{
	size_t len, i, at;
	char *email;

	typed += strspn(typed, " \t\r\n");
	len = strlen(typed);
	while (len > 0 && strchr(" \t\r\n", typed[len - 1]) != NULL)
		len--;
	at = strcspn(typed, "@");
	if (len > EMAIL_MAX || at == 0 || at + 1 >= len ||
	    memchr(typed + at + 1, '@', len - at - 1) != NULL ||
	    (email = as_alloc(call, len + 1)) == NULL)
		return NULL;
	for (i = 0; i < len; i++) {
		if ((unsigned char)typed[i] <= ' ' || typed[i] == 0x7f)
			return NULL;
		email[i] = typed[i] >= 'A' && typed[i] <= 'Z'
			       ? (char)(typed[i] | 32)
			       : typed[i];
	}
	return email;
}

static enum as_status
password_check(struct as_call *call, const char *password)
{
	size_t len = strlen(password);

	if (len < PASSWORD_MIN || len > PASSWORD_MAX)
		return refuse(call, "password", "must have 8 to 1024 bytes");
	return AS_OK;
}

/* ---- Hashes ---- */

static enum as_status
hash_make(struct as_call *call, const char *password,
    char hash[crypto_pwhash_STRBYTES])
{
	const struct conf *conf = as_conf(call);

	if (crypto_pwhash_str_alg(hash, password, strlen(password),
		(unsigned long long)conf->passes, (size_t)conf->memory,
		crypto_pwhash_ALG_ARGON2ID13) != 0)
		return as_fail(call, AS_UNAVAILABLE,
		    "no memory to hash a password just now");
	return AS_OK;
}

static bool
hash_fits(const char *hash, const char *password)
{
	return crypto_pwhash_str_verify(hash, password, strlen(password)) == 0;
}

/* ---- Accounts ---- */

static const char *
account_key(struct as_call *call, const char *email)
{
	return as_printf(call, "account/%s", email);
}

static const char *
subject_key(struct as_call *call, const char *subject)
{
	return as_printf(call, "subject/%s", subject);
}

static enum as_status
account_of_subject(struct as_call *call, const char *subject,
    const struct as_json **account)
{
	const struct as_json *link;
	enum as_status st;

	*account = NULL;
	if (strlen(subject) > 64)
		return as_fail(call, AS_NOTFOUND, "no such account");
	st = as_kv_get(call, AS_KV_PLUGIN, subject_key(call, subject), &link);
	if (st != AS_OK)
		return st;
	return as_kv_get(call, AS_KV_PLUGIN,
	    account_key(call, as_get_str(link, "email", "")), account);
}

static enum as_status
identify(struct as_call *call, const struct as_json *account)
{
	return as_identify(call,
	    AS_TABLE(as_identity, .subject = as_get_str(account, "subject", ""),
		.email = as_get_str(account, "email", ""),
		.name = as_get_str(account, "name", "")));
}

/* The same account with another hash, if it is still as it was read. */
static enum as_status
account_rehash(struct as_call *call, const struct as_json *account,
    const char *password)
{
	struct as_json *changed = as_object(call);
	char hash[crypto_pwhash_STRBYTES];
	struct as_iter it = as_each(account);
	enum as_status st;

	if ((st = hash_make(call, password, hash)) != AS_OK)
		return st;
	while (as_next(&it)) {
		if (strcmp(it.key, "hash") != 0)
			as_put(changed, it.key, it.value);
	}
	as_put_str(changed, "hash", hash);
	return as_kv_swap(call, AS_KV_PLUGIN,
	    account_key(call, as_get_str(account, "email", "")), account,
	    changed, 0);
}

/* ---- The backend ---- */

static enum as_status
login(struct as_call *call, const struct as_json *credentials)
{
	const struct conf *conf = as_conf(call);
	const char *password = as_get_str(credentials, "password", "");
	const char *email = email_normal(call,
	    as_get_str(credentials, "email", ""));
	const struct as_json *account = NULL;
	const char *hash;
	enum as_status st = AS_NOTFOUND;
	bool fits;

	if (strlen(password) > PASSWORD_MAX)
		password = "";
	if (email != NULL)
		st = as_kv_get(call, AS_KV_PLUGIN, account_key(call, email),
		    &account);
	if (st != AS_OK && st != AS_NOTFOUND)
		return st;
	hash = as_get_str(account, "hash", as_state(call));
	fits = hash_fits(hash, password);
	if (account == NULL || !fits)
		return as_fail(call, AS_AUTH, "%s", refusal);
	/* Settings have changed since: this is the moment to follow. */
	if (crypto_pwhash_str_needs_rehash(hash,
		(unsigned long long)conf->passes, (size_t)conf->memory) == 1 &&
	    account_rehash(call, account, password) != AS_OK)
		as_log(call, AS_LOG_WARNING, "a hash could not be renewed");
	return identify(call, account);
}

static enum as_status
account_add(struct as_call *call, const char *email, const char *name,
    const char *hash)
{
	struct as_json *account = as_object(call), *link = as_object(call);
	unsigned char random[16];
	char subject[2 * sizeof(random) + 1];
	enum as_status st;

	randombytes_buf(random, sizeof(random));
	sodium_bin2hex(subject, sizeof(subject), random, sizeof(random));
	as_put_str(link, "email", email);
	as_put_str(account, "subject", subject);
	as_put_str(account, "email", email);
	as_put_str(account, "name", name);
	as_put_str(account, "hash", hash);
	as_put_int(account, "created_ms", as_now_ms(call));
	/* The link first: an account without one could not be changed. */
	st = as_kv_put(call, AS_KV_PLUGIN, subject_key(call, subject), link, 0);
	if (st != AS_OK)
		return st;
	st = as_kv_swap(call, AS_KV_PLUGIN, account_key(call, email), NULL,
	    account, 0);
	if (st == AS_OK)
		return identify(call, account);
	if (st == AS_CONFLICT) {
		as_kv_put(call, AS_KV_PLUGIN, subject_key(call, subject), NULL,
		    0);
		return as_fail(call, AS_CONFLICT,
		    "an account with this e-mail address exists");
	}
	return st;
}

static enum as_status
signup(struct as_call *call, const struct as_json *credentials)
{
	const char *password = as_get_str(credentials, "password", "");
	const char *name = as_get_str(credentials, "display_name", "");
	const char *email = email_normal(call,
	    as_get_str(credentials, "email", ""));
	char hash[crypto_pwhash_STRBYTES];
	enum as_status st;

	if (email == NULL)
		return refuse(call, "email", "is not an e-mail address");
	if ((st = password_check(call, password)) != AS_OK)
		return st;
	if (strlen(name) > 4 * NAME_MAX_LEN)
		return refuse(call, "display_name", "is too long");
	if (*name == '\0')
		name = as_printf(call, "%.*s", (int)strcspn(email, "@"), email);
	if ((st = hash_make(call, password, hash)) != AS_OK)
		return st;
	return account_add(call, email, name, hash);
}

static enum as_status
update(struct as_call *call, const struct as_json *change)
{
	const char *password = as_get_str(change, "password", "");
	const char *current = as_get_str(change, "current_password", "");
	const struct as_json *account;
	enum as_status st;

	if ((st = password_check(call, password)) != AS_OK)
		return st;
	st = account_of_subject(call, as_get_str(change, "subject", ""),
	    &account);
	if (st != AS_OK)
		return st;
	if (strlen(current) > PASSWORD_MAX ||
	    !hash_fits(as_get_str(account, "hash", ""), current))
		return as_fail(call, AS_AUTH,
		    "the current password is another one");
	return account_rehash(call, account, password);
}

/* ---- The plugin ---- */

/*
 * The hash that unknown addresses are compared with: of the right form and
 * cost, but of no password, so it takes no time to make.
 */
static bool
nobody_make(const struct conf *conf, char hash[crypto_pwhash_STRBYTES])
{
	enum {
		VARIANT = sodium_base64_VARIANT_ORIGINAL_NO_PADDING
	};
	unsigned char random[crypto_pwhash_SALTBYTES + SUM_LEN];
	char salt[sodium_base64_ENCODED_LEN(crypto_pwhash_SALTBYTES, VARIANT)];
	char sum[sodium_base64_ENCODED_LEN(SUM_LEN, VARIANT)];

	randombytes_buf(random, sizeof(random));
	sodium_bin2base64(salt, sizeof(salt), random, crypto_pwhash_SALTBYTES,
	    VARIANT);
	sodium_bin2base64(sum, sizeof(sum), random + crypto_pwhash_SALTBYTES,
	    SUM_LEN, VARIANT);
	snprintf(hash, crypto_pwhash_STRBYTES,
	    "$argon2id$v=19$m=%lld,t=%lld,p=1$%s$%s",
	    (long long)(conf->memory / 1024), (long long)conf->passes, salt,
	    sum);
	return crypto_pwhash_str_needs_rehash(hash,
		   (unsigned long long)conf->passes, (size_t)conf->memory) == 0;
}

static enum as_status
init(struct as_call *call)
{
	char *hash = calloc(1, crypto_pwhash_STRBYTES);

	if (hash == NULL || sodium_init() < 0 ||
	    !nobody_make(as_conf(call), hash)) {
		free(hash);
		return as_fail(call, AS_INTERNAL,
		    "this libsodium writes hashes in another form");
	}
	as_set_state(call, hash);
	return AS_OK;
}

static void
fini(struct as_call *call)
{
	free(as_state(call));
	as_set_state(call, NULL);
}

AS_PLUGIN(.name = "auth_local",
    .summary = "Accounts of this installation, with e-mail and password.",
    .version = "1.0.0", .flags = AS_PARALLEL | AS_BLOCKING,
    AS_OPTIONS(struct conf, options), .grants = "kv",
    .auth = AS_AUTH_BACKEND(.fields = fields, .login = login, .signup = signup,
	.update = update),
    .init = init, .fini = fini);
