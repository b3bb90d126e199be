/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/sentinel.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/loop/fiber.h"
#include "tests/tap.h"

/*
 * Who is the master, by sentinels that are dead, lie, or know nothing: servers
 * of the test's own, which say what it tells them.
 */

#define WAIT_MS 30000
#define PEERS 16

struct server {
	int fd;
	struct loop_watch *watch;
	uint16_t port;
	const char *role; /* as Redis */
	const struct server *master; /* as a sentinel; NULL: it knows none */
	const char *nonsense; /* said instead */
	int peers[PEERS], n_peers; /* connections; -1: it is over */
	struct loop_watch *watches[PEERS];
	int asked; /* for a master */
	char login[64]; /* "USER PASSWORD", the last one that came */
};

static struct loop *loop;
static struct server masters[2], sentinels[3];
static struct sentinels *all;
static struct redis *redis;
static int ups, downs;

/* ---- Servers ------------------------------------------------------- */

/* What stands behind AUTH, with blanks between. */
static void
login_read(const char *command, char *out, size_t size)
{
	const char *at = strchr(strstr(command, "AUTH"), '$');
	size_t len = 0;

	out[0] = '\0';
	for (; at != NULL; at = strchr(at, '$')) {
		at = strchr(at, '\n') + 1;
		len += (size_t)snprintf(out + len, size - len, "%s%.*s",
		    len > 0 ? " " : "", (int)strcspn(at, "\r"), at);
		MUST(len < size);
	}
}

static void
answer(struct server *s, const char *command, struct buf *out)
{
	if (strstr(command, "AUTH") != NULL) {
		login_read(command, s->login, sizeof(s->login));
		buf_add_str(out, "+OK\r\n");
	} else if (strstr(command, "PING") != NULL)
		buf_add_str(out, "+PONG\r\n");
	else if (strstr(command, "ROLE") != NULL)
		buf_printf(out, "*1\r\n$%zu\r\n%s\r\n", strlen(s->role),
		    s->role);
	else if (strstr(command, "SENTINEL") != NULL) {
		s->asked++;
		if (s->nonsense != NULL)
			buf_add_str(out, s->nonsense);
		else if (s->master == NULL)
			buf_add_str(out, "*-1\r\n");
		else
			buf_printf(out,
			    "*2\r\n$9\r\n127.0.0.1\r\n$5\r\n%05u\r\n",
			    s->master->port);
	} else
		buf_add_str(out, "-ERR unknown\r\n");
}

static void
on_command(int fd, int what, void *arg)
{
	struct server *s = arg;
	struct buf out = { 0 };
	char bytes[4096], *at, *next;
	ssize_t n = recv(fd, bytes, sizeof(bytes) - 1, 0);

	(void)what;
	if (n <= 0) {
		for (int i = 0; i < s->n_peers; i++)
			if (s->peers[i] == fd) {
				loop_watch_free(s->watches[i]);
				close(fd);
				s->peers[i] = -1;
			}
		return;
	}
	bytes[n] = '\0';
	for (at = bytes; at != NULL && *at == '*'; at = next) {
		next = strchr(at + 1, '*');
		if (next != NULL)
			next[-1] = '\0';
		answer(s, at, &out);
	}
	CU_ASSERT_EQUAL(send(fd, out.data, out.len, MSG_NOSIGNAL),
	    (ssize_t)out.len);
	buf_free(&out);
}

static void
on_peer(int fd, int what, void *arg)
{
	struct server *s = arg;
	int peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	CU_ASSERT_TRUE_FATAL(peer >= 0 && s->n_peers < PEERS);
	s->peers[s->n_peers] = peer;
	s->watches[s->n_peers++] = loop_watch(loop, peer, LOOP_READ, on_command,
	    s);
}

static void
server_open(struct server *s)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_port = htons(s->port),
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(at);
	int one = 1;

	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	MUST(bind(s->fd, (struct sockaddr *)&at, len) == 0);
	MUST(listen(s->fd, 8) == 0);
	MUST(getsockname(s->fd, (struct sockaddr *)&at, &len) == 0);
	s->port = ntohs(at.sin_port);
	s->watch = loop_watch(loop, s->fd, LOOP_READ, on_peer, s);
}

static void
server_close(struct server *s)
{
	if (s->watch == NULL)
		return;
	for (int i = 0; i < s->n_peers; i++)
		if (s->peers[i] >= 0) {
			loop_watch_free(s->watches[i]);
			close(s->peers[i]);
		}
	loop_watch_free(s->watch);
	close(s->fd);
	s->watch = NULL;
	s->n_peers = 0;
}

/* ---- The one that looks for its master ----------------------------- */

static void
on_up(void *arg)
{
	(void)arg;
	ups++;
}

