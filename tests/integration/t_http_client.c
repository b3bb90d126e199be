/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/net/http_client.h"
#include "tests/tap.h"

/*
 * The client against a server of a few lines: a process that accepts, a thread
 * for each connection, and behaviour by path.  Each test body runs on a fiber
 * of a new loop with a new client.
 */

#define CHUNK \
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
#define FLOOD (32u * 1024 * 1024)

struct server {
	int fd;
	int port;
	pid_t pid;
	atomic_int connections, requests, aborted, blocked, go;
	atomic_size_t flooded;
	pthread_mutex_t mu;
	char last[4096]; /* the latest request */
};

static struct server *one, *two; /* shared with the processes that serve */

struct conn {
	struct server *srv;
	int fd;
	char text[65536];
	size_t len;
	int n; /* requests on this connection */
};

/* ---- The server ---------------------------------------------------- */

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
	atomic_fetch_add(&c->srv->aborted, 1);
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
			atomic_fetch_add(&c->srv->blocked, 1);
			poll(&p, 1, -1);
		}
		n = send(c->fd, zeros,
		    left < sizeof(zeros) ? left : sizeof(zeros),
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			continue;
		if (n <= 0) {
			atomic_fetch_add(&c->srv->aborted, 1);
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
	if (strcmp(path, "/chunk") == 0) { /* its end comes when told so */
		say(c, CHUNK, strlen(CHUNK));
		while (atomic_load(&c->srv->go) == 0)
			poll(NULL, 0, 1);
		return say(c, "0\r\n\r\n", 5);
	}
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
		atomic_fetch_add(&s->requests, 1);
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
		atomic_fetch_add(&s->connections, 1);
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
	munmap(s, sizeof(*s));
}

static bool
server_heard(struct server *s, const char *text)
{
	bool yes;

	pthread_mutex_lock(&s->mu);
	yes = strstr(s->last, text) != NULL;
	pthread_mutex_unlock(&s->mu);
	return yes;
}

/* ---- The harness --------------------------------------------------- */

static struct loop *loop;
static struct http_client *client;

static void
body_main(void *arg)
{
	void (*body)(void) = *(void (**)(void))arg;

	fiber_deadline_set(loop_now_ms(loop) + 60000);
	body();
	loop_stop(loop);
}

static void
on_fiber(void (*body)(void))
{
	loop = loop_new();
	client = http_client_new(loop);
	fiber_spawn(loop, "test", body_main, &body);
	loop_run(loop);
	http_client_free(client);
	loop_free(loop);
}

static char *
url(const struct server *s, const char *path)
{
	static char text[4][700];
	static int i;
	char *u = text[i++ % 4];

	snprintf(u, sizeof(text[0]), "http://127.0.0.1:%d%s", s->port, path);
	return u;
}

static void
until(atomic_int *what, int at_least)
{
	while (atomic_load(what) < at_least) {
		if (fiber_sleep(1) != FIBER_WOKEN) {
			CU_FAIL("it did not happen in time");
			return;
		}
	}
}

struct outcome {
	enum as_status st;
	int status;
	char *body;
	size_t len;
	char url[100]; /* for fetcher */
	char header[100];
	char detail[256];
	bool sent;
};

static void
outcome_clear(struct outcome *o)
{
	free(o->body);
	o->body = NULL;
	o->len = 0;
	o->status = 0;
	o->header[0] = '\0';
}

static void
fetch(const struct http_request *req, struct outcome *o)
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

static void
get(const char *u, enum http_trust trust, struct outcome *o)
{
	fetch(&(struct http_request){ .url = u, .trust = trust }, o);
}

#define HAS(o, text) CU_ASSERT_PTR_NOT_NULL(strstr((o).detail, text))

/* ---- The tests ----------------------------------------------------- */

static void
plain(void)
{
	struct outcome o = { 0 };
	struct http_request head = { .method = "HEAD",
		.url = url(one, "/hello"),
		.trust = HTTP_TRUSTED };
	struct http_request post = { .url = url(one, "/echo"),
		.trust = HTTP_TRUSTED,
		.headers = (const char *const[]){ "X-Empty", "", "traceparent",
		    "00-1", NULL },
		.body = "a\0b",
		.body_len = 3 };

	get(url(one, "/hello"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	CU_ASSERT_EQUAL(o.status, 200);
	CU_ASSERT_STRING_EQUAL(o.body, "hello");
	CU_ASSERT_STRING_EQUAL(o.header, "\xef\xbf\xbd");
	CU_ASSERT(!server_heard(one, "Content-Type"));

	fetch(&post, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	CU_ASSERT(server_heard(one, "POST /echo HTTP/1.1\r\n"));
	CU_ASSERT(server_heard(one, "\r\nX-Empty:\r\n"));
	CU_ASSERT(server_heard(one, "\r\ntraceparent: 00-1\r\n"));
	CU_ASSERT(server_heard(one, "\r\nContent-Length: 3\r\n"));
	CU_ASSERT(!server_heard(one, "urlencoded"));
	CU_ASSERT(!server_heard(one, "Expect"));

	fetch(&head, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	CU_ASSERT_EQUAL(o.len, 0);
	get(url(one, "/none"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.status, 204);
	outcome_clear(&o);
}

static bool
refuses(const char *text)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, text, &in4.sin_addr) == 1)
		return http_guard_refuses((struct sockaddr *)&in4);
	MUST(inet_pton(AF_INET6, text, &in6.sin6_addr) == 1);
	return http_guard_refuses((struct sockaddr *)&in6);
}

static void
test_ranges(void)
{
	static const char *const no[] = { "0.0.0.0", "0.255.255.255",
		"10.0.0.1", "10.255.255.255", "100.64.0.0", "100.127.255.255",
		"127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
		"172.31.255.255", "192.0.0.8", "192.168.0.1", "192.168.255.255",
		"198.18.0.1", "198.19.255.255", "224.0.0.1", "239.1.1.1",
		"240.0.0.1", "255.255.255.255", "192.0.2.1", "::", "::1",
		"::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:169.254.169.254",
		"::127.0.0.1", "fc00::1", "fd12::1", "fe80::1", "febf::1",
		"fec0::1", "ff02::1", "64:ff9b::1.2.3.4", "64:ff9b::7f00:1",
		"64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1",
		"2002:7f00:1::", "2002:a00:1::" };
	static const char *const yes[] = { "1.1.1.1", "9.255.255.255",
		"11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
		"128.0.0.1", "169.253.255.255", "169.255.0.0", "172.15.255.255",
		"172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
		"198.17.255.255", "198.20.0.0", "223.255.255.255",
		"::ffff:1.1.1.1", "2606:4700::1111", "2a00:1450::1",
		"2001:4860:4860::8888", "2003::1" };
	struct sockaddr other = { .sa_family = AF_UNIX };

	for (size_t i = 0; i < N_ITEMS(no); i++) {
		if (!refuses(no[i]))
			tap_note("%s passes", no[i]);
		CU_ASSERT(refuses(no[i]));
	}
	for (size_t i = 0; i < N_ITEMS(yes); i++) {
		if (refuses(yes[i]))
			tap_note("%s is refused", yes[i]);
		CU_ASSERT(!refuses(yes[i]));
	}
	CU_ASSERT(http_guard_refuses(&other));
}

static void
guard(void)
{
	static const char *const hosts[] = { "127.0.0.1", "localhost",
		"2130706433", "0x7f.1", "0", "[::ffff:127.0.0.1]" };
	char text[100], by_address[40], by_name[40];
	struct outcome o = { 0 };
	int before = atomic_load(&one->connections);
	const char *allow[] = { "example.com:1", by_address, NULL };

	for (size_t i = 0; i < N_ITEMS(hosts); i++) {
		snprintf(text, sizeof(text), "http://%s:%d/hello", hosts[i],
		    one->port);
		get(text, HTTP_GUARDED, &o);
		if (o.st != AS_FORBIDDEN)
			tap_note("%s: %d %s", text, o.st, o.detail);
		CU_ASSERT_EQUAL(o.st, AS_FORBIDDEN);
		CU_ASSERT(!o.sent);
	}
	HAS(o, "not a public address");
	CU_ASSERT_EQUAL(atomic_load(&one->connections), before);

	snprintf(by_address, sizeof(by_address), "127.0.0.1:%d", one->port);
	snprintf(by_name, sizeof(by_name), "LocalHost:%d", one->port);
	snprintf(text, sizeof(text), "http://localhost:%d/hello", one->port);
	fetch(&(struct http_request){ .url = text, .allow = allow }, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	allow[1] = by_name;
	fetch(&(struct http_request){ .url = text, .allow = allow }, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	fetch(&(struct http_request){ .url = url(two, "/hello"),
		  .allow = allow,
		  .allow_name = "plugins.x.allow" },
	    &o);
	CU_ASSERT_EQUAL(o.st, AS_FORBIDDEN);
	HAS(o, "127.0.0.1");
	HAS(o, "plugins.x.allow");
	outcome_clear(&o);
}

/* A connection that one request may use is there; another may not use it. */
static void
guard_reuse(void)
{
	char by_address[40];
	const char *allow[] = { by_address, NULL };
	struct outcome o = { 0 };
	int connections, requests;

	snprintf(by_address, sizeof(by_address), "127.0.0.1:%d", one->port);
	connections = atomic_load(&one->connections);
	for (int i = 0; i < 2; i++) {
		fetch(&(struct http_request){ .url = url(one, "/hello"),
			  .allow = allow },
		    &o);
		CU_ASSERT_EQUAL(o.st, AS_OK);
	}
	CU_ASSERT_EQUAL(atomic_load(&one->connections), connections + 1);
	requests = atomic_load(&one->requests);
	get(url(one, "/hello"), HTTP_GUARDED, &o);
	CU_ASSERT_EQUAL(o.st, AS_FORBIDDEN);
	CU_ASSERT_EQUAL(atomic_load(&one->requests), requests);
	/* Nor is a trusted request's connection a guarded one's. */
	get(url(two, "/hello"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	get(url(two, "/hello"), HTTP_GUARDED, &o);
	CU_ASSERT_EQUAL(o.st, AS_FORBIDDEN);
	outcome_clear(&o);
}

static void
redirects(void)
{
	char path[200], by_address[40];
	const char *allow[] = { by_address, NULL };
	struct http_request req = { .url = url(one, "/to/302//echo"),
		.trust = HTTP_TRUSTED,
		.headers = (const char *const[]){ "Authorization",
		    "Bearer secret", "X-Api-Key", "key", "Accept", "a/b",
		    "Content-Type", "text/x", NULL },
		.body = "payload",
		.body_len = 7 };
	struct outcome o = { 0 };

	snprintf(by_address, sizeof(by_address), "127.0.0.1:%d", two->port);
	fetch(&req, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	CU_ASSERT_EQUAL(strncmp(o.body, "GET /echo ", 10), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(o.body, "Bearer secret"));
	CU_ASSERT_PTR_NULL(strstr(o.body, "payload"));
	CU_ASSERT_PTR_NULL(strstr(o.body, "text/x"));

	req.url = url(one, "/to/307//echo");
	fetch(&req, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	CU_ASSERT_EQUAL(strncmp(o.body, "POST /echo ", 11), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(o.body, "payload"));

	/* Elsewhere: the trust ends, and the credentials stay behind. */
	snprintf(path, sizeof(path), "/to/302/%s", url(two, "/echo"));
	req.url = url(one, path);
	fetch(&req, &o);
	CU_ASSERT_EQUAL(o.st, AS_FORBIDDEN);
	CU_ASSERT(o.sent);
	req.allow = allow;
	fetch(&req, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	CU_ASSERT_PTR_NULL(strstr(o.body, "Bearer secret"));
	CU_ASSERT_PTR_NULL(strstr(o.body, "X-Api-Key"));
	CU_ASSERT_PTR_NOT_NULL(strstr(o.body, "Accept: a/b"));

	req.same_host = true;
	fetch(&req, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	CU_ASSERT_EQUAL(o.status, 302);
	CU_ASSERT_STRING_EQUAL(o.header, url(two, "/echo"));
	req.url = url(one, "/to/302//echo");
	req.max_redirects = -1;
	fetch(&req, &o);
	CU_ASSERT_EQUAL(o.status, 302);

	get(url(one, "/loop"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_UPSTREAM);
	HAS(o, "too often");
	get(url(one, "/to/302/file:///etc/passwd"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_UPSTREAM);
	get(url(one, "/to/302/http://u:p@x/"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_UPSTREAM);
	outcome_clear(&o);
}

static void
bad_requests(void)
{
	static const char *const urls[] = { "", "hello", "ftp://x/",
		"file:///etc/passwd", "http://", "http://u:p@x/", "http://a b/",
		"http://x:99999/", "gopher://x/", "http://x\r\ny/" };
	static const char *const names[][2] = { { "Host", "x" },
		{ "Content-Length", "1" }, { "transfer-encoding", "chunked" },
		{ "a b", "x" }, { "", "x" }, { "a:", "x" },
		{ "X", "a\r\nY: b" }, { "X", "a\nb" }, { "X", "\x01" } };
	struct outcome o = { 0 };
	char *longer = xmalloc(9000);

	for (size_t i = 0; i < N_ITEMS(urls); i++) {
		get(urls[i], HTTP_TRUSTED, &o);
		if (o.st != AS_INVALID)
			tap_note("'%s': %d %s", urls[i], o.st, o.detail);
		CU_ASSERT_EQUAL(o.st, AS_INVALID);
		CU_ASSERT(!o.sent);
	}
	for (size_t i = 0; i < N_ITEMS(names); i++) {
		const char *headers[] = { names[i][0], names[i][1], NULL };

		fetch(&(struct http_request){ .url = url(one, "/hello"),
			  .trust = HTTP_TRUSTED,
			  .headers = headers },
		    &o);
		CU_ASSERT_EQUAL(o.st, AS_INVALID);
	}
	fetch(&(struct http_request){ .url = url(one, "/hello"),
		  .trust = HTTP_TRUSTED,
		  .method = "GET /x" },
	    &o);
	CU_ASSERT_EQUAL(o.st, AS_INVALID);
	memset(longer, 'a', 8999);
	memcpy(longer, "http://x/", 9);
	longer[8999] = '\0';
	get(longer, HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_LIMIT);
	free(longer);
	outcome_clear(&o);
}

static void
bad_answers(void)
{
	struct outcome o = { 0 };

	get(url(one, "/garbage"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_UPSTREAM);
	HAS(o, "not answer in HTTP");
	CU_ASSERT(o.sent);
	get(url(one, "/close"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_UNAVAILABLE);
	HAS(o, "closed the connection");
	get(url(one, "/short"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_UPSTREAM);
	HAS(o, "broke off");
	get(url(one, "/headers/190"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_UPSTREAM);
	get(url(one, "/headers/100"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	get(url(one, "/headers/201"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_UPSTREAM);
	fetch(&(struct http_request){ .url = url(one, "/big/5000"),
		  .trust = HTTP_TRUSTED,
		  .max_body = 4999 },
	    &o);
	CU_ASSERT_EQUAL(o.st, AS_LIMIT);
	fetch(&(struct http_request){ .url = url(one, "/big/5000"),
		  .trust = HTTP_TRUSTED,
		  .max_body = 5000 },
	    &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	CU_ASSERT_EQUAL(o.len, 5000);
	outcome_clear(&o);
}

static void
no_connection(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct outcome o = { 0 };
	char text[60];

	/* Bound and not listening: nobody else has this port. */
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	MUST(bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0);
	MUST(getsockname(fd, (struct sockaddr *)&sin, &len) == 0);
	snprintf(text, sizeof(text), "http://127.0.0.1:%d/",
	    ntohs(sin.sin_port));
	get(text, HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_UNAVAILABLE);
	CU_ASSERT(!o.sent);
	HAS(o, "cannot connect");
	close(fd);

	snprintf(text, sizeof(text), "https://127.0.0.1:%d/hello", one->port);
	get(text, HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_UNAVAILABLE);
	HAS(o, "TLS");
	CU_ASSERT(!o.sent);

	fetch(&(struct http_request){ .url = "http://nothing.invalid/",
		  .connect_ms = 3000 },
	    &o);
	CU_ASSERT_EQUAL(o.st, AS_UNAVAILABLE);
	CU_ASSERT(!o.sent);
	outcome_clear(&o);
}

/* A connection that dies under its second request. */
static void
repeats(void)
{
	struct http_request req = { .url = url(one, "/second"),
		.trust = HTTP_TRUSTED };
	struct outcome o = { 0 };
	int requests;

	fetch(&req, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	requests = atomic_load(&one->requests);
	fetch(&req, &o); /* lost, and made again by curl */
	CU_ASSERT_EQUAL(o.st, AS_OK);
	CU_ASSERT_EQUAL(atomic_load(&one->requests), requests + 2);

	req.method = "POST";
	fetch(&req, &o); /* may have happened: not made again */
	CU_ASSERT_EQUAL(o.st, AS_UNAVAILABLE);
	CU_ASSERT(o.sent);
	CU_ASSERT_EQUAL(atomic_load(&one->requests), requests + 3);
	outcome_clear(&o);
}

static void
deadlines(void)
{
	struct http_request req = { .url = url(one, "/hang"),
		.trust = HTTP_TRUSTED,
		.idle_ms = 30 };
	struct outcome o = { 0 };
	uint64_t old;
	int aborted = atomic_load(&one->aborted);

	fetch(&req, &o);
	CU_ASSERT_EQUAL(o.st, AS_TIMEOUT);
	CU_ASSERT(o.sent);
	HAS(o, "silent for 30 ms");
	/* What must come in time has ten times as much of it. */
	req.idle_ms = 300;
	req.url = url(one, "/begin");
	fetch(&req, &o);
	CU_ASSERT_EQUAL(o.st, AS_TIMEOUT);
	CU_ASSERT_EQUAL(o.status, 200);
	req.idle_ms = 30;
	req.url = url(one, "/early");
	fetch(&req, &o);
	CU_ASSERT_EQUAL(o.st, AS_TIMEOUT);

	req.idle_ms = 0;
	old = fiber_deadline_set(loop_now_ms(loop) + 30);
	req.url = url(one, "/hang");
	fetch(&req, &o);
	CU_ASSERT_EQUAL(o.st, AS_TIMEOUT);
	fiber_deadline_set(old);
	until(&one->aborted, aborted + 4);
	outcome_clear(&o);
}

static void
fetcher(void *arg)
{
	struct outcome *o = arg;

	fiber_deadline_set(loop_now_ms(loop) + 60000);
	get(o->url, HTTP_TRUSTED, o);
}

static void
cancels(void)
{
	static const char *const paths[] = { "/hang", "/begin", "/flood" };
	struct outcome o = { 0 };

	for (size_t i = 0; i < N_ITEMS(paths); i++) {
		int requests = atomic_load(&one->requests);
		int aborted = atomic_load(&one->aborted);
		struct fiber_ref f;

		snprintf(o.url, sizeof(o.url), "%s", url(one, paths[i]));
		f = fiber_spawn(loop, "fetcher", fetcher, &o);
		until(&one->requests, requests + 1);
		fiber_cancel(f);
		fiber_join(f, 0);
		CU_ASSERT_EQUAL(o.st, AS_CANCELED);
		until(&one->aborted, aborted + 1);
	}
	/* Before anything was sent at all. */
	{
		struct fiber_ref f = fiber_spawn(loop, "fetcher", fetcher, &o);

		fiber_cancel(f);
		fiber_join(f, 0);
		CU_ASSERT_EQUAL(o.st, AS_CANCELED);
	}
	outcome_clear(&o);
}

static void
back_pressure(void)
{
	struct http_request req = { .url = url(one, "/flood"),
		.trust = HTTP_TRUSTED };
	struct http_stream *s = NULL;
	struct error err = { 0 };
	size_t total = 0, n = 0;
	char *piece = xmalloc(100000);
	int blocked = atomic_load(&one->blocked);

	atomic_store(&one->flooded, 0);
	CU_ASSERT_EQUAL(http_open(client, &req, &s, &err), AS_OK);
	until(&one->blocked, blocked + 1); /* by the kernel's buffers and us */
	CU_ASSERT(atomic_load(&one->flooded) < FLOOD / 2);
	while (http_read(s, piece, 100000, &n, &err) == AS_OK && n > 0) {
		CU_ASSERT(n <= 64 * 1024 + 16 * 1024);
		total += n;
	}
	CU_ASSERT_EQUAL(total, FLOOD);
	http_close(s);

	/* One that is given up while it is paused. */
	blocked = atomic_load(&one->blocked);
	CU_ASSERT_EQUAL(http_open(client, &req, &s, &err), AS_OK);
	until(&one->blocked, blocked + 1);
	CU_ASSERT_EQUAL(http_read(s, piece, 100, &n, &err), AS_OK);
	CU_ASSERT_EQUAL(n, 100);
	http_close(s);
	error_clear(&err);
	free(piece);
}

/* Closed before the end of the answer was there. */
static void
lingers(void)
{
	struct http_request req = { .url = url(one, "/chunk"),
		.trust = HTTP_TRUSTED };
	struct http_stream *s = NULL;
	struct outcome o = { 0 };
	char piece[100];
	size_t n = 0;
	int connections, aborted = atomic_load(&one->aborted);

	atomic_store(&one->go, 0);
	CU_ASSERT_EQUAL(http_open(client, &req, &s, NULL), AS_OK);
	CU_ASSERT_EQUAL(http_read(s, piece, sizeof(piece), &n, NULL), AS_OK);
	CU_ASSERT_EQUAL(n, 5);
	http_close(s);
	connections = atomic_load(&one->connections);
	atomic_store(&one->go, 1);
	for (int i = 0; i < 3; i++) /* lets the end arrive */
		get(url(two, "/big/100000"), HTTP_TRUSTED, &o);
	get(url(one, "/hello"), HTTP_TRUSTED, &o);
	CU_ASSERT_EQUAL(o.st, AS_OK);
	CU_ASSERT_EQUAL(atomic_load(&one->connections), connections);

	/* One that never ends is not waited for. */
	req.url = url(one, "/begin");
	CU_ASSERT_EQUAL(http_open(client, &req, &s, NULL), AS_OK);
	CU_ASSERT_EQUAL(http_read(s, piece, sizeof(piece), &n, NULL), AS_OK);
	http_close(s);
	until(&one->aborted, aborted + 1);

	/* Nor is one left behind when the client goes. */
	CU_ASSERT_EQUAL(http_open(client, &req, &s, NULL), AS_OK);
	CU_ASSERT_EQUAL(http_read(s, piece, sizeof(piece), &n, NULL), AS_OK);
	http_close(s);
	outcome_clear(&o);
}

#define MANY 100
static struct outcome many[MANY];

static void
concurrent(void)
{
	struct fiber_ref f[MANY];

	for (int i = 0; i < MANY; i++) {
		char path[40];

		snprintf(path, sizeof(path), "/big/%d", 1000 + i);
		snprintf(many[i].url, sizeof(many[i].url), "%s",
		    url(one, path));
		f[i] = fiber_spawn(loop, "fetcher", fetcher, &many[i]);
	}
	for (int i = 0; i < MANY; i++) {
		fiber_join(f[i], 0);
		CU_ASSERT_EQUAL(many[i].st, AS_OK);
		CU_ASSERT_EQUAL(many[i].len, 1000 + (size_t)i);
		outcome_clear(&many[i]);
	}
}

#define TEST(body) \
	static void test_##body(void) \
	{ \
		on_fiber(body); \
	}
TEST(plain)
TEST(guard)
TEST(guard_reuse)
TEST(redirects)
TEST(bad_requests)
TEST(bad_answers)
TEST(no_connection)
TEST(repeats)
TEST(deadlines)
TEST(cancels)
TEST(back_pressure)
TEST(lingers)
TEST(concurrent)

int
main(void)
{
	CU_TestInfo tests[] = {
		{ "plain requests", test_plain },
		{ "refused ranges", test_ranges },
		{ "guard", test_guard },
		{ "guard on reuse", test_guard_reuse },
		{ "redirects", test_redirects },
		{ "bad requests", test_bad_requests },
		{ "bad answers", test_bad_answers },
		{ "no connection", test_no_connection },
		{ "what is sent again", test_repeats },
		{ "deadlines", test_deadlines },
		{ "cancel closes the socket", test_cancels },
		{ "back-pressure", test_back_pressure },
		{ "an end that comes late", test_lingers },
		{ "a hundred at once", test_concurrent },
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{ "http_client", NULL, NULL, NULL, NULL, tests },
		CU_SUITE_INFO_NULL,
	};
	int rc;

	signal(SIGPIPE, SIG_IGN);
	one = server_start();
	two = server_start();
	rc = tap_run(suites);
	server_stop(one);
	server_stop(two);
	return rc;
}
