/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/conf.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/stack.h"
#include "core/plug/unit.h"
#include "tests/integration/plug_env.h"
#include "tests/tap.h"

/*
 * Plugins in processes of their own that do all that they must not do: who
 * called gets an error that says what became of it, the others notice nothing,
 * and the next call is served.
 */

#define CONF \
	"plugins : { toolkit_hostile : { }; toolkit_hostilepool : { };\n" \
	"  toolkit_probe : { }; };\n"
/* Ten times what is promised: machines are loaded, and sanitizers slow. */
#if defined(FIBER_ASAN) || defined(FIBER_TSAN)
#define SOON_MS 60000
#else
#define SOON_MS 10000
#endif

/* Its answer as text, or the failure's; to be freed. */
static char *
call(struct plug_env *env, const char *tool, const char *args)
{
	struct error err = { 0 };
	char *text = NULL;

	if (plug_env_tool(env, tool, args, &text, &err) != AS_OK)
		text = xasprintf("failed: %s", err.detail);
	error_clear(&err);
	return text;
}

static void
expect(struct plug_env *env, const char *tool, const char *args,
    const char *want)
{
	char *text = call(env, tool, args);

	CU_ASSERT(tap_has(text, want));
	free(text);
}

static int64_t
number(struct plug_env *env, const char *tool, const char *key)
{
	char *text = call(env, tool, "{}");
	struct json_object *o = NULL;
	int64_t n;

	json_parse(text, strlen(text), &o, NULL);
	n = jget_int(o, key, -1);
	json_object_put(o);
	free(text);
	return n;
}

/* ---- What it does, and what becomes of the call -------------------- */

static const struct deed {
	const char *tool;
	enum as_status status;
	const char *words; /* in the error; NULL: it answers */
	bool dies;
} deeds[] = {
	{ "hostile_fault", AS_UNAVAILABLE, "died of SIGSEGV", true },
	{ "hostile_give_up", AS_UNAVAILABLE, "died of SIGABRT", true },
	{ "hostile_leave", AS_UNAVAILABLE, "exit code 3", true },
	{ "hostile_hang", AS_UNAVAILABLE, "did not answer for", true },
	{ "hostile_doze", AS_UNAVAILABLE, "did not answer for", true },
	{ "hostile_liar", AS_UNAVAILABLE, "did not answer for", true },
	{ "hostile_bomb", AS_UNAVAILABLE, "memory than its limit", true },
	{ "hostile_shared_bomb", AS_LIMIT, "no more", false },
	{ "hostile_deep", AS_UNAVAILABLE, "overflowed its", true },
	{ "hostile_cut_off", AS_UNAVAILABLE, "closed its connection", true },
	{ "hostile_babble", AS_UNAVAILABLE, "said what has no meaning", true },
	{ "hostile_big", AS_LIMIT, "100 MiB", false },
	{ "hostile_flood", AS_LIMIT, "more than can be taken in", false },
	{ "hostilepool_fault", AS_UNAVAILABLE, "died of SIGSEGV", true },
	{ "hostilepool_leave", AS_UNAVAILABLE, "exit code 3", true },
	{ "hostilepool_bomb", AS_UNAVAILABLE, "memory than its limit", true },
	{ "hostilepool_flood", AS_LIMIT, "more than can be taken in", false },
};

static const struct deed *deed;

struct bystander {
	struct plug_env *env;
	const char *tool, *args;
	char *text;
};

static void
bystander_fiber(void *arg)
{
	struct bystander *b = arg;

	b->text = call(b->env, b->tool, b->args);
}

static void
check_deed(struct plug_env *env)
{
	struct error err = { 0 };
	int64_t at = clock_mono_ms();
	char *text = NULL;

	CU_ASSERT_EQUAL(plug_env_tool(env, deed->tool, "{}", &text, &err),
	    deed->status);
	at = clock_mono_ms() - at;
	tap_note("%s: %s (%lld ms)", deed->tool, err.detail, (long long)at);
	CU_ASSERT(at < SOON_MS);
	CU_ASSERT(tap_has(err.detail, deed->words));
	if (deed->dies) {
		CU_ASSERT_EQUAL(strncmp(err.detail, "toolkit_hostile", 15), 0);
		CU_ASSERT(jget_bool(err.extra, "maybe_done", false));
	}
	error_clear(&err);
	free(text);
}

