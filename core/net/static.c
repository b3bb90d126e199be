/* SPDX-License-Identifier: Apache-2.0 */
#include "core/net/static.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/net/http_impl.h"

/*
 * The kernel keeps the walk inside of the folder (openat2, RESOLVE_BENEATH);
 * where there is no such call, the resolved path must begin with the resolved
 * folder.  The body goes from the page cache to the socket (sendfile).
 */

struct range {
	int64_t from, to; /* inclusive */
};

static const char *
type_of(const char *path)
{
	static const char *const types[][2] = {
		{ ".html", "text/html; charset=utf-8" },
		{ ".js", "text/javascript; charset=utf-8" },
		{ ".mjs", "text/javascript; charset=utf-8" },
		{ ".css", "text/css; charset=utf-8" },
		{ ".json", "application/json" },
		{ ".map", "application/json" },
		{ ".webmanifest", "application/manifest+json" },
		{ ".txt", "text/plain; charset=utf-8" },
		{ ".md", "text/markdown; charset=utf-8" },
		{ ".xml", "application/xml" },
		{ ".svg", "image/svg+xml" },
		{ ".png", "image/png" },
		{ ".jpg", "image/jpeg" },
		{ ".jpeg", "image/jpeg" },
		{ ".gif", "image/gif" },
		{ ".webp", "image/webp" },
		{ ".avif", "image/avif" },
		{ ".ico", "image/x-icon" },
		{ ".woff", "font/woff" },
		{ ".woff2", "font/woff2" },
		{ ".wasm", "application/wasm" },
		{ ".pdf", "application/pdf" },
	};
	const char *dot = strrchr(path, '.');
	size_t i;

	for (i = 0; dot != NULL && i < N_ITEMS(types); i++) {
		if (text_eq_nocase(dot, types[i][0]))
			return types[i][1];
	}
	return "application/octet-stream";
}

static bool
path_is_inside(const char *root, const char *real)
{
	size_t n = strlen(root);

	return strncmp(real, root, n) == 0 &&
	       (real[n] == '/' || real[n] == '\0');
}

static int
open_resolved(const char *dir, const char *rest)
{
	char *root = realpath(dir, NULL);
	char *full = xasprintf("%s/%s", dir, rest);
	char *real = realpath(full, NULL);
	int fd = -1;

	if (root != NULL && real != NULL && path_is_inside(root, real))
		fd = open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	free(root);
	free(full);
	free(real);
	return fd;
}

static int
open_beneath(const char *dir, const char *rest)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd;

	if (at < 0)
		return -1;
	if (rest[0] == '\0')
		rest = ".";
	fd = (int)syscall(SYS_openat2, at, rest, &how, sizeof(how));
	close(at);
	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		return open_resolved(dir, rest);
	return fd;
}

static bool
has_dot_name(const char *rest)
{
	return rest[0] == '.' || strstr(rest, "/.") != NULL;
}

static void
reply_not_found(struct http_req *req)
{
	struct error err = { 0 };

	error_not_found(&err, "file", http_path(req));
	http_reply_error(req, &err);
	error_clear(&err);
}

/* A page's relative links need the slash. */
static void
reply_slash(struct http_req *req)
{
	struct buf b = { 0 };
	const char *s = http_path(req);

	for (; *s != '\0'; s++) {
		if (*s == '/')
			buf_add_char(&b, '/');
		else
			text_percent_encode(&b, s, 1);
	}
	buf_add_char(&b, '/');
	/* "//host/" would be another server. */
	if (b.data[1] == '/')
		reply_not_found(req);
	else {
		http_set_header(req, "Location", b.data);
		http_reply(req, 301, NULL, NULL, 0);
	}
	buf_free(&b);
}

static bool
etag_matches(const char *list, const char *etag)
{
	const char *s = list;
	size_t n = strlen(etag);

	if (strcmp(list, "*") == 0)
		return true;
	while ((s = strstr(s, etag)) != NULL) {
		if (s[n] == '\0' || s[n] == ',' || s[n] == ' ')
			return true;
		s += n;
	}
	return false;
}

enum range_result {
	RANGE_NONE,
	RANGE_OK,
	RANGE_BAD
};

