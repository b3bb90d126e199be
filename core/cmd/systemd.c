/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/systemd.h"

#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/text.h"

#define FIRST_FD 3

/* Of a variable that is meant for this process; else dflt. */
static int64_t
variable(const char *name, int64_t dflt)
{
	const char *text = getenv(name);
	int64_t n = dflt;

	if (text == NULL || !text_to_int(text, 0, INT64_MAX, &n))
		return dflt;
	return n;
}

/* ---- Sockets ------------------------------------------------------- */

static int
int_option(int fd, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	if (getsockopt(fd, SOL_SOCKET, option, &value, &len) != 0)
		return -1;
	return value;
}

static enum as_status
socket_check(int fd, char *host, size_t host_len, struct error *err)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int domain = int_option(fd, SO_DOMAIN);

	if (int_option(fd, SO_TYPE) != SOCK_STREAM ||
	    int_option(fd, SO_ACCEPTCONN) != 1 ||
	    (domain != AF_INET && domain != AF_INET6))
		return error_set(err, ERR_BAD_REQUEST,
		    "descriptor %d, which was handed over (LISTEN_FDS), is not "
		    "a TCP socket that listens",
		    fd);
	if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0 ||
	    getnameinfo((struct sockaddr *)&sa, len, host, (socklen_t)host_len,
		NULL, 0, NI_NUMERICHOST) != 0)
		return error_set(err, ERR_BAD_REQUEST,
		    "descriptor %d, which was handed over, has no address", fd);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	return AS_OK;
}

enum as_status
systemd_listener(int *fd, char *host, size_t host_len, struct error *err)
{
	int64_t n = variable("LISTEN_FDS", 0);
	bool ours = variable("LISTEN_PID", 0) == getpid();

	*fd = 0;
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
	if (!ours || n == 0)
		return AS_OK;
	if (n != 1)
		return error_set(err, ERR_BAD_REQUEST,
		    "LISTEN_FDS is %lld: one socket is expected, such as "
		    "[::]:8080 for both kinds of addresses",
		    (long long)n);
	*fd = FIRST_FD;
	return socket_check(FIRST_FD, host, host_len, err);
}

/* ---- Notifications ------------------------------------------------- */

void
systemd_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t len = path != NULL ? strlen(path) : 0;
	int fd;

	if (len == 0 || len >= sizeof(sa.sun_path))
		return;
	memcpy(sa.sun_path, path, len);
	if (path[0] == '@') /* the abstract namespace */
		sa.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL,
	    (const struct sockaddr *)&sa,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	close(fd);
}

int64_t
systemd_watchdog_ms(void)
{
	if (getenv("NOTIFY_SOCKET") == NULL ||
	    variable("WATCHDOG_PID", getpid()) != getpid())
		return 0;
	return variable("WATCHDOG_USEC", 0) / 1000;
}

/* ---- The journal --------------------------------------------------- */

bool
systemd_has_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char own[64];
	struct stat st;

	if (stream == NULL || fstat(fd, &st) != 0)
		return false;
	snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)st.st_dev,
	    (uintmax_t)st.st_ino);
	return strcmp(stream, own) == 0;
}
