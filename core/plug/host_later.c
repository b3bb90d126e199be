/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plug/call.h"
#include "core/plug/host.h"

/*
 * Services that have their place in the table but nobody behind them yet.
 * Each says so in a sentence, so that a plugin's failure names its cause.
 */

static enum as_status
later(struct as_call *call, const char *what)
{
	return call_fail(call, AS_UNSUPPORTED,
	    "this version of agent-studio does not offer %s to plugins", what);
}

const struct as_account *
host_connection(struct as_call *call)
{
	(void)call;
	return NULL;
}

enum as_status
host_credential(struct as_call *call, const char *name, const char **value)
{
	(void)name, (void)value;
	return later(call, "credentials of connected accounts");
}

enum as_status
host_secret(struct as_call *call, const char *name, const char **value)
{
	(void)name, (void)value;
	return later(call, "secrets by name (an option of type secret works)");
}

enum as_status
host_ask(struct as_call *call, const char *key,
    const struct as_question *question, const struct as_answer **answer)
{
	(void)key, (void)question, (void)answer;
	return later(call, "questions to people");
}

enum as_status
host_keep(struct as_call *call, const char *key, const struct as_json *value)
{
	(void)key, (void)value;
	return later(call, "notes for a repeated call");
}

const struct as_json *
host_kept(struct as_call *call, const char *key)
{
	(void)call, (void)key;
	return NULL;
}
