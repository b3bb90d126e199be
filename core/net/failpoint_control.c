/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/failpoint_control.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * A thread of its own that blocks: the loops must not notice that it is there,
 * and it answers while they hang.  One client at a time.
 */

#define LINE_MAX_ 4096

static void
command(const char *line, struct buf *out)
{
	struct error err = { 0 };
	int64_t us;

	if (strncmp(line, "clock ", 6) == 0 &&
	    text_to_int(line + 6, INT64_MIN / 2, INT64_MAX / 2, &us))
		failpoint_clock_set(us);
	else if (strcmp(line, "hits") == 0)
		failpoint_hits(out);
	else if (strcmp(line, "clear") == 0)
		failpoint_clear();
	else if (failpoint_set(line, &err) != AS_OK) {
		buf_printf(out, "error: %s\n", err.detail);
		error_clear(&err);
		return;
	}
	buf_add_str(out, "ok\n");
}

static void
serve_client(FILE *f)
{
	char line[LINE_MAX_];
	struct buf out = { 0 };

	while (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		command(line, &out);
		if (send(fileno(f), out.data, out.len, MSG_NOSIGNAL) < 0)
			break;
		buf_reset(&out);
	}
	buf_free(&out);
}

static void *
control_main(void *arg)
{
	int fd = (int)(intptr_t)arg, client;
	FILE *f;

	while ((client = accept(fd, NULL, NULL)) >= 0) {
		f = fdopen(client, "r");
		MUST(f != NULL);
		serve_client(f);
		fclose(f);
	}
	return NULL;
}

/* Signals are for the first loop, which reads them from a descriptor. */
static void
thread_start(int fd)
{
	sigset_t all, before;
	pthread_t thread;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	MUST(pthread_create(&thread, NULL, control_main,
		 (void *)(intptr_t)fd) == 0);
	pthread_detach(thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void
failpoint_control_start(void)
{
	const char *path = getenv("AGENT_STUDIO_FAILPOINT_SOCKET");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	if (path == NULL || path[0] == '\0')
		return;
	MUST(strlen(path) < sizeof(sa.sun_path));
	memcpy(sa.sun_path, path, strlen(path));
	unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 &&
	     listen(fd, 8) == 0);
	thread_start(fd);
}
