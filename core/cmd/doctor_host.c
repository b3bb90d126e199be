/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/cmd/doctor.h"

/* What this host gives a process, and who else may touch its files. */

#define BACKLOG_MIN 1024
#define FILES_OWN 256 /* logs, plugins, pipes, databases of time zones */
#define SPACE_FAIL (UINT64_C(200) << 20)
#define SPACE_WARN (UINT64_C(2) << 30)

/* ---- Limits -------------------------------------------------------- */

void
doctor_host_judge(struct doctor *d, const struct host_facts *f)
{
	static const char slow[] = " hpet acpi_pm jiffies refined-jiffies pit ";
	char word[64];

	if (f->descriptors >= f->needed)
		doctor_say(d, DOCTOR_OK, "host.descriptors",
		    "a process may open %lld files, the settings need %lld",
		    (long long)f->descriptors, (long long)f->needed);
	else
		doctor_say(d, DOCTOR_WARN, "host.descriptors",
		    "a process may open %lld files, the settings need %lld: "
		    "raise LimitNOFILE of the unit (ulimit -n), or lower "
		    "server.max_connections",
		    (long long)f->descriptors, (long long)f->needed);
	if (f->somaxconn < 0 || f->somaxconn >= BACKLOG_MIN)
		doctor_say(d, DOCTOR_OK, "host.backlog",
		    "enough connections may wait to be accepted");
	else
		doctor_say(d, DOCTOR_WARN, "host.backlog",
		    "only %lld connections may wait to be accepted: set "
		    "net.core.somaxconn to %d",
		    (long long)f->somaxconn, BACKLOG_MIN);
	snprintf(word, sizeof(word), " %s ", f->clock != NULL ? f->clock : "");
	if (f->clock == NULL || strstr(slow, word) == NULL)
		doctor_say(d, DOCTOR_OK, "host.clock",
		    "the time is read without a system call%s%s",
		    f->clock != NULL ? ": " : "",
		    f->clock != NULL ? f->clock : "");
	else
		doctor_say(d, DOCTOR_WARN, "host.clock",
		    "the clock source is %s, which is slow to read: see why "
		    "the kernel does not take tsc (dmesg)",
		    f->clock);
}

/* The first word of a file; NULL: there is none. */
static char *
word_of(const char *path)
{
	char text[64];
	FILE *f = fopen(path, "re");
	bool got = f != NULL && fscanf(f, "%63s", text) == 1;

	if (f != NULL)
		fclose(f);
	return got ? xstrdup(text) : NULL;
}

static int64_t
loops_of(const struct settings *s)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (s->server.loops > 0)
		return s->server.loops;
	return cores > 0 ? cores : 1;
}

static void
limits(struct doctor *d, const struct settings *s)
{
	int64_t n = loops_of(s);
	struct host_facts f = {
		.needed = FILES_OWN + s->server.max_connections +
			  n * (s->store.readers + s->store.writers + 2)
	};
	char *backlog = word_of("/proc/sys/net/core/somaxconn");
	char *source = word_of("/sys/devices/system/clocksource/clocksource0/"
			       "current_clocksource");
	struct rlimit r;

	getrlimit(RLIMIT_NOFILE, &r);
	f.descriptors = r.rlim_max == RLIM_INFINITY ? INT64_MAX
						    : (int64_t)r.rlim_max;
	if (backlog == NULL ||
	    !text_to_int(backlog, 0, INT32_MAX, &f.somaxconn))
		f.somaxconn = -1;
	f.clock = source;
	doctor_host_judge(d, &f);
	free(backlog);
	free(source);
}

/* ---- Files --------------------------------------------------------- */

void
doctor_space_judge(struct doctor *d, const char *path, uint64_t free_bytes,
    uint64_t total)
{
	unsigned long long mb = free_bytes >> 20;

	if (free_bytes < SPACE_FAIL)
		doctor_say(d, DOCTOR_FAIL, "data.space",
		    "%llu MB are free at %s: writes are about to fail; make "
		    "room",
		    mb, path);
	else if (free_bytes < SPACE_WARN && free_bytes < total / 10)
		doctor_say(d, DOCTOR_WARN, "data.space",
		    "%llu MB are free at %s, less than a tenth: make room", mb,
		    path);
	else
		doctor_say(d, DOCTOR_OK, "data.space", "%llu MB are free at %s",
		    mb, path);
}

