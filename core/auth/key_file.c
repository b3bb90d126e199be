/* SPDX-License-Identifier: Apache-2.0 */
#include "core/auth/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/folder.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/* Written under another name and linked, which settles who was first. */
enum as_status
key_file_make(const char *dir, const char *name, struct error *err)
{
	char *tmp = xasprintf("%s/.%s.%ld", dir, name, (long)getpid());
	char *path = xasprintf("%s/%s", dir, name);
	char hex[2 * KEY_FILE_LEN + 1];
	uint8_t key[KEY_FILE_LEN];
	enum as_status st = AS_OK;
	int fd;

	randombytes_buf(key, sizeof(key));
	text_hex(hex, key, sizeof(key));
	hex[2 * KEY_FILE_LEN] = '\n';
	unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, hex, sizeof(hex)) != (ssize_t)sizeof(hex) ||
	    fsync(fd) != 0 || (link(tmp, path) != 0 && errno != EEXIST) ||
	    !folder_sync(dir))
		st = error_set(err, ERR_INTERNAL, "key file %s: %s", path,
		    strerror(errno));
	if (fd >= 0)
		close(fd);
	unlink(tmp);
	free(tmp);
	free(path);
	sodium_memzero(key, sizeof(key));
	sodium_memzero(hex, sizeof(hex));
	return st;
}
