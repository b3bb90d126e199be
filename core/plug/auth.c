/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/plug/call.h"
#include "core/plug/unit.h"

/*
 * Who is there.  Backends are asked in the order of conf.d until one knows;
 * which of them refused is nobody's business, so all refusals look alike.
 */

struct auth_taker {
	struct json_object *identity;
};

void
plug_identity_clear(struct plug_identity *id)
{
	free(id->subject);
	free(id->email);
	free(id->name);
	free(id->avatar_url);
	memset(id, 0, sizeof(*id));
}

static enum as_status
auth_take(struct exchange *x, const struct msg *m)
{
	struct auth_taker *t = x->taker;

	if (m->kind != EMIT_IDENTITY)
		return AS_OK;
	json_object_put(t->identity);
	t->identity = json_object_get(m->value);
	return AS_OK;
}

static bool
can(const struct as_auth *a, enum plug_auth_op op)
{
	switch (op) {
	case PLUG_LOGIN:
		return a->login != NULL;
	case PLUG_SIGNUP:
		return a->signup != NULL;
	case PLUG_VERIFY:
		return a->verify != NULL;
	default:
		return a->update != NULL;
	}
}

static enum msg_kind
kind_of(enum plug_auth_op op)
{
	switch (op) {
	case PLUG_LOGIN:
		return OP_LOGIN;
	case PLUG_SIGNUP:
		return OP_SIGNUP;
	case PLUG_VERIFY:
		return OP_TOKEN;
	default:
		return OP_UPDATE;
	}
}

static bool
identity_fill(struct plug_identity *out, struct json_object *o,
    const struct unit *u)
{
	if (jget_str(o, "subject", "")[0] == '\0')
		return false;
	out->subject = xstrdup(jget_str(o, "subject", NULL));
	out->email = xstrdup(jget_str(o, "email", NULL));
	out->name = xstrdup(jget_str(o, "name", NULL));
	out->avatar_url = xstrdup(jget_str(o, "avatar_url", NULL));
	out->email_verified = jget_bool(o, "email_verified", false);
	out->is_admin = jget_bool(o, "is_admin", false);
	out->backend = u->of->name;
	return true;
}

SUSPENDS static enum as_status
auth_ask(struct unit *u, enum plug_auth_op op, const struct plug_caller *who,
    struct json_object *credentials, struct plug_identity *out,
    struct error *err)
{
	struct auth_taker t = { 0 };
	struct exchange x = { .plug = u->plug,
		.unit = u,
		.who = who,
		.take = auth_take,
		.taker = &t };
	enum as_status st;

	x.op.kind = kind_of(op);
	x.op.value = credentials;
	if (op == PLUG_VERIFY)
		x.op.name = jget_str(credentials, "token", "");
	st = exchange_run(&x, err);
	if (st == AS_OK && op != PLUG_UPDATE &&
	    !identity_fill(out, t.identity, u))
		st = error_set(err, ERR_INTERNAL,
		    "%s let somebody in without saying whom", u->name);
	json_object_put(t.identity);
	return st;
}

/* The public codes of what only auth can mean. */
static enum as_status
auth_result(enum plug_auth_op op, enum as_status st, struct error *err)
{
	struct json_object *details;

	/* Only the owner of a session may learn that an account is gone. */
	if (st == AS_AUTH || (st == AS_NOTFOUND && op != PLUG_UPDATE))
		return error_set(err, ERR_INVALID_CREDENTIALS, "%s",
		    op == PLUG_UPDATE  ? "the current password is another one"
		    : op == PLUG_LOGIN ? "wrong email or password"
				       : "not a valid token");
	if (st == AS_CONFLICT && op == PLUG_SIGNUP)
		return error_set(err, ERR_EMAIL_TAKEN,
		    "an account with this e-mail address exists");
	if (st == AS_NOTFOUND)
		return error_set(err, ERR_NOT_FOUND, "no such account");
	if (st != AS_INVALID || err == NULL || err->extra == NULL ||
	    (details = jget(err->extra, "details")) == NULL)
		return st;
	json_object_get(details);
	error_set(err, ERR_VALIDATION_FAILED, "%s", err->detail);
	error_member(err, "details", details);
	return st;
}

/* Who can do this, held until all have been asked. */
static size_t
backends_hold(struct plug *p, enum plug_auth_op op, struct unit ***out)
{
	const struct registry *r = registry_now(p);
	struct unit **list = xcalloc(r->n_units + 1, sizeof(struct unit *));
	struct unit *u;
	size_t i, n = 0;

	for (i = 0; i < r->n_units; i++) {
		u = r->units[i];
		if (u->file != NULL && u->file->about.auth != NULL &&
		    unit_is_enabled(u) && can(&u->file->auth, op))
			list[n++] = unit_hold(u);
	}
	*out = list;
	return n;
}

enum as_status
plug_auth(struct plug *p, enum plug_auth_op op, const struct plug_caller *who,
    struct json_object *credentials, struct plug_identity *out,
    struct error *err)
{
	enum as_status st = AS_UNSUPPORTED;
	struct error local = { 0 };
	struct unit **backends;
	size_t i, n;

	memset(out, 0, sizeof(*out));
	n = backends_hold(p, op, &backends);
	for (i = 0; i < n; i++) {
		error_clear(&local);
		st = auth_ask(backends[i], op, who, credentials, out, &local);
		if (st != AS_AUTH && st != AS_NOTFOUND)
			break;
		/* Who signs up is not to be asked for twice. */
		if (op == PLUG_SIGNUP)
			break;
	}
	for (i = 0; i < n; i++)
		unit_drop(backends[i]);
	free(backends);
	if (n == 0)
		st = error_set(&local, ERR_UNSUPPORTED,
		    "no auth plugin does this: enable one, such as "
		    "plugins.auth_local");
	else if (st != AS_OK)
		st = auth_result(op, st, &local);
	if (st != AS_OK && err != NULL)
		error_move(err, &local);
	error_clear(&local);
	return st;
}
