/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cmd/control_impl.h"
#include "core/loop/fiber.h"

/* The process's end: one fiber a client, from its line to the answer. */

#define CLIENTS_MAX 16
#define LOCK_WAIT_MS 3000 /* for others that start, who need microseconds */
#define LOCK_POLL_MS 5
#define PATIENCE_MS 10000 /* with a client that does not say its line */

struct control {
	struct loop *loop;
	struct loop_watch *watch;
	int fd, folder;
	char name[CONTROL_NAME];
	control_fn fn;
	void *arg;
	unsigned n_clients;
};

struct client {
	struct control *control;
	int fd;
	struct loop_watch *watch;
	struct fiber_wait wait;
	struct buf in, out;
};

/* ---- One client ---------------------------------------------------- */

static void
on_client(int fd, int what, void *arg)
{
	struct client *c = arg;

	(void)fd, (void)what;
	fiber_wake(c->wait);
}

SUSPENDS static bool
client_wait(struct client *c, int what, uint64_t until)
{
	enum fiber_exit x;

	c->wait = fiber_prepare();
	loop_watch_set(c->watch, what);
	x = fiber_suspend(until);
	loop_watch_set(c->watch, 0);
	c->wait.f = NULL;
	return x == FIBER_WOKEN;
}

SUSPENDS static bool
client_read(struct client *c)
{
	uint64_t until = loop_now_ms(c->control->loop) + PATIENCE_MS;
	char room[4096];
	ssize_t n;

	while (c->in.len == 0 || memchr(c->in.data, '\n', c->in.len) == NULL) {
		n = read(c->fd, room, sizeof(room));
		if (n > 0 && c->in.len + (size_t)n <= CONTROL_LINE_MAX)
			buf_add(&c->in, room, (size_t)n);
		else if (n >= 0 || errno != EAGAIN ||
			 !client_wait(c, LOOP_READ, until))
			return false;
	}
	return true;
}

SUSPENDS static void
client_write(struct client *c)
{
	uint64_t until = loop_now_ms(c->control->loop) + PATIENCE_MS;
	size_t at = 0;
	ssize_t n;

	while (at < c->out.len) {
		n = send(c->fd, c->out.data + at, c->out.len - at,
		    MSG_NOSIGNAL);
		if (n > 0)
			at += (size_t)n;
		else if (errno != EAGAIN || !client_wait(c, LOOP_WRITE, until))
			return;
	}
}

SUSPENDS static void
client_answer(struct client *c)
{
	struct json_object *request = NULL, *result = NULL, *o = jobj(), *e;
	struct error err = { 0 };
	enum as_status st;
	size_t len = strcspn(c->in.data, "\n");

	st = json_parse(c->in.data, len, &request, &err);
	if (st == AS_OK && !json_object_is_type(request, json_type_object))
		st = error_set(&err, ERR_BAD_REQUEST, "expected an object");
	if (st == AS_OK)
		st = c->control->fn(c->control->arg, request, &result, &err);
	jput_bool(o, "ok", st == AS_OK);
	if (st != AS_OK) {
		e = jobj();
		jput_str(e, "code", error_name(err.code));
		jput_str(e, "message", err.detail);
		jput(o, "error", e);
	}
	if (result != NULL)
		jput(o, "result", result);
	buf_printf(&c->out, "%s\n", json_text(o));
	json_object_put(o);
	json_object_put(request);
	error_clear(&err);
}

static void
client_free(struct client *c)
{
	c->control->n_clients--;
	loop_watch_free(c->watch);
	close(c->fd);
	buf_free(&c->in);
	buf_free(&c->out);
	free(c);
}

SUSPENDS static void
client_fiber(void *arg)
{
	struct client *c = arg;

	if (client_read(c)) {
		client_answer(c);
		client_write(c);
	}
	client_free(c);
}

/* The mode of the socket says the same; but a folder may be lent. */
static bool
is_welcome(int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
	       (who.uid == geteuid() || who.uid == 0);
}

