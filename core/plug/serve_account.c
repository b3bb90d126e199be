/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/plug/call.h"
#include "core/plug/grant.h"
#include "core/plug/unit.h"

/* Secrets and credentials, which only the host has. */

static enum as_status
serve_secret(const struct unit *u, const char *name, struct answer *out,
    struct error *err)
{
	char word[160];
	enum as_status st;
	size_t i;

	snprintf(word, sizeof(word), "secret:%s", name);
	if ((st = grant_check(u, word, err)) != AS_OK)
		return st;
	for (i = 0; i < u->n_secrets; i++) {
		if (strcmp(u->secrets[i].name, name) != 0)
			continue;
		out->value = json_object_new_string(u->secrets[i].value);
		return AS_OK;
	}
	return error_set(err, ERR_NOT_FOUND,
	    "there is no secret %.100s: the admin sets it as secrets.%.100s in "
	    "conf.d",
	    name, name);
}

enum as_status
serve_account(struct exchange *x, const struct msg *m, struct answer *out,
    struct error *err)
{
	enum as_status st;

	if (m->name == NULL)
		return error_set(err, ERR_BAD_REQUEST, "no name");
	if (m->kind == SERVE_SECRET)
		return serve_secret(x->unit, m->name, out, err);
	if ((st = grant_check(x->unit, "credential", err)) != AS_OK)
		return st;
	return error_set(err, ERR_NOT_FOUND,
	    "no account is connected to this call");
}
