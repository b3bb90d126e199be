/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/loop/pool.h"
#include "core/plug/child.h"

/*
 * A plugin's own process.  It has one loop; each call is a fiber there, and
 * runs as it would in the host: on that fiber, or on the pool.  What a plugin
 * says goes into the socket at the end of the turn, so an answer and its end
 * are one write; a service waits until its answer comes back.
 */

#define POOL_THREADS 8
#define POOL_QUEUE 1024
#define FLUSH_BYTES ((size_t)256 << 10) /* that do not wait for the turn */
#define UNREAD_MAX (2 * MSG_MAX) /* of all calls together */
#define GUEST_SLOTS 64
#define OVERDUE "the deadline of the call has passed"

struct guest_call {
	struct guest_call *next;
	uint32_t id;
	struct frame *frame; /* who calls, and the operation */
	struct fiber_ref fiber;
	enum as_status said; /* what emits are answered */
	size_t unread; /* bytes that the host has not taken in */
	uint32_t service; /* the last that was asked for */
	struct frame *answer; /* to it */
	struct fiber_wait waiter;
};

static struct guest {
	struct plug plug;
	struct unit *unit;
	struct loop *loop;
	struct loop_watch *watch;
	struct loop_hook flush;
	struct wire wire;
	bool full; /* waits until it can write */
	size_t unread;
	struct guest_call *calls[GUEST_SLOTS];
	int64_t memory;
} guest;

/* ---- Writing ------------------------------------------------------- */

/* The host is gone, and with it all that this process is for. */
static void
host_is_gone(void)
{
	_exit(CHILD_EXIT_CUT_OFF);
}

static void
guest_flush(void)
{
	enum wire_state st;

	if (guest.full)
		return;
	if ((st = wire_flush(&guest.wire)) == WIRE_BROKEN)
		host_is_gone();
	if (st == WIRE_LATER) {
		guest.full = true;
		loop_watch_set(guest.watch, LOOP_READ | LOOP_WRITE);
	}
}

static void
turn_ends(struct loop_hook *h)
{
	(void)h;
	guest_flush();
}

static void
guest_wrote(void)
{
	if (wire_waiting(&guest.wire) > FLUSH_BYTES)
		guest_flush();
	loop_at_turn_end(guest.loop, &guest.flush);
}

/* ---- What a call says and asks for --------------------------------- */

static bool
is_for_operators(const struct msg *m)
{
	return m->kind == EMIT_LOG || m->kind == EMIT_COUNT;
}

static enum as_status
guest_emit(struct exchange *x, const struct msg *m)
{
	struct guest_call *call = x->taker;
	size_t len;

	if (!is_for_operators(m)) {
		if (fiber_is_canceled())
			return AS_CANCELED;
		if (call->said != AS_OK)
			return call->said;
	}
	if (call->unread > MSG_MAX || guest.unread > UNREAD_MAX)
		return AS_LIMIT;
	if ((len = wire_put_msg(&guest.wire, call->id, 0, m)) == 0)
		return AS_LIMIT;
	call->unread += len;
	guest.unread += len;
	guest_wrote();
	return AS_OK;
}

SUSPENDS static void
guest_serve(struct exchange *x, const struct msg *m, struct answer *out)
{
	struct guest_call *call = x->taker;
	enum fiber_exit how = FIBER_WOKEN;
	struct frame *f;

	out->status = AS_LIMIT;
	if (wire_put_msg(&guest.wire, call->id, ++call->service, m) == 0) {
		out->value = failure_new("a request too large to pass on");
		return;
	}
	guest_wrote();
	while (call->answer == NULL && how == FIBER_WOKEN) {
		call->waiter = fiber_prepare();
		how = fiber_suspend(0);
	}
	f = call->answer;
	call->answer = NULL;
	if (f != NULL) {
		frame_answer(f, out);
	} else if (how == FIBER_CANCELED) {
		out->status = AS_CANCELED;
	} else {
		/* The service may go on without us. */
		out->status = AS_TIMEOUT;
		out->value = failure_new(OVERDUE);
		jput_int(out->value, "maybe_done", AS_YES);
	}
	/* An answer that comes now is to nobody's question. */
	call->service++;
}

static const struct relay relay = {
	.emit = guest_emit,
	.serve = guest_serve,
};

/* ---- Calls --------------------------------------------------------- */

