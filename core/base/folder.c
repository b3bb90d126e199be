/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/folder.h"

#include <fcntl.h>
#include <unistd.h>

bool
folder_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}
