/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <locale.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/kit/impl.h"

/*
 * What belongs to the whole process, and is none of a plugin's business:
 * looked at before it is loaded and after it has ended.
 */

/* Of a build with sanitizers, whose allocator tells mallinfo2 nothing. */
extern size_t __sanitizer_get_current_allocated_bytes(void)
    __attribute__((weak));
extern char **environ;

struct probe {
	struct sigaction actions[NSIG];
	unsigned descriptors, threads;
	mode_t mask;
	char *locale, *folder, *environment;
};

static unsigned
entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned n = 0;

	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

unsigned
probe_descriptors(void)
{
	return entries("/proc/self/fd");
}

size_t
probe_memory(void)
{
	struct mallinfo2 info;

	if (__sanitizer_get_current_allocated_bytes != NULL)
		return __sanitizer_get_current_allocated_bytes();
	info = mallinfo2();
	return info.uordblks + info.hblkhd;
}

static char *
environment_text(void)
{
	struct buf b = { 0 };
	char **e;

	for (e = environ; e != NULL && *e != NULL; e++)
		buf_printf(&b, "%s\n", *e);
	return buf_take(&b);
}

struct probe *
probe_take(void)
{
	struct probe *p = xcalloc(1, sizeof(*p));
	char folder[4096];
	int i;

	for (i = 1; i < NSIG; i++)
		sigaction(i, NULL, &p->actions[i]);
	p->mask = umask(0);
	umask(p->mask);
	p->locale = xstrdup(setlocale(LC_ALL, NULL));
	p->folder = xstrdup(getcwd(folder, sizeof(folder)));
	p->environment = environment_text();
	p->threads = entries("/proc/self/task");
	p->descriptors = probe_descriptors();
	return p;
}

void
probe_free(struct probe *p)
{
	free(p->locale);
	free(p->folder);
	free(p->environment);
	free(p);
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void
compare_signals(struct kit *k, const struct probe *a, const struct probe *b)
{
	int i;

	for (i = 1; i < NSIG; i++) {
		if (a->actions[i].sa_handler != b->actions[i].sa_handler)
			finding(k, RULE_signal,
			    "the handler of signal %d (%s) is another one", i,
			    strsignal(i));
	}
}

void
probe_compare(struct kit *k, struct probe *before)
{
	struct probe *now = probe_take();

	k->label = "after stop and fini";
	compare_signals(k, before, now);
	if (now->descriptors > before->descriptors)
		finding(k, RULE_descriptor, "%u descriptors are open, not %u",
		    now->descriptors, before->descriptors);
	if (now->threads > before->threads) {
		finding(k, RULE_thread, "%u threads are there, not %u",
		    now->threads, before->threads);
		/* It is at work in what would be unmapped. */
		k->unit->has_run = true;
		k->unit->file->about.flags &= ~(uint32_t)AS_UNLOADABLE;
	}
	if (now->mask != before->mask)
		finding(k, RULE_umask, "it is %03o, not %03o",
		    (unsigned)now->mask, (unsigned)before->mask);
	if (!same_text(now->locale, before->locale))
		finding(k, RULE_locale, "it is %s, not %s", now->locale,
		    before->locale);
	if (!same_text(now->folder, before->folder))
		finding(k, RULE_folder, "it is %s, not %s", now->folder,
		    before->folder);
	if (!same_text(now->environment, before->environment))
		finding(k, RULE_environment,
		    "variables are there, gone or others");
	probe_free(now);
	probe_free(before);
}
