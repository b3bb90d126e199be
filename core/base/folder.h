/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_BASE_FOLDER_H
#define CORE_BASE_FOLDER_H

#include <stdbool.h>

/*
 * Makes the names in a folder durable: a file that was made, renamed or linked
 * there may be gone after a power loss until then, whatever was done to the
 * file itself.  Blocks.  False: errno says why.
 */
bool folder_sync(const char *path);

#endif
