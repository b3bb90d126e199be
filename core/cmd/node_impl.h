/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CMD_NODE_IMPL_H
#define CORE_CMD_NODE_IMPL_H

/*
 * What the files of a node share: node.c (start, the process), node_drain.c
 * (stop), node_notify.c (what a service manager is told),
 * node_loop.c (what one loop owns), node_epoch.c (lease and lock), node_beat.c
 * (heartbeat and reaper), node_bells.c (Redis, and who wakes whom by it),
 * node_claim.c (work that is ready), node_sched.c (schedules), node_watch.c (loops that hang),
 * node_crumb.c (runs that a process crashed in),
 * node_plug.c (the plugins and what they are given), node_control.c (what
 * commands ask of a running process), node_report.c (what is printed).
 */

#include <pthread.h>
#include <stdatomic.h>

#include "core/cmd/node.h"
#include "core/cmd/node_env.h"
#include "core/run/sweep.h"

struct api_gauges;
struct breaker_redis;
struct control;
struct hook_sender;
struct store_lock;
struct sched;

struct node_loop {
	struct node *node;
	struct app app;
	struct api_gauges *gauges;
	struct loop_msg start, announce, stop, ring, epoch;
	atomic_bool rung; /* ring is on its way */
	struct loop_timer pulse;
	_Atomic int64_t turned_us; /* monotonic; 0: not watched */
	int64_t stalled_us; /* the watching thread's own */
	pthread_t thread;
	bool failed;
};

/* The thread that ends a process one of whose loops hangs. */
struct node_watch {
	pthread_t thread;
	pthread_mutex_t mu;
	pthread_cond_t cond; /* monotonic clock */
	bool ending, running;
};

struct node {
	struct node_parts p;
	struct node_env env;
	struct plug *plug;
	struct bus *bus;
	struct live *live;
	struct bus_redis *redis; /* NULL: no other process is told */
	struct bus_sub *work_bell, *cancel_bell; /* of the first loop */
	struct breakers *breakers;
	struct breaker_redis *breaker_redis; /* NULL: they are not shared */
	struct desk *desk;
	struct seats *seats;
	struct strikes *strikes;
	struct sched *sched; /* of the first loop */
	struct hook_rates *hook_rates;
	struct pool *pool;
	struct node_loop *loops;
	struct app **apps; /* NULL-terminated */
	const char *const *trusted_proxies; /* NULL-terminated, as the next */
	const char *const *allowed_origins;
	const char *const *webhook_allow;
	struct hook_sender *sender; /* of the first loop; or NULL */
	struct loop_watch *signals;
	struct control *control;
	struct fiber_ref watcher; /* plugins.watch */
	struct loop_timer beat, reap, claim;
	struct loop_timer watchdog; /* of the service manager */
	int64_t watchdog_ms; /* 0: it has none */
	struct fiber_wait delay; /* of a shutdown that waits for balancers */
	struct node_watch watch;
	struct store_lock *lock; /* NULL: only the lease tells that we live */
	bool guarded; /* and others know of the lock */
	bool cut_off; /* the last beats have not reached the database */
	bool between; /* two epochs */
	bool shedding; /* what loops are told: calls under way are cut short */
	bool reaping; /* a fiber is at it */
	atomic_int n_untold; /* loops that have not heard of it */
	int n_loops;
	atomic_int n_others; /* threads of other loops than the first */
	bool others_stop;
	bool alone; /* no other process can have this database */
	bool executes; /* runs, itself */
	int64_t epoch;
	uint64_t look_at_ms; /* for runs that nobody works on */
	uint64_t unstall_at_ms; /* the next look at queues of threads */
	uint64_t database_at_ms; /* the next look at the server's settings */
	uint64_t forget_at_ms; /* when the next old changes of the inbox go */
	struct sweep sweep; /* what the last look said */
	bool looking; /* a fiber looks after cancels, queues and breakers */
	bool database_looking; /* one looks at the server's settings */
	bool expiring; /* one looks for items that nobody has answered */
	int64_t lease_us;
	int64_t margin_us; /* of the lease, in which nothing new is begun */
	uint16_t port;
	int signal_fd;
	int hung; /* loop that keeps the heart from beating; -1 */
	struct route_table *metrics; /* of a worker; NULL: it has no port */
	struct fiber_ref start;
	bool stopping, started;
	bool hurry; /* a second signal: no delay */
	bool left; /* the epoch is given up */
	int exit_code;
};

