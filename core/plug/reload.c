/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/conf.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/loop.h"
#include "core/plug/unit.h"

/*
 * From conf.d to new generations while the host runs.
 *
 * A candidate goes through all that a plugin goes through at start, beside the
 * generation that serves.  Only when it has started is it put in the place of
 * the other, so a bad one costs nothing but its sentence.  All of it happens on
 * one fiber of the home loop at a time; callers wait for it where they are.
 */

#define POLL_MS 10

static enum as_status
refuse(struct plugin *of, const char *sentence, struct error *err)
{
	pthread_mutex_lock(&of->plug->lock);
	snprintf(of->refused, sizeof(of->refused), "%s", sentence);
	pthread_mutex_unlock(&of->plug->lock);
	log_warn("plugin", "%s: not reloaded: %s", of->name, sentence);
	return error_set(err, ERR_CONFLICT, "%s", sentence);
}

/* The first problem since there were n, with its place. */
static enum as_status
refuse_problem(struct plugin *of, struct conf *conf, size_t n,
    struct error *err)
{
	const struct conf_problem *p = conf_problem(conf, n);
	char text[512];

	if (p->file != NULL && p->line > 0)
		snprintf(text, sizeof(text), "%s:%d: %s", p->file, p->line,
		    p->text);
	else
		snprintf(text, sizeof(text), "%s", p->text);
	return refuse(of, text, err);
}

/* Copies of the file that this process has and cannot give back. */
static int64_t
mapped_count(struct plugin *of)
{
	const struct unit *u;
	int64_t n;

	pthread_mutex_lock(&of->plug->lock);
	n = of->mapped;
	if (of->current != NULL && file_is_mapped(of->current->file))
		n++;
	for (u = of->draining; u != NULL; u = u->older)
		n += file_is_mapped(u->file);
	pthread_mutex_unlock(&of->plug->lock);
	return n;
}

/* One more copy would stay beside those that are there. */
static bool
is_over_cap(struct plugin *of, const struct unit *u)
{
	return file_is_mapped(u->file) &&
	       mapped_count(of) >= of->plug->services.generations;
}

static enum as_status
refuse_cap(struct plugin *of, struct error *err)
{
	char text[512];

	snprintf(text, sizeof(text),
	    "plugins.%s: %lld generations of it are in memory, and "
	    "plugins.generations allows no more: restart agent-studio, or use "
	    "isolation = \"process\" or a plugin that is AS_UNLOADABLE",
	    of->name, (long long)mapped_count(of));
	return refuse(of, text, err);
}

/* Names that would clash with what the other plugins have. */
static void
check_beside(struct unit *u)
{
	struct plug *p = u->plug;
	struct unit **units, *other;
	size_t i, n = 0;

	units = xcalloc(p->n_plugins + 1, sizeof(struct unit *));
	for (i = 0; i < p->n_plugins; i++) {
		other = p->plugins[i]->current;
		if (other != NULL && p->plugins[i] != u->of)
			units[n++] = other;
	}
	units[n++] = u; /* last: it is the one to be blamed */
	units_check(units, n);
	free(units);
}

/* Everything up to serving, beside the others. */
SUSPENDS static enum as_status
candidate_begin(struct unit *u, struct error *err)
{
	struct conf *conf = u->source->conf;
	size_t problems = conf_problem_count(conf);
	struct error local = { 0 };
	enum as_status st = AS_OK;

	unit_load(u);
	if (conf_problem_count(conf) == problems)
		check_beside(u);
	if (conf_problem_count(conf) > problems)
		return refuse_problem(u->of, conf, problems, err);
	if (atomic_load(&u->state) == UNIT_DISABLED)
		return AS_OK;
	if (is_over_cap(u->of, u))
		return refuse_cap(u->of, err);
	if (unit_begin(u, &local) != AS_OK)
		st = refuse(u->of,
		    local.detail[0] != '\0' ? local.detail : "it was cancelled",
		    err);
	error_clear(&local);
	return st;
}

