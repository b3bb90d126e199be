/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/redis.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/bus/redis_look.h"
#include "core/loop/fiber.h"
#include "core/loop/pool.h"
#include "tests/integration/redis_env.h"
#include "tests/tap.h"

/* The client: a server that goes and comes, refuses, hangs, talks nonsense. */

#define WAIT_MS 30000

static struct loop *loop;
static struct pool *pool;

struct client {
	struct redis *r;
	struct fiber_wait wait;
	int ups, downs, answers, lost, pushes;
	char last[64]; /* answer or message */
	long long number;
};

static void
woken(struct client *c)
{
	fiber_wake(c->wait);
}

static void
on_up(void *arg)
{
	struct client *c = arg;

	c->ups++;
	woken(c);
}

static void
on_down(void *arg)
{
	struct client *c = arg;

	c->downs++;
	woken(c);
}

static void
on_push(void *arg, const redisReply *r)
{
	struct client *c = arg;

	if (r->elements == 3 && strcmp(r->element[0]->str, "message") == 0)
		snprintf(c->last, sizeof(c->last), "%s", r->element[2]->str);
	c->pushes++;
	woken(c);
}

static void
on_answer(const redisReply *r, void *arg)
{
	struct client *c = arg;

	if (r == NULL)
		c->lost++;
	else {
		c->answers++;
		c->number = r->integer;
		snprintf(c->last, sizeof(c->last), "%s",
		    r->str != NULL ? r->str : "");
	}
	woken(c);
}

static const struct redis_ops ops = { .up = on_up,
	.down = on_down,
	.push = on_push };

static void
client_open(struct client *c, const char *url, const char *password,
    const struct redis_config *more)
{
	struct redis_config config = { 0 };

	memset(c, 0, sizeof(*c));
	if (more != NULL)
		config = *more;
	config.loop = loop;
	config.pool = pool;
	config.password = password;
	CU_ASSERT_EQUAL_FATAL(redis_url_parse(url, &config.url, NULL), AS_OK);
	c->r = redis_new(&config, &ops, c);
}

/* Until *n is at least want. */
static SUSPENDS bool
reaches(struct client *c, const int *n, int want)
{
	uint64_t until = loop_now_ms(loop) + WAIT_MS;

	while (*n < want) {
		c->wait = fiber_prepare();
		if (fiber_suspend(until) != FIBER_WOKEN)
			break;
	}
	return *n >= want;
}

static bool
say(struct client *c, const char *a, const char *b, const char *d)
{
	struct redis_arg args[3] = { REDIS_STR(a), { b, b ? strlen(b) : 0 },
		{ d, d ? strlen(d) : 0 } };

	return redis_send(c->r, args, d ? 3 : b ? 2 : 1, on_answer, c);
}

static void
run(fiber_fn fn)
{
	loop = loop_new();
	pool = pool_new(1, 4);
	fiber_spawn(loop, "test", fn, NULL);
	loop_run(loop);
	loop_drain(loop);
	pool_free(pool);
	loop_free(loop);
}

static void
answers_fiber(void *arg)
{
	struct client c, s;
	const struct redis_arg sub[] = { REDIS_STR("SUBSCRIBE"),
		REDIS_STR("news") };
	const struct redis_config subscribes = { .subscribes = true };

	(void)arg;
	client_open(&c, redis_env_url(), "", NULL);
	CU_ASSERT_FALSE(redis_is_up(c.r));
	CU_ASSERT_FALSE(say(&c, "PING", NULL, NULL)); /* never kept */
	CU_ASSERT_TRUE(reaches(&c, &c.ups, 1));
	CU_ASSERT_TRUE(say(&c, "SET", "k", "v w"));
	CU_ASSERT_TRUE(say(&c, "GET", "k", NULL));
	CU_ASSERT_TRUE(reaches(&c, &c.answers, 2));
	CU_ASSERT_STRING_EQUAL(c.last, "v w");
	CU_ASSERT_TRUE(say(&c, "NONSENSE", NULL, NULL)); /* an error is one */
	CU_ASSERT_TRUE(reaches(&c, &c.answers, 3));
	CU_ASSERT_TRUE(redis_is_up(c.r));
	client_open(&s, redis_env_url(), "", &subscribes);
	CU_ASSERT_TRUE(reaches(&s, &s.ups, 1));
	CU_ASSERT_TRUE(redis_send(s.r, sub, 2, NULL, NULL));
	CU_ASSERT_TRUE(reaches(&s, &s.pushes, 1));
	CU_ASSERT_TRUE(say(&c, "PUBLISH", "news", "hello"));
	CU_ASSERT_TRUE(reaches(&s, &s.pushes, 2));
	CU_ASSERT_STRING_EQUAL(s.last, "hello");
	CU_ASSERT_TRUE(reaches(&c, &c.answers, 4));
	CU_ASSERT_EQUAL(c.number, 1);
	CU_ASSERT_TRUE(say(&c, "PING", NULL, NULL));
	redis_free(c.r); /* what is due is lost, and told */
	CU_ASSERT_EQUAL(c.lost, 1);
	CU_ASSERT_EQUAL(c.downs, 0);
	redis_free(s.r);
	redis_free(NULL);
	loop_stop(loop);
}

