/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/far_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/loop/fiber.h"
#include "core/net/http_client.h"
#include "tests/tap.h"

/* See far_server.h. */

#define CHUNK \
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"

struct server *one, *two;

struct conn {
	struct server *srv;
	int fd;
	char text[65536];
	size_t len;
	int n; /* requests on this connection */
};

/* ---- The server ---------------------------------------------------- */

/* It has happened once more; far_until looks again. */
static void
count(struct server *s, atomic_int *what)
{
	atomic_fetch_add(what, 1);
	MUST(eventfd_write(s->changed, 1) == 0);
}

static bool
say(struct conn *c, const char *s, size_t len)
{
	ssize_t n;

	for (; len > 0; s += n, len -= (size_t)n) {
		if ((n = send(c->fd, s, len, MSG_NOSIGNAL)) <= 0)
			return false;
	}
	return true;
}

static bool
answer(struct conn *c, const char *status, const char *headers,
    const char *body)
{
	char head[1024];

	snprintf(head, sizeof(head),
	    "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status,
	    strlen(body), headers);
	if (strncmp(c->text, "HEAD ", 5) == 0)
		body = "";
	return say(c, head, strlen(head)) && say(c, body, strlen(body));
}

/* Until the peer closes. */
static void
wait_for_close(struct conn *c)
{
	char byte;

	while (recv(c->fd, &byte, 1, 0) > 0)
		;
	count(c->srv, &c->srv->aborted);
}

