/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/json.h"
#include "core/plug/call.h"
#include "core/plug/host.h"

/*
 * Accounts of users and secrets of the admin, as a plugin sees them.  No
 * account is connected to any call so far; whoever may have its credential is
 * told so on the other side.
 */

const struct as_account *
host_connection(struct as_call *call)
{
	(void)call;
	return NULL;
}

SUSPENDS static enum as_status
ask_for(struct as_call *call, enum msg_kind kind, const char *name,
    const char **value)
{
	struct msg m = { .kind = kind };
	struct answer a;
	enum as_status st;

	*value = NULL;
	if (name == NULL || *name == '\0')
		return call_fail(call, AS_INVALID, "no name");
	m.name = call_text(call, name);
	if ((st = call_serve(call, &m, &a)) != AS_OK)
		return st;
	*value = call_text(call, json_object_get_string(a.value));
	answer_clear(&a);
	return AS_OK;
}

enum as_status
host_credential(struct as_call *call, const char *name, const char **value)
{
	return ask_for(call, SERVE_CREDENTIAL, name, value);
}

enum as_status
host_secret(struct as_call *call, const char *name, const char **value)
{
	return ask_for(call, SERVE_SECRET, name, value);
}
