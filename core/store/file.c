/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/file.h"

#include <string.h>

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * Files of threads; see file.h.  A writer holds back less than a piece, so a
 * small file is one row of bytes, and the database hears of it only when it is
 * kept.
 */

/* What a call has written counts when its result does. */
#define VISIBLE \
	"(f.call_key IS NULL OR EXISTS (SELECT 1 FROM tool_invocations i" \
	" WHERE i.idem_key = f.call_key AND i.state = 'succeeded'))"
#define COLUMNS \
	"SELECT f.id, f.name, f.media_type, f.length, f.sha256, f.created_at," \
	" f.run_id, i.tool, i.tool_call_id FROM files f LEFT JOIN" \
	" tool_invocations i ON i.idem_key = f.call_key" \
	" JOIN threads t ON t.id = f.thread_id"
#define MINE " WHERE f.tenant_id = $1 AND ($2 IS NULL OR t.user_id = $2)"

SQL_BOTH(STAT,
    COLUMNS MINE " AND f.id = $3 AND ($4 IS NULL OR f.thread_id = $4)"
		 " AND " VISIBLE,
    COLUMNS " WHERE f.tenant_id = $1 AND ($2::uuid IS NULL OR"
	    " t.user_id = $2) AND f.id = $3 AND ($4::uuid IS NULL OR"
	    " f.thread_id = $4) AND " VISIBLE);
SQL_BOTH(LIST,
    COLUMNS MINE " AND f.thread_id = $3 AND ($4 IS NULL OR f.id < $4)"
		 " AND " VISIBLE " ORDER BY f.id DESC LIMIT $5",
    COLUMNS " WHERE f.tenant_id = $1 AND ($2::uuid IS NULL OR"
	    " t.user_id = $2) AND f.thread_id = $3 AND ($4::uuid IS NULL OR"
	    " f.id < $4) AND " VISIBLE " ORDER BY f.id DESC LIMIT $5");
#define THREAD_USED \
	"(SELECT CAST(coalesce(sum(length), 0) AS BIGINT) FROM files" \
	" WHERE thread_id = "
#define USER_USED \
	"(SELECT CAST(coalesce(sum(o.length), 0) AS BIGINT) FROM threads t" \
	" JOIN threads a ON a.user_id = t.user_id JOIN files o ON" \
	" o.thread_id = a.id WHERE t.id = "
SQL(USED, "SELECT " THREAD_USED "$1), " USER_USED "$1)");
SQL(PIECE, "SELECT at, bytes FROM file_pieces WHERE file_id = $1 AND at <= $2"
	   " ORDER BY at DESC LIMIT 1");

SQL(DRAFT_ADD, "INSERT INTO file_drafts (file_id, created_at)"
	       " VALUES ($1, now_us()) ON CONFLICT (file_id) DO NOTHING");
SQL(PIECE_ADD, "INSERT INTO file_pieces (file_id, at, bytes)"
	       " VALUES ($1, $2, $3)");
/*
 * $10 is what it and those after it have: with those before it, which are there
 * by then, the same number for all of a list, so all of them get in, or none.
 * On PostgreSQL a statement sees what was committed when it began: before it
 * comes one that waits for the person's row.
 */
SQL_BOTH(OWNER_LOCK, "SELECT 1 FROM threads WHERE id = $1",
    "SELECT 1 FROM users WHERE id = (SELECT user_id FROM threads"
    " WHERE id = $1) FOR NO KEY UPDATE");
SQL(FILE_ADD,
    "INSERT INTO files (id, tenant_id, thread_id, run_id, call_key, name,"
    " media_type, length, sha256, created_at)"
    " SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, now_us() WHERE"
    " $10 + " THREAD_USED "$3) <= $11 AND $10 + " USER_USED "$3) <= $12");
/* Only of one that got in. */
SQL(LAST_PIECE_ADD, "INSERT INTO file_pieces (file_id, at, bytes)"
		    " SELECT f.id, $2, $3 FROM files f WHERE f.id = $1");
SQL(KEPT, "DELETE FROM file_drafts WHERE file_id IN"
	  " (SELECT id FROM files WHERE id = $1)");

/* By who may see it. */
#define GONE_IF_SEEN \
	"(SELECT f.id FROM files f JOIN threads t ON t.id = f.thread_id" \
	" WHERE f.id = $3 AND f.tenant_id = $1 AND t.user_id = $2 " \
	"AND " VISIBLE ")"
SQL(GONE_PIECES, "DELETE FROM file_pieces WHERE file_id IN " GONE_IF_SEEN);
SQL(GONE_FILE, "DELETE FROM files WHERE id IN " GONE_IF_SEEN);

