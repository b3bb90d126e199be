/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CMD_PLUGIN_CHECK_H
#define CORE_CMD_PLUGIN_CHECK_H

#include <stdbool.h>

/* The words of "agent-studio plugin check"; what was not given is NULL. */
struct plugin_check {
	const char *file, *conf, *script, *seconds;
	const char *only; /* one case; for the kit itself */
	bool json;
};

/* The result is an exit code. */
int plugin_check(const struct plugin_check *words);

#endif