static void
body_deed(struct plug_env *env)
{
	bool pool = strncmp(deed->tool, "hostilepool", 11) == 0;
	const char *visits = pool ? "hostilepool_visits" : "hostile_visits";
	struct bystander near = { .env = env,
		.tool = "probe_wait_for",
		.args = "{\"ms\":300}" };
	struct bystander far = { .env = env,
		.tool = pool ? "hostile_wait_for" : "hostilepool_wait_for",
		.args = "{\"n\":300}" };
	struct fiber_ref a, b;

	CU_ASSERT_EQUAL_FATAL(env->loaded, AS_OK);
	CU_ASSERT_EQUAL(number(env, visits, "n"), 1);
	a = fiber_spawn(env->loop, "near", bystander_fiber, &near);
	b = fiber_spawn(env->loop, "far", bystander_fiber, &far);
	check_deed(env);
	/* At once, in the next process or the same. */
	expect(env, pool ? "hostilepool_echo" : "hostile_echo",
	    "{\"text\":\"again\"}", "\"again\"");
	CU_ASSERT_EQUAL(number(env, visits, "n"), deed->dies ? 1 : 2);
	fiber_join(a, 0);
	fiber_join(b, 0);
	CU_ASSERT_STRING_EQUAL(near.text, "\"slept\"");
	CU_ASSERT_STRING_EQUAL(far.text, "\"slept\"");
	free(near.text);
	free(far.text);
}

static void
test_deeds(void)
{
	size_t i;

	for (i = 0; i < N_ITEMS(deeds); i++) {
		deed = &deeds[i];
		plug_env_run(CONF, ENV_ISOLATED, body_deed);
	}
	/* Callers on another loop than the one that reads. */
	deed = &deeds[0];
	plug_env_run(CONF, ENV_ISOLATED | ENV_HOME_ELSEWHERE, body_deed);
}

static void
on_exit_of(int fd, int what, void *arg)
{
	(void)fd;
	(void)what;
	fiber_wake(*(struct fiber_wait *)arg);
}

/* Until this process has ended. */
static SUSPENDS void
wait_exit_of(struct plug_env *env, pid_t pid)
{
	struct fiber_wait w = fiber_prepare();
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct loop_watch *watch;

	if (fd < 0) { /* it is gone */
		CU_ASSERT_EQUAL(errno, ESRCH);
		return;
	}
	watch = loop_watch(env->loop, fd, LOOP_READ, on_exit_of, &w);
	CU_ASSERT_EQUAL(fiber_suspend(0), FIBER_WOKEN);
	loop_watch_free(watch);
	close(fd);
}

/* What it holds open does not stay: the next call gets a new process. */
static void
body_leak(struct plug_env *env)
{
	int64_t first = number(env, "hostile_visits", "pid"), next;

	expect(env, "hostile_leak", "{}", "\"2");
	wait_exit_of(env, (pid_t)first);
	while ((next = number(env, "hostile_visits", "pid")) < 0)
		if (fiber_yield() != FIBER_WOKEN)
			break;
	CU_ASSERT(next > 0 && next != first);
}

static void
test_leak(void)
{
	plug_env_run(CONF, ENV_ISOLATED, body_leak);
}

/* ---- Words and numbers --------------------------------------------- */

/* Time stands still, unless the body lets it go or puts it forward. */
static void
with_still_clock(void (*body)(struct plug_env *env))
{
	clock_fake(clock_mono_us(), clock_wall_us());
	plug_env_run(CONF, ENV_ISOLATED, body);
	clock_real();
}

static int
count_of(const char *text, const char *part)
{
	int n = 0;

	for (; (text = strstr(text, part)) != NULL; text += strlen(part))
		n++;
	return n;
}

/* What is logged between the two; to be freed. */
static FILE *
log_listen(void)
{
	FILE *log = tmpfile();

	log_configure("warning");
	log_to_fd(fileno(log));
	return log;
}

static char *
log_heard(FILE *log)
{
	char *text = xcalloc(1, 1 << 20);

	log_to_fd(2);
	log_configure("error,plugin=error");
	rewind(log);
	(void)!fread(text, 1, (1 << 20) - 1, log);
	fclose(log);
	return text;
}

static SUSPENDS char *
chatter(struct plug_env *env)
{
	FILE *log = log_listen();

	expect(env, "hostile_chatter", "{}", "said");
	return log_heard(log);
}