/* u may be NULL: the plugin is not there any more. */
SUSPENDS static void
replace(struct plugin *of, struct unit *u)
{
	struct unit *old = of->current;

	pthread_mutex_lock(&of->plug->lock);
	of->current = u;
	of->refused[0] = '\0';
	pthread_mutex_unlock(&of->plug->lock);
	registry_publish(of->plug);
	if (old != NULL)
		unit_retire(old);
	if (u != NULL)
		log_info("plugin", "%s: generation %u is %s", of->name,
		    u->generation,
		    unit_state_name((enum unit_state)atomic_load(&u->state)));
	else
		log_info("plugin", "%s: taken out", of->name);
}

SUSPENDS static enum as_status
reload_one(struct plugin *of, struct plug_conf *source, bool is_named,
    struct error *err)
{
	enum as_status st;
	struct unit *u;

	if (!is_named) {
		replace(of, NULL);
		return AS_OK;
	}
	u = unit_new(of, source);
	if ((st = candidate_begin(u, err)) == AS_OK)
		replace(of, u);
	else if (u->has_run)
		unit_retire(u); /* its calls may not be over on all threads */
	else
		unit_free(u);
	return st;
}

/* ---- Which of them ------------------------------------------------- */

static bool
is_named(const char *const *groups, const char *name)
{
	for (; groups != NULL && *groups != NULL; groups++) {
		if (strcmp(*groups, name) == 0)
			return true;
	}
	return false;
}

/* The order of conf.d says who is the first provider; others come last. */
static void
plugins_order(struct plug *p, const char *const *groups)
{
	struct plugin *of;
	size_t at = 0, i;

	pthread_mutex_lock(&p->lock);
	for (; groups != NULL && *groups != NULL; groups++) {
		for (i = at; i < p->n_plugins; i++) {
			if (strcmp(p->plugins[i]->name, *groups) == 0)
				break;
		}
		if (i == p->n_plugins)
			continue;
		of = p->plugins[i];
		memmove(&p->plugins[at + 1], &p->plugins[at],
		    (i - at) * sizeof(struct plugin *));
		p->plugins[at++] = of;
	}
	pthread_mutex_unlock(&p->lock);
}

static void
outcome_add(struct json_object *list, struct plugin *of, enum as_status st,
    const struct error *err)
{
	const struct unit *u = of->current;
	struct json_object *o = jobj();

	jput_str(o, "name", of->name);
	jput_bool(o, "ok", st == AS_OK);
	jput_str(o, "state",
	    u != NULL ? unit_state_name((enum unit_state)atomic_load(&u->state))
		      : "gone");
	if (u != NULL)
		jput_int(o, "generation", u->generation);
	else
		jput_null(o, "generation");
	jput_str(o, "error", st != AS_OK ? err->detail : NULL);
	json_object_array_add(list, o);
}

/* One after another; the first failure is told, the others are tried. */
SUSPENDS static enum as_status
reload_these(struct plug *p, struct plug_conf *source, const char *only,
    struct json_object *list, struct error *err)
{
	const char *const *groups = conf_groups(source->conf, "plugins");
	enum as_status st, first = AS_OK;
	struct error local = { 0 };
	struct plugin **all, *of;
	size_t i, n = 0;

	for (; groups[n] != NULL; n++) {
		if (only == NULL || strcmp(only, groups[n]) == 0)
			plugin_get(p, groups[n]);
	}
	plugins_order(p, groups);
	n = p->n_plugins;
	all = xcalloc(n + 1, sizeof(struct plugin *));
	memcpy(all, p->plugins, n * sizeof(struct plugin *));
	for (i = 0; i < n && !p->stopping; i++) {
		of = all[i];
		if ((only != NULL && strcmp(only, of->name) != 0) ||
		    (of->current == NULL && !is_named(groups, of->name)))
			continue;
		st = reload_one(of, source, is_named(groups, of->name), &local);
		outcome_add(list, of, st, &local);
		if (st != AS_OK && first == AS_OK) {
			first = st;
			error_move(err, &local);
		}
		error_clear(&local);
	}
	free(all);
	return first;
}

