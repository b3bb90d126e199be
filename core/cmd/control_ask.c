/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/cmd/control.h"
#include "core/cmd/control_impl.h"

/* The command's end of the control socket. */

#define PATIENCE_S 300 /* some commands wait for plugins to start */
#define ANSWER_MAX ((size_t)16 << 20)
#define PROCESSES_MAX 64

void
control_address(int folder, const char *name, struct sockaddr_un *out)
{
	memset(out, 0, sizeof(*out));
	out->sun_family = AF_UNIX;
	snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d/%s",
	    folder, name);
}

int
control_connect(int folder, const char *name)
{
	struct timeval patience = { .tv_sec = PATIENCE_S };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un to;

	control_address(folder, name, &to);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
		    sizeof(patience));
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

static enum as_status
answer_read(int fd, struct json_object **out, struct error *err)
{
	struct buf in = { 0 };
	enum as_status st;
	char room[4096];
	ssize_t n;

	while ((n = read(fd, room, sizeof(room))) > 0 && in.len < ANSWER_MAX)
		buf_add(&in, room, (size_t)n);
	if (n < 0)
		st = error_set(err, ERR_UNAVAILABLE, "no answer: %s",
		    strerror(errno));
	else if (in.len == 0)
		st = error_set(err, ERR_UNAVAILABLE,
		    "it ended without an answer");
	else
		st = json_parse(in.data, in.len, out, err);
	buf_free(&in);
	return st;
}

static enum as_status
ask(int fd, struct json_object *request, struct json_object **out,
    struct error *err)
{
	char *line = xasprintf("%s\n", json_text(request));
	size_t len = strlen(line);
	bool sent = send(fd, line, len, MSG_NOSIGNAL) == (ssize_t)len;

	free(line);
	if (!sent)
		return error_set(err, ERR_UNAVAILABLE, "it does not listen: %s",
		    strerror(errno));
	return answer_read(fd, out, err);
}

static void
ask_one(int fd, struct json_object *request, control_answer_fn each, void *arg)
{
	struct json_object *answer = NULL;
	struct error err = { 0 };
	socklen_t len = sizeof(struct ucred);
	struct ucred who = { 0 };

	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
	ask(fd, request, &answer, &err);
	each(arg, who.pid, answer, &err);
	json_object_put(answer);
	error_clear(&err);
}

static bool
is_control(const char *name)
{
	size_t len = strlen(name);

	return text_has_prefix(name, "control.") && len > 5 &&
	       strcmp(name + len - 5, ".sock") == 0;
}

unsigned
control_ask_all(const char *folder, struct json_object *request,
    control_answer_fn each, void *arg)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	unsigned n = 0;
	int fd;

	while (dir != NULL && n < PROCESSES_MAX &&
	       (entry = readdir(dir)) != NULL) {
		if (!is_control(entry->d_name) ||
		    (fd = control_connect(dirfd(dir), entry->d_name)) < 0)
			continue;
		ask_one(fd, request, each, arg);
		close(fd);
		n++;
	}
	if (dir != NULL)
		closedir(dir);
	return n;
}
