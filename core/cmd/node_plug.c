/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cmd/node_impl.h"

#include <stdlib.h>

#include "core/cmd/cmd.h"
#include "core/cmd/options.h"
#include "core/run/world.h"
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

bool
node_plugins_load(struct node *n)
{
	struct plug_services services = {
		.arg = n,
		.http = service_http,
		.pool = n->pool,
		.home = node_first(n)->app.loop,
		.kv_get = service_kv_get,
		.kv_put = service_kv_put,
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
