/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/uuid.h"
#include "core/kit/impl.h"
#include "core/plug/serve.h"
#include "core/store/file.h"

/*
 * Files in memory: those of the thread are in check.json, those that a call
 * writes are gone with it.
 */

struct kit_file {
	struct kit_file *next;
	char id[UUID_TEXT];
	char *name, *media_type;
	struct buf bytes;
};

static struct kit_file *
file_add_to(struct kit_file **list, const char *id, const char *name,
    const char *media_type)
{
	struct kit_file *f = xcalloc(1, sizeof(*f));

	while (*list != NULL)
		list = &(*list)->next;
	snprintf(f->id, sizeof(f->id), "%s", id);
	f->name = xstrdup(name);
	f->media_type = xstrdup(media_type);
	*list = f;
	return f;
}

void
files_setup(struct kit *k)
{
	struct json_object *list = jget(k->script, "files"), *o;
	char id[UUID_TEXT];
	struct kit_file *f;
	const char *text;
	size_t i;

	for (i = 0; json_object_is_type(list, json_type_array) &&
		    i < json_object_array_length(list);
	     i++) {
		o = json_object_array_get_idx(list, i);
		snprintf(id, sizeof(id), "00000000-0000-7000-8000-%012x",
		    (unsigned)i + 1);
		f = file_add_to(&k->files, jget_str(o, "id", id),
		    jget_str(o, "name", "file.txt"),
		    jget_str(o, "media_type", "text/plain"));
		text = jget_str(o, "text", "");
		buf_add(&f->bytes, text, strlen(text));
	}
}

void
files_free(struct kit_file **list)
{
	struct kit_file *f;

	while ((f = *list) != NULL) {
		*list = f->next;
		free(f->name);
		free(f->media_type);
		buf_free(&f->bytes);
		free(f);
	}
}

const char *
file_text(const struct kit_file *list, const char *name)
{
	while (list != NULL && strcmp(list->name, name) != 0)
		list = list->next;
	return list == NULL          ? NULL
	       : list->bytes.len > 0 ? list->bytes.data
				     : "";
}

static struct kit_file *
by_id(struct kit_file *list, const char *id)
{
	while (list != NULL && strcmp(list->id, id) != 0)
		list = list->next;
	return list;
}

static struct json_object *
file_to_json(const struct kit_file *f)
{
	struct json_object *o = jobj();

	jput_str(o, "id", f->id);
	jput_str(o, "name", f->name);
	jput_str(o, "media_type", f->media_type);
	jput_int(o, "length", (int64_t)f->bytes.len);
	return o;
}

/* What is no name and no type for the store is none here. */
static struct kit_file *
file_begin_here(struct world *w, const struct msg *m, struct answer *out)
{
	struct file_writer as_ours = { 0 };
	struct error err = { 0 };
	struct kit_file *f = w->files;
	char id[UUID_TEXT];
	unsigned n = 1;

	for (; f != NULL; f = f->next)
		n++;
	if (n > SERVE_FILES_MAX) {
		answer_fail(out, AS_LIMIT, "a call may write %d files",
		    SERVE_FILES_MAX);
		return NULL;
	}
	if ((out->status = file_begin(&as_ours, m->name, m->id, &err)) ==
	    AS_OK) {
		snprintf(id, sizeof(id), "00000000-0000-7000-9000-%012x", n);
		f = file_add_to(&w->files, id, as_ours.name,
		    as_ours.media_type);
	} else
		out->value = failure_of(&err);
	file_writer_clear(&as_ours);
	error_clear(&err);
	return f;
}

static void
write_one(struct world *w, const struct msg *m, struct answer *out)
{
	struct kit_file *f = w->files;

	while (f != NULL && m->name != NULL && strcmp(f->name, m->name) != 0)
		f = f->next;
	if (f == NULL && (f = file_begin_here(w, m, out)) == NULL)
		return;
	if ((int64_t)(f->bytes.len + m->len) > FILE_MAX) {
		answer_fail(out, AS_LIMIT, "a file of more than %d MiB",
		    (int)(FILE_MAX >> 20));
		return;
	}
	if (m->len > 0)
		buf_add(&f->bytes, m->bytes, m->len);
	out->value = file_to_json(f);
}

static void
read_one(const struct kit_file *f, const struct msg *m, struct answer *out)
{
	size_t at = (size_t)m->n, left;

	if (m->n < 0) {
		answer_fail(out, AS_INVALID, "an offset below 0");
		return;
	}
	left = at < f->bytes.len ? f->bytes.len - at : 0;
	out->len = left < m->index ? left : m->index;
	out->bytes = xmalloc(out->len + 1);
	if (out->len > 0)
		memcpy(out->bytes, f->bytes.data + at, out->len);
	out->bytes[out->len] = '\0';
}

void
world_serve_file(struct world *w, const struct msg *m, struct answer *out)
{
	const char *id = m->name != NULL ? m->name : "";
	struct kit_file *f;

	if (!world_grants(w, "files", out))
		return;
	if (m->kind == SERVE_FILE_WRITE) {
		write_one(w, m, out);
		return;
	}
	if ((f = by_id(w->files, id)) == NULL)
		f = by_id(w->kit->files, id);
	if (f == NULL) {
		answer_fail(out, AS_NOTFOUND, "no file %.80s", id);
		if (w->unscripted++ == 0)
			note(w->kit, "check.json has no file %s", id);
	} else if (m->kind == SERVE_FILE_STAT)
		out->value = file_to_json(f);
	else
		read_one(f, m, out);
}