static void
on_down(void *arg)
{
	(void)arg;
	downs++;
}

static void
on_moved(void *arg)
{
	(void)arg;
	redis_hint(redis);
}

static SUSPENDS bool
is_so(bool (*check)(void *arg), void *arg)
{
	uint64_t until = loop_now_ms(loop) + WAIT_MS;

	while (!check(arg) && loop_now_ms(loop) < until)
		(void)fiber_sleep(2);
	return check(arg);
}

static int
peers_of(const struct server *s)
{
	int n = 0;

	for (int i = 0; i < s->n_peers; i++)
		n += s->peers[i] >= 0 ? 1 : 0;
	return n;
}

static bool
is_at(void *arg)
{
	return redis_is_up(redis) && peers_of(arg) == 1;
}

static bool
is_asked_again(void *arg)
{
	struct server *s = arg;

	return s->asked >= 3;
}

/* All have said what they say now, and it has had its effect. */
static SUSPENDS bool
all_asked(void)
{
	bool ok = true;

	for (int i = 0; i < 3; i++)
		sentinels[i].asked = 0;
	for (int i = 0; i < 3; i++)
		ok = ok && (sentinels[i].watch == NULL ||
			       is_so(is_asked_again, &sentinels[i]));
	return ok;
}

static void
run(fiber_fn fn)
{
	static const struct redis_ops ops = { .up = on_up, .down = on_down };
	static const struct redis_login login = { "watcher", "of sentinels" };
	struct redis_config c = { .password = "of redis" };
	char url[160];

	loop = loop_new();
	memset(masters, 0, sizeof(masters));
	memset(sentinels, 0, sizeof(sentinels));
	ups = downs = 0;
	for (int i = 0; i < 2; i++) {
		server_open(&masters[i]);
		masters[i].role = "master";
	}
	for (int i = 0; i < 3; i++) {
		server_open(&sentinels[i]);
		sentinels[i].master = &masters[0];
	}
	snprintf(url, sizeof(url),
	    "redis+sentinel://127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u/main",
	    sentinels[0].port, sentinels[1].port, sentinels[2].port);
	CU_ASSERT_EQUAL_FATAL(redis_url_parse(url, &c.url, NULL), AS_OK);
	CU_ASSERT_EQUAL(c.url.n_sentinels, 3);
	all = sentinels_new(loop, NULL, &c.url, &login, on_moved, NULL);
	c.loop = loop;
	c.sentinels = all;
	redis = redis_new(&c, &ops, NULL);
	fiber_spawn(loop, "test", fn, NULL);
	loop_run(loop);
	redis_free(redis);
	sentinels_free(all);
	for (int i = 0; i < 2; i++)
		server_close(&masters[i]);
	for (int i = 0; i < 3; i++)
		server_close(&sentinels[i]);
	loop_drain(loop);
	loop_free(loop);
}

static void
found_fiber(void *arg)
{
	(void)arg;
	CU_ASSERT_TRUE(is_so(is_at, &masters[0]));
	CU_ASSERT_STRING_EQUAL(masters[0].login, "of redis");
	CU_ASSERT_TRUE(all_asked());
	for (int i = 0; i < 3; i++)
		CU_ASSERT_STRING_EQUAL(sentinels[i].login,
		    "watcher of sentinels");
	CU_ASSERT_EQUAL(ups, 1);
	loop_stop(loop);
}

static void
test_found(void)
{
	run(found_fiber);
}

/* Two are dead from the beginning, then the last one. */
static void
dead_fiber(void *arg)
{
	(void)arg;
	server_close(&sentinels[0]);
	server_close(&sentinels[2]);
	CU_ASSERT_TRUE(is_so(is_at, &masters[0]));
	server_close(&sentinels[1]);
	CU_ASSERT_FALSE(sentinels_deny(all, "127.0.0.1", masters[0].port));
	CU_ASSERT_TRUE(redis_is_up(redis));
	/* They come back and know better. */
	for (int i = 0; i < 3; i++) {
		sentinels[i].master = &masters[1];
		server_open(&sentinels[i]);
	}
	CU_ASSERT_TRUE(is_so(is_at, &masters[1]));
	loop_stop(loop);
}

static void
test_dead(void)
{
	run(dead_fiber);
}

