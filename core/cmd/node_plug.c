/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/node_impl.h"

#include <stdlib.h>

#include "core/base/conf.h"
#include "core/cmd/cmd.h"
#include "core/cmd/options.h"
#include "core/plug/serve.h"
#include "core/run/world.h"
#include "core/store/guest.h"
#include "core/store/kv.h"

/*
 * Loading the plugins, and what of this process they may use: the HTTP client
 * and the store of the loop that they are called on.
 */

static struct app *
app_here(struct node *n)
{
	for (int i = 0; i < n->n_loops; i++)
		if (n->loops[i].app.loop == loop_self())
			return &n->loops[i].app;
	return NULL;
}

static struct http_client *
service_http(void *arg, struct loop *loop)
{
	struct node *n = arg;

	for (int i = 0; i < n->n_loops; i++)
		if (n->loops[i].app.loop == loop)
			return n->loops[i].app.http;
	return NULL;
}

static struct store *
service_store(void *arg, struct loop *loop)
{
	struct node *n = arg;

	for (int i = 0; i < n->n_loops; i++)
		if (n->loops[i].app.loop == loop)
			return n->loops[i].app.store;
	return NULL;
}

static SUSPENDS enum as_status
service_kv_get(void *arg, const char *plugin, int scope, const char *owner,
    const char *key, struct json_object **out, int64_t *version,
    struct error *err)
{
	struct kv_key k = { plugin, scope, owner, key };

	return kv_get(app_here(arg)->store, &k, out, version, err);
}

static SUSPENDS enum as_status
service_kv_put(void *arg, const char *plugin, int scope, const char *owner,
    const char *key, struct json_object *value, int64_t ttl_ms,
    int64_t if_version, struct error *err)
{
	struct kv_key k = { plugin, scope, owner, key };

	return kv_put(app_here(arg)->store, &k, value, ttl_ms, if_version, err);
}

static SUSPENDS enum as_status
service_db(void *arg, const char *plugin, int kind, struct json_object *texts,
    struct json_object *params, struct json_object **rows, int64_t *changed,
    struct error *err)
{
	struct guest_call call;
	enum as_status st;

	guest_call_of(&call, kind, plugin, texts, params);
	st = guest_run(app_here(arg)->store, &call, rows, changed, err);
	guest_call_clear(&call);
	return st;
}

_Static_assert((int)SERVE_DB_QUERY == GUEST_QUERY &&
		   (int)SERVE_DB_EXEC == GUEST_EXEC &&
		   (int)SERVE_DB_MIGRATE == GUEST_MIGRATE,
    "the numbers cross as they are");

static struct conf *
service_conf(void *arg)
{
	struct node *n = arg;

	return options_conf(n->p.options);
}

bool
node_plugins_load(struct node *n)
{
	struct plug_services services = {
		.arg = n,
		.http = service_http,
		.pool = n->pool,
		.home = node_first(n)->app.loop,
		.conf = service_conf,
		.generations = n->p.settings->plugin.generations,
		.grace_ms = n->p.settings->plugin.grace,
		.kv_get = service_kv_get,
		.kv_put = service_kv_put,
		.db = service_db,
		.store = service_store,
		.files_max_user = n->p.settings->files.max_user,
	};
	const char **dirs = settings_plugin_dirs(n->p.settings);
	bool ok;

	isolation_settings(n->p.settings, &services);
	ok = plug_new(n->p.conf, dirs, &services, &n->plug) == AS_OK;
	free(dirs);
	conf_finish(n->p.conf);
	ok = options_problems(n->p.conf) == 0 && ok;
	for (int i = 0; i < n->n_loops; i++) {
		struct app *app = &n->loops[i].app;

		app->plug = n->plug;
		plug_join(n->plug, app->loop);
		app->world = world_new(n->plug, app->store);
	}
	return ok;
}
