/* SPDX-License-Identifier: Apache-2.0 */
#include <json-c/json.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/store/guest.h"
#include "core/store/store_pg.h"
#include "tests/integration/store_env.h"
#include "tests/tap.h"

/*
 * Behind a proxy that falls silent: what it had open stays open and says nothing
 * more, what comes later is served.  Or it is closed, and what comes later is
 * taken by nobody.
 */

#define PAIRS_MAX 32
#define BACK_MS 20000

struct pair {
	int fd[2]; /* the client's, the server's */
	bool is_mute;
};

static struct proxy {
	char *dir;
	struct sockaddr_un server;
	int listener;
	pthread_t thread;
	atomic_bool mutes, stops, sleeps;
	struct pair pairs[PAIRS_MAX];
	int n;
} proxy;

static void
address(struct sockaddr_un *a, const char *dir, const char *port)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	MUST(snprintf(a->sun_path, sizeof(a->sun_path), "%s/.s.PGSQL.%s", dir,
		 port) < (int)sizeof(a->sun_path));
}

static int
socket_new(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	MUST(fd >= 0);
	return fd;
}

static void
pair_new(void)
{
	struct pair *p = &proxy.pairs[proxy.n++];

	MUST(proxy.n <= PAIRS_MAX);
	p->is_mute = false;
	p->fd[0] = accept(proxy.listener, NULL, NULL);
	p->fd[1] = socket_new();
	MUST(p->fd[0] >= 0);
	MUST(connect(p->fd[1], (struct sockaddr *)&proxy.server,
		 sizeof(proxy.server)) == 0);
}

static void
pair_close(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		if (p->fd[i] >= 0)
			close(p->fd[i]);
		p->fd[i] = -1;
	}
}

static void
pair_pass(struct pair *p, int from)
{
	char bytes[65536];
	ssize_t n = read(p->fd[from], bytes, sizeof(bytes));

	if (n > 0 && p->is_mute)
		return;
	if (n > 0 && write(p->fd[1 - from], bytes, (size_t)n) == n)
		return;
	pair_close(p);
}

static void *
proxy_main(void *arg)
{
	struct pollfd p[1 + 2 * PAIRS_MAX];
	int n;

	(void)arg;
	while (!atomic_load(&proxy.stops)) {
		n = proxy.n;
		p[0] = (struct pollfd){ atomic_load(&proxy.sleeps)
					    ? -1
					    : proxy.listener,
			POLLIN, 0 };
		for (int i = 0; i < 2 * n; i++)
			p[1 + i] = (struct pollfd){
				proxy.pairs[i / 2].fd[i % 2], POLLIN, 0
			};
		(void)poll(p, (nfds_t)(1 + 2 * n), 10);
		if (atomic_exchange(&proxy.mutes, false))
			for (int i = 0; i < n; i++)
				proxy.pairs[i].is_mute = true;
		for (int i = 0; i < 2 * n; i++)
			if (p[1 + i].revents != 0 &&
			    proxy.pairs[i / 2].fd[i % 2] >= 0)
				pair_pass(&proxy.pairs[i / 2], i % 2);
		if (atomic_load(&proxy.sleeps))
			for (int i = 0; i < n; i++)
				pair_close(&proxy.pairs[i]);
		else if (p[0].revents != 0)
			pair_new();
	}
	return NULL;
}

/* False: the server is not reached by a socket in a folder. */
static bool
proxy_start(void)
{
	struct sockaddr_un own;
	struct pg_place place;

	MUST(pg_place(pg_db_of(env.db), 0, &place));
	if (place.host[0] != '/')
		return false;
	memset(&proxy, 0, sizeof(proxy));
	proxy.dir = env_temp_dir();
	address(&proxy.server, place.host,
	    place.port[0] != '\0' ? place.port : "5432");
	address(&own, proxy.dir, "5432");
	proxy.listener = socket_new();
	MUST(bind(proxy.listener, (struct sockaddr *)&own, sizeof(own)) == 0);
	MUST(listen(proxy.listener, 64) == 0);
	MUST(pthread_create(&proxy.thread, NULL, proxy_main, NULL) == 0);
	return true;
}

static void
proxy_stop(void)
{
	atomic_store(&proxy.stops, true);
	pthread_join(proxy.thread, NULL);
	close(proxy.listener);
	for (int i = 0; i < proxy.n; i++)
		pair_close(&proxy.pairs[i]);
	env_remove(proxy.dir);
}

