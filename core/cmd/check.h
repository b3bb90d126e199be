/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CMD_CHECK_H
#define CORE_CMD_CHECK_H

#include "core/cmd/settings.h"

/*
 * Read all sections and load the plugins that are enabled, only to see whether
 * that works.
 */
void check_load(struct conf *conf, struct settings *settings);
/* And print what is wrong on standard error. */
bool check_conf(struct conf *conf, struct settings *settings);

#endif
