/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <linux/prctl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/plug/child.h"

/*
 * What a plugin's process gives up, before anything of the plugin runs in it:
 * its user if that is root, most of its limits, the file system but the places
 * where libraries and time zones are, and every system call that is not on the
 * list.  So it can compute, wait, and talk through the socket that it has.
 */

#define THREADS_MAX 64

/* ---- User and limits ----------------------------------------------- */

static bool
drop_user(uid_t uid)
{
	if (uid != 0 &&
	    (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 ||
		setresuid(uid, uid, uid) != 0))
		return false;
	/* Its own /proc/self is closed to it otherwise. */
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0;
}

static bool
limit(int resource, rlim_t most)
{
	struct rlimit now;

	if (getrlimit((__rlimit_resource_t)resource, &now) != 0)
		return false;
	if (now.rlim_max != RLIM_INFINITY && now.rlim_max < most)
		most = now.rlim_max;
	now.rlim_cur = now.rlim_max = most;
	return setrlimit((__rlimit_resource_t)resource, &now) == 0;
}

static bool
set_limits(uid_t uid, int64_t memory)
{
	bool ok = limit(RLIMIT_CORE, 0) && limit(RLIMIT_FSIZE, 0) &&
		  limit(RLIMIT_NOFILE, CHILD_FILES_MAX);

	/* Counted for all of a user's processes: only if it has its own. */
	if (uid != 0)
		ok = ok && limit(RLIMIT_NPROC, THREADS_MAX);
#if defined(FIBER_ASAN) || defined(FIBER_TSAN)
	(void)memory; /* the sanitizer reserves more than there is */
	return ok;
#else
	return ok && limit(RLIMIT_DATA, (rlim_t)memory);
#endif
}

/* ---- Files --------------------------------------------------------- */

/* Where there is no Landlock, the user's own rights are what is left. */
static void
fence_files(void)
{
	static const char *const places[] = { "/usr", "/lib", "/lib64",
		"/etc/localtime", "/etc/timezone", "/etc/ld.so.cache",
		"/etc/ssl", "/proc/self", "/dev/null", "/dev/urandom" };
	const uint64_t of_files = LANDLOCK_ACCESS_FS_READ_FILE;
	const uint64_t reads = of_files | LANDLOCK_ACCESS_FS_READ_DIR;
	/* All that the first version knows: beyond reading, nothing at all. */
	struct landlock_ruleset_attr all = {
		.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1
	};
	struct landlock_path_beneath_attr place = { 0 };
	int fd = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all),
	    0);
	size_t i;

	if (fd < 0)
		return;
	for (i = 0; i < N_ITEMS(places); i++) {
		place.parent_fd = open(places[i], O_PATH | O_CLOEXEC);
		if (place.parent_fd < 0)
			continue;
		place.allowed_access = reads;
		if (syscall(SYS_landlock_add_rule, fd,
			LANDLOCK_RULE_PATH_BENEATH, &place, 0) != 0) {
			place.allowed_access = of_files;
			syscall(SYS_landlock_add_rule, fd,
			    LANDLOCK_RULE_PATH_BENEATH, &place, 0);
		}
		close(place.parent_fd);
	}
	syscall(SYS_landlock_restrict_self, fd, 0);
	close(fd);
}

/* ---- System calls -------------------------------------------------- */

/* Memory, threads, time, waiting, reading: as they are. */
static const int allowed[] = {
	/* what is open */
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(pread64),
	SCMP_SYS(preadv),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(close),
	SCMP_SYS(lseek),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	SCMP_SYS(stat),
	SCMP_SYS(lstat),
	SCMP_SYS(fstatfs),
	SCMP_SYS(statfs),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(getdents64),
	SCMP_SYS(getcwd),
	SCMP_SYS(dup),
	SCMP_SYS(dup2),
	SCMP_SYS(dup3),
	SCMP_SYS(fadvise64),
	/* memory */
	SCMP_SYS(munmap),
	SCMP_SYS(mprotect),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	SCMP_SYS(mlock),
	SCMP_SYS(munlock),
	SCMP_SYS(mincore),
	SCMP_SYS(membarrier),
	/* threads, and their signals */
	SCMP_SYS(futex),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(set_tid_address),
	SCMP_SYS(rseq),
	SCMP_SYS(arch_prctl),
	SCMP_SYS(gettid),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_getparam),
	SCMP_SYS(sched_getscheduler),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigpending),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	/* waiting */
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(select),
	SCMP_SYS(pselect6),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2),
	SCMP_SYS(eventfd2),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(pipe2),
	/* what there is to know */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(times),
	SCMP_SYS(getrandom),
	SCMP_SYS(uname),
	SCMP_SYS(sysinfo),
	SCMP_SYS(getrusage),
	SCMP_SYS(getrlimit),
	SCMP_SYS(getpid),
	SCMP_SYS(getppid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(getcpu),
};

