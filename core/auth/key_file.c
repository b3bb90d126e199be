/* SPDX-License-Identifier: Apache-2.0 */
#include "core/auth/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/folder.h"
#include "core/base/mem.h"
#include "core/base/text.h"

static enum as_status
fail(struct error *err, const char *path, const char *what)
{
	return error_set(err, ERR_INTERNAL, "key file %s: %s", path, what);
}

/*
 * Written under a name that nobody else has, not even a process of the same
 * number on another machine, and linked, which settles who was first.
 */
enum as_status
key_file_make(const char *dir, const char *name, struct error *err)
{
	char *tmp = xasprintf("%s/.%s.%08x", dir, name, randombytes_random());
	char *path = xasprintf("%s/%s", dir, name);
	char hex[2 * KEY_FILE_LEN + 1];
	uint8_t key[KEY_FILE_LEN];
	enum as_status st = AS_OK;
	int fd;

	randombytes_buf(key, sizeof(key));
	text_hex(hex, key, sizeof(key));
	hex[2 * KEY_FILE_LEN] = '\n';
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, hex, sizeof(hex)) != (ssize_t)sizeof(hex) ||
	    fsync(fd) != 0 || (link(tmp, path) != 0 && errno != EEXIST) ||
	    !folder_sync(dir))
		st = fail(err, path, strerror(errno));
	if (fd >= 0) {
		close(fd);
		unlink(tmp);
	}
	free(tmp);
	free(path);
	sodium_memzero(key, sizeof(key));
	sodium_memzero(hex, sizeof(hex));
	return st;
}

enum as_status
key_file_read(const char *path, char *text, size_t size, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	enum as_status st = AS_OK;
	struct stat sb;
	ssize_t n = 0;

	if (fd < 0 || fstat(fd, &sb) != 0)
		st = fail(err, path, strerror(errno));
	else if ((sb.st_mode & 077) != 0)
		st = fail(err, path, "others can read it; chmod 600 it");
	else if ((n = read(fd, text, size - 1)) < 0)
		st = fail(err, path, strerror(errno));
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return st;
}