static void
test_answers(void)
{
	if (!redis_env_start(NULL))
		return;
	run(answers_fiber);
	redis_env_stop();
}

static void
restarts_fiber(void *arg)
{
	struct client c;

	(void)arg;
	client_open(&c, redis_env_url(), "", NULL);
	CU_ASSERT_TRUE(reaches(&c, &c.ups, 1));
	for (int i = 1; i <= 3; i++) {
		CU_ASSERT_TRUE(say(&c, "BLPOP", "never", "0"));
		redis_env_kill();
		CU_ASSERT_TRUE(reaches(&c, &c.downs, i));
		CU_ASSERT_EQUAL(c.lost, i);
		CU_ASSERT_FALSE(redis_is_up(c.r));
		CU_ASSERT_TRUE(redis_why(c.r)[0] != '\0');
		CU_ASSERT_FALSE(say(&c, "PING", NULL, NULL));
		redis_env_again(NULL);
		CU_ASSERT_TRUE(reaches(&c, &c.ups, i + 1));
		CU_ASSERT_STRING_EQUAL(redis_why(c.r), "");
	}
	redis_free(c.r);
	loop_stop(loop);
}

static void
test_restarts(void)
{
	if (!redis_env_start(NULL))
		return;
	run(restarts_fiber);
	redis_env_stop();
}

/*
 * A short absence is not slept through: tries come quickly for as long as
 * nobody is told.  Twelve of them take 0.6 s then, else about 8 s.
 */
#define TRIES 12
#define TRIES_MS 4000

static int door;
static atomic_int tries;

static void *
turn_away(void *arg)
{
	int fd;

	(void)arg;
	while ((fd = accept(door, NULL, NULL)) >= 0) {
		atomic_fetch_add(&tries, 1);
		close(fd);
	}
	return NULL;
}