static bool
allow(scmp_filter_ctx ctx, int call, unsigned n, struct scmp_arg_cmp a,
    struct scmp_arg_cmp b)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, n, a, b) == 0;
}

/*
 * Of descriptors: no owner and no signal of ours.  The kernel would send it to
 * any process of the same user, and that may be the host.
 */
static bool
allow_fcntl(scmp_filter_ctx ctx)
{
	static const int commands[] = { F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD,
		F_SETFD, F_GETFL };
	const struct scmp_arg_cmp none = { 0 };
	bool ok = true;
	size_t i;

	for (i = 0; ok && i < N_ITEMS(commands); i++)
		ok = allow(ctx, SCMP_SYS(fcntl), 1,
		    SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)commands[i], 0), none);
	return ok &&
	       allow(ctx, SCMP_SYS(fcntl), 2, SCMP_A1(SCMP_CMP_EQ, F_SETFL, 0),
		   SCMP_A2(SCMP_CMP_MASKED_EQ, O_ASYNC, 0));
}

/* RLIMIT_DATA counts neither memory to be shared nor what grows as a stack. */
static bool
allow_mmap(scmp_filter_ctx ctx)
{
	const struct scmp_arg_cmp none = { 0 };

	return allow(ctx, SCMP_SYS(mmap), 1,
		   SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_SHARED | MAP_GROWSDOWN, 0),
		   none) &&
	       allow(ctx, SCMP_SYS(mmap), 1,
		   SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS | MAP_GROWSDOWN,
		       0),
		   none);
}

/* Those that depend on what they are asked for. */
static bool
allow_some(scmp_filter_ctx ctx)
{
	const struct scmp_arg_cmp none = { 0 };
	const scmp_datum_t changes = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC |
				     (O_TMPFILE & ~O_DIRECTORY);
	const scmp_datum_t pid = (scmp_datum_t)getpid();

	return allow(ctx, SCMP_SYS(openat), 1,
		   SCMP_A2(SCMP_CMP_MASKED_EQ, changes, 0), none) &&
	       allow(ctx, SCMP_SYS(open), 1,
		   SCMP_A1(SCMP_CMP_MASKED_EQ, changes, 0), none) &&
	       /* the socket to the host, which it cannot connect elsewhere */
	       allow(ctx, SCMP_SYS(sendto), 2,
		   SCMP_A0(SCMP_CMP_EQ, CHILD_SOCKET, 0),
		   SCMP_A4(SCMP_CMP_EQ, 0, 0)) &&
	       allow(ctx, SCMP_SYS(clone), 1,
		   SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD),
		   none) &&
	       allow(ctx, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, pid, 0),
		   none) &&
	       allow(ctx, SCMP_SYS(kill), 1, SCMP_A0(SCMP_CMP_EQ, pid, 0),
		   none) &&
	       allow(ctx, SCMP_SYS(prlimit64), 2, SCMP_A0(SCMP_CMP_EQ, 0, 0),
		   SCMP_A2(SCMP_CMP_EQ, 0, 0)) &&
	       allow(ctx, SCMP_SYS(prctl), 1,
		   SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0), none) &&
	       allow(ctx, SCMP_SYS(prctl), 1,
		   SCMP_A0(SCMP_CMP_EQ, PR_SET_VMA, 0), none);
}

static bool
filter_calls(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	bool ok = ctx != NULL &&
		  seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1) == 0;
	size_t i;

	/* What a call that this machine does not have would say. */
	for (i = 0; ok && i < N_ITEMS(allowed); i++)
		ok = allowed[i] < 0 ||
		     seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0) == 0;
	ok = ok && allow_some(ctx) && allow_fcntl(ctx) && allow_mmap(ctx) &&
	     /* Its flags are in memory: libc shall take clone. */
	     seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3),
		 0) == 0 &&
	     seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(openat2),
		 0) == 0;
	ok = ok && seccomp_load(ctx) == 0;
	if (ctx != NULL)
		seccomp_release(ctx);
	return ok;
}

char *
guest_confine(uid_t uid, int64_t memory)
{
	if (!drop_user(uid))
		return xasprintf("cannot become user %u: %s", (unsigned)uid,
		    strerror(errno));
	if (!set_limits(uid, memory))
		return xasprintf("cannot set its limits: %s", strerror(errno));
	fence_files();
	if (!filter_calls())
		return xasprintf("cannot filter system calls: this kernel has "
				 "no seccomp, use isolation = \"none\"");
	return NULL;
}
