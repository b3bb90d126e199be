/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/folder.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/loop/pool.h"

/*
 * Bytes by content.  In a folder, a blob is <dir>/ab/<key>, where ab are the
 * first two characters of the key; it appears there by rename, so what has the
 * name is whole.  The bytes are hashed again whenever they are read.
 */

struct blob_store {
	char *dir; /* NULL: the table blobs */
	struct pool *pool;
};

struct blob_job {
	struct pool_job job;
	bool is_put;
	char *dir;
	char key[BLOB_KEY];
	char *data; /* of put and get */
	size_t len;
	enum as_status status;
	struct error err;
};

struct blob_store *
blob_store_new(const char *dir, struct pool *pool)
{
	struct blob_store *b = xcalloc(1, sizeof(*b));

	MUST(dir == NULL || pool != NULL);
	b->dir = xstrdup(dir);
	b->pool = pool;
	return b;
}

void
blob_store_free(struct blob_store *b)
{
	if (b == NULL)
		return;
	free(b->dir);
	free(b);
}

/* ---- Folder, on a pool thread -------------------------------------- */

static enum as_status
file_failed(struct blob_job *j, const char *what)
{
	return error_set(&j->err, ERR_UNAVAILABLE, "cannot %s blob %s: %s",
	    what, j->key, strerror(errno));
}

static bool
write_all(int fd, const char *p, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return fsync(fd) == 0;
}

static enum as_status
file_put(struct blob_job *j)
{
	char *sub = xasprintf("%s/%.2s", j->dir, j->key);
	char *name = xasprintf("%s/%s", sub, j->key);
	char *tmp = xasprintf("%s/tmp.XXXXXX", sub);
	enum as_status st = AS_OK;
	int fd = -1;

	if (mkdir(j->dir, 0700) != 0 && errno != EEXIST)
		st = file_failed(j, "make the folder of");
	else if (mkdir(sub, 0700) == 0 && !folder_sync(j->dir))
		st = file_failed(j, "sync the folder of");
	else if (access(name, F_OK) == 0)
		st = AS_OK; /* the same bytes, by their name */
	else if ((fd = mkostemp(tmp, O_CLOEXEC)) < 0)
		st = file_failed(j, "create");
	else if (!write_all(fd, j->data, j->len) || rename(tmp, name) != 0 ||
		 !folder_sync(sub)) {
		st = file_failed(j, "write");
		unlink(tmp);
	}
	if (fd >= 0)
		close(fd);
	free(sub);
	free(name);
	free(tmp);
	return st;
}

static enum as_status
blob_check(const char *key, const void *p, size_t len, struct error *err)
{
	char actual[HASH_TEXT];

	hash_text(p, len, actual);
	if (strcmp(actual, key) == 0)
		return AS_OK;
	return error_set(err, ERR_INTERNAL, "blob %s is damaged", key);
}

static enum as_status
file_load(struct blob_job *j, int fd)
{
	struct stat sb;
	ssize_t n;

	if (fstat(fd, &sb) != 0)
		return file_failed(j, "read");
	if (sb.st_size > BLOB_MAX)
		return error_set(&j->err, ERR_INTERNAL, "blob %s is damaged",
		    j->key);
	j->data = xmalloc((size_t)sb.st_size + 1);
	while (j->len < (size_t)sb.st_size) {
		n = read(fd, j->data + j->len, (size_t)sb.st_size - j->len);
		if (n <= 0)
			return file_failed(j, "read");
		j->len += (size_t)n;
	}
	j->data[j->len] = '\0';
	return blob_check(j->key, j->data, j->len, &j->err);
}

static enum as_status
file_get(struct blob_job *j)
{
	char *name = xasprintf("%s/%.2s/%s", j->dir, j->key, j->key);
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	enum as_status st;

	free(name);
	if (fd < 0 && errno == ENOENT)
		return error_not_found(&j->err, "blob", j->key);
	if (fd < 0)
		return file_failed(j, "open");
	st = file_load(j, fd);
	close(fd);
	return st;
}

