/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/*
 * The log.  Levels are an immutable table behind an atomic pointer, so that
 * asking whether a line is wanted takes no lock; replaced tables stay linked
 * because a reader may still be in one.  Secrets are kept longest first: one
 * that contains another is replaced before it could be cut in two.
 */

#define TEXT_MAX 8192
#define SECRET_MIN 4

struct area_level {
	char *area;
	enum log_level level;
};

struct levels {
	struct levels *older;
	enum log_level standard;
	struct area_level *areas;
	size_t n_areas;
};

struct secret {
	struct secret *next;
	size_t len;
	char text[];
};

const char *(*log_correlation)(void);

static struct levels initial = { .standard = LOG_INFO };
static struct levels *_Atomic current = &initial;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct secret *secrets; /* under lock */
static atomic_int out_fd = STDERR_FILENO;
static atomic_bool for_journal;

static const char *const level_names[] = { "", "debug", "info", "warning",
	"error" };
static const int priorities[] = { 0, 7, 6, 4, 3 }; /* of syslog(3) */

static bool
level_by_name(const char *name, enum log_level *out)
{
	size_t i;

	for (i = LOG_DEBUG; i < N_ITEMS(level_names); i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

static bool
add_area(struct levels *l, char *word)
{
	char *equals = strchr(word, '=');
	struct area_level *a;

	if (equals == NULL)
		return level_by_name(word, &l->standard);
	if (equals == word)
		return false;
	*equals = '\0';
	l->areas = xrealloc(l->areas, (l->n_areas + 1) * sizeof(*l->areas));
	a = &l->areas[l->n_areas];
	if (!level_by_name(equals + 1, &a->level))
		return false;
	a->area = xstrdup(word);
	l->n_areas++;
	return true;
}

static void
levels_free(struct levels *l)
{
	size_t i;

	for (i = 0; i < l->n_areas; i++)
		free(l->areas[i].area);
	free(l->areas);
	free(l);
}

static struct levels *
levels_new(const char *text)
{
	struct levels *l = xcalloc(1, sizeof(*l));
	char *copy = xstrdup(text), *rest = copy, *word;
	bool ok = true;

	l->standard = LOG_INFO;
	while (ok && (word = strsep(&rest, ",")) != NULL)
		ok = add_area(l, word);
	free(copy);
	if (ok)
		return l;
	levels_free(l);
	return NULL;
}

bool
log_levels_ok(const char *levels)
{
	struct levels *l = levels_new(levels);

	if (l == NULL)
		return false;
	levels_free(l);
	return true;
}

bool
log_configure(const char *levels)
{
	struct levels *l = levels_new(levels);

	if (l == NULL)
		return false;
	pthread_mutex_lock(&lock);
	l->older = atomic_load(&current);
	atomic_store(&current, l);
	pthread_mutex_unlock(&lock);
	return true;
}

void
log_to_fd(int fd)
{
	atomic_store(&out_fd, fd);
}

void
log_for_journal(bool yes)
{
	atomic_store(&for_journal, yes);
}

bool
log_enabled(enum log_level level, const char *area)
{
	const struct levels *l = atomic_load(&current);
	size_t i;

	for (i = 0; i < l->n_areas; i++)
		if (strcmp(l->areas[i].area, area) == 0)
			return level >= l->areas[i].level;
	return level >= l->standard;
}

void
log_redact(const char *secret)
{
	size_t len = secret != NULL ? strlen(secret) : 0;
	struct secret *s, **at;

	if (len < SECRET_MIN)
		return;
	s = xmalloc(sizeof(*s) + len + 1);
	s->len = len;
	memcpy(s->text, secret, len + 1);
	pthread_mutex_lock(&lock);
	for (at = &secrets; *at != NULL && (*at)->len > len; at = &(*at)->next)
		continue;
	while (*at != NULL && (*at)->len == len &&
	       strcmp((*at)->text, secret) != 0)
		at = &(*at)->next;
	if (*at != NULL && (*at)->len == len) {
		free(s);
	} else {
		s->next = *at;
		*at = s;
	}
	pthread_mutex_unlock(&lock);
}

static void
replace(struct buf *text, const struct secret *s)
{
	struct buf out = { 0 };
	const char *from, *hit;

	if (text->len < s->len || strstr(text->data, s->text) == NULL)
		return;
	for (from = text->data; (hit = strstr(from, s->text)) != NULL;
	     from = hit + s->len) {
		buf_add(&out, from, (size_t)(hit - from));
		buf_add_str(&out, "***");
	}
	buf_add_str(&out, from);
	buf_free(text);
	*text = out;
}

static void
redact(struct buf *text)
{
	const struct secret *s;

	pthread_mutex_lock(&lock);
	for (s = secrets; s != NULL; s = s->next)
		replace(text, s);
	pthread_mutex_unlock(&lock);
}

static void
add_member(struct buf *line, const char *name, const char *text, size_t len)
{
	struct buf clean = { 0 };

	text_add_clean(&clean, text, len);
	buf_printf(line, ",\"%s\":", name);
	buf_add_json_str(line, clean.data != NULL ? clean.data : "", clean.len);
	buf_free(&clean);
}

static void
put_line(struct buf *line)
{
	int fd = atomic_load(&out_fd);
	size_t done = 0;
	ssize_t n;

	/* A rest is written on only if the system took part of the line. */
	while (done < line->len) {
		n = write(fd, line->data + done, line->len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		done += (size_t)n;
	}
}

void
log_line(enum log_level level, const char *area, const char *correlation_id,
    const char *fmt, ...)
{
	struct buf text = { 0 }, line = { 0 };
	char ts[TEXT_TIME_LEN];
	int saved = errno;
	va_list ap;
	size_t len;

	if (!log_enabled(level, area))
		return;
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	redact(&text);
	len = text.len;
	if (len > TEXT_MAX)
		len = text_utf8_whole(text.data, TEXT_MAX);
	if (correlation_id == NULL && log_correlation != NULL)
		correlation_id = log_correlation();
	text_time(ts, clock_wall_us());
	if (atomic_load(&for_journal))
		buf_printf(&line, "<%d>", priorities[level]);
	buf_printf(&line, "{\"ts\":\"%s\",\"level\":\"%s\"", ts,
	    level_names[level]);
	add_member(&line, "area", area, strlen(area));
	add_member(&line, "msg", text.data, len);
	if (correlation_id != NULL)
		add_member(&line, "correlation_id", correlation_id,
		    strlen(correlation_id));
	buf_add_str(&line, "}\n");
	put_line(&line);
	buf_free(&text);
	buf_free(&line);
	errno = saved;
}
