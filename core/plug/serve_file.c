/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/plug/grant.h"
#include "core/plug/serve.h"
#include "core/plug/unit.h"
#include "core/store/file.h"

/*
 * Files of a call: those of its thread, and those that it writes.  The latter
 * are the exchange's until the call has succeeded; then all of them are kept
 * at once, or with a call that fails none.
 */

#define READ_MAX ((uint32_t)256 << 10)

static enum as_status
files_ready(struct exchange *x, struct file_scope *scope, struct store **store,
    struct error *err)
{
	const struct plug_services *services = &x->plug->services;

	if (services->store == NULL)
		return error_set(err, ERR_UNSUPPORTED,
		    "files are not available here");
	memset(scope, 0, sizeof(*scope));
	if (x->who == NULL || uuid_is_nil(x->who->thread_id))
		return error_set(err, ERR_BAD_REQUEST,
		    "this call belongs to no thread, so it has no files");
	scope->tenant_id = x->who->tenant_id;
	scope->thread_id = x->who->thread_id;
	scope->run_id = x->who->run_id;
	scope->call_key = x->who->idem_key;
	scope->user_max = services->files_max_user;
	*store = services->store(services->arg, loop_self());
	return *store != NULL
		   ? AS_OK
		   : error_set(err, ERR_UNAVAILABLE, "this loop has no store");
}

static struct file_writer *
writer_by_name(const struct exchange *x, const char *name)
{
	struct file_writer *w = x->files;

	while (w != NULL && strcmp(w->name, name) != 0)
		w = w->next;
	return w;
}

static struct file_writer *
writer_by_id(const struct exchange *x, struct uuid id)
{
	struct file_writer *w = x->files;

	while (w != NULL && !uuid_equal(w->id, id))
		w = w->next;
	return w;
}

static enum as_status
writer_new(struct exchange *x, const struct msg *m, struct file_writer **out,
    struct error *err)
{
	struct file_writer *w, **last = &x->files;
	enum as_status st;
	int n = 0;

	for (; *last != NULL; last = &(*last)->next)
		n++;
	if (n >= SERVE_FILES_MAX)
		return error_set(err, ERR_TOO_LARGE,
		    "a call may write %d files", SERVE_FILES_MAX);
	w = xcalloc(1, sizeof(*w));
	if ((st = file_begin(w, m->name, m->id, err)) != AS_OK) {
		free(w);
		return st;
	}
	*out = *last = w;
	return AS_OK;
}

SUSPENDS static enum as_status
write_one(struct exchange *x, struct store *store, const struct msg *m,
    struct answer *out, struct error *err)
{
	struct file_writer *w = m->name != NULL ? writer_by_name(x, m->name)
						: NULL;
	enum as_status st = AS_OK;

	if (w == NULL)
		st = writer_new(x, m, &w, err);
	if (st == AS_OK)
		st = file_add(store, w, m->bytes, m->len, err);
	if (st == AS_OK)
		out->value = file_writer_json(w);
	return st;
}

/* Of what this call has written; some of it is in the database already. */
SUSPENDS static enum as_status
read_own(struct store *store, const struct file_writer *w, int64_t offset,
    size_t max, struct answer *out, struct error *err)
{
	int64_t stored = w->len - (int64_t)w->n_tail;
	size_t at, n;

	if (offset < stored)
		return file_read(store, w->id, offset, max, &out->bytes,
		    &out->len, err);
	at = (size_t)(offset - stored);
	n = at < w->n_tail ? w->n_tail - at : 0;
	out->len = n < max ? n : max;
	out->bytes = xmalloc(out->len + 1);
	if (out->len > 0)
		memcpy(out->bytes, w->tail + at, out->len);
	return AS_OK;
}

SUSPENDS static enum as_status
look_at(struct exchange *x, struct store *store, const struct file_scope *scope,
    const struct msg *m, struct answer *out, struct error *err)
{
	size_t max = m->index < READ_MAX ? m->index : READ_MAX;
	const struct file_writer *w;
	enum as_status st;
	struct uuid id;

	if (m->name == NULL || !uuid_parse(m->name, &id))
		return error_not_found(err, "file",
		    m->name != NULL ? m->name : "");
	if (m->kind == SERVE_FILE_READ && m->n < 0)
		return error_set(err, ERR_BAD_REQUEST, "an offset below 0");
	w = writer_by_id(x, id);
	if (m->kind == SERVE_FILE_STAT) {
		if (w == NULL)
			return file_stat(store, scope, id, &out->value, err);
		out->value = file_writer_json(w);
		return AS_OK;
	}
	if (w != NULL)
		return read_own(store, w, m->n, max, out, err);
	/* May it be seen?  Then its bytes are there, too. */
	if ((st = file_stat(store, scope, id, &out->value, err)) == AS_OK)
		st = file_read(store, id, m->n, max, &out->bytes, &out->len,
		    err);
	return st;
}

enum as_status
serve_file(struct exchange *x, const struct msg *m, struct answer *out,
    struct error *err)
{
	struct file_scope scope;
	struct store *store = NULL;
	enum as_status st = grant_check(x->unit, "files", err);

	if (st == AS_OK)
		st = files_ready(x, &scope, &store, err);
	if (st != AS_OK)
		return st;
	return m->kind == SERVE_FILE_WRITE
		   ? write_one(x, store, m, out, err)
		   : look_at(x, store, &scope, m, out, err);
}

static void
writer_drop(struct exchange *x, struct file_writer *w)
{
	struct file_writer **at = &x->files;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	file_writer_clear(w);
	free(w);
}

bool
serve_file_spill(struct exchange *x, const char *name, const char *media_type,
    const char *bytes, size_t len)
{
	struct file_writer *w = xcalloc(1, sizeof(*w));
	struct store *store = NULL;
	struct file_scope scope;
	enum as_status st;

	w->next = x->files;
	x->files = w;
	st = files_ready(x, &scope, &store, NULL);
	if (st == AS_OK)
		st = file_begin(w, name, media_type, NULL);
	if (st == AS_OK)
		st = file_add(store, w, bytes, len, NULL);
	if (st == AS_OK)
		x->spill = w;
	else
		writer_drop(x, w);
	return st == AS_OK;
}

/* All of them, or all but the spill. */
SUSPENDS static enum as_status
keep_all(struct exchange *x, struct store *store,
    const struct file_scope *scope, struct error *err)
{
	struct uuid id = x->spill != NULL ? x->spill->id : (struct uuid){ 0 };
	enum as_status st = files_keep(store, scope, x->files, err);

	if (st == AS_OK)
		x->spilled = id;
	if (st == AS_OK || x->spill == NULL)
		return st;
	writer_drop(x, x->spill);
	x->spill = NULL;
	error_clear(err);
	return x->files == NULL ? AS_OK
				: files_keep(store, scope, x->files, err);
}

enum as_status
serve_files_keep(struct exchange *x, struct json_object **failure)
{
	struct error err = { 0 };
	struct file_scope scope;
	struct store *store = NULL;
	enum as_status st = AS_OK;

	st = files_ready(x, &scope, &store, &err);
	if (st == AS_OK)
		st = keep_all(x, store, &scope, &err);
	if (st != AS_OK)
		*failure = failure_of(&err);
	error_clear(&err);
	return st;
}

void
serve_files_drop(struct exchange *x)
{
	struct file_writer *w;

	while ((w = x->files) != NULL) {
		x->files = w->next;
		file_writer_clear(w);
		free(w);
	}
}