/* An earlier attempt of the same call, whose result was lost. */
SQL(OLD_PIECES, "DELETE FROM file_pieces WHERE file_id IN"
		" (SELECT id FROM files WHERE call_key = $1)");
SQL(OLD_FILES, "DELETE FROM files WHERE call_key = $1");

SQL(SWEEP_PIECES, "DELETE FROM file_pieces WHERE file_id IN"
		  " (SELECT file_id FROM file_drafts WHERE"
		  " created_at < now_us() - $1)");
SQL(SWEEP_DRAFTS, "DELETE FROM file_drafts WHERE created_at < now_us() - $1");

/* ---- Writing ------------------------------------------------------- */

static bool
name_is_good(const char *name)
{
	size_t i, len = strlen(name);

	for (i = 0; i < len; i++)
		if ((unsigned char)name[i] < ' ' || name[i] == 0x7f ||
		    name[i] == '/' || name[i] == '\\')
			return false;
	return len > 0 && len <= FILE_NAME_MAX && text_is_utf8(name, len) &&
	       strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static bool
media_type_is_good(const char *type)
{
	const char *slash = strchr(type, '/');

	return slash != NULL && slash != type && slash[1] != '\0' &&
	       strlen(type) <= FILE_NAME_MAX &&
	       type[strspn(type,
		   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		   "0123456789!#$&^_.+-/;= \"")] == '\0';
}

enum as_status
file_begin(struct file_writer *w, const char *name, const char *media_type,
    struct error *err)
{
	if (media_type == NULL || *media_type == '\0')
		media_type = "application/octet-stream";
	if (name == NULL || !name_is_good(name))
		return error_set(err, ERR_BAD_REQUEST,
		    "the name of a file is 1 to %d bytes of UTF-8 without "
		    "slashes and control characters",
		    FILE_NAME_MAX);
	if (!media_type_is_good(media_type))
		return error_set(err, ERR_BAD_REQUEST,
		    "not a media type: '%.60s'", media_type);
	w->id = uuid_v7();
	w->name = xstrdup(name);
	w->media_type = xstrdup(media_type);
	w->tail = xmalloc(FILE_PIECE);
	hash_init(&w->hash);
	return AS_OK;
}

void
file_writer_clear(struct file_writer *w)
{
	free(w->name);
	free(w->media_type);
	free(w->tail);
	memset(w, 0, sizeof(*w));
}

SUSPENDS static enum as_status
tail_flush(struct store *store, struct file_writer *w, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(w->id),
		SQL_INT(w->len - (int64_t)w->n_tail),
		SQL_BYTES(w->tail, w->n_tail) };
	struct sql_call calls[] = { { &DRAFT_ADD, args, 1 },
		{ &PIECE_ADD, args, 3 } };
	enum as_status st = store_batch(store, calls, 2, NULL, err);

	if (st == AS_OK)
		w->n_tail = 0;
	return st;
}

enum as_status
file_add(struct store *store, struct file_writer *w, const void *p, size_t len,
    struct error *err)
{
	const char *from = p;
	enum as_status st = AS_OK;
	size_t n;

	if ((int64_t)len > FILE_MAX - w->len)
		return error_set(err, ERR_TOO_LARGE,
		    "a file of more than %d MiB", (int)(FILE_MAX >> 20));
	while (st == AS_OK && len > 0) {
		n = FILE_PIECE - w->n_tail;
		n = n < len ? n : len;
		memcpy(w->tail + w->n_tail, from, n);
		hash_bytes(&w->hash, from, n);
		w->n_tail += n;
		w->len += (int64_t)n;
		from += n;
		len -= n;
		if (w->n_tail == FILE_PIECE)
			st = tail_flush(store, w, err);
	}
	return st;
}

/* ---- Keeping ------------------------------------------------------- */

#define CALLS_OF_FILE 3
#define ARGS_OF_FILE 12
#define ARGS_OF_PIECE 3

/* The statements of one list, and what they need. */
struct keeping {
	struct sql_call *calls;
	struct sql_arg *args;
	char (*sums)[HASH_TEXT];
	struct rows **rows;
	int n, first; /* the first FILE_ADD */
};

static void
hash_hex(const struct file_writer *w, char out[HASH_TEXT])
{
	struct hash copy = w->hash;
	uint8_t sum[HASH_LEN];

	hash_end(&copy, sum);
	text_hex(out, sum, sizeof(sum));
}

static void
keeping_add(struct keeping *k, struct sql *sql, const struct sql_arg *args,
    int n)
{
	k->calls[k->n++] = (struct sql_call){ sql, args, n };
}