static void
on_accept(int fd, int what, void *arg)
{
	struct control *control = arg;
	struct client *c;
	int peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (peer < 0)
		return;
	if (control->n_clients >= CLIENTS_MAX || !is_welcome(peer)) {
		close(peer);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->control = control;
	c->fd = peer;
	c->watch = loop_watch(control->loop, peer, 0, on_client, c);
	control->n_clients++;
	if (fiber_spawn(control->loop, "control", client_fiber, c).f == NULL)
		client_free(c);
}

/* ---- The socket ---------------------------------------------------- */

/* Who has locked that; 0: it is not to be seen, as from another container. */
static long
lock_holder(int fd)
{
	unsigned long long inode;
	unsigned major, minor;
	struct stat is = { 0 };
	long pid, found = 0;
	char line[256];
	FILE *f = fopen("/proc/locks", "re");

	(void)fstat(fd, &is);
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "%*s FLOCK %*s %*s %ld %x:%x:%llu", &pid,
			&major, &minor, &inode) == 4 &&
		    inode == is.st_ino && makedev(major, minor) == is.st_dev &&
		    pid > 0)
			found = pid;
	if (f != NULL)
		fclose(f);
	return found;
}

/*
 * Two that start at once would each find nobody there and take the other's
 * name away: so one after another.  A file system without such locks leaves
 * that, and only that.
 */
static SUSPENDS enum as_status
folder_lock(struct control *c, struct error *err)
{
	uint64_t until = loop_now_ms(c->loop) + LOCK_WAIT_MS;
	char who[48] = "another process";
	long pid;

	while (flock(c->folder, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return AS_OK;
		if (loop_now_ms(c->loop) < until &&
		    fiber_sleep(LOCK_POLL_MS) == FIBER_WOKEN)
			continue;
		if ((pid = lock_holder(c->folder)) > 0)
			snprintf(who, sizeof(who), "process %ld", pid);
		return error_set(err, ERR_UNAVAILABLE,
		    "the data folder is locked by %s", who);
	}
	return AS_OK;
}

static SUSPENDS enum as_status
socket_open(struct control *c, struct error *err)
{
	enum as_status st = folder_lock(c, err);
	struct sockaddr_un to;
	int probe;

	if (st != AS_OK)
		return st;
	snprintf(c->name, sizeof(c->name), CONTROL_FIRST);
	if ((probe = control_connect(c->folder, c->name)) >= 0) {
		close(probe);
		snprintf(c->name, sizeof(c->name), CONTROL_OTHER, getpid());
	}
	/* Nobody listens to that name: what is left of it is of a dead one. */
	unlinkat(c->folder, c->name, 0);
	control_address(c->folder, c->name, &to);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || bind(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
	    fchmodat(c->folder, c->name, 0600, 0) != 0 ||
	    listen(c->fd, CLIENTS_MAX) != 0)
		st = error_set(err, ERR_INTERNAL, "%s: %s", c->name,
		    strerror(errno));
	flock(c->folder, LOCK_UN);
	return st;
}

SUSPENDS enum as_status
control_listen(struct loop *loop, const char *folder, control_fn fn, void *arg,
    struct control **out, struct error *err)
{
	struct control *c = xcalloc(1, sizeof(*c));
	enum as_status st;

	c->loop = loop;
	c->fn = fn;
	c->arg = arg;
	c->fd = -1;
	c->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->folder < 0)
		st = error_set(err, ERR_INTERNAL, "%s: %s", folder,
		    strerror(errno));
	else
		st = socket_open(c, err);
	if (st != AS_OK) {
		control_free(c);
		return st;
	}
	c->watch = loop_watch(loop, c->fd, LOOP_READ, on_accept, c);
	*out = c;
	return AS_OK;
}

const char *
control_name(const struct control *c)
{
	return c->name;
}

void
control_close(struct control *c)
{
	if (c == NULL || c->watch == NULL)
		return;
	loop_watch_free(c->watch);
	c->watch = NULL;
	unlinkat(c->folder, c->name, 0);
	close(c->fd);
	c->fd = -1;
}

void
control_free(struct control *c)
{
	if (c == NULL)
		return;
	control_close(c);
	if (c->fd >= 0)
		close(c->fd);
	if (c->folder >= 0)
		close(c->folder);
	free(c);
}
