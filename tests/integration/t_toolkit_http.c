/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/fiber.h"
#include "core/loop/loop.h"
#include "tests/integration/plug_env.h"
#include "tests/tap.h"

/*
 * What toolkit_http says about a request that failed: did it happen, perhaps?
 * The other side is a socket that answers by path, and one that nobody listens
 * at.
 */

#define CONF \
	"plugins : { toolkit_http : {\n" \
	"  allow = [ \"127.0.0.1:%d\", \"127.0.0.1:%d\" ]; }; };\n"
#define DEADLINE_MS 1000

static struct {
	int fd, port;
	int deaf_fd, deaf_port;
	pthread_t thread;
	atomic_int requests;
} peer;

/* ---- The other side ------------------------------------------------- */

static void
say(int fd, const char *s)
{
	if (send(fd, s, strlen(s), MSG_NOSIGNAL) < 0)
		perror("send");
}

static void
wait_for_close(int fd)
{
	char byte;

	while (recv(fd, &byte, 1, 0) > 0)
		continue;
}

static void
serve(int fd, const char *path)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	if (strcmp(path, "/ok") == 0)
		say(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nfine");
	else if (strcmp(path, "/no") == 0)
		say(fd, "HTTP/1.1 400 No\r\nConnection: close\r\n\r\nbad");
	else if (strcmp(path, "/garbage") == 0)
		say(fd, "SSH-2.0-OpenSSH_9.2\r\n\r\n");
	else if (strcmp(path, "/reset") == 0)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	else if (strcmp(path, "/hang") == 0)
		wait_for_close(fd);
	else if (strcmp(path, "/short") == 0)
		say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
	else if (strcmp(path, "/stuck") == 0) {
		say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
		wait_for_close(fd);
	}
	/* "/close": as it is. */
}

/* A request without a body; false: that was none. */
static bool
hear(int fd, char path[64])
{
	char text[4096];
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, text + len, sizeof(text) - 1 - len, 0)) > 0) {
		len += (size_t)n;
		text[len] = '\0';
		if (text[0] == 0x16) /* TLS, which this is not */
			return false;
		if (strstr(text, "\r\n\r\n") != NULL)
			return sscanf(text, "%*s %63s", path) == 1;
	}
	return false;
}

static void *
peer_main(void *arg)
{
	char path[64];
	int fd;

	while ((fd = accept(peer.fd, NULL, NULL)) >= 0) {
		if (hear(fd, path)) {
			atomic_fetch_add(&peer.requests, 1);
			serve(fd, path);
		}
		close(fd);
	}
	return arg;
}

static int
bound(int *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(sin);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	MUST(bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0);
	MUST(getsockname(fd, (struct sockaddr *)&sin, &len) == 0);
	*port = ntohs(sin.sin_port);
	return fd;
}

static void
with_peer(void (*body)(struct plug_env *env))
{
	char conf[256];

	peer.fd = bound(&peer.port);
	peer.deaf_fd = bound(&peer.deaf_port);
	MUST(listen(peer.fd, 16) == 0);
	MUST(pthread_create(&peer.thread, NULL, peer_main, NULL) == 0);
	snprintf(conf, sizeof(conf), CONF, peer.port, peer.deaf_port);
	plug_env_run(conf, 0, body);
	plug_env_run(conf, ENV_LOOPBACK, body);
	shutdown(peer.fd, SHUT_RDWR);
	pthread_join(peer.thread, NULL);
	close(peer.fd);
	close(peer.deaf_fd);
}

/* ---- The tool ------------------------------------------------------- */

enum made {
	NEVER, /* it surely did not happen */
	PERHAPS
};

static void
expect(struct plug_env *env, const char *method, const char *url,
    enum as_status want, enum made made)
{
	int before = atomic_load(&peer.requests);
	struct error err = { 0 };
	char args[200], *text = NULL;
	enum as_status st;
	bool maybe;

	snprintf(args, sizeof(args), "{\"method\":\"%s\",\"url\":\"%s\"}",
	    method, url);
	fiber_deadline_set(loop_now_ms(env->loop) + DEADLINE_MS);
	st = plug_env_tool(env, "http_request", args, &text, &err);
	fiber_deadline_set(0);
	maybe = jget_bool(err.extra, "maybe_done", false);
	if (st != want || maybe != (made == PERHAPS))
		tap_note("%s %s: %d %s, maybe_done %d", method, url, (int)st,
		    err.detail, maybe);
	CU_ASSERT_EQUAL(st, want);
	CU_ASSERT_EQUAL(maybe, made == PERHAPS);
	CU_ASSERT_EQUAL(atomic_load(&peer.requests) - before, made == PERHAPS);
	CU_ASSERT_PTR_NULL(text);
	error_clear(&err);
}

static const char *
url(const char *scheme, int port, const char *path)
{
	static char text[100];

	snprintf(text, sizeof(text), "%s://127.0.0.1:%d%s", scheme, port, path);
	return text;
}

