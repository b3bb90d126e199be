/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CMD_PLUGIN_NEW_H
#define CORE_CMD_PLUGIN_NEW_H

/*
 * A folder with a whole plugin.  dir and templates may be NULL: a folder of
 * the plugin's name, the installed templates.  The result is an exit code.
 */
int plugin_new(const char *kind, const char *name, const char *dir,
    const char *templates);

#endif
