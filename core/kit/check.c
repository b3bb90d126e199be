/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/kit/impl.h"
#include "core/kit/script.h"

/*
 * The parent of all cases: starts them one after the other, collects what they
 * have found, and sees how they end.
 */

extern char **environ;

struct check {
	const struct kit_request *request;
	struct json_object *findings, *notes;
	unsigned cases;
};

struct run {
	const char *name; /* of the case */
	const char *label;
	pid_t pid;
	int report, output;
	char *doing;
	struct json_object *plugin; /* what it said of the plugin; owned */
	bool done;
};

/* ---- Findings ------------------------------------------------------ */

static bool
is_known(struct json_object *list, const char *rule, const char *label)
{
	size_t i, n = json_object_array_length(list);
	struct json_object *o;

	for (i = 0; i < n; i++) {
		o = json_object_array_get_idx(list, i);
		if (strcmp(jget_str(o, "rule", ""), rule) == 0 &&
		    strcmp(jget_str(o, "case", ""), label) == 0)
			return true;
	}
	return false;
}

static int
rule_number(const char *name)
{
	int i;

	for (i = 0; i < RULE_COUNT; i++) {
		if (strcmp(rule_name((enum kit_rule)i), name) == 0)
			return i;
	}
	return 0;
}

static void
add_finding(struct check *c, const char *name, const char *label,
    const char *seen)
{
	enum kit_rule rule = (enum kit_rule)rule_number(name);
	struct json_object *o;

	if (is_known(c->findings, name, label))
		return;
	o = jobj();
	jput_str(o, "rule", name);
	jput_str(o, "case", label);
	jput_str(o, "seen", seen);
	jput_str(o, "must", rule_holds(rule));
	jput_str(o, "remedy", rule_remedy(rule));
	json_object_array_add(c->findings, o);
	if (!c->request->json)
		printf("%s: %s: %s: %s; it must hold that %s: %s\n",
		    c->request->file, name, label, seen, rule_holds(rule),
		    rule_remedy(rule));
}

static void
add_note(struct check *c, const char *text)
{
	size_t i, n = json_object_array_length(c->notes);

	for (i = 0; i < n; i++) {
		if (strcmp(json_object_get_string(
			       json_object_array_get_idx(c->notes, i)),
			text) == 0)
			return;
	}
	json_object_array_add(c->notes, json_object_new_string(text));
	if (!c->request->json)
		printf("%s: note: %s\n", c->request->file, text);
}

/* ---- A case -------------------------------------------------------- */

static void
take_line(struct check *c, struct run *r, const char *line, size_t len)
{
	struct json_object *o = NULL;
	const char *is, *text;

	if (json_parse(line, len, &o, NULL) != AS_OK)
		return;
	is = jget_str(o, "is", "");
	text = jget_str(o, "text", "");
	if (strcmp(is, "finding") == 0)
		add_finding(c, jget_str(o, "rule", ""),
		    jget_str(o, "label", ""), text);
	else if (strcmp(is, "note") == 0)
		add_note(c, text);
	else if (strcmp(is, "doing") == 0) {
		free(r->doing);
		r->doing = xstrdup(text);
	} else if (strcmp(is, "done") == 0)
		r->done = true;
	else if (strcmp(is, "plugin") == 0) {
		r->plugin = o;
		return;
	}
	json_object_put(o);
}

static void
take_lines(struct check *c, struct run *r, struct buf *b)
{
	char *end;
	size_t n;

	while (b->len > 0 && (end = memchr(b->data, '\n', b->len)) != NULL) {
		n = (size_t)(end - b->data);
		take_line(c, r, b->data, n);
		buf_drain(b, n + 1);
	}
}

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Reads to the end; false: it took too long. */
static bool
read_report(struct check *c, struct run *r)
{
	int64_t end = now_ms() + (int64_t)c->request->seconds * 4000, left;
	struct pollfd p = { .fd = r->report, .events = POLLIN };
	struct buf b = { 0 };
	char piece[4096];
	ssize_t n = 1;

	while (n > 0 && (left = end - now_ms()) > 0) {
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		n = read(r->report, piece, sizeof(piece));
		if (n > 0)
			buf_add(&b, piece, (size_t)n);
		take_lines(c, r, &b);
	}
	buf_free(&b);
	return n <= 0;
}

/*
 * Ours, and no memory that a thread keeps for itself: what is free is then seen
 * to be free, and what is left is what somebody has left.
 */
static char **
environment(void)
{
	static char tunables[] = "GLIBC_TUNABLES=glibc.malloc.tcache_count=0";
	char **list;
	size_t n = 0;

	while (environ[n] != NULL)
		n++;
	list = xcalloc(n + 2, sizeof(*list));
	memcpy(list, environ, n * sizeof(*list));
	list[n] = tunables;
	return list;
}

static bool
start(struct check *c, struct run *r)
{
	const struct kit_request *q = c->request;
	char seconds[16];
	const char *argv[16] = { "agent-studio", "plugin", "check", q->file,
		"--case", r->name, "--seconds", seconds };
	posix_spawn_file_actions_t actions;
	int pipes[2], n = 8, rc;
	char **env;

	snprintf(seconds, sizeof(seconds), "%d", q->seconds);
	if (q->conf != NULL) {
		argv[n++] = "--conf";
		argv[n++] = q->conf;
	}
	if (q->script != NULL) {
		argv[n++] = "--script";
		argv[n++] = q->script;
	}
	if (pipe2(pipes, O_CLOEXEC) != 0)
		return false;
	r->output = memfd_create("output", MFD_CLOEXEC);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, r->output, 1);
	posix_spawn_file_actions_adddup2(&actions, pipes[1], 3);
	env = environment();
	rc = posix_spawn(&r->pid, "/proc/self/exe", &actions, NULL,
	    (char *const *)(uintptr_t)argv, env);
	free(env);
	posix_spawn_file_actions_destroy(&actions);
	close(pipes[1]);
	r->report = pipes[0];
	return rc == 0;
}