/* "bytes=a-b", "bytes=a-", "bytes=-n"; several ranges are ignored. */
static enum range_result
range_parse(const char *s, int64_t size, struct range *r)
{
	char a[24], b[24];
	size_t na, nb;

	if (!text_has_prefix(s, "bytes=") || strchr(s, ',') != NULL)
		return RANGE_NONE;
	s += 6;
	na = strspn(s, "0123456789");
	nb = s[na] == '-' ? strspn(s + na + 1, "0123456789") : 0;
	if (s[na] != '-' || s[na + 1 + nb] != '\0' || na + nb == 0 ||
	    na >= sizeof(a) || nb >= sizeof(b))
		return RANGE_NONE;
	memcpy(a, s, na);
	a[na] = '\0';
	memcpy(b, s + na + 1, nb);
	b[nb] = '\0';
	r->from = 0;
	r->to = size - 1;
	if (na > 0 && !text_to_int(a, 0, INT64_MAX, &r->from))
		return RANGE_BAD;
	if (nb > 0 && !text_to_int(b, 0, INT64_MAX, &r->to))
		r->to = INT64_MAX;
	if (na == 0) { /* the last b bytes */
		r->from = r->to < size ? size - r->to : 0;
		if (r->to == 0)
			return RANGE_BAD;
		r->to = size - 1;
	}
	if (r->to > size - 1)
		r->to = size - 1;
	return r->from > r->to ? RANGE_BAD : RANGE_OK;
}

static bool
wants_range(struct http_req *req, const char *etag)
{
	const char *only_if = http_header(req, "if-range");

	return http_header(req, "range") != NULL &&
	       (only_if == NULL || strcmp(only_if, etag) == 0);
}

static void
serve_range(struct http_req *req, int fd, const char *type, int64_t size)
{
	struct range r;
	char text[80];

	switch (range_parse(http_header(req, "range"), size, &r)) {
	case RANGE_OK:
		snprintf(text, sizeof(text), "bytes %lld-%lld/%lld",
		    (long long)r.from, (long long)r.to, (long long)size);
		http_set_header(req, "Content-Range", text);
		reply_file(req, 206, type, fd, r.from, r.to - r.from + 1);
		break;
	case RANGE_BAD:
		close(fd);
		snprintf(text, sizeof(text), "bytes */%lld", (long long)size);
		http_set_header(req, "Content-Range", text);
		http_reply(req, 416, NULL, NULL, 0);
		break;
	case RANGE_NONE:
		reply_file(req, 200, type, fd, 0, size);
		break;
	}
}

/* Takes fd, a regular file. */
static void
serve_file(struct http_req *req, int fd, const struct stat *st,
    const char *name, const char *cache_control)
{
	const char *match = http_header(req, "if-none-match");
	char etag[64];

	snprintf(etag, sizeof(etag), "\"%llx-%llx-%llx\"",
	    (unsigned long long)st->st_ino, (unsigned long long)st->st_size,
	    (unsigned long long)st->st_mtim.tv_sec * 1000000000u +
		(unsigned long long)st->st_mtim.tv_nsec);
	http_set_header(req, "ETag", etag);
	http_set_header(req, "Cache-Control",
	    cache_control != NULL ? cache_control : "no-cache");
	http_set_header(req, "Accept-Ranges", "bytes");
	if (text_has_prefix(type_of(name), "text/html")) {
		http_set_header(req, "X-Frame-Options", "DENY");
		http_set_header(req, "Referrer-Policy", "same-origin");
	}
	if (match != NULL && etag_matches(match, etag)) {
		close(fd);
		http_reply(req, 304, NULL, NULL, 0);
	} else if (wants_range(req, etag))
		serve_range(req, fd, type_of(name), st->st_size);
	else
		reply_file(req, 200, type_of(name), fd, 0, st->st_size);
}

static void
serve_folder(struct http_req *req, int dirfd, const char *cache_control)
{
	struct stat st;
	int fd = openat(dirfd, "index.html",
	    O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);

	close(dirfd);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		serve_file(req, fd, &st, "index.html", cache_control);
		return;
	}
	if (fd >= 0)
		close(fd);
	reply_not_found(req);
}

void
static_serve(struct http_req *req, const char *dir, const char *rest,
    const char *cache_control)
{
	const char *path = http_path(req);
	struct stat st;
	int fd = -1;

	if (!has_dot_name(rest))
		fd = open_beneath(dir, rest);
	if (fd < 0 || fstat(fd, &st) != 0 ||
	    (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))) {
		if (fd >= 0)
			close(fd);
		reply_not_found(req);
	} else if (S_ISREG(st.st_mode))
		serve_file(req, fd, &st, rest, cache_control);
	else if (path[0] != '\0' && path[strlen(path) - 1] != '/') {
		close(fd);
		reply_slash(req);
	} else
		serve_folder(req, fd, cache_control);
}