/* What is open says nothing more from now on. */
static SUSPENDS void
proxy_mute(void)
{
	atomic_store(&proxy.mutes, true);
	while (atomic_load(&proxy.mutes))
		(void)fiber_sleep(1);
}

/* ---- The plugin ---------------------------------------------------- */

/* The server refuses it, since there are no tables: so it has answered. */
static SUSPENDS enum as_status
ask(struct store *s, uint64_t in_ms)
{
	const char *texts[] = { "SELECT 1 AS one" };
	struct guest_call call = { GUEST_QUERY, "toolkit_silent", texts, 1,
		NULL };
	uint64_t old = fiber_deadline();
	enum as_status st;

	fiber_deadline_set(loop_now_ms(env.loop) + in_ms);
	st = guest_run(s, &call, NULL, NULL, NULL);
	fiber_deadline_set(old);
	return st;
}

static bool
has_idle(struct store_db *db)
{
	struct pg_guests *q = &pg_db_of(db)->guests;
	bool idle;

	pthread_mutex_lock(&q->lock);
	idle = q->n_idle == q->n_threads;
	pthread_mutex_unlock(&q->lock);
	return idle;
}

static SUSPENDS void
silence(void *arg)
{
	struct store_db *db = arg;
	struct store *s = store_new(db, env.loop);
	uint64_t until;

	CU_ASSERT_EQUAL(ask(s, 10000), AS_INVALID);
	proxy_mute();
	CU_ASSERT_EQUAL(ask(s, 200), AS_TIMEOUT);
	until = loop_now_ms(env.loop) + BACK_MS;
	while (!has_idle(db) && loop_now_ms(env.loop) < until)
		(void)fiber_sleep(10);
	CU_ASSERT_TRUE_FATAL(has_idle(db));
	CU_ASSERT_EQUAL(ask(s, 10000), AS_INVALID);
	/* Nor does a process that ends wait for it. */
	proxy_mute();
	CU_ASSERT_EQUAL(ask(s, 200), AS_TIMEOUT);
	store_free(s);
}

SQL(PUT, "INSERT INTO node_settings (key, value) VALUES ('silent', 'x')");

/* The store is not up without readers either: a writer may still be. */
static bool
any_up(struct store *store)
{
	const struct pg_store *s = pg_store_of(store);
	bool up = false;

	for (unsigned i = 0; i < s->n_conns; i++)
		up |= s->conns[i].state == PG_UP;
	return up;
}

/* It was not sent, and who asked is told so before he leaves. */
static SUSPENDS void
asleep(void *arg)
{
	struct store *s = store_new(arg, env.loop);
	struct json_object *unknown = NULL;
	struct error err = { 0 };

	while (!store_is_up(s))
		(void)fiber_sleep(5);
	atomic_store(&proxy.sleeps, true);
	while (any_up(s))
		(void)fiber_sleep(5);
	CU_ASSERT_EQUAL(store_exec(s, &PUT, NULL, 0, NULL, &err),
	    AS_UNAVAILABLE);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.detail, "waited too long"));
	CU_ASSERT_FALSE(
	    json_object_object_get_ex(err.extra, "unknown", &unknown));
	error_clear(&err);
	store_free(s);
}

static void
behind_proxy(void (*fn)(void *), int64_t timeout_ms)
{
	struct store_config config = env.config;
	struct store_db *db = NULL;

	if (!env_ready())
		return;
	config.statement_timeout_ms = timeout_ms;
	if (!proxy_start()) {
		tap_skip("the server has no socket in a folder");
		return;
	}
	config.url = xasprintf(strstr(env.url, "://") != NULL
				   ? "%s&host=%s&port=5432"
				   : "%s host=%s port=5432",
	    env.url, proxy.dir);
	MUST(store_db_open(&config, &db, NULL) == AS_OK);
	env_run(fn, db);
	store_db_close(db);
	proxy_stop();
	free((void *)(uintptr_t)config.url);
}

static void
test_silence(void)
{
	behind_proxy(silence, 10000);
}

static void
test_asleep(void)
{
	behind_proxy(asleep, 2000);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "a write while nobody answers", test_asleep },
		{ "a plugin behind a silent proxy", test_silence },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "postgres", env_postgres_open, env_close, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
