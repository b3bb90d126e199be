/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/mem.h"
#include "tests/fault/check.h"

/*
 * What only those know who made the faults.  A line of their log is a time in
 * which something was wrong, by the clock of the store, or what a process has
 * taken, before the load and after it:
 *
 *	{"t": "fault", "from": US, "to": US}
 *	{"t": "process", "name": N, "when": "before", "files": N,
 *	 "connections": N, "kb": N}
 */

#define KB_MORE 65536 /* that an allocator may keep */
#define FILES_MORE 2 /* that are opened when they are needed first */

struct fault {
	struct fault *next;
	int64_t from, to;
};

struct process {
	struct process *next;
	char *name;
	int64_t files, connections, kb;
};

struct drill {
	struct fault *faults;
	struct process *before;
	int n_after;
};

/* ---- Processes ----------------------------------------------------- */

static void
process_after(struct check *c, struct drill *d, struct json_object *o)
{
	const char *name = jget_str(o, "name", "");
	int64_t files = jget_int(o, "files", 0), kb = jget_int(o, "kb", 0);
	int64_t connections = jget_int(o, "connections", 0);
	const struct process *p = d->before;

	d->n_after++;
	while (p != NULL && strcmp(p->name, name) != 0)
		p = p->next;
	if (p == NULL) {
		check_broken(c, "I20", "process %s was not there before", name);
		return;
	}
	if (files > p->files + FILES_MORE)
		check_broken(c, "I20",
		    "process %s has %lld open files, and had %lld", name,
		    (long long)files, (long long)p->files);
	if (connections > p->connections)
		check_broken(c, "I20",
		    "process %s has %lld connections to its database, and had "
		    "%lld",
		    name, (long long)connections, (long long)p->connections);
	if (kb > p->kb + KB_MORE)
		check_broken(c, "I20", "process %s has %lld kB, and had %lld",
		    name, (long long)kb, (long long)p->kb);
}

static void
process_before(struct drill *d, struct json_object *o)
{
	struct process *p = xcalloc(1, sizeof(*p));

	p->name = xstrdup(jget_str(o, "name", ""));
	p->files = jget_int(o, "files", 0);
	p->connections = jget_int(o, "connections", 0);
	p->kb = jget_int(o, "kb", 0);
	p->next = d->before;
	d->before = p;
}

static void
line(struct check *c, struct json_object *o, void *arg)
{
	struct drill *d = arg;
	struct fault *f;

	if (strcmp(jget_str(o, "t", ""), "process") == 0) {
		if (strcmp(jget_str(o, "when", ""), "before") == 0)
			process_before(d, o);
		else
			process_after(c, d, o);
		return;
	}
	f = xcalloc(1, sizeof(*f));
	f->from = jget_int(o, "from", 0);
	f->to = jget_int(o, "to", 0);
	f->next = d->faults;
	d->faults = f;
}

/* ---- Runs ---------------------------------------------------------- */

/* What is promised to most is demanded for all, where nobody overloads. */
static int64_t
bound_us(int64_t class)
{
	static const int64_t bounds[] = { 15000000, 120000000, 720000000 };

	return bounds[class < 0 || class > 2 ? 2 : class];
}

static bool
is_disturbed(const struct drill *d, int64_t from, int64_t to)
{
	for (const struct fault *f = d->faults; f != NULL; f = f->next)
		if (f->from <= to && from <= f->to)
			return true;
	return false;
}

/* When a run is ready by this event of it; 0: it is not. */
static int64_t
ready_at(struct json_object *body, int64_t at)
{
	const char *state = jget_str(body, "state", "");

	if (strcmp(state, "queued") == 0)
		return at;
	if (strcmp(state, "waiting_timer") == 0)
		return at + 1000 * jget_int(body, "in_ms", 0);
	return 0;
}

static void
check_start(struct check *c, const struct drill *d, struct uuid run,
    int64_t class, int64_t ready, int64_t at)
{
	char id[UUID_TEXT];

	if (at - ready <= bound_us(class) || is_disturbed(d, ready, at))
		return;
	uuid_format(run, id);
	check_broken(c, "I18", "run %s of class %lld was ready for %lld ms", id,
	    (long long)class, (long long)((at - ready) / 1000));
}

static void
check_starts(struct check *c, const struct drill *d)
{
	struct rows *r = check_query(c,
	    "SELECT e.run_id, e.payload, e.created_at, r.class FROM run_events"
	    " e JOIN runs r ON r.id = e.run_id WHERE e.type = 'run_status'"
	    " ORDER BY e.run_id, e.run_seq",
	    NULL, 0);
	struct uuid run = { { 0 } };
	int64_t ready = 0, at;

	for (int i = 0; i < rows_count(r); i++) {
		struct json_object *body = NULL;
		const char *text = rows_text(r, i, 1);

		if (!uuid_equal(run, rows_uuid(r, i, 0)))
			ready = 0;
		run = rows_uuid(r, i, 0);
		at = rows_int(r, i, 2);
		if (json_parse(text, strlen(text), &body, NULL) != AS_OK)
			continue;
		if (ready != 0 &&
		    strcmp(jget_str(body, "state", ""), "running") == 0) {
			check_start(c, d, run, rows_int(r, i, 3), ready, at);
			c->starts++;
		}
		ready = ready_at(body, at);
		json_object_put(body);
	}
	rows_free(r);
}

void
check_drill(struct check *c)
{
	struct drill d = { NULL, NULL, 0 };
	struct fault *f;
	struct process *p;

	check_lines(c, c->drill, line, &d);
	if (d.before != NULL && d.n_after == 0)
		check_broken(c, "I20", "nobody looked at the processes again");
	check_starts(c, &d);
	while ((f = d.faults) != NULL) {
		d.faults = f->next;
		free(f);
	}
	while ((p = d.before) != NULL) {
		d.before = p->next;
		free(p->name);
		free(p);
	}
}
