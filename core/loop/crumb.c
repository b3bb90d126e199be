/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop/crumb.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/loop/impl.h"

/*
 * See crumb.h.  The page cache keeps what was stored when a process dies; after
 * a power loss nobody asks who crashed.
 */

#define CRUMB_MAGIC "as-crumb-1"
#define CRUMB_SLOTS 160 /* 64 loops, and pools */
#define OPEN_TRIES 8

struct crumb_file {
	char magic[64];
	struct crumb_slot slots[CRUMB_SLOTS];
};

static struct crumb_file *crumbs;
static char *crumb_path;
static int crumb_fd = -1;
static unsigned n_taken;
static pthread_mutex_t taken_mu = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local struct crumb_slot *crumb_here;

/* ---- The file of this process -------------------------------------- */

/* Whoever clears away dead files may be faster than our lock: then again. */
static bool
file_create(const char *folder)
{
	struct stat st;

	free(crumb_path);
	crumb_path = xasprintf("%s/%ld-%llx", folder, (long)getpid(),
	    (unsigned long long)clock_boot_us());
	crumb_fd = open(crumb_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
	    0600);
	if (crumb_fd < 0)
		return false;
	if (flock(crumb_fd, LOCK_EX | LOCK_NB) == 0 &&
	    fstat(crumb_fd, &st) == 0 && st.st_nlink > 0)
		return true;
	close(crumb_fd);
	crumb_fd = -1;
	return false;
}

static bool
file_map(void)
{
	void *p;

	if (ftruncate(crumb_fd, (off_t)sizeof(struct crumb_file)) != 0)
		return false;
	p = mmap(NULL, sizeof(struct crumb_file), PROT_READ | PROT_WRITE,
	    MAP_SHARED, crumb_fd, 0);
	if (p == MAP_FAILED)
		return false;
	crumbs = p;
	memcpy(crumbs->magic, CRUMB_MAGIC, sizeof(CRUMB_MAGIC));
	n_taken = 0;
	return true;
}

enum as_status
crumb_open(const char *folder, struct error *err)
{
	bool ok = false;

	MUST(crumbs == NULL);
	if (mkdir(folder, 0700) == 0 || errno == EEXIST)
		for (int i = 0; i < OPEN_TRIES && !ok; i++)
			ok = file_create(folder);
	if (ok && file_map())
		return AS_OK;
	error_set(err, ERR_UNAVAILABLE, "cannot make a file in %s: %s", folder,
	    strerror(errno));
	crumb_close();
	return AS_UNAVAILABLE;
}

void
crumb_close(void)
{
	if (crumb_fd >= 0)
		unlink(crumb_path);
	if (crumbs != NULL)
		munmap(crumbs, sizeof(*crumbs));
	if (crumb_fd >= 0)
		close(crumb_fd);
	crumbs = NULL;
	crumb_fd = -1;
	free(crumb_path);
	crumb_path = NULL;
}

struct crumb_slot *
crumb_take(void)
{
	struct crumb_slot *slot = NULL;

	pthread_mutex_lock(&taken_mu);
	if (crumbs != NULL && n_taken < CRUMB_SLOTS)
		slot = &crumbs->slots[n_taken++];
	pthread_mutex_unlock(&taken_mu);
	return slot;
}

void
crumb_enter(struct crumb_slot *slot)
{
	crumb_here = slot;
}

/* Nothing here but stores: it runs in handlers of signals. */
static void
slot_mark(struct crumb_slot *slot, const char *what)
{
	size_t i = 0;

	if (slot == NULL || uuid_is_nil(slot->id))
		return;
	for (; what[i] != '\0' && i < sizeof(slot->what) - 1; i++)
		slot->what[i] = what[i];
	slot->what[i] = '\0';
	slot->crashed = 1;
}

void
crumb_crashed(const char *what)
{
	slot_mark(crumb_here, what);
}

void
loop_crumb_crashed(struct loop *loop)
{
	slot_mark(loop->crumb, "the loop hung");
}

/* ---- Files of the dead --------------------------------------------- */

/* A file that is too short died before it was of use. */
static void
dead_read(struct crumb_dead *d)
{
	struct crumb_file *f = xcalloc(1, sizeof(*f));
	ssize_t got = pread(d->fd, f, sizeof(*f), 0);

	d->slots = xcalloc(CRUMB_SLOTS, sizeof(*d->slots));
	if (got == (ssize_t)sizeof(*f) &&
	    memcmp(f->magic, CRUMB_MAGIC, sizeof(CRUMB_MAGIC)) == 0)
		for (int i = 0; i < CRUMB_SLOTS; i++)
			if (f->slots[i].crashed)
				d->slots[d->n_slots++] = f->slots[i];
	free(f);
}

/* False: it is not the file of a dead process. */
static bool
dead_open(struct crumb_dead *d, const char *folder, const char *name)
{
	struct stat st;

	memset(d, 0, sizeof(*d));
	d->path = xasprintf("%s/%s", folder, name);
	d->fd = open(d->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (d->fd >= 0 && flock(d->fd, LOCK_EX | LOCK_NB) == 0 &&
	    fstat(d->fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink > 0) {
		dead_read(d);
		return true;
	}
	if (d->fd >= 0)
		close(d->fd);
	free(d->path);
	return false;
}

struct crumb_dead *
crumb_dead_find(const char *folder, int *n)
{
	struct crumb_dead *list = NULL;
	DIR *dir = opendir(folder);
	struct dirent *e;
	int max = 0;

	*n = 0;
	while (dir != NULL && (e = readdir(dir)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		if (*n == max) {
			max = 2 * max + 8;
			list = xrealloc(list, (size_t)max * sizeof(*list));
		}
		if (dead_open(&list[*n], folder, e->d_name))
			(*n)++;
	}
	if (dir != NULL)
		closedir(dir);
	return list;
}

const struct crumb_slot *
crumb_dead_slot(const struct crumb_dead *d, int i)
{
	return i < d->n_slots ? &d->slots[i] : NULL;
}

void
crumb_dead_remove(struct crumb_dead *d)
{
	if (d->fd < 0)
		return;
	unlink(d->path);
	close(d->fd);
	d->fd = -1;
}

void
crumb_dead_free(struct crumb_dead *list, int n)
{
	for (int i = 0; i < n; i++) {
		if (list[i].fd >= 0)
			close(list[i].fd);
		free(list[i].slots);
		free(list[i].path);
	}
	free(list);
}
