/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/conf.h"
#include "core/base/mem.h"
#include "core/plug/unit.h"

/*
 * Which programs a plugin may run: its manifest has "process:NAME", and the
 * admin says in plugins.X.programs what NAME is.  The group's settings are the
 * names of the manifest, so a wrong one is found as any other mistake.
 */

#define WORD "process:"

static size_t
names_of(const struct unit *u, struct as_field *fields)
{
	const char *at = u->file->about.grants;
	size_t n = 0, len;

	for (; at != NULL && *at != '\0'; at += len) {
		at += strspn(at, " ");
		len = strcspn(at, " ");
		if (len <= strlen(WORD) || strncmp(at, WORD, strlen(WORD)) != 0)
			continue;
		if (fields != NULL) {
			fields[n].name = arena_strndup(u->arena,
			    at + strlen(WORD), len - strlen(WORD));
			fields[n].type = AS_FIELD_STR;
			fields[n].offset = (uint32_t)(n * sizeof(char *));
			fields[n].width = sizeof(char *);
			fields[n].text = "";
			fields[n].doc = "The program's absolute path.";
		}
		n++;
	}
	return n;
}

bool
programs_read(struct unit *u, bool is_used)
{
	size_t i, n = names_of(u, NULL);
	struct as_field *fields = arena_alloc(u->arena,
	    (n + 1) * sizeof(*fields));
	const char **paths = arena_alloc(u->arena, (n + 1) * sizeof(*paths));
	char path[200];
	bool ok;

	if (n == 0)
		return true;
	names_of(u, fields);
	snprintf(path, sizeof(path), "plugins.%s.programs", u->name);
	ok = conf_section(u->source->conf, path, fields, sizeof(*fields), paths,
	    NULL);
	for (i = 0; ok && i < n; i++) {
		if (paths[i] == NULL || paths[i][0] == '\0' ||
		    paths[i][0] == '/')
			continue;
		snprintf(path, sizeof(path), "plugins.%s.programs.%s", u->name,
		    fields[i].name);
		conf_problem_at(u->source->conf, path,
		    "%s: expected an absolute path, got '%.100s'", path,
		    paths[i]);
		ok = false;
	}
	if (is_used) {
		u->program_names = fields;
		u->program_paths = paths;
	}
	return ok;
}

const char *
program_path(const struct unit *u, const char *name)
{
	size_t i;

	for (i = 0;
	     u->program_names != NULL && u->program_names[i].name != NULL; i++)
		if (strcmp(u->program_names[i].name, name) == 0 &&
		    u->program_paths[i] != NULL &&
		    u->program_paths[i][0] != '\0')
			return u->program_paths[i];
	return NULL;
}
