/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/plugin_new.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * "agent-studio plugin new": a folder with a plugin that builds, passes its
 * tests and can be installed.  The files are those of sdk/templates with the
 * names put in; nothing that exists is written to.
 */

#define SLUG_MAX 32

struct names {
	const char *kind;
	char *name; /* toolkit_road_trip */
	const char *slug; /* road_trip */
	char *title; /* Road trip */
	char *upper; /* TOOLKIT_ROAD_TRIP */
	const char *templates;
	const char *dir;
};

struct file {
	const char *from; /* below the templates; %s is the kind */
	const char *to; /* below the folder; %s is the name */
};

static const struct file files[] = {
	{ "common/Makefile", "Makefile" },
	{ "common/gitignore", ".gitignore" },
	{ "common/README.md", "README.md" },
	{ "%s/plugin.c", "%s.c" },
	{ "%s/plugin.7", "%s.7" },
	{ "%s/plugin.conf", "conf/%s.conf" },
	{ "%s/check.json", "check.json" },
};

static const char *const kinds[] = { "toolkit", "llm", "vector", "auth" };

/* ---- Names --------------------------------------------------------- */

static const char *
kind_find(const char *word)
{
	size_t i;

	for (i = 0; i < N_ITEMS(kinds); i++) {
		if (strcmp(kinds[i], word) == 0)
			return kinds[i];
	}
	return NULL;
}

static bool
slug_is_good(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return s[n] == '\0' && n >= 1 && n <= SLUG_MAX && s[0] >= 'a' &&
	       s[0] <= 'z';
}

static bool
names_fill(struct names *n, const char *kind, const char *word)
{
	char *prefix;
	size_t i;

	if ((n->kind = kind_find(kind)) == NULL) {
		fprintf(stderr,
		    "agent-studio plugin new: no kind '%s': it is one of "
		    "toolkit, llm, vector and auth\n",
		    kind);
		return false;
	}
	prefix = xasprintf("%s_", n->kind);
	n->slug = text_has_prefix(word, prefix) ? word + strlen(prefix) : word;
	free(prefix);
	if (!slug_is_good(n->slug)) {
		fprintf(stderr,
		    "agent-studio plugin new: '%s' cannot be a name: it has 1 "
		    "to %d lower case letters, digits and '_', and begins with "
		    "a letter\n",
		    word, SLUG_MAX);
		return false;
	}
	n->name = xasprintf("%s_%s", n->kind, n->slug);
	n->upper = xstrdup(n->name);
	for (i = 0; n->upper[i] != '\0'; i++) {
		if (n->upper[i] >= 'a' && n->upper[i] <= 'z')
			n->upper[i] = (char)(n->upper[i] - 'a' + 'A');
	}
	n->title = xstrdup(n->slug);
	n->title[0] = (char)(n->title[0] - 'a' + 'A');
	for (i = 0; n->title[i] != '\0'; i++) {
		if (n->title[i] == '_')
			n->title[i] = ' ';
	}
	return true;
}

static void
names_free(struct names *n)
{
	free(n->name);
	free(n->upper);
	free(n->title);
}

/* ---- Files --------------------------------------------------------- */

/* "%s/plugin.c" with the word in place of %s. */
static char *
path_of(const char *dir, const char *pattern, const char *word)
{
	const char *at = strstr(pattern, "%s");

	if (at == NULL)
		return xasprintf("%s/%s", dir, pattern);
	return xasprintf("%s/%.*s%s%s", dir, (int)(at - pattern), pattern, word,
	    at + 2);
}

static bool
read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "re");
	char piece[4096];
	size_t n;
	bool ok;

	if (f == NULL)
		return false;
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
		buf_add(out, piece, n);
	ok = ferror(f) == 0;
	fclose(f);
	return ok;
}

static bool
write_file(const char *path, const struct buf *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	bool ok = fd >= 0 &&
		  (text->len == 0 ||
		      write(fd, text->data, text->len) == (ssize_t)text->len);

	if (fd >= 0 && close(fd) != 0)
		ok = false;
	return ok;
}

/* @NAME@ and its kin become what they stand for. */
static void
put_names(const struct names *n, const char *text, size_t len, struct buf *out)
{
	const struct {
		const char *mark, *word;
	} marks[] = {
		{ "@NAME@", n->name },
		{ "@SLUG@", n->slug },
		{ "@TITLE@", n->title },
		{ "@UPPER@", n->upper },
	};
	size_t i = 0, k, size;

	while (i < len) {
		for (k = 0; k < N_ITEMS(marks); k++) {
			size = strlen(marks[k].mark);
			if (size <= len - i &&
			    memcmp(text + i, marks[k].mark, size) == 0)
				break;
		}
		if (k == N_ITEMS(marks)) {
			buf_add(out, &text[i++], 1);
			continue;
		}
		buf_add(out, marks[k].word, strlen(marks[k].word));
		i += size;
	}
}

static bool
make_file(const struct names *n, const struct file *f)
{
	char *from = path_of(n->templates, f->from, n->kind);
	char *to = path_of(n->dir, f->to, n->name);
	struct buf in = { 0 }, out = { 0 };
	const char *broken = NULL;

	if (!read_file(from, &in))
		broken = from;
	else {
		put_names(n, in.data, in.len, &out);
		if (!write_file(to, &out))
			broken = to;
	}
	if (broken != NULL)
		fprintf(stderr, "agent-studio plugin new: %s: %s\n", broken,
		    strerror(errno));
	else
		printf("%s\n", to);
	buf_free(&in);
	buf_free(&out);
	free(from);
	free(to);
	return broken == NULL;
}

static bool
make_folder(const char *path)
{
	if (mkdir(path, 0777) == 0)
		return true;
	if (errno == EEXIST)
		fprintf(stderr,
		    "agent-studio plugin new: %s exists already, nothing was "
		    "written: choose another name, or name another folder "
		    "after it\n",
		    path);
	else
		fprintf(stderr, "agent-studio plugin new: %s: %s\n", path,
		    strerror(errno));
	return false;
}

static bool
make_all(const struct names *n)
{
	char *conf = xasprintf("%s/conf", n->dir);
	bool ok = make_folder(n->dir) && make_folder(conf);
	size_t i;

	for (i = 0; ok && i < N_ITEMS(files); i++)
		ok = make_file(n, &files[i]);
	free(conf);
	return ok;
}

int
plugin_new(const char *kind, const char *word, const char *dir,
    const char *templates)
{
	struct names n = { 0 };
	bool ok;

	if (!names_fill(&n, kind, word))
		return 2;
	n.dir = dir != NULL ? dir : n.name;
	n.templates = templates != NULL ? templates : TEMPLATES_DIR;
	if ((ok = make_all(&n)))
		printf("\nNow: cd %s && make check\n", n.dir);
	names_free(&n);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