static void
hurries_fiber(void *arg)
{
	const struct redis_config hurries = { .hurry_ms = WAIT_MS };
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	pthread_t thread;
	struct client c;
	uint64_t from;

	(void)arg;
	client_open(&c, redis_env_url(), "", &hurries);
	CU_ASSERT_TRUE(reaches(&c, &c.ups, 1));
	redis_env_kill();
	snprintf(at.sun_path, sizeof(at.sun_path), "%s",
	    redis_env_url() + strlen("unix://"));
	door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(bind(door, (struct sockaddr *)&at, sizeof(at)) == 0);
	MUST(listen(door, 8) == 0);
	MUST(pthread_create(&thread, NULL, turn_away, NULL) == 0);
	from = loop_now_ms(loop);
	while (
	    atomic_load(&tries) < TRIES && loop_now_ms(loop) - from < WAIT_MS)
		fiber_sleep(10);
	CU_ASSERT_TRUE(loop_now_ms(loop) - from < TRIES_MS);
	redis_free(c.r);
	shutdown(door, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(door);
	loop_stop(loop);
}

static void
test_hurries(void)
{
	if (!redis_env_start(NULL))
		return;
	run(hurries_fiber);
	redis_env_stop();
}

/* It is there and takes connections, but does not answer. */
static void
hangs_fiber(void *arg)
{
	const struct redis_config subscribes = { .subscribes = true };
	struct client c, s;

	(void)arg;
	client_open(&c, redis_env_url(), "", NULL);
	client_open(&s, redis_env_url(), "", &subscribes);
	CU_ASSERT_TRUE(reaches(&c, &c.ups, 1));
	CU_ASSERT_TRUE(reaches(&s, &s.ups, 1));
	redis_env_signal(SIGSTOP);
	CU_ASSERT_TRUE(reaches(&c, &c.downs, 1));
	CU_ASSERT_TRUE(reaches(&s, &s.downs, 1));
	CU_ASSERT_STRING_EQUAL(redis_why(c.r), "it does not answer");
	redis_env_signal(SIGCONT);
	CU_ASSERT_TRUE(reaches(&c, &c.ups, 2));
	CU_ASSERT_TRUE(reaches(&s, &s.ups, 2));
	redis_free(c.r);
	redis_free(s.r);
	loop_stop(loop);
}

static void
test_hangs(void)
{
	if (!redis_env_start(NULL))
		return;
	run(hangs_fiber);
	redis_env_stop();
}

static SUSPENDS bool
why_is(struct client *c, const char *word)
{
	uint64_t until = loop_now_ms(loop) + WAIT_MS;

	while (
	    strstr(redis_why(c->r), word) == NULL && loop_now_ms(loop) < until)
		(void)fiber_sleep(5);
	return strstr(redis_why(c->r), word) != NULL;
}

static void
password_fiber(void *arg)
{
	char *with_db = xasprintf("%s?db=3", redis_env_url());
	struct client wrong, none, right;

	(void)arg;
	client_open(&wrong, redis_env_url(), "open", NULL);
	client_open(&none, redis_env_url(), "", NULL);
	client_open(&right, with_db, "sesame", NULL);
	CU_ASSERT_TRUE(reaches(&right, &right.ups, 1));
	CU_ASSERT_TRUE(say(&right, "CLIENT", "LIST", NULL));
	CU_ASSERT_TRUE(say(&right, "SET", "here", "1"));
	CU_ASSERT_TRUE(reaches(&right, &right.answers, 2));
	CU_ASSERT_TRUE(why_is(&wrong, "WRONGPASS"));
	CU_ASSERT_TRUE(why_is(&none, "NOAUTH"));
	CU_ASSERT_EQUAL(wrong.ups + none.ups, 0);
	redis_free(wrong.r);
	redis_free(none.r);
	redis_free(right.r);
	free(with_db);
	loop_stop(loop);
}

static void
test_password(void)
{
	char *got;

	if (!redis_env_start("sesame"))
		return;
	run(password_fiber);
	got = redis_env_ask("-n 3 EXISTS here");
	CU_ASSERT_STRING_EQUAL(got, "1\n");
	free(got);
	redis_env_stop();
}

static void
full_fiber(void *arg)
{
	const struct redis_config small = { .max_bytes = 1000,
		.max_waiting = 10 };
	char text[600];
	struct client c;

	(void)arg;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	client_open(&c, redis_env_url(), "", &small);
	CU_ASSERT_TRUE(reaches(&c, &c.ups, 1));
	for (int i = 0; i < 10; i++)
		CU_ASSERT_TRUE(say(&c, "GET", "k", NULL));
	CU_ASSERT_FALSE(say(&c, "GET", "k", NULL)); /* too many */
	CU_ASSERT_TRUE(reaches(&c, &c.answers, 10));
	CU_ASSERT_TRUE(say(&c, "SET", "k", text));
	CU_ASSERT_FALSE(say(&c, "SET", "k", text)); /* too much */
	CU_ASSERT_TRUE(reaches(&c, &c.answers, 11));
	CU_ASSERT_TRUE(say(&c, "SET", "k", text)); /* it has left */
	CU_ASSERT_TRUE(reaches(&c, &c.answers, 12));
	redis_free(c.r);
	loop_stop(loop);
}

static void
test_full(void)
{
	if (!redis_env_start(NULL))
		return;
	run(full_fiber);
	redis_env_stop();
}

/* ---- A server that is none ----------------------------------------- */

static int listener;
static const char *nonsense;

static void *
speak(void *arg)
{
	char bytes[256];
	int fd;

	(void)arg;
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		if (recv(fd, bytes, sizeof(bytes), 0) > 0)
			(void)send(fd, nonsense, strlen(nonsense),
			    MSG_NOSIGNAL);
		(void)recv(fd, bytes, sizeof(bytes), 0);
		close(fd);
	}
	return NULL;
}

static void
nonsense_fiber(void *arg)
{
	static const char *const said[][2] = {
		{ "HTTP/1.1 400 Bad Request\r\n\r\n", "not the protocol" },
		{ "*-7\r\n", "not the protocol" },
		{ "$99999999999999999999\r\n", "not the protocol" },
		{ "-LOADING it is\r\n", "LOADING" },
		{ "+PONG\r\n+PONG\r\n", "was not asked" },
		/* Room for all that would be gigabytes. */
		{ "*2147483647\r\n", "not the protocol" },
		{ "*60000\r\n*60000\r\n", "not the protocol" },
	};
	struct redis_config quick = { .connect_ms = 300 };
	struct client c;

	nonsense = said[0][0];
	for (size_t i = 0; i < N_ITEMS(said); i++) {
		nonsense = said[i][0];
		client_open(&c, arg, "", &quick);
		CU_ASSERT_TRUE(why_is(&c, said[i][1]));
		redis_free(c.r);
	}
	nonsense = "$5\r\nhal"; /* and nothing more */
	client_open(&c, arg, "", &quick);
	CU_ASSERT_TRUE(why_is(&c, "in time"));
	redis_free(c.r);
	loop_stop(loop);
}

