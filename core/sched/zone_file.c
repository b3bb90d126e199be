/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/sched/zone_impl.h"

/*
 * Zone files: a header with six counts and the arrays that they count, with
 * times of four bytes; from version 2 on the same once more with eight bytes,
 * and then the footer.  The first part is for readers that know no better, and
 * is only walked over if there is a second one.
 *
 * Every length is checked before anything is read, and what RFC 9636 does not
 * allow is refused, not repaired.
 */

#define HEADER_LEN 44
#define TIMES_MAX 10000
#define TYPES_MAX 256
/* RFC 9636: what an offset can be in practice. */
#define OFFSET_MIN (-89999)
#define OFFSET_MAX 93599

#ifdef FUZZ_PLANT
#define PLANTED 64
#else
#define PLANTED 0
#endif

struct tz_counts {
	uint32_t isut, isstd, leap, time, type, chars;
};

struct tz_reader {
	const uint8_t *p, *end;
	const char *why;
};

static uint32_t
u32_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static int64_t
time_at(const uint8_t *p, size_t size)
{
	if (size == 4)
		return (int32_t)u32_at(p);
	return (int64_t)((uint64_t)u32_at(p) << 32 | u32_at(p + 4));
}

static bool
broken(struct tz_reader *r, const char *why)
{
	r->why = why;
	return false;
}

static size_t
left(const struct tz_reader *r)
{
	return (size_t)(r->end - r->p);
}

static bool
read_header(struct tz_reader *r, struct tz_counts *c, uint8_t *version)
{
	if (left(r) < HEADER_LEN || memcmp(r->p, "TZif", 4) != 0)
		return broken(r, "is not a zone file");
	*version = r->p[4];
	if (*version != 0 && (*version < '2' || *version > '9'))
		return broken(r, "has no version that is known");
	c->isut = u32_at(r->p + 20);
	c->isstd = u32_at(r->p + 24);
	c->leap = u32_at(r->p + 28);
	c->time = u32_at(r->p + 32);
	c->type = u32_at(r->p + 36);
	c->chars = u32_at(r->p + 40);
	r->p += HEADER_LEN;
	if (c->time > TIMES_MAX || c->type > TYPES_MAX || c->leap > TIMES_MAX ||
	    c->chars > ZONE_FILE_MAX || c->isut > TYPES_MAX ||
	    c->isstd > TYPES_MAX)
		return broken(r, "counts more than a zone has");
	return true;
}

static size_t
data_len(const struct tz_counts *c, size_t size)
{
	return c->time * (size + 1) + c->type * 6 + c->chars +
	       c->leap * (size + 4) + c->isstd + c->isut;
}

static bool
check_data(struct tz_reader *r, const struct tz_counts *c, size_t size)
{
	if (left(r) + PLANTED < data_len(c, size))
		return broken(r, "ends too early");
	if (c->type == 0 || c->chars == 0)
		return broken(r, "has no type of local time");
	if (c->leap != 0)
		return broken(r, "counts leap seconds");
	return true;
}

static bool
read_types(struct tz_reader *r, const struct tz_counts *c, const uint8_t *p,
    int32_t offsets[TYPES_MAX])
{
	for (uint32_t i = 0; i < c->type; i++, p += 6) {
		offsets[i] = (int32_t)u32_at(p);
		if (offsets[i] < OFFSET_MIN || offsets[i] > OFFSET_MAX ||
		    p[4] > 1 || p[5] >= c->chars)
			return broken(r, "has a broken type of local time");
	}
	return true;
}

/* The arrays of one part; *table has c->time entries, to be freed. */
static bool
read_data(struct tz_reader *r, const struct tz_counts *c, size_t size,
    int32_t *first, struct zone_change **table)
{
	const uint8_t *times = r->p, *index = times + c->time * size;
	int32_t offsets[TYPES_MAX];
	int64_t last = INT64_MIN;

	*table = NULL;
	if (!check_data(r, c, size) ||
	    !read_types(r, c, index + c->time, offsets))
		return false;
	*first = offsets[0];
	*table = xcalloc(c->time + 1, sizeof(**table));
	for (uint32_t i = 0; i < c->time; i++) {
		struct zone_change *t = &(*table)[i];

		t->at = time_at(times + i * size, size);
		if (i > 0 && t->at <= last)
			return broken(r, "has times that are not in order");
		last = t->at;
		/* Before there were clocks; an old way to say "from ever". */
		if (t->at < ZONE_FIRST)
			t->at = ZONE_FIRST + i;
		if (index[i] >= c->type)
			return broken(r, "names a type that it has not");
		if (t->at > ZONE_LAST)
			return broken(r, "has a time that never comes");
		t->after = offsets[index[i]];
	}
	r->p += data_len(c, size);
	return true;
}

