/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/plug/child.h"

/*
 * Starts this program again, as the host of one plugin.  It gets a socket, the
 * image of its file, a pipe for its standard error and nothing else that is
 * open here; of the environment, which may hold secrets, only what a library
 * needs to find its way.  What it gives up it gives up itself, before it maps
 * the plugin: see child_confine.c.
 */

#define SPARE_FD 10 /* above every number that the child has */

static const char *const kept_variables[] = { "PATH", "TZ", "TZDIR", "LANG",
	"LC_ALL", "LC_CTYPE" };

int64_t
child_memory(const struct plug *p)
{
	return p->services.child_memory > 0 ? p->services.child_memory
					    : CHILD_MEMORY_DEFAULT;
}

/* A sanitizer must leave fatal signals alone: they say what it died of. */
static char *
sanitizer_options(void)
{
#if defined(FIBER_ASAN)
	const char *now = getenv("ASAN_OPTIONS");

	return xasprintf("ASAN_OPTIONS=%s:detect_leaks=0:handle_segv=0:"
			 "handle_abort=0:handle_sigbus=0:handle_sigfpe=0:"
			 "handle_sigill=0:allocator_may_return_null=1",
	    now != NULL ? now : "");
#elif defined(FIBER_TSAN)
	const char *now = getenv("TSAN_OPTIONS");

	return xasprintf("TSAN_OPTIONS=%s:handle_segv=0:handle_abort=0",
	    now != NULL ? now : "");
#else
	return NULL;
#endif
}

static char **
environment(void)
{
	char **env = xcalloc(N_ITEMS(kept_variables) + 2, sizeof(*env));
	const char *value;
	size_t i, n = 0;

	for (i = 0; i < N_ITEMS(kept_variables); i++) {
		if ((value = getenv(kept_variables[i])) != NULL)
			env[n++] = xasprintf("%s=%s", kept_variables[i], value);
	}
	env[n] = sanitizer_options();
	return env;
}

/* Out of the way of the numbers that the child has. */
static bool
move_up(int *fd)
{
	int up = fcntl(*fd, F_DUPFD_CLOEXEC, SPARE_FD);

	close(*fd);
	*fd = up;
	return up >= 0;
}

static char *
spawn(const struct child_start *how, int socket, int errors, pid_t *pid)
{
	const struct plug_services *s = &how->plug->services;
	const char *program = s->plugin_host != NULL ? s->plugin_host
						     : "/proc/self/exe";
	char *uid = xasprintf("%u", geteuid() == 0 && s->child_uid > 0
					? s->child_uid + how->number
					: 0);
	char *memory = xasprintf("%lld", (long long)child_memory(how->plug));
	const char *argv[] = { "agent-studio", "plugin-host", how->name,
		how->path, uid, memory, NULL };
	char **env = environment(), **e;
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int error;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID |
					    POSIX_SPAWN_SETSIGMASK |
					    POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, errors, 1);
	posix_spawn_file_actions_adddup2(&files, errors, 2);
	posix_spawn_file_actions_adddup2(&files, socket, CHILD_SOCKET);
	posix_spawn_file_actions_adddup2(&files, how->image, CHILD_IMAGE);
	posix_spawn_file_actions_addclosefrom_np(&files, CHILD_IMAGE + 1);
	error = posix_spawn(pid, program, &files, &attr,
	    (char **)(uintptr_t)argv, env);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	for (e = env; *e != NULL; e++)
		free(*e);
	free(env);
	free(uid);
	free(memory);
	return error == 0 ? NULL
			  : xasprintf("%s: its process cannot be started: %s",
				how->path, strerror(error));
}

static void
close_both(int fds[2])
{
	if (fds[0] >= 0)
		close(fds[0]);
	if (fds[1] >= 0)
		close(fds[1]);
}

char *
child_process_start(const struct child_start *how, struct child_process *out)
{
	int link[2] = { -1, -1 }, errors[2] = { -1, -1 };
	char *sentence = NULL;

	memset(out, 0, sizeof(*out));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		link) != 0 ||
	    pipe2(errors, O_CLOEXEC) != 0 || !move_up(&link[1]) ||
	    !move_up(&errors[1]))
		sentence = xasprintf("%s: its process cannot be started: %s",
		    how->path, strerror(errno));
	else
		sentence = spawn(how, link[1], errors[1], &out->pid);
	if (sentence == NULL && (out->pidfd = pidfd_open(out->pid, 0)) < 0) {
		sentence = xasprintf("%s: its process cannot be watched: %s",
		    how->path, strerror(errno));
		kill(out->pid, SIGKILL);
		waitpid(out->pid, NULL, 0);
	}
	if (sentence != NULL) {
		close_both(link);
		close_both(errors);
		return sentence;
	}
	close(link[1]);
	close(errors[1]);
	fcntl(errors[0], F_SETFL, O_NONBLOCK);
	out->fd = link[0];
	out->errors = errors[0];
	return NULL;
}

/* ---- What is in force ---------------------------------------------- */

unsigned
child_held_by(const struct plug *p)
{
	unsigned held = 0;

	if (geteuid() == 0 && p->services.child_uid > 0)
		held |= HELD_BY_USER;
	if (syscall(SYS_landlock_create_ruleset, NULL, 0,
		LANDLOCK_CREATE_RULESET_VERSION) > 0)
		held |= HELD_BY_FILES;
	return held;
}

struct json_object *
child_held_to_json(const struct plug *p)
{
	unsigned held = child_held_by(p);
	struct json_object *a = jarr();

	json_object_array_add(a, json_object_new_string("system_calls"));
	json_object_array_add(a, json_object_new_string("limits"));
	if (held & HELD_BY_FILES)
		json_object_array_add(a, json_object_new_string("files"));
	if (held & HELD_BY_USER)
		json_object_array_add(a, json_object_new_string("user"));
	return a;
}

void
child_held_say(const struct plug *p)
{
	unsigned held = child_held_by(p);

	if (!(held & HELD_BY_USER))
		log_warn("plugin",
		    "plugins in processes of their own run as the user of "
		    "agent-studio, and their threads are not limited: start it "
		    "as root to give each a user of its own");
	if (!(held & HELD_BY_FILES))
		log_warn("plugin",
		    "this kernel has no Landlock: plugins in processes of "
		    "their own may read what %s may",
		    held & HELD_BY_USER ? "everybody"
					: "the user of agent-studio");
}

void
child_obituary(int status, int64_t memory, char *out, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(out, size, "died of SIG%s",
		    sigabbrev_np(WTERMSIG(status)) != NULL
			? sigabbrev_np(WTERMSIG(status))
			: "?");
	else if (WEXITSTATUS(status) == CHILD_EXIT_MEMORY)
		snprintf(out, size,
		    "died because it wanted more memory than its limit of "
		    "%lld MiB",
		    (long long)(memory >> 20));
	else if (WEXITSTATUS(status) == CHILD_EXIT_CUT_OFF)
		snprintf(out, size, "closed its connection and was ended");
	else
		snprintf(out, size, "ended its process with exit code %d",
		    WEXITSTATUS(status));
}
