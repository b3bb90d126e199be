/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/plug/child.h"

/*
 * A call whose plugin runs in another process, from the fiber of its caller, on
 * any loop.  Frames that came for it wait in a queue of its own; the other side
 * stops by itself when too many bytes of a call have not been acknowledged.
 * A caller who leaves says so and is gone; the call stays in the table until
 * the plugin has ended it, because until then it is at work.
 */

#define ACK_BYTES ((size_t)1 << 20)
#define WAITING_MAX (4 * MSG_MAX) /* bytes that a process does not read */
/* Beyond what an honest process sends before it is acknowledged. */
#define CALL_QUEUE_MAX (3 * MSG_MAX)
#define CHILD_QUEUE_MAX (6 * MSG_MAX)
#define TURN_FRAMES 64 /* taken before others on the loop have their turn */
#define ROOM_MS 5

/* ---- Under the child's lock ---------------------------------------- */

static struct frame *
call_pop(struct child_call *call)
{
	size_t before = call->frames.bytes;
	struct frame *f = frames_pop(&call->frames);

	call->child->queued -= before - call->frames.bytes;
	return f;
}

static void
call_put(struct child_call *call)
{
	if (--call->refs > 0)
		return;
	call->child->queued -= call->frames.bytes;
	frames_clear(&call->frames);
	free(call);
}