SUSPENDS static enum as_status
reload_all(struct plug *p, const char *only, struct json_object *list,
    struct error *err)
{
	struct plug_conf *source;
	const struct conf_problem *bad;
	enum as_status st;

	if (p->services.conf == NULL)
		return error_set(err, ERR_UNSUPPORTED,
		    "this host cannot read its configuration again");
	source = xcalloc(1, sizeof(*source));
	source->owned = true;
	source->refs = 1;
	source->conf = p->services.conf(p->services.arg);
	if (conf_problem_count(source->conf) > 0) {
		bad = conf_problem(source->conf, 0);
		st = error_set(err, ERR_CONFLICT, "%s:%d: %s",
		    bad->file != NULL ? bad->file : "conf.d", bad->line,
		    bad->text);
	} else {
		st = reload_these(p, source, only, list, err);
		if (st == AS_OK && json_object_array_length(list) == 0 &&
		    only != NULL)
			st = error_not_found(err, "plugin", only);
	}
	plug_conf_unref(source);
	return st;
}

/* ---- From any loop to the home loop and back ----------------------- */

/*
 * Belongs to the loop that asked, which counts who of the two still needs it;
 * the members below `done` are the home loop's until it posts.
 */
struct reload_job {
	struct loop_msg msg;
	struct plug *plug;
	char *name;
	struct loop *asker;
	struct fiber_wait wait;
	unsigned refs;
	bool done;
	enum as_status st;
	struct json_object *list;
	struct error err;
};

static void
job_unref(struct reload_job *job)
{
	if (--job->refs > 0)
		return;
	json_object_put(job->list);
	error_clear(&job->err);
	free(job->name);
	free(job);
}

static void
job_comes_back(struct loop_msg *m)
{
	struct reload_job *job = container_of(m, struct reload_job, msg);

	job->done = true;
	fiber_wake(job->wait);
	job_unref(job);
}

static void
job_return(struct reload_job *job)
{
	job->msg.fn = job_comes_back;
	loop_post(job->asker, &job->msg);
}

SUSPENDS static void
job_fiber(void *arg)
{
	struct reload_job *job = arg;
	struct plug *p = job->plug;

	while (p->reloading && fiber_sleep(POLL_MS) == FIBER_WOKEN)
		continue;
	if (p->stopping || p->reloading) {
		job->st = error_set(&job->err, ERR_UNAVAILABLE,
		    "agent-studio is shutting down");
	} else {
		p->reloading = true;
		p->reloader = fiber_self_ref();
		job->st = reload_all(p, job->name, job->list, &job->err);
		p->reloading = false;
	}
	job_return(job);
}

static void
job_arrives(struct loop_msg *m)
{
	struct reload_job *job = container_of(m, struct reload_job, msg);

	if (fiber_spawn(loop_self(), "reload", job_fiber, job).f != NULL)
		return;
	job->st = error_set(&job->err, ERR_UNAVAILABLE, "no fiber was left");
	job_return(job);
}

enum as_status
plug_reload(struct plug *p, const char *name, struct json_object **out,
    struct error *err)
{
	struct reload_job *job = xcalloc(1, sizeof(*job));
	enum as_status st = AS_OK;

	job->plug = p;
	job->name = xstrdup(name);
	job->asker = loop_self();
	job->list = jarr();
	job->refs = 2;
	job->msg.fn = job_arrives;
	job->wait = fiber_prepare();
	loop_post(p->services.home, &job->msg);
	while (!job->done && st == AS_OK) {
		st = fiber_exit_status(fiber_suspend(0), err);
		if (!job->done && st == AS_OK)
			job->wait = fiber_prepare();
	}
	if (job->done) {
		st = job->st;
		if (st != AS_OK && err != NULL)
			error_move(err, &job->err);
		if (out != NULL)
			*out = json_object_get(job->list);
	} else if (out != NULL)
		*out = NULL;
	job->wait.f = NULL;
	job_unref(job);
	return st;
}