static void
body_chatter(struct plug_env *env)
{
	char *text = chatter(env);

	CU_ASSERT_EQUAL(count_of(text, "\"msg\":\"line "), 200);
	CU_ASSERT_EQUAL(count_of(text, "what follows is suppressed"), 1);
	free(text);
	clock_advance(11000000);
	text = chatter(env);
	CU_ASSERT_EQUAL(count_of(text, "\"msg\":\"line "), 200);
	CU_ASSERT_EQUAL(count_of(text, "\"msg\":\"800 lines were suppressed"),
	    1);
	free(text);
}

static void
body_much_later(struct plug_env *env)
{
	const int64_t year = (int64_t)366 * 86400 * 1000;
	struct error err = { 0 };
	char *text = NULL;

	CU_ASSERT_EQUAL(plug_env_tool(env, "hostile_much_later", "{}", &text,
			    &err),
	    AS_BUSY);
	CU_ASSERT(err.retry_after_ms > year);
	CU_ASSERT(err.retry_after_ms <= 100 * year);
	error_clear(&err);
	free(text);
}

static void
test_words(void)
{
	with_still_clock(body_chatter);
	plug_env_run(CONF, ENV_ISOLATED, body_much_later);
}

/* ---- What holds it ------------------------------------------------- */

static void
no_users(struct plug_services *services, struct loop *loop)
{
	(void)loop;
	if (services != NULL)
		services->child_uid = 0;
}

static void
body_held(struct plug_env *env)
{
	struct json_object *list = plug_list(env->plug), *held;

	held = jget(json_object_array_get_idx(list, 0), "held_by");
	CU_ASSERT(tap_has(json_text(held), "[\"system_calls\",\"limits\""));
	CU_ASSERT_PTR_NULL(strstr(json_text(held), "\"user\""));
	json_object_put(list);
}

/* Where there are no users for them, that is said once. */
static void
test_held(void)
{
	FILE *log = log_listen();
	char *text;

	plug_env_more = no_users;
	plug_env_run(CONF, ENV_ISOLATED, body_held);
	plug_env_more = NULL;
	text = log_heard(log);
	CU_ASSERT_EQUAL(count_of(text, "run as the user of agent-studio"), 1);
	free(text);
}

/* ---- Breaker ------------------------------------------------------- */

static void
on_tick(int fd, int what, void *arg)
{
	uint64_t n = 0;

	(void)what;
	(void)arg;
	if (read(fd, &n, sizeof(n)) == sizeof(n))
		clock_advance((int64_t)n * 1000);
}

/* The clock goes on as the real one does, beside what puts it forward. */
static struct loop_watch *
clock_goes(struct loop *loop, int fd)
{
	const struct itimerspec each_ms = { .it_interval.tv_nsec = 1000000,
		.it_value.tv_nsec = 1000000 };

	MUST(fd >= 0 && timerfd_settime(fd, 0, &each_ms, NULL) == 0);
	return loop_watch(loop, fd, LOOP_READ, on_tick, NULL);
}

static void
body_breaker(struct plug_env *env)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	struct loop_watch *ticks = clock_goes(env->loop, fd);
	bool back = false;
	char *text;

	for (int i = 0; i < 5; i++)
		expect(env, "hostile_fault", "{}", "died of SIGSEGV");
	expect(env, "hostile_echo", "{}",
	    "plugin toolkit_hostile is failed: died 5 times within 60 s, is "
	    "tried again after 60 s; the last time it died of SIGSEGV");
	expect(env, "hostilepool_echo", "{\"text\":\"other\"}", "\"other\"");
	clock_advance(61000000);
	while (!back) {
		text = call(env, "hostile_echo", "{\"text\":\"back\"}");
		back = strcmp(text, "\"back\"") == 0;
		free(text);
		if (fiber_yield() != FIBER_WOKEN)
			break;
	}
	CU_ASSERT(back);
	loop_watch_free(ticks);
	close(fd);
}

static void
test_breaker(void)
{
	with_still_clock(body_breaker);
}

/* ---- What it can do ------------------------------------------------ */

