/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * For LD_PRELOAD: what of a folder a disk would still have after a power loss.
 *
 * A program that is killed leaves the page cache behind, so nothing that it
 * forgot to sync is ever missed.  This notes what it has synced, under
 * POWER_LOSS_ROOT, in the folder POWER_LOSS_DISK:
 *
 *   <file>   for each file that was synced its bytes at that time, by identity
 *   log      "F <file> <path>" a file was synced; "D <path>", lines
 *            "E <file> <name>" and "." a folder was, with these entries
 *
 * A new file's own sync makes its name durable too, as file systems do; a
 * rename, another name or a removal is durable when its folder is synced.
 * power_loss.mjs makes the folder anew from that.  With POWER_LOSS_DEAF set the
 * disk says yes to a sync and does nothing: the test of the test.
 *
 * Each function here replaces the one of libc and keeps its contract.
 */

#define PATH_LEN 1024
#define EXPORT __attribute__((visibility("default")))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *root, *disk;
static bool deaf;

__attribute__((constructor)) static void
begin(void)
{
	root = getenv("POWER_LOSS_ROOT");
	disk = getenv("POWER_LOSS_DISK");
	deaf = getenv("POWER_LOSS_DEAF") != NULL;
	if (disk == NULL)
		root = NULL;
}

/* A test whose own disk fails says nothing of the program's. */
static void
must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "power_loss_shim: %s: %s\n", what, strerror(errno));
	abort();
}

/* An inode's number is given out again; with its time of birth it is not. */
static void
identity(const struct statx *st, char out[64])
{
	snprintf(out, 64, "%llu-%llu", (unsigned long long)st->stx_ino,
	    (unsigned long long)st->stx_btime.tv_sec * 1000000000 +
		st->stx_btime.tv_nsec);
}

static bool
identify(int dir, const char *name, struct statx *st, char out[64])
{
	int flags = AT_SYMLINK_NOFOLLOW | (name[0] == '\0' ? AT_EMPTY_PATH : 0);

	if (statx(dir, name, flags, STATX_BASIC_STATS | STATX_BTIME, st) != 0)
		return false;
	identity(st, out);
	return true;
}

/* Where under the root is it?  False: not there, or without a name. */
static bool
path_of(int fd, char out[PATH_LEN])
{
	char link[64], path[PATH_LEN];
	size_t len = strlen(root);
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return false;
	path[n] = '\0';
	if (strncmp(path, root, len) != 0 ||
	    (path[len] != '/' && path[len] != '\0') ||
	    strstr(path, " (deleted)") != NULL)
		return false;
	snprintf(out, PATH_LEN, "%s", path[len] == '/' ? path + len + 1 : "");
	return true;
}

__attribute__((format(printf, 2, 3))) static void
add(FILE *f, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	must(vfprintf(f, format, ap) > 0, "log");
	va_end(ap);
}

static FILE *
log_open(void)
{
	char path[PATH_LEN];
	FILE *f;

	snprintf(path, sizeof(path), "%s/log", disk);
	f = fopen(path, "ae");
	must(f != NULL, path);
	return f;
}

/* The bytes of a file that is open for reading, onto the disk. */
static void
bytes_copy(int fd, const char *file)
{
	char path[PATH_LEN], block[65536];
	int to;
	off_t at = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", disk, file);
	to = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	must(to >= 0, path);
	while ((n = pread(fd, block, sizeof(block), at)) > 0) {
		must(pwrite(to, block, (size_t)n, at) == n, path);
		at += n;
	}
	must(n == 0 && ftruncate(to, at) == 0, path);
	close(to);
}

/*
 * A file that is only written to is opened anew.  Not the others: closing that
 * descriptor would drop the locks that the process has on the file.
 */
static void
bytes_sync(int fd, const char *file)
{
	char link[64];
	int again = fd;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY)
		again = open(link, O_RDONLY | O_CLOEXEC);
	must(again >= 0, link);
	bytes_copy(again, file);
	if (again != fd)
		close(again);
}

static void
folder_sync(int fd, const char *path)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
	FILE *log = log_open();
	struct dirent *e;
	struct statx st;
	char file[64];

	must(d != NULL, path);
	add(log, "D %s\n", path);
	while ((e = readdir(d)) != NULL)
		if (identify(fd, e->d_name, &st, file) && S_ISREG(st.stx_mode))
			add(log, "E %s %s\n", file, e->d_name);
	add(log, ".\n");
	closedir(d);
	must(fclose(log) == 0, "log");
}

static int
sync_one(int fd)
{
	char path[PATH_LEN], file[64];
	struct statx st;
	FILE *log;

	if (fcntl(fd, F_GETFD) < 0)
		return -1; /* errno is EBADF */
	if (root == NULL || deaf || !path_of(fd, path) ||
	    !identify(fd, "", &st, file))
		return 0;
	pthread_mutex_lock(&lock);
	if (S_ISDIR(st.stx_mode))
		folder_sync(fd, path);
	else if (S_ISREG(st.stx_mode)) {
		bytes_sync(fd, file);
		log = log_open();
		add(log, "F %s %s\n", file, path);
		must(fclose(log) == 0, "log");
	}
	pthread_mutex_unlock(&lock);
	return 0;
}

EXPORT int
fsync(int fd)
{
	return sync_one(fd);
}

EXPORT int
fdatasync(int fd)
{
	return sync_one(fd);
}
