/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/cmd.h"
#include "core/cmd/settings.h"
#include "core/plug/plug.h"

/* "agent-studio plugin-host": an isolated plugin's process; see core/plug. */

void
isolation_settings(const struct settings *settings, struct plug_services *out)
{
	out->bundled = PLUGIN_DIR;
	out->child_uid = (unsigned)settings->plugin.child_uid;
	out->child_memory = settings->plugin.child_memory;
}

int
cmd_plugin_host(int argc, char **argv)
{
	return plug_child_main(argc, argv);
}