static const char *const methods[] = { "GET", "PUT", "POST" };

static void
body_unsent(struct plug_env *env)
{
	for (size_t i = 0; i < N_ITEMS(methods); i++) {
		expect(env, methods[i], url("http", peer.deaf_port, "/"),
		    AS_UNAVAILABLE, NEVER);
		expect(env, methods[i], url("https", peer.port, "/close"),
		    AS_UNAVAILABLE, NEVER);
		expect(env, methods[i], url("http", env->port, "/json"),
		    AS_FORBIDDEN, NEVER);
	}
	expect(env, "POST", "http://nothing.invalid/", AS_UNAVAILABLE, NEVER);
	expect(env, "POST", "ftp://127.0.0.1/", AS_INVALID, NEVER);
}

static void
test_unsent(void)
{
	with_peer(body_unsent);
}

static void
body_sent(struct plug_env *env)
{
	for (size_t i = 0; i < N_ITEMS(methods); i++) {
		expect(env, methods[i], url("http", peer.port, "/close"),
		    AS_UNAVAILABLE, PERHAPS);
		expect(env, methods[i], url("http", peer.port, "/reset"),
		    AS_UNAVAILABLE, PERHAPS);
		expect(env, methods[i], url("http", peer.port, "/garbage"),
		    AS_UPSTREAM, PERHAPS);
		expect(env, methods[i], url("http", peer.port, "/short"),
		    AS_UPSTREAM, PERHAPS);
	}
}

static void
test_sent(void)
{
	with_peer(body_sent);
}

static void
body_silent(struct plug_env *env)
{
	expect(env, "POST", url("http", peer.port, "/hang"), AS_TIMEOUT,
	    PERHAPS);
	expect(env, "GET", url("http", peer.port, "/stuck"), AS_TIMEOUT,
	    PERHAPS);
}

static void
test_silent(void)
{
	with_peer(body_silent);
}

/* An answer is an answer, whatever it says. */
static void
body_answered(struct plug_env *env)
{
	static const char *const paths[] = { "/ok", "/no" };
	struct error err = { 0 };
	char args[200], *text;

	for (size_t i = 0; i < N_ITEMS(paths); i++) {
		snprintf(args, sizeof(args),
		    "{\"method\":\"POST\",\"url\":\"%s\"}",
		    url("http", peer.port, paths[i]));
		CU_ASSERT_EQUAL(plug_env_tool(env, "http_request", args, &text,
				    &err),
		    AS_OK);
		CU_ASSERT_PTR_NOT_NULL_FATAL(text);
		CU_ASSERT_PTR_NOT_NULL(
		    strstr(text, i == 0 ? "\"fine\"" : "\"status\":400"));
		free(text);
		error_clear(&err);
	}
}

static void
test_answered(void)
{
	with_peer(body_answered);
}

/* ---- What a call does ----------------------------------------------- */

static void
body_effects(struct plug_env *env)
{
	static const struct {
		const char *args;
		enum as_effect effect;
	} calls[] = {
		{ "{}", AS_EFFECT_NONE }, /* a GET */
		{ "{\"method\":\"GET\"}", AS_EFFECT_NONE },
		{ "{\"method\":\"HEAD\"}", AS_EFFECT_NONE },
		{ "{\"method\":\"OPTIONS\"}", AS_EFFECT_NONE },
		{ "{\"method\":\"PUT\"}", AS_EFFECT_REPEAT },
		{ "{\"method\":\"DELETE\"}", AS_EFFECT_REPEAT },
		{ "{\"method\":\"POST\"}", AS_EFFECT_ONCE },
		{ "{\"method\":\"PATCH\"}", AS_EFFECT_ONCE },
		{ "{\"method\":null}", AS_EFFECT_ONCE },
	};
	const struct plug_tool_info *info = plug_tool_find(env->plug,
	    "http_request");
	struct json_object *args = NULL;

	CU_ASSERT_PTR_NOT_NULL_FATAL(info);
	CU_ASSERT_EQUAL(info->effect, AS_EFFECT_ONCE);
	for (size_t i = 0; i < N_ITEMS(calls); i++) {
		MUST(json_parse(calls[i].args, strlen(calls[i].args), &args,
			 NULL) == AS_OK);
		if (plug_tool_effect(info, args) != calls[i].effect)
			tap_note("%s", calls[i].args);
		CU_ASSERT_EQUAL(plug_tool_effect(info, args), calls[i].effect);
		json_object_put(args);
	}
	CU_ASSERT_EQUAL(plug_tool_effect(info, NULL), AS_EFFECT_ONCE);
}

static void
test_effects(void)
{
	with_peer(body_effects);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "a method decides what a call does", test_effects },
		{ "never sent: it did not happen", test_unsent },
		{ "sent, and closed: it may have happened", test_sent },
		{ "sent, and silence: it may have happened", test_silent },
		{ "answered", test_answered },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "toolkit_http", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};

	log_configure("error");
	return tap_run(suites);
}