static void
body_escape(struct plug_env *env)
{
	static const char *const tries[] = { "write", "append", "socket",
		"exec", "fork", "kill", "owner", "signal", "async", "stack",
		"ptrace", "unlink", "passwd", "file" };
	char name[] = "/tmp/t_child_XXXXXX", args[80];
	int fd = mkstemp(name), pool;
	struct json_object *o;
	const char *said;
	char *text;
	size_t i;

	snprintf(args, sizeof(args), "{\"text\":\"%s\"}", name);
	/* Readable by everybody, and still not in reach. */
	CU_ASSERT(fd >= 0 && fchmod(fd, 0644) == 0);
	for (pool = 0; pool < 2; pool++) {
		text = call(env, pool ? "hostilepool_escape" : "hostile_escape",
		    args);
		o = NULL;
		json_parse(text, strlen(text), &o, NULL);
		for (i = 0; i < N_ITEMS(tries); i++) {
			said = jget_str(o, tries[i], "nothing");
			if (strcmp(said, "refused") != 0)
				tap_note("%s: %s", tries[i], said);
			CU_ASSERT_STRING_EQUAL(said, "refused");
		}
		json_object_put(o);
		free(text);
		expect(env, pool ? "hostilepool_honest" : "hostile_honest",
		    "{}", "{\"zone\":true,\"local\":true,\"thread\":true}");
	}
	close(fd);
	unlink(name);
}

static void
test_escape(void)
{
	plug_env_run(CONF, ENV_ISOLATED, body_escape);
}

static void
file_text(int64_t pid, const char *what, char *out, size_t size)
{
	char path[64];
	ssize_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%lld/%s", (long long)pid, what);
	if ((fd = open(path, O_RDONLY)) >= 0) {
		n = read(fd, out, size - 1);
		close(fd);
	}
	out[n > 0 ? n : 0] = '\0';
}

static bool
is_open_here(const char *what)
{
	char path[64], to[256];
	bool found = false;
	ssize_t n;
	int fd;

	for (fd = 0; fd < 1024 && !found; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, to, sizeof(to) - 1);
		to[n > 0 ? n : 0] = '\0';
		found = strcmp(to, what) == 0;
	}
	return found;
}