static void
key_judge(struct doctor *d, const char *folder, const char *file,
    const char *name)
{
	char *path = xasprintf("%s/%s", folder, file);
	struct stat st;

	if (stat(path, &st) != 0)
		doctor_say(d, DOCTOR_OK, name,
		    "%s is not there: it is made when it is needed", path);
	else if ((st.st_mode & 077) != 0)
		doctor_say(d, DOCTOR_FAIL, name,
		    "others may read or change %s (mode %03o): chmod 600, and "
		    "replace the key if somebody may have read it",
		    path, (unsigned)st.st_mode & 0777);
	else if (access(path, R_OK) != 0)
		doctor_say(d, DOCTOR_FAIL, name, "%s cannot be read: %s", path,
		    strerror(errno));
	else
		doctor_say(d, DOCTOR_OK, name, "only its owner reads %s", path);
	free(path);
}

void
doctor_data(struct doctor *d, const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		doctor_say(d, DOCTOR_OK, "data.folder",
		    "%s is not there: the first start makes it", path);
		return;
	}
	if (access(path, R_OK | W_OK | X_OK) != 0)
		doctor_say(d, DOCTOR_FAIL, "data.folder",
		    "this user cannot write in %s: %s", path, strerror(errno));
	else if ((st.st_mode & 022) != 0)
		doctor_say(d, DOCTOR_FAIL, "data.folder",
		    "others may put files into %s (mode %03o): chmod 700", path,
		    (unsigned)st.st_mode & 0777);
	else
		doctor_say(d, DOCTOR_OK, "data.folder",
		    "only its owner writes in %s", path);
	key_judge(d, path, "access.key", "data.access_key");
	key_judge(d, path, "sealing.key", "data.sealing_key");
}

static bool
others_write(const char *path, const struct stat *st, char *why, size_t size)
{
	if ((st->st_mode & 022) == 0 &&
	    (st->st_uid == 0 || st->st_uid == geteuid()))
		return false;
	snprintf(why, size, "%s (mode %03o, user %u)", path,
	    (unsigned)st->st_mode & 0777, (unsigned)st->st_uid);
	return true;
}

static bool
file_is_open(const char *folder, const char *name, char *why, size_t size)
{
	char *path = xasprintf("%s/%s", folder, name);
	size_t len = strlen(name);
	struct stat st;
	bool open = len > 3 && strcmp(name + len - 3, ".so") == 0 &&
		    stat(path, &st) == 0 && others_write(path, &st, why, size);

	free(path);
	return open;
}

void
doctor_plugins_judge(struct doctor *d, const char *path)
{
	char why[400] = "";
	struct dirent *e;
	struct stat st;
	DIR *dir = opendir(path);

	if (dir == NULL || stat(path, &st) != 0) {
		doctor_say(d, DOCTOR_WARN, "plugins.folder",
		    "%s cannot be read: %s", path, strerror(errno));
	} else if (!others_write(path, &st, why, sizeof(why))) {
		while (why[0] == '\0' && (e = readdir(dir)) != NULL)
			file_is_open(path, e->d_name, why, sizeof(why));
	}
	if (dir == NULL)
		return;
	closedir(dir);
	if (why[0] != '\0')
		doctor_say(d, DOCTOR_FAIL, "plugins.folder",
		    "others than root and this user may change %s, and so run "
		    "code here: chown and chmod go-w",
		    why);
	else
		doctor_say(d, DOCTOR_OK, "plugins.folder",
		    "nobody else may change the plugins in %s", path);
}

/* ---- All ----------------------------------------------------------- */

static void
space(struct doctor *d, const char *path)
{
	struct statvfs v;

	if (statvfs(path, &v) == 0)
		doctor_space_judge(d, path, (uint64_t)v.f_bavail * v.f_frsize,
		    (uint64_t)v.f_blocks * v.f_frsize);
	else
		doctor_say(d, DOCTOR_OK, "data.space", "%s is not there yet",
		    path);
}

void
doctor_host(struct doctor *d, const struct settings *s)
{
	const char **dirs = settings_plugin_dirs(s);

	limits(d, s);
	doctor_data(d, s->data_dir);
	space(d, s->data_dir);
	for (size_t i = 0; dirs[i] != NULL; i++)
		doctor_plugins_judge(d, dirs[i]);
	free(dirs);
}
