/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/options.h"

#include <stdio.h>
#include <string.h>

#include "core/base/conf.h"
#include "core/base/mem.h"

/*
 * Options become assignments like those of --set, in the order in which they
 * came, so that there is one way for a setting to be overridden.
 */

struct shorthand {
	const char *name, *path;
};

static const struct shorthand shorthands[] = {
	{ "data", "data_dir" },
	{ "port", "server.port" },
	{ "log-level", "log.level" },
};

struct line {
	struct options *o;
	const struct option_own *own;
	char **argv;
	int argc, at;
	const char *inline_value; /* of --name=value, or NULL */
};

static bool
mistake(struct line *l, const char *what, const char *word)
{
	fprintf(stderr, "agent-studio %s: %s%s; see --help\n", l->argv[0], what,
	    word);
	l->o->status = 2;
	return false;
}

static bool
take_value(struct line *l, const char *name, const char **out)
{
	if (l->inline_value != NULL) {
		*out = l->inline_value;
		return true;
	}
	if (l->at == l->argc)
		return mistake(l, "a value is missing after --", name);
	*out = l->argv[l->at++];
	return true;
}

static void
add_set(struct options *o, char *assignment)
{
	o->sets = xrealloc(o->sets, (o->n_sets + 1) * sizeof(*o->sets));
	o->sets[o->n_sets++] = assignment;
}

static bool
own_option(struct line *l, const struct option_own *own)
{
	if (own->value != NULL)
		return take_value(l, own->name, own->value);
	if (l->inline_value != NULL)
		return mistake(l, "no value belongs to --", own->name);
	*own->flag = true;
	return true;
}

static bool
option(struct line *l, const char *name)
{
	const struct option_own *own;
	const char *value;
	size_t i;

	for (own = l->own; own != NULL && own->name != NULL; own++)
		if (strcmp(own->name, name) == 0)
			return own_option(l, own);
	if (strcmp(name, "conf") == 0)
		return take_value(l, name, &l->o->conf_dir);
	if (strcmp(name, "set") == 0) {
		if (!take_value(l, name, &value))
			return false;
		add_set(l->o, xstrdup(value));
		return true;
	}
	for (i = 0; i < N_ITEMS(shorthands); i++) {
		if (strcmp(shorthands[i].name, name) != 0)
			continue;
		if (!take_value(l, name, &value))
			return false;
		add_set(l->o, xasprintf("%s=%s", shorthands[i].path, value));
		return true;
	}
	return mistake(l, "unknown option --", name);
}

static bool
word(struct line *l, const char *text)
{
	const char *equals;
	char *name;
	bool ok;

	if (text[0] != '-' || text[1] == '\0') {
		l->o->args[l->o->n_args++] = text;
		return true;
	}
	if (text[1] != '-')
		return mistake(l, "unknown option ", text);
	text += 2;
	equals = strchr(text, '=');
	l->inline_value = equals != NULL ? equals + 1 : NULL;
	name = equals != NULL ? xstrndup(text, (size_t)(equals - text))
			      : xstrdup(text);
	ok = option(l, name);
	free(name);
	return ok;
}

bool
options_parse(struct options *o, int argc, char **argv,
    const struct option_own *own, const char *usage)
{
	struct line l = { .o = o,
		.own = own,
		.argv = argv,
		.argc = argc,
		.at = 1 };
	bool words_only = false, ok = true;
	const char *text;

	memset(o, 0, sizeof(*o));
	o->args = xcalloc((size_t)argc + 1, sizeof(*o->args));
	while (ok && l.at < argc) {
		text = argv[l.at++];
		if (words_only) {
			o->args[o->n_args++] = text;
		} else if (strcmp(text, "--") == 0) {
			words_only = true;
		} else if (strcmp(text, "--help") == 0 ||
			   strcmp(text, "-h") == 0) {
			fputs(usage, stdout);
			ok = false;
		} else {
			ok = word(&l, text);
		}
	}
	if (!ok)
		options_free(o);
	return ok;
}

/* Keeps the status. */
void
options_free(struct options *o)
{
	size_t i;

	for (i = 0; i < o->n_sets; i++)
		free(o->sets[i]);
	free(o->sets);
	free(o->args);
	o->sets = NULL;
	o->args = NULL;
	o->n_sets = o->n_args = 0;
}

bool
options_no_words(struct options *o, const char *command)
{
	if (o->n_args == 0)
		return true;
	fprintf(stderr, "agent-studio %s: unexpected '%s'; see --help\n",
	    command, o->args[0]);
	o->status = 2;
	return false;
}

struct conf *
options_conf(const struct options *o)
{
	struct conf *conf = conf_new();
	size_t i;

	if (o->conf_dir != NULL)
		conf_load_dir(conf, o->conf_dir, true);
	else
		conf_load_dir(conf, CONF_DIR, false);
	for (i = 0; i < o->n_sets; i++)
		conf_set(conf, o->sets[i]);
	return conf;
}

/* By file and line; what has no place comes first. */
static int
compare_places(const void *a, const void *b)
{
	const struct conf_problem *x = *(const struct conf_problem *const *)a;
	const struct conf_problem *y = *(const struct conf_problem *const *)b;
	int d = strcmp(x->file != NULL ? x->file : "",
	    y->file != NULL ? y->file : "");

	if (d != 0)
		return d;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return strcmp(x->text, y->text);
}

size_t
options_problems(const struct conf *conf)
{
	size_t i, n = conf_problem_count(conf);
	const struct conf_problem **sorted, *p;

	sorted = xcalloc(n, sizeof(void *));
	for (i = 0; i < n; i++)
		sorted[i] = conf_problem(conf, i);
	if (n > 0)
		qsort(sorted, n, sizeof(void *), compare_places);
	for (i = 0; i < n; i++) {
		p = sorted[i];
		if (p->file != NULL)
			fprintf(stderr, "%s:", p->file);
		if (p->file != NULL && p->line > 0)
			fprintf(stderr, "%d:", p->line);
		fprintf(stderr, "%s%s\n", p->file != NULL ? " " : "", p->text);
	}
	free(sorted);
	return n;
}
