/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "core/base/buf.h"
#include "core/base/conf.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/plug/unit.h"

/*
 * For those who write plugins: what they save is what runs.  A look compares
 * what a plugin is made of, its file and its group, with the last look; so what
 * was refused is tried again only when somebody has changed it.
 */

#define LOOK_MS 500

static void
file_look(struct plug *p, const char *name, struct buf *out)
{
	char *path = plug_find_file((const char *const *)p->dirs, name);
	struct stat st;

	if (path != NULL && stat(path, &st) == 0)
		buf_printf(out, "%s %llu %lld %lld.%09ld", path,
		    (unsigned long long)st.st_ino, (long long)st.st_size,
		    (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	free(path);
}

static void
plugin_look(struct plugin *of, struct conf *conf, uint8_t out[HASH_LEN])
{
	char *group = xasprintf("plugins.%s", of->name);
	char *setting = xasprintf("%s.plugin", group);
	const char *file = conf_peek(conf, setting);
	struct buf text = { 0 };
	struct hash h;

	conf_dump(conf, group, &text);
	file_look(of->plug, file != NULL ? file : of->name, &text);
	hash_init(&h);
	hash_bytes(&h, text.data, text.len);
	hash_end(&h, out);
	buf_free(&text);
	free(setting);
	free(group);
}

/* The first that has changed, which counts as seen from now on; or NULL. */
static struct plugin *
next_changed(struct plug *p, struct conf *conf)
{
	uint8_t now[HASH_LEN];
	struct plugin *of;
	size_t i;

	for (i = 0; i < p->n_plugins; i++) {
		of = p->plugins[i];
		plugin_look(of, conf, now);
		if (memcmp(of->seen, now, HASH_LEN) == 0)
			continue;
		memcpy(of->seen, now, HASH_LEN);
		return of;
	}
	return NULL;
}

static void
plugins_meet(struct plug *p, struct conf *conf)
{
	const char *const *groups = conf_groups(conf, "plugins");

	for (; *groups != NULL; groups++)
		plugin_get(p, *groups);
}

void
plug_watch(struct plug *p)
{
	struct error err = { 0 };
	struct plugin *of;
	struct conf *conf;

	/* As it was loaded. */
	while (next_changed(p, p->conf0.conf) != NULL)
		continue;
	do {
		conf = p->services.conf(p->services.arg);
		/* Half a file is no configuration yet. */
		if (conf_problem_count(conf) == 0) {
			plugins_meet(p, conf);
			while ((of = next_changed(p, conf)) != NULL) {
				plug_reload(p, of->name, NULL, &err);
				error_clear(&err);
			}
		}
		conf_free(conf);
	} while (fiber_sleep(LOOK_MS) == FIBER_WOKEN);
}