/* One names another server, which says it is a master. */
static void
liar_fiber(void *arg)
{
	(void)arg;
	sentinels[0].master = &masters[1];
	CU_ASSERT_TRUE(is_so(is_at, &masters[0]));
	CU_ASSERT_TRUE(all_asked());
	CU_ASSERT_EQUAL(peers_of(&masters[1]), 0);
	CU_ASSERT_EQUAL(downs, 0);
	/* Nor when it begins to lie later, and another says nonsense. */
	sentinels[0].master = &masters[0];
	CU_ASSERT_TRUE(all_asked());
	sentinels[2].master = &masters[1];
	sentinels[1].nonsense = "*2\r\n$1\r\nx\r\n$1\r\n0\r\n";
	CU_ASSERT_TRUE(all_asked());
	CU_ASSERT_EQUAL(peers_of(&masters[1]), 0);
	CU_ASSERT_EQUAL(downs, 0);
	sentinels[1].nonsense = "-NOAUTH Authentication required.\r\n";
	CU_ASSERT_TRUE(is_so(is_at, &masters[0]));
	loop_stop(loop);
}

static void
test_liar(void)
{
	run(liar_fiber);
}

/* The master that they name is a replica as yet. */
static void
role_fiber(void *arg)
{
	(void)arg;
	masters[0].role = "slave";
	CU_ASSERT_TRUE(all_asked());
	CU_ASSERT_FALSE(redis_is_up(redis));
	CU_ASSERT_STRING_EQUAL(redis_why(redis), "it is not the master");
	masters[0].role = "master";
	CU_ASSERT_TRUE(is_so(is_at, &masters[0]));
	loop_stop(loop);
}

static void
test_role(void)
{
	run(role_fiber);
}

/* One names a replica: without a majority each is tried. */
static void
torn_fiber(void *arg)
{
	(void)arg;
	server_close(&sentinels[2]);
	masters[0].role = "slave";
	sentinels[1].master = &masters[1];
	CU_ASSERT_TRUE(is_so(is_at, &masters[1]));
	loop_stop(loop);
}

static void
test_torn(void)
{
	run(torn_fiber);
}

/* The old master lives on, cut off from the others. */
static void
moved_fiber(void *arg)
{
	(void)arg;
	CU_ASSERT_TRUE(is_so(is_at, &masters[0]));
	sentinels[0].master = &masters[1];
	CU_ASSERT_TRUE(all_asked());
	CU_ASSERT_EQUAL(peers_of(&masters[0]), 1);
	sentinels[1].master = &masters[1];
	CU_ASSERT_TRUE(is_so(is_at, &masters[1]));
	CU_ASSERT_EQUAL(peers_of(&masters[0]), 0);
	loop_stop(loop);
}

static void
test_moved(void)
{
	run(moved_fiber);
}

/* They know none: it waits, and says so. */
static void
none_fiber(void *arg)
{
	(void)arg;
	for (int i = 0; i < 3; i++)
		sentinels[i].master = NULL;
	CU_ASSERT_TRUE(all_asked());
	CU_ASSERT_FALSE(redis_is_up(redis));
	for (int i = 0; i < 3; i++)
		sentinels[i].master = &masters[0];
	CU_ASSERT_TRUE(is_so(is_at, &masters[0]));
	loop_stop(loop);
}

static void
test_none(void)
{
	run(none_fiber);
}

static void
test_urls(void)
{
	static const char *const bad[] = { "redis+sentinel://h",
		"redis+sentinel://h/", "redis+sentinel:///main",
		"redis+sentinel://a,,b/main", "redis+sentinel://a,b:0/main",
		"redis+sentinel://me:secret@a/main",
		"redis+sentinel://a/main/x", "redis+sentinel://a/main/-1",
		"redis+sentinel://a,b,c,d,e,f,g,h,i,j/main" };
	struct redis_url u;

	CU_ASSERT_EQUAL(redis_url_parse("redis+sentinel://me@a,[::1]:7/main/3",
			    &u, NULL),
	    AS_OK);
	CU_ASSERT_STRING_EQUAL(u.user, "me");
	CU_ASSERT_EQUAL(u.n_sentinels, 2);
	CU_ASSERT_STRING_EQUAL(u.sentinels[0].host, "a");
	CU_ASSERT_EQUAL(u.sentinels[0].port, 26379);
	CU_ASSERT_STRING_EQUAL(u.sentinels[1].host, "::1");
	CU_ASSERT_EQUAL(u.sentinels[1].port, 7);
	CU_ASSERT_STRING_EQUAL(u.master, "main");
	CU_ASSERT_EQUAL(u.db, 3);
	for (size_t i = 0; i < N_ITEMS(bad); i++)
		if (redis_url_parse(bad[i], &u, NULL) == AS_OK) {
			tap_note("%s", bad[i]);
			CU_FAIL("nonsense is taken");
		}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "where they are", test_urls },
		{ "the master is found", test_found },
		{ "dead sentinels", test_dead },
		{ "a sentinel that lies", test_liar },
		{ "a master that is none", test_role },
		{ "without a majority", test_torn },
		{ "the master is another one", test_moved },
		{ "they know none", test_none },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "sentinels", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	return tap_run(suites);
}