static void
check_files(int64_t pid)
{
	static const char *const kinds[] = { "/dev/null",
		"pipe:", "pipe:", "socket:" };
	char path[320], to[256];
	struct dirent *e;
	ssize_t n;
	int fd;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%lld/fd", (long long)pid);
	CU_ASSERT_PTR_NOT_NULL_FATAL((dir = opendir(path)));
	while ((e = readdir(dir)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		fd = atoi(e->d_name);
		snprintf(path, sizeof(path), "/proc/%lld/fd/%d", (long long)pid,
		    fd);
		n = readlink(path, to, sizeof(to) - 1);
		to[n > 0 ? n : 0] = '\0';
		if (fd < 4)
			CU_ASSERT(tap_has(to, kinds[fd]));
		/* Its loop's own; nothing that is open here. */
		if (fd >= 4 && strncmp(to, "anon_inode:", 11) != 0)
			CU_ASSERT_FALSE(is_open_here(to));
	}
	closedir(dir);
}

static void
body_confined(struct plug_env *env)
{
	int64_t pid = number(env, "hostile_visits", "pid");
	struct json_object *list = plug_list(env->plug), *first;
	char text[8192], uid[64];

	first = json_object_array_get_idx(list, 0);
	CU_ASSERT_STRING_EQUAL(jget_str(first, "isolation", ""), "process");
	CU_ASSERT_EQUAL(jget_int(first, "pid", 0), pid);
	json_object_put(list);
	file_text(pid, "status", text, sizeof(text));
	CU_ASSERT(tap_has(text, "Seccomp:\t2"));
	CU_ASSERT(tap_has(text, "NoNewPrivs:\t1"));
	snprintf(uid, sizeof(uid), "Uid:\t%u", 64000);
	if (geteuid() == 0)
		CU_ASSERT(tap_has(text, uid));
	file_text(pid, "cmdline", text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "agent-studio");
	file_text(pid, "environ", text, sizeof(text));
	CU_ASSERT_PTR_NULL(memmem(text, sizeof(text), "A_SECRET", 8));
	check_files(pid);
	/* It was loaded there, and never here. */
	CU_ASSERT_EQUAL(number(env, "hostile_visits", "loaded_by"), pid);
	CU_ASSERT_NOT_EQUAL(pid, getpid());
}

static void
test_confined(void)
{
	setenv("A_SECRET", "in the environment", 1);
	plug_env_run(CONF, ENV_ISOLATED, body_confined);
	unsetenv("A_SECRET");
}

static void
body_load(struct plug_env *env)
{
	CU_ASSERT_EQUAL(env->loaded, AS_INVALID);
	CU_ASSERT_EQUAL(conf_problem_count(env->conf), 1);
	CU_ASSERT(tap_has(plug_env_problem(env, 0),
	    "toolkit_hostileload.so: died of SIGABRT when it was loaded"));
}

struct others {
	struct plug_env *env;
	int calls;
	bool stop, stopped;
};

static SUSPENDS void
others_fiber(void *arg)
{
	struct others *o = arg;

	while (!o->stop && fiber_sleep(10) == FIBER_WOKEN) {
		expect(o->env, "hostile_echo", "{\"text\":\"here\"}",
		    "\"here\"");
		o->calls++;
	}
	o->stopped = true;
}

/* Whoever loads it does not listen for ever, and others go on meanwhile. */
static void
body_noise(struct plug_env *env)
{
	struct others o = { .env = env };
	struct error err = { 0 };

	fiber_spawn(env->loop, "others", others_fiber, &o);
	env->text = "plugins : { toolkit_hostile : { }; "
		    "toolkit_hostilenoise : { }; };";
	CU_ASSERT_EQUAL(plug_reload(env->plug, "toolkit_hostilenoise", NULL,
			    &err),
	    AS_CONFLICT);
	CU_ASSERT(tap_has(err.detail, "did not describe itself"));
	CU_ASSERT(o.calls >= 10);
	o.stop = true;
	while (!o.stopped)
		fiber_sleep(10);
	error_clear(&err);
}

/* For "plugin describe": a file of somebody else is not mapped here. */
static void
body_describe(struct plug_env *env)
{
	const struct plug_services services = { .bundled = "/nowhere",
		.plugin_host = BUILD_DIR "/agent-studio",
		.child_uid = 64000 };
	struct json_object *o = NULL;
	struct error err = { 0 };

	(void)env;
	CU_ASSERT_EQUAL(plug_describe_file(BUILD_DIR
			    "/tests/integration/plug/.libs/"
			    "toolkit_hostileload.so",
			    &services, &o, &err),
	    AS_INVALID);
	CU_ASSERT(tap_has(err.detail, "died of SIGABRT when it was loaded"));
	error_clear(&err);
	CU_ASSERT_EQUAL(plug_describe_file(BUILD_DIR "/plugins/llm_demo.so",
			    &services, &o, &err),
	    AS_OK);
	CU_ASSERT(tap_has(json_text(o), "\"name\":\"llm_demo\""));
	CU_ASSERT(tap_has(json_text(o), "\"window\":8192"));
	json_object_put(o);
	error_clear(&err);
}

static void
test_load(void)
{
	plug_env_run("plugins : { toolkit_hostileload : { }; };", ENV_ISOLATED,
	    body_load);
	plug_env_run("plugins : { toolkit_hostile : { }; };", ENV_ISOLATED,
	    body_noise);
	plug_env_run("plugins : { toolkit_hostile : { }; };", ENV_ISOLATED,
	    body_describe);
}

/* ---- Many at once -------------------------------------------------- */

#define MANY 200

struct one {
	struct plug_env *env;
	int i;
	int *left;
};

static void
one_fiber(void *arg)
{
	struct one *o = arg;
	char args[64], want[64];

	snprintf(args, sizeof(args), "{\"text\":\"number %d\"}", o->i);
	snprintf(want, sizeof(want), "\"number %d\"", o->i);
	expect(o->env, o->i % 2 ? "hostile_echo" : "hostilepool_echo", args,
	    want);
	--*o->left;
}

static void
pour_fiber(void *arg)
{
	struct one *o = arg;

	expect(o->env, "hostile_pour", "{\"n\":2000}", "\"poured\"");
	--*o->left;
}

static void
body_many(struct plug_env *env)
{
	static struct one ones[MANY + 1];
	int left = MANY + 1, i;

	for (i = 0; i <= MANY; i++) {
		ones[i] = (struct one){ env, i, &left };
		fiber_spawn(env->loop, "one", i < MANY ? one_fiber : pour_fiber,
		    &ones[i]);
	}
	while (left > 0 && fiber_sleep(5) == FIBER_WOKEN)
		continue;
	CU_ASSERT_EQUAL(left, 0);
}

static void
test_many(void)
{
	plug_env_run(CONF, ENV_ISOLATED, body_many);
	plug_env_run(CONF, ENV_ISOLATED | ENV_HOME_ELSEWHERE, body_many);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "what it does, and what becomes of it", test_deeds },
		{ "descriptors", test_leak },
		{ "words and numbers", test_words },
		{ "what holds it", test_held },
		{ "breaker", test_breaker },
		{ "what it can do", test_escape },
		{ "what it is", test_confined },
		{ "one that cannot be loaded", test_load },
		{ "many at once", test_many },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "child", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	log_configure("error,plugin=error");
	return tap_run(suites);
}
