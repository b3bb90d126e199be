/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/plug_env.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/conf.h"
#include "core/base/mem.h"
#include "core/loop/loop.h"
#include "core/loop/pool.h"
#include "core/net/http_client.h"
#include "tests/tap.h"

/*
 * The pieces that a real host binds, as small as they can be.  Kept values are
 * a list under a lock, because any loop may ask for them.
 */

struct kept {
	struct kept *next;
	char *key;
	char *text; /* NULL: deleted */
	int64_t version;
};

struct world {
	struct plug_env env;
	void (*body)(struct plug_env *env);
	struct http_client *http;
	struct plug_services services;
	pthread_mutex_t lock;
	struct kept *kept;
	int fd;
	pthread_t server, home_thread;
	struct loop *home;
	bool home_ready;
	pthread_cond_t ready;
};

/* ---- Kept values --------------------------------------------------- */

static struct kept *
kept_find(struct world *w, const char *plugin, int scope, const char *owner,
    const char *key)
{
	char *full = xasprintf("%s %d %s %s", plugin, scope, owner, key);
	struct kept *k = w->kept;

	while (k != NULL && strcmp(k->key, full) != 0)
		k = k->next;
	if (k == NULL) {
		k = xcalloc(1, sizeof(*k));
		k->key = full;
		k->next = w->kept;
		w->kept = k;
	} else
		free(full);
	return k;
}

static enum as_status
kv_get(void *arg, const char *plugin, int scope, const char *owner,
    const char *key, struct json_object **out, int64_t *version,
    struct error *err)
{
	struct world *w = arg;
	struct kept *k;
	bool there;

	pthread_mutex_lock(&w->lock);
	k = kept_find(w, plugin, scope, owner, key);
	there = k->text != NULL;
	*version = k->version;
	if (there)
		json_parse(k->text, strlen(k->text), out, NULL);
	pthread_mutex_unlock(&w->lock);
	return there ? AS_OK : error_not_found(err, "value", key);
}

static enum as_status
kv_put(void *arg, const char *plugin, int scope, const char *owner,
    const char *key, struct json_object *value, int64_t ttl_ms,
    int64_t if_version, struct error *err)
{
	struct world *w = arg;
	struct kept *k;
	bool ok;

	(void)ttl_ms;
	pthread_mutex_lock(&w->lock);
	k = kept_find(w, plugin, scope, owner, key);
	ok = if_version < 0 || if_version == (k->text != NULL ? k->version : 0);
	if (ok) {
		free(k->text);
		k->text = value != NULL ? xstrdup(json_text(value)) : NULL;
		k->version++;
	}
	pthread_mutex_unlock(&w->lock);
	return ok ? AS_OK : error_set(err, ERR_CONFLICT, "changed");
}

static void
kept_free(struct world *w)
{
	struct kept *k;

	while ((k = w->kept) != NULL) {
		w->kept = k->next;
		free(k->key);
		free(k->text);
		free(k);
	}
}

/* ---- The server ---------------------------------------------------- */

static const char *
page(const char *request)
{
	if (strncmp(request, "GET /json ", 10) == 0)
		return "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
		       "connection: close\r\n\r\n{\"a\":[1,2.5,null]}";
	if (strncmp(request, "GET /events ", 12) == 0)
		return "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
		       "connection: close\r\n\r\n"
		       "data: one\n\ndata: two\ndata: lines\n\ndata: {}\n\n"
		       "data: {\"a\":[1,\ndata: \"\\n\"]}\n\n"
		       "data: {\n\ndata: [null]\n\n";
	return "HTTP/1.1 429 Slow down\r\ncontent-type: application/json\r\n"
	       "retry-after: 3\r\nconnection: close\r\n\r\n"
	       "{\"error\":{\"message\":\"too fast\"}}";
}

static void *
serve(void *arg)
{
	struct world *w = arg;
	char request[4096];
	const char *answer;
	size_t len;
	ssize_t n;
	int fd;

	while ((fd = accept(w->fd, NULL, NULL)) >= 0) {
		len = 0;
		while (len < sizeof(request) - 1 &&
		       (n = read(fd, request + len,
			    sizeof(request) - 1 - len)) > 0) {
			len += (size_t)n;
			request[len] = '\0';
			if (strstr(request, "\r\n\r\n") != NULL)
				break;
		}
		if (strncmp(request, "GET /hang ", 10) == 0) {
			while (read(fd, request, sizeof(request)) > 0)
				continue;
			close(fd);
			continue;
		}
		answer = page(request);
		if (write(fd, answer, strlen(answer)) < 0)
			perror("write");
		close(fd);
	}
	return NULL;
}

static void
server_start(struct world *w)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(bind(w->fd, (struct sockaddr *)&sin, sizeof(sin)) == 0);
	MUST(listen(w->fd, 16) == 0);
	MUST(getsockname(w->fd, (struct sockaddr *)&sin, &len) == 0);
	w->env.port = ntohs(sin.sin_port);
	MUST(pthread_create(&w->server, NULL, serve, w) == 0);
}

static void
server_stop(struct world *w)
{
	shutdown(w->fd, SHUT_RDWR);
	pthread_join(w->server, NULL);
	close(w->fd);
}

static struct http_client *
client_of(void *arg, struct loop *loop)
{
	struct world *w = arg;

	/* Services run on the caller's loop, wherever the plugin is. */
	MUST(loop == w->env.loop);
	return w->http;
}