static void
blob_job_run(struct pool_job *job)
{
	struct blob_job *j = container_of(job, struct blob_job, job);

	j->status = j->is_put ? file_put(j) : file_get(j);
}

static void
blob_job_free(struct pool_job *job)
{
	struct blob_job *j = container_of(job, struct blob_job, job);

	error_clear(&j->err);
	free(j->dir);
	free(j->data);
	free(j);
}

static struct blob_job *
blob_job_new(struct blob_store *b, bool is_put, const char *key)
{
	struct blob_job *j = xcalloc(1, sizeof(*j));

	j->job.fn = blob_job_run;
	j->job.free = blob_job_free;
	j->is_put = is_put;
	j->dir = xstrdup(b->dir);
	memcpy(j->key, key, BLOB_KEY);
	return j;
}

SUSPENDS static enum as_status
blob_job_do(struct blob_store *b, struct blob_job *j, char **out, size_t *len,
    struct error *err)
{
	enum as_status st = pool_run(b->pool, &j->job, err);

	if (st != AS_OK)
		return st;
	st = j->status;
	if (st != AS_OK && err != NULL)
		error_move(err, &j->err);
	if (st == AS_OK && out != NULL) {
		*out = j->data;
		*len = j->len;
		j->data = NULL;
	}
	pool_job_put(&j->job);
	return st;
}

/* ---- Table --------------------------------------------------------- */

SQL(BLOB_PUT, "INSERT INTO blobs (key, bytes, refs, created_at) "
	      "VALUES ($1, $2, 0, now_us()) ON CONFLICT (key) DO NOTHING");
SQL(BLOB_GET, "SELECT bytes FROM blobs WHERE key = $1");

SUSPENDS static enum as_status
table_get(struct store *store, const char *key, char **out, size_t *len,
    struct error *err)
{
	struct sql_arg args[] = { SQL_TEXT(key) };
	struct rows *rows = NULL;
	const void *p;
	enum as_status st = store_query(store, &BLOB_GET, args, 1, &rows, err);

	if (st == AS_OK && rows_count(rows) == 0)
		st = error_not_found(err, "blob", key);
	if (st != AS_OK)
		goto out;
	p = rows_bytes(rows, 0, 0, len);
	if ((st = blob_check(key, p, *len, err)) != AS_OK)
		goto out;
	*out = xmalloc(*len + 1);
	memcpy(*out, p, *len);
	(*out)[*len] = '\0';
out:
	rows_free(rows);
	return st;
}

/* ---- Public -------------------------------------------------------- */

SUSPENDS enum as_status
blob_put(struct blob_store *b, struct store *store, const void *p, size_t len,
    char key[BLOB_KEY], struct error *err)
{
	struct blob_job *j;

	if (len > BLOB_MAX)
		return error_set(err, ERR_TOO_LARGE,
		    "%zu bytes; a blob has at most %d", len, BLOB_MAX);
	hash_text(p, len, key);
	if (b->dir == NULL) {
		struct sql_arg args[] = { SQL_TEXT(key), SQL_BYTES(p, len) };

		return store_exec(store, &BLOB_PUT, args, 2, NULL, err);
	}
	j = blob_job_new(b, true, key);
	j->data = xmalloc(len + 1);
	if (len > 0)
		memcpy(j->data, p, len);
	j->len = len;
	return blob_job_do(b, j, NULL, NULL, err);
}

SUSPENDS enum as_status
blob_get(struct blob_store *b, struct store *store, const char *key, char **out,
    size_t *len, struct error *err)
{
	*out = NULL;
	*len = 0;
	/* It becomes part of a path. */
	if (strlen(key) != BLOB_KEY - 1 ||
	    strspn(key, "0123456789abcdef") != BLOB_KEY - 1)
		return error_not_found(err, "blob", key);
	if (b->dir == NULL)
		return table_get(store, key, out, len, err);
	return blob_job_do(b, blob_job_new(b, false, key), out, len, err);
}
