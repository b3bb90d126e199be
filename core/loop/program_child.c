/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop/program_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Between fork and exec, where other threads have ceased to be in the middle of
 * anything: only system calls, no memory, no locks.
 */

static void
limit(int what, rlim_t to)
{
	struct rlimit r = { to, to };

	setrlimit(what, &r);
}

static void
signals_default(void)
{
	sigset_t none;
	int i;

	for (i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* All but the three are closed by exec; until then one can still be told. */
static void
descriptors_hide(void)
{
	int fd;

	if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
		return;
	for (fd = 3; fd < 65536; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
}

void
program_child(const struct program_start *s, const char *dir,
    const struct program_pipes *p)
{
	rlim_t cpu_s = (rlim_t)((s->cpu_ms + 999) / 1000);
	int why;

	setpgid(0, 0);
	signals_default();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	umask(077);
	if (dup2(p->in[0], 0) == 0 && dup2(p->out[1], 1) == 1 &&
	    dup2(p->err[1], 2) == 2 && chdir(dir) == 0) {
		descriptors_hide();
		limit(RLIMIT_CORE, 0);
		limit(RLIMIT_NOFILE, 256);
		limit(RLIMIT_FSIZE, (rlim_t)PROGRAM_OUTPUT_MAX);
		limit(RLIMIT_CPU, cpu_s);
		limit(RLIMIT_AS, (rlim_t)s->memory);
		execve(s->path, (char *const *)(uintptr_t)s->argv,
		    (char *const *)(uintptr_t)s->env);
	}
	why = errno;
	while (write(p->why[1], &why, sizeof(why)) < 0 && errno == EINTR)
		continue;
	_exit(127);
}
