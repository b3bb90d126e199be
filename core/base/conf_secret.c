/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/conf_impl.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * Where a secret is: "file:/path", "env:NAME", "cred:NAME" (a systemd
 * credential), or the text itself in a file that is not for everybody.  The
 * secret is never part of a message.
 */

#define SECRET_MAX 65536

static bool
refuse(char *why, size_t size, const char *text, const char *what)
{
	snprintf(why, size, "%s%s%s", text, what[0] != '\0' ? ": " : "", what);
	return false;
}

static bool
take(char *text, size_t len, char **out, char *why, size_t size)
{
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		text[--len] = '\0';
	if (len == 0 || memchr(text, '\0', len) != NULL ||
	    !text_is_utf8(text, len)) {
		sodium_memzero(text, len);
		free(text);
		return refuse(why, size, "the secret is empty or not text", "");
	}
	*out = text;
	return true;
}

static bool
from_file(const char *path, char **out, char *why, size_t size)
{
	char *text;
	size_t len = 0;
	ssize_t n = 1;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		snprintf(why, size, "cannot read %.200s: %s", path,
		    strerror(errno));
		return false;
	}
	text = xcalloc(1, SECRET_MAX + 1);
	while (n > 0 && len < SECRET_MAX) {
		n = read(fd, text + len, SECRET_MAX - len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			len += (size_t)n;
	}
	close(fd);
	if (n == 0)
		return take(text, len, out, why, size);
	sodium_memzero(text, len);
	free(text);
	snprintf(why, size, "cannot read %.200s: %s", path,
	    n < 0 ? strerror(errno) : "larger than 64k");
	return false;
}

static bool
from_credential(const char *name, char **out, char *why, size_t size)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	char *path;
	bool ok;

	if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL)
		return refuse(why, size, "not a name of a credential", name);
	if (dir == NULL)
		return refuse(why, size,
		    "there are no credentials "
		    "(CREDENTIALS_DIRECTORY is not set)",
		    "");
	path = xasprintf("%s/%s", dir, name);
	ok = from_file(path, out, why, size);
	free(path);
	return ok;
}

static bool
from_environment(const char *name, char **out, char *why, size_t size)
{
	const char *value = getenv(name);

	if (value == NULL || value[0] == '\0') {
		snprintf(why, size,
		    "the environment variable %.100s is not set", name);
		return false;
	}
	return take(xstrdup(value), strlen(value), out, why, size);
}

bool
conf_secret(const char *spec, bool inline_allowed, char **out, char *why,
    size_t size)
{
	*out = NULL;
	if (text_has_prefix(spec, "file:"))
		return from_file(spec + 5, out, why, size);
	if (text_has_prefix(spec, "env:"))
		return from_environment(spec + 4, out, why, size);
	if (text_has_prefix(spec, "cred:"))
		return from_credential(spec + 5, out, why, size);
	if (!inline_allowed)
		return refuse(why, size,
		    "a secret in a file that everybody may read; write "
		    "\"file:/path\", \"env:NAME\" or \"cred:NAME\", or chmod "
		    "o-r the file",
		    "");
	return take(xstrdup(spec), strlen(spec), out, why, size);
}
