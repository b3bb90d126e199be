/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PLUG_CHILD_H
#define CORE_PLUG_CHILD_H

/*
 * Isolated plugins, from the host's side.
 *
 * Nothing of such a file is ever mapped here.  It is copied into memory that
 * has a descriptor (the image); a process of its own maps that, describes
 * itself, and gets options and calls through a socket.
 *
 *	child_spawn.c	starts a process
 *	child_ask.c	asks one for the description of its file
 *	child_file.c	makes a plug_file of that
 *	child.c		one process that serves: its socket and its end
 *	child_watch.c	looks after it while it has calls
 *	child_call.c	a call, seen from its caller
 *	child_guard.c	starts another one when it has died
 *	child_guest.c	the other side: what runs in that process,
 *	child_describe.c  its description and
 *	child_confine.c	what it gives up
 */

#include <sys/types.h>

#include "core/loop/stack.h"
#include "core/plug/call.h"
#include "core/plug/channel.h"
#include "core/plug/child_wire.h"
#include "core/plug/unit.h"

#define CHILD_SOCKET 3
#define CHILD_IMAGE 4
#define CHILD_MEMORY_DEFAULT ((int64_t)512 << 20)
#define CHILD_FILES_MAX 256 /* descriptors that it may have */
#define CHILD_EXIT_MEMORY 97 /* it died because it got no more memory */
#define CHILD_EXIT_CUT_OFF 98 /* nobody is at the other end of its socket */
/* A sanitizer makes everything slow. */
#if defined(FIBER_ASAN) || defined(FIBER_TSAN)
#define CHILD_SLOW 5
#else
#define CHILD_SLOW 1
#endif

/* ---- Starting one (child_spawn.c) ---------------------------------- */

struct child_start {
	const struct plug *plug;
	const char *name; /* of the section, for ps(1) and messages */
	const char *path; /* of the file, for messages */
	int image;
	unsigned number; /* of its uid */
};

struct child_process {
	pid_t pid;
	int pidfd;
	int fd; /* the socket */
	int errors; /* its standard error */
};

/* NULL, or a sentence that the caller frees. */
char *child_process_start(const struct child_start *how,
    struct child_process *out);
/*
 * What holds a process of a plugin here, beyond the filter of system calls and
 * the limits that are always there: HELD_BY_USER only for root, HELD_BY_FILES
 * only where the kernel has Landlock.
 */
enum held_by {
	HELD_BY_USER = 1 << 0, /* one of its own, whose threads are counted */
	HELD_BY_FILES = 1 << 1 /* sees libraries and time zones only */
};
unsigned child_held_by(const struct plug *p);
struct json_object *child_held_to_json(const struct plug *p);
/* Says in the log what is missing, if something is. */
void child_held_say(const struct plug *p);
/* What its end says; the words have no subject. */
void child_obituary(int status, int64_t memory, char *out, size_t size);
int64_t child_memory(const struct plug *p);

/* ---- Its description (child_file.c) -------------------------------- */

/*
 * As file_open, but nothing of the file runs here: a process of its own says
 * what it is.  Without a fiber it blocks for that time.
 */
SUSPENDS struct plug_file *child_file_open(struct unit *u, const char *path,
    char **sentence);
/* What a process says of the image (child_ask.c); NULL, or a sentence. */
SUSPENDS char *child_ask(struct unit *u, const char *path, int image,
    struct json_object **said);
/* The values of the options in conf, for the other side; the caller puts. */
struct json_object *child_options(const struct plug_file *f, const void *conf);

/* ---- One process (child.c) ----------------------------------------- */

#define CHILD_SLOTS 64

struct child_call;

/* Members below the lock are read and written under it. */
struct child {
	struct unit *unit; /* not after it is dead */
	struct loop *home;
	struct child_process process;

	/* The home loop's own. */
	struct loop_watch *reads, *exits, *hears;
	struct loop_timer tick;
	struct fiber_wait waiter; /* for ready or dead */
	struct fiber_wait mourner; /* for dead */
	struct buf line; /* of its standard error */
	char fatal[160]; /* the last line that says why it dies */
	unsigned idle_ticks;
	bool greeted, ready;
	char refusal[256];
	bool waits_for_pong;
	uint32_t ping; /* what the pong has to say */
	int64_t pinged_ms, cpu_at_ping_ms;
	int64_t overdue_ms; /* since when more are at work than open; 0: none */
	char verdict[200]; /* why we killed it */

