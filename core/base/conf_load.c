/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/conf_impl.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * One file at a time through libconfig and into our tree, which sees the same
 * setting in two files.  What libconfig kept of a value is wiped once it is
 * copied: it may be a secret.
 */

#define FILE_MAX (1 << 20)

struct source {
	struct conf *conf;
	const char *file;
	bool is_private;
};

static void import(struct source *src, struct conf_node *to,
    config_setting_t *from);

static void
place(struct source *src, struct conf_node *node, config_setting_t *from)
{
	node->file = src->file;
	node->line = (int)config_setting_source_line(from);
	node->is_private = src->is_private;
}

static void
import_text(struct source *src, struct conf_node *node, config_setting_t *from)
{
	const char *text = config_setting_get_string(from);

	if (text == NULL)
		text = "";
	if (!text_is_utf8(text, strlen(text))) {
		conf_problem_add(src->conf, node->file, node->line,
		    "%s: invalid UTF-8", conf_path(src->conf, node));
		text = "";
	}
	node->text = arena_strdup(src->conf->arena, text);
	if (from->value.sval != NULL)
		sodium_memzero(from->value.sval, strlen(from->value.sval));
}

static void
import_value(struct source *src, struct conf_node *node, config_setting_t *from)
{
	int i;

	switch (config_setting_type(from)) {
	case CONFIG_TYPE_INT:
		node->type = NODE_INT;
		node->integer = config_setting_get_int(from);
		break;
	case CONFIG_TYPE_INT64:
		node->type = NODE_INT;
		node->integer = config_setting_get_int64(from);
		break;
	case CONFIG_TYPE_FLOAT:
		node->type = NODE_NUM;
		node->num = config_setting_get_float(from);
		if (!isfinite(node->num))
			conf_problem_add(src->conf, node->file, node->line,
			    "%s: number out of range",
			    conf_path(src->conf, node));
		break;
	case CONFIG_TYPE_BOOL:
		node->type = NODE_BOOL;
		node->integer = config_setting_get_bool(from);
		break;
	case CONFIG_TYPE_STRING:
		node->type = NODE_STR;
		import_text(src, node, from);
		break;
	case CONFIG_TYPE_GROUP:
	case CONFIG_TYPE_ARRAY:
	case CONFIG_TYPE_LIST:
		for (i = 0; i < config_setting_length(from); i++)
			import(src, node,
			    config_setting_get_elem(from, (unsigned)i));
		break;
	}
}

static void
duplicate(struct source *src, const struct conf_node *old,
    config_setting_t *from)
{
	conf_problem_add(src->conf, src->file,
	    (int)config_setting_source_line(from),
	    "%s: is already set at %s:%d", conf_path(src->conf, old), old->file,
	    old->line);
}

static void
import(struct source *src, struct conf_node *to, config_setting_t *from)
{
	const char *name = config_setting_name(from);
	enum node_type type = NODE_LIST;
	struct conf_node *node = NULL;

	if (config_setting_is_group(from))
		type = NODE_GROUP;
	if (to->type == NODE_GROUP)
		node = conf_child(to, name);
	if (node != NULL && (node->type != NODE_GROUP || type != NODE_GROUP)) {
		duplicate(src, node, from);
		return;
	}
	if (node == NULL) {
		node = conf_add(src->conf, to, name != NULL ? name : "", type);
		place(src, node, from);
	}
	import_value(src, node, from);
}

static const char *
error_text(const config_t *cfg)
{
	const char *text = config_error_text(cfg);

	if (strstr(text, "duplicate") != NULL)
		return "a name on this line is already set in its group";
	return text;
}

static void
load(struct source *src, const char *text, size_t len)
{
	config_setting_t *root;
	struct conf_fault fault;
	config_t cfg;
	char *copy;
	int i;

	if (!conf_scan(text, len, &fault)) {
		conf_problem_add(src->conf, src->file, fault.line, "%s",
		    fault.text);
		return;
	}
	copy = xstrndup(text, len);
	config_init(&cfg);
	if (config_read_string(&cfg, copy)) {
		root = config_root_setting(&cfg);
		for (i = 0; i < config_setting_length(root); i++)
			import(src, src->conf->root,
			    config_setting_get_elem(root, (unsigned)i));
	} else {
		conf_problem_add(src->conf, src->file, config_error_line(&cfg),
		    "%s", error_text(&cfg));
	}
	config_destroy(&cfg);
	sodium_memzero(copy, len);
	free(copy);
}

void
conf_load_text(struct conf *c, const char *name, const char *text, size_t len)
{
	struct source src = { .conf = c };

	src.file = arena_strdup(c->arena, name);
	load(&src, text, len);
}

/* The whole file in *text; NULL and errno, or NULL and 0 if it is too large. */
static char *
read_all(int fd, size_t *len)
{
	char *text = xmalloc(FILE_MAX + 1);
	ssize_t n = 1;

	*len = 0;
	while (n > 0 && *len <= FILE_MAX) {
		n = read(fd, text + *len, FILE_MAX + 1 - *len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			*len += (size_t)n;
	}
	if (n == 0)
		return text;
	if (n > 0)
		errno = EFBIG;
	free(text);
	return NULL;
}

void
conf_load_file(struct conf *c, const char *path)
{
	struct source src = { .conf = c };
	struct stat st;
	char *text = NULL;
	size_t len;
	int fd;

	src.file = arena_strdup(c->arena, path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && fstat(fd, &st) == 0) {
		src.is_private = (st.st_mode & S_IROTH) == 0;
		text = read_all(fd, &len);
	}
	if (text != NULL) {
		load(&src, text, len);
		sodium_memzero(text, len);
		free(text);
	} else {
		conf_problem_add(c, src.file, 0, "cannot read this file: %s",
		    strerror(errno));
	}
	if (fd >= 0)
		close(fd);
}