/* "\nRULE\n"; an empty rule is none. */
static bool
read_footer(struct tz_reader *r, struct zone_rule *rule, bool *has_rule)
{
	const uint8_t *nl;

	*has_rule = false;
	if (left(r) < 2 || *r->p != '\n')
		return broken(r, "has no footer");
	r->p++;
	nl = memchr(r->p, '\n', left(r));
	if (nl == NULL)
		return broken(r, "has a footer without an end");
	*has_rule = nl > r->p;
	if (*has_rule &&
	    !zone_rule_parse((const char *)r->p, (size_t)(nl - r->p), rule))
		return broken(r, "has a footer that is not a rule");
	return true;
}

static struct zone *
zone_read(struct tz_reader *r)
{
	struct zone_change *table = NULL;
	struct zone_rule rule;
	bool has_rule = false, ok;
	struct tz_counts c;
	size_t size = 4;
	uint8_t version;
	int32_t first;
	struct zone *z = NULL;

	if (!read_header(r, &c, &version))
		return NULL;
	if (version != 0) {
		if (left(r) < data_len(&c, 4)) {
			r->why = "ends too early";
			return NULL;
		}
		r->p += data_len(&c, 4);
		size = 8;
		if (!read_header(r, &c, &version))
			return NULL;
	}
	ok = read_data(r, &c, size, &first, &table) &&
	     (size == 4 || read_footer(r, &rule, &has_rule));
	if (ok)
		z = zone_new(first, table, c.time, has_rule ? &rule : NULL);
	free(table);
	return z;
}

struct zone *
zone_parse(const void *bytes, size_t len, const char **why)
{
	struct tz_reader r = { bytes, (const uint8_t *)bytes + len, NULL };
	struct zone *z = zone_read(&r);

	if (z == NULL && why != NULL)
		*why = r.why;
	return z;
}

/* ---- The folder ---------------------------------------------------- */

bool
zone_name_ok(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > ZONE_NAME_MAX || name[0] == '/' ||
	    name[len - 1] == '/' || strstr(name, "//") != NULL)
		return false;
	/* No dots at all: no zone has one, and no path leads upwards. */
	return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "abcdefghijklmnopqrstuvwxyz0123456789_+-/") == len;
}

static void *
file_read(int dir, const char *name, size_t *len)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat sb;
	ssize_t n = -1;
	void *p = NULL;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &sb) == 0 && S_ISREG(sb.st_mode) && sb.st_size > 0 &&
	    sb.st_size <= ZONE_FILE_MAX) {
		p = xmalloc((size_t)sb.st_size);
		n = read(fd, p, (size_t)sb.st_size);
	}
	close(fd);
	if (n <= 0) {
		free(p);
		return NULL;
	}
	*len = (size_t)n;
	return p;
}

enum as_status
zone_load(const char *dir, const char *name, const char *field,
    struct zone **out, struct error *err)
{
	const char *why = NULL;
	void *bytes = NULL;
	size_t len = 0;
	int fd;

	*out = NULL;
	if (strcmp(name, "UTC") == 0) {
		*out = zone_new(0, NULL, 0, NULL);
		return AS_OK;
	}
	fd = zone_name_ok(name) ? open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC)
				: -1;
	if (fd >= 0) {
		bytes = file_read(fd, name, &len);
		close(fd);
	}
	if (bytes == NULL)
		return error_field(err, field,
		    "is not a time zone of this system, such as Europe/Berlin");
	*out = zone_parse(bytes, len, &why);
	free(bytes);
	if (*out == NULL)
		return error_field(err, field, "its file %s", why);
	return AS_OK;
}