/* A sentinel whose master is not at a place: who looks from outside says so. */
static void
look_for_master(uint16_t port)
{
	static const struct redis_login nobody = { "", "" };
	struct redis_url url;
	struct redis_facts facts;
	struct error err = { 0 };
	char *text = xasprintf("redis+sentinel://localhost:%u/main", port);

	nonsense = "+PONG\r\n*2\r\n:1\r\n:2\r\n";
	CU_ASSERT_EQUAL_FATAL(redis_url_parse(text, &url, NULL), AS_OK);
	CU_ASSERT_EQUAL(redis_look(&url, "", &nobody, &facts, &err),
	    AS_UNAVAILABLE);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.detail, "knows of no master"));
	error_clear(&err);
	free(text);
}

static void
test_nonsense(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(at);
	pthread_t thread;
	char *url;

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(bind(listener, (struct sockaddr *)&at, len) == 0);
	MUST(listen(listener, 8) == 0);
	MUST(getsockname(listener, (struct sockaddr *)&at, &len) == 0);
	MUST(pthread_create(&thread, NULL, speak, NULL) == 0);
	url = xasprintf("redis://localhost:%d", ntohs(at.sin_port));
	loop = loop_new();
	pool = pool_new(1, 4);
	fiber_spawn(loop, "test", nonsense_fiber, url);
	loop_run(loop);
	loop_drain(loop);
	pool_free(pool);
	loop_free(loop);
	look_for_master(ntohs(at.sin_port));
	shutdown(listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(listener);
	free(url);
}

static void
nobody_fiber(void *arg)
{
	struct client name, port;

	(void)arg;
	client_open(&name, "redis://no-such-host.invalid", "", NULL);
	client_open(&port, "redis://127.0.0.1:1", "", NULL);
	CU_ASSERT_TRUE(why_is(&port, "cannot connect"));
	CU_ASSERT_TRUE(why_is(&name, "not known") || why_is(&name, "in time"));
	redis_free(name.r);
	redis_free(port.r);
	loop_stop(loop);
}

static void
test_nobody(void)
{
	run(nobody_fiber);
}

static void
test_urls(void)
{
	static const char *const bad[] = { "", "redis://", "redis://:1",
		"redis://h:0", "redis://h:65536", "redis://h:x", "redis://h/x",
		"redis://u:p@h", "redis://@h", "redis://[::1", "redis://[::1]x",
		"redis://h/-1", "rediss://h", "unix://", "unix://relative",
		"unix:///p?db=x", "unix:///p?x=1", "http://h" };
	struct redis_url u;

	for (size_t i = 0; i < N_ITEMS(bad); i++)
		if (redis_url_parse(bad[i], &u, NULL) == AS_OK) {
			tap_note("%s", bad[i]);
			CU_FAIL("a bad URL is taken");
		}
	CU_ASSERT_EQUAL(redis_url_parse("redis://h", &u, NULL), AS_OK);
	CU_ASSERT_STRING_EQUAL(u.host, "h");
	CU_ASSERT_EQUAL(u.port, 6379);
	CU_ASSERT_EQUAL(u.db, 0);
	CU_ASSERT_EQUAL(redis_url_parse("redis://me@10.0.0.1:7/4", &u, NULL),
	    AS_OK);
	CU_ASSERT_STRING_EQUAL(u.user, "me");
	CU_ASSERT_STRING_EQUAL(u.host, "10.0.0.1");
	CU_ASSERT_EQUAL(u.port, 7);
	CU_ASSERT_EQUAL(u.db, 4);
	CU_ASSERT_EQUAL(redis_url_parse("redis://[::1]:8/", &u, NULL), AS_OK);
	CU_ASSERT_STRING_EQUAL(u.host, "::1");
	CU_ASSERT_EQUAL(u.port, 8);
	CU_ASSERT_EQUAL(redis_url_parse("unix:///a/b?db=2", &u, NULL), AS_OK);
	CU_ASSERT_STRING_EQUAL(u.path, "/a/b");
	CU_ASSERT_EQUAL(u.db, 2);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "where it is", test_urls },
		{ "answers and messages", test_answers },
		{ "it is killed and comes back", test_restarts },
		{ "a short absence", test_hurries },
		{ "it hangs", test_hangs },
		{ "passwords and databases", test_password },
		{ "a full queue", test_full },
		{ "a server that is none", test_nonsense },
		{ "nobody is there", test_nobody },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "redis", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