/* Its row, its last piece; out of the drafts.  left: it and those after it. */
static void
keeping_file(struct keeping *k, size_t i, const struct file_scope *s,
    const struct file_writer *w, int64_t left)
{
	struct sql_arg *a = k->args + i * (ARGS_OF_FILE + ARGS_OF_PIECE);
	struct sql_arg *piece = a + ARGS_OF_FILE;

	hash_hex(w, k->sums[i]);
	a[0] = SQL_UUID(w->id);
	a[1] = SQL_UUID(s->tenant_id);
	a[2] = SQL_UUID(s->thread_id);
	a[3] = sql_uuid_or_null(s->run_id);
	a[4] = SQL_TEXT(s->call_key);
	a[5] = SQL_TEXT(w->name);
	a[6] = SQL_TEXT(w->media_type);
	a[7] = SQL_INT(w->len);
	a[8] = SQL_TEXT(k->sums[i]);
	a[9] = SQL_INT(left);
	a[10] = SQL_INT(FILE_THREAD_MAX);
	a[11] = SQL_INT(s->user_max > 0 ? s->user_max : FILE_USER_MAX);
	piece[0] = a[0];
	piece[1] = SQL_INT(w->len - (int64_t)w->n_tail);
	piece[2] = SQL_BYTES(w->tail, w->n_tail);
	keeping_add(k, &FILE_ADD, a, ARGS_OF_FILE);
	if (w->n_tail > 0)
		keeping_add(k, &LAST_PIECE_ADD, piece, ARGS_OF_PIECE);
	keeping_add(k, &KEPT, a, 1);
}

/* Rows of bytes are not batched with each other: a piece each. */
static void
keeping_make(struct keeping *k, const struct file_scope *scope,
    const struct sql_arg *thread, const struct sql_arg *key,
    const struct file_writer *list)
{
	const struct file_writer *w;
	size_t n = 0, i = 0;
	int64_t left = 0;

	for (w = list; w != NULL; w = w->next, n++)
		left += w->len;
	k->calls = xcalloc(n * CALLS_OF_FILE + 3, sizeof(*k->calls));
	k->rows = xcalloc(n * CALLS_OF_FILE + 3, sizeof(struct rows *));
	k->args = xcalloc(n * (ARGS_OF_FILE + ARGS_OF_PIECE) + 1,
	    sizeof(*k->args));
	k->sums = xcalloc(n + 1, sizeof(*k->sums));
	keeping_add(k, &OWNER_LOCK, thread, 1);
	if (scope->call_key != NULL) {
		keeping_add(k, &OLD_PIECES, key, 1);
		keeping_add(k, &OLD_FILES, key, 1);
	}
	k->first = k->n;
	for (w = list; w != NULL; left -= w->len, w = w->next, i++)
		keeping_file(k, i, scope, w, left);
}

static void
keeping_free(struct keeping *k)
{
	for (int i = 0; i < k->n; i++)
		rows_free(k->rows[i]);
	free(k->calls);
	free(k->rows);
	free(k->args);
	free(k->sums);
}

/* Which of the two was it? */
SUSPENDS static enum as_status
no_room(struct store *store, const struct file_scope *scope,
    const struct file_writer *list, struct error *err)
{
	int64_t most = scope->user_max > 0 ? scope->user_max : FILE_USER_MAX;
	struct sql_arg arg = SQL_UUID(scope->thread_id);
	struct rows *rows = NULL;
	enum as_status st = store_query(store, &USED, &arg, 1, &rows, err);
	int64_t used = st == AS_OK ? rows_int(rows, 0, 0) : 0;

	rows_free(rows);
	if (st != AS_OK)
		return st;
	for (; list != NULL; list = list->next)
		used += list->len;
	if (used > FILE_THREAD_MAX)
		return error_set(err, ERR_TOO_LARGE,
		    "the files of a thread have at most %d MiB: delete some",
		    (int)(FILE_THREAD_MAX >> 20));
	return error_set(err, ERR_TOO_LARGE,
	    "the files of a person have at most %d MiB (files.max_user): "
	    "delete some",
	    (int)(most >> 20));
}

enum as_status
files_keep(struct store *store, const struct file_scope *scope,
    struct file_writer *list, struct error *err)
{
	struct sql_arg thread = SQL_UUID(scope->thread_id);
	struct sql_arg key = SQL_TEXT(scope->call_key);
	struct keeping k = { 0 };
	enum as_status st;

	keeping_make(&k, scope, &thread, &key, list);
	st = store_batch(store, k.calls, k.n, k.rows, err);
	if (st == AS_OK && rows_affected(k.rows[k.first]) == 0)
		st = no_room(store, scope, list, err);
	keeping_free(&k);
	if (st == AS_OK)
		(void)file_sweep(store, FILE_SWEEP_US, NULL);
	return st;
}

