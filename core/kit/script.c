/* SPDX-License-Identifier: Apache-2.0 */
#include "core/kit/script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/kit/kit.h"

/*
 * What an author writes beside a plugin: options, arguments, what is expected,
 * and what servers answer.  docs/sdk/checking.md has its members.
 */

/* check.json beside the file, if there is one. */
static char *
script_path(const struct kit_request *r)
{
	const char *slash = strrchr(r->file, '/');
	char *path;

	if (r->script != NULL)
		return xstrdup(r->script);
	path = slash == NULL ? xstrdup("check.json")
			     : xasprintf("%.*s/check.json",
				   (int)(slash - r->file), r->file);
	if (access(path, F_OK) == 0)
		return path;
	free(path);
	return NULL;
}

static bool
read_all(const char *path, struct buf *b)
{
	FILE *f = fopen(path, "re");
	char piece[4096];
	size_t n;

	if (f == NULL)
		return false;
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
		buf_add(b, piece, n);
	fclose(f);
	return true;
}

static struct json_object *
load(const struct kit_request *r, int *bad)
{
	char *path = script_path(r);
	struct json_object *o = NULL;
	struct error err = { 0 };
	struct buf b = { 0 };

	*bad = 0;
	if (path == NULL)
		return NULL;
	if (!read_all(path, &b)) {
		fprintf(stderr, "agent-studio: %s: %s\n", path,
		    strerror(errno));
		*bad = 1;
	} else if (json_parse(b.len > 0 ? b.data : "", b.len, &o, &err) !=
		       AS_OK ||
		   !json_object_is_type(o, json_type_object)) {
		fprintf(stderr, "agent-studio: %s: %s\n", path,
		    err.detail[0] != '\0' ? err.detail : "not an object");
		*bad = 1;
	}
	error_clear(&err);
	buf_free(&b);
	free(path);
	return o;
}

struct json_object *
script_read(const struct kit_request *r)
{
	int bad;

	return load(r, &bad);
}

int
script_is_bad(const struct kit_request *r)
{
	int bad;

	json_object_put(load(r, &bad));
	return bad;
}