static inline struct node_loop *
node_first(struct node *n)
{
	return &n->loops[0];
}

/* To the log and to standard error; the exit code is 1. */
void node_fail(struct node *n, const char *what, struct error *err);

/* ---- node_drain.c: the first loop's thread -------------------------- */

void node_shutdown(struct node *n); /* begins it; the loops stop in the end */
void node_shutdown_hurry(struct node *n);
void node_others_stop(struct node *n);

/* ---- node_notify.c: the first loop's thread ------------------------- */

void node_notify_ready(struct node *n);
void node_notify_stopping(void);
void node_notify_end(struct node *n);

/* ---- node_control.c: the first loop's thread ----------------------- */

/* Without a control socket a process serves all the same: it says why. */
SUSPENDS void node_control_start(struct node *n);
SUSPENDS void node_control_stop(struct node *n);
void node_control_free(struct node *n); /* after the loop was drained */
void node_reload_all(struct node *n); /* SIGHUP */

/* ---- node_metrics.c ------------------------------------------------ */

/* A worker's own port, if it is to have one; on the first loop. */
enum as_status node_metrics_listen(struct node *n, struct error *err);
void node_metrics_free(struct node *n); /* after the listener */

/* ---- node_loop.c --------------------------------------------------- */

/* Before there are other threads: an arena is for one. */
void node_lists_make(struct node *n);
void node_loop_make(struct node *n, struct node_loop *l);
/* When no loop runs any more, and the pool has ended: nobody posts. */
void node_loop_unmake(struct node *n, struct node_loop *l);
/*
 * On the loop's thread, once the epoch is known and the plugins run.  What
 * goes wrong is reported, and l->failed.
 */
void node_loop_serve(struct node *n, struct node_loop *l);

/* ---- node_epoch.c: the first loop's thread ------------------------- */

/* An epoch of its own, and what dead processes held goes back to the queue. */
SUSPENDS enum as_status node_join(struct node *n, struct error *err);
SUSPENDS void node_leave(struct node *n); /* the last beat */
/* A renewal that was sent then has been answered. */
void node_trust_from(struct node *n, int64_t sent_us);
/*
 * The lease had run out.  AS_OK: there is a new epoch; else the process is
 * ending by itself.  Does not return if it has to end at once.
 */
SUSPENDS enum as_status node_epoch_over(struct node *n, const char *why);
SUSPENDS void node_guard_tell(struct node *n);
int64_t node_max_age_us(const struct node *n); /* of a run */

/* ---- node_beat.c: the first loop's thread -------------------------- */

void node_beat_start(struct node *n); /* heartbeat and reaper */
void node_reap_stop(struct node *n);

/* ---- node_claim.c: the first loop's thread ------------------------- */

void node_claim_start(struct node *n);
void node_claim_stop(struct node *n);
void node_ring_make(struct node_loop *l); /* before there are threads */
/*
 * Something is ready: every loop takes of it as soon as it has room.  Any
 * loop's thread.
 */
void node_ring(struct node *n);

/* ---- node_bells.c -------------------------------------------------- */

void node_redis_make(struct node *n); /* before there are threads */
void node_bells_start(struct node *n); /* the first loop's thread */
void node_bells_stop(struct node *n);
void node_bells_ring(struct node *n); /* something is ready; any loop */

/* ---- node_sched.c: the first loop's thread ------------------------- */

void node_sched_start(struct node *n);

/* ---- node_crumb.c -------------------------------------------------- */

void node_crumb_open(struct node *n); /* before there are threads */
/* Dead processes' crashes, before anybody claims the runs they crashed in. */
SUSPENDS enum as_status node_crumb_charge(struct node *n, struct error *err);

/* ---- node_watch.c -------------------------------------------------- */

/* From now on this loop shows that it turns; on its thread. */
void node_pulse_start(struct node_loop *l);
void node_pulse_stop(struct node_loop *l);
/* The first loop that has not turned for max_us, or -1.  Any thread. */
int node_pulse_missing(struct node *n, int64_t max_us);
/* Aborts when a loop hangs for as long as the lease is trusted. */
void node_watch_start(struct node *n);
void node_watch_stop(struct node *n);

/* ---- node_plug.c, node_report.c ------------------------------------ */

/* False: the configuration has problems, which have been printed. */
bool node_plugins_load(struct node *n);
void node_report(struct node *n);

#endif
