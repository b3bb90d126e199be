/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop/program.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/loop.h"
#include "core/loop/pool.h"
#include "core/loop/program_impl.h"

/*
 * One program: its pipes are watched, and so is its end, by a descriptor of the
 * process.  It is not reaped before its group has been killed, so that the
 * group's number cannot be anybody else's by then.
 */

struct out_pipe {
	struct program *p;
	int fd; /* -1: closed */
	struct loop_watch *watch;
	struct buf said; /* and not read yet */
};

struct program {
	struct loop *loop;
	struct pool *pool;
	pid_t pid;
	char *dir;
	int in, pidfd; /* in -1: closed */
	struct loop_watch *in_watch, *end_watch;
	struct out_pipe out[2];
	int64_t n_said;
	bool is_over, said_too_much;
	int32_t code;
	struct fiber_wait wait;
};

/* ---- Its end ------------------------------------------------------- */

static int
remove_one(const char *path, const struct stat *sb, int flag, struct FTW *ftw)
{
	(void)sb;
	(void)flag;
	(void)ftw;
	return remove(path);
}

/* A dead child takes its time if it hangs in the kernel; a folder may be big. */
struct burial {
	struct pool_job job;
	pid_t pid; /* 0: there is none */
	char *dir;
	bool done;
};

static void
bury(struct pool_job *job)
{
	struct burial *b = container_of(job, struct burial, job);

	while (b->pid > 0 && waitpid(b->pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	if (nftw(b->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
		log_warn("program", "cannot remove %s", b->dir);
	b->done = true;
}

static void
burial_free(struct pool_job *job)
{
	struct burial *b = container_of(job, struct burial, job);

	if (!b->done) /* the pool had no room */
		bury(job);
	free(b->dir);
	free(b);
}

static void
out_close(struct out_pipe *o)
{
	loop_watch_free(o->watch);
	o->watch = NULL;
	if (o->fd >= 0)
		close(o->fd);
	o->fd = -1;
}

static void
in_close(struct program *p)
{
	loop_watch_free(p->in_watch);
	p->in_watch = NULL;
	if (p->in >= 0)
		close(p->in);
	p->in = -1;
}

void
program_close(struct program *p)
{
	struct burial *b;

	if (p == NULL)
		return;
	if (p->pid > 0 && kill(-p->pid, SIGKILL) != 0)
		kill(p->pid, SIGKILL);
	in_close(p);
	out_close(&p->out[0]);
	out_close(&p->out[1]);
	buf_free(&p->out[0].said);
	buf_free(&p->out[1].said);
	loop_watch_free(p->end_watch);
	if (p->pidfd >= 0)
		close(p->pidfd);
	b = xcalloc(1, sizeof(*b));
	b->job.fn = bury;
	b->job.free = burial_free;
	b->pid = p->pid;
	b->dir = p->dir;
	if (p->pool == NULL)
		burial_free(&b->job);
	else if (pool_run(p->pool, &b->job, NULL) == AS_OK)
		pool_job_put(&b->job);
	free(p);
}

/* ---- What happens to it -------------------------------------------- */

static void
changed(struct program *p)
{
	if (p->wait.f != NULL)
		fiber_wake(p->wait);
}

/* Not reaped: program_close does that. */
static void
has_ended(int fd, int what, void *arg)
{
	struct program *p = arg;
	siginfo_t info = { 0 };

	(void)fd;
	(void)what;
	if (waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) !=
		0 ||
	    info.si_pid == 0)
		return;
	p->is_over = true;
	p->code = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
	loop_watch_set(p->end_watch, 0);
	changed(p);
}

static void
is_writable(int fd, int what, void *arg)
{
	(void)fd;
	(void)what;
	loop_watch_set(((struct program *)arg)->in_watch, 0);
	changed(arg);
}

static void
has_said(int fd, int what, void *arg)
{
	struct out_pipe *o = arg;
	struct program *p = o->p;
	char piece[4096];
	ssize_t n = read(fd, piece, sizeof(piece));

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		out_close(o);
	} else {
		buf_add(&o->said, piece, (size_t)n);
		p->n_said += n;
		if (o->said.len >= PROGRAM_UNREAD_MAX)
			loop_watch_set(o->watch, 0);
		if (p->n_said > PROGRAM_OUTPUT_MAX) {
			p->said_too_much = true;
			kill(-p->pid, SIGKILL);
		}
	}
	changed(p);
}

/* Until something of it has changed. */
SUSPENDS static enum as_status
program_pause(struct program *p, struct error *err)
{
	enum fiber_exit x;

	p->wait = fiber_prepare();
	x = fiber_suspend(0);
	p->wait.f = NULL;
	if (p->said_too_much)
		return error_set(err, ERR_TOO_LARGE,
		    "the program says more than %d MiB",
		    (int)(PROGRAM_OUTPUT_MAX >> 20));
	return fiber_exit_status(x, err);
}

/* ---- Its beginning ------------------------------------------------- */

static void
pipes_close(struct program_pipes *p)
{
	int *fd = p->in;
	size_t i;

	for (i = 0; i < sizeof(*p) / sizeof(int); i++) {
		if (fd[i] >= 0)
			close(fd[i]);
		fd[i] = -1;
	}
}

/* Above the three, whatever we have ourselves. */
static bool
pipe_make(int fd[2])
{
	int i, high;

	if (pipe2(fd, O_CLOEXEC) != 0)
		return false;
	for (i = 0; i < 2; i++) {
		if (fd[i] >= 3)
			continue;
		high = fcntl(fd[i], F_DUPFD_CLOEXEC, 3);
		close(fd[i]);
		fd[i] = high;
	}
	return fd[0] >= 0 && fd[1] >= 0;
}

static enum as_status
failed(struct error *err, const char *what)
{
	return error_set(err, ERR_UNAVAILABLE, "cannot %s: %s", what,
	    strerror(errno));
}

static enum as_status
folder_make(struct program *p, struct error *err)
{
	const char *tmp = getenv("TMPDIR");

	p->dir = xasprintf("%s/agent-studio-program.XXXXXX",
	    tmp != NULL && *tmp == '/' ? tmp : "/tmp");
	if (mkdtemp(p->dir) != NULL)
		return AS_OK;
	return failed(err, "make a folder for the program");
}

/* Signals of ours must not be handled in the child. */
static enum as_status
program_fork(struct program *p, const struct program_start *start,
    const struct program_pipes *pipes, struct error *err)
{
	sigset_t all, old;
	int fork_errno;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	p->pid = fork();
	if (p->pid == 0)
		program_child(start, p->dir, pipes);
	fork_errno = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (p->pid > 0) {
		setpgid(p->pid, p->pid);
		p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
		return p->pidfd >= 0 ? AS_OK : failed(err, "watch a process");
	}
	p->pid = 0;
	errno = fork_errno;
	return failed(err, "start a process");
}

static void
nonblocking(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* Our ends; they are p's from now on. */
static void
program_watch(struct program *p, struct program_pipes *pipes)
{
	int *ends[] = { pipes->out, pipes->err };
	int i;

	for (i = 0; i < 2; i++) {
		p->out[i].p = p;
		p->out[i].fd = ends[i][0];
		ends[i][0] = -1;
		nonblocking(p->out[i].fd);
		p->out[i].watch = loop_watch(p->loop, p->out[i].fd, LOOP_READ,
		    has_said, &p->out[i]);
	}
	p->in = pipes->in[1];
	pipes->in[1] = -1;
	nonblocking(p->in);
	p->in_watch = loop_watch(p->loop, p->in, 0, is_writable, p);
	p->end_watch = loop_watch(p->loop, p->pidfd, LOOP_READ, has_ended, p);
}

static void
exec_is_over(int fd, int what, void *arg)
{
	(void)fd;
	(void)what;
	changed(arg);
}

/* The pipe closes with exec, or says why it has failed. */
SUSPENDS static enum as_status
exec_wait(struct program *p, int fd, const char *path, struct error *err)
{
	struct loop_watch *w;
	enum as_status st = AS_OK;
	int why = 0;
	ssize_t n;

	nonblocking(fd);
	w = loop_watch(p->loop, fd, LOOP_READ, exec_is_over, p);
	while ((n = read(fd, &why, sizeof(why))) < 0 && st == AS_OK &&
	       (errno == EAGAIN || errno == EINTR))
		st = program_pause(p, err);
	loop_watch_free(w);
	if (st != AS_OK || n <= 0)
		return st;
	if (why == ENOENT)
		return error_not_found(err, "program", path);
	return error_set(err, why == EACCES ? ERR_FORBIDDEN : ERR_UNAVAILABLE,
	    "cannot run %.100s: %s", path, strerror(why));
}

enum as_status
program_open(struct pool *pool, const struct program_start *start,
    struct program **out, struct error *err)
{
	struct program_pipes pipes = { { -1, -1 }, { -1, -1 }, { -1, -1 },
		{ -1, -1 } };
	struct program *p = xcalloc(1, sizeof(*p));
	enum as_status st;

	*out = NULL;
	p->loop = loop_self();
	p->pool = pool;
	p->in = p->pidfd = p->out[0].fd = p->out[1].fd = -1;
	if ((st = folder_make(p, err)) != AS_OK) {
		free(p->dir);
		free(p);
		return st;
	}
	if (!pipe_make(pipes.in) || !pipe_make(pipes.out) ||
	    !pipe_make(pipes.err) || !pipe_make(pipes.why))
		st = failed(err, "make a pipe");
	if (st == AS_OK)
		st = program_fork(p, start, &pipes, err);
	if (st == AS_OK) {
		program_watch(p, &pipes);
		close(pipes.why[1]);
		pipes.why[1] = -1;
		st = exec_wait(p, pipes.why[0], start->path, err);
	}
	pipes_close(&pipes);
	if (st == AS_OK)
		*out = p;
	else
		program_close(p);
	return st;
}

/* ---- Talking to it ------------------------------------------------- */

static bool
said_take(struct program *p, int *from, char **bytes, size_t *len)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (p->out[i].said.len == 0)
			continue;
		*from = i + 1;
		*len = p->out[i].said.len;
		*bytes = buf_take(&p->out[i].said);
		if (p->out[i].watch != NULL)
			loop_watch_set(p->out[i].watch, LOOP_READ);
		return true;
	}
	return false;
}

enum as_status
program_read(struct program *p, int *from, char **bytes, size_t *len,
    struct error *err)
{
	enum as_status st = AS_OK;

	*bytes = NULL;
	*len = 0;
	*from = 0;
	while (st == AS_OK && !said_take(p, from, bytes, len)) {
		if (p->out[0].fd < 0 && p->out[1].fd < 0)
			return AS_OK;
		st = program_pause(p, err);
	}
	return st;
}

static bool
is_stuck(const struct program *p)
{
	return p->out[0].said.len >= PROGRAM_UNREAD_MAX ||
	       p->out[1].said.len >= PROGRAM_UNREAD_MAX;
}

enum as_status
program_write(struct program *p, const void *bytes, size_t len,
    struct error *err)
{
	const char *from = bytes;
	enum as_status st = AS_OK;
	ssize_t n;

	if (len == 0) {
		in_close(p);
		return AS_OK;
	}
	while (st == AS_OK && len > 0) {
		n = p->in >= 0 ? write(p->in, from, len) : -1;
		if (n > 0) {
			from += n;
			len -= (size_t)n;
			continue;
		}
		if (p->in < 0 || (errno != EAGAIN && errno != EINTR))
			return error_set(err, ERR_CONFLICT,
			    "the program does not read any more");
		if (is_stuck(p))
			return error_set(err, ERR_TOO_LARGE,
			    "the program has said %d MiB that nobody has read",
			    (int)(PROGRAM_UNREAD_MAX >> 20));
		loop_watch_set(p->in_watch, LOOP_WRITE);
		st = program_pause(p, err);
	}
	return st;
}

enum as_status
program_wait(struct program *p, int32_t *code, struct error *err)
{
	enum as_status st = AS_OK;

	*code = 0;
	while (st == AS_OK && !p->is_over)
		st = program_pause(p, err);
	if (st == AS_OK)
		*code = p->code;
	return st;
}
