/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fault/power_loss_vfs.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"

/*
 * One image a file, shared by all handles: `data` is what the process sees,
 * `ops` what it has done since the last sync, `fd` the disk.  The fd stays
 * open until power_loss_restore, because closing it would release the locks
 * that the real VFS holds on the same file.
 */

struct op {
	struct op *next;
	bool is_truncate;
	size_t at, len;
	char data[];
};

struct image {
	struct image *next;
	char *name;
	int fd;
	char *data;
	size_t size, cap;
	struct op *ops, **tail;
};

struct file {
	sqlite3_file base;
	struct image *image;
	sqlite3_file *real; /* for locks and shared memory */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct image *images;
static bool dead;
static sqlite3_vfs *real_vfs;
static sqlite3_vfs vfs;

/* ---- Images -------------------------------------------------------- */

static void
image_grow(struct image *im, size_t size)
{
	if (size > im->cap) {
		im->cap = size * 2;
		im->data = xrealloc(im->data, im->cap);
	}
	if (size > im->size)
		memset(im->data + im->size, 0, size - im->size);
	im->size = size;
}

static struct image *
image_find(const char *name)
{
	struct image *im = images;

	while (im != NULL && strcmp(im->name, name) != 0)
		im = im->next;
	return im;
}

static struct image *
image_open(const char *name)
{
	struct image *im = image_find(name);
	struct stat sb;

	if (im != NULL)
		return im;
	im = xcalloc(1, sizeof(*im));
	im->name = xstrdup(name);
	im->tail = &im->ops;
	im->fd = open(name, O_RDWR | O_CLOEXEC);
	MUST(im->fd >= 0 && fstat(im->fd, &sb) == 0);
	image_grow(im, (size_t)sb.st_size);
	MUST(pread(im->fd, im->data, im->size, 0) == (ssize_t)im->size);
	im->next = images;
	images = im;
	return im;
}

static void
image_op(struct image *im, bool is_truncate, const void *p, size_t len,
    size_t at)
{
	struct op *op = xcalloc(1, sizeof(*op) + len);

	op->is_truncate = is_truncate;
	op->at = at;
	op->len = len;
	if (len > 0)
		memcpy(op->data, p, len);
	*im->tail = op;
	im->tail = &op->next;
}

static void
op_to_disk(struct image *im, const struct op *op)
{
	if (op->is_truncate)
		MUST(ftruncate(im->fd, (off_t)op->at) == 0);
	else
		MUST(pwrite(im->fd, op->data, op->len, (off_t)op->at) ==
		     (ssize_t)op->len);
}

static bool
chance(unsigned *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 16) & 1;
}

/* All of it, or what the disk happened to have done already. */
static void
image_flush(struct image *im, bool all, unsigned *seed)
{
	struct op *op, *next;

	for (op = im->ops; op != NULL; op = next) {
		next = op->next;
		if (all || (*seed != 0 && chance(seed)))
			op_to_disk(im, op);
		free(op);
	}
	im->ops = NULL;
	im->tail = &im->ops;
}

static void
image_free(struct image *im)
{
	unsigned seed = 0;

	image_flush(im, false, &seed);
	close(im->fd);
	free(im->name);
	free(im->data);
	free(im);
}

/* ---- A file -------------------------------------------------------- */

static struct file *
file_of(sqlite3_file *f)
{
	return (struct file *)(void *)f;
}

static sqlite3_file *
real_of(sqlite3_file *f)
{
	return file_of(f)->real;
}

static int
file_close(sqlite3_file *f)
{
	return real_of(f)->pMethods->xClose(real_of(f));
}

static int
file_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	struct image *im = file_of(f)->image;
	size_t len = (size_t)n, have = 0;
	int rc = SQLITE_OK;

	pthread_mutex_lock(&lock);
	if ((size_t)at < im->size)
		have = im->size - (size_t)at;
	if (have < len) {
		memset(p, 0, len);
		rc = SQLITE_IOERR_SHORT_READ;
		len = have;
	}
	if (dead)
		rc = SQLITE_IOERR_READ;
	else if (len > 0)
		memcpy(p, im->data + at, len);
	pthread_mutex_unlock(&lock);
	return rc;
}

