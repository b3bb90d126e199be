/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE

#include <agentstudio/toolkit.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/*
 * A plugin that does all that a plugin must not do.  It is built four times:
 * its calls belong to the loop, or (AS_BLOCKING) to the pool, or it does not
 * even let itself be loaded: it dies, or never stops talking.
 */

struct args {
	const char *text;
	int64_t n;
};

static const struct as_field params[] = {
	AS_STR(struct args, text, "", 0, "Some text."),
	AS_INT(struct args, n, 0, 0, 1000000, 0, "How many."),
	AS_END,
};

/* Whose process it is in shows whether it ran in the host. */
static pid_t loaded_by;

__attribute__((constructor)) static void
is_loaded(void)
{
	loaded_by = getpid();
#ifdef HOSTILE_LOAD
	abort();
#endif
#ifdef HOSTILE_NOISE
	while (write(2, "noise\n", 6) != 0)
		continue;
#endif
}

static enum as_status
echo(struct as_call *call, const void *in)
{
	const struct args *args = in;

	return as_reply_text(call, "%s", args->text);
}

/* Values stay as long as its process does. */
static enum as_status
visits(struct as_call *call, const void *in)
{
	static int64_t n;
	struct as_json *o = as_object(call);

	(void)in;
	as_put_int(o, "n", ++n);
	as_put_int(o, "pid", getpid());
	as_put_int(o, "loaded_by", loaded_by);
	return as_reply(call, o);
}

static enum as_status
fault(struct as_call *call, const void *in)
{
	/* Not NULL: a sanitizer would end the process in its own way. */
	static volatile uintptr_t nowhere = 64;

	(void)call;
	(void)in;
	*(int *)nowhere = 1;
	return AS_OK;
}

static enum as_status
give_up(struct as_call *call, const void *in)
{
	(void)call;
	(void)in;
	abort();
}

static enum as_status
leave(struct as_call *call, const void *in)
{
	(void)call;
	(void)in;
	exit(3);
}

static enum as_status
hang(struct as_call *call, const void *in)
{
	static volatile int for_ever = 1;

	(void)call;
	(void)in;
	while (for_ever)
		continue;
	return AS_OK;
}

static enum as_status
doze(struct as_call *call, const void *in)
{
	(void)call;
	(void)in;
	for (;;)
		sleep(1000);
	return AS_OK;
}

/* Says all the time that it is well. */
static void *
lie(void *arg)
{
	const struct timespec pause = { .tv_nsec = 5000000 };
	const uint32_t pong[4] = { 0, 10, 0, 0 };

	(void)arg;
	while (write(3, pong, sizeof(pong)) != 0)
		nanosleep(&pause, NULL);
	return NULL;
}

static enum as_status
liar(struct as_call *call, const void *in)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, lie, NULL) != 0)
		return as_fail(call, AS_INTERNAL, "no thread");
	return doze(call, in);
}

static enum as_status
leak(struct as_call *call, const void *in)
{
	int64_t n = 0;

	(void)in;
	while (open("/dev/null", O_RDONLY) >= 0)
		n++;
	return as_reply_text(call, "%lld", (long long)n);
}

static enum as_status
bomb(struct as_call *call, const void *in)
{
	const size_t size = 16 << 20;
	char *p;

	(void)call;
	(void)in;
	for (;;) {
		p = malloc(size);
		memset(p, 1, size);
	}
	return AS_OK;
}

/* Memory that no limit of the process counts. */
static enum as_status
shared_bomb(struct as_call *call, const void *in)
{
	const size_t size = 16 << 20;
	char *p;

	(void)in;
	for (;;) {
		p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			return as_fail(call, AS_LIMIT, "no more");
		memset(p, 1, size);
	}
}

static enum as_status
big(struct as_call *call, const void *in)
{
	const size_t size = (size_t)100 << 20;
	char *text = malloc(size);
	enum as_status st;

	(void)in;
	if (text == NULL)
		return as_fail(call, AS_LIMIT, "no memory");
	memset(text, 'x', size);
	st = as_host_table->toolkit->reply_text(call, text, size);
	free(text);
	return st;
}

/* Goes on whatever it is told. */
static enum as_status
flood(struct as_call *call, const void *in)
{
	static char text[1 << 20];
	enum as_status st = AS_OK;
	int i;

	(void)in;
	memset(text, 'x', sizeof(text));
	for (i = 0; i < 200 && st == AS_OK; i++)
		st = as_output(call, text, sizeof(text));
	return st != AS_OK ? st : as_reply_text(call, "all of it");
}

/* More lines than anybody wants to read. */
static enum as_status
chatter(struct as_call *call, const void *in)
{
	int i;

	(void)in;
	for (i = 0; i < 1000; i++)
		as_log(call, AS_LOG_WARNING, "line %d", i);
	return as_reply_text(call, "said");
}

/* Wants to be asked again at the end of time. */
static enum as_status
much_later(struct as_call *call, const void *in)
{
	(void)in;
	return as_fail_with(call,
	    AS_TABLE(as_error, .status = AS_BUSY, .message = "much later",
		.retry_after_ms = INT64_MAX));
}

static volatile int depth;

static __attribute__((noinline)) int
dig(int n)
{
	volatile char room[1024];

	room[0] = (char)n;
	depth = n;
	return depth < 0 ? 0 : dig(n + 1) + room[0];
}

static enum as_status
deep(struct as_call *call, const void *in)
{
	(void)in;
	return as_reply_text(call, "%d", dig(1));
}

