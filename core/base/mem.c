/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * The allocator's last word and the assertion's.  What fails here cannot be
 * handled by anybody above, so both print and abort; neither allocates on the
 * way, because there may be nothing left to allocate.
 */

const char *(*must_where)(void);

static void
say(const char *s)
{
	size_t len = strlen(s);
	ssize_t n;

	while (len > 0 && (n = write(STDERR_FILENO, s, len)) > 0) {
		s += n;
		len -= (size_t)n;
	}
}

void
must_failed(const char *cond, const char *file, int line)
{
	const char *where = must_where != NULL ? must_where() : NULL;
	char number[16];

	snprintf(number, sizeof(number), ":%d: ", line);
	say(file);
	say(number);
	say("must hold: ");
	say(cond);
	if (where != NULL) {
		say(" (in ");
		say(where);
		say(")");
	}
	say("\n");
	abort();
}

static _Noreturn void
no_memory(void)
{
	say("agent-studio: out of memory\n");
	abort();
}

void *
xmalloc(size_t size)
{
	void *p = malloc(size > 0 ? size : 1);

	if (p == NULL)
		no_memory();
	return p;
}

void *
xcalloc(size_t n, size_t size)
{
	void *p;

	if (n == 0 || size == 0)
		n = size = 1;
	if ((p = calloc(n, size)) == NULL)
		no_memory();
	return p;
}

void *
xrealloc(void *p, size_t size)
{
	if ((p = realloc(p, size > 0 ? size : 1)) == NULL)
		no_memory();
	return p;
}

char *
xstrdup(const char *s)
{
	return s != NULL ? xstrndup(s, strlen(s)) : NULL;
}

char *
xstrndup(const char *s, size_t len)
{
	char *copy;

	MUST(len < SIZE_MAX);
	copy = xmalloc(len + 1);
	if (len > 0)
		memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *
xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	MUST(len >= 0);
	s = xmalloc((size_t)len + 1);
	va_start(ap, fmt);
	vsnprintf(s, (size_t)len + 1, fmt, ap);
	va_end(ap);
	return s;
}