	pthread_mutex_t lock;
	unsigned refs;
	bool dead;
	bool alone; /* one call was open when it died */
	char why[256]; /* it died, in words with its name */
	struct wire wire;
	bool writes; /* the home loop waits until it can write */
	bool ticking;
	struct loop_msg stir; /* to the home loop: look at these two */
	bool stirring;
	struct child_call *calls[CHILD_SLOTS];
	uint32_t last_call;
	size_t queued; /* bytes that callers have not taken */
	unsigned n_calls; /* that are open */
	uint32_t n_busy; /* as it says itself */
};

/* A call; members are under the child's lock. */
struct child_call {
	struct child_call *next;
	struct child *child;
	struct loop *loop;
	uint32_t id;
	unsigned refs; /* the caller, the table, the knock */
	struct frames frames;
	bool ended, left;
	int64_t left_ms; /* when its caller left */
	struct fiber_wait caller;
	struct loop_msg knock;
	bool knocking;
};

/* On the home loop.  NULL with a sentence. */
struct child *child_new(struct unit *u, char **sentence);
/* Waits until it has its options; AS_OK, or a reason. */
SUSPENDS enum as_status child_greet(struct child *c, struct error *err);
SUSPENDS void child_wait_dead(struct child *c, uint64_t until_ms);
bool child_is_dead(struct child *c);
void child_quit(struct child *c); /* asks it to end */
void child_end(struct child *c); /* now, and does not return before */
void child_kill(struct child *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void child_ref(struct child *c);
void child_unref(struct child *c);
/* Under the lock: what was put into the wire goes out. */
void child_flush(struct child *c);
/* Under the lock: the home loop looks after an open call. */
void child_watch_calls(struct child *c);

/* child_watch.c, on the home loop: from now on, and as long as it has calls. */
void child_watch_begin(struct child *c);
void child_watch_tick(struct loop_timer *t);

/* Under the lock (child_call.c).  False: nobody waits for this call. */
bool child_call_hears(struct child *c, const struct wire_head *head,
    const char *bytes);
void child_calls_die(struct child *c);
/* When the first left whose call goes on; 0: none has. */
int64_t child_left_since(struct child *c);
/* Without it: of such a call, what is for operators. */
void child_last_words(struct child *c, const char *bytes, size_t len);

/* ---- Calls (child_call.c) ------------------------------------------ */

SUSPENDS enum as_status child_run(struct exchange *x,
    const struct as_call_info *info, struct json_object **failure);

/* ---- Supervision (child_guard.c) ----------------------------------- */

struct guard;

void guard_make(struct unit *u); /* it will run isolated */
void guard_free(struct unit *u);
/*
 * Around a step of its life: a process for it before init, none after fini.
 * False: the step is not to be made, and *st is its outcome.
 */
SUSPENDS bool guard_before(struct unit *u, int kind, enum as_status *st,
    struct error *err);
SUSPENDS void guard_after(struct unit *u, int kind, enum as_status st);
/* Starts no other process from here on. */
SUSPENDS void guard_rest(struct unit *u);
SUSPENDS void guard_end(struct unit *u); /* ends its process */
/* A reference to the process that serves now, or NULL. */
struct child *guard_child(struct unit *u);
/* One that has served is dead: until there is another, callers wait. */
void guard_replaces(struct unit *u);
SUSPENDS void guard_await(struct unit *u); /* shortly */
/* With the lock of struct plug held; 0: none at the moment. */
pid_t guard_pid(const struct unit *u);

/* ---- The other side (child_guest.c) -------------------------------- */

/* How a call in this process reaches the host (exchange.c asks it first). */
struct relay {
	enum as_status (*emit)(struct exchange *x, const struct msg *m);
	SUSPENDS void (*serve)(struct exchange *x, const struct msg *m,
	    struct answer *out);
};

/* The description of a file as JSON; or {refused}. */
struct json_object *guest_describe(const struct plug_file *f);
/* From here on this process may hardly do anything.  A sentence, or NULL. */
char *guest_confine(uid_t uid, int64_t memory);

#endif