static struct child_call **
call_at(struct child *c, uint32_t id)
{
	struct child_call **at = &c->calls[id % CHILD_SLOTS];

	while (*at != NULL && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

/* Of the table: the plugin is done with it. */
static void
call_remove(struct child *c, struct child_call **at)
{
	struct child_call *call = *at;

	*at = call->next;
	c->n_calls--;
	call->ended = true;
	unit_drop(c->unit);
	call_put(call);
}

static void
call_knock(struct child_call *call)
{
	if (call->left || call->knocking)
		return;
	if (call->loop == loop_self()) {
		fiber_wake(call->caller);
		return;
	}
	call->knocking = true;
	call->refs++;
	call->child->refs++;
	loop_post(call->loop, &call->knock);
}

static void
call_push(struct child_call *call, const struct wire_head *head,
    const char *bytes)
{
	struct child *c = call->child;
	size_t before = call->frames.bytes;

	if (before + head->len > CALL_QUEUE_MAX ||
	    c->queued + head->len > CHILD_QUEUE_MAX) {
		child_kill(c, "said more than can be taken in and was ended");
		return;
	}
	frames_push(&call->frames, frame_copy(bytes, head->len, head->extra));
	c->queued += call->frames.bytes - before;
}

bool
child_call_hears(struct child *c, const struct wire_head *head,
    const char *bytes)
{
	bool left;

	struct child_call **at = call_at(c, head->call), *call = *at;
	uint32_t kind = 0;

	if (call == NULL || head->len < sizeof(kind))
		return true;
	memcpy(&kind, bytes, sizeof(kind));
	if (!(left = call->left))
		call_push(call, head, bytes);
	call_knock(call);
	if (kind == htole32(MSG_END))
		call_remove(c, at);
	return !left;
}

int64_t
child_left_since(struct child *c)
{
	const struct child_call *call;
	int64_t first = 0;
	size_t i;

	for (i = 0; i < CHILD_SLOTS; i++)
		for (call = c->calls[i]; call != NULL; call = call->next)
			if (call->left && (first == 0 || call->left_ms < first))
				first = call->left_ms;
	return first;
}

void
child_calls_die(struct child *c)
{
	struct child_call *call;
	size_t i;

	c->alone = c->n_calls == 1;
	for (i = 0; i < CHILD_SLOTS; i++) {
		while ((call = c->calls[i]) != NULL) {
			call->refs++;
			call_remove(c, &c->calls[i]);
			call_knock(call);
			call_put(call);
		}
	}
}

/* Nobody waits for it any more; operators still want its last words. */
void
child_last_words(struct child *c, const char *bytes, size_t len)
{
	struct arena *arena = arena_new(NULL);
	struct msg m;

	if (msg_decode(bytes, len, &m, arena)) {
		if (m.kind == EMIT_LOG)
			unit_log(c->unit, NULL, m.n, m.name);
		else if (m.kind == EMIT_COUNT)
			unit_count(c->unit, m.name, m.x);
	}
	arena_free(arena);
}

/* ---- The caller ---------------------------------------------------- */

static void
caller_hears(struct loop_msg *m)
{
	struct child_call *call = container_of(m, struct child_call, knock);
	struct child *c = call->child;
	struct fiber_wait wait;

	pthread_mutex_lock(&c->lock);
	call->knocking = false;
	wait = call->caller;
	call_put(call);
	pthread_mutex_unlock(&c->lock);
	fiber_wake(wait);
	child_unref(c);
}

/* With the lock held.  NULL: too long, or too much waits already. */
static struct child_call *
call_send(struct child *c, struct exchange *x, const struct as_call_info *info)
{
	uint32_t id = ++c->last_call, len;
	size_t start = wire_begin(&c->wire, WIRE_CALL, id, 0), at;
	struct child_call *call;
	bool ok;

	at = c->wire.out.len;
	buf_add(&c->wire.out, &len, sizeof(len));
	info_encode(info, &c->wire.out);
	len = (uint32_t)(c->wire.out.len - at - sizeof(len));
	memcpy(c->wire.out.data + at, &len, sizeof(len));
	ok = wire_waiting(&c->wire) < WAITING_MAX &&
	     msg_encode(&x->op, &c->wire.out);
	if (!ok) {
		wire_cut(&c->wire, start);
		return NULL;
	}
	wire_end(&c->wire, start);
	call = xcalloc(1, sizeof(*call));
	call->child = c;
	call->loop = loop_self();
	call->id = id;
	call->refs = 2;
	frames_init(&call->frames);
	call->knock.fn = caller_hears;
	call->next = c->calls[id % CHILD_SLOTS];
	c->calls[id % CHILD_SLOTS] = call;
	c->n_calls++;
	unit_hold(c->unit);
	child_flush(c);
	child_watch_calls(c);
	return call;
}

/* The next frame; NULL if there will be none, or the caller's time is over. */
SUSPENDS static struct frame *
frame_next(struct child_call *call, enum fiber_exit *how)
{
	struct child *c = call->child;
	struct frame *f;
	bool ended;

	for (;;) {
		pthread_mutex_lock(&c->lock);
		ended = call->ended;
		if ((f = call_pop(call)) == NULL)
			call->caller = fiber_prepare();
		pthread_mutex_unlock(&c->lock);
		if (f != NULL && (*how == FIBER_WOKEN || ended))
			return f;
		free(f);
		if (f != NULL || ended || *how != FIBER_WOKEN)
			return NULL;
		*how = fiber_suspend(0);
	}
}

SUSPENDS static void
caller_answers(struct child_call *call, struct exchange *x, const struct msg *m,
    uint32_t number)
{
	struct child *c = call->child;
	struct answer a = { 0 };
	struct msg out;

	exchange_serve(x, m, &a);
	out = answer_msg(&a);
	pthread_mutex_lock(&c->lock);
	if (!c->dead && wire_put_msg(&c->wire, call->id, number, &out) == 0) {
		out = (struct msg){ .kind = MSG_ANSWER, .index = AS_LIMIT };
		wire_put_msg(&c->wire, call->id, number, &out);
	}
	child_flush(c);
	pthread_mutex_unlock(&c->lock);
	answer_clear(&a);
}

static void
caller_says(struct child_call *call, enum wire_type type, uint32_t extra)
{
	struct child *c = call->child;

	pthread_mutex_lock(&c->lock);
	if (!c->dead && !call->ended) {
		wire_put(&c->wire, type, call->id, extra, NULL, 0);
		child_flush(c);
	}
	pthread_mutex_unlock(&c->lock);
}

/* True: it was the last one. */
SUSPENDS static bool
caller_takes(struct child_call *call, struct exchange *x, const struct msg *m,
    uint32_t number, enum as_status *st, struct json_object **failure)
{
	enum as_status said;

	if (m->kind == MSG_END) {
		*st = m->n >= AS_OK && m->n < AS_EOF ? (enum as_status)m->n
						     : AS_INTERNAL;
		*failure = json_object_get(m->value);
		return true;
	}
	if (m->kind >= SERVE_HTTP && m->kind < MSG_ANSWER) {
		caller_answers(call, x, m, number);
		return false;
	}
	/* Nobody wants it any more: no need to wait until it has heard that. */
	if ((said = exchange_emit(x, m)) == AS_CANCELED) {
		*st = AS_CANCELED;
		return true;
	}
	if (said != AS_OK)
		caller_says(call, WIRE_SAID, (uint32_t)said);
	return false;
}

/* No frame will come: why not? */
static enum as_status
caller_gives_up(struct child_call *call, enum fiber_exit how,
    struct json_object **failure)
{
	if (how == FIBER_CANCELED)
		return AS_CANCELED;
	*failure = failure_new(how == FIBER_TIMEOUT
				   ? "it did not answer in time"
				   : call->child->why);
	jput_int(*failure, "maybe_done", AS_YES);
	if (how == FIBER_TIMEOUT)
		return AS_TIMEOUT;
	/* Nobody else can have been it: it would only happen again. */
	if (call->child->alone)
		jput_int(*failure, "retryable", AS_NO);
	return AS_UNAVAILABLE;
}

/* Does so much wait that more answers would only pile up here? */
static bool
caller_is_blocked(struct child_call *call)
{
	struct child *c = call->child;
	bool blocked;

	pthread_mutex_lock(&c->lock);
	blocked = !c->dead && !call->ended &&
		  wire_waiting(&c->wire) >= WAITING_MAX;
	pthread_mutex_unlock(&c->lock);
	return blocked;
}

/*
 * Before the nth frame.  A process that always has one more must keep neither
 * the loop from others nor the caller from his end; one that asks and does not
 * read the answers is not asked to ask for more.
 */
SUSPENDS static enum fiber_exit
caller_turns(struct child_call *call, unsigned n)
{
	enum fiber_exit how = n % TURN_FRAMES == 0 ? fiber_yield()
						   : FIBER_WOKEN;

	while (how == FIBER_WOKEN && caller_is_blocked(call))
		how = fiber_sleep(ROOM_MS);
	return how;
}

SUSPENDS static enum as_status
caller_run(struct child_call *call, struct exchange *x,
    struct json_object **failure)
{
	enum fiber_exit how = FIBER_WOKEN;
	enum as_status st = AS_INTERNAL;
	size_t unacked = 0;
	struct arena *arena;
	struct frame *f;
	bool last = false;
	unsigned n = 0;
	struct msg m;

	while (!last) {
		if (how == FIBER_WOKEN)
			how = caller_turns(call, ++n);
		if ((f = frame_next(call, &how)) == NULL)
			return caller_gives_up(call, how, failure);
		arena = arena_new(NULL);
		if (msg_decode(f->data, f->len, &m, arena)) {
			last = caller_takes(call, x, &m, f->extra, &st,
			    failure);
			/* It counts what it says, not what it asks for. */
			unacked += m.kind < SERVE_HTTP ? f->len : 0;
		} else {
			*failure = failure_new("it said what has no meaning");
			last = true;
		}
		if (unacked >= ACK_BYTES && !last) {
			caller_says(call, WIRE_ACK, (uint32_t)unacked);
			unacked = 0;
		}
		arena_free(arena);
		free(f);
	}
	return st;
}

static void
caller_leaves(struct child_call *call)
{
	struct child *c = call->child;

	pthread_mutex_lock(&c->lock);
	if (!call->ended) {
		call->left = true;
		call->left_ms = clock_mono_ms();
		wire_put(&c->wire, WIRE_CANCEL, call->id, 0, NULL, 0);
		child_flush(c);
	}
	call_put(call);
	pthread_mutex_unlock(&c->lock);
}

enum as_status
child_run(struct exchange *x, const struct as_call_info *info,
    struct json_object **failure)
{
	struct child *c = guard_child(x->unit);
	struct child_call *call = NULL;
	enum as_status st;
	bool dead = true;

	if (c != NULL) {
		pthread_mutex_lock(&c->lock);
		if (!(dead = c->dead))
			call = call_send(c, x, info);
		pthread_mutex_unlock(&c->lock);
	}
	if (call != NULL) {
		st = caller_run(call, x, failure);
		caller_leaves(call);
	} else {
		*failure = failure_new(
		    dead ? "its process does not run at the moment"
			 : "arguments too large to pass on");
		st = dead ? AS_UNAVAILABLE : AS_LIMIT;
	}
	if (c != NULL)
		child_unref(c);
	return st;
}