/* How it ended: a plugin may end it in many ways, all of them wrong. */
static void
judge_end(struct check *c, struct run *r, int status, bool in_time)
{
	const char *doing = r->doing != NULL ? r->doing : "loading";
	char text[512];

	if (!in_time ||
	    (WIFSIGNALED(status) &&
		(WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL))) {
		snprintf(text, sizeof(text), "no end of it (%s)", doing);
		add_finding(c, "hang", r->label, text);
	} else if (WIFSIGNALED(status)) {
		snprintf(text, sizeof(text), "it died of signal %d, %s (%s)",
		    WTERMSIG(status), strsignal(WTERMSIG(status)), doing);
		add_finding(c, "crash", r->label, text);
	} else if (!r->done) {
		snprintf(text, sizeof(text),
		    "the process ended with exit status %d (%s)",
		    WEXITSTATUS(status), doing);
		add_finding(c, "crash", r->label, text);
	}
}

static void
judge_output(struct check *c, const struct run *r)
{
	char text[64] = "", seen[128];
	struct stat sb;
	ssize_t n;

	if (fstat(r->output, &sb) != 0 || sb.st_size == 0)
		return;
	n = pread(r->output, text, sizeof(text) - 1, 0);
	text[n > 0 ? strcspn(text, "\n") : 0] = '\0';
	snprintf(seen, sizeof(seen), "%lld bytes, beginning with '%.40s'",
	    (long long)sb.st_size, text);
	add_finding(c, "output", r->label, seen);
}

/* False: there was no process. */
static bool
run_case(struct check *c, const char *name, const char *label,
    struct json_object **plugin)
{
	struct run r = { .name = name, .label = label };
	int status = 0;
	bool in_time;

	fflush(stdout);
	if (!start(c, &r)) {
		fprintf(stderr, "agent-studio: no process: %s\n",
		    strerror(errno));
		return false;
	}
	c->cases++;
	in_time = read_report(c, &r);
	if (!in_time)
		kill(r.pid, SIGKILL);
	while (waitpid(r.pid, &status, 0) < 0 && errno == EINTR)
		continue;
	judge_end(c, &r, status, in_time);
	judge_output(c, &r);
	close(r.report);
	close(r.output);
	free(r.doing);
	if (plugin != NULL)
		*plugin = r.plugin;
	else
		json_object_put(r.plugin);
	return true;
}

/* ---- All of them --------------------------------------------------- */

static bool
run_ops(struct check *c, struct json_object *ops)
{
	static const char *const troubles[] = { "calls", "cancel", "deadline",
		"errors", "memory", "leak" };
	size_t i, k, n = json_object_array_length(ops);
	const char *label;
	char name[32];

	for (i = 0; i < n; i++) {
		label = json_object_get_string(
		    json_object_array_get_idx(ops, i));
		for (k = 0; k < N_ITEMS(troubles); k++) {
			snprintf(name, sizeof(name), "%s/%zu", troubles[k], i);
			if (!run_case(c, name, label, NULL))
				return false;
			/* It does not even get that far. */
			if (is_known(c->findings, "hang", label) ||
			    is_known(c->findings, "crash", label))
				break;
		}
	}
	return true;
}

static void
print_json(struct check *c, struct json_object *plugin)
{
	struct json_object *o = jobj();

	jput_str(o, "file", c->request->file);
	jput_str(o, "name", jget_str(plugin, "name", NULL));
	jput_str(o, "version", jget_str(plugin, "version", NULL));
	jput_int(o, "cases", c->cases);
	jput(o, "operations",
	    plugin != NULL ? json_object_get(jget(plugin, "ops")) : jarr());
	jput(o, "findings", json_object_get(c->findings));
	jput(o, "notes", json_object_get(c->notes));
	puts(json_text(o));
	json_object_put(o);
}

static void
print_text(struct check *c, struct json_object *plugin, size_t findings)
{
	struct json_object *ops = plugin != NULL ? jget(plugin, "ops") : NULL;
	size_t i;

	for (i = 0; ops != NULL && i < json_object_array_length(ops); i++)
		printf("checked %s\n",
		    json_object_get_string(json_object_array_get_idx(ops, i)));
	if (plugin != NULL)
		printf("%s %s: ", jget_str(plugin, "name", ""),
		    jget_str(plugin, "version", "-"));
	else
		printf("%s: ", c->request->file);
	printf("%u %s, ", c->cases, c->cases == 1 ? "case" : "cases");
	if (findings == 0)
		puts("nothing found");
	else
		printf("%zu %s\n", findings,
		    findings == 1 ? "finding" : "findings");
}

int
kit_check(const struct kit_request *r)
{
	struct check c = { .request = r };
	struct json_object *plugin = NULL;
	size_t n;
	bool ran;

	if (script_is_bad(r))
		return 2;
	c.findings = jarr();
	c.notes = jarr();
	ran = run_case(&c, "file", "file", NULL) &&
	      (is_known(c.findings, "file", "file") ||
		  run_case(&c, "load", "description", &plugin)) &&
	      (plugin == NULL || run_ops(&c, jget(plugin, "ops")));
	n = json_object_array_length(c.findings);
	if (r->json)
		print_json(&c, plugin);
	else
		print_text(&c, plugin, n);
	json_object_put(plugin);
	json_object_put(c.findings);
	json_object_put(c.notes);
	if (!ran)
		return 2;
	return n > 0 || plugin == NULL ? 1 : 0;
}