static enum as_status
cut_off(struct as_call *call, const void *in)
{
	(void)in;
	close(3);
	return as_reply_text(call, "closed");
}

static enum as_status
babble(struct as_call *call, const void *in)
{
	static const char noise[] = "this is no frame at all, is it?";

	(void)in;
	if (write(3, noise, sizeof(noise)) < 0)
		return as_fail(call, AS_INTERNAL, "cannot write");
	return as_sleep(call, 60000);
}

/* What it gets when it tries what it must not: all shall say no. */
static const char *
tried(int ok)
{
	return ok >= 0                             ? "DONE"
	       : errno == EPERM || errno == EACCES ? "refused"
						   : strerror(errno);
}

static enum as_status
escape(struct as_call *call, const void *in)
{
	const struct args *args = in;
	struct as_json *o = as_object(call);
	char *argv[] = { NULL };

	as_put_str(o, "write",
	    tried(open("/tmp/hostile", O_CREAT | O_WRONLY, 0600)));
	as_put_str(o, "append", tried(open("/dev/null", O_WRONLY)));
	as_put_str(o, "socket", tried(socket(AF_INET, SOCK_STREAM, 0)));
	as_put_str(o, "exec", tried(execv("/bin/true", argv)));
	as_put_str(o, "fork", tried(fork()));
	as_put_str(o, "kill", tried(kill(getppid(), SIGKILL)));
	as_put_str(o, "owner", tried(fcntl(3, F_SETOWN, getppid())));
	as_put_str(o, "signal", tried(fcntl(3, F_SETSIG, SIGKILL)));
	as_put_str(o, "async", tried(fcntl(3, F_SETFL, O_ASYNC | O_NONBLOCK)));
	as_put_str(o, "stack",
	    tried(mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1,
		      0) == MAP_FAILED
		      ? -1
		      : 0));
	as_put_str(o, "ptrace",
	    tried((int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL)));
	as_put_str(o, "unlink", tried(unlink("/tmp/hostile")));
	as_put_str(o, "passwd", tried(open("/etc/passwd", O_RDONLY)));
	as_put_str(o, "file", tried(open(args->text, O_RDONLY)));
	return as_reply(call, o);
}

static void *
other_thread(void *arg)
{
	*(int *)arg = 1;
	return NULL;
}

/* What an honest plugin does: all of it works. */
static enum as_status
honest(struct as_call *call, const void *in)
{
	struct as_json *o = as_object(call);
	int fd = open("/usr/share/zoneinfo/Europe/Oslo", O_RDONLY), ran = 0;
	time_t now = time(NULL);
	pthread_t thread;
	struct tm tm;
	char byte;

	(void)in;
	as_put_bool(o, "zone", fd >= 0 && read(fd, &byte, 1) == 1);
	if (fd >= 0)
		close(fd);
	as_put_bool(o, "local", localtime_r(&now, &tm) != NULL);
	as_random(call, &byte, 1);
	if (pthread_create(&thread, NULL, other_thread, &ran) == 0)
		pthread_join(thread, NULL);
	as_put_bool(o, "thread", ran == 1);
	return as_reply(call, o);
}

static enum as_status
wait_for(struct as_call *call, const void *in)
{
	const struct args *args = in;
	enum as_status st = as_sleep(call, args->n);

	return st != AS_OK ? st : as_reply_text(call, "slept");
}

static enum as_status
pour(struct as_call *call, const void *in)
{
	const struct args *args = in;
	enum as_status st = AS_OK;
	char text[1001] = "";
	int64_t i;

	memset(text, 'x', sizeof(text) - 1);
	for (i = 0; i < args->n && st == AS_OK; i++) {
		if ((st = as_progress(call, 0, text)) == AS_OK)
			st = as_check(call);
	}
	return st != AS_OK ? st : as_reply_text(call, "poured");
}

#define TOOL(fn, what) \
	{ \
		.name = #fn, .doc = what, AS_PARAMS(struct args, params), \
		.effect = AS_EFFECT_NONE, .run = fn \
	}

static const struct as_tool tools[] = {
	TOOL(echo, "Says it again."),
	TOOL(visits, "Counts visits."),
	TOOL(fault, "Writes to nowhere."),
	TOOL(give_up, "Aborts."),
	TOOL(leave, "Exits."),
	TOOL(hang, "Computes for ever."),
	TOOL(doze, "Blocks for ever."),
	TOOL(liar, "Blocks, and says that it is well."),
	TOOL(leak, "Opens all that it can."),
	TOOL(bomb, "Takes all memory."),
	TOOL(shared_bomb, "Takes all memory, shared."),
	TOOL(big, "Answers with 100 MiB."),
	TOOL(flood, "Says 200 MiB."),
	TOOL(chatter, "Says 1,000 lines."),
	TOOL(much_later, "Is busy for ever."),
	TOOL(deep, "Calls itself."),
	TOOL(cut_off, "Closes the socket."),
	TOOL(babble, "Writes nonsense into the socket."),
	TOOL(escape, "Tries what is forbidden."),
	TOOL(honest, "Does what is allowed."),
	TOOL(wait_for, "Waits."),
	TOOL(pour, "Says much, and breathes."),
	AS_END,
};

AS_PLUGIN(.name = HOSTILE_NAME, .summary = "Does what a plugin must not do.",
    .version = "1.0.0", .flags = HOSTILE_FLAGS,
    .toolkit = AS_TOOLKIT(.title = "Hostile", .tools = tools));
