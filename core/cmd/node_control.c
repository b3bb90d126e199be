/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/node_impl.h"

#include <string.h>
#include <unistd.h>

#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cmd/control.h"

/* What a running process does when a command, or a signal, asks for it. */

static SUSPENDS enum as_status
do_status(struct node *n, struct json_object *request,
    struct json_object **result, struct error *err)
{
	struct json_object *o = jobj();

	(void)request, (void)err;
	jput_int(o, "pid", getpid());
	jput_str(o, "version", PACKAGE_VERSION);
	jput_str(o, "kind", n->p.api != NULL ? "serve" : "worker");
	jput_int(o, "epoch", n->epoch);
	jput_int(o, "port", n->port);
	*result = o;
	return AS_OK;
}

static SUSPENDS enum as_status
do_plugin_list(struct node *n, struct json_object *request,
    struct json_object **result, struct error *err)
{
	(void)request, (void)err;
	*result = plug_list(n->plug);
	return AS_OK;
}

static SUSPENDS enum as_status
do_plugin_reload(struct node *n, struct json_object *request,
    struct json_object **result, struct error *err)
{
	return plug_reload(n->plug, jget_str(request, "name", NULL), result,
	    err);
}

static const struct {
	const char *name;
	enum as_status (*fn)(struct node *n, struct json_object *request,
	    struct json_object **result, struct error *err);
} commands[] = {
	{ "status", do_status },
	{ "plugin.list", do_plugin_list },
	{ "plugin.reload", do_plugin_reload },
};

static SUSPENDS enum as_status
on_command(void *arg, struct json_object *request, struct json_object **result,
    struct error *err)
{
	const char *name = jget_str(request, "command", "");
	size_t i;

	for (i = 0; i < N_ITEMS(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].fn(arg, request, result, err);
	}
	return error_set(err, ERR_NOT_FOUND,
	    "this agent-studio (%s) has no command '%.60s'", PACKAGE_VERSION,
	    name);
}

static SUSPENDS void
reload_fiber(void *arg)
{
	struct node *n = arg;
	struct error err = { 0 };

	/* What was refused has been logged, plugin by plugin. */
	if (plug_reload(n->plug, NULL, NULL, &err) != AS_OK)
		log_warn("serve", "reload: %s", err.detail);
	else
		log_info("serve", "plugins reloaded");
	error_clear(&err);
}

void
node_reload_all(struct node *n)
{
	log_info("serve", "SIGHUP: reloading the plugins");
	if (fiber_spawn(node_first(n)->app.loop, "reload", reload_fiber, n).f ==
	    NULL)
		log_warn("serve", "reload: no fiber was left");
}

static SUSPENDS void
watch_fiber(void *arg)
{
	struct node *n = arg;

	plug_watch(n->plug);
}

SUSPENDS void
node_control_start(struct node *n)
{
	struct loop *loop = node_first(n)->app.loop;
	struct error err = { 0 };

	if (control_listen(loop, n->p.settings->data_dir, on_command, n,
		&n->control, &err) != AS_OK)
		log_warn("serve", "no control socket: %s", err.detail);
	error_clear(&err);
	if (n->p.settings->plugin.watch)
		n->watcher = fiber_spawn(loop, "plugin-watch", watch_fiber, n);
}

void
node_control_stop(struct node *n)
{
	control_close(n->control);
	fiber_reap(n->watcher);
}

void
node_control_free(struct node *n)
{
	control_free(n->control);
}