/* ---- The home loop ------------------------------------------------- */

struct stopper {
	struct loop_msg msg;
	struct world *w;
};

static void
home_stop_fiber(void *arg)
{
	struct world *w = arg;

	plug_stop(w->env.plug);
	loop_stop(loop_self());
}

static void
home_stops(struct loop_msg *m)
{
	struct world *w = container_of(m, struct stopper, msg)->w;

	fiber_spawn(w->home, "stop", home_stop_fiber, w);
}

static void
home_start_fiber(void *arg)
{
	struct world *w = arg;

	plug_start(w->env.plug);
	pthread_mutex_lock(&w->lock);
	w->home_ready = true;
	pthread_cond_signal(&w->ready);
	pthread_mutex_unlock(&w->lock);
}

static void *
home_run(void *arg)
{
	struct world *w = arg;

	fiber_spawn(w->home, "start", home_start_fiber, w);
	loop_run(w->home);
	return NULL;
}

static void
home_start(struct world *w)
{
	MUST(pthread_create(&w->home_thread, NULL, home_run, w) == 0);
	pthread_mutex_lock(&w->lock);
	while (!w->home_ready)
		pthread_cond_wait(&w->ready, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

/* ---- The test ------------------------------------------------------ */

static void
main_fiber(void *arg)
{
	struct world *w = arg;
	bool elsewhere = w->home != w->env.loop;

	if (w->env.loaded == AS_OK && !elsewhere)
		plug_start(w->env.plug);
	w->body(&w->env);
	if (w->env.loaded == AS_OK && !elsewhere)
		plug_stop(w->env.plug);
	loop_stop(w->env.loop);
}

static void
world_bind(struct world *w, unsigned flags)
{
	w->services.plugin_host = BUILD_DIR "/agent-studio";
	w->services.child_uid = 64000;
	w->services.bundled = flags & ENV_ISOLATED ? "/nowhere" : NULL;
	w->services.arg = w;
	w->services.http = client_of;
	w->services.pool = pool_new(2, 16);
	w->services.home = w->home;
	w->services.kv_get = kv_get;
	w->services.kv_put = kv_put;
}

static void
world_load(struct world *w, const char *conf)
{
	static const char *const dirs[] = { BUILD_DIR "/plugins",
		BUILD_DIR "/tests/integration/plug/.libs", NULL };
	char *text = xasprintf("%s", conf), *at, *filled;

	while ((at = strstr(text, "%d")) != NULL) {
		*at = '\0';
		filled = xasprintf("%s%d%s", text, w->env.port, at + 2);
		free(text);
		text = filled;
	}
	w->env.conf = conf_new();
	conf_load_text(w->env.conf, "test.conf", text, strlen(text));
	free(text);
	w->env.loaded = plug_new(w->env.conf, dirs, &w->services, &w->env.plug);
	conf_finish(w->env.conf);
}

void
plug_env_run(const char *conf, unsigned flags,
    void (*body)(struct plug_env *env))
{
	struct world *w = xcalloc(1, sizeof(*w));
	struct stopper stop = { .msg.fn = home_stops, .w = w };
	bool elsewhere = flags & ENV_HOME_ELSEWHERE;

	w->body = body;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->ready, NULL);
	server_start(w);
	w->env.loop = loop_new();
	w->home = elsewhere ? loop_new() : w->env.loop;
	w->http = http_client_new(w->env.loop);
	w->env.who.user_id = uuid_v7();
	world_bind(w, flags);
	world_load(w, conf);
	plug_loopback(w->env.plug, flags & ENV_LOOPBACK);
	plug_join(w->env.plug, w->env.loop);
	if (elsewhere)
		plug_join(w->env.plug, w->home);
	if (elsewhere)
		home_start(w);
	fiber_spawn(w->env.loop, "test", main_fiber, w);
	loop_run(w->env.loop);
	if (elsewhere) {
		loop_post(w->home, &stop.msg);
		pthread_join(w->home_thread, NULL);
	}
	/* Its threads post to loops until they end. */
	pool_free(w->services.pool);
	if (elsewhere) {
		loop_drain(w->home);
		plug_leave(w->env.plug, w->home);
		loop_free(w->home);
	}
	loop_drain(w->env.loop);
	http_client_free(w->http);
	plug_free(w->env.plug);
	loop_free(w->env.loop);
	conf_free(w->env.conf);
	server_stop(w);
	kept_free(w);
	pthread_cond_destroy(&w->ready);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

const char *
plug_env_problem(struct plug_env *env, size_t i)
{
	const struct conf_problem *p;

	if (i >= conf_problem_count(env->conf))
		return "";
	p = conf_problem(env->conf, i);
	tap_note("%s:%d: %s", p->file, p->line, p->text);
	return p->text;
}

enum as_status
plug_env_tool(struct plug_env *env, const char *tool, const char *args,
    char **result, struct error *err)
{
	struct json_object *o = NULL, *value;
	enum as_status st;

	MUST(json_parse(args, strlen(args), &o, NULL) == AS_OK);
	st = plug_tool_call(env->plug, &env->who, tool, o, NULL, &value, err);
	*result = st == AS_OK ? xstrdup(json_text(value)) : NULL;
	json_object_put(value);
	json_object_put(o);
	return st;
}