static int
file_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	struct image *im = file_of(f)->image;
	size_t end = (size_t)at + (size_t)n;
	int rc = SQLITE_IOERR_WRITE;

	pthread_mutex_lock(&lock);
	if (!dead) {
		image_grow(im, end > im->size ? end : im->size);
		memcpy(im->data + at, p, (size_t)n);
		image_op(im, false, p, (size_t)n, (size_t)at);
		rc = SQLITE_OK;
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

static int
file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	struct image *im = file_of(f)->image;
	int rc = SQLITE_IOERR_TRUNCATE;

	pthread_mutex_lock(&lock);
	if (!dead) {
		image_grow(im, (size_t)size);
		image_op(im, true, NULL, 0, (size_t)size);
		rc = SQLITE_OK;
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

static int
file_sync(sqlite3_file *f, int flags)
{
	unsigned seed = 0;
	int rc = SQLITE_IOERR_FSYNC;

	(void)flags;
	pthread_mutex_lock(&lock);
	if (!dead) {
		image_flush(file_of(f)->image, true, &seed);
		rc = SQLITE_OK;
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

static int
file_size(sqlite3_file *f, sqlite3_int64 *size)
{
	pthread_mutex_lock(&lock);
	*size = (sqlite3_int64)file_of(f)->image->size;
	pthread_mutex_unlock(&lock);
	return SQLITE_OK;
}

static int
file_lock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int
file_unlock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int
file_check_lock(sqlite3_file *f, int *out)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}

static int
file_control(sqlite3_file *f, int op, void *arg)
{
	(void)f;
	(void)op;
	(void)arg;
	return SQLITE_NOTFOUND;
}

static int
file_sector(sqlite3_file *f)
{
	(void)f;
	return 4096;
}

/* It promises nothing. */
static int
file_character(sqlite3_file *f)
{
	(void)f;
	return 0;
}

static int
shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **p)
{
	return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, p);
}

static int
shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return real_of(f)->pMethods->xShmLock(real_of(f), at, n, flags);
}

static void
shm_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int
shm_unmap(sqlite3_file *f, int delete)
{
	return real_of(f)->pMethods->xShmUnmap(real_of(f), delete);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_check_lock,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_character,
	.xShmMap = shm_map,
	.xShmLock = shm_lock,
	.xShmBarrier = shm_barrier,
	.xShmUnmap = shm_unmap,
};

/* ---- The VFS ------------------------------------------------------- */

#define OURS (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)

static int
vfs_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags,
    int *out_flags)
{
	struct file *file = file_of(f);
	int rc;

	(void)v;
	if (name == NULL || !(flags & OURS))
		return real_vfs->xOpen(real_vfs, name, f, flags, out_flags);
	file->real = (sqlite3_file *)(void *)(file + 1);
	rc = real_vfs->xOpen(real_vfs, name, file->real, flags, out_flags);
	if (rc != SQLITE_OK) {
		f->pMethods = NULL;
		return rc;
	}
	pthread_mutex_lock(&lock);
	file->image = image_open(name);
	pthread_mutex_unlock(&lock);
	f->pMethods = &methods;
	return SQLITE_OK;
}

static int
vfs_delete(sqlite3_vfs *v, const char *name, int sync)
{
	struct image **p, *im;
	int rc = SQLITE_IOERR_DELETE;

	(void)v;
	pthread_mutex_lock(&lock);
	if (!dead) {
		for (p = &images; (im = *p) != NULL; p = &im->next)
			if (strcmp(im->name, name) == 0) {
				*p = im->next;
				image_free(im);
				break;
			}
		rc = real_vfs->xDelete(real_vfs, name, sync);
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

int
power_loss_register(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	vfs = *real_vfs;
	vfs.zName = "power_loss";
	vfs.szOsFile = (int)sizeof(struct file) + real_vfs->szOsFile;
	vfs.pNext = NULL;
	vfs.xOpen = vfs_open;
	vfs.xDelete = vfs_delete;
	return sqlite3_vfs_register(&vfs, 0);
}

void
power_loss_cut(unsigned seed)
{
	pthread_mutex_lock(&lock);
	for (struct image *im = images; im != NULL; im = im->next)
		image_flush(im, false, &seed);
	dead = true;
	pthread_mutex_unlock(&lock);
}

void
power_loss_restore(void)
{
	struct image *im;

	pthread_mutex_lock(&lock);
	while ((im = images) != NULL) {
		images = im->next;
		image_free(im);
	}
	dead = false;
	pthread_mutex_unlock(&lock);
}