static struct guest_call **
call_at(uint32_t id)
{
	struct guest_call **at = &guest.calls[id % GUEST_SLOTS];

	while (*at != NULL && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

/* The last frame of a call. */
static void
call_end(struct guest_call *call, enum as_status st,
    struct json_object *failure)
{
	struct msg end = { .kind = MSG_END, .n = st, .value = failure };
	struct guest_call **at = call_at(call->id);

	if (wire_put_msg(&guest.wire, call->id, 0, &end) == 0) {
		end.value = NULL;
		wire_put_msg(&guest.wire, call->id, 0, &end);
	}
	guest_wrote();
	json_object_put(failure);
	guest.unread -= call->unread;
	*at = call->next;
	free(call->frame);
	free(call->answer);
	free(call);
}

static bool
call_decode(struct guest_call *call, struct msg *op, struct as_call_info *info,
    struct arena *arena)
{
	const char *at = call->frame->data;
	size_t left = call->frame->len;
	uint32_t len;

	if (left < sizeof(len))
		return false;
	memcpy(&len, at, sizeof(len));
	at += sizeof(len);
	left -= sizeof(len);
	return len <= left && info_decode(at, len, info) &&
	       msg_decode(at + len, left - len, op, arena);
}

SUSPENDS static void
call_fiber(void *arg)
{
	struct guest_call *call = arg;
	struct exchange x = { .plug = &guest.plug,
		.unit = guest.unit,
		.relay = &relay,
		.taker = call };
	struct arena *arena = arena_new(NULL);
	struct json_object *failure = NULL;
	enum as_status st = AS_INTERNAL;
	struct as_call_info info;

	if (call_decode(call, &x.op, &info, arena)) {
		if (info.deadline_ms < INT64_MAX / 2)
			fiber_deadline_set(loop_now_ms(guest.loop) +
					   (uint64_t)info.deadline_ms + 1);
		st = exchange_here(&x, &info, &failure);
	}
	arena_free(arena);
	call_end(call, st, failure);
}

static void
call_begin(const struct wire_head *head, const char *bytes)
{
	struct guest_call *call = xcalloc(1, sizeof(*call));

	call->id = head->call;
	call->frame = frame_copy(bytes, head->len, head->extra);
	call->next = guest.calls[call->id % GUEST_SLOTS];
	guest.calls[call->id % GUEST_SLOTS] = call;
	call->fiber = fiber_spawn(guest.loop, guest.unit->name, call_fiber,
	    call);
	if (call->fiber.f == NULL)
		call_end(call, AS_UNAVAILABLE,
		    failure_new("too many calls are open"));
}

static void
call_hears(const struct wire_head *head, const char *bytes)
{
	struct guest_call *call = *call_at(head->call);

	if (call == NULL)
		return;
	switch (head->type) {
	case WIRE_CANCEL:
		fiber_cancel(call->fiber);
		break;
	case WIRE_SAID:
		call->said = (enum as_status)head->extra;
		break;
	case WIRE_ACK:
		call->unread -= head->extra;
		guest.unread -= head->extra;
		break;
	default:
		if (head->extra != call->service)
			break;
		free(call->answer);
		call->answer = frame_copy(bytes, head->len, head->extra);
		fiber_wake(call->waiter);
	}
}

/* ---- Reading ------------------------------------------------------- */

static void
guest_conf(const char *text, size_t len)
{
	const struct as_plugin *p = &guest.unit->file->about;
	struct arena *arena = guest.unit->arena;
	struct json_object *values = NULL;
	struct error err = { 0 };
	const char *why = "";

	guest.unit->conf = arena_alloc(arena, p->conf_size + 1);
	if (json_parse(text, len, &values, NULL) != AS_OK ||
	    (p->options != NULL && !field_fill(p->options, p->field_size,
				       guest.unit->conf, values, arena, &err)))
		why = err.detail[0] != '\0' ? err.detail
					    : "its options do not fit";
	/* values is as long there as what points into it. */
	wire_put(&guest.wire, WIRE_READY, 0, 0, why, strlen(why));
	guest_wrote();
	error_clear(&err);
}

static void
guest_takes(const struct wire_head *head, const char *bytes)
{
	switch (head->type) {
	case WIRE_CONF:
		guest_conf(bytes, head->len);
		break;
	case WIRE_CALL:
		call_begin(head, bytes);
		break;
	case WIRE_PING:
		wire_put(&guest.wire, WIRE_PONG, head->call,
		    atomic_load(&guest.unit->open), NULL, 0);
		guest_wrote();
		break;
	case WIRE_QUIT:
		guest_flush();
		_exit(0);
	default:
		call_hears(head, bytes);
	}
}

static void
guest_io(int fd, int what, void *arg)
{
	enum wire_state st;
	struct wire_head head;
	const char *bytes;

	(void)fd;
	(void)arg;
	if (what & LOOP_WRITE) {
		guest.full = false;
		loop_watch_set(guest.watch, LOOP_READ);
		guest_flush();
	}
	if (!(what & LOOP_READ))
		return;
	if ((st = wire_fill(&guest.wire)) == WIRE_DONE)
		while (
		    (st = wire_next(&guest.wire, &head, &bytes)) == WIRE_DONE)
			guest_takes(&head, bytes);
	if (st == WIRE_BROKEN)
		host_is_gone();
}

/* ---- Beginning and end --------------------------------------------- */

/* Did it die because it got no more memory?  Then it says so. */
static void
dies(int sig, siginfo_t *si, void *context)
{
	char text[256];
	int64_t pages[6] = { 0 };
	int fd = open("/proc/self/statm", O_RDONLY);
	ssize_t i, n = read(fd, text, sizeof(text));
	size_t word = 0;

	(void)context;
	for (i = 0; i < n && word < N_ITEMS(pages); i++) {
		if (text[i] == ' ')
			word++;
		else if (text[i] >= '0' && text[i] <= '9')
			pages[word] = pages[word] * 10 + (text[i] - '0');
	}
	if (pages[5] * 4096 > guest.memory / 4 * 3)
		_exit(CHILD_EXIT_MEMORY);
	signal(sig, SIG_DFL);
	if (si->si_code <= 0)
		raise(sig);
}

static void
watch_memory(void)
{
#if !defined(FIBER_ASAN) && !defined(FIBER_TSAN)
	struct sigaction sa = { .sa_flags = SA_SIGINFO | SA_ONSTACK };

	sa.sa_sigaction = dies;
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGABRT, &sa, NULL);
#else
	(void)dies;
#endif
}

static void
guest_hello(const char *path)
{
	struct json_object *o;
	char *sentence = NULL;
	const char *text;

	guest.unit->file = file_open_image(path, "/proc/self/fd/4", &host_table,
	    &sentence);
	close(CHILD_IMAGE);
	if (guest.unit->file != NULL) {
		o = guest_describe(guest.unit->file);
	} else {
		o = jobj();
		jput_str(o, "refused", sentence);
	}
	text = json_text(o);
	wire_put(&guest.wire, WIRE_HELLO, 0, 0, text, strlen(text));
	json_object_put(o);
	free(sentence);
	guest_flush();
}

int
plug_child_main(int argc, char **argv)
{
	struct plug_services *services = &guest.plug.services;
	char *sentence;

	if (argc != 5 || fcntl(CHILD_SOCKET, F_GETFL) < 0 ||
	    fcntl(CHILD_IMAGE, F_GETFL) < 0) {
		fputs("agent-studio plugin-host: is started by agent-studio "
		      "for plugins with isolation = \"process\"\n",
		    stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	guest.memory = strtoll(argv[4], NULL, 10);
	pthread_mutex_init(&guest.plug.lock, NULL);
	guest.plug.arena = arena_new(NULL);
	guest.unit = unit_new(plugin_get(&guest.plug, argv[1]), NULL);
	guest.loop = services->home = loop_new();
	guest.flush.fn = turn_ends;
	guest.wire.fd = CHILD_SOCKET;
	guest.watch = loop_watch(guest.loop, CHILD_SOCKET, LOOP_READ, guest_io,
	    NULL);
	watch_memory();
	sentence = guest_confine((uid_t)strtoul(argv[3], NULL, 10),
	    guest.memory);
	if (sentence != NULL) {
		fprintf(stderr, "fatal: %s\n", sentence);
		return 1;
	}
	guest_hello(argv[2]);
	if (guest.unit->file != NULL &&
	    (guest.unit->file->about.flags & AS_BLOCKING))
		services->pool = pool_new(POOL_THREADS, POOL_QUEUE);
	loop_run(guest.loop);
	return 0;
}