enum as_status
file_remove(struct store *store, const struct file_scope *scope, struct uuid id,
    struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(scope->tenant_id),
		SQL_UUID(scope->user_id), SQL_UUID(id) };
	struct sql_call calls[] = { { &GONE_PIECES, args, 3 },
		{ &GONE_FILE, args, 3 } };
	struct rows *rows[2] = { NULL };
	char text[UUID_TEXT];
	enum as_status st = store_batch(store, calls, 2, rows, err);

	uuid_format(id, text);
	if (st == AS_OK && rows_affected(rows[1]) == 0)
		st = error_not_found(err, "file", text);
	rows_free(rows[0]);
	rows_free(rows[1]);
	return st;
}

enum as_status
file_sweep(struct store *store, int64_t older_us, struct error *err)
{
	struct sql_arg arg = SQL_INT(older_us);
	struct sql_call calls[] = { { &SWEEP_PIECES, &arg, 1 },
		{ &SWEEP_DRAFTS, &arg, 1 } };

	return store_batch(store, calls, 2, NULL, err);
}

/* ---- Reading ------------------------------------------------------- */

static void
put_or_null(struct json_object *o, const char *key, const char *text)
{
	if (text != NULL)
		jput_str(o, key, text);
	else
		jput_null(o, key);
}

static struct json_object *
file_json(const struct rows *r, int i)
{
	struct json_object *o = jobj();

	jput_uuid(o, "id", rows_uuid(r, i, 0));
	jput_str(o, "name", rows_text(r, i, 1));
	jput_str(o, "media_type", rows_text(r, i, 2));
	jput_int(o, "length", rows_int(r, i, 3));
	jput_str(o, "sha256", rows_text(r, i, 4));
	jput_time(o, "created_at", rows_int(r, i, 5));
	if (rows_is_null(r, i, 6))
		jput_null(o, "run_id");
	else
		jput_uuid(o, "run_id", rows_uuid(r, i, 6));
	put_or_null(o, "tool", rows_text(r, i, 7));
	put_or_null(o, "tool_call_id", rows_text(r, i, 8));
	return o;
}

struct json_object *
file_writer_json(const struct file_writer *w)
{
	struct json_object *o = jobj();

	jput_uuid(o, "id", w->id);
	jput_str(o, "name", w->name);
	jput_str(o, "media_type", w->media_type);
	jput_int(o, "length", w->len);
	return o;
}

enum as_status
file_stat(struct store *store, const struct file_scope *scope, struct uuid id,
    struct json_object **out, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(scope->tenant_id),
		sql_uuid_or_null(scope->user_id), SQL_UUID(id),
		sql_uuid_or_null(scope->thread_id) };
	struct rows *rows = NULL;
	char text[UUID_TEXT];
	enum as_status st = store_query(store, &STAT, args, 4, &rows, err);

	uuid_format(id, text);
	if (st == AS_OK && rows_count(rows) == 0)
		st = error_not_found(err, "file", text);
	if (st == AS_OK)
		*out = file_json(rows, 0);
	rows_free(rows);
	return st;
}

enum as_status
file_list(struct store *store, const struct file_scope *scope,
    struct uuid before, int64_t limit, struct json_object **out,
    struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(scope->tenant_id),
		sql_uuid_or_null(scope->user_id), SQL_UUID(scope->thread_id),
		sql_uuid_or_null(before), SQL_INT(limit) };
	struct rows *rows = NULL;
	enum as_status st = store_query(store, &LIST, args, 5, &rows, err);

	*out = jarr();
	for (int i = 0; st == AS_OK && i < rows_count(rows); i++)
		json_object_array_add(*out, file_json(rows, i));
	rows_free(rows);
	return st;
}

enum as_status
file_read(struct store *store, struct uuid id, int64_t offset, size_t max,
    char **out, size_t *len, struct error *err)
{
	struct sql_arg args[] = { SQL_UUID(id), SQL_INT(offset) };
	struct rows *rows = NULL;
	enum as_status st = store_query(store, &PIECE, args, 2, &rows, err);
	const char *p = NULL;
	size_t n = 0, skip = 0;

	*out = NULL;
	*len = 0;
	if (st == AS_OK && rows_count(rows) == 1) {
		p = rows_bytes(rows, 0, 1, &n);
		skip = (size_t)(offset - rows_int(rows, 0, 0));
	}
	if (skip < n) {
		*len = n - skip < max ? n - skip : max;
		*out = xmalloc(*len + 1);
		memcpy(*out, p + skip, *len);
		(*out)[*len] = '\0';
	}
	rows_free(rows);
	return st;
}