static void
flood(struct conn *c)
{
	static const char zeros[65536];
	struct pollfd p = { .fd = c->fd, .events = POLLOUT };
	char head[100];
	ssize_t n;
	size_t left = FLOOD;

	snprintf(head, sizeof(head),
	    "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", FLOOD);
	say(c, head, strlen(head));
	while (left > 0) {
		if (poll(&p, 1, 200) == 0) {
			count(c->srv, &c->srv->blocked);
			poll(&p, 1, -1);
		}
		n = send(c->fd, zeros,
		    left < sizeof(zeros) ? left : sizeof(zeros),
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			continue;
		if (n <= 0) {
			count(c->srv, &c->srv->aborted);
			return;
		}
		left -= (size_t)n;
		atomic_fetch_add(&c->srv->flooded, (size_t)n);
	}
}

static bool
many_headers(struct conn *c, int n)
{
	struct buf b = { 0 };
	bool ok;

	buf_add_str(&b, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
	for (int i = 0; i < n; i++)
		buf_printf(&b, "X-Header-%d: %0500d\r\n", i, i);
	buf_add_str(&b, "\r\n");
	ok = say(c, b.data, b.len);
	buf_free(&b);
	return ok;
}

static bool
redirect(struct conn *c, const char *to)
{
	char status[16], header[600];
	int code = atoi(to);

	to = strchr(to, '/') + 1;
	snprintf(status, sizeof(status), "%d Moved", code);
	snprintf(header, sizeof(header), "Location: %s\r\n", to);
	return answer(c, status, header, "moved");
}

/* Its end comes when told so. */
static bool
chunk(struct conn *c)
{
	eventfd_t n;
	bool ok;

	say(c, CHUNK, strlen(CHUNK));
	MUST(eventfd_read(c->srv->go, &n) == 0);
	ok = say(c, "0\r\n\r\n", 5);
	count(c->srv, &c->srv->ended);
	return ok;
}

/* False: the connection ends. */
static bool
serve(struct conn *c, const char *path)
{
	char text[64];
	size_t n;

	if (strcmp(path, "/hello") == 0)
		return answer(c, "200 OK",
		    "X-Thing: A\r\nX-THING: \xff\r\nX-Empty:\r\n", "hello");
	if (strcmp(path, "/echo") == 0)
		return answer(c, "200 OK", "", c->text);
	if (strcmp(path, "/none") == 0)
		return say(c, "HTTP/1.1 204 No\r\n\r\n", 19);
	if (strncmp(path, "/to/", 4) == 0)
		return redirect(c, path + 4);
	if (strcmp(path, "/loop") == 0)
		return answer(c, "302 Found", "Location: /loop\r\n", "");
	if (strncmp(path, "/big/", 5) == 0) {
		n = strtoul(path + 5, NULL, 10);
		snprintf(text, sizeof(text),
		    "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n);
		say(c, text, strlen(text));
		for (; n > 0; n--) {
			char letter = (char)('a' + n % 26);

			if (!say(c, &letter, 1))
				return false;
		}
		return true;
	}
	if (strcmp(path, "/flood") == 0) {
		flood(c);
		return false;
	}
	if (strcmp(path, "/chunk") == 0)
		return chunk(c);
	if (strcmp(path, "/second") == 0) /* dies on a connection's second */
		return c->n == 1 && answer(c, "200 OK", "", "first");
	if (strcmp(path, "/early") == 0)
		say(c, "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n", 31);
	if (strcmp(path, "/hang") == 0 || strcmp(path, "/early") == 0)
		wait_for_close(c);
	else if (strcmp(path, "/begin") == 0) {
		say(c, "HTTP/1.1 200 OK\r\n\r\nx", 20);
		wait_for_close(c);
	} else if (strcmp(path, "/garbage") == 0)
		say(c, "SSH-2.0-OpenSSH_9.2\r\n\r\n", 23);
	else if (strcmp(path, "/short") == 0)
		say(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", 41);
	else if (strncmp(path, "/headers/", 9) == 0)
		many_headers(c, atoi(path + 9));
	return false;
}

/* One request into c->text, NUL-terminated; false at the end. */
static bool
hear(struct conn *c, char path[512])
{
	size_t need = 0;
	const char *at;
	ssize_t n;

	c->len = 0;
	while (need == 0 || c->len < need) {
		n = recv(c->fd, c->text + c->len, sizeof(c->text) - 1 - c->len,
		    0);
		if (n <= 0)
			return false;
		c->len += (size_t)n;
		c->text[c->len] = '\0';
		if (c->text[0] == 0x16) /* TLS, which this is not */
			return answer(c, "400 Bad", "", "") && false;
		if (need == 0 && (at = strstr(c->text, "\r\n\r\n")) != NULL) {
			need = (size_t)(at + 4 - c->text);
			at = strstr(c->text, "Content-Length: ");
			need += at != NULL ? strtoul(at + 16, NULL, 10) : 0;
		}
	}
	return sscanf(c->text, "%*s %511s", path) == 1;
}

static void *
conn_main(void *arg)
{
	struct conn *c = arg;
	struct server *s = c->srv;
	char path[512];

	while (hear(c, path)) {
		c->n++;
		pthread_mutex_lock(&s->mu);
		snprintf(s->last, sizeof(s->last), "%.4000s", c->text);
		pthread_mutex_unlock(&s->mu);
		count(s, &s->requests);
		if (!serve(c, path))
			break;
	}
	close(c->fd);
	free(c);
	return NULL;
}

static void
server_main(struct server *s)
{
	struct conn *c;
	pthread_t t;
	int fd;

	while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
		count(s, &s->connections);
		c = xcalloc(1, sizeof(*c));
		c->srv = s;
		c->fd = fd;
		MUST(pthread_create(&t, NULL, conn_main, c) == 0);
		pthread_detach(t);
	}
}

/*
 * A process of its own: descriptors that it opens and closes are not those of
 * the client, which TSan would take for the same.
 */
static struct server *
server_start(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	pthread_mutexattr_t shared;
	struct server *s;
	pid_t pid;

	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(s != MAP_FAILED);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->changed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->go = eventfd(0, EFD_CLOEXEC);
	MUST(s->changed >= 0 && s->go >= 0);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(bind(s->fd, (struct sockaddr *)&sin, sizeof(sin)) == 0);
	MUST(listen(s->fd, 512) == 0);
	MUST(getsockname(s->fd, (struct sockaddr *)&sin, &len) == 0);
	s->port = ntohs(sin.sin_port);
	pthread_mutexattr_init(&shared);
	pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&s->mu, &shared);
	pthread_mutexattr_destroy(&shared);
	MUST((pid = fork()) >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		server_main(s);
		_exit(0);
	}
	s->pid = pid;
	close(s->fd);
	return s;
}

static void
server_stop(struct server *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	close(s->changed);
	close(s->go);
	munmap(s, sizeof(*s));
}

int
servers_start(void)
{
	signal(SIGPIPE, SIG_IGN);
	one = server_start();
	two = server_start();
	return 0;
}

int
servers_stop(void)
{
	server_stop(one);
	server_stop(two);
	return 0;
}

bool
server_heard(struct server *s, const char *text)
{
	bool yes;

	pthread_mutex_lock(&s->mu);
	yes = strstr(s->last, text) != NULL;
	pthread_mutex_unlock(&s->mu);
	return yes;
}

/* ---- The harness --------------------------------------------------- */

struct loop *loop;
struct http_client *client;

static void
body_main(void *arg)
{
	void (*body)(void) = *(void (**)(void))arg;

	fiber_deadline_set(loop_now_ms(loop) + 60000);
	body();
	loop_stop(loop);
}

void
on_fiber(void (*body)(void))
{
	loop = loop_new();
	client = http_client_new(loop);
	fiber_spawn(loop, "test", body_main, &body);
	loop_run(loop);
	http_client_free(client);
	loop_free(loop);
}

char *
far_url(const struct server *s, const char *path)
{
	static char text[4][700];
	static int i;
	char *u = text[i++ % 4];

	snprintf(u, sizeof(text[0]), "http://127.0.0.1:%d%s", s->port, path);
	return u;
}

static void
on_change(int fd, int what, void *arg)
{
	eventfd_t n;

	(void)what;
	(void)eventfd_read(fd, &n);
	fiber_wake(*(struct fiber_wait *)arg);
}

void
far_until(struct server *s, atomic_int *what, int at_least)
{
	struct fiber_wait w = fiber_prepare();
	struct loop_watch *watch = loop_watch(loop, s->changed, LOOP_READ,
	    on_change, &w);

	while (atomic_load(what) < at_least) {
		if (fiber_suspend(0) != FIBER_WOKEN) {
			CU_FAIL("it did not happen in time");
			break;
		}
		w = fiber_prepare();
	}
	loop_watch_free(watch);
}

void
outcome_clear(struct outcome *o)
{
	free(o->body);
	o->body = NULL;
	o->len = 0;
	o->status = 0;
	o->header[0] = '\0';
}

void
far_fetch(const struct http_request *req, struct outcome *o)
{
	struct http_stream *s = NULL;
	struct error err = { 0 };

	outcome_clear(o);
	o->st = http_open(client, req, &s, &err);
	if (o->st == AS_OK) {
		const char *const *h = http_head(s)->headers;

		o->status = http_head(s)->status;
		for (; *h != NULL; h += 2) {
			if (strcmp(h[0], "x-thing") == 0 ||
			    strcmp(h[0], "location") == 0)
				snprintf(o->header, sizeof(o->header), "%s",
				    h[1]);
		}
		o->st = http_read_all(s, &o->body, &o->len, &err);
	}
	http_close(s);
	snprintf(o->detail, sizeof(o->detail), "%s", err.detail);
	o->sent = jget_bool(err.extra, "sent", false);
	error_clear(&err);
}

void
far_get(const char *u, enum http_trust trust, struct outcome *o)
{
	far_fetch(&(struct http_request){ .url = u, .trust = trust }, o);
}
